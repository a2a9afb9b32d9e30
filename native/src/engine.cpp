#include "engine.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <stdexcept>

#include "draft.hpp"

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

Engine::Engine(std::unique_ptr<Model> model, int context, int slots, size_t spare, int few, int many)
    : model_(std::move(model)),
      context_(context),
      slots_(slots),
      few_(few),
      many_(many),
      pages_(model_->page_bytes(), slots * ((context + PAGE - 1) / PAGE) + int(spare / model_->page_bytes()) + 8,
             int(spare / model_->page_bytes())),
      pool_(std::max(few, many)) {
    thread_ = std::thread([this] { loop(); });
}

Engine::~Engine() { stop(); }

void Engine::stop() {
    {
        std::lock_guard<std::mutex> lock(mutex_);
        ending_ = true;
    }
    wake_.notify_all();
    if (thread_.joinable()) thread_.join();
}

void Engine::submit(const std::shared_ptr<Request>& request) {
    const Request& r = *request;
    if (r.prompt.empty()) throw std::invalid_argument("there are no tokens");
    if (int(r.prompt.size()) > context_) throw std::invalid_argument("the tokens do not fit the context");
    for (int t : r.prompt)
        if (t < 0 || t >= model_->config().vocab) throw std::invalid_argument("there is no token " + std::to_string(t));
    if (r.adapter < -1 || r.adapter >= model_->adapters())
        throw std::invalid_argument("there is no adapter " + std::to_string(r.adapter));
    if (r.task == Task::whole && int(r.prompt.size()) > model_->max_whole())
        throw std::invalid_argument("a text whose tokens all see each other has at most " +
                                    std::to_string(model_->max_whole()) + " of this model's tokens");
    {
        std::lock_guard<std::mutex> lock(mutex_);
        if (ending_) throw std::invalid_argument("the model was closed");
        waiting_.push_back(request);
        poked_ = true;
    }
    wake_.notify_all();
}

void Engine::poke() {
    {
        std::lock_guard<std::mutex> lock(mutex_);
        poked_ = true;
    }
    wake_.notify_all();
}

void Engine::set_threads(int few, int many) {
    std::lock_guard<std::mutex> lock(step_);
    few_ = Threads(few);
    many_ = Threads(many);
    pool_.resize(std::max(few, many));
}

Counts Engine::counts() {
    std::lock_guard<std::mutex> lock(mutex_);
    Counts c = counts_;
    c.waiting = int(waiting_.size());
    return c;
}

void Engine::between(const std::function<void(Pages&)>& work) {
    std::packaged_task<void()> job([&] { work(pages_); });
    std::future<void> done = job.get_future();
    {
        std::lock_guard<std::mutex> lock(mutex_);
        if (ending_) throw std::invalid_argument("the model was closed");
        jobs_.push_back(std::move(job));
        poked_ = true;
    }
    wake_.notify_all();
    try {
        done.get();
    } catch (const std::future_error&) {
        throw std::invalid_argument("the model was closed");
    }
}

double Engine::trial(int count, int position, int threads) {
    std::lock_guard<std::mutex> lock(step_);
    pool_.resize(std::max(pool_.threads(), threads));
    std::vector<int> pages;
    std::vector<uint8_t*> data;
    count = std::min(count, model_->max_tokens());
    for (int n = 0; n <= (position + count - 1) / PAGE; ++n) {
        int page = pages_.take();
        if (page < 0) break;
        pages.push_back(page);
        data.push_back(pages_.data(page));
    }
    double took = -1;
    if (int(pages.size()) * PAGE >= position + count) {
        std::vector<Token> tokens;
        for (int t = 0; t < count; ++t) tokens.push_back({0, position + t, data.data(), t == count - 1 ? 0 : -1});
        std::vector<float> row(model_->config().vocab);
        auto before = std::chrono::steady_clock::now();
        model_->step(pool_, threads, tokens.data(), count, row.data(), nullptr);
        took = std::chrono::duration<double>(std::chrono::steady_clock::now() - before).count();
    }
    for (int page : pages) pages_.release(page);
    return took;
}

void Engine::loop() {
    for (;;) {
        std::deque<std::packaged_task<void()>> jobs;
        {
            std::unique_lock<std::mutex> lock(mutex_);
            bool runs = std::any_of(active_.begin(), active_.end(), [](auto& s) { return !s->holds; });
            // A slot may have become free after those who wait were last looked at.
            runs |= !waiting_.empty() && int(active_.size()) < slots_;
            if (!runs && !poked_ && !ending_) wake_.wait(lock, [&] { return poked_ || ending_; });
            if (ending_) break;
            poked_ = false;
            jobs.swap(jobs_);
        }
        std::lock_guard<std::mutex> busy(step_);
        for (auto& job : jobs) job();
        if (!jobs.empty()) tally();
        try {
            admit();
            step();
        } catch (const std::exception& error) {
            // Whoever asked hears of it; the thread, and the process, live on.
            for (auto& s : active_)
                if (s->request) end(*s, std::string("!") + error.what());
            active_.clear();
        }
    }
    for (auto& s : active_) end(*s, "cancelled");
    active_.clear();
    std::lock_guard<std::mutex> lock(mutex_);
    for (auto& r : waiting_) {
        std::lock_guard<std::mutex> own(r->mutex);
        r->ended = "cancelled";
        r->changed.notify_all();
    }
    waiting_.clear();
    jobs_.clear();  // whoever waits for one hears that it will not come
}

