// What a step of the engine computes, of whose requests, and what comes of it.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>

#include "engine.hpp"
#include "sequence.hpp"

namespace mirim {

namespace {

// Prompt tokens in a step while answers are being written: these must not stall.
constexpr int CHUNK = 64;
// From so many tokens on a step uses the threads for many.
constexpr int MANY = 8;

using Clock = std::chrono::steady_clock;
// Whoever reads an answer is woken no more often than this, for each answer that is being written, and not less often than
// people notice: waking a thread takes as long as a small model needs for a tenth of a token.
constexpr auto TELL = std::chrono::milliseconds(2), SOONEST = std::chrono::milliseconds(10),
               LATEST = std::chrono::milliseconds(30);

}  // namespace

void Engine::propose(Sequence& s, int share) {
    const Request& r = *s.request;
    s.draft.drop();
    if (!r.draft || r.masked) return;
    const int left = std::min(r.most - s.written, context_ - int(s.tokens.size())) - 1;
    s.draft.propose(s.tokens, std::min({r.draft, left, share}));
}

// Texts that are seen whole have steps of their own, in turn with everything else: such a text cannot be divided, and
// would find no room beside answers. False if it is not their turn, or there are none.
bool Engine::compute_whole() {
    std::vector<Token> tokens;
    bool others = false;
    for (auto& s : active_) {
        s->count = 0;
        if (s->request->task != Task::whole) {
            others = others || !s->holds;
            continue;
        }
        const int count = int(s->tokens.size());
        if (int(tokens.size()) + count > model_->max_whole()) continue;
        room(*s, count);
        s->row = int(tokens.size());
        s->count = count;
        for (int i = 0; i < count; ++i)
            tokens.push_back({s->tokens[i], i, s->data.data(), s->row + i, s->request->adapter, count});
    }
    if (tokens.empty() || (others && others_)) {
        others_ = false;
        return false;
    }
    others_ = true;
    run(tokens, int(tokens.size()), false, true);
    return true;
}

// One step over as many tokens as fit: one of every answer being written, a share for prompts in their order, and drafts
// in what is left. Answers that do not fit take turns.
void Engine::compute() {
    if (compute_whole()) return;
    std::vector<Token> tokens;
    const int most = model_->max_tokens();
    int rows = 0;
    bool states = false, logits = false, writing = false;
    auto put = [&](Sequence& s, int from, int count, auto wanted) {
        room(s, from + count);
        s.count = count;
        s.row = rows;
        for (int i = 0; i < count; ++i) {
            int position = from + i;
            int id = position < int(s.tokens.size()) ? s.tokens[position] : s.draft.proposal()[position - s.tokens.size()];
            bool want = wanted(position);
            tokens.push_back({id, position, s.data.data(), want ? rows++ : -1, s.request->adapter});
        }
    };
    std::vector<Sequence*> answers;
    bool prompts = false;
    for (auto& s : active_) {
        s->count = 0;
        if (s->holds || s->request->task == Task::whole) continue;
        if (s->request->task == Task::write && s->written) {
            if (s->computed + 1 == int(s->tokens.size())) answers.push_back(s.get());
        } else {
            prompts = true;
        }
    }
    const int room_for = most - (prompts ? std::min(CHUNK, most / 4) : 0);
    const int now = std::min(room_for, int(answers.size()));
    int spare = room_for - now;
    if (now < int(answers.size())) {
        std::rotate(answers.begin(), answers.begin() + turn_ % answers.size(), answers.end());
        turn_ += size_t(now);
    }
    for (int n = 0; n < now; ++n) {
        Sequence& s = *answers[n];
        propose(s, spare / (now - n));
        const int drafted = int(s.draft.proposal().size());
        spare -= drafted;
        put(s, s.computed, 1 + drafted, [](int) { return true; });
        writing = logits = true;
    }
    const int limit = writing ? std::min(most, int(tokens.size()) + CHUNK) : most;
    for (auto& s : active_) {
        if (s->holds || s->count || int(tokens.size()) >= limit) continue;
        const Request& r = *s->request;
        if (r.task == Task::whole || (r.task == Task::write && s->written)) continue;
        reuse(*s);
        s->draft.drop();
        int end = int(s->tokens.size()) - (r.task == Task::scores ? 1 : 0);
        int count = std::min(limit - int(tokens.size()), end - s->computed);
        if (comes(*s, count)) continue;
        switch (r.task) {
            case Task::write: put(*s, s->computed, count, [&](int p) { return p == end - 1; }), logits = true; break;
            case Task::rows: put(*s, s->computed, count, [&](int p) { return p >= r.first; }), logits = true; break;
            case Task::scores: put(*s, s->computed, count, [&](int p) { return p + 1 >= r.first; }), logits = true; break;
            case Task::mean: put(*s, s->computed, count, [&](int p) { return p >= r.first; }), states = true; break;
            case Task::whole: break;
        }
    }
    if (!tokens.empty()) run(tokens, rows, logits, states);
}

// A step over `tokens`, which want so many rows of logits or states, and what comes of it.
void Engine::run(const std::vector<Token>& tokens, int rows, bool logits, bool states) {
    if (logits && logits_.size() < size_t(rows) * model_->config().vocab)
        logits_.resize(size_t(rows) * model_->config().vocab);
    if (states && states_.size() < size_t(rows) * model_->config().hidden)
        states_.resize(size_t(rows) * model_->config().hidden);
    Threads& threads = int(tokens.size()) < MANY ? few_ : many_;
    const Clock::time_point began = Clock::now();
    model_->step(pool_, threads.next(int(tokens.size())), tokens.data(), int(tokens.size()),
                 logits ? logits_.data() : nullptr, states ? states_.data() : nullptr);
    took_ = Clock::now() - began;
    threads.done();
    {
        std::lock_guard<std::mutex> lock(mutex_);
        ++counts_.steps;
        counts_.tokens += long(tokens.size());
    }
    for (auto& s : active_)
        if (s->count) accept(*s, logits_.data() + size_t(s->row) * model_->config().vocab);
}

// Weights that are no numbers, of a damaged file or a training that diverged, make every value after them none: the
// likeliest token would be the first, over and over.
static const char* const NONE = "!what it computes are no numbers: its weights are damaged, or their training diverged";

// What a step computed for a sequence. `rows` are its rows of logits, the first of them where wanted.
void Engine::accept(Sequence& s, const float* rows) {
    const std::shared_ptr<Request> kept = s.request;  // the end of a request lets go of it
    Request& r = *kept;
    const int vocab = model_->config().vocab, before = s.computed;
    const int known = std::min(s.count, int(s.tokens.size()) - before);
    if (r.task == Task::write && before + known < int(s.tokens.size())) {  // a part of the prompt
        s.computed += known;
        return publish(s);
    }
    switch (r.task) {
        case Task::write: {
            ++r.steps;
            s.computed += known;
            publish(s);
            if (!std::isfinite(rows[0])) return end(s, NONE);
            if (r.masked) {
                std::lock_guard<std::mutex> lock(r.mutex);
                r.values.assign(rows, rows + vocab);
                r.waiting = s.holds = true;
                r.changed.notify_all();
                return;
            }
            const int proposed = int(s.draft.proposal().size());
            int right = 0;
            for (int i = 0;; ++i) {
                Chosen chosen = choose(model_->kernels(), rows + size_t(i) * vocab, vocab, r.sampling, s.tokens, nullptr, r.logprobs);
                bool more = i < proposed && chosen.token == s.draft.proposal()[i];
                write(s, chosen);
                if (!s.request || !more) break;
                // Its keys and values are there already.
                ++s.computed;
                ++right;
            }
            if (proposed) {
                r.proposed += proposed;
                r.accepted += right;
                s.draft.judge(right);
                std::lock_guard<std::mutex> lock(mutex_);
                counts_.proposed += proposed;
                counts_.accepted += right;
            }
            if (s.request) publish(s), tell(r);
            return;
        }
        case Task::rows:
        case Task::scores: {
            const int from = std::max(before, r.task == Task::rows ? r.first : std::max(0, r.first - 1));
            for (int p = from; p < before + s.count; ++p) {
                const float* row = rows + size_t(p - from) * vocab;
                if (!std::isfinite(row[0])) return end(s, NONE);
                if (r.task == Task::rows)
                    r.values.insert(r.values.end(), row, row + vocab);
                else
                    r.values.push_back(float(log_probability(model_->kernels(), row, vocab, s.tokens[p + 1])));
                if (!std::isfinite(r.values.back())) return end(s, NONE);
            }
            s.computed += s.count;
            publish(s);
            if (s.computed == int(s.tokens.size()) - (r.task == Task::scores ? 1 : 0)) end(s, "stop");
            return;
        }
        case Task::whole: {
            const float* state = states_.data() + size_t(s.row) * model_->config().hidden;
            r.values.assign(state, state + size_t(s.count) * model_->config().hidden);
            end(s, std::isfinite(r.values.back()) ? "stop" : NONE);
            return;
        }
        case Task::mean: {
            const int hidden = model_->config().hidden;
            const float* state = states_.data() + size_t(s.row) * hidden;
            const int wanted = before + s.count - std::max(before, std::min(r.first, before + s.count));
            for (int t = 0; t < wanted; ++t)
                for (int d = 0; d < hidden; ++d) s.mean[d] += state[size_t(t) * hidden + d];
            s.computed += s.count;
            publish(s);
            if (s.computed == int(s.tokens.size())) {
                for (double v : s.mean) r.values.push_back(float(v / (s.computed - r.first)));
                end(s, std::isfinite(r.values.back()) ? "stop" : NONE);
            }
            return;
        }
    }
}

void Engine::write(Sequence& s, const Chosen& chosen) {
    Request& r = *s.request;
    if (chosen.token < 0) {
        const bool free = !r.masked || std::any_of(r.mask.begin(), r.mask.end(), [](uint32_t bits) { return bits != 0; });
        return end(s, free ? NONE : "!no token is allowed to come next");
    }
    {
        std::lock_guard<std::mutex> lock(mutex_);
        ++counts_.written;
    }
    if (r.ends.count(chosen.token)) return end(s, "stop");
    s.tokens.push_back(chosen.token);
    ++s.written;
    {
        std::lock_guard<std::mutex> lock(r.mutex);
        r.out.push_back(chosen);
    }
    if (s.written >= r.most || int(s.tokens.size()) >= context_) return end(s, "length");
}

// Wake whoever waits for tokens, unless they can go with those of a later step: the first go at once, others when the next
// step may end too late.
void Engine::tell(Request& r) {
    const Clock::time_point now = Clock::now();
    const Clock::duration gap = std::clamp<Clock::duration>(TELL * int(active_.size()), SOONEST, LATEST);
    if (now + took_ - r.told < gap) return;
    r.told = now;
    r.changed.notify_all();
}

}  // namespace mirim
