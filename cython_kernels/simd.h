/* The vector operations of the overlap kernel, for AVX-512, AVX2 and plain C, chosen at run time.
 *
 * Everything is integer arithmetic, so every instruction set gives the same bits whatever its summation order. A lane
 * holds 32 bits: `flush` says how many table values may be added before the lanes must be widened to 64 bits.
 *
 *   sums   out[j] = sum of value[mu] over the set bits of column j, for 1, 2, 4 or 8 columns at once
 *          (each load of `value` serves all columns)
 *   flip   index[mu] -= s * xi[mu]; then look both tables up again and return their totals (s = 0: only look up)
 *   fold   subset sums of every four neighbouring values, 16 to a register (AVX-512 only)
 *   sums16 the same as sums for 16 columns at once, four patterns to a look-up in `fold`
 *   limits the acceptance thresholds of a batch (separate multiplies and adds: the same bits everywhere)
 */
#ifndef HEBB_SIMD_H
#define HEBB_SIMD_H

#include "acceptance.h"
#include "instruction_sets.h"

#include <stdint.h>
#include <string.h>

#ifdef HEBB_X86
#include <immintrin.h>
#endif

typedef struct {
    int64_t n_patterns;
    int64_t flush;           /* additions of table values that a 32-bit lane can hold */
    int64_t window;          /* first entry of the 64 table entries kept in registers, or -1 */
    int32_t constant_second; /* 1 if all entries of table_b are equal: it is then not looked up */
    const int32_t *table_a;
    const int32_t *table_b;
} hebb_tables;

typedef void (*hebb_sums_fn)(const int32_t *value, const uint8_t *const *columns, int n, int64_t n_patterns,
                             int64_t flush, int64_t *out);
typedef void (*hebb_flip_fn)(const hebb_tables *t, int32_t *index, int32_t *a, int32_t *b, const uint8_t *minus,
                             const uint8_t *nonzero, int s, int64_t *total_a, int64_t *total_b);
typedef void (*hebb_fold_fn)(const int32_t *value, int64_t n_patterns, int32_t *folded);
typedef void (*hebb_sums16_fn)(const int32_t *folded, const uint8_t *const *columns, int64_t stride, int64_t n_patterns,
                               int64_t flush, int64_t *out);
typedef void (*hebb_limits_fn)(int rule, double temperature, double *values, int n);

static inline uint16_t hebb_word(const uint8_t *column, int64_t vector)
{
    uint16_t word;
    memcpy(&word, column + 2 * vector, 2);
    return word;
}

/* ------------------------------------------------------------------------------------------------ plain C */

static void hebb_sums_plain(const int32_t *value, const uint8_t *const *columns, int n, int64_t n_patterns,
                            int64_t flush, int64_t *out)
{
    const int64_t n_vectors = (n_patterns + 15) / 16;
    for (int j = 0; j < n; j++) {
        int64_t total = 0;
        for (int64_t start = 0; start < n_vectors; start += flush) {
            const int64_t stop = start + flush < n_vectors ? start + flush : n_vectors;
            int32_t lanes[16] = {0};
            for (int64_t v = start; v < stop; v++) {
                const uint16_t word = hebb_word(columns[j], v);
                for (int lane = 0; lane < 16; lane++)
                    lanes[lane] += value[16 * v + lane] & -((word >> lane) & 1);
            }
            for (int lane = 0; lane < 16; lane++)
                total += lanes[lane];
        }
        out[j] = total;
    }
}

static inline void hebb_flip_range(const hebb_tables *t, int32_t *index, int32_t *a, int32_t *b, const uint8_t *minus,
                                   const uint8_t *nonzero, int s, int64_t start, int64_t stop, int64_t *total_a,
                                   int64_t *total_b)
{
    for (int64_t mu = start; mu < stop; mu++) {
        const int bit = (minus[mu >> 3] >> (mu & 7)) & 1;
        const int on = nonzero ? (nonzero[mu >> 3] >> (mu & 7)) & 1 : 1;
        const int32_t i = index[mu] += on * (bit ? s : -s);
        *total_a += a[mu] = t->table_a[i];
        if (b)
            b[mu] = t->table_b[i];
        *total_b += t->table_b[i];
    }
}

static void hebb_flip_plain(const hebb_tables *t, int32_t *index, int32_t *a, int32_t *b, const uint8_t *minus,
                            const uint8_t *nonzero, int s, int64_t *total_a, int64_t *total_b)
{
    *total_a = *total_b = 0;
    hebb_flip_range(t, index, a, b, minus, nonzero, s, 0, t->n_patterns, total_a, total_b);
}

