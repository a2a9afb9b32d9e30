// A request while the engine works at it.
#pragma once

#include <algorithm>
#include <vector>

#include "draft.hpp"
#include "engine.hpp"

namespace mirim {

struct Engine::Sequence {
    std::shared_ptr<Request> request;
    std::vector<int> tokens;  // prompt and answer
    int computed = 0;         // whose keys and values are there
    int written = 0;
    std::vector<int> pages;
    std::vector<uint8_t*> data;  // its address goes into steps: reserved whole at the start
    int published = 0;
    bool holds = false;  // waits for a mask

    Draft draft;

    // Of this step: its tokens there, and its first row of logits.
    int count = 0, row = -1;
    std::vector<double> mean;

    // Keys and values of one adapter are of no use to another.
    uint64_t salt() const { return uint64_t(request->adapter + 1); }

    // The page before the one whose first token is number `start`; -1 at the beginning.
    int before(int start) const { return start ? pages[size_t(start / PAGE - 1)] : -1; }

    // Tokens whose keys and values may come from elsewhere: those before the first whose output is wanted.
    int silent() const {
        const Request& r = *request;
        const int all = int(tokens.size()) - 1;
        switch (r.task) {
            case Task::write: return all;
            case Task::scores: return std::min(all, std::max(0, r.first - 1));
            case Task::rows:
            case Task::mean: return std::min(all, r.first);
            case Task::whole: return 0;  // what others computed saw less
        }
        return 0;
    }

    // Tokens at the beginning whose keys and values are those of the other's.
    int common(const Sequence& other) const {
        if (salt() != other.salt() || other.request->task == Task::whole) return 0;
        const size_t most = std::min(tokens.size(), other.tokens.size());
        return int(std::mismatch(tokens.begin(), tokens.begin() + most, other.tokens.begin()).first - tokens.begin());
    }
};

}  // namespace mirim
