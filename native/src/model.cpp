#include "model.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "sum.hpp"

namespace mirim {

namespace {

// Tokens whose rows a product makes before they are used: they stay in the first cache.
constexpr int STRIP = 24;
// So few tokens are normalised and quantised by every thread for itself, which is quicker than a barrier.
constexpr int REPEATED = 4;
// Tokens of a sequence that attention takes together.
constexpr int TILE = 16;
constexpr size_t LINE = 64;

size_t aligned(size_t n) { return (n + LINE - 1) / LINE * LINE; }

std::runtime_error wrong(const std::string& what) { return std::runtime_error(what); }

}  // namespace

// Neighbouring tokens of one sequence: [first, first + count), the first at `position`. Their attention's sums lie at
// `base` of parts_: [pieces][heads][count][head_dim + 16], the last 16 holding the largest score and the weight.
struct Model::Tile {
    int first, count, position, pieces;
    size_t base;
};

// `piece` -1: all pieces, one after the other.
struct Model::Unit {
    int tile, head, piece;
};

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
    // Values that rotation reaches, padded for neighbours.
    turned_ = (2 * c.frequencies.size() + 15) / 16 * 16;
    layers_.resize(c.layers);
}

Model::~Model() {
    for (auto& [data, size] : arenas_) munmap(data, size);
}

size_t Model::page_bytes() const {
    size_t width = config_.half_cache ? 2 : 4;
    return size_t(config_.layers) * config_.kv_heads * 2 * PAGE * config_.head_dim * width;
}

Matrix Model::place(const std::string& name, Source type, bool eight_bits, int rows, int columns, int head, uint8_t** at) {
    if (!row_bytes(type, columns)) throw wrong(name + " has a type or a width that is not read here");
    Matrix m;
    bool quantised = type == Source::q8_0 || type == Source::q4_0;
    m.kind = eight_bits && !quantised && columns % GROUP == 0 ? Kind::q8 : natural(type);
    m.rows = head ? rows / head * ((head + ROWS - 1) / ROWS * ROWS) : rows;
    m.columns = columns;
    any_quantised_ |= m.quantised();
    size_t need = aligned(m.bytes());
    // One arena for many tensors, huge pages where the system gives them.
    if (arenas_.empty() || used_ + need > arenas_.back().second) {
        size_t size = std::max(need, size_t(32) << 20);
        void* p = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
        madvise(p, size, MADV_HUGEPAGE);
#endif
        arenas_.emplace_back(static_cast<uint8_t*>(p), size);
        used_ = 0;
    }
    *at = arenas_.back().first + used_;
    used_ += need;
    m.data = *at;
    placed_ += name + ' ' + std::to_string(int(m.kind)) + ' ' + std::to_string(m.rows) + ' ' + std::to_string(columns) + '\n';
    return m;
}

uint64_t Model::digest() const {
    Sum all;
    for (auto& [data, size] : arenas_) all.add(data, size);
    all.add(placed_.data(), placed_.size());
    return all.value();
}

