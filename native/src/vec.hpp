// Sixteen lanes of float or int32, on whatever the processor has.
//
// Every kernel is written once over these types and compiled once for each instruction set. Lanes never mix except
// in `sum` and `largest`, which always add in the same tree, and every multiply-add is fused: so all instruction
// sets give the same bits. Which set is meant is said by one of VEC_AVX512, VEC_AVX2 (with VEC_AVXVNNI where that is
// there), VEC_NEON or VEC_PORTABLE; VEC_NAME is the namespace.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels.hpp"

#if defined(VEC_AVX512) || defined(VEC_AVX2)
#include <immintrin.h>
#elif defined(VEC_NEON)
#include <arm_neon.h>
#endif

namespace mirim::VEC_NAME {

#if defined(VEC_AVX512)

struct Floats {
    __m512 v;
};
struct Ints {
    __m512i v;
};
inline Floats load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline void store(float* p, Floats a) { _mm512_storeu_ps(p, a.v); }
inline Floats spread(float x) { return {_mm512_set1_ps(x)}; }
inline Floats add(Floats a, Floats b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Floats sub(Floats a, Floats b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Floats mul(Floats a, Floats b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Floats div(Floats a, Floats b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Floats fma(Floats a, Floats b, Floats c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline Floats larger(Floats a, Floats b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Floats smaller(Floats a, Floats b) { return {_mm512_min_ps(a.v, b.v)}; }
inline Floats magnitude(Floats a) { return {_mm512_abs_ps(a.v)}; }
inline Floats load_half(const uint16_t* p) {
    return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
inline void store_half(uint16_t* p, Floats a) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT));
}
inline Floats load_bfloat(const uint16_t* p) {
    __m256i raw = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(raw), 16))};
}
inline float sum(Floats a) {
    __m256 h = _mm256_add_ps(_mm512_castps512_ps256(a.v),
                             _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(a.v), 1)));
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
}
inline float largest(Floats a) { return _mm512_reduce_max_ps(a.v); }
inline Ints spread_int(int32_t x) { return {_mm512_set1_epi32(x)}; }
inline Floats to_float(Ints a) { return {_mm512_cvtepi32_ps(a.v)}; }
inline Ints nearest(Floats a) { return {_mm512_cvtps_epi32(a.v)}; }
inline void store_bytes(int8_t* p, Ints a) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a.v));
}
inline Ints add(Ints a, Ints b) { return {_mm512_add_epi32(a.v, b.v)}; }
inline int32_t sum_int(Ints a) { return _mm512_reduce_add_epi32(a.v); }
inline Ints bits(Floats a) { return {_mm512_castps_si512(a.v)}; }
inline Floats from_bits(Ints a) { return {_mm512_castsi512_ps(a.v)}; }
inline Ints to_exponent(Ints a) { return {_mm512_slli_epi32(a.v, 23)}; }
// Lanes whose numbers differ by 1, 2, 4 or 8 change places.
template <int By>
Floats swapped(Floats a) {
    if constexpr (By < 4) return {_mm512_permute_ps(a.v, By == 1 ? 0xb1 : 0x4e)};
    return {_mm512_shuffle_f32x4(a.v, a.v, By == 4 ? 0xb1 : 0x4e)};
}
// Lanes from n on become `rest`.
inline Floats first(Floats a, int n, float rest) {
    return {_mm512_mask_blend_ps(__mmask16((1u << n) - 1), _mm512_set1_ps(rest), a.v)};
}

// Weights of 16 rows x 4 columns as unsigned bytes: value + 128, for four bits (value + 8) x 16. A sum starts at WHOLE
// - 128 x the sum of the activations, so that in the end its bits are those of the float 1.5 x 2^23 + what is meant:
// one exact multiply-add makes it a float times the weights' scales.
struct Bytes {
    __m512i v;
};
struct Scales {
    __m512 by, shift;
};
inline Bytes bytes8(const uint8_t* p) { return {_mm512_loadu_si512(p)}; }
inline Bytes low4(const uint8_t* p) {
    return {_mm512_and_si512(_mm512_slli_epi16(_mm512_loadu_si512(p), 4), _mm512_set1_epi8(char(0xf0)))};
}
inline Bytes high4(const uint8_t* p) { return {_mm512_and_si512(_mm512_loadu_si512(p), _mm512_set1_epi8(char(0xf0)))}; }
inline Ints start(const int32_t* at) { return {_mm512_set1_epi32(*at)}; }
inline Scales scales8(const uint16_t* p) {
    __m512 by = load_half(p).v;
    return {by, _mm512_mul_ps(by, _mm512_set1_ps(-12582912.0f))};
}
inline Scales scales4(const uint16_t* p) {
    __m512 by = _mm512_mul_ps(load_half(p).v, _mm512_set1_ps(1.0f / 16));
    return {by, _mm512_mul_ps(by, _mm512_set1_ps(-12582912.0f))};
}
inline Floats scaled(Ints sum, Scales s) { return {_mm512_fmadd_ps(_mm512_castsi512_ps(sum.v), s.by, s.shift)}; }
inline Ints dot(Ints sum, Bytes w, const int8_t* four) {
    int32_t a;
    std::memcpy(&a, four, 4);
    return {_mm512_dpbusd_epi32(sum.v, w.v, _mm512_set1_epi32(a))};
}

