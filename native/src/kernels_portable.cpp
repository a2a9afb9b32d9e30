#define VEC_PORTABLE
#define VEC_NAME portable
#define VEC_LABEL "portable"
#include "kernels_any.hpp"

namespace mirim {
const Kernels* kernels_portable() { return &portable::table; }
}  // namespace mirim