// Requests begin in their order, as many as there are slots and pages for: nothing that has begun runs out of either.
void Engine::admit() {
    while (int(active_.size()) < slots_) {
        std::shared_ptr<Request> next;
        {
            std::lock_guard<std::mutex> lock(mutex_);
            if (waiting_.empty()) return;
            next = waiting_.front();
            waiting_.pop_front();
        }
        auto s = std::make_unique<Sequence>();
        s->request = next;
        s->tokens = next->prompt;
        begin(*s);
        active_.push_back(std::move(s));
    }
}

void Engine::begin(Sequence& s) {
    Request& r = *s.request;
    s.data.reserve((context_ + PAGE - 1) / PAGE);
    if (r.task == Task::whole) return;  // what others computed saw less
    if (r.task == Task::mean) s.mean.assign(model_->config().hidden, 0.0);
    reuse(s);
}

// What was computed for the same beginning serves again, save for the tokens whose output is wanted. Looked up before each
// part of a prompt: whoever came together with others finds what the first of them has computed since.
void Engine::reuse(Sequence& s) {
    Request& r = *s.request;
    int wanted = int(s.tokens.size()) - 1;
    if (r.task == Task::rows) wanted = std::min(wanted, r.first);
    if (r.task == Task::scores) wanted = std::min(wanted, std::max(0, r.first - 1));
    if (r.task == Task::mean) wanted = std::min(wanted, r.first);
    const int before = s.computed;
    // Only behind whole pages that can be found themselves.
    if (int(s.pages.size()) * PAGE != before || (before && !pages_.known(s.pages.back()))) return;
    while ((s.computed + PAGE) <= wanted) {
        int page = pages_.find(s.pages.empty() ? -1 : s.pages.back(), s.tokens.data() + s.computed, s.salt());
        if (page < 0) break;
        s.pages.push_back(page);
        s.data.push_back(pages_.data(page));
        s.computed += PAGE;
        ++s.published;
    }
    if (s.computed == before) return;
    r.cached += s.computed - before;
    std::lock_guard<std::mutex> lock(mutex_);
    counts_.cached += s.computed - before;
}

void Engine::room(Sequence& s, int tokens) {
    while (int(s.pages.size()) * PAGE < tokens) {
        int page = pages_.take();
        if (page < 0) throw std::runtime_error("no pages left");
        s.pages.push_back(page);
        s.data.push_back(pages_.data(page));
    }
}

// Pages that are full can be shared from now on.
void Engine::publish(Sequence& s) {
    while ((s.published + 1) * PAGE <= s.computed) {
        int before = s.published ? s.pages[s.published - 1] : -1;
        pages_.publish(s.pages[s.published], before, s.tokens.data() + size_t(s.published) * PAGE, s.salt());
        ++s.published;
    }
}

void Engine::propose(Sequence& s, int share) {
    const Request& r = *s.request;
    s.draft.drop();
    if (!r.draft || r.masked) return;
    const int left = std::min(r.most - s.written, context_ - int(s.tokens.size())) - 1;
    s.draft.propose(s.tokens, std::min({r.draft, left, share}));
}

void Engine::step() {
    for (auto& s : active_) {
        if (s->request->cancelled) {
            end(*s, "cancelled");
            continue;
        }
        if (!s->holds) continue;
        Chosen chosen;
        {
            Request& r = *s->request;
            std::lock_guard<std::mutex> lock(r.mutex);
            if (!r.answered) continue;
            r.answered = r.waiting = false;
            chosen = choose(r.values.data(), model_->config().vocab, r.sampling, s->tokens, r.mask.data(), r.logprobs);
        }
        s->holds = false;
        write(*s, chosen);
    }
    active_.erase(std::remove_if(active_.begin(), active_.end(), [](auto& s) { return !s->request; }), active_.end());
    compute();
    active_.erase(std::remove_if(active_.begin(), active_.end(), [](auto& s) { return !s->request; }), active_.end());
    tally();
}

void Engine::tally() {
    std::lock_guard<std::mutex> lock(mutex_);
    counts_.active = int(active_.size());
    counts_.pages = pages_.in_use();
    counts_.kept = pages_.kept();
    counts_.page_bytes = pages_.bytes();
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
        if (int(tokens.size()) + count > std::max(model_->max_whole(), 1)) continue;
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
                Chosen chosen = choose(rows + size_t(i) * vocab, vocab, r.sampling, s.tokens, nullptr, r.logprobs);
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
                if (r.task == Task::rows)
                    r.values.insert(r.values.end(), row, row + vocab);
                else
                    r.values.push_back(float(log_probability(row, vocab, s.tokens[p + 1])));
            }
            s.computed += s.count;
            publish(s);
            if (s.computed == int(s.tokens.size()) - (r.task == Task::scores ? 1 : 0)) end(s, "stop");
            return;
        }
        case Task::whole: {
            const float* state = states_.data() + size_t(s.row) * model_->config().hidden;
            r.values.assign(state, state + size_t(s.count) * model_->config().hidden);
            end(s, "stop");
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
                end(s, "stop");
            }
            return;
        }
    }
}

void Engine::write(Sequence& s, const Chosen& chosen) {
    Request& r = *s.request;
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

void Engine::end(Sequence& s, const std::string& reason) {
    // The tail first: what others hang on is forgotten last.
    for (; !s.pages.empty(); s.pages.pop_back()) pages_.release(s.pages.back());
    const std::shared_ptr<Request> r = std::move(s.request);
    {
        std::lock_guard<std::mutex> lock(r->mutex);
        r->ended = reason;
    }
    r->changed.notify_all();
}

}  // namespace mirim
