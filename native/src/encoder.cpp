#include "encoder.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace mirim {

namespace {

// Tokens of a pass, unless one text has more: enough for threads to share, few enough to stay in the caches, and to be
// stopped soon.
constexpr int PASS = 1024;
// Tokens that a thread takes through a layer at once: they meet each block of weights together.
constexpr int TILE = 48;

}  // namespace

Encoder::Encoder(EncoderConfig config, const char* kernels) : config_(config), kernels_(find_kernels(kernels)) {
    const EncoderConfig& c = config_;
    if (!kernels_) throw wrong(std::string("this processor has no kernels called ") + kernels);
    auto within = [](const char* name, int value, int low, int high) {
        if (value < low || value > high)
            throw wrong(std::string(name) + " is " + std::to_string(value) + ", not within " + std::to_string(low) +
                        " and " + std::to_string(high));
    };
    within("vocabulary", c.vocab, 1, 1 << 22);
    within("hidden size", c.hidden, 32, 1 << 14);
    within("number of layers", c.layers, 1, 1 << 10);
    within("number of heads", c.heads, 1, 1 << 10);
    within("intermediate size", c.inter, 32, 1 << 16);
    within("context", c.context, 1, 1 << 16);
    if (c.hidden % 32 || c.inter % 32) throw wrong("the hidden and the intermediate size must be multiples of 32");
    if (c.hidden % c.heads) throw wrong("the hidden size does not divide into heads");
    head_ = c.hidden / c.heads;
    within("head size", head_, 16, HEAD_MOST);
    if (head_ % 16) throw wrong("the size of a head must be a multiple of 16");
    layers_.resize(c.layers);
}

