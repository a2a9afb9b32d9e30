#include "adapters.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>

namespace mirim {

void Adapters::Free::operator()(uint8_t* p) const { std::free(p); }

int Adapters::begin(int layers) {
    adapters_.emplace_back(size_t(layers) * PARTS);
    return count() - 1;
}

void Adapters::add(int adapter, int layer, Part part, bool down, Source type, const uint8_t* data, int rows,
                   int columns, int head, float scale) {
    if (adapter < 0 || adapter >= count()) throw std::runtime_error("there is no adapter " + std::to_string(adapter));
    const int rank = down ? rows : columns;
    if (rank < 1 || rank > RANK_MOST)
        throw std::runtime_error("its rank is " + std::to_string(rank) + ", not within 1 and " + std::to_string(RANK_MOST));
    Change& c = adapters_[adapter][layer * PARTS + part];
    Matrix& m = down ? c.down : c.up;
    if (m.data) throw std::runtime_error("a half of a change is there twice");
    m.kind = natural(type);
    if (m.quantised()) throw std::runtime_error("its numbers are not floats");
    m.rows = head && !down ? rows / head * ((head + ROWS - 1) / ROWS * ROWS) : rows;
    m.columns = columns;
    const size_t bytes = (m.bytes() + 63) / 64 * 64;
    auto* memory = static_cast<uint8_t*>(std::aligned_alloc(64, bytes));
    if (!memory) throw std::bad_alloc();
    (down ? c.down_data : c.up_data).reset(memory);
    std::memset(memory, 0, bytes);
    m.data = memory;
    pack(m, memory, type, data, rows, down ? 0 : head);
    if (down) c.scale = scale;
    rank_ = std::max(rank_, rank);
}

void Adapters::finish(int most_tokens) {
    for (auto& adapter : adapters_)
        for (Change& c : adapter) {
            if (!c.down.data != !c.up.data) throw std::runtime_error("half of a change is missing");
            if (c.down.data && c.down.rows != c.up.columns) throw std::runtime_error("halves of a change do not fit");
        }
    if (count())
        for (auto& low : low_) low.resize(size_t(most_tokens) * rank_);
}

void Adapters::lower(Crew& crew, const Kernels& kernels, int layer, std::initializer_list<Part> parts,
                     const Inputs& in) {
    if (runs_.empty()) return;
    const int blocks = (rank_ + ROWS - 1) / ROWS, each = int(parts.size()) * blocks;
    crew.share(int(runs_.size()) * each, [&](int unit) {
        const Run& run = runs_[unit / each];
        const Part part = parts.begin()[unit % each / blocks];
        const int block = unit % blocks;
        const Change& c = change(run.adapter, layer, part);
        if (!c.down.data || block >= c.down.blocks()) return;
        const int rank = c.down.rows, rows = std::min(ROWS, rank - block * ROWS);
        float* low = low_[part].data() + size_t(run.first) * rank_ + block * ROWS;
        alignas(64) float made[STRIP * ROWS];
        for (int at = 0; at < run.count; at += STRIP) {
            const int n = std::min(STRIP, run.count - at);
            kernels.product(c.down, block, in, run.first + at, n, made);
            for (int t = 0; t < n; ++t)
                for (int r = 0; r < rows; ++r) low[size_t(at + t) * rank + r] = made[t * ROWS + r] * c.scale;
        }
    });
    crew.barrier();
}

void Adapters::add_changes(const Kernels& kernels, int layer, Part part, int block, int from, int n,
                           float* made) const {
    alignas(64) float more[STRIP * ROWS];
    for (const Run& run : runs_) {
        const int start = std::max(from, run.first), end = std::min(from + n, run.first + run.count);
        const Change& c = change(run.adapter, layer, part);
        if (start >= end || !c.up.data) continue;
        Inputs in;
        in.x = const_cast<float*>(low_[part].data()) + size_t(run.first) * rank_;
        in.columns = c.up.columns;
        for (int t = start; t < end; t += STRIP) {
            const int count = std::min(STRIP, end - t);
            kernels.product(c.up, block, in, t - run.first, count, more);
            float* to = made + size_t(t - from) * ROWS;
            for (int i = 0; i < count * ROWS; ++i) to[i] += more[i];
        }
    }
}

}  // namespace mirim
