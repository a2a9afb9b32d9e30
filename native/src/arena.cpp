#include "arena.hpp"

#include <sys/mman.h>

#include <algorithm>

namespace mirim {

Arena::~Arena() {
    for (auto& [data, size] : parts_) munmap(data, size);
}

uint8_t* Arena::take(size_t bytes) {
    const size_t need = (bytes + LINE - 1) / LINE * LINE;
    if (parts_.empty() || used_ + need > parts_.back().second) {
        size_t size = std::max(need, size_t(32) << 20);
        void* p = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
        madvise(p, size, MADV_HUGEPAGE);
#endif
        parts_.emplace_back(static_cast<uint8_t*>(p), size);
        used_ = 0;
    }
    uint8_t* at = parts_.back().first + used_;
    used_ += need;
    taken_ += need;
    return at;
}

size_t Arena::bytes() const {
    size_t all = 0;
    for (auto& part : parts_) all += part.second;
    return all;
}

}  // namespace mirim
