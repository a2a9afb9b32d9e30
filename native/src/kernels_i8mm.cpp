// NEON with products of 2 x 8 by 8 x 2 bytes: two tokens at once take half the instructions of dot products.
#define VEC_NEON
#define VEC_NAME i8mm
#define VEC_LABEL "i8mm"
#include "kernels_any.hpp"

namespace mirim::i8mm {

// 16 rows of a block (`half` of it) for P pairs of tokens. Whole numbers add up to the same in any order, and floats
// are added as in `quantised_half`.
template <class Bits, int P>
void pairs(const uint8_t* w, int columns, const Inputs& in, int first, float* out, int half) {
    const int groups = columns / GROUP;
    const int8_t* q = in.q + size_t(first) * columns;
    const float* scale = in.scale + size_t(first) * groups;
    Floats sums[2 * P];
    for (Floats& s : sums) s = spread(0.0f);
    for (int g = 0; g < groups; ++g, w += ROWS * 2 + Bits::bytes) {
        // [pair][two rows]: row 0 by token 0, row 0 by token 1, row 1 by token 0, row 1 by token 1
        int32x4_t part[P][8];
        for (auto& pair : part)
            for (int32x4_t& p : pair) p = vdupq_n_s32(0);
        for (int n = 0; n < GROUP / 4; n += 2) {
            const Bytes even = Bits::at(w + ROWS * 2, n, half), odd = Bits::at(w + ROWS * 2, n + 1, half);
            int8x16_t rows[8];  // two rows of eight columns each
            for (int i = 0; i < 4; ++i) {
                const int32x4_t a = vreinterpretq_s32_s8(even.v[i]), b = vreinterpretq_s32_s8(odd.v[i]);
                rows[2 * i] = vreinterpretq_s8_s32(vzip1q_s32(a, b));
                rows[2 * i + 1] = vreinterpretq_s8_s32(vzip2q_s32(a, b));
            }
            for (int p = 0; p < P; ++p) {
                const int8_t* at = q + size_t(2 * p) * columns + g * GROUP + n * 4;
                const int8x16_t tokens = vcombine_s8(vld1_s8(at), vld1_s8(at + columns));
                for (int r = 0; r < 8; ++r) part[p][r] = vmmlaq_s32(part[p][r], rows[r], tokens);
            }
        }
        const Floats scales = load_half(reinterpret_cast<const uint16_t*>(w) + half * 16);
        for (int m = 0; m < 2 * P; ++m) {
            Ints whole;
            for (int i = 0; i < 4; ++i) {
                const int32x4_t a = part[m / 2][2 * i], b = part[m / 2][2 * i + 1];
                whole.v[i] = m % 2 ? vuzp2q_s32(a, b) : vuzp1q_s32(a, b);
            }
            sums[m] = fma(mul(to_float(whole), scales), spread(scale[size_t(m) * groups + g]), sums[m]);
        }
    }
    for (int m = 0; m < 2 * P; ++m) store(out + m * ROWS + half * 16, sums[m]);
}

template <class Bits>
void product_of(const Matrix& w, int block, const Inputs& in, int first, int tokens, float* out) {
    int t = 0;
    for (; tokens - t >= 2; t += 2)
        for (int half = 0; half < 2; ++half)
            pairs<Bits, 1>(w.block(block), w.columns, in, first + t, out + size_t(t) * ROWS, half);
    if (t < tokens) product(w, block, in, first + t, 1, out + size_t(t) * ROWS);
}

inline void product_by_pairs(const Matrix& w, int block, const Inputs& in, int first, int tokens, float* out) {
    switch (w.kind) {
        case Kind::q8: return product_of<Eight>(w, block, in, first, tokens, out);
        case Kind::q4: return product_of<Four>(w, block, in, first, tokens, out);
        default: return product(w, block, in, first, tokens, out);
    }
}

}  // namespace mirim::i8mm

namespace mirim {
const Kernels* kernels_i8mm() {
    static const Kernels kernels = [] {
        Kernels k = i8mm::table;
        k.product = i8mm::product_by_pairs;
        return k;
    }();
    return &kernels;
}
}  // namespace mirim
