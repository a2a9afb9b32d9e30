// What a step of the model needs from the processor. One table of functions for each instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mirim {

// Bytes of a line of a cache.
constexpr size_t LINE = 64;
// Rows in a block of weights, and columns in a group that shares a scale.
constexpr int ROWS = 32, GROUP = 32;
// Tokens whose keys and values lie together, and tokens whose attention is computed as one piece. Pieces are the
// same whatever the number of threads, and their sums are joined in order.
constexpr int PAGE = 32, PIECE = 128;
// Queries that attention takes at once.
constexpr int QUERIES = 24;
// Tokens whose rows a product makes before they are used: they stay in the first cache.
constexpr int STRIP = 48;
// The largest head.
constexpr int HEAD_MOST = 256;
// The bits of the float 1.5 x 2^23: with a whole number n of fewer than 22 bits added they are those of 1.5 x 2^23 + n.
constexpr int32_t WHOLE = 0x4b400000;

enum class Kind : uint8_t { f32, f16, bf16, q8, q4 };

// A weight matrix in blocks of 32 rows, missing rows zero. Block: floats [columns][32]; or, for each group of 32
// columns, 32 half-precision scales and [8 quads of columns][32 rows][4] bytes of value + 128, or for four bits
// [4 pairs of quads][32 rows][4] bytes, the even quad's value + 8 below, the odd one's above.
struct Matrix {
    Kind kind = Kind::f32;
    int rows = 0, columns = 0;
    const uint8_t* data = nullptr;
    size_t apart = 0;  // bytes from one block to the next where another matrix's blocks lie between them, else 0
    bool far = false;  // of a model that no cache holds: it comes from memory with every step

    int blocks() const { return (rows + ROWS - 1) / ROWS; }
    size_t block_bytes() const {
        switch (kind) {
            case Kind::f32: return size_t(columns) * ROWS * 4;
            case Kind::q8: return size_t(columns / GROUP) * (ROWS * 2 + ROWS * GROUP);
            case Kind::q4: return size_t(columns / GROUP) * (ROWS * 2 + ROWS * GROUP / 2);
            default: return size_t(columns) * ROWS * 2;
        }
    }
    size_t bytes() const { return block_bytes() * blocks(); }
    size_t step() const { return apart ? apart : block_bytes(); }
    bool quantised() const { return kind == Kind::q8 || kind == Kind::q4; }
    const uint8_t* block(int n) const { return data + step() * n; }
};

// Inputs of a product: `x` for float weights; for quantised ones `q`, with a scale and where its sums begin (WHOLE -
// 128 x the group's sum, see vec.hpp) for each group.
struct Inputs {
    float* x = nullptr;        // [tokens][columns]
    int8_t* q = nullptr;       // [tokens][columns]
    float* scale = nullptr;    // [tokens][columns / 32]
    int32_t* start = nullptr;  // [tokens][columns / 32]
    int columns = 0;
    int tokens = 0;  // that meet a block of weights one after the other; meanwhile the next block is asked for
};

// How keys and values of one head and PAGE tokens lie in a page. Floats: keys in strips of 16 tokens, [size][16], values
// [token][size]. Narrow: keys as a block of eight-bit weights whose rows are the tokens, values [token][size] in half
// precision.
struct Cell {
    int size;  // of a head, a multiple of 16
    bool narrow;

    int columns() const { return (size + GROUP - 1) / GROUP * GROUP; }
    size_t keys() const {
        return narrow ? Matrix{Kind::q8, ROWS, columns(), nullptr}.bytes() : size_t(PAGE) * size * sizeof(float);
    }
    size_t values() const { return size_t(PAGE) * size * (narrow ? 2 : sizeof(float)); }
    size_t bytes() const { return keys() + values(); }
};
static_assert(PAGE == ROWS, "a page of keys is a block of weights");

// Part of one sequence's attention for `count` queries (at most QUERIES) of one head of keys: over the first `tokens` of
// a piece, of which query i sees those before `visible[i]` and, where there is `hidden`, from `hidden[i]` on.
struct Attention {
    Inputs query;                  // rows [first, first + count), already scaled; as floats, or narrow in whole numbers
    int first;
    const uint8_t* const* pages;   // pages of this piece, at this layer and head: keys, then values
    const int* visible;            // [count], in tokens of this piece
    const int* hidden;             // [count] or null, each less than what is visible
    int count, tokens;             // tokens of the piece that anybody sees
    Cell cell;
    float* most;                   // [count] largest score
    float* weight;                 // [count] sum of e^(score - most)
    float* const* out;             // [count] -> [size] sum of e^(score - most) x value
    const uint8_t* const* later;   // pages that are attended next and asked for meanwhile, or null
};

struct Kernels {
    const char* name;
    // Whether weights, and what attention begins with, are asked for beforehand; what it goes on with always is.
    bool (*asks)();
    // out[tokens][32] = block of `w` x inputs[first .. first + tokens)
    void (*product)(const Matrix& w, int block, const Inputs& in, int first, int tokens, float* out);
    void (*norm)(const float* x, const float* weight, int size, float epsilon, float* out);
    void (*quantise)(const float* x, int size, int8_t* q, float* scale, int32_t* start);
    // x[i] += (made[i] + bias[i]) * by; bias may be null
    void (*accumulate)(float* x, const float* made, const float* bias, float by, int size);
    // Pairs of x, neighbours or halves, turned by angles: `cosines` and `sines` for every value, the sines of a pair's
    // first one negative. Neighbours are padded to 16 values, with angles of 0.
    void (*rotate)(float* x, const float* cosines, const float* sines, int pairs, bool neighbours);
    // In place: each block of x by Sylvester's matrix of ones and minus ones, not scaled; a block is as large as the
    // largest power of two that divides `size`, a multiple of 16.
    void (*hadamard)(float* x, int size);
    // gate[i] = silu(gate[i]) * up[i]; size a multiple of 16
    void (*silu_times)(float* gate, const float* up, int size);
    void (*gelu_times)(float* gate, const float* up, int size);
    void (*attend)(const Attention& a);
    // (most, weight, out) of a query joined with those of its next piece
    void (*join)(float* most, float* weight, float* out, float most2, float weight2, const float* out2, int size);
    // x[i] /= by; size a multiple of 16
    void (*divide)(float* x, float by, int size);
    // k of cell.columns() values, the last ones zero.
    void (*store_key)(const float* k, const Cell& cell, int slot, uint8_t* keys);
    void (*store_value)(const float* v, const Cell& cell, int slot, uint8_t* values);
    // In place: (x - mean) / sqrt(variance + epsilon) * weight + bias; size a multiple of 16
    void (*layer_norm)(float* x, const float* weight, const float* bias, int size, float epsilon);
    // Of a product's outputs, [tokens][32]: (made + bias) * by, and the exact gelu(made + bias)
    void (*shift)(float* made, const float* bias, float by, int tokens);
    void (*gelu)(float* made, const float* bias, int tokens);
    // The same added to 32 columns of x, whose rows lie `stride` apart
    void (*add_rows)(float* x, int stride, const float* made, const float* bias, int tokens);
    // weights[i] = e^((row[i] - most) * by), nothing where that is less than e^-87, for a row whose largest value is `most`;
    // their sum, which is no number if one of the row's is none. `weights` may be null.
    double (*weigh)(const float* row, int size, float most, float by, float* weights);
};

// Those that this processor can run, the fastest first; the portable one is always there.
const Kernels* const* available(int* count);
const Kernels* find_kernels(const char* name);  // nullptr if there are none of this name; "" for the fastest

}  // namespace mirim
