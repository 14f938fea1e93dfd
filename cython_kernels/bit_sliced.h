/* Overlaps kept bit by bit, for potentials f that are straight but for a few neighbouring values of x (losses of perceptrons).
 *
 * Plane k holds bit k of the index of 64 patterns to a word, so that a flip moves all indices by +-1 with the logic of an
 * adder, some 5 word operations for every plane. A(x) = f(x-2) - f(x+2) and B(x) = f(x-2) + f(x+2) - 2 f(x) vanish above the
 * points where f bends and A is constant below them: masks say which patterns have which A, and a sum of A over the set bits
 * of a column is a count of bits. Everything is exact, so every instruction set gives the same bits.
 *
 *   flip   index -= s xi for all patterns (s = 0: leave them), then masks and the totals of A and B
 *   sums   out[j] = sum of A over the set bits of column j
 *   count  index += bit of a column (inverted: += 1 - bit): builds the indices one spin at a time
 */
#ifndef HEBB_BIT_SLICED_H
#define HEBB_BIT_SLICED_H

#include "instruction_sets.h"

#include <stdint.h>

enum { HEBB_POINTS = 4, HEBB_CHUNK = 8 };

typedef struct {
    int64_t n_words;              /* of a column */
    int64_t n_padded;             /* the same in whole chunks */
    int64_t first;                /* index of the first point */
    int32_t n_planes, n_points, n_masks;
    int32_t below;                /* the mask of all indices below the first point, or -1 */
    int32_t mask[HEBB_POINTS];    /* the mask that holds a point, or -1 where A = 0 */
    int64_t weight[HEBB_POINTS + 1]; /* A of a mask */
    int64_t second[HEBB_POINTS];  /* B of a point */
} hebb_steps;

typedef struct {
    void (*flip)(const hebb_steps *t, uint64_t *planes, uint64_t *masks, const uint64_t *live, const uint8_t *minus, int s,
                 int64_t *total_a, int64_t *total_b);
    void (*sums)(const hebb_steps *t, const uint64_t *masks, const uint8_t *const *columns, int n, int64_t *out);
} hebb_step_operations;

#define HEBB_INLINE __attribute__((always_inline)) static inline

/* Eight words: one register with AVX-512, two with AVX2, otherwise what the compiler makes of it. */
typedef uint64_t hebb_words __attribute__((vector_size(8 * HEBB_CHUNK), aligned(8), may_alias));
typedef uint64_t hebb_word64 __attribute__((may_alias));

#define HEBB_COUNT_BITS(total, words) \
    for (int bit_ = 0; bit_ < HEBB_CHUNK; bit_++) \
        (total) += __builtin_popcountll((words)[bit_]);

HEBB_INLINE void hebb_steps_flip_n(const hebb_steps *t, const int n_points, uint64_t *planes, uint64_t *masks,
                                   const uint64_t *live, const uint8_t *minus, int s, int64_t *total_a, int64_t *total_b)
{
    int64_t at[HEBB_POINTS] = {0}, below = 0;
    for (int64_t w = 0; w < t->n_padded; w += HEBB_CHUNK) {
        if (s) {
            const hebb_words column = *(const hebb_words *)(minus + 8 * w);
            hebb_words carry = s > 0 ? column : ~column, borrow = ~carry;
            for (int k = 0; k < t->n_planes; k++) {
                hebb_words *plane = (hebb_words *)(planes + k * t->n_padded + w);
                const hebb_words p = *plane;
                *plane = p ^ (carry | borrow);
                carry &= p;
                borrow &= ~p;
            }
        }
        hebb_words equal[HEBB_POINTS], less = {0};
        for (int j = 0; j < n_points; j++)
            equal[j] = *(const hebb_words *)(live + w);
        for (int k = t->n_planes - 1; k >= 0; k--) {
            const hebb_words p = *(const hebb_words *)(planes + k * t->n_padded + w);
            if (t->first >> k & 1)
                less |= equal[0] & ~p;
            for (int j = 0; j < n_points; j++)
                equal[j] &= (t->first + j) >> k & 1 ? p : ~p;
        }
        for (int m = 0; m < t->n_masks; m++) {
            hebb_words mask = {0};
            if (m == t->below)
                mask |= less;
            for (int j = 0; j < n_points; j++)
                if (m == t->mask[j])
                    mask |= equal[j];
            *(hebb_words *)(masks + m * t->n_padded + w) = mask;
        }
        for (int j = 0; j < n_points; j++)
            HEBB_COUNT_BITS(at[j], equal[j])
        if (t->below >= 0)
            HEBB_COUNT_BITS(below, less)
    }
    *total_a = t->below >= 0 ? below * t->weight[t->below] : 0;
    *total_b = 0;
    for (int j = 0; j < n_points; j++) {
        *total_a += t->mask[j] >= 0 ? at[j] * t->weight[t->mask[j]] : 0;
        *total_b += at[j] * t->second[j];
    }
}

