// Requests from any thread, computed together: one thread steps over prompts and answers of all of them.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_set>
#include <vector>

#include "model.hpp"
#include "pages.hpp"
#include "sampler.hpp"
#include "threads.hpp"

namespace mirim {

// `whole`: the last norm's output of every token of a text, each of which sees all of it.
enum class Task { write, rows, scores, mean, whole };

// What is asked, and where the answer goes.
struct Request {
    Task task = Task::write;
    std::vector<int> prompt;
    int adapter = -1;  // which one changes the model for this request
    // write
    int most = 0;  // tokens
    Sampling sampling;
    std::unordered_set<int> ends;
    int logprobs = -1;
    bool masked = false;
    int draft = 0;  // tokens proposed at once, at most
    // rows, scores, mean: from which position on
    int first = 0;

    std::mutex mutex;
    std::condition_variable changed;
    std::deque<Chosen> out;
    std::chrono::steady_clock::time_point told{};  // when whoever waits was last woken for tokens
    std::string ended;  // stop, length, cancelled, or an error's text behind "!"
    std::vector<float> values;
    std::atomic<bool> cancelled{false};
    bool waiting = false;  // for `answer_mask`
    bool answered = false;
    std::vector<uint32_t> mask;
    std::atomic<int> cached{0}, proposed{0}, accepted{0}, steps{0};  // may be read while it is written
};

struct Counts {
    long long steps = 0, tokens = 0, written = 0, proposed = 0, accepted = 0, cached = 0;
    int active = 0, waiting = 0, pages = 0, kept = 0;
    size_t page_bytes = 0;
};

class Engine {
public:
    // `slots` requests at once, each of at most `context` tokens; `spare` bytes of keys and values kept for prompts that
    // begin alike.
    Engine(std::unique_ptr<Model> model, int context, int slots, size_t spare, int few, int many);
    ~Engine();

    const Model& model() const { return *model_; }
    int context() const { return context_; }
    // Whether this is the process whose threads these are. In one that was forked off they are missing, and locks may be
    // held for ever: there nothing but this may be asked, and the engine cannot be destroyed.
    bool here() const;
    // Throws std::invalid_argument for tokens that do not exist or do not fit.
    void submit(const std::shared_ptr<Request>& request);
    // Cancel everything and end the thread; later requests are cancelled at once.
    void stop();
    // Something about a request changed outside: cancelled, mask given.
    void poke();
    // Threads for steps of few tokens, and of many.
    void set_threads(int few, int many);
    // Seconds that a step over `count` tokens after `position` others takes now.
    double trial(int count, int position, int threads);
    Counts counts();
    // Run `work` in the engine's own thread, between two steps, and wait for it. Pages that it leaves held must come
    // from those that may be spare, by one caller at a time (`keeping`), or requests find too few.
    // Throws std::invalid_argument when the engine was stopped, and what `work` throws.
    void between(const std::function<void(Pages&)>& work);
    std::mutex& keeping() { return keeping_; }
    int spare_pages() const { return pages_.spare(); }

private:
    struct Sequence;
    void loop();
    void admit();
    void step();
    void compute();
    bool compute_whole();
    void run(const std::vector<Token>& tokens, int rows, bool logits, bool states);
    void accept(Sequence& s, const float* rows);
    void write(Sequence& s, const Chosen& chosen);
    void tell(Request& r);
    void end(Sequence& s, const std::string& reason);
    void begin(Sequence& s);
    void reuse(Sequence& s);
    int copy(Sequence& s);
    void put(Sequence& s, int start, int page);
    bool comes(const Sequence& s, int count) const;
    void room(Sequence& s, int tokens);
    void publish(Sequence& s);
    void propose(Sequence& s, int share);
    void tally();

    std::unique_ptr<Model> model_;
    int context_, slots_;
    Threads few_, many_;
    Pages pages_;
    Pool pool_;
    const int process_;

    std::mutex mutex_;  // of what follows
    std::condition_variable wake_;
    std::deque<std::shared_ptr<Request>> waiting_;
    std::deque<std::packaged_task<void()>> jobs_;
    bool ending_ = false, poked_ = false;
    Counts counts_;

    std::mutex keeping_;

    std::mutex step_;  // held while the model computes
    std::chrono::steady_clock::duration took_{};  // by the last step
    std::vector<std::unique_ptr<Sequence>> active_;
    size_t turn_ = 0;      // of the answers, where not all of them fit into a step
    bool others_ = false;  // whether those come next who are no whole texts
    std::vector<float> logits_, states_;
    std::thread thread_;
};

}  // namespace mirim