Encoder::Spot Encoder::spot(const std::string& name) {
    const EncoderConfig& c = config_;
    auto floats = [](const float*& to, int size) { return Spot{nullptr, &to, 1, size, 0}; };
    if (name == "token_embd.weight") return {&embedding_, nullptr, c.vocab, c.hidden, 0};
    if (name == "position_embd.weight") return {nullptr, &positions_, c.context, c.hidden, 0};
    if (name == "token_types.weight") return floats(types_, c.hidden);
    if (name == "token_embd_norm.weight") return floats(norm_[0], c.hidden);
    if (name == "token_embd_norm.bias") return floats(norm_[1], c.hidden);
    const size_t dot = name.find('.', 4);
    if (name.rfind("blk.", 0) || dot == std::string::npos || dot == 4 || dot > 8) throw wrong(name + " has no place here");
    int index = 0;
    for (size_t i = 4; i < dot; ++i) {
        if (name[i] < '0' || name[i] > '9') throw wrong(name + " has no place here");
        index = index * 10 + name[i] - '0';
    }
    if (index >= c.layers) throw wrong(name + " is of a layer beyond the last");
    Layer& l = layers_[index];
    const std::string rest = name.substr(dot + 1);
    const char* stems[PARTS] = {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_up", "ffn_down"};
    for (int p = 0; p < PARTS; ++p) {
        const int rows = p == UP ? c.inter : c.hidden, columns = p == DOWN ? c.inter : c.hidden;
        if (rest == std::string(stems[p]) + ".weight") return {&l.part[p], nullptr, rows, columns, p < O ? head_ : 0};
        if (rest == std::string(stems[p]) + ".bias") return floats(l.bias[p], rows);
    }
    for (int i = 0; i < 2; ++i) {
        const std::string what = i ? ".bias" : ".weight";
        if (rest == "attn_output_norm" + what) return floats(l.attn_norm[i], c.hidden);
        if (rest == "layer_output_norm" + what) return floats(l.ffn_norm[i], c.hidden);
    }
    throw wrong(name + " has no place here");
}

void Encoder::add(const std::string& name, Source type, bool eight_bits, const uint8_t* data, size_t bytes, int rows,
                  int columns) {
    if (finished_) throw wrong("the encoder is complete already");
    const Spot s = spot(name);
    if (rows != s.rows || columns != s.columns)
        throw wrong(name + " has " + std::to_string(rows) + " rows of " + std::to_string(columns) + ", not " +
                    std::to_string(s.rows) + " of " + std::to_string(s.columns));
    if (!row_bytes(type, columns) || row_bytes(type, columns) * size_t(rows) != bytes)
        throw wrong(name + " has " + std::to_string(bytes) + " bytes, not those of its shape, or a type that is not read");
    if (s.matrix ? s.matrix->data != nullptr : *s.floats != nullptr) throw wrong(name + " is there twice");
    if (s.floats) {
        if (type != Source::f32) throw wrong(name + " is not made of floats");
        // A head that does not fill its last block has a bias of 0 there.
        uint8_t* at = arena_.take(bytes + ROWS * sizeof(float));
        std::memcpy(at, data, bytes);
        *s.floats = reinterpret_cast<const float*>(at);
        return;
    }
    Matrix m;
    m.kind = eight_bits ? Kind::q8 : natural(type);
    m.rows = s.head ? rows / s.head * ((s.head + ROWS - 1) / ROWS * ROWS) : rows;
    m.columns = columns;
    uint8_t* at = arena_.take(m.bytes());
    m.data = at;
    pack(m, at, type, data, rows, s.head);
    *s.matrix = m;
}

void Encoder::finish() {
    auto both = [](const float* const* pair) { return pair[0] && pair[1]; };
    if (!embedding_.data || !positions_ || !types_ || !both(norm_)) throw wrong("the embeddings or their norm are missing");
    for (size_t i = 0; i < layers_.size(); ++i) {
        const Layer& l = layers_[i];
        for (int p = 0; p < PARTS; ++p)
            if (!l.part[p].data || !l.bias[p]) throw wrong("layer " + std::to_string(i) + " lacks a matrix or its bias");
        if (!both(l.attn_norm) || !both(l.ffn_norm)) throw wrong("layer " + std::to_string(i) + " lacks a norm");
    }
    finished_ = true;
}

void Encoder::check(const std::vector<std::vector<int>>& texts, const Wanted& wanted) const {
    if (!finished_) throw std::invalid_argument("the encoder is not complete");
    int last = 0;
    for (int layer : wanted.layers) {
        if (layer <= last || layer > config_.layers)
            throw std::invalid_argument("layers rise from 1 to " + std::to_string(config_.layers) + ", not to " +
                                        std::to_string(layer) + " after " + std::to_string(last));
        last = layer;
    }
    for (const std::vector<int>& ids : texts) {
        if (ids.empty() || ids.size() > size_t(config_.context))
            throw std::invalid_argument("a text has " + std::to_string(ids.size()) + " tokens, not 1 to " +
                                        std::to_string(config_.context));
        for (int id : ids)
            if (id < 0 || id >= config_.vocab)
                throw std::invalid_argument("token " + std::to_string(id) + " is not in the vocabulary");
    }
}

void Encoder::encode(const std::vector<std::vector<int>>& texts, int threads, const Wanted& wanted, float* out,
                     const std::function<void()>& between) {
    check(texts, wanted);
    if (threads < 1 || threads > 1024) throw std::invalid_argument("threads are out of range");
    for (size_t from = 0; from < texts.size();) {
        size_t to = from + 1, tokens = texts[from].size();
        while (to < texts.size() && tokens + texts[to].size() <= PASS) tokens += texts[to++].size();
        {
            std::unique_lock<std::mutex> lock(mutex_);
            const uint64_t mine = last_++;
            called_.wait(lock, [&] { return now_ == mine; });
            // The turn goes on whatever happens in it.
            struct Turn {
                Encoder& e;
                ~Turn() {
                    ++e.now_;
                    e.called_.notify_all();
                }
            } turn{*this};
            if (threads != most_) {
                pool_.resize(threads);
                threads_ = Threads(most_ = threads);
            }
            pass(&texts[from], int(to - from), wanted, out);
        }
        for (; from < to; ++from) out += wanted.rows(texts[from]) * config_.hidden;
        between();
    }
}

void Encoder::plan(const std::vector<int>* texts, int count, int threads) {
    const EncoderConfig& c = config_;
    spans_.clear();
    text_of_.clear();
    tiles_.clear();
    tokens_ = pages_ = 0;
    for (int t = 0; t < count; ++t) {
        const int n = int(texts[t].size());
        spans_.push_back({tokens_, n, pages_});
        text_of_.insert(text_of_.end(), n, t);
        tokens_ += n;
        pages_ += (n + PAGE - 1) / PAGE;
    }
    // As many tiles for each thread as for the others, but none so small that weights are read for next to nothing.
    const int rounds = (tokens_ + threads * TILE - 1) / (threads * TILE);
    const int size = std::max(4, (tokens_ + threads * rounds - 1) / (threads * rounds));
    for (int t = 0; t < tokens_; t += size) tiles_.push_back({t, std::min(size, tokens_ - t)});

    auto grow = [](auto& room, size_t size) {
        if (room.size() < size) room.resize(size);
    };
    const size_t all = size_t(tokens_) * c.hidden;
    grow(x_, all);
    grow(queries_, all);
    grow(store_, size_t(2) * pages_ * c.heads * cell().bytes());
    const bool floats = std::any_of(layers_.begin(), layers_.end(), [](const Layer& l) { return !l.part[DOWN].quantised(); });
    while (int(desks_.size()) < threads) {
        desks_.emplace_back();
        Desk& d = desks_.back();
        const size_t wide = size_t(TILE) * c.hidden, inner = size_t(TILE) * c.inter;
        d.made.resize(size_t(TILE) * ROWS * ((head_ + ROWS - 1) / ROWS));
        d.mixed.resize(wide);
        d.bytes.resize(wide);
        d.scales.resize(wide / GROUP);
        d.starts.resize(wide / GROUP);
        d.inner.resize(floats ? inner : 0);
        d.inner_bytes.resize(inner);
        d.inner_scales.resize(inner / GROUP);
        d.inner_starts.resize(inner / GROUP);
    }
}

uint8_t* Encoder::page(int layer, int page, int head) {
    return store_.data() + ((size_t(layer % 2) * pages_ + page) * config_.heads + head) * cell().bytes();
}

// Rows of the hidden size as inputs of products.
Inputs Encoder::prepare(Desk& desk, float* x, int tokens) const {
    kernels_->quantise(x, tokens * config_.hidden, desk.bytes.data(), desk.scales.data(), desk.starts.data());
    return {x, desk.bytes.data(), desk.scales.data(), desk.starts.data(), config_.hidden, tokens};
}

void Encoder::embed(const std::vector<int>* texts, const Tile& tile) {
    const int hidden = config_.hidden;
    for (int t = tile.first; t < tile.first + tile.count; ++t) {
        const int text = text_of_[t], position = t - spans_[text].first;
        float* x = x_.data() + size_t(t) * hidden;
        unpack_row(embedding_, texts[text][position], x);
        const float* at = positions_ + size_t(position) * hidden;
        for (int d = 0; d < hidden; ++d) x[d] += at[d] + types_[d];
        kernels_->layer_norm(x, norm_[0], norm_[1], hidden, config_.epsilon);
    }
}

// Queries, keys and values of a tile.
void Encoder::project(int layer, const Tile& tile, Desk& desk) {
    const Layer& l = layers_[layer];
    const Cell cell = this->cell();
    const Inputs in = prepare(desk, x_.data() + size_t(tile.first) * config_.hidden, tile.count);
    const int blocks = (head_ + ROWS - 1) / ROWS;
    const float scale = 1.0f / std::sqrt(float(head_));
    alignas(64) float row[HEAD_MOST];
    for (int part = Q; part <= V; ++part)
        for (int h = 0; h < config_.heads; ++h) {
            for (int b = 0; b < blocks; ++b) {
                float* made = desk.made.data() + size_t(b) * TILE * ROWS;
                kernels_->product(l.part[part], h * blocks + b, in, 0, tile.count, made);
                kernels_->shift(made, l.bias[part] + h * head_ + b * ROWS, part == Q ? scale : 1.0f, tile.count);
            }
            for (int t = 0; t < tile.count; ++t) {
                const int token = tile.first + t;
                const float* from = desk.made.data() + size_t(t) * ROWS;
                if (part == Q || blocks > 1) {
                    float* to = part == Q ? queries_.data() + (size_t(h) * tokens_ + token) * head_ : row;
                    for (int b = 0; b < blocks; ++b)
                        std::memcpy(to + b * ROWS, from + size_t(b) * TILE * ROWS, sizeof(float) * std::min(ROWS, head_ - b * ROWS));
                    from = to;
                }
                if (part == Q) continue;
                const Span& span = spans_[text_of_[token]];
                const int position = token - span.first;
                uint8_t* at = page(layer, span.page + position / PAGE, h);
                if (part == K) kernels_->store_key(from, cell, position % PAGE, at);
                else kernels_->store_value(from, cell, position % PAGE, at + cell.keys());
            }
        }
}

// What the tile's tokens take of their texts, to desk.mixed.
void Encoder::attend(int layer, const Tile& tile, Desk& desk) {
    const Inputs query{queries_.data(), nullptr, nullptr, nullptr, head_};
    alignas(64) float spare[QUERIES][HEAD_MOST];
    float most[QUERIES], weight[QUERIES], most2[QUERIES], weight2[QUERIES], *rows[QUERIES], *others[QUERIES];
    int visible[QUERIES];
    for (int i = 0; i < QUERIES; ++i) others[i] = spare[i];
    for (int h = 0; h < config_.heads; ++h)
        for (int from = tile.first, n; from < tile.first + tile.count; from += n) {
            const Span& span = spans_[text_of_[from]];
            n = std::min({QUERIES, tile.first + tile.count - from, span.first + span.count - from});
            for (int i = 0; i < n; ++i)
                rows[i] = desk.mixed.data() + size_t(from - tile.first + i) * config_.hidden + h * head_;
            for (int start = 0; start < span.count; start += PIECE) {
                const int seen = std::min(PIECE, span.count - start);
                const uint8_t* pages[PIECE / PAGE] = {};
                for (int p = 0; p * PAGE < seen; ++p) pages[p] = page(layer, span.page + start / PAGE + p, h);
                std::fill_n(visible, n, seen);
                const bool later = start > 0;
                kernels_->attend({query, h * tokens_ + from, pages, visible, nullptr, n, seen, cell(), later ? most2 : most,
                                  later ? weight2 : weight, later ? others : rows, nullptr});
                for (int i = 0; later && i < n; ++i)
                    kernels_->join(&most[i], &weight[i], rows[i], most2[i], weight2[i], spare[i], head_);
            }
            for (int i = 0; i < n; ++i) kernels_->divide(rows[i], weight[i], head_);
        }
}

void Encoder::add_to_x(const Layer& layer, Part part, const Inputs& in, const Tile& tile, Desk& desk) {
    const Matrix& w = layer.part[part];
    for (int block = 0; block < w.blocks(); ++block) {
        kernels_->product(w, block, in, 0, tile.count, desk.made.data());
        kernels_->add_rows(x_.data() + size_t(tile.first) * config_.hidden + block * ROWS, config_.hidden, desk.made.data(),
                           layer.bias[part] + block * ROWS, tile.count);
    }
}

// All that comes after attention.
void Encoder::feed(int layer, const Tile& tile, Desk& desk) {
    const EncoderConfig& c = config_;
    const Layer& l = layers_[layer];
    float* x = x_.data() + size_t(tile.first) * c.hidden;
    auto norm = [&](const float* const* by) {
        for (int t = 0; t < tile.count; ++t) kernels_->layer_norm(x + size_t(t) * c.hidden, by[0], by[1], c.hidden, c.epsilon);
    };
    add_to_x(l, O, prepare(desk, desk.mixed.data(), tile.count), tile, desk);
    norm(l.attn_norm);
    Inputs in = prepare(desk, x, tile.count);
    // A block of rows is a group of the next product's inputs.
    const Inputs inner{desk.inner.data(), desk.inner_bytes.data(), desk.inner_scales.data(), desk.inner_starts.data(), c.inter,
                       tile.count};
    const int groups = c.inter / GROUP;
    for (int block = 0; block < groups; ++block) {
        float* made = desk.made.data();
        kernels_->product(l.part[UP], block, in, 0, tile.count, made);
        kernels_->gelu(made, l.bias[UP] + block * ROWS, tile.count);
        for (int t = 0; t < tile.count; ++t) {
            const size_t at = size_t(t) * groups + block;
            if (l.part[DOWN].quantised())
                kernels_->quantise(made + t * ROWS, ROWS, inner.q + at * GROUP, inner.scale + at, inner.start + at);
            else
                std::memcpy(inner.x + at * GROUP, made + t * ROWS, sizeof(float) * ROWS);
        }
    }
    add_to_x(l, DOWN, inner, tile, desk);
    norm(l.ffn_norm);
}

void Encoder::pass(const std::vector<int>* texts, int count, const Wanted& wanted, float* out) {
    const EncoderConfig& c = config_;
    int all = 0;
    for (int t = 0; t < count; ++t) all += int(texts[t].size());
    const int threads = threads_.next(all);
    plan(texts, count, threads);
    const int tiles = int(tiles_.size());
    pool_.run(threads, [&](Crew& crew) {
        Desk& desk = desks_[crew.index()];
        crew.share(tiles, [&](int n) {
            embed(texts, tiles_[n]);
            project(0, tiles_[n], desk);
        });
        crew.barrier();
        // A tile's own tokens are all that it changes until the next layer's attention.
        const size_t layers = wanted.layers.size();
        const int last = layers ? wanted.layers.back() : c.layers;
        for (int l = 0; l < last; ++l) {
            const size_t asked = std::find(wanted.layers.begin(), wanted.layers.end(), l + 1) - wanted.layers.begin();
            crew.share(tiles, [&](int n) {
                attend(l, tiles_[n], desk);
                feed(l, tiles_[n], desk);
                for (int t = tiles_[n].first; asked < layers && t < tiles_[n].first + tiles_[n].count; ++t)
                    std::memcpy(out + (t * layers + asked) * c.hidden, x_.data() + size_t(t) * c.hidden,
                                sizeof(float) * c.hidden);
                if (l + 1 < last) project(l + 1, tiles_[n], desk);
            });
            crew.barrier();
        }
        if (layers) return;
        crew.share(count, [&](int t) {
            const Span& span = spans_[t];
            const float* x = x_.data() + size_t(span.first) * c.hidden;
            float* to = out + size_t(t) * c.hidden;
            std::memcpy(to, x, sizeof(float) * c.hidden);
            for (int n = 1; n < span.count; ++n)
                for (int d = 0; d < c.hidden; ++d) to[d] += x[size_t(n) * c.hidden + d];
            for (int d = 0; d < c.hidden; ++d) to[d] /= float(span.count);
        });
    });
    threads_.done();
}

}  // namespace mirim
