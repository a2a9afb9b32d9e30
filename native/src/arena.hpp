// Memory that stays: for weights, and for what a step computes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>
#include <vector>

#include "kernels.hpp"

namespace mirim {

// A few large parts for many tensors, on huge pages where the system gives them.
class Arena {
public:
    Arena() = default;
    ~Arena();
    Arena(const Arena&) = delete;

    // Zeros, beginning at a line of the cache.
    uint8_t* take(size_t bytes);
    const std::vector<std::pair<uint8_t*, size_t>>& parts() const { return parts_; }
    size_t bytes() const;
    // What was taken of these.
    size_t taken() const { return taken_; }

private:
    std::vector<std::pair<uint8_t*, size_t>> parts_;
    size_t used_ = 0;  // of the last
    size_t taken_ = 0;
};

// Vectors that begin at a line of the cache, so that no load of sixteen floats takes two.
template <class T>
struct Lined {
    using value_type = T;
    Lined() = default;
    template <class U>
    Lined(const Lined<U>&) {}
    T* allocate(size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), std::align_val_t(LINE))); }
    void deallocate(T* p, size_t) { ::operator delete(p, std::align_val_t(LINE)); }
    bool operator==(const Lined&) const { return true; }
    bool operator!=(const Lined&) const { return false; }
};
template <class T>
using Room = std::vector<T, Lined<T>>;

}  // namespace mirim
