// Threads that stay: a job runs on all of them at once and meets at barriers.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace mirim {

class Pool;

// What one thread of a job sees.
class Crew {
public:
    Crew(Pool& pool, int index) : pool_(pool), index_(index) {}

    int index() const { return index_; }
    int threads() const;
    // Wait until every thread is here.
    void barrier();
    // Do `work(i)` for every i < count. Each thread begins with a part of its own, in order, so that memory is read in
    // long runs, and then helps the others with what is left of theirs. Every thread must go through the same calls,
    // with a barrier between any two.
    template <class Work>
    void share(int count, Work work);

private:
    std::atomic<int>& next(int part);

    Pool& pool_;
    int index_;
    unsigned phase_ = 0;
};

class Pool {
public:
    explicit Pool(int threads);
    ~Pool();
    Pool(const Pool&) = delete;

    int threads() const { return threads_; }
    void resize(int threads);
    // Run `job` on `threads` threads (at most all of them), the caller's included, and return when all are done. One
    // caller at a time.
    void run(int threads, const std::function<void(Crew&)>& job);

private:
    friend class Crew;
    void work(int index, uint64_t seen);
    void start(int threads);
    void stop();

    int threads_ = 1;
    int active_ = 1;  // of this job
    std::vector<std::thread> others_;
    const std::function<void(Crew&)>* job_ = nullptr;
    std::atomic<uint64_t> round_{0};  // a new job: one more
    std::atomic<int> busy_{0};
    std::atomic<bool> ending_{false};
    std::atomic<int> sleeping_{0};
    std::mutex mutex_;
    std::condition_variable wake_;

    alignas(64) std::atomic<int> arrived_{0};
    alignas(64) std::atomic<unsigned> turn_{0};
    // How much of each thread's part of the work is taken; a phase uses its own, and clears the one after next.
    struct alignas(64) Counter {
        std::atomic<int> next{0};
    };
    std::vector<Counter> counters_;  // [4][threads]
};

inline int Crew::threads() const { return pool_.active_; }

template <class Work>
void Crew::share(int count, Work work) {
    if (pool_.active_ == 1) {
        for (int i = 0; i < count; ++i) work(i);
        return;
    }
    for (int n = 0; n < pool_.active_; ++n) {
        const int part = (index_ + n) % pool_.active_;
        const int from = int(int64_t(count) * part / pool_.active_), to = int(int64_t(count) * (part + 1) / pool_.active_);
        std::atomic<int>& taken = next(part);
        for (int i; (i = from + taken.fetch_add(1, std::memory_order_relaxed)) < to;) work(i);
    }
}

inline std::atomic<int>& Crew::next(int part) {
    return pool_.counters_[size_t(phase_ % 4) * pool_.threads_ + part].next;
}

}  // namespace mirim