/* index[mu] += 1 for every set bit: builds the overlaps one spin at a time. */
static void hebb_count(int32_t *index, const uint8_t *column, int64_t n_vectors, uint16_t invert)
{
    for (int64_t v = 0; v < n_vectors; v++) {
        const uint16_t word = hebb_word(column, v) ^ invert;
        for (int lane = 0; lane < 16; lane++)
            index[16 * v + lane] += (word >> lane) & 1;
    }
}

static void hebb_limits_plain(int rule, double temperature, double *values, int n)
{
    hebb_thresholds(rule, temperature, values, n);
}

#ifdef HEBB_X86
/* ------------------------------------------------------------------------------------------------ AVX2 */

__attribute__((target("avx2"))) static inline __m256i hebb_lanes_avx2(const uint8_t *column, int64_t byte)
{
    const __m256i selector = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    return _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(column[byte]), selector), selector);
}

__attribute__((target("avx2"))) static inline int64_t hebb_widen_avx2(__m256i v)
{
    const __m256i wide = _mm256_add_epi64(_mm256_cvtepi32_epi64(_mm256_castsi256_si128(v)),
                                          _mm256_cvtepi32_epi64(_mm256_extracti128_si256(v, 1)));
    const __m128i half = _mm_add_epi64(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
    return _mm_cvtsi128_si64(half) + _mm_extract_epi64(half, 1);
}

__attribute__((target("avx2"), always_inline)) static inline void
hebb_sums_avx2_n(const int32_t *value, const uint8_t *const *columns, const int n, int64_t n_bytes, int64_t flush,
                 int64_t *out)
{
    for (int j = 0; j < n; j++)
        out[j] = 0;
    for (int64_t start = 0; start < n_bytes; start += flush) {
        const int64_t stop = start + flush < n_bytes ? start + flush : n_bytes;
        __m256i sum[8];
        for (int j = 0; j < n; j++)
            sum[j] = _mm256_setzero_si256();
        for (int64_t byte = start; byte < stop; byte++) {
            const __m256i v = _mm256_loadu_si256((const __m256i *)(value + 8 * byte));
            for (int j = 0; j < n; j++)
                sum[j] = _mm256_add_epi32(sum[j], _mm256_and_si256(v, hebb_lanes_avx2(columns[j], byte)));
        }
        for (int j = 0; j < n; j++)
            out[j] += hebb_widen_avx2(sum[j]);
    }
}

__attribute__((target("avx2"))) static void hebb_sums_avx2(const int32_t *value, const uint8_t *const *columns, int n,
                                                           int64_t n_patterns, int64_t flush, int64_t *out)
{
    const int64_t n_bytes = (n_patterns + 7) / 8;
    switch (n) {
    case 8: hebb_sums_avx2_n(value, columns, 8, n_bytes, flush, out); break;
    case 4: hebb_sums_avx2_n(value, columns, 4, n_bytes, flush, out); break;
    case 2: hebb_sums_avx2_n(value, columns, 2, n_bytes, flush, out); break;
    default: hebb_sums_avx2_n(value, columns, 1, n_bytes, flush, out);
    }
}

__attribute__((target("avx2"))) static void hebb_flip_avx2(const hebb_tables *t, int32_t *index, int32_t *a, int32_t *b,
                                                           const uint8_t *minus, const uint8_t *nonzero, int s,
                                                           int64_t *total_a, int64_t *total_b)
{
    const int64_t n_bytes = t->n_patterns / 8;
    const __m256i up = _mm256_set1_epi32(s), down = _mm256_set1_epi32(-s);
    *total_a = *total_b = 0;
    for (int64_t start = 0; start < n_bytes; start += t->flush) {
        const int64_t stop = start + t->flush < n_bytes ? start + t->flush : n_bytes;
        __m256i sum_a = _mm256_setzero_si256(), sum_b = _mm256_setzero_si256();
        for (int64_t byte = start; byte < stop; byte++) {
            __m256i step = _mm256_blendv_epi8(down, up, hebb_lanes_avx2(minus, byte));
            if (nonzero)
                step = _mm256_and_si256(step, hebb_lanes_avx2(nonzero, byte));
            __m256i *where = (__m256i *)(index + 8 * byte);
            const __m256i i = _mm256_add_epi32(_mm256_loadu_si256(where), step);
            _mm256_storeu_si256(where, i);
            const __m256i va = _mm256_i32gather_epi32(t->table_a, i, 4);
            _mm256_storeu_si256((__m256i *)(a + 8 * byte), va);
            sum_a = _mm256_add_epi32(sum_a, va);
            if (!t->constant_second) {
                const __m256i vb = _mm256_i32gather_epi32(t->table_b, i, 4);
                if (b)
                    _mm256_storeu_si256((__m256i *)(b + 8 * byte), vb);
                sum_b = _mm256_add_epi32(sum_b, vb);
            }
        }
        *total_a += hebb_widen_avx2(sum_a);
        *total_b += hebb_widen_avx2(sum_b);
    }
    if (t->constant_second) {
        *total_b = 8 * n_bytes * (int64_t)t->table_b[0];
        if (b)
            for (int64_t mu = 0; mu < 8 * n_bytes; mu++)
                b[mu] = t->table_b[0];
    }
    hebb_flip_range(t, index, a, b, minus, nonzero, s, 8 * n_bytes, t->n_patterns, total_a, total_b);
}

__attribute__((target("avx2"))) static void hebb_limits_avx2(int rule, double temperature, double *values, int n)
{
    hebb_thresholds(rule, temperature, values, n);
}

/* ------------------------------------------------------------------------------------------------ AVX-512 */

#define HEBB_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))

HEBB_AVX512 static inline int64_t hebb_widen_avx512(__m512i v)
{
    return _mm512_reduce_add_epi64(_mm512_add_epi64(_mm512_cvtepi32_epi64(_mm512_castsi512_si256(v)),
                                                    _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(v, 1))));
}

