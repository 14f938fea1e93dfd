/* Included by real_simd.h once for every instruction set: HEBB_TARGET, HEBB_NAME(x) and HEBB_WIDEST differ. Vectors are the
 * compiler's own (GCC, clang) and not intrinsics. */

HEBB_TARGET __attribute__((always_inline)) static inline hebb_doubles HEBB_NAME(hebb_widen)(const int16_t *column)
{
    return __builtin_convertvector(__builtin_convertvector(*(const hebb_shorts *)column, hebb_ints), hebb_doubles);
}

HEBB_TARGET __attribute__((always_inline)) static inline double HEBB_NAME(hebb_across)(hebb_doubles x)
{
    return ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7]));
}

/* ------------------------------------------------------------------------------------------------ costs */

HEBB_TARGET __attribute__((always_inline)) static inline void
HEBB_NAME(hebb_costs_n)(const hebb_polynomial *t, const double *factor, const int16_t *const *columns, const double *sign,
                        const int n, const int degree, double *out)
{
    hebb_doubles sum[HEBB_WIDEST];
    double scale[HEBB_WIDEST];
    for (int j = 0; j < n; j++) {
        sum[j] = (hebb_doubles){0};
        scale[j] = sign[j] * t->scale;
    }
    for (int64_t g = 0; g < t->n_groups; g++) {
        const hebb_doubles *f = (const hebb_doubles *)factor + g * (degree - 1);
        for (int j = 0; j < n; j++) {
            const hebb_doubles z = HEBB_NAME(hebb_widen)(columns[j] + HEBB_LANES * g) * scale[j];
            hebb_doubles term = f[degree - 2] * z;
            for (int k = degree - 3; k >= 0; k--)
                term = (f[k] + term) * z;
            sum[j] += term;
        }
    }
    for (int j = 0; j < n; j++)
        out[j] = HEBB_NAME(hebb_across)(sum[j]);
}

HEBB_TARGET __attribute__((always_inline)) static inline void
HEBB_NAME(hebb_costs_degree)(const hebb_polynomial *t, const double *factor, const int16_t *const *columns,
                             const double *sign, int n, const int degree, double *out)
{
    switch (n) {
#if HEBB_WIDEST == 8
    case 8: HEBB_NAME(hebb_costs_n)(t, factor, columns, sign, 8, degree, out); break;
#endif
    case 4: HEBB_NAME(hebb_costs_n)(t, factor, columns, sign, 4, degree, out); break;
    case 2: HEBB_NAME(hebb_costs_n)(t, factor, columns, sign, 2, degree, out); break;
    default: HEBB_NAME(hebb_costs_n)(t, factor, columns, sign, 1, degree, out);
    }
}

HEBB_TARGET static void HEBB_NAME(hebb_real_costs)(const hebb_polynomial *t, const double *factor,
                                                   const int16_t *const *columns, const double *sign, int n, double *out)
{
    switch (t->degree) {
    case 2: HEBB_NAME(hebb_costs_degree)(t, factor, columns, sign, n, 2, out); break;
    case 3: HEBB_NAME(hebb_costs_degree)(t, factor, columns, sign, n, 3, out); break;
    case 4: HEBB_NAME(hebb_costs_degree)(t, factor, columns, sign, n, 4, out); break;
    case 6: HEBB_NAME(hebb_costs_degree)(t, factor, columns, sign, n, 6, out); break;
    default: HEBB_NAME(hebb_costs_degree)(t, factor, columns, sign, n, t->degree, out);
    }
}

/* ------------------------------------------------------------------------------------------------ power sums */

HEBB_TARGET __attribute__((always_inline)) static inline void
HEBB_NAME(hebb_add_group)(const hebb_polynomial *t, hebb_doubles *sums, const int n_sums, const int first, hebb_doubles z,
                          double times)
{
    const hebb_doubles square = z * z;
    hebb_doubles power = first == 1 ? z : square;
    for (int k = 0; k < n_sums; k++) {
        sums[k] += times * ((power + t->grid) - t->grid);
        power *= square;
    }
}

/* e[k] = [p_1 e_(k-1) - p_2 e_(k-2) + ...]/k (Newton) */
HEBB_TARGET __attribute__((always_inline)) static inline void
HEBB_NAME(hebb_newton)(const hebb_doubles *odd, const hebb_doubles *even, const int order, hebb_doubles *e)
{
    e[0] = (hebb_doubles){0} + 1.0;
    for (int k = 1; k <= order; k++) {
        hebb_doubles sum = (hebb_doubles){0};
        for (int i = 1; i <= k; i++)
            sum = i % 2 ? sum + odd[i / 2] * e[k - i] : sum - even[i / 2 - 1] * e[k - i];
        e[k] = sum / (double)k;
    }
}

