// One token from a row of logits.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "kernels.hpp"

namespace mirim {

struct Sampling {
    float temperature = 0, top_p = 1, min_p = 0, repeat_penalty = 1;
    int top_k = 0;
    uint64_t seed = 0;
};

struct Chosen {
    int token = 0;
    float logprob = 0;                          // of the token, by the logits as they are
    std::vector<std::pair<int, float>> likely;  // the likeliest tokens and theirs
};

// `seen` are all tokens before; `mask` has a bit for each token that may follow, or is null. `logprobs` -1: not wanted;
// otherwise how many of the likeliest are told. The draw depends on the seed and on how many tokens there were, not on
// what was computed in between: drafted answers equal plain ones. Order: mask, repetition penalty (Keskar et al. 2019),
// top-k, top-p (Holtzman et al. 2020), min-p. Token -1: nothing may be chosen, for the row's values are no numbers (one of
// them is enough where a token is drawn or probabilities are told) or the mask forbids all.
Chosen choose(const Kernels& kernels, const float* row, int vocab, const Sampling& how, const std::vector<int>& seen,
              const uint32_t* mask, int logprobs);

// Natural-log probability of one token.
double log_probability(const Kernels& kernels, const float* row, int vocab, int token);

}  // namespace mirim