/* The eight totals of eight vectors, exact while every total fits in 32 bits. */
HEBB_AVX512 static inline __m256i hebb_totals_avx512(const __m512i *sum)
{
    __m256i half[8];
    for (int j = 0; j < 8; j++)
        half[j] = _mm256_add_epi32(_mm512_castsi512_si256(sum[j]), _mm512_extracti64x4_epi64(sum[j], 1));
    const __m256i low = _mm256_hadd_epi32(_mm256_hadd_epi32(half[0], half[1]), _mm256_hadd_epi32(half[2], half[3]));
    const __m256i high = _mm256_hadd_epi32(_mm256_hadd_epi32(half[4], half[5]), _mm256_hadd_epi32(half[6], half[7]));
    return _mm256_add_epi32(_mm256_permute2x128_si256(low, high, 0x20), _mm256_permute2x128_si256(low, high, 0x31));
}

HEBB_AVX512 __attribute__((always_inline)) static inline void
hebb_sums_avx512_n(const int32_t *value, const uint8_t *const *columns, const int n, int64_t n_vectors, int64_t flush,
                   int64_t *out)
{
    const int narrow = flush >= 16 * n_vectors; /* totals fit in 32 bits */
    for (int j = 0; j < n; j++)
        out[j] = 0;
    for (int64_t start = 0; start < n_vectors; start += flush) {
        const int64_t stop = start + flush < n_vectors ? start + flush : n_vectors;
        __m512i sum[8];
        for (int j = 0; j < 8; j++)
            sum[j] = _mm512_setzero_si512();
        for (int64_t v = start; v < stop; v++) {
            const __m512i x = _mm512_loadu_si512(value + 16 * v);
            for (int j = 0; j < n; j++)
                sum[j] = _mm512_mask_add_epi32(sum[j], hebb_word(columns[j], v), sum[j], x);
        }
        if (narrow && n > 1) {
            int64_t all[8];
            _mm512_storeu_si512(all, _mm512_cvtepi32_epi64(hebb_totals_avx512(sum)));
            for (int j = 0; j < n; j++)
                out[j] = all[j];
        } else if (narrow)
            out[0] = _mm512_reduce_add_epi32(sum[0]);
        else
            for (int j = 0; j < n; j++)
                out[j] += hebb_widen_avx512(sum[j]);
    }
}

HEBB_AVX512 static void hebb_sums_avx512(const int32_t *value, const uint8_t *const *columns, int n, int64_t n_patterns,
                                         int64_t flush, int64_t *out)
{
    const int64_t n_vectors = (n_patterns + 15) / 16;
    switch (n) {
    case 8: hebb_sums_avx512_n(value, columns, 8, n_vectors, flush, out); break;
    case 4: hebb_sums_avx512_n(value, columns, 4, n_vectors, flush, out); break;
    case 2: hebb_sums_avx512_n(value, columns, 2, n_vectors, flush, out); break;
    default: hebb_sums_avx512_n(value, columns, 1, n_vectors, flush, out);
    }
}

