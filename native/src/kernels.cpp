#include "kernels.hpp"

#include <cstring>

namespace mirim {

const Kernels* kernels_portable();
#if defined(MIRIM_X86)
const Kernels* kernels_avx2();
const Kernels* kernels_avx512();
#elif defined(MIRIM_ARM)
const Kernels* kernels_neon();
#endif

namespace {

struct Found {
    const Kernels* list[4];
    int count = 0;

    Found() {
#if defined(MIRIM_X86)
        __builtin_cpu_init();
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
            __builtin_cpu_supports("avx512vnni"))
            list[count++] = kernels_avx512();
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c"))
            list[count++] = kernels_avx2();
#elif defined(MIRIM_ARM)
        list[count++] = kernels_neon();
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
