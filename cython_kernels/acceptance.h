/* Random sites and acceptance thresholds, with a logarithm of its own.
 *
 * A proposal of cost dE is accepted when dE <= threshold, and the threshold depends on the uniform u alone:
 *     Metropolis  u < min(1, e^(-dE/T))      threshold = -T ln u
 *     Glauber     u < 1/(1 + e^(dE/T))       threshold = T ln((1-u)/u)
 * so it is computed when u is drawn, many at once, before any energy is known.
 *
 * libm's log differs in the last bit between machines. hebb_log uses separate multiplies and adds in a fixed order
 * (the build passes -ffp-contract=off), so one seed gives one trajectory everywhere. Its error is a few ulp. */
#ifndef HEBB_ACCEPTANCE_H
#define HEBB_ACCEPTANCE_H

#include <stdint.h>
#include <string.h>

enum { HEBB_METROPOLIS = 0, HEBB_GLAUBER = 1 };

/* ln x for normal x > 0; branch-free, so that a batch is done in vector registers. */
static inline double hebb_log(double x)
{
    int64_t bits;
    memcpy(&bits, &x, sizeof bits);
    /* x = 2^k f with f in [sqrt(1/2), sqrt(2)); the exponent becomes a double through the bits of 2^52 + 2^51 + k */
    const int64_t biased = bits - 0x3fe6a09e667f3bcd;
    const int64_t k_bits = (biased >> 52) + 0x4338000000000000;
    const int64_t f_bits = (biased & 0x000fffffffffffff) + 0x3fe6a09e667f3bcd;
    double k, f;
    memcpy(&k, &k_bits, sizeof k);
    memcpy(&f, &f_bits, sizeof f);
    k -= 0x1.8p52;
    /* ln f = 2 atanh(z), z = (f-1)/(f+1), z^2 < 0.0295: twelve terms leave 1e-20 */
    const double z = (f - 1.0) / (f + 1.0), w = z * z, w2 = w * w, w4 = w2 * w2;
    const double a = (1.0 / 3 + w * (1.0 / 5)) + (1.0 / 7 + w * (1.0 / 9)) * w2;
    const double b = (1.0 / 11 + w * (1.0 / 13)) + (1.0 / 15 + w * (1.0 / 17)) * w2;
    const double c = (1.0 / 19 + w * (1.0 / 21)) + (1.0 / 23) * w2;
    const double series = a + (b + c * w4) * w4;
    return k * 0.693147180369123816490 + (2.0 * z + (2.0 * z * w * series + k * 1.90821492927058770002e-10));
}

/* 53 random bits centred in their cell: never 0 or 1. */
static inline double hebb_uniform(uint64_t word) { return ((double)(word >> 12) + 0.5) * 0x1p-52; }

/* One word gives the site (integer part of word * n / 2^64) and the uniform (its fraction). */
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

/* values: n uniforms in, n thresholds out. At T = 0 a tie (dE = 0) is taken with probability 1 (Metropolis) or 1/2
 * (Glauber), the limits of the rules. */
static inline __attribute__((always_inline)) void hebb_thresholds(int rule, double temperature, double *values, int n)
{
    if (rule == HEBB_METROPOLIS)
        for (int j = 0; j < n; j++)
            values[j] = -temperature * hebb_log(values[j]);
    else if (temperature > 0)
        for (int j = 0; j < n; j++)
            values[j] = temperature * (hebb_log(1.0 - values[j]) - hebb_log(values[j]));
    else
        for (int j = 0; j < n; j++)
            values[j] = values[j] < 0.5 ? 0.0 : -1e-300;
}

#endif
