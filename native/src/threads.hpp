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
        kind_ = 0;
        while (tokens >> (kind_ + 1) && kind_ + 1 < KINDS) ++kind_;
        cost_ = tokens + 4;  // reading the weights costs about as much as a few tokens
        // Not with a prompt among single tokens, which somebody waits for.
        trying_ = most_ > 1 && usual_[kind_] > 0 && until_ <= 0 && tokens <= last_;
        last_ = tokens;
        began_ = Clock::now();
        return trying_ ? other() : now_;
    }

    // That step is over.
    void done() {
        const double seconds = std::chrono::duration<double>(Clock::now() - began_).count(), each = seconds / cost_;
        double& usual = usual_[kind_];
        if (!trying_) {
            usual = usual > 0 ? 0.8 * usual + 0.2 * each : each;
            until_ -= seconds;
            return;
        }
        if (each < 0.8 * usual && ++better_ < 2) return;  // twice in a row, or it was chance
        if (better_ == 2) {
            now_ = other();
            std::fill(usual_, usual_ + KINDS, 0.0);
            usual = each;
        }
        better_ = 0;
        // Trying takes a twentieth of the steps' time at most. Pauses do not count, or what follows one would always be tried with.
        until_ = std::max(0.25, 20 * seconds);
    }

private:
    using Clock = std::chrono::steady_clock;
    static constexpr int KINDS = 8;
    int other() const { return now_ == 1 ? most_ : 1; }

    int most_, now_, better_ = 0;
    bool trying_ = false;
    // Seconds of a step over its cost, lately: of 1 token, 2 or 3, 4 to 7 and so on, for costs are no more than guessed.
    double usual_[KINDS] = {};
    int kind_ = 0, last_ = 0;
    double cost_ = 1;
    double until_ = 0.25;  // seconds of steps until the other number is tried
    Clock::time_point began_;
};

}  // namespace mirim