void Model::add(const std::string& name, Source type, bool eight_bits, const uint8_t* data, size_t bytes, int rows,
                int columns) {
    const Config& c = config_;
    const int q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
    auto shape = [&](int r, int k) {
        if (rows != r || columns != k)
            throw wrong(name + " has " + std::to_string(rows) + " rows of " + std::to_string(columns) + ", not " +
                        std::to_string(r) + " of " + std::to_string(k));
        if (row_bytes(type, columns) * size_t(rows) != bytes || !bytes)
            throw wrong(name + " has " + std::to_string(bytes) + " bytes, not those of its shape");
    };
    auto matrix = [&](Matrix& to, int r, int k, int head = 0) {
        shape(r, k);
        if (to.data) throw wrong(name + " is there twice");
        uint8_t* at;
        to = place(name, type, eight_bits, rows, columns, head, &at);
        pack(to, at, type, data, rows, head);
    };
    auto vector = [&](const float*& to, int size) {
        shape(1, size);
        if (to) throw wrong(name + " is there twice");
        if (type != Source::f32) throw wrong(name + " is not made of floats");
        uint8_t* at;
        place(name, Source::f32, false, 1, size, 0, &at);
        std::memcpy(at, data, bytes);
        to = reinterpret_cast<const float*>(at);
    };
    if (name == "token_embd.weight") return matrix(embedding_, c.vocab, c.hidden);
    if (name == "output.weight") return matrix(head_, c.vocab, c.hidden);
    if (name == "output_norm.weight") return vector(last_norm_, c.hidden);
    size_t dot = name.find('.', 4);
    if (name.rfind("blk.", 0) || dot == std::string::npos || dot - 4 > 4) throw wrong(name + " has no place here");
    int index = 0;
    for (size_t i = 4; i < dot; ++i) {
        if (name[i] < '0' || name[i] > '9') throw wrong(name + " has no place here");
        index = index * 10 + name[i] - '0';
    }
    if (index >= c.layers) throw wrong(name + " is of a layer beyond the last");
    Layer& l = layers_[index];
    std::string part = name.substr(dot + 1);
    if (part == "attn_q.weight") return matrix(l.q, q, c.hidden, c.head_dim);
    if (part == "attn_k.weight") return matrix(l.k, kv, c.hidden, c.head_dim);
    if (part == "attn_v.weight") return matrix(l.v, kv, c.hidden, c.head_dim);
    if (part == "attn_output.weight") return matrix(l.o, c.hidden, q);
    if (part == "ffn_gate.weight") return matrix(l.gate, c.inter, c.hidden);
    if (part == "ffn_up.weight") return matrix(l.up, c.inter, c.hidden);
    if (part == "ffn_down.weight") return matrix(l.down, c.hidden, c.inter);
    if (part == "attn_norm.weight") return vector(l.attn_norm, c.hidden);
    if (part == "ffn_norm.weight") return vector(l.ffn_norm, c.hidden);
    if (part == "attn_q_norm.weight") return vector(l.q_norm, c.head_dim);
    if (part == "attn_k_norm.weight") return vector(l.k_norm, c.head_dim);
    if (part == "attn_q.bias") return vector(l.q_bias, q);
    if (part == "attn_k.bias") return vector(l.k_bias, kv);
    if (part == "attn_v.bias") return vector(l.v_bias, kv);
    if (part == "attn_output.bias") return vector(l.o_bias, c.hidden);
    throw wrong(name + " has no place here");
}

void Model::finish() {
    if (!embedding_.data || !last_norm_) throw wrong("the embeddings or the last norm are missing");
    for (size_t i = 0; i < layers_.size(); ++i) {
        const Layer& l = layers_[i];
        for (const Matrix* m : {&l.q, &l.k, &l.v, &l.o, &l.gate, &l.up, &l.down})
            if (!m->data) throw wrong("layer " + std::to_string(i) + " lacks a matrix");
        if (!l.attn_norm || !l.ffn_norm) throw wrong("layer " + std::to_string(i) + " lacks a norm");
        if (!l.q_norm != !l.k_norm) throw wrong("layer " + std::to_string(i) + " norms queries or keys only");
    }
    if (!head_.data) head_ = embedding_;
    used_ = 0;
    for (auto& [data, size] : arenas_) used_ += size;
}

void Model::allocate(Pool& pool) {
    const Config& c = config_;
    const size_t wide = std::max(size_t(c.hidden), size_t(c.heads) * c.head_dim), inter = c.inter;
    if (x_.empty()) {
        x_.resize(size_t(MOST) * c.hidden);
        n_.resize(MOST * wide);
        qs_.resize(size_t(MOST) * c.heads * c.head_dim);
        bytes_.resize(MOST * wide);
        scales_.resize(MOST * wide / GROUP + 1);
        starts_.resize(MOST * wide / GROUP + 1);
        h_.resize(MOST * inter);
        h_bytes_.resize(MOST * inter);
        h_scales_.resize(MOST * inter / GROUP + 1);
        h_starts_.resize(MOST * inter / GROUP + 1);
    }
    while (int(own_floats_.size()) < pool.threads()) {
        own_floats_.emplace_back(REPEATED * (wide + wide / GROUP + 1) + LINE);
        own_bytes_.emplace_back(REPEATED * wide + LINE);
        own_starts_.emplace_back(REPEATED * (wide / GROUP + 1) + LINE);
    }
}

