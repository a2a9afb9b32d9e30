// Checks of the core without Python, to be built with sanitizers or for another processor.
//
// `kernels`: every instruction set against the portable one, bit for bit, on random numbers.
// `engine`: requests from many threads on a small random model; drafted, shared and cached answers equal plain ones.
// `keep`: keys and values through a file, under load and from files that are broken.
// `encoder`: vectors by every instruction set, number of threads and company; hostile tensors and texts.
// Exits with 1 and says what differs.
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "../src/kernels.hpp"
#include "checks.hpp"

using namespace mirim;

namespace {

void check_kernels() {
    int count;
    const Kernels* const* list = available(&count);
    const Kernels* plain = find_kernels("portable");
    for (int n = 0; n < count; ++n) {
        const Kernels* k = list[n];
        auto label = [&](const char* what) { return std::string(k->name) + " " + what; };
        for (int size : {16, 64, 96, 576}) {
            auto x = floats(size, 3.0f), w = floats(size), up = floats(size);
            x[size / 2] = 1e30f;
            std::vector<float> a(size), b(size);
            k->norm(x.data(), w.data(), size, 1e-5f, a.data());
            plain->norm(x.data(), w.data(), size, 1e-5f, b.data());
            same(a.data(), b.data(), size * 4, label("norm"));
            x[size / 2] = 50.0f;
            a = b = x;
            k->silu_times(a.data(), up.data(), size);
            plain->silu_times(b.data(), up.data(), size);
            same(a.data(), b.data(), size * 4, label("silu"));
            a = b = x;
            k->gelu_times(a.data(), up.data(), size);
            plain->gelu_times(b.data(), up.data(), size);
            same(a.data(), b.data(), size * 4, label("gelu"));
            a = b = x;
            k->accumulate(a.data(), up.data(), w.data(), 0.3f, size - 5);
            plain->accumulate(b.data(), up.data(), w.data(), 0.3f, size - 5);
            same(a.data(), b.data(), size * 4, label("accumulate"));
            k->layer_norm(a.data(), w.data(), up.data(), size, 1e-12f);
            plain->layer_norm(b.data(), w.data(), up.data(), size, 1e-12f);
            same(a.data(), b.data(), size * 4, label("layer norm"));
            for (bool neighbours : {true, false}) {
                const int pairs = neighbours ? size / 2 : size / 2 - 3;
                k->rotate(a.data(), w.data(), up.data(), pairs, neighbours);
                plain->rotate(b.data(), w.data(), up.data(), pairs, neighbours);
                same(a.data(), b.data(), size * 4, label("rotate"));
            }
            // Twice is the block's size times what it was.
            a = b = up;
            k->hadamard(a.data(), size);
            plain->hadamard(b.data(), size);
            same(a.data(), b.data(), size * 4, label("hadamard"));
            k->hadamard(a.data(), size);
            for (int i = 0; i < size; ++i)
                if (!(std::fabs(a[i] / float(size & -size) - up[i]) < 1e-5f)) differ(label("hadamard twice"));
        }
        const auto bias = floats(ROWS);
        auto made = floats(size_t(7) * ROWS, 3.0f);
        made[0] = 1e30f, made[1] = -1e30f, made[2] = -5.5f;
        std::vector<float> rows[2] = {made, made};
        for (int side = 0; side < 2; ++side) {
            const Kernels* by = side ? plain : k;
            by->shift(rows[side].data(), bias.data(), 0.7f, 7);
            by->gelu(rows[side].data(), bias.data(), 7);
            by->add_rows(rows[side].data() + ROWS, ROWS, made.data(), bias.data(), 6);
        }
        same(rows[0].data(), rows[1].data(), made.size() * 4, label("biases"));
        for (int i = 0; i < ROWS; ++i) {
            const double x = double((made[i] + bias[i]) * 0.7f + bias[i]), exact = x * 0.5 * std::erfc(-x * std::sqrt(0.5));
            if (!(std::fabs(rows[0][i] - exact) < 2e-6 * std::max(1.0, std::fabs(x)))) differ(label("gelu by its definition"));
        }
        for (int size : {1, 15, 16, 300, 1000}) {
            auto row = floats(size, 20.0f);
            const float most = *std::max_element(row.begin(), row.end());
            row[size / 2] = size > 1 && row[size / 2] < most ? -INFINITY : row[size / 2];  // masked
            std::vector<float> weights[2] = {std::vector<float>(size), std::vector<float>(size)};
            double total[2], exact = 0;
            for (int side = 0; side < 2; ++side)
                total[side] = (side ? plain : k)->weigh(row.data(), size, most, 1.7f, weights[side].data());
            same(weights[0].data(), weights[1].data(), size_t(size) * 4, label("weights"));
            same(total, total + 1, sizeof *total, label("sum of weights"));
            for (int i = 0; i < size; ++i) {
                const double meant = std::exp((double(row[i]) - most) * 1.7f);
                exact += meant;
                if (!(std::fabs(weights[0][i] - meant) < 1e-6) || (std::isinf(row[i]) && weights[0][i] != 0.0f))
                    differ(label("weights by their definition"));
            }
            if (!(std::fabs(total[0] / exact - 1) < 1e-6)) differ(label("sum of weights by its definition"));
            if (k->weigh(row.data(), size, most, 1.7f, nullptr) != total[0]) differ(label("sum of weights alone"));
            row[size - 1] = NAN;
            if (std::isfinite(k->weigh(row.data(), size, most, 1.7f, nullptr))) differ(label("weights of no number"));
        }
        for (int columns : {32, 96, 576}) {
            const int tokens = 13, groups = columns / GROUP;
            auto x = floats(size_t(tokens) * columns);
            for (int i = 0; i < GROUP; ++i) x[i] = 0;  // a group without any size
            // The largest sums that there are.
            std::fill_n(x.begin() + columns, columns, 1.0f);
            std::fill_n(x.begin() + 2 * columns, columns, -1.0f);
            std::vector<int8_t> q[2];
            std::vector<float> scale[2], out[2];
            std::vector<int32_t> start[2];
            for (int side = 0; side < 2; ++side) {
                q[side].resize(x.size());
                scale[side].resize(tokens * groups);
                start[side].resize(tokens * groups);
                out[side].resize(tokens * ROWS);
                for (int t = 0; t < tokens; ++t)
                    (side ? plain : k)->quantise(x.data() + size_t(t) * columns, columns, q[side].data() + size_t(t) * columns,
                                                 scale[side].data() + t * groups, start[side].data() + t * groups);
            }
            same(q[0].data(), q[1].data(), q[0].size(), label("quantise"));
            same(scale[0].data(), scale[1].data(), scale[0].size() * 4, label("scales"));
            same(start[0].data(), start[1].data(), start[0].size() * 4, label("starts"));
            for (Kind kind : {Kind::f32, Kind::f16, Kind::bf16, Kind::q8, Kind::q4}) {
                Matrix m{kind, ROWS, columns, nullptr};
                std::vector<uint8_t> raw(m.bytes());
                for (uint8_t& byte : raw) byte = uint8_t(dice());
                if (!m.quantised()) {
                    // Any bits may be no number: sizes near one instead.
                    auto w = floats(size_t(ROWS) * columns);
                    for (size_t i = 0; i < w.size(); ++i) {
                        uint32_t bits;
                        std::memcpy(&bits, &w[i], 4);
                        uint16_t half = uint16_t(kind == Kind::bf16 ? bits >> 16 : (dice() & 0x83ff) | 0x3800);
                        if (kind == Kind::f32) std::memcpy(&raw[i * 4], &w[i], 4);
                        else std::memcpy(&raw[i * 2], &half, 2);
                    }
                } else {
                    size_t group = raw.size() / groups;
                    for (int g = 0; g < groups; ++g) {
                        for (int r = 0; r < ROWS; ++r) {
                            uint16_t half = uint16_t((dice() & 0x3ff) | 0x2000);
                            std::memcpy(&raw[g * group + r * 2], &half, 2);
                        }
                        for (size_t line = g * group + ROWS * 2; line < (g + 1) * group; line += ROWS * 4) {
                            std::fill_n(raw.begin() + line, 4, uint8_t(0));
                            std::fill_n(raw.begin() + line + 4, 4, uint8_t(255));
                        }
                    }
                }
                m.data = raw.data();
                for (int side = 0; side < 2; ++side) {
                    Inputs in{x.data(), q[side].data(), scale[side].data(), start[side].data(), columns};
                    (side ? plain : k)->product(m, 0, in, 0, tokens, out[side].data());
                }
                same(out[0].data(), out[1].data(), out[0].size() * 4, label("product"));
                for (int alone = 0; alone < tokens; ++alone) {
                    Inputs in{x.data(), q[0].data(), scale[0].data(), start[0].data(), columns};
                    k->product(m, 0, in, alone, 1, out[1].data());
                    same(out[1].data(), out[0].data() + alone * ROWS, ROWS * 4, label("product of one token"));
                }
            }
        }
        for (bool narrow : {false, true})
            for (int size : {16, 48, 64}) {
                const int tokens = 77;
                const Cell cell{size, narrow};
                const int columns = cell.columns(), groups = columns / GROUP;
                std::vector<std::vector<uint8_t>> store[2];
                const uint8_t* pages[2][PIECE / PAGE] = {};
                auto keys = floats(size_t(tokens) * columns), values = floats(size_t(tokens) * size);
                auto asked = floats(size_t(QUERIES) * columns, 1 / std::sqrt(float(size)));
                for (auto* rows : {&keys, &asked})
                    for (size_t i = 0; i < rows->size(); ++i)
                        if (int(i) % columns >= size) (*rows)[i] = 0;
                for (int side = 0; side < 2; ++side)
                    for (int p = 0; p * PAGE < tokens; ++p) {
                        // What nobody stored may be anything, even what is no number.
                        store[side].emplace_back(cell.bytes(), uint8_t(0xff));
                        for (int t = p * PAGE; t < tokens && t < (p + 1) * PAGE; ++t) {
                            uint8_t* at = store[side][p].data();
                            (side ? plain : k)->store_key(keys.data() + size_t(t) * columns, cell, t % PAGE, at);
                            (side ? plain : k)->store_value(values.data() + size_t(t) * size, cell, t % PAGE, at + cell.keys());
                        }
                        pages[side][p] = store[side][p].data();
                    }
                for (size_t p = 0; p < store[0].size(); ++p)
                    same(store[0][p].data(), store[1][p].data(), store[0][p].size(), label("cache"));
                float most[2][QUERIES], weight[2][QUERIES];
                std::vector<float> out[2];
                for (int side = 0; side < 2; ++side) {
                    out[side].resize(size_t(QUERIES) * size);
                    std::vector<int8_t> q(asked.size());
                    std::vector<float> scale(QUERIES * groups);
                    std::vector<int32_t> start(QUERIES * groups);
                    plain->quantise(asked.data(), int(asked.size()), q.data(), scale.data(), start.data());
                    const Inputs query{asked.data(), q.data(), scale.data(), start.data(), columns};
                    float* to[QUERIES];
                    int visible[QUERIES];
                    for (int i = 0; i < QUERIES; ++i) {
                        to[i] = out[side].data() + size_t(i) * size;
                        visible[i] = tokens - i * 3;
                    }
                    (side ? plain : k)->attend({query, 0, pages[side], visible, nullptr, QUERIES, tokens, cell, most[side], weight[side], to, nullptr});
                    // Few together come to the same.
                    std::vector<float> few(size_t(3) * size);
                    float peak[3], sum[3], *apart[3] = {few.data(), few.data() + size, few.data() + 2 * size};
                    (side ? plain : k)->attend({query, 7, pages[side], visible + 7, nullptr, 3, visible[7], cell, peak, sum, apart, nullptr});
                    same(few.data(), to[7], few.size() * 4, label("attention of few"));
                    same(sum, &weight[side][7], sizeof sum, label("attention of few, weights"));
                    // And to what the definition says, but for rounding.
                    for (int i = 0; i < QUERIES; ++i) {
                        std::vector<double> exact(size_t(size), 0.0);
                        double all = 0;
                        for (int t = 0; t < visible[i]; ++t) {
                            double score = 0;
                            for (int d = 0; d < size; ++d) score += double(asked[i * columns + d]) * keys[t * columns + d];
                            const double p = std::exp(score - most[side][i]);
                            all += p;
                            for (int d = 0; d < size; ++d) exact[d] += p * values[size_t(t) * size + d];
                        }
                        for (int d = 0; d < size; ++d)
                            if (!(std::fabs(exact[d] / all - to[i][d] / weight[side][i]) < (narrow ? 0.1 : 1e-3)))
                                differ(label("attention by its definition"));
                    }
                }
                same(out[0].data(), out[1].data(), out[0].size() * 4, label("attention"));
                same(most, most[1], sizeof most[0], label("attention's scores"));
                same(weight, weight[1], sizeof weight[0], label("attention's weights"));
                k->join(&most[0][0], &weight[0][0], out[0].data(), 1.5f, 2.0f, out[0].data() + size, size);
                plain->join(&most[1][0], &weight[1][0], out[1].data(), 1.5f, 2.0f, out[1].data() + size, size);
                k->divide(out[0].data(), 3.0f, size);
                plain->divide(out[1].data(), 3.0f, size);
                same(out[0].data(), out[1].data(), size * 4, label("join"));
            }
        std::printf("%s equals portable\n", k->name);
    }
}

}  // namespace

int main(int argc, char** argv) {
    std::string what = argc > 1 ? argv[1] : "";
    if (what.empty() || what == "kernels") check_kernels();
    if (what.empty() || what == "engine") check_engine();
    if (what.empty() || what == "keep") check_keep();
    if (what.empty() || what == "encoder") check_encoder();
    return 0;
}
