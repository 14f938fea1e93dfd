/* Exponential, inverse Mills ratio and logarithm of the normal distribution function: separate multiplies and adds in a fixed
 * order, no branches, no C library, so that loops over them are vectorised and every machine gives the same bits. */
#ifndef HEBB_FIELD_MATH_H
#define HEBB_FIELD_MATH_H

#include "acceptance.h"

#include <math.h>

#define HEBB_EACH static inline __attribute__((always_inline))

/* e^x for x <= 0, error 1 ulp; what lies below the normal numbers is held at e^-708 */
HEBB_EACH double hebb_exp(double x)
{
    x = x < -708.0 ? -708.0 : x;
    const double shifted = x * 1.4426950408889634 + 0x1.8p52, k = shifted - 0x1.8p52;
    const double r = (x - k * 0.693147180369123816490) - k * 1.90821492927058770002e-10;
    /* |r| <= ln(2)/2: the Taylor series to r^13 leaves 4e-18 */
    const double w = r * r, w2 = w * w, w4 = w2 * w2;
    const double a = (1.0 / 2 + r * (1.0 / 6)) + (1.0 / 24 + r * (1.0 / 120)) * w;
    const double b = (1.0 / 720 + r * (1.0 / 5040)) + (1.0 / 40320 + r * (1.0 / 362880)) * w;
    const double c = (1.0 / 3628800 + r * (1.0 / 39916800)) + (1.0 / 479001600 + r * (1.0 / 6227020800)) * w;
    const double power = 1.0 + (r + w * (a + (b * w2 + c * w4)));
    int64_t k_bits, bits;
    memcpy(&k_bits, &shifted, sizeof k_bits);
    memcpy(&bits, &power, sizeof bits);
    bits += (int64_t)((uint64_t)k_bits << 52);
    double scaled;
    memcpy(&scaled, &bits, sizeof scaled);
    return scaled;
}

/* ln(1 + x) for x > -1, to a relative 1e-15 also where x is small */
HEBB_EACH double hebb_log1p(double x)
{
    const double w = 1.0 + x, d = w - 1.0;
    return d == 0.0 ? x : hebb_log(w) * (x / d);
}

/* The Mills ratio H(x)/phi(x) for x >= 0 to 1e-15: (x + 5) times it is this polynomial of t = (x-5)/(x+5), interpolated at
 * Chebyshev's points in 50 digits */
HEBB_EACH double hebb_mills(double x)
{
    static const double c[24] = {
        1.9280810471531575,      -1.66786659518896,      1.241547061573877,      -0.7859110755465453,
        0.41364471573217226,     -0.17325473408715042,   0.05212550242182693,    -0.007503282820678759,
        -0.0019999620670556138,  0.0013658591609424361,  -0.00014883252854029768, -0.00012473565818721082,
        4.181269707272043e-05,   9.974780085542733e-06,  -6.9405498481783575e-06, -8.360675980181407e-07,
        1.0865648093633823e-06,  9.668428357216325e-08,  -1.6898908396071304e-07, -1.7398124277679196e-08,
        2.324918339616538e-08,   3.1868668438665133e-09, -1.968820796668673e-09, -3.336850487923168e-10};
    const double inverse = 1.0 / (x + 5.0), t = 1.0 - 10.0 * inverse;
    double sum = c[23];
#pragma GCC unroll 23
    for (int j = 22; j >= 0; j--)
        sum = sum * t + c[j];
    return sum * inverse;
}

/* h = phi(u)/Phi(u) */
HEBB_EACH double hebb_inverse_mills(double u)
{
    const double x = fabs(u), ratio = hebb_mills(x), density = 0.3989422804014327 * hebb_exp(-0.5 * x * x);
    const double above = u < 0 ? 1.0 : density, below = u < 0 ? ratio : 1.0 - density * ratio;
    return above / below;
}

/* ln Phi(u) */
HEBB_EACH double hebb_log_normal(double u)
{
    const double x = fabs(u), ratio = hebb_mills(x), density = 0.3989422804014327 * hebb_exp(-0.5 * x * x);
    const double lower = hebb_log(ratio * 0.3989422804014327) - 0.5 * x * x, upper = hebb_log1p(-density * ratio);
    return u < 0 ? lower : upper;
}

/* ln cosh x + ln 2 */
HEBB_EACH double hebb_log_2cosh(double x)
{
    const double size = fabs(x);
    return size + hebb_log1p(hebb_exp(-2.0 * size));
}

#endif