void Model::plan(const Token* tokens, int count) {
    const Config& c = config_;
    tiles_.clear();
    units_.clear();
    tile_of_.assign(count, 0);
    size_t base = 0;
    int last = 0;
    const size_t wide = c.head_dim + 16;
    for (int t = 0; t < count;) {
        int n = 1;
        while (t + n < count && n < TILE && tokens[t + n].pages == tokens[t].pages &&
               tokens[t + n].position == tokens[t].position + n)
            ++n;
        int all = (tokens[t].position + n + PIECE - 1) / PIECE;
        // Few queries over a long context are split among threads by pieces; many are one unit of work, which joins
        // its pieces in the same order.
        bool split = n <= REPEATED;
        Tile tile{t, n, tokens[t].position, split ? all : 1, base};
        base += size_t(tile.pieces) * c.heads * n * wide;
        for (int i = 0; i < n; ++i) tile_of_[t + i] = int(tiles_.size());
        for (int h = 0; h < c.kv_heads; ++h)
            for (int p = 0; p < (split ? all : 1); ++p) units_.push_back({int(tiles_.size()), h, split ? p : -1});
        tiles_.push_back(tile);
        last = std::max(last, tile.position + n - 1);
        t += n;
    }
    if (parts_.size() < base) parts_.resize(base);
    // Angles of positions that were never met before.
    const size_t pairs = c.frequencies.size(), turned = turned_;
    for (int position = int(cosines_.size() / std::max<size_t>(turned, 1)); turned && position <= last; ++position) {
        cosines_.resize(cosines_.size() + turned, 1.0f);
        sines_.resize(sines_.size() + turned, 0.0f);
        float *cosine = &cosines_[position * turned], *sine = &sines_[position * turned];
        for (size_t i = 0; i < pairs; ++i) {
            // The angle rounded to a float, as transformers has it.
            const double angle = double(float(position) * c.frequencies[i]);
            const size_t a = c.neighbours ? 2 * i : i, b = c.neighbours ? a + 1 : a + pairs;
            cosine[a] = cosine[b] = float(std::cos(angle)) * c.rope_gain;
            sine[b] = float(std::sin(angle)) * c.rope_gain;
            sine[a] = -sine[b];
        }
    }
}

uint8_t* Model::keys(const Token& token, int layer, int head) const {
    const Config& c = config_;
    size_t width = c.half_cache ? 2 : 4;
    return token.pages[token.position / PAGE] +
           (size_t(layer) * c.kv_heads + head) * 2 * PAGE * c.head_dim * width;
}

// One head of queries, keys or values for every token.
void Model::project(const Layer& layer, int index, int unit, const Token* tokens, int count, const Inputs& in) {
    const Config& c = config_;
    const int part = unit < c.heads ? 0 : unit < c.heads + c.kv_heads ? 1 : 2;
    const int head = part == 0 ? unit : part == 1 ? unit - c.heads : unit - c.heads - c.kv_heads;
    const Matrix& w = part == 0 ? layer.q : part == 1 ? layer.k : layer.v;
    const float* bias = part == 0 ? layer.q_bias : part == 1 ? layer.k_bias : layer.v_bias;
    const float* gain = part == 0 ? layer.q_norm : part == 1 ? layer.k_norm : nullptr;
    const int blocks = (c.head_dim + ROWS - 1) / ROWS;
    alignas(64) float made[HEAD_MOST / ROWS][STRIP * ROWS];
    alignas(64) float x[HEAD_MOST];
    for (int from = 0; from < count; from += STRIP) {
        int n = std::min(STRIP, count - from);
        for (int b = 0; b < blocks; ++b) kernels_->product(w, head * blocks + b, in, from, n, made[b]);
        for (int t = 0; t < n; ++t) {
            for (int b = 0; b < blocks; ++b)
                std::memcpy(x + b * ROWS, made[b] + t * ROWS, sizeof(float) * std::min(ROWS, c.head_dim - b * ROWS));
            if (bias)
                for (int d = 0; d < c.head_dim; ++d) x[d] += bias[head * c.head_dim + d];
            if (gain) kernels_->norm(x, gain, c.head_dim, c.epsilon, x);
            const Token& token = tokens[from + t];
            const int slot = token.position % PAGE;
            if (part < 2 && turned_)
                kernels_->rotate(x, &cosines_[token.position * turned_], &sines_[token.position * turned_],
                                 int(c.frequencies.size()), c.neighbours);
            if (part == 0) {
                float* to = qs_.data() + (size_t(from + t) * c.heads + head) * c.head_dim;
                for (int d = 0; d < c.head_dim; ++d) to[d] = x[d] * c.attention_scale;
            } else if (part == 1) {
                kernels_->store_key(x, c.head_dim, slot, c.half_cache, keys(token, index, head));
            } else {
                size_t width = c.half_cache ? 2 : 4;
                kernels_->store_value(x, c.head_dim, slot, c.half_cache,
                                      keys(token, index, head) + size_t(PAGE) * c.head_dim * width);
            }
        }
    }
}

