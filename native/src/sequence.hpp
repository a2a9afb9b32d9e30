// A request while the engine works at it.
#pragma once

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
};

}  // namespace mirim
