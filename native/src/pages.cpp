#include "pages.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "kernels.hpp"

namespace mirim {

Pages::Pages(size_t bytes, int most, int spare) : bytes_(bytes), most_(most), spare_(spare), pages_(most) {
    for (int p = most - 1; p >= 0; --p) free_.push_back(p);
}

Pages::~Pages() {
    for (Page& page : pages_) std::free(page.data);
}

int Pages::take() {
    // Rather the memory of a page that nobody uses than more memory, once so much is held as may be spare.
    if (!idle_.empty() && (free_.empty() || held() >= spare_)) forget(idle_.front());
    if (free_.empty()) return -1;
    int n = free_.back();
    Page& page = pages_[n];
    if (!page.data) {
        page.data = static_cast<uint8_t*>(std::aligned_alloc(64, (bytes_ + 63) / 64 * 64));
        if (!page.data) throw std::bad_alloc();
        // Numbers that were never written are multiplied by nothing, but must be numbers.
        std::memset(page.data, 0, bytes_);
    }
    free_.pop_back();
    page.users = 1;
    ++in_use_;
    return n;
}

void Pages::release(int n) {
    Page& page = pages_[n];
    if (--page.users) return;
    --in_use_;
    if (!page.serial) {
        free_.push_back(n);
        return;
    }
    page.place = idle_.insert(idle_.end(), n);
    while (!idle_.empty() && held() > spare_) {
        int oldest = idle_.front();
        forget(oldest);
        std::free(pages_[oldest].data);
        pages_[oldest].data = nullptr;
    }
}

// An idle page can no longer be found, and is free.
void Pages::forget(int n) {
    Page& page = pages_[n];
    idle_.erase(page.place);
    auto erase = [n](std::unordered_multimap<uint64_t, int>& from, uint64_t key) {
        auto range = from.equal_range(key);
        from.erase(std::find_if(range.first, range.second, [n](auto& pair) { return pair.second == n; }));
    };
    if (page.hash) erase(by_hash_, page.hash);
    erase(by_before_, page.before);
    page.serial = page.hash = 0;
    page.tokens.clear();
    free_.push_back(n);
}

uint64_t Pages::hash(uint64_t before, const int* tokens, uint64_t salt) {
    uint64_t h = before * 0x9e3779b97f4a7c15ULL ^ salt;
    for (int i = 0; i < PAGE; ++i) h = (h ^ uint64_t(uint32_t(tokens[i]))) * 0x100000001b3ULL;
    return (h ^ h >> 29) | 1;
}

// Pages are named by a serial number that is never used again: after another page has taken an evicted one's memory,
// what followed the old one cannot be mistaken for following the new one.
int Pages::look(uint64_t before, const int* tokens, uint64_t salt) const {
    auto range = by_hash_.equal_range(hash(before, tokens, salt));
    for (auto it = range.first; it != range.second; ++it) {
        const Page& page = pages_[it->second];
        if (page.before == before && page.salt == salt && std::equal(tokens, tokens + PAGE, page.tokens.begin()))
            return it->second;
    }
    return -1;
}

int Pages::find(int before, const int* tokens, uint64_t salt) {
    int n = look(serial_of(before), tokens, salt);
    if (n >= 0) use(n);
    return n;
}

void Pages::use(int n) {
    Page& page = pages_[n];
    if (page.users++) return;
    idle_.erase(page.place);
    ++in_use_;
}

std::pair<int, int> Pages::likest(uint64_t before, const int* tokens, int count, uint64_t salt) const {
    std::pair<int, int> best{-1, 0};
    auto range = by_before_.equal_range(before);
    for (auto it = range.first; it != range.second; ++it) {
        const Page& page = pages_[it->second];
        if (page.salt != salt) continue;
        const int most = std::min(count, int(page.tokens.size()));
        const int alike = int(std::mismatch(tokens, tokens + most, page.tokens.begin()).first - tokens);
        if (alike > best.second) best = {it->second, alike};
    }
    return best;
}

std::pair<int, int> Pages::nearest(int before, const int* tokens, int count, uint64_t salt) {
    const auto best = likest(serial_of(before), tokens, count, salt);
    if (best.first >= 0) use(best.first);
    return best;
}

void Pages::publish(int n, int before, const int* tokens, int count, uint64_t salt) {
    Page& page = pages_[n];
    if (page.serial || (before >= 0 && !pages_[before].serial)) return;
    const uint64_t parent = serial_of(before);
    if (count == PAGE ? look(parent, tokens, salt) >= 0 : likest(parent, tokens, count, salt).second == count) return;
    page.serial = ++serials_;
    page.before = parent;
    page.salt = salt;
    page.tokens.assign(tokens, tokens + count);
    by_before_.emplace(parent, n);
    if (count < PAGE) return;
    page.hash = hash(parent, tokens, salt);
    by_hash_.emplace(page.hash, n);
}

}  // namespace mirim