void Model::attend(int layer, const Unit& unit, const Token* tokens) {
    const Config& c = config_;
    const Tile& tile = tiles_[unit.tile];
    const int group = c.heads / c.kv_heads, size = c.head_dim, last = tile.position + tile.count - 1;
    const size_t wide = size + 16, per_piece = size_t(c.heads) * tile.count * wide;
    const int from = unit.piece < 0 ? 0 : unit.piece, to = unit.piece < 0 ? last / PIECE + 1 : unit.piece + 1;
    alignas(64) float spare[QUERIES][HEAD_MOST];
    for (int piece = from; piece < to; ++piece) {
        const uint8_t* pages[PIECE / PAGE] = {};
        const int start = piece * PIECE;
        for (int p = 0; p < PIECE / PAGE && start + p * PAGE <= last; ++p) {
            Token at = tokens[tile.first];
            at.position = start + p * PAGE;
            pages[p] = keys(at, layer, unit.head);
        }
        // Tokens before the piece's first see nothing of it.
        const int skip = std::max(0, start - tile.position);
        for (int q = skip * group; q < tile.count * group; q += QUERIES) {
            const int n = std::min(QUERIES, tile.count * group - q);
            const float* query[QUERIES];
            int visible[QUERIES];
            float most[QUERIES], weight[QUERIES];
            float *out[QUERIES], *rows[QUERIES];
            int seen = 0;
            for (int i = 0; i < n; ++i) {
                int t = (q + i) / group, h = unit.head * group + (q + i) % group;
                query[i] = qs_.data() + (size_t(tile.first + t) * c.heads + h) * size;
                visible[i] = std::min(PIECE, tile.position + t + 1 - start);
                seen = std::max(seen, visible[i]);
                rows[i] = parts_.data() + tile.base + (unit.piece < 0 ? 0 : per_piece * unit.piece) +
                          (size_t(h) * tile.count + t) * wide;
                // A token's own first piece begins its sums.
                out[i] = unit.piece < 0 && piece > 0 ? spare[i] : rows[i];
            }
            kernels_->attend({query, pages, visible, n, seen, size, c.half_cache, most, weight, out});
            for (int i = 0; i < n; ++i) {
                float* sums = rows[i] + size;
                if (out[i] == rows[i]) {
                    sums[0] = most[i];
                    sums[1] = weight[i];
                } else {
                    kernels_->join(sums, sums + 1, rows[i], most[i], weight[i], spare[i], size);
                }
            }
        }
    }
}

// A token's attention, all heads: its pieces joined in order.
void Model::gather(int token, float* out) const {
    const Config& c = config_;
    const Tile& tile = tiles_[tile_of_[token]];
    const int size = c.head_dim, t = token - tile.first;
    const size_t wide = size + 16, per_piece = size_t(c.heads) * tile.count * wide;
    const int pieces = tile.pieces == 1 ? 1 : (tile.position + t) / PIECE + 1;
    for (int h = 0; h < c.heads; ++h) {
        const float* part = parts_.data() + tile.base + (size_t(h) * tile.count + t) * wide;
        float *o = out + size_t(h) * size, most = part[size], weight = part[size + 1];
        std::memcpy(o, part, sizeof(float) * size);
        for (int p = 1; p < pieces; ++p) {
            const float* next = part + per_piece * p;
            kernels_->join(&most, &weight, o, next[size], next[size + 1], next, size);
        }
        kernels_->divide(o, weight, size);
    }
}

