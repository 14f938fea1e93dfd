/* Acceptance of a proposed flip, with an exponential of its own.
 *
 * libm's exp differs in the last bit between machines. hebb_exp uses separate multiplies and adds in a fixed order
 * (the build passes -ffp-contract=off), so one seed gives one trajectory everywhere. Its error is below 2 ulp. */
#ifndef HEBB_ACCEPTANCE_H
#define HEBB_ACCEPTANCE_H

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { HEBB_METROPOLIS = 0, HEBB_GLAUBER = 1 };

/* e^y, |y| clamped to 700. */
static inline double hebb_exp(double y)
{
    y = y > 700.0 ? 700.0 : (y < -700.0 ? -700.0 : y);
    const double scaled = y * 1.4426950408889634074;
    const int64_t k = (int64_t)(scaled + (scaled < 0 ? -0.5 : 0.5));
    const double r = (y - (double)k * 0.693147180369123816490) - (double)k * 1.90821492927058770002e-10;
    double p = 1.0 / 6227020800.0; /* Taylor to r^13; |r| <= ln(2)/2 leaves r^14/14! < 5e-18 */
    p = p * r + 1.0 / 479001600.0;
    p = p * r + 1.0 / 39916800.0;
    p = p * r + 1.0 / 3628800.0;
    p = p * r + 1.0 / 362880.0;
    p = p * r + 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    const uint64_t bits = (uint64_t)(k + 1023) << 52;
    double power;
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

static inline double hebb_uniform(uint64_t word) { return (double)(word >> 11) * 0x1p-53; }

/* One word gives the site (integer part of word * n / 2^64) and the uniform (its fraction, 53 bits kept). */
static inline int64_t hebb_site(uint64_t word, uint64_t n, double *uniform)
{
#ifdef __SIZEOF_INT128__
    const unsigned __int128 product = (unsigned __int128)word * n;
    *uniform = hebb_uniform((uint64_t)product);
    return (int64_t)(product >> 64);
#else
    const uint64_t low = (word & 0xffffffffu) * n, high = (word >> 32) * n + (low >> 32);
    *uniform = hebb_uniform((high << 32) | (low & 0xffffffffu));
    return (int64_t)(high >> 32);
#endif
}

/* Metropolis: min(1, e^-y); Glauber: 1/(1 + e^y); y = beta * cost. At beta = inf ties are taken with probability 1
 * (Metropolis) or 1/2 (Glauber), their limits. The cubic is a lower bound of e^y: it rejects most hopeless proposals
 * before the exponential is needed. */
static inline int hebb_accept(int rule, double beta, double cost, double uniform)
{
    if (isinf(beta))
        return cost < 0 || (cost == 0 && (rule == HEBB_METROPOLIS || uniform < 0.5));
    const double y = beta * cost;
    if (rule == HEBB_METROPOLIS && y <= 0)
        return 1;
    if (y > 0 && uniform * (1.0 + y * (1.0 + y * (0.5 + y * (1.0 / 6.0)))) >= 1.0)
        return 0;
    if (rule == HEBB_METROPOLIS)
        return uniform < hebb_exp(-y);
    return uniform * (1.0 + hebb_exp(y)) < 1.0;
}

#endif
