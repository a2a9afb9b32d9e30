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
    // Do `work(i)` for every i < count, each by whichever thread comes first. Every thread must go through the same
    // calls, with a barrier between any two.
    template <class Work>
    void share(int count, Work work);

private:
    bool take(int count, int chunk, int* from);

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
    // Counters of shared work; a phase uses its own, and clears the one after next.
    struct alignas(64) Counter {
        std::atomic<int> next{0};
    };
    Counter counters_[4];
};

inline int Crew::threads() const { return pool_.active_; }

template <class Work>
void Crew::share(int count, Work work) {
    if (pool_.active_ == 1) {
        for (int i = 0; i < count; ++i) work(i);
        return;
    }
    // Small enough that no thread waits long at the end, large enough that taking costs little.
    int chunk = count / (pool_.active_ * 8);
    if (chunk < 1) chunk = 1;
    int from;
    while (take(count, chunk, &from))
        for (int i = from; i < count && i < from + chunk; ++i) work(i);
}

}  // namespace mirim
