// Memory for keys and values, in pages of 32 tokens that sequences with the same beginning share; of a page that begins
// alike, what is alike can be copied.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

namespace mirim {

class Pages {
public:
    // At most `most` pages of `bytes`. Those that no sequence uses are kept for their beginnings, as long as there are no
    // more than `spare` with those in use.
    Pages(size_t bytes, int most, int spare);
    ~Pages();
    Pages(const Pages&) = delete;

    // A page for one sequence to fill; -1 when all are in use.
    int take();
    void release(int page);
    uint8_t* data(int page) const { return pages_[page].data; }

    // The page that holds `tokens` (a whole page of them) after the page `before` (-1: at the beginning), now also
    // used by the caller; -1 if there is none. `salt` keeps apart what was computed differently.
    int find(int before, const int* tokens, uint64_t salt);
    // The page after `before` that begins with most of these tokens, and how many, also used by the caller until it is
    // released: what they have in common may be copied. {-1, 0} if there is none.
    std::pair<int, int> nearest(int before, const int* tokens, int count, uint64_t salt);
    // Whether a page can be found: one that cannot is nowhere after any other.
    bool known(int page) const { return pages_[page].serial != 0; }
    // From now on `page`, which holds `count` tokens, can be found. Its content must not change any more.
    void publish(int page, int before, const int* tokens, int count, uint64_t salt);

    int in_use() const { return in_use_; }
    int kept() const { return int(idle_.size()); }
    size_t bytes() const { return bytes_; }
    int spare() const { return spare_; }

private:
    struct Page {
        uint8_t* data = nullptr;
        int users = 0;
        uint64_t serial = 0, before = 0, salt = 0, hash = 0;  // serial 0: cannot be found; hash 0: is not full
        std::vector<int> tokens;
        std::list<int>::iterator place;
    };
    int held() const { return in_use_ + int(idle_.size()); }
    uint64_t serial_of(int page) const { return page < 0 ? 0 : pages_[page].serial; }
    static uint64_t hash(uint64_t before, const int* tokens, uint64_t salt);
    int look(uint64_t before, const int* tokens, uint64_t salt) const;
    std::pair<int, int> likest(uint64_t before, const int* tokens, int count, uint64_t salt) const;
    void use(int page);
    void forget(int page);

    size_t bytes_;
    int most_, spare_, in_use_ = 0;
    uint64_t serials_ = 0;
    std::vector<Page> pages_;
    std::vector<int> free_;       // hold nothing that could be found
    std::list<int> idle_;         // can be found, used by nobody; the longest unused first
    std::unordered_multimap<uint64_t, int> by_hash_, by_before_;
};

}  // namespace mirim
