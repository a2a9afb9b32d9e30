#include "model.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

namespace mirim {

namespace {

// From so many tokens a thread on, each thread takes its own through a whole layer: what they are multiplied with is read
// more often, but what a core made stays with it, and threads meet once a layer.
constexpr int OWN = 24;

void ask_for(const void* p) {
#if defined(__GNUC__)
    __builtin_prefetch(p, 0, 3);
#else
    (void)p;
#endif
}

// `rows` of block `block` of a bias, if there is one, to the outputs of n tokens.
void add_bias(const float* bias, int block, int rows, int n, float* made) {
    if (!bias) return;
    for (int t = 0; t < n; ++t)
        for (int r = 0; r < rows; ++r) made[t * ROWS + r] += bias[block * ROWS + r];
}

}  // namespace

Model::Model(Config config, const char* kernels) : config_(std::move(config)), kernels_(find_kernels(kernels)) {
    const Config& c = config_;
    if (!kernels_) throw wrong(std::string("this processor has no kernels called ") + kernels);
    auto within = [](const char* name, int value, int low, int high) {
        if (value < low || value > high)
            throw wrong(std::string(name) + " is " + std::to_string(value) + ", not within " + std::to_string(low) +
                        " and " + std::to_string(high));
    };
    within("vocabulary", c.vocab, 1, 1 << 22);
    within("hidden size", c.hidden, 16, 1 << 16);
    within("number of layers", c.layers, 1, 1 << 10);
    within("number of heads", c.heads, 1, 1 << 10);
    within("number of key-value heads", c.kv_heads, 1, c.heads);
    within("head size", c.head_dim, 16, HEAD_MOST);
    within("intermediate size", c.inter, 16, 1 << 18);
    within("context", c.context, 1, 1 << 22);
    within("rotated pairs", int(c.frequencies.size()), 0, c.head_dim / 2);
    if (c.heads % c.kv_heads) throw wrong("the heads do not divide into groups");
    if (c.head_dim % 16 || c.inter % 16) throw wrong("sizes of heads and of the intermediate layer must be multiples of 16");
    if (config_.attention_scale == 0.0f) config_.attention_scale = 1.0f / std::sqrt(float(c.head_dim));
    within("window", c.window, 0, 1 << 22);
    if (!c.local.empty() && (int(c.local.size()) != c.layers || !c.window)) throw wrong("the layers with a window are not told");
    if (!c.local_frequencies.empty() && c.local_frequencies.size() != c.frequencies.size())
        throw wrong("layers with a window turn other pairs");
    // Values that rotation reaches, padded for neighbours.
    turned_ = (2 * c.frequencies.size() + 15) / 16 * 16;
    turns_.push_back({c.frequencies, c.rope_gain, {}, {}});
    if (!c.local_frequencies.empty()) turns_.push_back({c.local_frequencies, 1.0f, {}, {}});
    layers_.resize(c.layers);
    for (int l = 0; l < c.layers; ++l)
        if (!c.local.empty() && c.local[l]) layers_[l].window = c.window, layers_[l].turns = int(turns_.size()) - 1;
}

Model::~Model() = default;

size_t Model::page_bytes() const {
    return size_t(config_.layers) * config_.kv_heads * cell().bytes();
}

void Model::allocate(Pool& pool, int count) {
    const Config& c = config_;
    const size_t wide = std::max(size_t(c.hidden), size_t(c.heads) * c.head_dim), inter = c.inter;
    const size_t most = std::max(count, MOST);
    if (x_.size() < most * c.hidden) {
        x_.resize(most * c.hidden);
        if (c.norms_behind) y_.resize(x_.size());
        n_.resize(most * wide);
        qs_.resize(most * c.heads * cell().columns());
        q_bytes_.resize(qs_.size());
        q_scales_.resize(qs_.size() / GROUP);
        q_starts_.resize(qs_.size() / GROUP);
        bytes_.resize(most * wide);
        scales_.resize(most * wide / GROUP + 1);
        starts_.resize(most * wide / GROUP + 1);
        h_.resize(most * inter);
        h_bytes_.resize(most * inter);
        h_scales_.resize(most * inter / GROUP + 1);
        h_starts_.resize(most * inter / GROUP + 1);
    }
    while (int(own_floats_.size()) < pool.threads()) {
        own_floats_.emplace_back(REPEATED * (wide + wide / GROUP + 1) + LINE);
        own_bytes_.emplace_back(REPEATED * wide + LINE);
        own_starts_.emplace_back(REPEATED * (wide / GROUP + 1) + LINE);
    }
}

uint8_t* Model::keys(const Token& token, int layer, int head) const {
    return token.pages[token.position / PAGE] + (size_t(layer) * config_.kv_heads + head) * cell().bytes();
}

// One head of queries, keys or values for tokens [from, to).
void Model::project(const Layer& layer, int index, int unit, const Token* tokens, int count, int from, int to,
                    const Inputs& in) {
    const Config& c = config_;
    const int part = unit < c.heads ? 0 : unit < c.heads + c.kv_heads ? 1 : 2;
    const int head = part == 0 ? unit : part == 1 ? unit - c.heads : unit - c.heads - c.kv_heads;
    const Matrix& w = layer.part[part];
    const float* bias = part == 0 ? layer.q_bias : part == 1 ? layer.k_bias : layer.v_bias;
    const float* gain = part == 0 ? layer.q_norm : part == 1 ? layer.k_norm : nullptr;
    const Turns& turns = turns_[layer.turns];
    const int blocks = (c.head_dim + ROWS - 1) / ROWS;
    alignas(64) float made[HEAD_MOST / ROWS][STRIP * ROWS];
    const Cell cell = this->cell();
    const int group = c.heads / c.kv_heads, columns = cell.columns();
    const float query_scale = cell.narrow ? c.attention_scale / float(columns & -columns) : c.attention_scale;
    alignas(64) float x[HEAD_MOST] = {};
    for (; from < to; from += STRIP) {
        int n = std::min(STRIP, to - from);
        for (int b = 0; b < blocks; ++b) {
            kernels_->product(w, head * blocks + b, in, from, n, made[b]);
            adapters_.raise(*kernels_, index, Part(part), head * blocks + b, from, n, made[b]);
        }
        for (int t = 0; t < n; ++t) {
            for (int b = 0; b < blocks; ++b)
                std::memcpy(x + b * ROWS, made[b] + t * ROWS, sizeof(float) * std::min(ROWS, c.head_dim - b * ROWS));
            if (bias)
                for (int d = 0; d < c.head_dim; ++d) x[d] += bias[head * c.head_dim + d];
            if (gain) kernels_->norm(x, gain, c.head_dim, c.epsilon, x);
            const Token& token = tokens[from + t];
            const int slot = token.position % PAGE;
            if (part < 2 && turned_)
                kernels_->rotate(x, &turns.cosines[token.position * turned_], &turns.sines[token.position * turned_],
                                 int(c.frequencies.size()), c.neighbours);
            // What one value of a key has alone would make its steps of eight bits coarse: it is spread over all of them,
            // in queries as well, so that their products stay (QuaRot, Ashkboos et al. 2024).
            if (part < 2 && cell.narrow) {
                std::fill(x + c.head_dim, x + columns, 0.0f);
                kernels_->hadamard(x, columns);
            }
            if (part == 0) {
                // Rows of one head of keys lie together, token after token.
                const size_t row = (size_t(head / group) * count + from + t) * group + head % group;
                float* to = qs_.data() + row * columns;
                for (int d = 0; d < columns; ++d) to[d] = x[d] * query_scale;
                if (cell.narrow)
                    kernels_->quantise(to, columns, q_bytes_.data() + row * columns, q_scales_.data() + row * columns / GROUP,
                                       q_starts_.data() + row * columns / GROUP);
            } else if (part == 1) {
                kernels_->store_key(x, cell, slot, keys(token, index, head));
            } else {
                kernels_->store_value(x, cell, slot, keys(token, index, head) + cell.keys());
            }
        }
    }
}

void Model::step(Pool& pool, int threads, const Token* tokens, int count, float* logits, float* states) {
    const Config& c = config_;
    allocate(pool, count);
    adapters_.plan(count, [&](int t) { return tokens[t].adapter; });
    const int across = c.heads * c.head_dim;
    std::vector<int> wanted;
    bool adapted = false;
    for (int t = 0; t < count; ++t) {
        if (tokens[t].row >= 0) wanted.push_back(t);
        adapted = adapted || tokens[t].adapter >= 0;
    }
    // Of a prompt the last layer owes its keys and values, and one row. Adapters count on every token's place.
    const bool fewer = !adapted && int(wanted.size()) < count;
    threads = std::min(threads, pool.threads());
    const bool apart = !adapted && threads > 1 && count >= OWN * threads;
    plan(tokens, count, apart ? threads : 1);
    std::vector<Unit> last_units;
    for (const Unit& unit : units_) {
        const Tile& tile = tiles_[unit.tile];
        auto from = std::lower_bound(wanted.begin(), wanted.end(), tile.first);
        if (!fewer || (from != wanted.end() && *from < tile.first + tile.count)) last_units.push_back(unit);
    }

    pool.run(threads, [&](Crew& crew) {
        const int me = crew.index();
        // Tokens that are this thread's own.
        const int low = apart ? count * me / threads : 0, high = apart ? count * (me + 1) / threads : count;
        bool in_layers = true;
        auto owns = [&](int n) { return apart && in_layers && n == count; };
        // work(t) for n tokens, and work(block, from, to) for blocks of rows and n tokens: by each thread for its own, or shared
        // among threads, which then meet.
        auto for_tokens = [&](int n, auto work) {
            if (owns(n)) {
                for (int t = low; t < high; ++t) work(t);
                return;
            }
            crew.share(n, work);
            crew.barrier();
        };
        auto for_blocks = [&](int blocks, int n, auto work) {
            if (owns(n)) {
                for (int block = 0; block < blocks; ++block) work(block, low, high);
                return;
            }
            crew.share(blocks, [&](int block) { work(block, 0, n); });
            crew.barrier();
        };
        // Floats `fill(token, out)` as inputs of a product, made by each thread for itself or shared.
        auto prepare = [&](int n, int columns, bool repeated, auto fill) {
            Inputs in{n_.data(), bytes_.data(), scales_.data(), starts_.data(), columns, n};
            if (owns(n)) {
                // Others may be at inputs of another width: a thread's own begin at the same place for all.
                const size_t wide = std::max(c.hidden, across), at = low * (wide - columns);
                const size_t group = low * (wide / GROUP - columns / GROUP);
                in = {in.x + at, in.q + at, in.scale + group, in.start + group, columns, high - low};
            }
            if (repeated) {
                float* own = own_floats_[me].data();
                in = {own, own_bytes_[me].data(), own + size_t(REPEATED) * columns, own_starts_[me].data(), columns, n};
            }
            const size_t groups = columns / GROUP;
            auto one = [&](int t) {
                float* x = in.x + size_t(t) * columns;
                fill(t, x);
                if (any_quantised_ && columns % GROUP == 0)
                    kernels_->quantise(x, columns, in.q + size_t(t) * columns, in.scale + t * groups, in.start + t * groups);
            };
            if (repeated) {
                for (int t = 0; t < n; ++t) one(t);
            } else {
                for_tokens(n, one);
            }
            return in;
        };
        // What this thread attends to first, asked for before the barrier; what comes then, while it attends.
        auto expect = [&](int l, const std::vector<Unit>& units) {
            if (count > REPEATED || units.empty() || !kernels_->asks()) return;
            const Unit& unit = units[units.size() - 1 - units.size() * size_t(me) / size_t(crew.threads())];
            const uint8_t* pages[PIECE / PAGE];
            const int first = begin_of_sight(l, tiles_[unit.tile].position) / PIECE;
            if (unit.piece >= 0 && unit.piece < first) return;
            find_pages(tokens, l, unit, std::max(unit.piece, first), pages);
            for (const uint8_t* page : pages)
                for (size_t n = 0; page && n < cell().bytes(); n += LINE) ask_for(page + n);
        };
        auto add_to_x = [&](int l, Part part, const Inputs& in, int kept, const float* bias, const float* after, auto place) {
            const Matrix& w = layers_[l].part[part];
            adapters_.lower(crew, *kernels_, l, {part}, in);
            for_blocks(w.blocks(), kept, [&](int block, int from, int to) {
                alignas(64) float made[STRIP * ROWS];
                const int rows = std::min(ROWS, c.hidden - block * ROWS);
                for (; from < to; from += STRIP) {
                    int n = std::min(STRIP, to - from);
                    kernels_->product(w, block, in, from, n, made);
                    adapters_.raise(*kernels_, l, part, block, from, n, made);
                    for (int t = 0; t < n; ++t) {
                        float *x = x_.data() + size_t(place(from + t)) * c.hidden + block * ROWS, by = c.residual_scale;
                        if (after) {
                            x = y_.data() + size_t(from + t) * c.hidden + block * ROWS, by = 1.0f;
                            std::fill_n(x, rows, 0.0f);
                        }
                        kernels_->accumulate(x, made + t * ROWS, bias ? bias + block * ROWS : nullptr, by, rows);
                    }
                }
            });
            if (!after) return;
            for_tokens(kept, [&](int t) {
                float* y = y_.data() + size_t(t) * c.hidden;
                kernels_->norm(y, after, c.hidden, c.epsilon, y);
                kernels_->accumulate(x_.data() + size_t(place(t)) * c.hidden, y, nullptr, c.residual_scale, c.hidden);
            });
        };

        for_tokens(count, [&](int t) {
            float* x = x_.data() + size_t(t) * c.hidden;
            unpack_row(embedding_, tokens[t].id, x);
            if (c.embedding_scale != 1.0f)
                for (int d = 0; d < c.hidden; ++d) x[d] *= c.embedding_scale;
        });

        for (int l = 0; l < c.layers; ++l) {
            const Layer& layer = layers_[l];
            const bool last = fewer && l == c.layers - 1;
            const std::vector<Unit>& units = last ? last_units : units_;
            const int kept = last ? int(wanted.size()) : count;
            auto place = [&](int t) { return last ? wanted[t] : t; };
            Inputs in = prepare(count, c.hidden, count <= REPEATED, [&](int t, float* out) {
                kernels_->norm(x_.data() + size_t(t) * c.hidden, layer.attn_norm, c.hidden, c.epsilon, out);
            });
            adapters_.lower(crew, *kernels_, l, {Q, K, V}, in);
            auto make = [&](int unit, int from, int to) { project(layer, l, unit, tokens, count, from, to, in); };
            const int projections = c.heads + 2 * c.kv_heads;
            if (apart) {
                for (int unit = 0; unit < projections; ++unit) make(unit, low, high);
            } else {
                crew.share(projections, [&](int unit) { make(unit, 0, count); });
                expect(l, units);
            }
            crew.barrier();
            if (!kept) return;
            if (owns(kept)) {
                for (const Unit& unit : units)
                    if (tiles_[unit.tile].first >= low && tiles_[unit.tile].first < high) attend(l, unit, nullptr, tokens, count);
            } else {
                crew.share(int(units.size()), [&](int n) {
                    const size_t at = units.size() - 1 - n;
                    attend(l, units[at], at ? &units[at - 1] : nullptr, tokens, count);
                });
                crew.barrier();
            }
            in = prepare(kept, across, kept <= REPEATED, [&](int t, float* out) { gather(l, place(t), out); });
            add_to_x(l, O, in, kept, layer.o_bias, layer.after_attn, place);
            const Inputs normed = prepare(kept, c.hidden, kept <= REPEATED, [&](int t, float* out) {
                kernels_->norm(x_.data() + size_t(place(t)) * c.hidden, layer.ffn_norm, c.hidden, c.epsilon, out);
            });
            adapters_.lower(crew, *kernels_, l, {GATE, UP}, normed);
            // A block of rows is a group of the next product's inputs: made whole-numbered at once, where it lies.
            in = {h_.data(), h_bytes_.data(), h_scales_.data(), h_starts_.data(), c.inter, normed.tokens};
            const bool whole = layer.part[DOWN].quantised();
            for_blocks(layer.part[GATE].blocks(), kept, [&](int block, int from, int to) {
                alignas(64) float gate[STRIP * ROWS], up[STRIP * ROWS];
                const int rows = std::min(ROWS, c.inter - block * ROWS);
                for (; from < to; from += STRIP) {
                    int n = std::min(STRIP, to - from);
                    kernels_->product(layer.part[GATE], block, normed, from, n, gate);
                    kernels_->product(layer.part[UP], block, normed, from, n, up);
                    adapters_.raise(*kernels_, l, GATE, block, from, n, gate);
                    adapters_.raise(*kernels_, l, UP, block, from, n, up);
                    add_bias(layer.gate_bias, block, rows, n, gate);
                    add_bias(layer.up_bias, block, rows, n, up);
                    (c.gelu ? kernels_->gelu_times : kernels_->silu_times)(gate, up, n * ROWS);
                    for (int t = 0; t < n; ++t) {
                        const size_t at = size_t(from + t) * c.inter + block * ROWS;
                        std::copy(gate + t * ROWS, gate + t * ROWS + rows, in.x + at);
                        if (whole)
                            kernels_->quantise(gate + t * ROWS, ROWS, in.q + at, in.scale + at / GROUP, in.start + at / GROUP);
                    }
                }
            });
            add_to_x(l, DOWN, in, kept, layer.down_bias, layer.after_ffn, place);
        }

        const int rows = int(wanted.size());
        if (!rows) return;
        if (owns(rows)) crew.barrier();
        in_layers = false;
        Inputs in = prepare(rows, c.hidden, rows <= REPEATED, [&](int r, float* out) {
            kernels_->norm(x_.data() + size_t(wanted[r]) * c.hidden, last_norm_, c.hidden, c.epsilon, out);
        });
        if (states && me == 0)
            for (int r = 0; r < rows; ++r)
                std::memcpy(states + size_t(tokens[wanted[r]].row) * c.hidden, in.x + size_t(r) * c.hidden,
                            sizeof(float) * c.hidden);
        if (!logits) return;
        crew.share(head_.blocks(), [&](int block) {
            alignas(64) float made[STRIP * ROWS];
            const int n = std::min(ROWS, c.vocab - block * ROWS);
            for (int from = 0; from < rows; from += STRIP) {
                int count = std::min(STRIP, rows - from);
                kernels_->product(head_, block, in, from, count, made);
                for (int t = 0; t < count; ++t) {
                    float* to = logits + size_t(tokens[wanted[from + t]].row) * c.vocab + block * ROWS;
                    for (int r = 0; r < n; ++r) to[r] = made[t * ROWS + r] * c.logit_scale;
                }
            }
        });
    });
}

}  // namespace mirim
