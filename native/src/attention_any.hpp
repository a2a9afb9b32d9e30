// Attention's kernels, over the same lanes; see kernels_any.hpp, which includes it.
#pragma once

namespace mirim::VEC_NAME {

// Scores of N queries with S strips of 16 keys.
template <int N, int S>
void score(const float* query, int columns, const float* keys, int size, float* scores) {
    Floats sums[N][S];
    for (int n = 0; n < N; ++n)
        for (int s = 0; s < S; ++s) sums[n][s] = spread(0.0f);
    for (int d = 0; d < size; ++d) {
        Floats k[S];
        for (int s = 0; s < S; ++s) k[s] = load(keys + (size_t(s) * size + d) * 16);
        for (int n = 0; n < N; ++n) {
            Floats q = spread(query[size_t(n) * columns + d]);
            for (int s = 0; s < S; ++s) sums[n][s] = fma(k[s], q, sums[n][s]);
        }
    }
#if defined(__GNUC__)
#pragma GCC unroll 8
#endif
    for (int n = 0; n < N; ++n)
        for (int s = 0; s < S; ++s) store(scores + n * PIECE + s * 16, sums[n][s]);
}

// Scores become weights, e^(score - most), in strips of 16 of which the last holds something visible. What is not visible
// counts as good as nothing, and the same for every query that sees as much.
template <int STRIPS>
void soften_strips(float* scores, int visible, float* most, float* weight) {
    Floats x[STRIPS], sums[STRIPS];
    for (int s = 0; s < STRIPS; ++s) x[s] = sums[s] = load(scores + s * 16);
    x[STRIPS - 1] = sums[STRIPS - 1] = first(x[STRIPS - 1], visible - (STRIPS - 1) * 16, -3e38f);
    // The tree of a whole piece, without the branches that would be nothing.
    for (int half = PIECE / 32; half; half /= 2)
        for (int s = 0; s < half && s + half < STRIPS; ++s) sums[s] = larger(sums[s], sums[s + half]);
    *most = largest(sums[0]);
    Floats top = spread(*most);
    for (int s = 0; s < STRIPS; ++s) {
        x[s] = sums[s] = exponential(sub(x[s], top));
        store(scores + s * 16, x[s]);
    }
    for (int half = PIECE / 32; half; half /= 2)
        for (int s = 0; s < half && s + half < STRIPS; ++s) sums[s] = add(sums[s], sums[s + half]);
    *weight = sum(sums[0]);
}

inline void soften(float* scores, int visible, float* most, float* weight) {
    static_assert(PIECE == 128);
    switch ((visible + 15) / 16) {
        case 1: return soften_strips<1>(scores, visible, most, weight);
        case 2: return soften_strips<2>(scores, visible, most, weight);
        case 3: return soften_strips<3>(scores, visible, most, weight);
        case 4: return soften_strips<4>(scores, visible, most, weight);
        case 5: return soften_strips<5>(scores, visible, most, weight);
        case 6: return soften_strips<6>(scores, visible, most, weight);
        case 7: return soften_strips<7>(scores, visible, most, weight);
        default: return soften_strips<8>(scores, visible, most, weight);
    }
}

// Sums of N queries over 16 x D columns of values, whose rows are found by `row`.
template <class Load, int N, int D, class Row, class Meanwhile>
void mix(const float (*scores)[PIECE], const int* visible, float* const* out, int at, Row row, Meanwhile meanwhile) {
    Floats sums[N][D];
    int least = visible[0], last = 0;
    for (int n = 0; n < N; ++n) {
        least = std::min(least, visible[n]);
        last = std::max(last, visible[n]);
        for (int d = 0; d < D; ++d) sums[n][d] = spread(0.0f);
    }
    auto add_token = [&](int t, auto seen) {
        const uint8_t* from = row(t);
        meanwhile(t);
        Floats v[D];
        for (int d = 0; d < D; ++d) v[d] = Load::at(from + d * 16 * Load::width);
        for (int n = 0; n < N; ++n) {
            if (!seen(n)) continue;
            Floats p = spread(scores[n][t]);
            for (int d = 0; d < D; ++d) sums[n][d] = fma(p, v[d], sums[n][d]);
        }
    };
    for (int t = 0; t < least; ++t) add_token(t, [](int) { return true; });
    // What a query does not see may hold anything, even what is no number.
    for (int t = least; t < last; ++t) add_token(t, [&](int n) { return t < visible[n]; });
    for (int n = 0; n < N; ++n)
        for (int d = 0; d < D; ++d) store(out[n] + at + d * 16, sums[n][d]);
}

// Call `work` with a constant n, 1 to TOGETHER.
template <class Work>
void times(int n, Work work) {
    switch (n) {
        case 1: return work(std::integral_constant<int, 1>());
        case 2: return work(std::integral_constant<int, 2>());
        case 3: return work(std::integral_constant<int, 3>());
        case 4: return work(std::integral_constant<int, 4>());
        case 5: return work(std::integral_constant<int, 5>());
        case 6: return work(std::integral_constant<int, 6>());
#if defined(VEC_AVX512)
        case 7: return work(std::integral_constant<int, 7>());
        case 8: return work(std::integral_constant<int, 8>());
#endif
    }
}

// Bytes of a page attended next that are asked for while scores are made; the rest is while values are. Memory is busy more
// evenly with half of them (AVX2 on Zen 3: writes 135 M after 1,900 tokens 5 to 10 % faster, with all of them no faster
// than with none). Not measured with other instruction sets, AVX-VNNI among them, nor needed for attention in floats.
inline size_t early(const Cell& cell) {
#if defined(VEC_AVX2) && !defined(VEC_AVXVNNI)
    const size_t turns = size_t(cell.columns() / GROUP) * 2 * LINE;
    return cell.narrow ? cell.bytes() / 2 / turns * turns : 0;
#else
    (void)cell;
    return 0;
#endif
}

// Scores of all queries with every key of the piece that anybody sees.
inline void score_all(const Attention& a, float (*scores)[PIECE]) {
    const Cell& cell = a.cell;
    for (int t = 0; t < a.tokens; t += PAGE) {
        const uint8_t* keys = a.pages[t / PAGE];
        if (!cell.narrow) {
            for (int n = 0; n < a.count; n += TOGETHER)
                times(std::min(TOGETHER, a.count - n), [&](auto many) {
                    constexpr int strips = many * 2 <= SUMS ? 2 : 1;
                    for (int s = 0; s < PAGE; s += strips * 16)
                        score<many, strips>(a.query.x + size_t(a.first + n) * a.query.columns, a.query.columns,
                                            reinterpret_cast<const float*>(keys) + size_t(s) * cell.size, cell.size,
                                            scores[n] + t + s);
                });
            continue;
        }
        // The values of the page and the keys of the next are asked for with its keys, unless they were before.
        const int groups = cell.columns() / GROUP, lines = int(cell.values() / LINE) / groups;
        const ptrdiff_t later = t + PAGE < a.tokens ? a.pages[t / PAGE + 1] - keys : 0;
        const uint8_t* next = a.later && early(cell) ? a.later[t / PAGE] : nullptr;
        for (int n = 0; n < a.count; n += TOKENS)
            times(std::min(TOKENS, a.count - n), [&](auto many) {
                constexpr int H = HALVES<many>;
                for (int h = 0; h < 2; h += H) {
                    Ask ask{keys + cell.keys(), size_t(lines) * LINE, lines, later};
                    if (n || h || a.later) ask.lines = 0, ask.also = 0;
                    if (next && !n) {
                        const size_t share = early(cell) / size_t(groups * (2 / H));
                        ask = {next + size_t(h * groups) * share, share, int(share / LINE), 0};
                    }
                    const bool wants = ask.lines && (next || asks());
                    auto* half = wants ? quantised_half<Eight, many, H, Way::ask> : quantised_half<Eight, many, H, Way::alone>;
                    half(keys, cell.columns(), 0, groups, a.query, a.first + n, scores[n] + t, PIECE, h, ask);
                }
            });
    }
    for (int n = 0; n < a.count; ++n) {
        if (a.hidden) std::fill_n(scores[n], a.hidden[n], -3e38f);
        soften(scores[n], a.visible[n], a.most + n, a.weight + n);
    }
}

// What N queries from `first` on take of the values.
template <class Load, int N>
void mix_all(const Attention& a, int first, const float (*scores)[PIECE]) {
    const int size = a.cell.size;
    const size_t keys = a.cell.keys();
    for (int d = 0; d < size;) {
        auto row = [&](int t) { return a.pages[t / PAGE] + keys + (size_t(t % PAGE) * size + d) * Load::width; };
        // Memory has nothing else to do: each token of this page brings its share of the next, once.
        const size_t asked = early(a.cell), share = d == 0 && first == 0 && a.later ? (a.cell.bytes() - asked) / PAGE : 0;
        auto ask = [&](int t) {
            const uint8_t* page = share ? a.later[t / PAGE] : nullptr;
            if (!page) return;
#if defined(__GNUC__)
            // GCC 12 takes what only asks for memory for what does nothing, and leaves it out.
            asm volatile("");
#endif
            for (size_t n = 0; n < share; n += LINE) prefetch<2>(page + asked + size_t(t % PAGE) * share + n);
        };
        if (N * 4 <= SUMS && size - d >= 64) {
            mix<Load, N, N * 4 <= SUMS ? 4 : 1>(scores, a.visible + first, a.out + first, d, row, ask);
            d += 64;
        } else if (N * 2 <= SUMS && size - d >= 32) {
            mix<Load, N, N * 2 <= SUMS ? 2 : 1>(scores, a.visible + first, a.out + first, d, row, ask);
            d += 32;
        } else {
            mix<Load, N, 1>(scores, a.visible + first, a.out + first, d, row, ask);
            d += 16;
        }
    }
}

template <class Load>
void attend_by(const Attention& a) {
    alignas(64) float scores[QUERIES][PIECE];
    score_all(a, scores);
    for (int n = 0; n < a.count; n += TOGETHER)
        times(std::min(TOGETHER, a.count - n), [&](auto many) { mix_all<Load, many>(a, n, scores + n); });
    // A short piece has no tokens left to ask for the last pages of the next.
    for (int p = (a.tokens + PAGE - 1) / PAGE; a.later && p < PIECE / PAGE; ++p)
        for (size_t n = 0; a.later[p] && n < a.cell.bytes(); n += LINE) prefetch<2>(a.later[p] + n);
}

inline void attend(const Attention& a) { a.cell.narrow ? attend_by<LoadHalf>(a) : attend_by<LoadFloat>(a); }

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

inline void store_key(const float* k, const Cell& cell, int slot, uint8_t* keys) {
    if (!cell.narrow) {
        float* to = reinterpret_cast<float*>(keys) + size_t(slot / 16) * 16 * cell.size + slot % 16;
        for (int d = 0; d < cell.size; ++d) to[size_t(d) * 16] = k[d];
        return;
    }
    for (int g = 0; g < cell.columns() / GROUP; ++g, keys += ROWS * 2 + Eight::bytes) {
        Floats a = load(k + g * GROUP), b = load(k + g * GROUP + 16);
        const float most = largest(larger(magnitude(a), magnitude(b)));
        // The scale as it is kept; a key that is not finite stays wrong, and is seen in the scores.
        alignas(64) float steps[16];
        alignas(32) uint16_t scales[16];
        store_half(scales, spread(most / 127.0f));
        store(steps, load_half(scales));
        std::memcpy(keys + slot * 2, scales, 2);
        const bool sound = steps[0] > 0.0f && steps[0] < 3e38f;
        const Floats by = spread(sound ? 1.0f / steps[0] : 0.0f), least = spread(-127.0f), highest = spread(127.0f);
        alignas(16) int8_t bytes[GROUP];
        store_bytes(bytes, nearest(larger(smaller(mul(a, by), highest), least)));
        store_bytes(bytes + 16, nearest(larger(smaller(mul(b, by), highest), least)));
        for (int n = 0; n < GROUP / 4; ++n) {
            uint32_t four;
            std::memcpy(&four, bytes + n * 4, 4);
            four ^= 0x80808080u;
            std::memcpy(keys + ROWS * 2 + (n * ROWS + slot) * 4, &four, 4);
        }
    }
}

inline void store_value(const float* v, const Cell& cell, int slot, uint8_t* values) {
    if (!cell.narrow) {
        std::memcpy(values + size_t(slot) * cell.size * 4, v, size_t(cell.size) * 4);
        return;
    }
    uint16_t* to = reinterpret_cast<uint16_t*>(values) + size_t(slot) * cell.size;
    for (int d = 0; d < cell.size; d += 16) store_half(to + d, load(v + d));
}

}  // namespace mirim::VEC_NAME
