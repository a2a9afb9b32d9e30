#define VEC_AVX512
#define VEC_NAME avx512
#define VEC_LABEL "avx512"
#include "kernels_any.hpp"

namespace mirim {
const Kernels* kernels_avx512() { return &avx512::table; }
}  // namespace mirim
