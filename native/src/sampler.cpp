#include "sampler.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
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

double log_sum(const Kernels& kernels, const float* row, int vocab) {
    const float most = largest(row, vocab);
    return double(most) + std::log(kernels.weigh(row, vocab, most, 1.0f, nullptr));
}

// The first of the largest; 0 where no value is a number.
int likeliest(const float* row, int vocab) {
    const int at = int(std::find(row, row + vocab, largest(row, vocab)) - row);
    return at < vocab ? at : 0;
}

// At most the k-th largest of the weights: the k-th of the largest in each of many blocks; 0 where there are fewer blocks.
float within_first(const std::vector<float>& weight, size_t k) {
    constexpr size_t BLOCK = 64;
    std::vector<float> most;
    for (size_t i = 0; i + BLOCK <= weight.size(); i += BLOCK) most.push_back(largest(&weight[i], BLOCK));
    if (k > most.size()) return 0;
    std::nth_element(most.begin(), most.begin() + (k - 1), most.end(), std::greater<float>());
    return most[k - 1];
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

double log_probability(const Kernels& kernels, const float* row, int vocab, int token) {
    return double(row[token]) - log_sum(kernels, row, vocab);
}

Chosen choose(const Kernels& kernels, const float* row, int vocab, const Sampling& how, const std::vector<int>& seen,
              const uint32_t* mask, int logprobs) {
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
        // Kept: to take and give back so much memory takes longer than to fill it.
        thread_local std::vector<float> weight;
        thread_local std::vector<int> ids;
        weight.resize(vocab);
        ids.resize(vocab);
        const float by = std::min(1 / how.temperature, std::numeric_limits<float>::max());
        double total = kernels.weigh(x, vocab, most, by, weight.data());
        if (!std::isfinite(total)) return chosen.token = -1, chosen;  // nor can they be put in order
        // What is surely left out is not put in order: what is too unlikely beside the likeliest, whose weight is 1, what is not
        // among the first, and what all together is less than top-p leaves out.
        const double unlikely = std::min(how.min_p, 1.0f);
        double least = unlikely;
        if (how.top_k > 0)  // of which top-p takes its share, likely or not
            least = within_first(weight, size_t(how.top_k));
        else if (how.top_p < 1)
            least = std::max(least, (1.0 - how.top_p) * total / vocab);
        const double all = std::numeric_limits<double>::infinity();
        size_t count = 0;
        for (int i = 0; i < vocab; ++i) {
            ids[count] = i;
            count += weight[i] >= least;
        }
        ids.resize(count);
        auto add_up = [&] {
            total = 0;
            for (size_t i = 0; i < count; ++i) total += weight[ids[i]];
        };
        if (how.top_k > 0 && how.top_k < vocab) {
            count = order(ids, weight, all, std::min(count, size_t(how.top_k)));
            add_up();
        }
        if (how.top_p < 1 || how.min_p > 0) {
            ids.resize(count);
            count = order(ids, weight, how.top_p < 1 ? how.top_p * total : all, count);
            while (count > 1 && weight[ids[count - 1]] < unlikely) --count;
        }
        if (count < size_t(vocab)) add_up();
        double left = fraction(how.seed, seen.size()) * total;
        size_t at = 0;
        while (at + 1 < count && (left -= weight[ids[at]]) >= 0) ++at;
        while (at && weight[ids[at]] <= 0) --at;  // rounding must not draw what has no weight
        chosen.token = ids[at];
    }
    if (logprobs >= 0) {
        double all = log_sum(kernels, row, vocab);
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
