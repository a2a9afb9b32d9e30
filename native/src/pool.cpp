#include "pool.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace mirim {

namespace {

// A short wait is spun; a long one gives the core away, since another process may be on it.
constexpr int SPINS = 2000, YIELDS = 200;

void relax() {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

template <class Ready>
bool spin(Ready ready, int yields) {
    for (int i = 0; i < SPINS; ++i) {
        if (ready()) return true;
        relax();
    }
    for (int i = 0; yields < 0 || i < yields; ++i) {
        if (ready()) return true;
        std::this_thread::yield();
    }
    return false;
}

}  // namespace

Pool::Pool(int threads) { start(threads); }

Pool::~Pool() { stop(); }

void Pool::resize(int threads) {
    if (threads == threads_) return;
    stop();
    start(threads);
}

void Pool::start(int threads) {
    threads_ = threads < 1 ? 1 : threads;
    ending_ = false;
    counters_ = std::vector<Counter>(size_t(4) * threads_);
    uint64_t seen = round_;
    try {
        for (int i = 1; i < threads_; ++i) others_.emplace_back([this, i, seen] { work(i, seen); });
    } catch (...) {  // where no more threads are to be had, those that were go again
        stop();
        throw;
    }
}

void Pool::stop() {
    {
        std::lock_guard<std::mutex> lock(mutex_);
        ending_ = true;
    }
    wake_.notify_all();
    for (auto& thread : others_) thread.join();
    others_.clear();
}

void Pool::work(int index, uint64_t seen) {
    for (;;) {
        auto called = [&] { return round_.load() != seen || ending_.load(); };
        if (!spin(called, YIELDS)) {
            std::unique_lock<std::mutex> lock(mutex_);
            ++sleeping_;
            wake_.wait(lock, called);
            --sleeping_;
        }
        if (ending_) return;
        ++seen;
        if (index < active_) {
            Crew crew(*this, index);
            (*job_)(crew);
        }
        busy_.fetch_sub(1, std::memory_order_release);
    }
}

void Pool::run(int threads, const std::function<void(Crew&)>& job) {
    job_ = &job;
    active_ = threads < 1 ? 1 : threads > threads_ ? threads_ : threads;
    if (active_ == 1) {
        Crew crew(*this, 0);
        return job(crew);
    }
    for (auto& counter : counters_) counter.next.store(0, std::memory_order_relaxed);
    busy_.store(threads_ - 1, std::memory_order_relaxed);
    round_.fetch_add(1);
    if (sleeping_.load()) {
        std::lock_guard<std::mutex> lock(mutex_);
        wake_.notify_all();
    }
    Crew crew(*this, 0);
    job(crew);
    spin([&] { return busy_.load(std::memory_order_acquire) == 0; }, -1);
}

void Crew::barrier() {
    Pool& p = pool_;
    ++phase_;
    if (p.active_ == 1) return;
    unsigned turn = p.turn_.load(std::memory_order_acquire);
    if (p.arrived_.fetch_add(1, std::memory_order_acq_rel) == p.active_ - 1) {
        p.arrived_.store(0, std::memory_order_relaxed);
        // Nobody can be at the phase after next yet, and nobody is at the one before any more.
        for (int t = 0; t < p.active_; ++t)
            p.counters_[size_t((phase_ + 1) % 4) * p.threads_ + t].next.store(0, std::memory_order_relaxed);
        p.turn_.store(turn + 1, std::memory_order_release);
        return;
    }
    spin([&] { return p.turn_.load(std::memory_order_acquire) != turn; }, -1);
}

}  // namespace mirim
