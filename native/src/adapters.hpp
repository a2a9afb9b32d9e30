// Low-rank changes of matrices (LoRA, Hu et al. 2021), one set for each fine-tune; every token of a step picks one set
// or none.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <vector>

#include "kernels.hpp"
#include "pack.hpp"
#include "pool.hpp"

namespace mirim {

// The matrices of a layer that can be changed.
enum Part { Q, K, V, O, GATE, UP, DOWN, PARTS };

class Adapters {
public:
    static constexpr int RANK_MOST = 512;

    // Another adapter of a model with so many layers; its number.
    int begin(int layers);
    // Half of a change, rank x columns (`down`) or rows x rank (`up`), of one matrix. `head` as in `pack`; `scale` is
    // that of the whole change, given with `down`. Throws std::runtime_error for what is there twice or is no such half.
    void add(int adapter, int layer, Part part, bool down, Source type, const uint8_t* data, int rows, int columns,
             int head, float scale);
    // Throws std::runtime_error unless both halves of every change are there and fit.
    void finish(int most_tokens);
    int count() const { return int(adapters_.size()); }

    // A step: what `adapter_of(t)` says of each of `count` tokens, -1 for none.
    template <class Of>
    void plan(int count, Of adapter_of) {
        runs_.clear();
        for (int t = 0; t < count; ++t) {
            int adapter = adapter_of(t);
            if (adapter < 0) continue;
            if (!runs_.empty() && runs_.back().adapter == adapter && runs_.back().first + runs_.back().count == t)
                ++runs_.back().count;
            else
                runs_.push_back({t, 1, adapter});
        }
    }
    // down x inputs for these parts, which share their inputs; all threads meet at its end. Nothing where no token has
    // an adapter.
    void lower(Crew& crew, const Kernels& kernels, int layer, std::initializer_list<Part> parts, const Inputs& in);
    // made[n][32], block `block` of what a matrix makes of tokens [from, from + n), += scale x up x (down x inputs)
    void raise(const Kernels& kernels, int layer, Part part, int block, int from, int n, float* made) const {
        if (!runs_.empty()) add_changes(kernels, layer, part, block, from, n, made);
    }

private:
    struct Free {
        void operator()(uint8_t* p) const;
    };
    struct Change {
        Matrix down, up;
        float scale = 1;
        std::unique_ptr<uint8_t, Free> down_data, up_data;
    };
    struct Run {
        int first, count, adapter;
    };
    const Change& change(int adapter, int layer, Part part) const { return adapters_[adapter][layer * PARTS + part]; }
    void add_changes(const Kernels& kernels, int layer, Part part, int block, int from, int n, float* made) const;

    std::vector<std::vector<Change>> adapters_;
    int rank_ = 0;  // the highest
    std::vector<Run> runs_;
    // down x inputs: that of token t in a run from `first` on at first x rank_ + (t - first) x rank.
    std::vector<float> low_[PARTS];
};

}  // namespace mirim