#elif defined(VEC_AVX2)

struct Floats {
    __m256 a, b;
};
struct Ints {
    __m256i a, b;
};
inline Floats load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline void store(float* p, Floats x) {
    _mm256_storeu_ps(p, x.a);
    _mm256_storeu_ps(p + 8, x.b);
}
inline Floats spread(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline Floats add(Floats x, Floats y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
inline Floats sub(Floats x, Floats y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
inline Floats mul(Floats x, Floats y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
inline Floats div(Floats x, Floats y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
inline Floats fma(Floats x, Floats y, Floats z) {
    return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
inline Floats larger(Floats x, Floats y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
inline Floats smaller(Floats x, Floats y) { return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)}; }
inline Floats magnitude(Floats x) {
    __m256 mask = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
    return {_mm256_and_ps(x.a, mask), _mm256_and_ps(x.b, mask)};
}
inline Floats load_half(const uint16_t* p) {
    return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
            _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8)))};
}
inline void store_half(uint16_t* p, Floats x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(x.a, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 8), _mm256_cvtps_ph(x.b, _MM_FROUND_TO_NEAREST_INT));
}
inline __m256 widen_bfloat(const uint16_t* p) {
    __m128i raw = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(raw), 16));
}
inline Floats load_bfloat(const uint16_t* p) { return {widen_bfloat(p), widen_bfloat(p + 8)}; }
inline float sum(Floats x) {
    __m256 h = _mm256_add_ps(x.a, x.b);
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
}
inline float largest(Floats x) {
    __m256 h = _mm256_max_ps(x.a, x.b);
    __m128 q = _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    q = _mm_max_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_max_ss(q, _mm_movehdup_ps(q)));
}
inline Ints spread_int(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
inline Floats to_float(Ints x) { return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)}; }
inline Ints nearest(Floats x) { return {_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b)}; }
inline void store_bytes(int8_t* p, Ints x) {
    __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(x.a, x.b), 0xd8);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                     _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
}
inline int32_t sum_int(Ints x) {
    __m256i h = _mm256_add_epi32(x.a, x.b);
    __m128i q = _mm_add_epi32(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1));
    q = _mm_add_epi32(q, _mm_shuffle_epi32(q, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(q, _mm_shuffle_epi32(q, 0xb1)));
}
inline Ints add(Ints x, Ints y) { return {_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)}; }
inline Ints bits(Floats x) { return {_mm256_castps_si256(x.a), _mm256_castps_si256(x.b)}; }
inline Floats from_bits(Ints x) { return {_mm256_castsi256_ps(x.a), _mm256_castsi256_ps(x.b)}; }
inline Ints to_exponent(Ints x) { return {_mm256_slli_epi32(x.a, 23), _mm256_slli_epi32(x.b, 23)}; }
template <int By>
Floats swapped(Floats x) {
    if constexpr (By == 8) return {x.b, x.a};
    if constexpr (By == 4) return {_mm256_permute2f128_ps(x.a, x.a, 1), _mm256_permute2f128_ps(x.b, x.b, 1)};
    constexpr int order = By == 1 ? 0xb1 : 0x4e;
    return {_mm256_permute_ps(x.a, order), _mm256_permute_ps(x.b, order)};
}
inline Floats first(Floats x, int n, float rest) {
    __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    __m256 a = _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(n), lanes));
    __m256 b = _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(n - 8), lanes));
    return {_mm256_blendv_ps(_mm256_set1_ps(rest), x.a, a), _mm256_blendv_ps(_mm256_set1_ps(rest), x.b, b)};
}