HEBB_INLINE void hebb_steps_flip_any(const hebb_steps *t, uint64_t *planes, uint64_t *masks, const uint64_t *live,
                                     const uint8_t *minus, int s, int64_t *total_a, int64_t *total_b)
{
    switch (t->n_points) {
    case 1: hebb_steps_flip_n(t, 1, planes, masks, live, minus, s, total_a, total_b); break;
    case 2: hebb_steps_flip_n(t, 2, planes, masks, live, minus, s, total_a, total_b); break;
    case 3: hebb_steps_flip_n(t, 3, planes, masks, live, minus, s, total_a, total_b); break;
    default: hebb_steps_flip_n(t, 4, planes, masks, live, minus, s, total_a, total_b);
    }
}

HEBB_INLINE void hebb_steps_sums_any(const hebb_steps *t, const uint64_t *masks, const uint8_t *const *columns, int n,
                                     int64_t *out)
{
    for (int j = 0; j < n; j++) {
        const hebb_word64 *column = (const hebb_word64 *)columns[j];
        out[j] = 0;
        for (int m = 0; m < t->n_masks; m++) {
            const uint64_t *mask = masks + m * t->n_padded;
            int64_t found = 0;
            for (int64_t w = 0; w < t->n_words; w++)
                found += __builtin_popcountll(mask[w] & column[w]);
            out[j] += found * t->weight[m];
        }
    }
}

/* The same code compiled for one instruction set. */
#define HEBB_STEPS(name, attributes) \
    attributes static void hebb_steps_flip_##name(const hebb_steps *t, uint64_t *planes, uint64_t *masks, \
                                                  const uint64_t *live, const uint8_t *minus, int s, int64_t *total_a, \
                                                  int64_t *total_b) \
    { \
        hebb_steps_flip_any(t, planes, masks, live, minus, s, total_a, total_b); \
    } \
    attributes static void hebb_steps_sums_##name(const hebb_steps *t, const uint64_t *masks, \
                                                  const uint8_t *const *columns, int n, int64_t *out) \
    { \
        hebb_steps_sums_any(t, masks, columns, n, out); \
    }

HEBB_STEPS(plain, )
#ifdef HEBB_X86
HEBB_STEPS(avx2, __attribute__((target("avx2,popcnt"))))
HEBB_STEPS(avx512, __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,popcnt"))))
#endif

static void hebb_steps_count(const hebb_steps *t, uint64_t *planes, const uint8_t *column, int invert)
{
    for (int64_t w = 0; w < t->n_padded; w += HEBB_CHUNK) {
        hebb_words carry = *(const hebb_words *)(column + 8 * w);
        if (invert)
            carry = ~carry;
        for (int k = 0; k < t->n_planes; k++) {
            hebb_words *plane = (hebb_words *)(planes + k * t->n_padded + w);
            const hebb_words p = *plane;
            *plane = p ^ carry;
            carry &= p;
        }
    }
}

static hebb_step_operations hebb_choose_steps(int set)
{
#ifdef HEBB_X86
    if (set == HEBB_AVX2)
        return (hebb_step_operations){hebb_steps_flip_avx2, hebb_steps_sums_avx2};
    if (set == HEBB_AVX512_SET)
        return (hebb_step_operations){hebb_steps_flip_avx512, hebb_steps_sums_avx512};
#endif
    (void)set;
    return (hebb_step_operations){hebb_steps_flip_plain, hebb_steps_sums_plain};
}

#endif
