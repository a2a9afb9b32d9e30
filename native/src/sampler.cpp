#include "sampler.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace mirim {

namespace {

// SplitMix64 (Steele et al. 2014) of a seed and a number, as a fraction in [0, 1).
double fraction(uint64_t seed, uint64_t number) {
    uint64_t z = seed + (number + 1) * 0x9e3779b97f4a7c15ULL;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return double((z ^ z >> 31) >> 11) * 0x1.0p-53;
}

// The largest value, in sixteen lanes: one after the other they take 2 % of a small model's step.
float largest(const float* row, int vocab) {
    constexpr int LANES = 16;
    float most[LANES];
    std::fill(most, most + LANES, -std::numeric_limits<float>::infinity());
    int i = 0;
    for (; i + LANES <= vocab; i += LANES)
        for (int j = 0; j < LANES; ++j) most[j] = most[j] < row[i + j] ? row[i + j] : most[j];
    for (; i < vocab; ++i) most[0] = most[0] < row[i] ? row[i] : most[0];
    return *std::max_element(most, most + LANES);
}

double log_sum(const float* row, int vocab) {
    float most = largest(row, vocab);
    double total = 0;
    for (int i = 0; i < vocab; ++i) total += std::exp(double(row[i] - most));
    return double(most) + std::log(total);
}

// The first of the largest; 0 where no value is a number.
int likeliest(const float* row, int vocab) {
    const int at = int(std::find(row, row + vocab, largest(row, vocab)) - row);
    return at < vocab ? at : 0;
}

// Order the first tokens of `ids` by weight, until they hold `enough`, or `most` of them; returns how many those are.
size_t order(std::vector<int>& ids, const std::vector<float>& weight, double enough, size_t most) {
    auto heavier = [&](int a, int b) { return weight[a] > weight[b] || (weight[a] == weight[b] && a < b); };
    size_t done = 0, next = 64;
    double sum = 0;
    while (done < most) {
        next = std::min(next, most);
        if (next < ids.size()) std::nth_element(ids.begin() + done, ids.begin() + next, ids.end(), heavier);
        std::sort(ids.begin() + done, ids.begin() + next, heavier);
        for (; done < next; ++done) {
            sum += weight[ids[done]];
            if (sum >= enough) return done + 1;
        }
        next *= 4;
    }
    return most;
}

}  // namespace

double log_probability(const float* row, int vocab, int token) { return double(row[token]) - log_sum(row, vocab); }

Chosen choose(const float* row, int vocab, const Sampling& how, const std::vector<int>& seen, const uint32_t* mask,
              int logprobs) {
    const float nothing = -std::numeric_limits<float>::infinity();
    std::vector<float> changed;
    const float* x = row;
    if (mask || how.repeat_penalty != 1.0f) {
        changed.assign(row, row + vocab);
        if (mask)
            for (int i = 0; i < vocab; ++i)
                if (!(mask[i / 32] >> (i % 32) & 1)) changed[i] = nothing;
        if (how.repeat_penalty != 1.0f) {
            std::vector<int> once(seen);
            std::sort(once.begin(), once.end());
            once.erase(std::unique(once.begin(), once.end()), once.end());
            for (int t : once)
                changed[t] = changed[t] > 0 ? changed[t] / how.repeat_penalty : changed[t] * how.repeat_penalty;
        }
        x = changed.data();
    }
    Chosen chosen;
    chosen.token = likeliest(x, vocab);
    const float most = x[chosen.token];
    if (!std::isfinite(most)) return chosen.token = -1, chosen;
    if (how.temperature > 0) {
        std::vector<float> weight(vocab);
        double total = 0;
        for (int i = 0; i < vocab; ++i) {
            weight[i] = std::exp((x[i] - most) / how.temperature);
            total += weight[i];
        }
        if (!std::isfinite(total)) return chosen.token = -1, chosen;  // nor can they be put in order
        std::vector<int> ids(vocab);
        std::iota(ids.begin(), ids.end(), 0);
        size_t count = ids.size();
        if (how.top_k > 0 && size_t(how.top_k) < count) {
            count = order(ids, weight, std::numeric_limits<double>::infinity(), how.top_k);
            total = 0;
            for (size_t i = 0; i < count; ++i) total += weight[ids[i]];
        }
        if (how.top_p < 1 || how.min_p > 0) {
            ids.resize(count);
            if (how.top_p >= 1) {
                // What is too unlikely beside the likeliest, whose weight is 1, need not be put in order.
                auto unlikely = [&](int i) { return weight[i] < std::min(how.min_p, 1.0f); };
                ids.erase(std::remove_if(ids.begin(), ids.end(), unlikely), ids.end());
                count = ids.size();
            }
            count = order(ids, weight, how.top_p < 1 ? how.top_p * total : total * 2, count);
            while (count > 1 && weight[ids[count - 1]] < how.min_p * weight[ids[0]]) --count;
            total = 0;
            for (size_t i = 0; i < count; ++i) total += weight[ids[i]];
        }
        double left = fraction(how.seed, seen.size()) * total;
        size_t at = 0;
        while (at + 1 < count && (left -= weight[ids[at]]) >= 0) ++at;
        while (at && weight[ids[at]] <= 0) --at;  // rounding must not draw what has no weight
        chosen.token = ids[at];
    }
    if (logprobs >= 0) {
        double all = log_sum(row, vocab);
        if (!std::isfinite(all)) return chosen.token = -1, chosen;
        chosen.logprob = float(row[chosen.token] - all);
        std::vector<int> ids(vocab);
        std::iota(ids.begin(), ids.end(), 0);
        size_t n = std::min<size_t>(logprobs, vocab);
        std::partial_sort(ids.begin(), ids.begin() + n, ids.end(),
                          [&](int a, int b) { return row[a] > row[b] || (row[a] == row[b] && a < b); });
        for (size_t i = 0; i < n; ++i) chosen.likely.emplace_back(ids[i], float(row[ids[i]] - all));
    }
    return chosen;
}

}  // namespace mirim
