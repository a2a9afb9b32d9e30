#include "engine.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include <unistd.h>

#include "sequence.hpp"

namespace mirim {

Engine::Engine(std::unique_ptr<Model> model, int context, int slots, size_t spare, int few, int many)
    : model_(std::move(model)),
      context_(context),
      slots_(slots),
      few_(few),
      many_(many),
      pages_(model_->page_bytes(), slots * ((context + PAGE - 1) / PAGE) + int(spare / model_->page_bytes()) + 8,
             int(spare / model_->page_bytes())),
      pool_(std::max(few, many)),
      process_(::getpid()) {
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

bool Engine::here() const { return ::getpid() == process_; }

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
    if (!here()) return;
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
    {
        std::lock_guard<std::mutex> busy(step_);  // a trial may still hold pages
        for (auto& s : active_) end(*s, "cancelled");
        active_.clear();
    }
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
    if (r.task == Task::mean) s.mean.assign(model_->config().hidden, 0.0);
    reuse(s);
}

// What was computed for the same beginning serves again, save for the tokens whose output is wanted. Looked up before each
// part of a prompt: whoever came together with others finds what the first of them has computed since.
void Engine::reuse(Sequence& s) {
    Request& r = *s.request;
    const int before = s.computed;
    for (;;) {
        const int start = s.computed / PAGE * PAGE;
        if (start + PAGE > s.silent()) break;
        const int page = pages_.find(s.before(start), s.tokens.data() + start, s.salt());
        if (page < 0) break;
        put(s, start, page);
        s.computed = start + PAGE;
        ++s.published;
    }
    s.computed += copy(s);
    if (s.computed == before) return;
    r.cached += s.computed - before;
    std::lock_guard<std::mutex> lock(mutex_);
    counts_.cached += s.computed - before;
}

// What another page begins with, one that is kept or is being filled, into the page that `s` is at: so many tokens.
int Engine::copy(Sequence& s) {
    const int start = s.computed / PAGE * PAGE, most = std::min(PAGE, s.silent() - start);
    if (start + most <= s.computed) return 0;
    const auto [kept, alike] = pages_.nearest(s.before(start), s.tokens.data() + start, most, s.salt());
    int from = kept, count = alike;
    for (auto& other : active_) {
        if (!other->request || other.get() == &s) continue;
        const int shared = std::min({s.common(*other), other->computed, start + most}) - start;
        if (shared > count) from = other->pages[start / PAGE], count = shared;
    }
    const int gained = std::max(0, start + count - s.computed);
    if (gained) {
        room(s, start + count);
        std::memcpy(s.data[start / PAGE], pages_.data(from), pages_.bytes());
    }
    if (kept >= 0) pages_.release(kept);
    return gained;
}

// `page` as the one whose first token is number `start`.
void Engine::put(Sequence& s, int start, int page) {
    const size_t index = size_t(start / PAGE);
    if (index == s.pages.size()) {
        s.pages.push_back(page);
        s.data.push_back(nullptr);
    } else {
        pages_.release(s.pages[index]);
        s.pages[index] = page;
    }
    s.data[index] = pages_.data(page);
}

// Whether another computes in this step most of what `s` would, so that it can be copied in the next.
bool Engine::comes(const Sequence& s, int count) const {
    return std::any_of(active_.begin(), active_.end(), [&](auto& other) {
        if (!other->request || !other->count || other.get() == &s) return false;
        const int shared = std::min({s.common(*other), other->computed + other->count, s.silent()});
        return 2 * (shared - s.computed) >= count;
    });
}

void Engine::room(Sequence& s, int tokens) {
    while (int(s.pages.size()) * PAGE < tokens) {
        int page = pages_.take();
        if (page < 0) throw std::runtime_error("no pages left");
        put(s, int(s.pages.size()) * PAGE, page);
    }
}

// Pages that are full can be shared from now on. Where another had the same first, its page is used: there is one of each.
void Engine::publish(Sequence& s) {
    for (int start; (start = s.published * PAGE) + PAGE <= s.computed; ++s.published) {
        const int* tokens = s.tokens.data() + start;
        pages_.publish(s.pages[s.published], s.before(start), tokens, PAGE, s.salt());
        if (!pages_.known(s.pages[s.published])) put(s, start, pages_.find(s.before(start), tokens, s.salt()));
    }
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
            chosen = choose(model_->kernels(), r.values.data(), model_->config().vocab, r.sampling, s->tokens, r.mask.data(),
                            r.logprobs);
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

void Engine::end(Sequence& s, const std::string& reason) {
    // What is not full will be no fuller.
    if (const int start = s.published * PAGE, rest = s.computed - start; rest > 0 && rest < PAGE)
        pages_.publish(s.pages[s.published], s.before(start), s.tokens.data() + start, rest, s.salt());
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
