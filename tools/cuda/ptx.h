// What instructions of PTX do that C has no operator for. Registers hold bits; `f32`, `f64` and `f16` are their values.
#include <fenv.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "thread.h"

static inline float f32(uint32_t bits) { float value; memcpy(&value, &bits, 4); return value; }
static inline double f64(uint64_t bits) { double value; memcpy(&value, &bits, 8); return value; }
static inline float f16(uint16_t bits) { _Float16 value; memcpy(&value, &bits, 2); return value; }
static inline uint32_t bits_f32(float value) { uint32_t bits; memcpy(&bits, &value, 4); return bits; }
static inline uint64_t bits_f64(double value) { uint64_t bits; memcpy(&bits, &value, 8); return bits; }
static inline uint16_t bits_f16(_Float16 value) { uint16_t bits; memcpy(&bits, &value, 2); return bits; }

// A GPU refuses an access that is not aligned to its size.
#define ALIGNED(address, bytes) if ((uintptr_t)(address) % (bytes)) __builtin_trap()

#define NAN_(x) __builtin_isnan(x)
static inline float min_f32(float a, float b) { return fminf(a, b); }
static inline float max_f32(float a, float b) { return fmaxf(a, b); }
static inline float min_nan_f32(float a, float b) { return NAN_(a) || NAN_(b) ? NAN : fminf(a, b); }
static inline float max_nan_f32(float a, float b) { return NAN_(a) || NAN_(b) ? NAN : fmaxf(a, b); }
static inline float saturated(float a) { return a > 0 ? fminf(a, 1) : 0; }

// Fused multiply-add, rounded down. Volatile, so that it stays between the changes of the rounding mode.
static __attribute__((noinline)) float fma_rm_f32(float a, float b, float c) {
    volatile float x = a, y = b, z = c, sum;
    int mode = fegetround();
    fesetround(FE_DOWNWARD);
    sum = fmaf(x, y, z);
    fesetround(mode);
    return sum;
}

// Floating point to integers, clamped; a NaN is 0.
static inline uint32_t to_u32(double x) { return !(x > 0) ? 0 : x >= UINT32_MAX ? UINT32_MAX : (uint32_t)x; }
static inline int32_t to_s32(double x) {
    return NAN_(x) ? 0 : x <= INT32_MIN ? INT32_MIN : x >= INT32_MAX ? INT32_MAX : (int32_t)x;
}
static inline uint64_t to_u64(double x) { return !(x > 0) ? 0 : x >= 0x1p64 ? UINT64_MAX : (uint64_t)x; }
static inline int64_t to_s64(double x) {
    return NAN_(x) ? 0 : x <= -0x1p63 ? INT64_MIN : x >= 0x1p63 ? INT64_MAX : (int64_t)x;
}
static inline uint16_t to_u16(double x) { uint32_t y = to_u32(x); return y > UINT16_MAX ? UINT16_MAX : y; }

// The upper half of a product.
static inline uint32_t high_u32(uint32_t a, uint32_t b) { return (uint64_t)a * b >> 32; }
static inline int32_t high_s32(int32_t a, int32_t b) { return (int64_t)a * b >> 32; }
static inline uint64_t high_u64(uint64_t a, uint64_t b) { return (unsigned __int128)a * b >> 64; }
static inline uint16_t high_u16(uint16_t a, uint16_t b) { return (uint32_t)a * b >> 16; }

// `length` bits from bit `at` on.
static inline uint32_t field_u32(uint32_t a, uint32_t at, uint32_t length) {
    at &= 255, length &= 255;
    uint32_t rest = at >= 32 ? 0 : a >> at;
    return length >= 32 ? rest : rest & ((1u << length) - 1);
}
static inline int32_t field_s32(int32_t a, uint32_t at, uint32_t length) {
    at &= 255, length &= 255;
    if (!length) return 0;
    if (at >= 32) return a < 0 ? -1 : 0;
    if (at + length > 32) length = 32 - at;
    return (int32_t)((uint32_t)a << (32 - at - length)) >> (32 - length);
}
// Bytes of two words by four numbers, of which 8 asks for the sign instead.
static inline uint32_t permuted(uint32_t a, uint32_t b, uint32_t selection) {
    uint64_t both = (uint64_t)b << 32 | a;
    uint32_t result = 0;
    for (int i = 0; i < 4; i++) {
        uint32_t choice = selection >> (4 * i) & 15, byte = both >> (8 * (choice & 7)) & 255;
        if (choice & 8) byte = byte & 128 ? 255 : 0;
        result |= byte << (8 * i);
    }
    return result;
}
