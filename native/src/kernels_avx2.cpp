#define VEC_AVX2
#define VEC_NAME avx2
#define VEC_LABEL "avx2"
#include "kernels_any.hpp"

namespace mirim {
const Kernels* kernels_avx2() { return &avx2::table; }
}  // namespace mirim