/* Entries window .. window+63 of a table sit in four registers; nearly all overlaps fall there, the rest are gathered. */
HEBB_AVX512 static inline __m512i hebb_lookup_avx512(const int32_t *table, const __m512i *part, __m512i shifted,
                                                     __mmask16 high, __mmask16 outside, __m512i i)
{
    __m512i low_half = _mm512_permutex2var_epi32(part[0], shifted, part[1]);
    __m512i high_half = _mm512_permutex2var_epi32(part[2], shifted, part[3]);
    __m512i x = _mm512_mask_mov_epi32(low_half, high, high_half);
    if (__builtin_expect(outside != 0, 0))
        x = _mm512_mask_i32gather_epi32(x, outside, i, table, 4);
    return x;
}

HEBB_AVX512 static void hebb_flip_avx512(const hebb_tables *t, int32_t *index, int32_t *a, int32_t *b,
                                         const uint8_t *minus, const uint8_t *nonzero, int s, int64_t *total_a,
                                         int64_t *total_b)
{
    const int64_t n_vectors = (t->n_patterns + 15) / 16, last = n_vectors - 1;
    const __mmask16 tail = (__mmask16)(0xffff >> (16 * n_vectors - t->n_patterns));
    const int windowed = t->window >= 0, second = !t->constant_second, narrow = t->flush >= 16 * n_vectors;
    const __m512i up = _mm512_set1_epi32(s), down = _mm512_set1_epi32(-s);
    const __m512i origin = _mm512_set1_epi32((int32_t)t->window), size = _mm512_set1_epi32(64);
    __m512i part_a[4], part_b[4];
    for (int k = 0; k < 4; k++) {
        part_a[k] = windowed ? _mm512_loadu_si512(t->table_a + t->window + 16 * k) : down;
        part_b[k] = windowed && second ? _mm512_loadu_si512(t->table_b + t->window + 16 * k) : down;
    }
    *total_a = 0;
    *total_b = second ? 0 : t->n_patterns * (int64_t)t->table_b[0];
    for (int64_t start = 0; start < n_vectors; start += t->flush) {
        const int64_t stop = start + t->flush < n_vectors ? start + t->flush : n_vectors;
        __m512i sum_a = _mm512_setzero_si512(), sum_b = _mm512_setzero_si512();
        for (int64_t v = start; v < stop; v++) {
            const __mmask16 live = v == last ? tail : 0xffff;
            const __mmask16 on = nonzero ? hebb_word(nonzero, v) : live;
            const __m512i step = _mm512_mask_mov_epi32(down, hebb_word(minus, v), up);
            const __m512i old = _mm512_loadu_si512(index + 16 * v);
            const __m512i i = _mm512_mask_add_epi32(old, on, old, step);
            _mm512_storeu_si512(index + 16 * v, i);
            const __m512i shifted = _mm512_sub_epi32(i, origin);
            const __mmask16 outside = windowed ? _mm512_mask_cmpge_epu32_mask(live, shifted, size) : live;
            const __mmask16 high = _mm512_test_epi32_mask(shifted, _mm512_set1_epi32(32));
            const __m512i va = _mm512_maskz_mov_epi32(
                live, hebb_lookup_avx512(t->table_a, part_a, shifted, high, outside, i));
            _mm512_storeu_si512(a + 16 * v, va);
            sum_a = _mm512_add_epi32(sum_a, va);
            if (second || b) {
                const __m512i vb = _mm512_maskz_mov_epi32(
                    live, second ? hebb_lookup_avx512(t->table_b, part_b, shifted, high, outside, i)
                                 : _mm512_set1_epi32(t->table_b[0]));
                if (b)
                    _mm512_storeu_si512(b + 16 * v, vb);
                sum_b = _mm512_add_epi32(sum_b, vb);
            }
        }
        *total_a += narrow ? _mm512_reduce_add_epi32(sum_a) : hebb_widen_avx512(sum_a);
        if (second)
            *total_b += narrow ? _mm512_reduce_add_epi32(sum_b) : hebb_widen_avx512(sum_b);
    }
}

/* folded[16 g + b] = sum of value[4 g + k] over the set bits k of b. Costs a few registers per four patterns, so it is
 * done only when acceptances have become rare. */
