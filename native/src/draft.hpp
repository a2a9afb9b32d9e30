// Drafts: what may follow, guessed from what followed the same tokens before; the model then confirms them in one step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace mirim {

// Of one sequence: what followed its last tokens when they were last there, in the prompt or in the answer (Saxena 2023,
// prompt lookup). As long as it was right of late, and with a pause where it was wrong.
class Draft {
   public:
    const std::vector<int>& proposal() const { return proposal_; }
    void drop() { proposal_.clear(); }
    // At most `most` tokens behind all of `tokens`, which only ever grow from call to call.
    void propose(const std::vector<int>& tokens, int most);
    // `right` of the proposal's tokens were what the model wrote.
    void judge(int right);

   private:
    std::unordered_map<uint64_t, int> followers_;  // of the tokens before: where they went on
    size_t indexed_ = 0;
    std::vector<int> proposal_;
    int reach_ = 4, pause_ = 0;
};

}  // namespace mirim
