/* The vector operations of the real-pattern kernel, compiled for AVX-512, AVX2 and plain C and chosen at run time.
 *
 * Patterns are counted in groups of eight, one per lane. For each group the kernel keeps
 *   odd     power sums p_1, p_3, ... of z = entry * spin, exact: z^k is rounded to a multiple of 2^-grid, of which
 *           the sums are whole multiples below 2^53, so that they depend on the configuration alone
 *   even    power sums p_2, p_4, ..., the same for every configuration
 *   factor  G_1 ... G_(P-1), the coefficients of the cost of a flip, sum_j G_j z^j (its term j = P is a constant); for e_P
 *           times (P-1)!, so that small integers stay integers
 * Eight lanes are summed side by side in a fixed order, and a multiply-add is fused only where it is written so (fma is rounded
 * correctly everywhere), so that every instruction set gives the same bits. */
#ifndef HEBB_REAL_SIMD_H
#define HEBB_REAL_SIMD_H

#include "acceptance.h"
#include "instruction_sets.h"

#include <stdint.h>

#ifdef HEBB_X86
#include <immintrin.h>
#endif

enum { HEBB_LANES = 8, HEBB_MOST_POWERS = 20 };

typedef struct {
    int64_t n_groups;
    int degree, naive;
    int n_odd, n_even;
    double scale; /* z = scale * stored integer */
    double grid;  /* adding and subtracting it rounds to the grid */
    double naive_factor[HEBB_MOST_POWERS + 1]; /* G_j = naive_factor[j] p_1^(P-j) */
} hebb_polynomial;

typedef struct {
    /* out[j] = sum over patterns of sum_k factor_k (sign[j] scale column_j)^k, for 1, 2, 4 or 8 columns */
    void (*costs)(const hebb_polynomial *, const double *factor, const int16_t *const *columns, const double *sign, int n,
                  double *out);
    /* the power sums first, first + 2, ... change by times * z^k, z = sign * scale * column */
    void (*add)(const hebb_polynomial *, double *sums, int n_sums, int first, const int16_t *column, double sign,
                double times);
    /* add to the odd power sums (column not NULL), then factor from odd and even */
    void (*flip)(const hebb_polynomial *, double *odd, const double *even, double *factor, const int16_t *column,
                 double sign);
    /* sum over patterns of p_1^P (naive), or of P! e_P without its last term -(-1)^P (P-1)! p_P */
    double (*total)(const hebb_polynomial *, const double *odd, const double *even);
    void (*limits)(int, double, double *, int);
    int widest;
} hebb_real_operations;

static inline double hebb_across(const double *x)
{
    return ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7]));
}

/* Each set: its vector of HEBB_WIDTH lanes, int16 to double, fused multiply-add, and the most columns that its registers hold */
#define HEBB_TARGET
#define HEBB_NAME(x) x##_plain
#define HEBB_WIDTH 2
#define HEBB_WIDEST 2
#define HEBB_WIDEN(p) ((HEBB_NAME(hebb_vector)){(double)(p)[0], (double)(p)[1]})
#define HEBB_FMA(a, b, c)                                                                                              \
    ((HEBB_NAME(hebb_vector)){__builtin_fma((a)[0], (b)[0], (c)[0]), __builtin_fma((a)[1], (b)[1], (c)[1])})
#include "real_simd_body.h"

#ifdef HEBB_X86
#define HEBB_TARGET __attribute__((target("avx2,fma")))
#define HEBB_NAME(x) x##_avx2
#define HEBB_WIDTH 4
#define HEBB_WIDEST 4
#define HEBB_WIDEN(p) _mm256_cvtepi32_pd(_mm_cvtepi16_epi32(_mm_loadl_epi64((const __m128i *)(p))))
#define HEBB_FMA(a, b, c) _mm256_fmadd_pd(a, b, c)
#include "real_simd_body.h"

#define HEBB_TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
#define HEBB_NAME(x) x##_avx512
#define HEBB_WIDTH 8
#define HEBB_WIDEST 8
#define HEBB_WIDEN(p) _mm512_cvtepi32_pd(_mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)(p))))
#define HEBB_FMA(a, b, c) _mm512_fmadd_pd(a, b, c)
#include "real_simd_body.h"
#endif

static hebb_real_operations hebb_real_choose(int set)
{
#ifdef HEBB_X86
    if (set == HEBB_AVX2)
        return hebb_real_operations_avx2();
    if (set == HEBB_AVX512_SET)
        return hebb_real_operations_avx512();
#endif
    (void)set;
    return hebb_real_operations_plain();
}

#endif
