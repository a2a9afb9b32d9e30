// An encoder shaped like BERT: every token of a text sees all others, and a text becomes one vector.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "arena.hpp"
#include "kernels.hpp"
#include "pack.hpp"
#include "pool.hpp"
#include "threads.hpp"

namespace mirim {

struct EncoderConfig {
    int vocab = 0, hidden = 0, layers = 0, heads = 0, inter = 0, context = 0;
    float epsilon = 1e-12f;
};

// What is asked of texts: the mean of their tokens' last states, or, where layers are named (rising, the first is 1), every
// token's states after these.
struct Wanted {
    std::vector<int> layers;

    size_t rows(const std::vector<int>& text) const { return layers.empty() ? 1 : text.size() * layers.size(); }
};

class Encoder {
public:
    Encoder(EncoderConfig config, const char* kernels);

    // Every tensor by its name in GGUF, then `finish`; std::runtime_error for what does not fit the configuration. Only
    // the first of the types of tokens is read. `eight_bits`: matrices are held in eight bits, those of four as exactly.
    void add(const std::string& name, Source type, bool eight_bits, const uint8_t* data, size_t bytes, int rows, int columns);
    void finish();

    // Vectors [texts][hidden] or states [tokens][layers][hidden] to `out`. std::invalid_argument for texts that are empty,
    // too long, or have tokens beyond the vocabulary, and for layers that there are not. Several callers take turns, pass
    // by pass; `between` is called after each pass, and may throw. What a text gives does not depend on `threads`, nor on
    // the other texts.
    void encode(const std::vector<std::vector<int>>& texts, int threads, const Wanted& wanted, float* out,
                const std::function<void()>& between);

    const EncoderConfig& config() const { return config_; }

private:
    enum Part { Q, K, V, O, UP, DOWN, PARTS };
    struct Layer {
        Matrix part[PARTS];
        const float* bias[PARTS] = {};
        const float *attn_norm[2] = {}, *ffn_norm[2] = {};  // weight, bias
    };
    // Where a tensor belongs: a matrix, or floats that stay as they are.
    struct Spot {
        Matrix* matrix;
        const float** floats;
        int rows, columns, head;
    };
    // Neighbouring tokens, which one thread takes through a layer; they may be of several texts.
    struct Tile {
        int first, count;
    };
    // One text's tokens in a pass, and its first page.
    struct Span {
        int first, count, page;
    };
    // What a thread holds of its tile.
    struct Desk {
        Room<float> made, mixed, scales, inner, inner_scales;
        Room<int8_t> bytes, inner_bytes;
        Room<int32_t> starts, inner_starts;
    };

    Spot spot(const std::string& name);
    void check(const std::vector<std::vector<int>>& texts, const Wanted& wanted) const;
    void pass(const std::vector<int>* texts, int count, const Wanted& wanted, float* out);
    void plan(const std::vector<int>* texts, int count, int threads);
    Inputs prepare(Desk& desk, float* x, int tokens) const;
    void embed(const std::vector<int>* texts, const Tile& tile);
    void project(int layer, const Tile& tile, Desk& desk);
    void attend(int layer, const Tile& tile, Desk& desk);
    void feed(int layer, const Tile& tile, Desk& desk);
    void add_to_x(const Layer& layer, Part part, const Inputs& in, const Tile& tile, Desk& desk);
    uint8_t* page(int layer, int page, int head);
    Cell cell() const { return {head_, false}; }

    EncoderConfig config_;
    const Kernels* kernels_;
    int head_ = 0;  // size
    bool finished_ = false;
    Arena arena_;
    Matrix embedding_;
    const float *positions_ = nullptr, *types_ = nullptr, *norm_[2] = {};
    std::vector<Layer> layers_;

    // Callers in the order in which they came.
    std::mutex mutex_;
    std::condition_variable called_;
    uint64_t last_ = 0, now_ = 0;

    // Of one pass.
    Pool pool_{1};
    int most_ = 1;
    Threads threads_;
    std::vector<Tile> tiles_;
    std::vector<Span> spans_;
    std::vector<int> text_of_;  // a token's
    int tokens_ = 0, pages_ = 0;
    Room<float> x_, queries_;  // [token][hidden], [head][token][head_]
    Room<uint8_t> store_;      // keys and values, of this layer and the next
    std::vector<Desk> desks_;
};

}  // namespace mirim
