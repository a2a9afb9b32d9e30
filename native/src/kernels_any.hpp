// The kernels, written once over the lanes of vec.hpp. Included by one file for each instruction set.
#pragma once

#include <algorithm>
#include <type_traits>

#include "kernels.hpp"
#include "vec.hpp"

namespace mirim::VEC_NAME {

// Tokens, queries of attention, and sums of 16 floats in all, that stay in registers.
#if defined(VEC_AVX512)
constexpr int TOKENS = 6, TOGETHER = 8, SUMS = 16;
#else
constexpr int TOKENS = 3, TOGETHER = 6, SUMS = 6;
#endif
// Halves of a block, 16 rows each, whose sums do so for M tokens. Memory gives most where all of it is read in turn.
template <int M>
constexpr int HALVES = SUMS == 16 || M == 1 ? 2 : 1;

// Memory that is read in long runs AMD's processors with AVX512 (Zen 4 measured) foresee, and lose by being asked for.
// Without AVX512 asking gains there too (Zen 1 and the AVX2 kernels on Zen 4 measured).
inline bool asks() {
#if defined(VEC_AVX512)
    static const bool gains = !__builtin_cpu_is("amd");
    return gains;
#else
    return true;
#endif
}

// Of eight-bit weights in memory, tiles of tokens up to which that is so; further ones leave it the time to be asked.
constexpr int FORESEEN = 3;

// Bytes between what is computed and what is asked for; and, of eight-bit weights in memory and for one token, for the
// second cache, where else they are foreseen (four times as much loses, and so does it for more tokens; Zen 4).
constexpr int AHEAD = 8192, SECOND = 2048;

// Bytes of weights that the first cache keeps beside what is computed with them.
constexpr size_t RESIDENT = 26 << 10;

// Into every cache (3), or from the second on (2).
template <int CACHES = 3>
void prefetch(const void* p) {
#if defined(__GNUC__)
    __builtin_prefetch(p, 0, CACHES);
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
    static constexpr int bytes = ROWS * GROUP;
    // Quad `n` of rows `half`.
    static Bytes at(const uint8_t* p, int n, int half) { return bytes8(p + (n * 2 + half) * 64); }
    static Scales scales(const uint16_t* p) { return scales8(p); }
    static Ints begin(const int32_t* at) { return start(at); }
    static Ints end(Ints sum, const int32_t*) { return sum; }
};
struct Four {
    static constexpr int bytes = ROWS * GROUP / 2;
    static auto at(const uint8_t* p, int n, int half) {
        const uint8_t* line = p + (n / 2 * 2 + half) * 64;
        return n & 1 ? high4(line) : low4(line);
    }
    static Scales scales(const uint16_t* p) { return scales4(p); }
    static auto begin(const int32_t* at) { return start4(at); }
    template <class Sum>
    static Ints end(Sum sum, const int32_t* at) { return end4(sum, at); }
};

// What is asked for while a tile is computed: with each group so many lines from `at`, which goes on by `step` bytes; and
// what the group has in the next block of weights, `also` bytes away, unless that is 0.
struct Ask {
    const uint8_t* at;
    size_t step;
    int lines;
    ptrdiff_t also;
};

// Where there is one tile of tokens only, weights come from memory as fast as they can be asked for, a fixed distance
// AHEAD, or as the processor foresees them, ALONE, or with its SECOND cache asked for. Where there are more, each tile ASKs
// for a share of what comes next.
enum class Way { ahead, alone, second, ask };

// Tokens' sums lie `apart`.
template <class Bits, int M, int H, Way WAY>
void quantised_half(const uint8_t* w, int columns, int from, int to, const Inputs& in, int first, float* out, int apart,
                    int half, Ask ask) {
    const int groups = columns / GROUP;
    const int8_t* q = in.q + size_t(first) * columns;
    const float* scale = in.scale + size_t(first) * groups;
    const int32_t* begin = in.start + size_t(first) * groups;
    Floats sums[M][H];
    for (int m = 0; m < M; ++m)
        for (int h = 0; h < H; ++h) sums[m][h] = from ? load(out + m * apart + (half + h) * 16) : spread(0.0f);
    w += size_t(from) * (ROWS * 2 + Bits::bytes);
    for (int g = from; g < to; ++g, w += ROWS * 2 + Bits::bytes) {
        decltype(Bits::begin(begin)) part[M][H];
        for (int m = 0; m < M; ++m)
            for (int h = 0; h < H; ++h) part[m][h] = Bits::begin(begin + size_t(m) * groups + g);
        // Half's offset once, so that all others are known when this is compiled.
        const uint8_t* body = w + ROWS * 2 + half * 64;
        const uint16_t* steps = reinterpret_cast<const uint16_t*>(w) + half * 16;
        if (WAY == Way::ahead) prefetch(w + AHEAD + Bits::bytes);
        if (WAY == Way::second) prefetch<2>(w + SECOND + Bits::bytes);
        for (int n = 0; WAY == Way::ask && n < ask.lines; ++n) prefetch(ask.at + n * LINE);
        if (WAY == Way::ask && ask.also)
            for (size_t n = 0; n < ROWS * 2 + Bits::bytes; n += LINE) prefetch(w + ask.also + n);
        ask.at += ask.step;
#if defined(__GNUC__)
#pragma GCC unroll 8
#endif
        for (int n = 0; n < GROUP / 4; ++n) {
            decltype(Bits::at(body, n, 0)) rows[H];
            for (int h = 0; h < H; ++h) rows[h] = Bits::at(body, n, h);
            if (WAY == Way::ahead && n * 128 < Bits::bytes) {
                prefetch(body + AHEAD + n * 128);
                prefetch(body + AHEAD + n * 128 + 64);
            }
            if (WAY == Way::second && n * 128 < Bits::bytes) {
                prefetch<2>(body + SECOND + n * 128);
                prefetch<2>(body + SECOND + n * 128 + 64);
            }
            for (int m = 0; m < M; ++m)
                for (int h = 0; h < H; ++h)
                    part[m][h] = dot(part[m][h], rows[h], q + size_t(m) * columns + g * GROUP + n * 4);
        }
        Scales scales[H];
        for (int h = 0; h < H; ++h) scales[h] = Bits::scales(steps + h * 16);
        for (int m = 0; m < M; ++m) {
            Floats token = spread(scale[size_t(m) * groups + g]);
            for (int h = 0; h < H; ++h) {
                const Ints whole = Bits::end(part[m][h], begin + size_t(m) * groups + g);
                sums[m][h] = fma(scaled(whole, scales[h]), token, sums[m][h]);
            }
        }
    }
    for (int m = 0; m < M; ++m)
        for (int h = 0; h < H; ++h) store(out + m * apart + (half + h) * 16, sums[m][h]);
}

template <class Bits, int M>
void quantised_tile(const Matrix& w, const uint8_t* p, int from, int to, const Inputs& in, int first, float* out) {
    const int tiles = (in.tokens + TOKENS - 1) / TOKENS, group = ROWS * 2 + Bits::bytes;
    constexpr int H = HALVES<M>;
    const bool alone = !asks() && tiles <= (Bits::bytes == Eight::bytes && w.far ? FORESEEN : 1);
    for (int h = 0; h < 2; h += H) {
        if (alone || tiles <= 1) {
            auto* half = !alone ? quantised_half<Bits, M, H, Way::ahead> : quantised_half<Bits, M, H, Way::alone>;
            if constexpr (M == 1 && Bits::bytes == Eight::bytes)
                if (alone && tiles == 1 && w.far) half = quantised_half<Bits, M, H, Way::second>;
            half(p, w.columns, from, to, in, first, out, ROWS, h, {});
            continue;
        }
        // Every tile asks for its share of the next block.
        const int lines = (group / int(LINE) + tiles - 1) / tiles;
        const uint8_t* share = p + w.step() + size_t(from) * group + size_t(first / TOKENS) * lines * LINE;
        quantised_half<Bits, M, H, Way::ask>(p, w.columns, from, to, in, first, out, ROWS, h, {share, size_t(group), lines, 0});
    }
}

// `from` and `to`: groups of columns, which only weights in whole numbers have.
template <int M>
void tile(const Matrix& w, int block, int from, int to, const Inputs& in, int first, float* out) {
    const uint8_t* p = w.block(block);
    const float* x = in.x + size_t(first) * w.columns;
    switch (w.kind) {
        case Kind::f32: return float_tile<LoadFloat, M>(p, w.columns, x, out);
        case Kind::f16: return float_tile<LoadHalf, M>(p, w.columns, x, out);
        case Kind::bf16: return float_tile<LoadBfloat, M>(p, w.columns, x, out);
        case Kind::q8: return quantised_tile<Eight, M>(w, p, from, to, in, first, out);
        case Kind::q4: return quantised_tile<Four, M>(w, p, from, to, in, first, out);
    }
}

inline void product(const Matrix& w, int block, const Inputs& in, int first, int tokens, float* out) {
    // Tiles of nearly equal size: 7 tokens are 4 + 3, not 6 + 1.
    const int tiles = (tokens + TOKENS - 1) / TOKENS;
    // What several tiles read stays in the first cache: columns go by so many groups, and sums wait in `out`.
    const int groups = w.quantised() ? w.columns / GROUP : 1;
    const int parts = tiles > 1 && w.quantised() ? int((w.block_bytes() + RESIDENT - 1) / RESIDENT) : 1;
    for (int part = 0; part < parts; ++part) {
        const int low = groups * part / parts, high = groups * (part + 1) / parts;
        for (int n = 0; n < tiles; ++n) {
            int from = tokens * n / tiles, count = tokens * (n + 1) / tiles - from;
            float* o = out + size_t(from) * ROWS;
            switch (count) {
                case 1: tile<1>(w, block, low, high, in, first + from, o); break;
                case 2: tile<2>(w, block, low, high, in, first + from, o); break;
                case 3: tile<3>(w, block, low, high, in, first + from, o); break;
#if defined(VEC_AVX512)
                case 4: tile<4>(w, block, low, high, in, first + from, o); break;
                case 5: tile<5>(w, block, low, high, in, first + from, o); break;
                case 6: tile<6>(w, block, low, high, in, first + from, o); break;
#endif
            }
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

inline void quantise(const float* x, int size, int8_t* q, float* scale, int32_t* start) {
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
        // Unsigned: what is no number may give any sum, and must not overflow.
        start[g] = int32_t(uint32_t(WHOLE) - 128u * uint32_t(sum_int(add(qa, qb))));
    }
}

inline void accumulate(float* x, const float* made, const float* bias, float by, int size) {
    Floats times = spread(by);
    int i = 0;
    for (; i + 16 <= size; i += 16) {
        Floats v = load(made + i);
        if (bias) v = add(v, load(bias + i));
        store(x + i, fma(v, times, load(x + i)));
    }
    for (; i < size; ++i) x[i] = std::fma(bias ? made[i] + bias[i] : made[i], by, x[i]);
}

inline void rotate(float* x, const float* cosines, const float* sines, int pairs, bool neighbours) {
    if (neighbours) {
        for (int i = 0; i < 2 * pairs; i += 16) {
            Floats v = load(x + i);
            store(x + i, fma(swapped<1>(v), load(sines + i), mul(v, load(cosines + i))));
        }
        return;
    }
    int i = 0;
    for (; i + 16 <= pairs; i += 16) {
        Floats a = load(x + i), b = load(x + pairs + i);
        store(x + i, fma(b, load(sines + i), mul(a, load(cosines + i))));
        store(x + pairs + i, fma(a, load(sines + pairs + i), mul(b, load(cosines + pairs + i))));
    }
    for (; i < pairs; ++i) {
        float a = x[i], b = x[pairs + i];
        x[i] = std::fma(b, sines[i], a * cosines[i]);
        x[pairs + i] = std::fma(a, sines[pairs + i], b * cosines[pairs + i]);
    }
}

// Sums and differences of lanes that lie `By` apart.
template <int By>
Floats crossed(Floats x) {
    alignas(64) float side[16];
    for (int i = 0; i < 16; ++i) side[i] = i & By ? -1.0f : 1.0f;
    return fma(x, load(side), swapped<By>(x));
}

inline void hadamard(float* x, int size) {
    const int block = size & -size;
    for (int i = 0; i < size; i += 16)
        store(x + i, crossed<1>(crossed<2>(crossed<4>(crossed<8>(load(x + i))))));
    for (int half = 16; half < block; half *= 2)
        for (int from = 0; from < size; from += 2 * half)
            for (int i = from; i < from + half; i += 16) {
                const Floats a = load(x + i), b = load(x + i + half);
                store(x + i, add(a, b));
                store(x + i + half, sub(a, b));
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

inline void layer_norm(float* x, const float* weight, const float* bias, int size, float epsilon) {
    Floats sums = spread(0.0f);
    for (int i = 0; i < size; i += 16) sums = add(sums, load(x + i));
    const Floats mean = spread(sum(sums) / float(size));
    sums = spread(0.0f);
    for (int i = 0; i < size; i += 16) {
        Floats v = sub(load(x + i), mean);
        sums = fma(v, v, sums);
    }
    const Floats by = spread(1.0f / std::sqrt(sum(sums) / float(size) + epsilon));
    for (int i = 0; i < size; i += 16)
        store(x + i, fma(mul(sub(load(x + i), mean), by), load(weight + i), load(bias + i)));
}

inline void shift(float* made, const float* bias, float by, int tokens) {
    const Floats a = load(bias), b = load(bias + 16), times = spread(by);
    for (float* end = made + size_t(tokens) * ROWS; made < end; made += ROWS) {
        store(made, mul(add(load(made), a), times));
        store(made + 16, mul(add(load(made + 16), b), times));
    }
}

inline void add_rows(float* x, int stride, const float* made, const float* bias, int tokens) {
    const Floats a = load(bias), b = load(bias + 16);
    for (const float* end = made + size_t(tokens) * ROWS; made < end; made += ROWS, x += stride) {
        store(x, add(load(x), add(load(made), a)));
        store(x + 16, add(load(x + 16), add(load(made + 16), b)));
    }
}

// x (0.5 + 0.5 erf(x / sqrt 2)), the second half as x times a polynomial of x^2 (Chebyshev's for |x| <= 5.5, beyond
// which the sum is 1 or 0): no division, and off by less than 1e-6.
inline Floats exact_gelu(Floats x) {
    constexpr float parts[] = {
        6.267166464e-04f, -1.425138209e-03f, 7.429543766e-04f, -1.061182120e-03f, 4.582318943e-03f,
        -7.866469212e-03f, 1.026016101e-02f, -1.456736680e-02f, 2.035137638e-02f, -2.613957226e-02f,
        3.207276389e-02f, -3.878428414e-02f, 4.773745313e-02f, -6.417256594e-02f, 1.285519302e-01f};
    const Floats c = smaller(larger(x, spread(-5.5f)), spread(5.5f));
    const Floats u = fma(mul(c, c), spread(2.0f / (5.5f * 5.5f)), spread(-1.0f));
    Floats p = spread(parts[0]);
    for (int i = 1; i < 15; ++i) p = fma(p, u, spread(parts[i]));
    return mul(x, fma(p, c, spread(0.5f)));
}

inline void gelu(float* made, const float* bias, int tokens) {
    const Floats a = load(bias), b = load(bias + 16);
    for (float* end = made + size_t(tokens) * ROWS; made < end; made += ROWS) {
        store(made, exact_gelu(add(load(made), a)));
        store(made + 16, exact_gelu(add(load(made + 16), b)));
    }
}

inline double weigh(const float* row, int size, float most, float by, float* weights) {
    const Floats top = spread(most), times = spread(by), least = exponential(spread(-87.0f));
    Floats seen = spread(0.0f);
    auto weight = [&](Floats x) { return sub(exponential(mul(sub(x, top), times)), least); };
    double total = 0;
    const int whole = size / 16 * 16;
    for (int i = 0; i < whole;) {
        // Sums of a few each, so that those of a large vocabulary lose nothing small.
        Floats sums = spread(0.0f);
        for (const int end = std::min(whole, i + 256); i < end; i += 16) {
            const Floats x = load(row + i), w = weight(x);
            // An exponential of what is no number may be one; a sum is none.
            seen = add(seen, x);
            sums = add(sums, w);
            if (weights) store(weights + i, w);
        }
        total += double(sum(sums));
    }
    if (whole < size) {
        float rest[16];
        std::fill(std::copy(row + whole, row + size, rest), rest + 16, -3e38f);
        const Floats x = load(rest), w = weight(x);
        seen = add(seen, x);
        total += double(sum(w));
        store(rest, w);
        if (weights) std::copy(rest, rest + size - whole, weights + whole);
    }
    const float all = sum(seen);
    return all == all ? total : double(all);
}

}  // namespace mirim::VEC_NAME

#include "attention_any.hpp"

namespace mirim::VEC_NAME {

inline const Kernels table{VEC_LABEL, asks, product, norm, quantise, accumulate, rotate, hadamard, silu_times,
                           gelu_times, attend, join, divide, store_key, store_value,
                           layer_norm, shift, gelu, add_rows, weigh};

}  // namespace mirim::VEC_NAME
