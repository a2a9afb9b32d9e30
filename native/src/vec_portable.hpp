// The lanes of vec.hpp in plain C++: what all other instruction sets are tested against. Included there, inside its
// namespace.

struct Floats {
    float v[16];
};
struct Ints {
    int32_t v[16];
};
#define EACH(expr)                     \
    for (int i = 0; i < 16; ++i) {     \
        expr;                          \
    }
inline Floats load(const float* p) {
    Floats r;
    std::memcpy(r.v, p, sizeof r.v);
    return r;
}
inline void store(float* p, Floats a) { std::memcpy(p, a.v, sizeof a.v); }
inline Floats spread(float x) {
    Floats r;
    EACH(r.v[i] = x)
    return r;
}
inline Floats add(Floats a, Floats b) {
    EACH(a.v[i] += b.v[i])
    return a;
}
inline Floats sub(Floats a, Floats b) {
    EACH(a.v[i] -= b.v[i])
    return a;
}
inline Floats mul(Floats a, Floats b) {
    EACH(a.v[i] *= b.v[i])
    return a;
}
inline Floats div(Floats a, Floats b) {
    EACH(a.v[i] /= b.v[i])
    return a;
}
inline Floats fma(Floats a, Floats b, Floats c) {
    EACH(c.v[i] = std::fma(a.v[i], b.v[i], c.v[i]))
    return c;
}
inline Floats larger(Floats a, Floats b) {
    EACH(a.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i])
    return a;
}
inline Floats smaller(Floats a, Floats b) {
    EACH(a.v[i] = a.v[i] < b.v[i] ? a.v[i] : b.v[i])
    return a;
}
inline Floats magnitude(Floats a) {
    EACH(a.v[i] = std::fabs(a.v[i]))
    return a;
}
inline float widen_half(uint16_t h) {
    uint32_t sign = uint32_t(h & 0x8000) << 16, exponent = (h >> 10) & 31, rest = h & 1023, bits;
    if (exponent == 31)
        bits = sign | 0x7f800000 | rest << 13;
    else if (exponent)
        bits = sign | (exponent + 112) << 23 | rest << 13;
    else {
        float small = std::ldexp(float(rest), -24);
        std::memcpy(&bits, &small, 4);
        bits |= sign;
    }
    float f;
    std::memcpy(&f, &bits, 4);
    return f;
}
inline uint16_t narrow_half(float f) {
    uint32_t bits;
    std::memcpy(&bits, &f, 4);
    uint32_t sign = (bits >> 16) & 0x8000, rest = bits & 0x7fffffff;
    if (rest > 0x7f800000) return uint16_t(sign | 0x7e00 | (rest >> 13 & 0x1ff));
    if (rest >= 0x477ff000) return uint16_t(sign | 0x7c00);
    if (rest < 0x38800000) {  // below the smallest normal half
        float size;
        std::memcpy(&size, &rest, 4);
        return uint16_t(sign | uint32_t(std::nearbyint(std::ldexp(size, 24))));
    }
    rest += 0xfff + ((rest >> 13) & 1);
    return uint16_t(sign | (rest - 0x38000000) >> 13);
}
inline Floats load_half(const uint16_t* p) {
    Floats r;
    EACH(r.v[i] = widen_half(p[i]))
    return r;
}
inline void store_half(uint16_t* p, Floats a) { EACH(p[i] = narrow_half(a.v[i])) }
inline Floats load_bfloat(const uint16_t* p) {
    Floats r;
    EACH(uint32_t bits = uint32_t(p[i]) << 16; std::memcpy(&r.v[i], &bits, 4))
    return r;
}
inline float sum(Floats a) {
    for (int half = 8; half; half /= 2)
        for (int i = 0; i < half; ++i) a.v[i] += a.v[i + half];
    return a.v[0];
}
inline float largest(Floats a) {
    float m = a.v[0];
    EACH(m = a.v[i] > m ? a.v[i] : m)
    return m;
}
inline Ints spread_int(int32_t x) {
    Ints r;
    EACH(r.v[i] = x)
    return r;
}
inline Floats to_float(Ints a) {
    Floats r;
    EACH(r.v[i] = float(a.v[i]))
    return r;
}
inline Ints nearest(Floats a) {
    Ints r;
    EACH(r.v[i] = int32_t(std::nearbyint(a.v[i])))
    return r;
}
inline void store_bytes(int8_t* p, Ints a) { EACH(p[i] = int8_t(a.v[i])) }
inline int32_t sum_int(Ints a) {
    int32_t total = 0;
    EACH(total += a.v[i])
    return total;
}
inline Ints add(Ints a, Ints b) {
    EACH(a.v[i] += b.v[i])
    return a;
}
inline Ints bits(Floats a) {
    Ints r;
    std::memcpy(r.v, a.v, sizeof r.v);
    return r;
}
inline Floats from_bits(Ints a) {
    Floats r;
    std::memcpy(r.v, a.v, sizeof r.v);
    return r;
}
inline Ints to_exponent(Ints a) {
    EACH(a.v[i] = int32_t(uint32_t(a.v[i]) << 23))
    return a;
}
template <int By>
Floats swapped(Floats a) {
    Floats r;
    EACH(r.v[i] = a.v[i ^ By])
    return r;
}
inline Floats first(Floats a, int n, float rest) {
    EACH(a.v[i] = i < n ? a.v[i] : rest)
    return a;
}

struct Bytes {
    int8_t v[64];
};
inline Bytes bytes8(const uint8_t* p) {
    Bytes r;
    for (int i = 0; i < 64; ++i) r.v[i] = int8_t(p[i] ^ 0x80);
    return r;
}
inline Bytes low4(const uint8_t* p) {
    Bytes r;
    for (int i = 0; i < 64; ++i) r.v[i] = int8_t((p[i] & 15) - 8);
    return r;
}
inline Bytes high4(const uint8_t* p) {
    Bytes r;
    for (int i = 0; i < 64; ++i) r.v[i] = int8_t((p[i] >> 4) - 8);
    return r;
}
inline Ints dot(Ints sum, Bytes w, const int8_t* four) {
    for (int i = 0; i < 64; ++i) sum.v[i / 4] += int32_t(w.v[i]) * four[i % 4];
    return sum;
}
#undef EACH
