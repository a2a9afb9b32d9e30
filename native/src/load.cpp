// Loading: tensors by their names into the core's layout, adapters beside them.
#include <cstring>
#include <string>

#include "model.hpp"
#include "sum.hpp"

namespace mirim {

namespace {

// What a group of cores shares of cache, on the processors that ask otherwise for what lies beyond it.
constexpr size_t FAR = size_t(32) << 20;

}  // namespace

Matrix Model::place(const std::string& name, Source type, bool eight_bits, int rows, int columns, int head, uint8_t** at,
                    Matrix* twin) {
    if (!row_bytes(type, columns)) throw wrong(name + " has a type or a width that is not read here");
    Matrix m;
    bool quantised = type == Source::q8_0 || type == Source::q4_0;
    m.kind = eight_bits && !quantised && columns % GROUP == 0 ? Kind::q8 : natural(type);
    m.rows = head ? rows / head * ((head + ROWS - 1) / ROWS * ROWS) : rows;
    m.columns = columns;
    any_quantised_ |= m.quantised();
    if (twin && !twin->data) {
        // Where the other one turns out to be of another kind, its room stays empty.
        m.apart = 2 * m.block_bytes();
        *at = arena_.take(2 * m.bytes());
    } else if (twin && twin->kind == m.kind) {
        m.apart = twin->apart;
        *at = const_cast<uint8_t*>(twin->data) + m.block_bytes();
    } else {
        *at = arena_.take(m.bytes());
    }
    m.data = *at;
    placed_ += name + ' ' + std::to_string(int(m.kind)) + ' ' + std::to_string(m.rows) + ' ' + std::to_string(columns) + '\n';
    return m;
}

uint64_t Model::digest() const {
    Sum all;
    for (auto& [data, size] : arena_.parts()) all.add(data, size);
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
    auto matrix = [&](Matrix& to, int r, int k, int head = 0, Matrix* twin = nullptr) {
        shape(r, k);
        if (to.data) throw wrong(name + " is there twice");
        uint8_t* at;
        to = place(name, type, eight_bits, rows, columns, head, &at, twin);
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
    const Spot s = spot(name);
    Layer& l = layers_[s.layer];
    // Blocks of these two are read in turn, and lie so: memory that is read in one run comes faster.
    Matrix* twin = s.part == GATE ? &l.part[UP] : s.part == UP ? &l.part[GATE] : nullptr;
    if (s.part != PARTS) return matrix(l.part[s.part], s.rows, s.columns, s.head, twin);
    if (s.name == "attn_norm.weight") return vector(l.attn_norm, c.hidden);
    if (s.name == "ffn_norm.weight") return vector(l.ffn_norm, c.hidden);
    if (s.name == "post_attention_norm.weight") return vector(l.after_attn, c.hidden);
    if (s.name == "post_ffw_norm.weight") return vector(l.after_ffn, c.hidden);
    if (s.name == "attn_q_norm.weight") return vector(l.q_norm, c.head_dim);
    if (s.name == "attn_k_norm.weight") return vector(l.k_norm, c.head_dim);
    if (s.name == "attn_q.bias") return vector(l.q_bias, q);
    if (s.name == "attn_k.bias") return vector(l.k_bias, kv);
    if (s.name == "attn_v.bias") return vector(l.v_bias, kv);
    if (s.name == "attn_output.bias") return vector(l.o_bias, c.hidden);
    if (s.name == "ffn_gate.bias") return vector(l.gate_bias, c.inter);
    if (s.name == "ffn_up.bias") return vector(l.up_bias, c.inter);
    if (s.name == "ffn_down.bias") return vector(l.down_bias, c.hidden);
    throw wrong(name + " has no place here");
}

Model::Spot Model::spot(const std::string& name) const {
    const Config& c = config_;
    size_t dot = name.find('.', 4);
    if (name.rfind("blk.", 0) || dot == std::string::npos || dot - 4 > 4) throw wrong(name + " has no place here");
    int index = 0;
    for (size_t i = 4; i < dot; ++i) {
        if (name[i] < '0' || name[i] > '9') throw wrong(name + " has no place here");
        index = index * 10 + name[i] - '0';
    }
    if (index >= c.layers) throw wrong(name + " is of a layer beyond the last");
    const int q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
    const std::string rest = name.substr(dot + 1);
    const Spot matrices[] = {
        {index, "attn_q.weight", Q, q, c.hidden, c.head_dim},  {index, "attn_k.weight", K, kv, c.hidden, c.head_dim},
        {index, "attn_v.weight", V, kv, c.hidden, c.head_dim}, {index, "attn_output.weight", O, c.hidden, q, 0},
        {index, "ffn_gate.weight", GATE, c.inter, c.hidden, 0}, {index, "ffn_up.weight", UP, c.inter, c.hidden, 0},
        {index, "ffn_down.weight", DOWN, c.hidden, c.inter, 0},
    };
    for (const Spot& s : matrices)
        if (s.name == rest) return s;
    return {index, rest, PARTS, 0, 0, 0};
}

void Model::adapt(int adapter, const std::string& name, bool down, Source type, const uint8_t* data, size_t bytes,
                  int rows, int columns, float scale) {
    const Spot s = spot(name);
    if (s.part == PARTS) throw wrong(name + " cannot be changed by an adapter");
    if (down ? columns != s.columns : rows != s.rows)
        throw wrong("the adapter's change of " + name + " is made for another matrix than one of " +
                    std::to_string(s.rows) + " rows of " + std::to_string(s.columns));
    if (rows < 1 || columns < 1 || row_bytes(type, columns) * size_t(rows) != bytes || !bytes)
        throw wrong("the adapter's change of " + name + " has " + std::to_string(bytes) + " bytes, not those of its shape");
    adapters_.add(adapter, s.layer, s.part, down, type, data, rows, columns, s.head, scale);
}

void Model::finish() {
    if (!embedding_.data || !last_norm_) throw wrong("the embeddings or the last norm are missing");
    for (size_t i = 0; i < layers_.size(); ++i) {
        const Layer& l = layers_[i];
        for (const Matrix& m : l.part)
            if (!m.data) throw wrong("layer " + std::to_string(i) + " lacks a matrix");
        if (!l.attn_norm || !l.ffn_norm) throw wrong("layer " + std::to_string(i) + " lacks a norm");
        if (!l.after_attn == config_.norms_behind || !l.after_ffn == config_.norms_behind)
            throw wrong("layer " + std::to_string(i) + " has norms behind its blocks, or lacks them");
        if (!l.q_norm != !l.k_norm) throw wrong("layer " + std::to_string(i) + " norms queries or keys only");
    }
    if (!head_.data) head_ = embedding_;
    if (arena_.taken() > FAR) {
        head_.far = true;
        for (Layer& l : layers_)
            for (Matrix& m : l.part) m.far = true;
    }
    adapters_.finish(std::max(MOST, max_whole()));
}

}  // namespace mirim
