#include "pack.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#define VEC_PORTABLE
#define VEC_NAME plain
#include "vec.hpp"

namespace mirim {

namespace {

uint16_t read16(const uint8_t* p) {
    uint16_t v;
    std::memcpy(&v, p, 2);
    return v;
}

float widen(Source type, const uint8_t* p, int n) {
    if (type == Source::f32) {
        float v;
        std::memcpy(&v, p + size_t(n) * 4, 4);
        return v;
    }
    uint16_t raw = read16(p + size_t(n) * 2);
    if (type == Source::f16) return plain::widen_half(raw);
    uint32_t bits = uint32_t(raw) << 16;
    float v;
    std::memcpy(&v, &bits, 4);
    return v;
}

// Where value (row, column) of a group lies, in bytes behind the group's scales.
size_t place8(int row, int column) { return size_t(column / 4) * ROWS * 4 + size_t(row) * 4 + column % 4; }
size_t place4(int row, int column) { return size_t(column / 8) * ROWS * 4 + size_t(row) * 4 + column % 4; }

// One row's group of 32 as a scale and whole numbers.
void read_group(Source type, const uint8_t* row, int group, uint16_t* scale, int8_t* q) {
    if (type == Source::q8_0) {
        const uint8_t* p = row + size_t(group) * 34;
        *scale = read16(p);
        std::memcpy(q, p + 2, GROUP);
    } else if (type == Source::q4_0) {
        const uint8_t* p = row + size_t(group) * 18;
        *scale = read16(p);
        for (int i = 0; i < 16; ++i) {
            q[i] = int8_t((p[2 + i] & 15) - 8);
            q[i + 16] = int8_t((p[2 + i] >> 4) - 8);
        }
    } else {
        float x[GROUP], most = 0;
        for (int i = 0; i < GROUP; ++i) {
            x[i] = widen(type, row, group * GROUP + i);
            most = std::max(most, std::fabs(x[i]));
        }
        float step = most / 127.0f;
        *scale = plain::narrow_half(step);
        for (int i = 0; i < GROUP; ++i) {
            float n = step > 0 ? std::nearbyint(x[i] / step) : 0.0f;
            q[i] = n >= -127 && n <= 127 ? int8_t(n) : int8_t(0);
        }
    }
}

}  // namespace

size_t row_bytes(Source type, int columns) {
    switch (type) {
        case Source::f32: return size_t(columns) * 4;
        case Source::f16:
        case Source::bf16: return size_t(columns) * 2;
        case Source::q8_0: return columns % GROUP ? 0 : size_t(columns / GROUP) * 34;
        case Source::q4_0: return columns % GROUP ? 0 : size_t(columns / GROUP) * 18;
    }
    return 0;
}

Kind natural(Source type) {
    switch (type) {
        case Source::f16: return Kind::f16;
        case Source::bf16: return Kind::bf16;
        case Source::q8_0: return Kind::q8;
        case Source::q4_0: return Kind::q4;
        default: return Kind::f32;
    }
}

void pack(const Matrix& to, uint8_t* out, Source type, const uint8_t* from, int rows, int head) {
    const int padded = head ? (head + ROWS - 1) / ROWS * ROWS : 0;
    const size_t stride = row_bytes(type, to.columns);
    for (int r = 0; r < rows; ++r) {
        const uint8_t* row = from + stride * r;
        int place = head ? r / head * padded + r % head : r;
        uint8_t* block = out + to.step() * (place / ROWS);
        int lane = place % ROWS;
        if (!to.quantised()) {
            if (to.kind == Kind::f32) {
                float* f = reinterpret_cast<float*>(block);
                for (int c = 0; c < to.columns; ++c) f[size_t(c) * ROWS + lane] = widen(type, row, c);
            } else {
                uint16_t* h = reinterpret_cast<uint16_t*>(block);
                for (int c = 0; c < to.columns; ++c) h[size_t(c) * ROWS + lane] = read16(row + size_t(c) * 2);
            }
            continue;
        }
        size_t group_bytes = to.block_bytes() / (to.columns / GROUP);
        for (int g = 0; g < to.columns / GROUP; ++g) {
            uint8_t* group = block + group_bytes * g;
            int8_t q[GROUP];
            read_group(type, row, g, reinterpret_cast<uint16_t*>(group) + lane, q);
            uint8_t* body = group + ROWS * 2;
            // Four columns of a row lie together.
            if (to.kind == Kind::q8)
                for (int c = 0; c < GROUP; c += 4) {
                    uint32_t four;
                    std::memcpy(&four, q + c, 4);
                    four ^= 0x80808080u;  // + 128
                    std::memcpy(body + place8(lane, c), &four, 4);
                }
            else
                for (int c = 0; c < GROUP; c += 8)
                    for (int i = 0; i < 4; ++i)
                        body[place4(lane, c) + size_t(i)] = uint8_t((q[c + i] + 8) | (q[c + 4 + i] + 8) << 4);
        }
    }
}

void unpack_row(const Matrix& from, int row, float* out) {
    const uint8_t* block = from.block(row / ROWS);
    const int lane = row % ROWS;
    if (!from.quantised()) {
        Source type = from.kind == Kind::f32 ? Source::f32 : from.kind == Kind::f16 ? Source::f16 : Source::bf16;
        for (int c = 0; c < from.columns; ++c) out[c] = widen(type, block, c * ROWS + lane);
        return;
    }
    size_t group_bytes = from.block_bytes() / (from.columns / GROUP);
    for (int c = 0; c < from.columns; ++c) {
        const uint8_t* group = block + group_bytes * (c / GROUP);
        float scale = plain::widen_half(read16(group + lane * 2));
        const uint8_t* body = group + ROWS * 2;
        int at = c % GROUP, q;
        if (from.kind == Kind::q8)
            q = body[place8(lane, at)] - 128;
        else
            q = (at % 8 < 4 ? body[place4(lane, at)] & 15 : body[place4(lane, at)] >> 4) - 8;
        out[c] = float(q) * scale;
    }
}

}  // namespace mirim