inline __m256i load_bytes(const uint8_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
inline __m256i spread_four(const int8_t* four) {
    int32_t raw;
    std::memcpy(&raw, four, 4);
    return _mm256_set1_epi32(raw);
}

// As with AVX512: sums that end as floats.
struct Scales {
    Floats by, shift;
};
inline Scales scales8(const uint16_t* p) {
    Floats by = load_half(p);
    return {by, mul(by, spread(-12582912.0f))};
}
inline Scales scales4(const uint16_t* p) {
    Floats by = mul(load_half(p), spread(1.0f / 16));
    return {by, mul(by, spread(-12582912.0f))};
}
inline Floats scaled(Ints sum, Scales s) { return fma(from_bits(sum), s.by, s.shift); }

#if defined(VEC_AVXVNNI)

// Unsigned weights, as with AVX512.
struct Bytes {
    __m256i a, b;
};
inline __m256i above(__m256i x) { return _mm256_and_si256(x, _mm256_set1_epi8(char(0xf0))); }
inline Bytes bytes8(const uint8_t* p) { return {load_bytes(p), load_bytes(p + 32)}; }
inline Bytes low4(const uint8_t* p) {
    return {above(_mm256_slli_epi16(load_bytes(p), 4)), above(_mm256_slli_epi16(load_bytes(p + 32), 4))};
}
inline Bytes high4(const uint8_t* p) { return {above(load_bytes(p)), above(load_bytes(p + 32))}; }
inline Ints start(const int32_t* at) { return spread_int(*at); }
inline Ints dot(Ints sum, Bytes w, const int8_t* four) {
    __m256i x = spread_four(four);
    return {_mm256_dpbusd_avx_epi32(sum.a, w.a, x), _mm256_dpbusd_avx_epi32(sum.b, w.b, x)};
}

#else

// GCC would add in another order, as it may, and then has more sums under way than registers.
inline void in_turn(__m256i& sum) {
#if defined(__GNUC__)
    asm("" : "+x"(sum));
#else
    (void)sum;
#endif
}

// maddubs adds two products in 16 bits: with signed weights of at most 128 and activations of at most 127 it fits.
struct Bytes {
    __m256i a, b;    // signed weights
    __m256i aa, ab;  // their magnitudes
};
inline Bytes bytes8(const uint8_t* p) {
    const __m256i flip = _mm256_set1_epi8(char(0x80));
    const __m256i a = _mm256_xor_si256(load_bytes(p), flip), b = _mm256_xor_si256(load_bytes(p + 32), flip);
    return {a, b, _mm256_abs_epi8(a), _mm256_abs_epi8(b)};
}
inline Ints start(const int32_t*) { return spread_int(WHOLE); }
inline Ints dot(Ints sum, Bytes w, const int8_t* four) {
    const __m256i x = spread_four(four), ones = _mm256_set1_epi16(1);
    sum.a = _mm256_add_epi32(sum.a, _mm256_madd_epi16(_mm256_maddubs_epi16(w.aa, _mm256_sign_epi8(x, w.a)), ones));
    in_turn(sum.a);
    sum.b = _mm256_add_epi32(sum.b, _mm256_madd_epi16(_mm256_maddubs_epi16(w.ab, _mm256_sign_epi8(x, w.b)), ones));
    in_turn(sum.b);
    return sum;
}

// Four bits, value + 8: a whole group's sum of pairs fits in 16 bits, as 16 columns x 15 x 127 is less than 2^15.
#define VEC_SHORTS
struct Nibbles {
    __m256i a, b;
};
struct Shorts {
    __m256i a, b;
};
inline __m256i below(__m256i x) { return _mm256_and_si256(x, _mm256_set1_epi8(15)); }
inline Nibbles low4(const uint8_t* p) { return {below(load_bytes(p)), below(load_bytes(p + 32))}; }
inline Nibbles high4(const uint8_t* p) {
    return {below(_mm256_srli_epi16(load_bytes(p), 4)), below(_mm256_srli_epi16(load_bytes(p + 32), 4))};
}
inline Shorts start4(const int32_t*) { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
inline Shorts dot(Shorts sum, Nibbles w, const int8_t* four) {
    const __m256i x = spread_four(four);
    sum.a = _mm256_add_epi16(sum.a, _mm256_maddubs_epi16(w.a, x));
    in_turn(sum.a);
    sum.b = _mm256_add_epi16(sum.b, _mm256_maddubs_epi16(w.b, x));
    in_turn(sum.b);
    return sum;
}
inline Ints end4(Shorts sum, const int32_t* at) {
    const __m256i times = _mm256_set1_epi16(16), begin = _mm256_set1_epi32(*at);
    return {_mm256_add_epi32(begin, _mm256_madd_epi16(sum.a, times)),
            _mm256_add_epi32(begin, _mm256_madd_epi16(sum.b, times))};
}

#endif

#elif defined(VEC_NEON)

struct Floats {
    float32x4_t v[4];
};
struct Ints {
    int32x4_t v[4];
};
#define EACH(expr)                    \
    for (int i = 0; i < 4; ++i) {     \
        expr;                         \
    }
inline Floats load(const float* p) {
    Floats r;
    EACH(r.v[i] = vld1q_f32(p + 4 * i))
    return r;
}
inline void store(float* p, Floats a) { EACH(vst1q_f32(p + 4 * i, a.v[i])) }
inline Floats spread(float x) {
    Floats r;
    EACH(r.v[i] = vdupq_n_f32(x))
    return r;
}
inline Floats add(Floats a, Floats b) {
    EACH(a.v[i] = vaddq_f32(a.v[i], b.v[i]))
    return a;
}
inline Floats sub(Floats a, Floats b) {
    EACH(a.v[i] = vsubq_f32(a.v[i], b.v[i]))
    return a;
}
inline Floats mul(Floats a, Floats b) {
    EACH(a.v[i] = vmulq_f32(a.v[i], b.v[i]))
    return a;
}
inline Floats div(Floats a, Floats b) {
    EACH(a.v[i] = vdivq_f32(a.v[i], b.v[i]))
    return a;
}
inline Floats fma(Floats a, Floats b, Floats c) {
    EACH(c.v[i] = vfmaq_f32(c.v[i], a.v[i], b.v[i]))
    return c;
}
// As x86 does: the second operand where one is not a number.
inline Floats larger(Floats a, Floats b) {
    EACH(a.v[i] = vbslq_f32(vcgtq_f32(a.v[i], b.v[i]), a.v[i], b.v[i]))
    return a;
}
inline Floats smaller(Floats a, Floats b) {
    EACH(a.v[i] = vbslq_f32(vcltq_f32(a.v[i], b.v[i]), a.v[i], b.v[i]))
    return a;
}
inline Floats magnitude(Floats a) {
    EACH(a.v[i] = vabsq_f32(a.v[i]))
    return a;
}
inline Floats load_half(const uint16_t* p) {
    Floats r;
    EACH(r.v[i] = vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + 4 * i))))
    return r;
}
inline void store_half(uint16_t* p, Floats a) { EACH(vst1_u16(p + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(a.v[i])))) }
inline Floats load_bfloat(const uint16_t* p) {
    Floats r;
    EACH(r.v[i] = vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p + 4 * i), 16)))
    return r;
}
inline float sum(Floats a) {
    float32x4_t q = vaddq_f32(vaddq_f32(a.v[0], a.v[2]), vaddq_f32(a.v[1], a.v[3]));
    float32x2_t d = vadd_f32(vget_low_f32(q), vget_high_f32(q));
    return vget_lane_f32(d, 0) + vget_lane_f32(d, 1);
}
inline float largest(Floats a) {
    return vmaxvq_f32(vmaxq_f32(vmaxq_f32(a.v[0], a.v[2]), vmaxq_f32(a.v[1], a.v[3])));
}
inline Ints spread_int(int32_t x) {
    Ints r;
    EACH(r.v[i] = vdupq_n_s32(x))
    return r;
}
inline Floats to_float(Ints a) {
    Floats r;
    EACH(r.v[i] = vcvtq_f32_s32(a.v[i]))
    return r;
}
inline Ints nearest(Floats a) {
    Ints r;
    EACH(r.v[i] = vcvtnq_s32_f32(a.v[i]))
    return r;
}
inline void store_bytes(int8_t* p, Ints a) {
    int16x8_t low = vcombine_s16(vmovn_s32(a.v[0]), vmovn_s32(a.v[1]));
    int16x8_t high = vcombine_s16(vmovn_s32(a.v[2]), vmovn_s32(a.v[3]));
    vst1q_s8(p, vcombine_s8(vmovn_s16(low), vmovn_s16(high)));
}
inline int32_t sum_int(Ints a) {
    return vaddvq_s32(vaddq_s32(vaddq_s32(a.v[0], a.v[1]), vaddq_s32(a.v[2], a.v[3])));
}
inline Ints add(Ints a, Ints b) {
    EACH(a.v[i] = vaddq_s32(a.v[i], b.v[i]))
    return a;
}
inline Ints bits(Floats a) {
    Ints r;
    EACH(r.v[i] = vreinterpretq_s32_f32(a.v[i]))
    return r;
}
inline Floats from_bits(Ints a) {
    Floats r;
    EACH(r.v[i] = vreinterpretq_f32_s32(a.v[i]))
    return r;
}
inline Ints to_exponent(Ints a) {
    EACH(a.v[i] = vshlq_n_s32(a.v[i], 23))
    return a;
}
template <int By>
Floats swapped(Floats a) {
    if constexpr (By >= 4) return By == 4 ? Floats{{a.v[1], a.v[0], a.v[3], a.v[2]}} : Floats{{a.v[2], a.v[3], a.v[0], a.v[1]}};
    EACH(a.v[i] = By == 1 ? vrev64q_f32(a.v[i]) : vextq_f32(a.v[i], a.v[i], 2))
    return a;
}
inline Floats first(Floats a, int n, float rest) {
    const int32_t counted[4] = {0, 1, 2, 3};
    const int32x4_t lanes = vld1q_s32(counted);
    EACH(a.v[i] = vbslq_f32(vcltq_s32(lanes, vdupq_n_s32(n - 4 * i)), a.v[i], vdupq_n_f32(rest)))
    return a;
}