void Model::step(Pool& pool, int threads, const Token* tokens, int count, float* logits, float* states) {
    const Config& c = config_;
    allocate(pool);
    plan(tokens, count);
    const int across = c.heads * c.head_dim;
    std::vector<int> wanted;
    for (int t = 0; t < count; ++t)
        if (tokens[t].row >= 0) wanted.push_back(t);

    pool.run(threads, [&](Crew& crew) {
        const bool alone = count <= REPEATED;
        const int me = crew.index();
        // Floats `fill(token, out)` as inputs of a product, made by each thread for itself or shared.
        auto prepare = [&](int n, int columns, bool repeated, auto fill) {
            Inputs in{n_.data(), bytes_.data(), scales_.data(), starts_.data(), columns, n};
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
                crew.share(n, one);
                crew.barrier();
            }
            return in;
        };
        auto add_to_x = [&](const Matrix& w, const Inputs& in, const float* bias) {
            crew.share(w.blocks(), [&](int block) {
                alignas(64) float made[STRIP * ROWS];
                const int rows = std::min(ROWS, c.hidden - block * ROWS);
                for (int from = 0; from < count; from += STRIP) {
                    int n = std::min(STRIP, count - from);
                    kernels_->product(w, block, in, from, n, made);
                    for (int t = 0; t < n; ++t) {
                        float* x = x_.data() + size_t(from + t) * c.hidden + block * ROWS;
                        kernels_->accumulate(x, made + t * ROWS, bias ? bias + block * ROWS : nullptr, c.residual_scale, rows);
                    }
                }
            });
            crew.barrier();
        };

        crew.share(count, [&](int t) {
            float* x = x_.data() + size_t(t) * c.hidden;
            unpack_row(embedding_, tokens[t].id, x);
            if (c.embedding_scale != 1.0f)
                for (int d = 0; d < c.hidden; ++d) x[d] *= c.embedding_scale;
        });
        crew.barrier();

        for (int l = 0; l < c.layers; ++l) {
            const Layer& layer = layers_[l];
            Inputs in = prepare(count, c.hidden, alone, [&](int t, float* out) {
                kernels_->norm(x_.data() + size_t(t) * c.hidden, layer.attn_norm, c.hidden, c.epsilon, out);
            });
            crew.share(c.heads + 2 * c.kv_heads, [&](int unit) { project(layer, l, unit, tokens, count, in); });
            crew.barrier();
            crew.share(int(units_.size()), [&](int n) { attend(l, units_[units_.size() - 1 - n], tokens); });
            crew.barrier();
            in = prepare(count, across, alone, [&](int t, float* out) { gather(t, out); });
            add_to_x(layer.o, in, layer.o_bias);
            const Inputs normed = prepare(count, c.hidden, alone, [&](int t, float* out) {
                kernels_->norm(x_.data() + size_t(t) * c.hidden, layer.ffn_norm, c.hidden, c.epsilon, out);
            });
            // A block of rows is a group of the next product's inputs: made whole-numbered at once, where it lies.
            in = {h_.data(), h_bytes_.data(), h_scales_.data(), h_starts_.data(), c.inter, count};
            const bool whole = layer.down.quantised();
            crew.share(layer.gate.blocks(), [&](int block) {
                alignas(64) float gate[STRIP * ROWS], up[STRIP * ROWS];
                const int rows = std::min(ROWS, c.inter - block * ROWS);
                for (int from = 0; from < count; from += STRIP) {
                    int n = std::min(STRIP, count - from);
                    kernels_->product(layer.gate, block, normed, from, n, gate);
                    kernels_->product(layer.up, block, normed, from, n, up);
                    (c.gelu ? kernels_->gelu_times : kernels_->silu_times)(gate, up, n * ROWS);
                    for (int t = 0; t < n; ++t) {
                        const size_t at = size_t(from + t) * c.inter + block * ROWS;
                        std::copy(gate + t * ROWS, gate + t * ROWS + rows, in.x + at);
                        if (whole)
                            kernels_->quantise(gate + t * ROWS, ROWS, in.q + at, in.scale + at / GROUP, in.start + at / GROUP);
                    }
                }
            });
            crew.barrier();
            add_to_x(layer.down, in, nullptr);
        }

        const int rows = int(wanted.size());
        if (!rows) return;
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