HEBB_AVX512 static void hebb_fold_avx512(const int32_t *value, int64_t n_patterns, int32_t *folded)
{
    for (int64_t g = 0; g < (n_patterns + 3) / 4; g++) {
        __m512i sum = _mm512_maskz_set1_epi32(0xaaaa, value[4 * g]);
        sum = _mm512_mask_add_epi32(sum, 0xcccc, sum, _mm512_set1_epi32(value[4 * g + 1]));
        sum = _mm512_mask_add_epi32(sum, 0xf0f0, sum, _mm512_set1_epi32(value[4 * g + 2]));
        sum = _mm512_mask_add_epi32(sum, 0xff00, sum, _mm512_set1_epi32(value[4 * g + 3]));
        _mm512_storeu_si512(folded + 16 * g, sum);
    }
}

/* r[j] lane w  ->  r[w] lane j */
HEBB_AVX512 __attribute__((always_inline)) static inline void hebb_transpose_avx512(__m512i *r)
{
    __m512i t[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
    }
    for (int i = 0; i < 8; i++) {
        r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
        r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
    }
}

/* Lane j follows column j: a nibble of its bits picks the sum of four values. 64 pairs per look-up and addition. */
HEBB_AVX512 static void hebb_sums16_avx512(const int32_t *folded, const uint8_t *const *columns, int64_t stride,
                                           int64_t n_patterns, int64_t flush, int64_t *out)
{
    const int64_t n_words = (n_patterns + 31) / 32, patience = flush / 32; /* words of 32 patterns; words until widening */
    __m512i low = _mm512_setzero_si512(), high = low, sum = low;
    int64_t waited = 0;
    for (int64_t start = 0; start < n_words; start += 16) {
        const int64_t bytes = stride - 4 * start;
        const __mmask8 present = bytes >= 64 ? 0xff : (__mmask8)((1 << (bytes / 8)) - 1);
        const int words = n_words - start < 16 ? (int)(n_words - start) : 16;
        __m512i r[16];
        for (int j = 0; j < 16; j++)
            r[j] = _mm512_maskz_loadu_epi64(present, columns[j] + 4 * start);
        hebb_transpose_avx512(r);
        for (int w = 0; w < words; w++) {
            const int32_t *table = folded + 128 * (start + w);
            __m512i bits = r[w], part = _mm512_setzero_si512();
            for (int k = 0; k < 8; k++) {
                part = _mm512_add_epi32(part, _mm512_permutexvar_epi32(bits, _mm512_loadu_si512(table + 16 * k)));
                bits = _mm512_srli_epi32(bits, 4);
            }
            sum = _mm512_add_epi32(sum, part);
            if (++waited == patience) {
                low = _mm512_add_epi64(low, _mm512_cvtepi32_epi64(_mm512_castsi512_si256(sum)));
                high = _mm512_add_epi64(high, _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(sum, 1)));
                sum = _mm512_setzero_si512();
                waited = 0;
            }
        }
    }
    _mm512_storeu_si512(out, _mm512_add_epi64(low, _mm512_cvtepi32_epi64(_mm512_castsi512_si256(sum))));
    _mm512_storeu_si512(out + 8, _mm512_add_epi64(high, _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(sum, 1))));
}

HEBB_AVX512 static void hebb_limits_avx512(int rule, double temperature, double *values, int n)
{
    hebb_thresholds(rule, temperature, values, n);
}
#endif

/* ------------------------------------------------------------------------------------------------ choice */

/* The operations of one instruction set; fold and sums16 are NULL where there are none. */
typedef struct {
    hebb_sums_fn sums;
    hebb_flip_fn flip;
    hebb_fold_fn fold;
    hebb_sums16_fn sums16;
    hebb_limits_fn limits;
} hebb_operations;

static hebb_operations hebb_choose(int set)
{
#ifdef HEBB_X86
    if (set == HEBB_AVX2)
        return (hebb_operations){hebb_sums_avx2, hebb_flip_avx2, NULL, NULL, hebb_limits_avx2};
    if (set == HEBB_AVX512_SET)
        return (hebb_operations){hebb_sums_avx512, hebb_flip_avx512, hebb_fold_avx512, hebb_sums16_avx512,
                                 hebb_limits_avx512};
#endif
    (void)set;
    return (hebb_operations){hebb_sums_plain, hebb_flip_plain, NULL, NULL, hebb_limits_plain};
}

#endif
