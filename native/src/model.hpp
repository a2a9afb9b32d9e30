// A decoder of the Llama family: its weights, and one step over any tokens of any sequences.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "adapters.hpp"
#include "arena.hpp"
#include "kernels.hpp"
#include "pack.hpp"
#include "pool.hpp"

namespace mirim {

struct Config {
    int vocab = 0, hidden = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, inter = 0, context = 0;
    float epsilon = 1e-5f;
    // Rotation: of neighbours (2i, 2i + 1), or of halves (i, i + n / 2); angles per position, one for each pair.
    bool neighbours = true;
    std::vector<float> frequencies;
    float rope_gain = 1.0f;  // of cosine and sine (YaRN)
    // Layers that see the last `window` tokens only, the token itself among them; they may turn by angles of their own.
    int window = 0;
    std::vector<bool> local;
    std::vector<float> local_frequencies;
    float embedding_scale = 1.0f, residual_scale = 1.0f, attention_scale = 0.0f, logit_scale = 1.0f;
    bool gelu = false;
    bool norms_behind = false;  // of what a block adds, beside those before it
    // Keys in eight bits and values in half precision, else both as floats.
    bool narrow_cache = true;
};

struct Layer {
    Matrix part[PARTS];
    const float *attn_norm = nullptr, *ffn_norm = nullptr, *q_norm = nullptr, *k_norm = nullptr;
    const float *after_attn = nullptr, *after_ffn = nullptr;  // norms of what a block adds
    int window = 0;                                           // tokens that are seen; 0: all
    int turns = 0;                                            // which rotation
    const float *q_bias = nullptr, *k_bias = nullptr, *v_bias = nullptr, *o_bias = nullptr;
    const float *gate_bias = nullptr, *up_bias = nullptr, *down_bias = nullptr;
};

// A token to compute. `pages` are its sequence's, long enough for `position`; logits go to row `row`, if not -1;
// `adapter` changes the matrices for it, if not -1. It sees those up to itself, or the sequence's first `sight`, if not 0:
// what is not there yet must be in the same step.
struct Token {
    int id, position;
    uint8_t* const* pages;
    int row, adapter = -1, sight = 0;
};

class Model {
public:
    explicit Model(Config config, const char* kernels);
    ~Model();
    Model(const Model&) = delete;

    // Loading: reserve every tensor, then fill them, then `finish`. Names are GGUF's. Throw std::runtime_error for what
    // does not fit the configuration.
    void add(const std::string& name, Source type, bool eight_bits, const uint8_t* data, size_t bytes, int rows, int columns);
    void finish();
    // Before `finish`: another adapter, and half of a change of the matrix `name`, down (rank x columns, with the scale
    // of the change) or up (rows x rank).
    int begin_adapter() { return adapters_.begin(config_.layers); }
    void adapt(int adapter, const std::string& name, bool down, Source type, const uint8_t* data, size_t bytes, int rows,
               int columns, float scale);
    int adapters() const { return adapters_.count(); }

    const Config& config() const { return config_; }
    const Kernels& kernels() const { return *kernels_; }
    size_t weight_bytes() const { return arena_.bytes(); }
    Cell cell() const { return {config_.head_dim, config_.narrow_cache}; }
    size_t page_bytes() const;
    // Of names, shapes and contents of all weights, as they lie in memory.
    uint64_t digest() const;
    int max_tokens() const { return MOST; }
    // Of a text whose tokens see all of it: as many as a step of its own may have; 0 where layers have windows.
    int max_whole() const { return config_.window ? 0 : WHOLE; }

    // Compute `count` tokens (at most max_tokens(), or max_whole()), storing keys and values in their pages. Tokens of one sequence
    // follow each other by position. `logits` [rows][vocab] and `states` [rows][hidden] (the last norm's output),
    // each may be null. The result does not depend on `threads`, nor on what else is in the step.
    void step(Pool& pool, int threads, const Token* tokens, int count, float* logits, float* states);

    static constexpr int MOST = 128, WHOLE = 512;

private:
    // So few tokens are normalised and quantised by every thread for itself, which is quicker than a barrier; their attention
    // is split by pieces.
    static constexpr int REPEATED = 4;
    // Neighbouring tokens of one sequence: [first, first + count), the first at `position`. Their attention's sums lie at
    // `base` of parts_: [pieces][heads][count][head_dim + 16], the last 16 holding the largest score and the weight.
    struct Tile {
        int first, count, position, pieces;
        size_t base;
        int sight;  // as its tokens have it

        // What token `t` of it does not see any more.
        int end_of_sight(int t) const { return sight ? sight : position + t + 1; }
        int end() const { return end_of_sight(count - 1); }
    };

    // `piece` -1: all pieces, one after the other.
    struct Unit {
        int tile, head, piece;
    };
    // Where a tensor of a layer belongs; part PARTS where it is no matrix.
    struct Spot {
        int layer;
        std::string name;
        Part part;
        int rows, columns, head;
    };
    Spot spot(const std::string& name) const;
    void allocate(Pool& pool, int count);
    // `parts`: of the tokens, of which no tile crosses the border.
    void plan(const Token* tokens, int count, int parts);
    void project(const Layer& layer, int index, int unit, const Token* tokens, int count, int from, int to, const Inputs& in);
    void find_pages(const Token* tokens, int layer, const Unit& unit, int piece, const uint8_t** pages) const;
    // `next`: what this thread attends to after it, probably, or null. `all`: tokens of the step.
    void attend(int layer, const Unit& unit, const Unit* next, const Token* tokens, int all);
    void gather(int layer, int token, float* out) const;
    // The first token that one at `position` sees.
    int begin_of_sight(int layer, int position) const {
        const int window = layers_[layer].window;
        return window ? std::max(0, position - window + 1) : 0;
    }
    uint8_t* keys(const Token& token, int layer, int head) const;
    // `twin`: a matrix of the same shape whose blocks lie between this one's, whichever comes first.
    Matrix place(const std::string& name, Source type, bool eight_bits, int rows, int columns, int head, uint8_t** at,
                 Matrix* twin = nullptr);

    Config config_;
    const Kernels* kernels_;
    Matrix embedding_, head_;
    const float* last_norm_ = nullptr;
    std::vector<Layer> layers_;
    bool any_quantised_ = false;
    Adapters adapters_;

    Arena arena_;
    std::string placed_;  // what lies there, in order

    // Room for a step.
    std::vector<float> x_, y_, n_, qs_, h_, parts_;
    // [position][turned_], see Kernels::rotate
    struct Turns {
        std::vector<float> frequencies;
        float gain;
        std::vector<float> cosines, sines;
    };
    std::vector<Turns> turns_;
    size_t turned_ = 0;
    std::vector<int8_t> bytes_, h_bytes_, q_bytes_;
    std::vector<float> scales_, h_scales_, q_scales_;
    std::vector<int32_t> starts_, h_starts_, q_starts_;
    std::vector<std::vector<float>> own_floats_;
    std::vector<std::vector<int8_t>> own_bytes_;
    std::vector<std::vector<int32_t>> own_starts_;
    std::vector<Tile> tiles_;
    std::vector<Unit> units_;
    std::vector<int> tile_of_;
};

}  // namespace mirim
