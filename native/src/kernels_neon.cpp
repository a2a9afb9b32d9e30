#define VEC_NEON
#define VEC_NAME neon
#define VEC_LABEL "neon"
#include "kernels_any.hpp"

namespace mirim {
const Kernels* kernels_neon() { return &neon::table; }
}  // namespace mirim
