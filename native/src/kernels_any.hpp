// The kernels, written once over the lanes of vec.hpp. Included by one file for each instruction set.
#pragma once

#include <algorithm>

#include "kernels.hpp"
#include "vec.hpp"

namespace mirim::VEC_NAME {

// Tokens and halves of a block (16 rows each), and queries of attention, whose sums stay in registers.
#if defined(VEC_AVX512)
constexpr int TOKENS = 6, HALVES = 2, TOGETHER = 8;
#elif defined(VEC_NEON)
constexpr int TOKENS = 3, HALVES = 1, TOGETHER = 4;
#else
constexpr int TOKENS = 2, HALVES = 1, TOGETHER = 4;
#endif

// Bytes between what is computed and what is asked for.
constexpr int AHEAD = 8192;

inline void prefetch(const void* p) {
#if defined(__GNUC__)
    __builtin_prefetch(p, 0, 3);
#else
    (void)p;
#endif
}

struct LoadFloat {
    static constexpr int width = 4;
    static Floats at(const uint8_t* p) { return load(reinterpret_cast<const float*>(p)); }
};
struct LoadHalf {
    static constexpr int width = 2;
    static Floats at(const uint8_t* p) { return load_half(reinterpret_cast<const uint16_t*>(p)); }
};
struct LoadBfloat {
    static constexpr int width = 2;
    static Floats at(const uint8_t* p) { return load_bfloat(reinterpret_cast<const uint16_t*>(p)); }
};

// Columns go in turn to two sums, which are added at the end: half the waiting for the last product.
template <class Load, int M>
void float_tile(const uint8_t* w, int columns, const float* x, float* out) {
    for (int half = 0; half < 2; ++half) {
        Floats even[M], odd[M];
        for (int m = 0; m < M; ++m) even[m] = odd[m] = spread(0.0f);
        const uint8_t* p = w + half * 16 * Load::width;
        int c = 0;
        for (; c + 1 < columns; c += 2, p += 2 * ROWS * Load::width) {
            Floats a = Load::at(p), b = Load::at(p + ROWS * Load::width);
            for (int m = 0; m < M; ++m) {
                even[m] = fma(a, spread(x[size_t(m) * columns + c]), even[m]);
                odd[m] = fma(b, spread(x[size_t(m) * columns + c + 1]), odd[m]);
            }
        }
        if (c < columns) {
            Floats a = Load::at(p);
            for (int m = 0; m < M; ++m) even[m] = fma(a, spread(x[size_t(m) * columns + c]), even[m]);
        }
        for (int m = 0; m < M; ++m) store(out + m * ROWS + half * 16, add(even[m], odd[m]));
    }
}

struct Eight {
    static constexpr int zero = 128, bytes = ROWS * GROUP;
    // Quad `n` of rows `half`.
    static Bytes at(const uint8_t* p, int n, int half) { return bytes8(p + (n * 2 + half) * 64); }
};
struct Four {
    static constexpr int zero = 8, bytes = ROWS * GROUP / 2;
    static Bytes at(const uint8_t* p, int n, int half) {
        const uint8_t* line = p + (n / 2 * 2 + half) * 64;
        return n & 1 ? high4(line) : low4(line);
    }
};

template <class Bits, int M, int H>
void quantised_half(const uint8_t* w, int columns, const Inputs& in, int first, float* out, int start) {
    const int groups = columns / GROUP;
    const int8_t* q = in.q + size_t(first) * columns;
    const float* scale = in.scale + size_t(first) * groups;
    const int32_t* total = in.total + size_t(first) * groups;
    Floats sums[M][H];
    for (int m = 0; m < M; ++m)
        for (int h = 0; h < H; ++h) sums[m][h] = spread(0.0f);
    for (int g = 0; g < groups; ++g, w += ROWS * 2 + Bits::bytes) {
        Ints part[M][H];
        for (int m = 0; m < M; ++m)
            for (int h = 0; h < H; ++h)
                part[m][h] = spread_int(CORRECTED ? -Bits::zero * total[size_t(m) * groups + g] : 0);
        const uint8_t* body = w + ROWS * 2;
        // For few tokens the weights come from memory as fast as they can be asked for.
        constexpr bool ahead = M <= 4;
        if (ahead) prefetch(w + AHEAD + Bits::bytes);
#if defined(__GNUC__)
#pragma GCC unroll 8
#endif
        for (int n = 0; n < GROUP / 4; ++n) {
            Bytes rows[H];
            for (int h = 0; h < H; ++h) rows[h] = Bits::at(body, n, start + h);
            if (ahead && n * 128 < Bits::bytes) {
                prefetch(body + AHEAD + n * 128);
                prefetch(body + AHEAD + n * 128 + 64);
            }
            for (int m = 0; m < M; ++m)
                for (int h = 0; h < H; ++h)
                    part[m][h] = dot(part[m][h], rows[h], q + size_t(m) * columns + g * GROUP + n * 4);
        }
        Floats scales[H];
        for (int h = 0; h < H; ++h) scales[h] = load_half(reinterpret_cast<const uint16_t*>(w) + (start + h) * 16);
        for (int m = 0; m < M; ++m) {
            Floats token = spread(scale[size_t(m) * groups + g]);
            for (int h = 0; h < H; ++h) sums[m][h] = fma(mul(to_float(part[m][h]), scales[h]), token, sums[m][h]);
        }
    }
    for (int m = 0; m < M; ++m)
        for (int h = 0; h < H; ++h) store(out + m * ROWS + (start + h) * 16, sums[m][h]);
}

template <int M>
void tile(const Matrix& w, int block, const Inputs& in, int first, float* out) {
    const uint8_t* p = w.block(block);
    const float* x = in.x + size_t(first) * w.columns;
    switch (w.kind) {
        case Kind::f32: return float_tile<LoadFloat, M>(p, w.columns, x, out);
        case Kind::f16: return float_tile<LoadHalf, M>(p, w.columns, x, out);
        case Kind::bf16: return float_tile<LoadBfloat, M>(p, w.columns, x, out);
        case Kind::q8:
            for (int h = 0; h < 2; h += HALVES) quantised_half<Eight, M, HALVES>(p, w.columns, in, first, out, h);
            return;
        case Kind::q4:
            for (int h = 0; h < 2; h += HALVES) quantised_half<Four, M, HALVES>(p, w.columns, in, first, out, h);
            return;
    }
}

inline void product(const Matrix& w, int block, const Inputs& in, int first, int tokens, float* out) {
    // Tiles of nearly equal size: 7 tokens are 4 + 3, not 6 + 1.
    int tiles = (tokens + TOKENS - 1) / TOKENS;
    for (int n = 0; n < tiles; ++n) {
        int from = tokens * n / tiles, count = tokens * (n + 1) / tiles - from;
        float* o = out + size_t(from) * ROWS;
        switch (count) {
            case 1: tile<1>(w, block, in, first + from, o); break;
            case 2: tile<2>(w, block, in, first + from, o); break;
#if defined(VEC_AVX512) || defined(VEC_NEON)
            case 3: tile<3>(w, block, in, first + from, o); break;
#endif
#if defined(VEC_AVX512)
            case 4: tile<4>(w, block, in, first + from, o); break;
            case 5: tile<5>(w, block, in, first + from, o); break;
            case 6: tile<6>(w, block, in, first + from, o); break;
#endif
        }
    }
}

// x / rms(x) * weight; what is left after the last 16 goes to a padded vector of its own.
inline void norm(const float* x, const float* weight, int size, float epsilon, float* out) {
    Floats sums = spread(0.0f);
    int whole = size / 16 * 16;
    for (int i = 0; i < whole; i += 16) {
        Floats v = load(x + i);
        sums = fma(v, v, sums);
    }
    if (whole < size) {
        float rest[16] = {};
        std::copy(x + whole, x + size, rest);
        Floats v = load(rest);
        sums = fma(v, v, sums);
    }
    float factor = 1.0f / std::sqrt(sum(sums) / float(size) + epsilon);
    Floats by = spread(factor);
    for (int i = 0; i < whole; i += 16) store(out + i, mul(mul(load(x + i), by), load(weight + i)));
    for (int i = whole; i < size; ++i) out[i] = x[i] * factor * weight[i];
}

inline void quantise(const float* x, int size, int8_t* q, float* scale, int32_t* total) {
    for (int g = 0; g < size / GROUP; ++g) {
        Floats a = load(x + g * GROUP), b = load(x + g * GROUP + 16);
        float most = largest(larger(magnitude(a), magnitude(b)));
        // What is not finite must not become an index out of range; it stays wrong, and is seen in the logits.
        bool sound = most > 0.0f && most < 3e38f;
        scale[g] = sound ? most / 127.0f : (most > 0.0f ? most : 0.0f);
        Floats by = spread(sound ? 127.0f / most : 0.0f);
        Ints qa = nearest(mul(a, by)), qb = nearest(mul(b, by));
        if (!sound) qa = qb = spread_int(0);
        store_bytes(q + g * GROUP, qa);
        store_bytes(q + g * GROUP + 16, qb);
        total[g] = sum_int(qa) + sum_int(qb);
    }
}

inline void silu_times(float* gate, const float* up, int size) {
    Floats zero = spread(0.0f), one = spread(1.0f);
    for (int i = 0; i < size; i += 16) {
        Floats g = load(gate + i);
        store(gate + i, mul(div(g, add(one, exponential(sub(zero, g)))), load(up + i)));
    }
}

// The tanh form: 0.5 x (1 + tanh(z)) = x / (1 + e^(-2 z)), z = sqrt(2 / pi) (x + 0.044715 x^3).
inline void gelu_times(float* gate, const float* up, int size) {
    Floats one = spread(1.0f), cubic = spread(0.044715f), factor = spread(-1.5957691216057308f);
    for (int i = 0; i < size; i += 16) {
        Floats g = load(gate + i);
        Floats z = mul(fma(mul(mul(g, g), g), cubic, g), factor);
        store(gate + i, mul(div(g, add(one, exponential(z))), load(up + i)));
    }
}

// `at`: the first of the N queries.
template <class Load, int N>
void attend_to(const Attention& a, int at) {
    alignas(64) float scores[N][PIECE];
    const int size = a.size, width = Load::width, tokens = a.tokens;
    const int strips = (tokens + 15) / 16;
    const float* query[N];
    int visible[N], least = tokens;
    for (int n = 0; n < N; ++n) {
        query[n] = a.query[at + n];
        visible[n] = a.visible[at + n];
        least = std::min(least, visible[n]);
    }
    const size_t values = size_t(PAGE) * size * width;
    for (int s = 0; s < strips; ++s) {
        const uint8_t* keys = a.pages[s * 16 / PAGE] + size_t(s * 16 % PAGE) * size * width;
        Floats even[N], odd[N];
        for (int n = 0; n < N; ++n) even[n] = odd[n] = spread(0.0f);
        for (int d = 0; d < size; d += 2) {
            const uint8_t* line = keys + size_t(d) * 16 * width;
            Floats k0 = Load::at(line), k1 = Load::at(line + 16 * width);
            // Few queries wait for memory: the next keys, and the values of these tokens, lie as far ahead as these.
            if (N <= 4) {
                prefetch(line + size_t(16) * size * width);
                prefetch(line + values);
            }
            for (int n = 0; n < N; ++n) {
                even[n] = fma(k0, spread(query[n][d]), even[n]);
                odd[n] = fma(k1, spread(query[n][d + 1]), odd[n]);
            }
        }
        for (int n = 0; n < N; ++n) store(scores[n] + s * 16, add(even[n], odd[n]));
    }
    for (int n = 0; n < N; ++n) {
        for (int t = visible[n]; t < strips * 16; ++t) scores[n][t] = -3e38f;
        Floats most = spread(-3e38f);
        for (int s = 0; s < strips; ++s) most = larger(most, load(scores[n] + s * 16));
        a.most[at + n] = largest(most);
        Floats top = spread(a.most[at + n]), sums = spread(0.0f);
        for (int s = 0; s < strips; ++s) store(scores[n] + s * 16, exponential(sub(load(scores[n] + s * 16), top)));
        for (int t = visible[n]; t < strips * 16; ++t) scores[n][t] = 0.0f;
        for (int s = 0; s < strips; ++s) sums = add(sums, load(scores[n] + s * 16));
        a.weight[at + n] = sum(sums);
    }
    for (int d = 0; d < size; d += 32) {
        const bool two = d + 16 < size;
        Floats first[N], second[N];
        for (int n = 0; n < N; ++n) first[n] = second[n] = spread(0.0f);
        for (int t = 0; t < least; ++t) {
            const uint8_t* row = a.pages[t / PAGE] + values + (size_t(t % PAGE) * size + d) * width;
            Floats v0 = Load::at(row), v1 = two ? Load::at(row + 16 * width) : v0;
            for (int n = 0; n < N; ++n) {
                Floats p = spread(scores[n][t]);
                first[n] = fma(p, v0, first[n]);
                second[n] = fma(p, v1, second[n]);
            }
        }
        // What a query does not see may hold anything, even what is no number.
        for (int t = least; t < tokens; ++t) {
            const uint8_t* row = a.pages[t / PAGE] + values + (size_t(t % PAGE) * size + d) * width;
            Floats v0 = Load::at(row), v1 = two ? Load::at(row + 16 * width) : v0;
            for (int n = 0; n < N; ++n) {
                if (t >= visible[n]) continue;
                Floats p = spread(scores[n][t]);
                first[n] = fma(p, v0, first[n]);
                second[n] = fma(p, v1, second[n]);
            }
        }
        for (int n = 0; n < N; ++n) {
            store(a.out[at + n] + d, first[n]);
            if (two) store(a.out[at + n] + d + 16, second[n]);
        }
    }
}

template <class Load>
void attend_by(const Attention& a) {
    for (int at = 0; at < a.count; at += TOGETHER) {
        switch (std::min(TOGETHER, a.count - at)) {
            case 1: attend_to<Load, 1>(a, at); break;
            case 2: attend_to<Load, 2>(a, at); break;
            case 3: attend_to<Load, 3>(a, at); break;
            case 4: attend_to<Load, 4>(a, at); break;
#if defined(VEC_AVX512)
            case 5: attend_to<Load, 5>(a, at); break;
            case 6: attend_to<Load, 6>(a, at); break;
            case 7: attend_to<Load, 7>(a, at); break;
            case 8: attend_to<Load, 8>(a, at); break;
#endif
        }
    }
}

inline void attend(const Attention& a) { a.half ? attend_by<LoadHalf>(a) : attend_by<LoadFloat>(a); }

inline void join(float* most, float* weight, float* out, float most2, float weight2, const float* out2, int size) {
    float top = std::max(*most, most2);
    alignas(64) float both[16] = {};
    both[0] = *most - top;
    both[1] = most2 - top;
    store(both, exponential(load(both)));
    *weight = std::fma(*weight, both[0], weight2 * both[1]);
    *most = top;
    Floats a = spread(both[0]), b = spread(both[1]);
    for (int i = 0; i < size; i += 16) store(out + i, fma(load(out + i), a, mul(load(out2 + i), b)));
}

inline void divide(float* x, float by, int size) {
    Floats d = spread(by);
    for (int i = 0; i < size; i += 16) store(x + i, div(load(x + i), d));
}

// Keys: strips of 16 tokens, [size][16]. Values: [token][size].
inline void store_key(const float* k, int size, int slot, bool half, uint8_t* keys) {
    size_t at = size_t(slot / 16) * 16 * size + slot % 16;
    if (!half) {
        float* to = reinterpret_cast<float*>(keys) + at;
        for (int d = 0; d < size; ++d) to[size_t(d) * 16] = k[d];
        return;
    }
    uint16_t* to = reinterpret_cast<uint16_t*>(keys) + at;
    for (int d = 0; d < size; d += 16) {
        uint16_t narrow[16];
        store_half(narrow, load(k + d));
        for (int i = 0; i < 16; ++i) to[size_t(d + i) * 16] = narrow[i];
    }
}

inline void store_value(const float* v, int size, int slot, bool half, uint8_t* values) {
    if (!half) {
        std::memcpy(values + size_t(slot) * size * 4, v, size_t(size) * 4);
        return;
    }
    uint16_t* to = reinterpret_cast<uint16_t*>(values) + size_t(slot) * size;
    for (int d = 0; d < size; d += 16) store_half(to + d, load(v + d));
}

inline const Kernels table{VEC_LABEL, product, norm, quantise, silu_times, gelu_times,
                           attend, join, divide, store_key, store_value};

}  // namespace mirim::VEC_NAME
