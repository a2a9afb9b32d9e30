// How many threads for the next step: as many as asked for, one while other work keeps their cores from them.
//
// A thread that has to wait for its core makes all others wait at every barrier: two can then be a hundred times slower than
// one. Only trying tells, so now and then one step is computed with the other number; the bits are the same.
#pragma once

#include <algorithm>
#include <chrono>

namespace mirim {

class Threads {
public:
    explicit Threads(int most = 1) : most_(most), now_(most) {}

    // For a step over `tokens`.
    int next(int tokens) {
        cost_ = tokens + 4;  // reading the weights costs about as much as four tokens
        trying_ = most_ > 1 && usual_ > 0 && Clock::now() >= again_;
        began_ = Clock::now();
        return trying_ ? other() : now_;
    }

    // That step is over.
    void done() {
        const double seconds = std::chrono::duration<double>(Clock::now() - began_).count(), each = seconds / cost_;
        if (!trying_) {
            usual_ = usual_ > 0 ? 0.8 * usual_ + 0.2 * each : each;
            return;
        }
        if (each < 0.8 * usual_ && ++better_ < 2) return;  // twice in a row, or it was chance
        if (better_ == 2) now_ = other(), usual_ = each;
        better_ = 0;
        // Trying takes a twentieth of the time at most.
        again_ = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                    std::chrono::duration<double>(std::max(0.25, 20 * seconds)));
    }

private:
    using Clock = std::chrono::steady_clock;
    int other() const { return now_ == 1 ? most_ : 1; }

    int most_, now_, better_ = 0;
    bool trying_ = false;
    double cost_ = 1, usual_ = 0;  // seconds of a step over its cost, lately
    Clock::time_point began_, again_ = Clock::now() + std::chrono::milliseconds(250);
};

}  // namespace mirim