HEBB_TARGET __attribute__((always_inline)) static inline void
HEBB_NAME(hebb_flip_degree)(const hebb_polynomial *t, double *odd, const double *even, double *factor,
                            const int16_t *column, double sign, const int degree, const int naive)
{
    const int n_odd = naive ? 1 : (degree + 1) / 2, n_even = naive ? 0 : degree / 2;
    const double scale = sign * t->scale;
    hebb_doubles e[HEBB_MOST_POWERS + 1];
    for (int64_t g = 0; g < t->n_groups; g++) {
        hebb_doubles *p = (hebb_doubles *)odd + g * n_odd, *f = (hebb_doubles *)factor + g * (degree - 1);
        if (column)
            HEBB_NAME(hebb_add_group)(t, p, n_odd, 1, HEBB_NAME(hebb_widen)(column + HEBB_LANES * g) * scale, -2.0);
        if (naive) {
            hebb_doubles power = p[0];
            for (int j = degree - 1; j >= 1; j--) {
                f[j - 1] = t->naive_factor[j] * power;
                power *= p[0];
            }
        } else {
            HEBB_NAME(hebb_newton)(p, (const hebb_doubles *)even + g * n_even, degree - 1, e);
            for (int j = 1; j < degree; j++)
                f[j - 1] = j % 2 ? e[degree - j] : -e[degree - j];
        }
    }
}

HEBB_TARGET static void HEBB_NAME(hebb_real_flip)(const hebb_polynomial *t, double *odd, const double *even, double *factor,
                                                  const int16_t *column, double sign)
{
    if (t->naive)
        HEBB_NAME(hebb_flip_degree)(t, odd, even, factor, column, sign, t->degree, 1);
    else
        switch (t->degree) {
        case 2: HEBB_NAME(hebb_flip_degree)(t, odd, even, factor, column, sign, 2, 0); break;
        case 3: HEBB_NAME(hebb_flip_degree)(t, odd, even, factor, column, sign, 3, 0); break;
        case 4: HEBB_NAME(hebb_flip_degree)(t, odd, even, factor, column, sign, 4, 0); break;
        case 6: HEBB_NAME(hebb_flip_degree)(t, odd, even, factor, column, sign, 6, 0); break;
        default: HEBB_NAME(hebb_flip_degree)(t, odd, even, factor, column, sign, t->degree, 0);
        }
}

HEBB_TARGET static void HEBB_NAME(hebb_real_add)(const hebb_polynomial *t, double *sums, int n_sums, int first,
                                                 const int16_t *column, double sign, double times)
{
    const double scale = sign * t->scale;
    for (int64_t g = 0; g < t->n_groups; g++)
        HEBB_NAME(hebb_add_group)(t, (hebb_doubles *)sums + g * n_sums, n_sums, first,
                                  HEBB_NAME(hebb_widen)(column + HEBB_LANES * g) * scale, times);
}

HEBB_TARGET static double HEBB_NAME(hebb_real_total)(const hebb_polynomial *t, const double *odd, const double *even)
{
    hebb_doubles sum = (hebb_doubles){0}, e[HEBB_MOST_POWERS + 1];
    for (int64_t g = 0; g < t->n_groups; g++) {
        const hebb_doubles *p = (const hebb_doubles *)odd + g * t->n_odd;
        if (t->naive) {
            hebb_doubles power = p[0];
            for (int j = 1; j < t->degree; j++)
                power *= p[0];
            sum += power;
        } else {
            HEBB_NAME(hebb_newton)(p, (const hebb_doubles *)even + g * t->n_even, t->degree, e);
            sum += e[t->degree];
        }
    }
    return HEBB_NAME(hebb_across)(sum);
}

HEBB_TARGET static void HEBB_NAME(hebb_real_limits)(int rule, double temperature, double *values, int n)
{
    hebb_thresholds(rule, temperature, values, n);
}

static hebb_real_operations HEBB_NAME(hebb_real_operations)(void)
{
    return (hebb_real_operations){HEBB_NAME(hebb_real_costs), HEBB_NAME(hebb_real_add), HEBB_NAME(hebb_real_flip),
                                  HEBB_NAME(hebb_real_total), HEBB_NAME(hebb_real_limits), HEBB_WIDEST};
}
