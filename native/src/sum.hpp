// A check sum as fast as memory is read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace mirim {

// Of bytes given in parts, all but the last of them multiples of 32. Any change within one word of eight bytes changes
// it; it is no defence against whoever may choose the bytes.
class Sum {
public:
    void add(const void* data, size_t bytes) {
        auto* at = static_cast<const uint8_t*>(data);
        size_ += bytes;
        uint64_t lanes[4], words[4];
        std::memcpy(lanes, lanes_, sizeof lanes);
        for (; bytes >= sizeof words; bytes -= sizeof words, at += sizeof words) {
            std::memcpy(words, at, sizeof words);
            step(lanes, words);
        }
        if (bytes) {
            std::memset(words, 0, sizeof words);
            std::memcpy(words, at, bytes);
            step(lanes, words);
        }
        std::memcpy(lanes_, lanes, sizeof lanes);
    }

    uint64_t value() const {
        uint64_t h = size_;
        for (uint64_t lane : lanes_) {
            h = (h ^ lane) * 0xbf58476d1ce4e5b9ULL;
            h ^= h >> 31;
        }
        h *= 0x94d049bb133111ebULL;
        return h ^ h >> 30;
    }

private:
    // Maps each lane one to one, so that a single changed word cannot come to the same.
    static void step(uint64_t* lanes, const uint64_t* words) {
        for (int i = 0; i < 4; ++i) {
            lanes[i] ^= words[i];
            lanes[i] = (lanes[i] << 29 | lanes[i] >> 35) * 0x9e3779b97f4a7c15ULL;
        }
    }

    uint64_t lanes_[4] = {0x243f6a8885a308d3ULL, 0x13198a2e03707344ULL, 0xa4093822299f31d0ULL, 0x082efa98ec4e6c89ULL};
    uint64_t size_ = 0;
};

}  // namespace mirim