struct Bytes {
    int8x16_t v[4];
};
inline Bytes bytes8(const uint8_t* p) {
    Bytes r;
    EACH(r.v[i] = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(p + 16 * i), vdupq_n_u8(0x80))))
    return r;
}
inline Bytes low4(const uint8_t* p) {
    Bytes r;
    EACH(r.v[i] = vsubq_s8(vreinterpretq_s8_u8(vandq_u8(vld1q_u8(p + 16 * i), vdupq_n_u8(15))), vdupq_n_s8(8)))
    return r;
}
inline Bytes high4(const uint8_t* p) {
    Bytes r;
    EACH(r.v[i] = vsubq_s8(vreinterpretq_s8_u8(vshrq_n_u8(vld1q_u8(p + 16 * i), 4)), vdupq_n_s8(8)))
    return r;
}
inline Ints dot(Ints sum, Bytes w, const int8_t* four) {
    int32_t raw;
    std::memcpy(&raw, four, 4);
    int8x16_t x = vreinterpretq_s8_s32(vdupq_n_s32(raw));
    EACH(sum.v[i] = vdotq_s32(sum.v[i], w.v[i], x))
    return sum;
}
#undef EACH

#else
#include "vec_portable.hpp"
#endif

#if !defined(VEC_AVX512) && !defined(VEC_AVX2)
// Signed weights: a sum starts at nothing, and what it comes to is multiplied as it is.
struct Scales {
    Floats by;
};
inline Ints start(const int32_t*) { return spread_int(0); }
inline Scales scales8(const uint16_t* p) { return {load_half(p)}; }
inline Scales scales4(const uint16_t* p) { return {load_half(p)}; }
inline Floats scaled(Ints sum, Scales s) { return mul(to_float(sum), s.by); }
#endif
#if !defined(VEC_SHORTS)
inline Ints start4(const int32_t* at) { return start(at); }
inline Ints end4(Ints sum, const int32_t*) { return sum; }
#endif

// e^x by Cephes' polynomial, error below 2 units in the last place; next to 0 below -87, finite above 88.
inline Floats exponential(Floats x) {
    x = smaller(larger(x, spread(-87.0f)), spread(88.0f));
    // 1.5 x 2^23 more leaves whole numbers: in the last bits, and once it is taken away again, as a float.
    Floats whole = spread(12582912.0f), n = fma(x, spread(1.44269504088896341f), whole);
    Floats k = sub(n, whole);
    Floats r = fma(k, spread(-0.693359375f), x);
    r = fma(k, spread(2.12194440e-4f), r);
    Floats p = spread(1.9875691500e-4f);
    p = fma(p, r, spread(1.3981999507e-3f));
    p = fma(p, r, spread(8.3334519073e-3f));
    p = fma(p, r, spread(4.1665795894e-2f));
    p = fma(p, r, spread(1.6666665459e-1f));
    p = fma(p, r, spread(5.0000001201e-1f));
    p = add(fma(p, mul(r, r), r), spread(1.0f));
    return from_bits(add(bits(p), to_exponent(bits(n))));
}

}  // namespace mirim::VEC_NAME
