#define VEC_AVX2
#define VEC_AVXVNNI
#define VEC_NAME avxvnni
#define VEC_LABEL "avxvnni"
#include "kernels_any.hpp"

namespace mirim {
const Kernels* kernels_avxvnni() { return &avxvnni::table; }
}  // namespace mirim
