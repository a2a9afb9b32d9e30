#include "kernels.hpp"

#include <cstring>

#if defined(MIRIM_ARM) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace mirim {

const Kernels* kernels_portable();
#if defined(MIRIM_X86)
const Kernels* kernels_avx2();
#if defined(MIRIM_AVXVNNI)
const Kernels* kernels_avxvnni();
#endif
const Kernels* kernels_avx512();
#elif defined(MIRIM_ARM)
const Kernels* kernels_neon();
#if defined(MIRIM_I8MM)
const Kernels* kernels_i8mm();
#endif
#endif

namespace {

struct Found {
    const Kernels* list[5];
    int count = 0;

    Found() {
#if defined(MIRIM_X86)
        __builtin_cpu_init();
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
            __builtin_cpu_supports("avx512vnni"))
            list[count++] = kernels_avx512();
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c")) {
#if defined(MIRIM_AVXVNNI)
            if (__builtin_cpu_supports("avxvnni")) list[count++] = kernels_avxvnni();
#endif
            list[count++] = kernels_avx2();
        }
#elif defined(MIRIM_ARM)
        // Linux says what there is; the Arm processors of others have dot products, and what else is not asked.
        bool dots = true, matrices = false;
#if defined(__linux__)
        dots = getauxval(AT_HWCAP) & (1UL << 20);       // HWCAP_ASIMDDP
        matrices = getauxval(AT_HWCAP2) & (1UL << 13);  // HWCAP2_I8MM
#endif
#if defined(MIRIM_I8MM)
        if (dots && matrices) list[count++] = kernels_i8mm();
#else
        (void)matrices;
#endif
        if (dots) list[count++] = kernels_neon();
#endif
        list[count++] = kernels_portable();
    }
};

const Found& found() {
    static const Found f;
    return f;
}

}  // namespace

const Kernels* const* available(int* count) {
    *count = found().count;
    return found().list;
}

const Kernels* find_kernels(const char* name) {
    const Found& f = found();
    if (!*name) return f.list[0];
    for (int i = 0; i < f.count; ++i)
        if (!std::strcmp(f.list[i]->name, name)) return f.list[i];
    return nullptr;
}

}  // namespace mirim
