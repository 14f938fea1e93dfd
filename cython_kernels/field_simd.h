/* Loss and gradient of the field-space perceptron, compiled for AVX-512, AVX2 and plain C and chosen at run time.
 *
 * Examples are rows of bits (1: y x_i = -1), eight columns to a byte, so that a batch of 32 rows of 1000 spins is 4 KiB: each
 * row meets m and the gradient by additions alone,
 *     xi.m = sum m - 2 sum_{bits} m ,     sum_mu c_mu xi_i^mu = sum_mu c_mu - 2 sum_{mu: bit i} c_mu .
 * Eight lanes are summed side by side in a fixed order and nothing is fused: every instruction set gives the same bits. */
#ifndef HEBB_FIELD_SIMD_H
#define HEBB_FIELD_SIMD_H

#include "field_math.h"
#include "instruction_sets.h"

#include <stdint.h>

#ifdef HEBB_X86
#include <immintrin.h>
#endif

enum { HEBB_LANES = 8, HEBB_TILE = 64 }; /* a tile of rows stays in the first cache between its two uses */

typedef struct {
    int64_t n_spins, n_padded; /* n_padded = 8 stride; beyond n_spins all arrays vanish */
    int64_t stride;            /* bytes of a row, a multiple of 8 */
    const uint8_t *minus;
    double *theta, *m, *sigma, *spread; /* spread: sum over rows of c_mu where the bit is set */
    const double *prior;                /* theta' */
    double total, variance;             /* sum m, S = sum sigma */
    double weight, pull;                /* sum c_mu, sum h u / S */
} hebb_field;

typedef struct {
    double rate, decay, momentum, eps, first, second; /* momentum: of SGD; first, second: of Adam */
    double first_power, second_power;                 /* first^t, second^t */
    double *speed, *square;                           /* velocity, or both moments of Adam */
} hebb_optimizer;

typedef struct {
    /* the sum of -ln Phi over n rows (0 unless asked for), and what the gradient needs: spread, weight, pull. rows NULL: the
     * first n */
    double (*forward)(hebb_field *, const int32_t *rows, int64_t n, int want_loss);
    /* gradient, with kl times that of the divergence */
    void (*gradient)(const hebb_field *, double kl, double *out);
    void (*sgd)(const hebb_field *, double kl, hebb_optimizer *);
    void (*adam)(const hebb_field *, double kl, hebb_optimizer *);
    /* momentum -= step d/dtheta [beta (loss + kl divergence) - sum ln(1-m^2)] */
    void (*kick)(const hebb_field *, double beta, double kl, double step, double *momentum);
    void (*drift)(const hebb_field *, double step, const double *momentum);
    /* sums of the divergence and of ln 2cosh theta */
    void (*sites)(const hebb_field *, double *divergence, double *log_2cosh);
    /* xi.v of all rows */
    void (*overlaps)(const hebb_field *, const double *v, int64_t n, double *out);
    void (*mills)(const double *u, int64_t n, double *h, double *log_normal);
} hebb_field_operations;

static inline double hebb_across(const double *x)
{
    return ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7]));
}

/* Each set: its vector of HEBB_WIDTH lanes, the rows and the bytes of a row whose sums its registers hold, and
 * HEBB_ADD_WHERE: sum + value in the lanes whose bit is set */
static const int64_t hebb_masks2[4][2] = {{0, 0}, {-1, 0}, {0, -1}, {-1, -1}};
#define HEBB_TARGET
#define HEBB_NAME(x) x##_plain
#define HEBB_WIDTH 2
#define HEBB_ROWS 2
#define HEBB_CHUNK 2
#define HEBB_ADD_WHERE(sum, value, bits)                                                                               \
    ((sum) + (hebb_vector)((hebb_integers)(value) & *(const hebb_integers *)hebb_masks2[(bits) & 3]))
#include "field_simd_body.h"

#ifdef HEBB_X86
static const int64_t hebb_masks4[16][4] = {
    {0, 0, 0, 0},  {-1, 0, 0, 0},  {0, -1, 0, 0},  {-1, -1, 0, 0},
    {0, 0, -1, 0}, {-1, 0, -1, 0}, {0, -1, -1, 0}, {-1, -1, -1, 0},
    {0, 0, 0, -1}, {-1, 0, 0, -1}, {0, -1, 0, -1}, {-1, -1, 0, -1},
    {0, 0, -1, -1}, {-1, 0, -1, -1}, {0, -1, -1, -1}, {-1, -1, -1, -1}};
#define HEBB_TARGET __attribute__((target("avx2")))
#define HEBB_NAME(x) x##_avx2
#define HEBB_WIDTH 4
#define HEBB_ROWS 4
#define HEBB_CHUNK 4
#define HEBB_ADD_WHERE(sum, value, bits)                                                                               \
    ((sum) + (hebb_vector)((hebb_integers)(value) & *(const hebb_integers *)hebb_masks4[(bits) & 15]))
#include "field_simd_body.h"

#define HEBB_TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")))
#define HEBB_NAME(x) x##_avx512
#define HEBB_WIDTH 8
#define HEBB_ROWS 8
#define HEBB_CHUNK 8
#define HEBB_ADD_WHERE(sum, value, bits) _mm512_mask_add_pd(sum, (__mmask8)(bits), sum, value)
#include "field_simd_body.h"
#endif

static hebb_field_operations hebb_field_choose(int set)
{
#ifdef HEBB_X86
    if (set == HEBB_AVX2)
        return hebb_field_operations_avx2();
    if (set == HEBB_AVX512_SET)
        return hebb_field_operations_avx512();
#endif
    (void)set;
    return hebb_field_operations_plain();
}

#endif
