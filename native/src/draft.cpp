#include "draft.hpp"

#include <algorithm>

namespace mirim {

namespace {

// Tokens that must be alike for what followed them before to be proposed.
constexpr int GRAM = 3;
// A proposal is tried again after so many tokens, when the last ones were wrong.
constexpr int PAUSE = 16;
// Tokens proposed at least and at most, where the model writes as many more.
constexpr int SHORT = 2, LONG = 16;

uint64_t gram(const std::vector<int>& tokens, size_t end) {
    uint64_t h = 0;
    for (size_t i = end - GRAM; i < end; ++i) h = h * 0x9e3779b97f4a7c15ULL + uint64_t(tokens[i]) + 1;
    return h;
}

}  // namespace

void Draft::propose(const std::vector<int>& tokens, int most) {
    proposal_.clear();
    if (tokens.size() < GRAM) return;
    for (indexed_ = std::max<size_t>(indexed_, GRAM); indexed_ < tokens.size(); ++indexed_)
        followers_[gram(tokens, indexed_)] = int(indexed_);
    if (pause_ > 0) {
        --pause_;
        return;
    }
    auto found = followers_.find(gram(tokens, tokens.size()));
    if (found == followers_.end()) return;
    const int count = std::min({reach_, most, int(tokens.size()) - found->second});
    for (int i = 0; i < count; ++i) proposal_.push_back(tokens[found->second + i]);
}

void Draft::judge(int right) {
    const int proposed = int(proposal_.size());
    if (right == proposed)
        reach_ = std::min(reach_ * 2, LONG);
    else if (right * 2 < proposed) {
        reach_ = std::max(reach_ / 2, SHORT);
        if (!right) pause_ = PAUSE;
    }
}

}  // namespace mirim
