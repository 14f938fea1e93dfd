/* Included by real_simd.h once for every instruction set, which defines HEBB_TARGET, HEBB_NAME(x), HEBB_WIDTH, HEBB_WIDEST,
 * HEBB_WIDEN and HEBB_FMA. The eight lanes of a group are HEBB_PARTS vectors; vectors are the compiler's own (GCC, clang). */

#define HEBB_PARTS (HEBB_LANES / HEBB_WIDTH)
#define HEBB_INLINE HEBB_TARGET __attribute__((always_inline)) static inline

typedef double HEBB_NAME(hebb_vector) __attribute__((vector_size(8 * HEBB_WIDTH), aligned(8), may_alias));
#define hebb_vector HEBB_NAME(hebb_vector)

/* ------------------------------------------------------------------------------------------------ costs */

HEBB_INLINE void HEBB_NAME(hebb_costs_n)(const hebb_polynomial *t, const double *factor, const int16_t *const *columns,
                                         const double *sign, const int n, const int degree, double *out)
{
    hebb_vector sum[HEBB_WIDEST][HEBB_PARTS];
    double scale[HEBB_WIDEST];
    for (int j = 0; j < n; j++) {
        for (int part = 0; part < HEBB_PARTS; part++)
            sum[j][part] = (hebb_vector){0};
        scale[j] = sign[j] * t->scale;
    }
    for (int64_t g = 0; g < t->n_groups; g++)
        for (int part = 0; part < HEBB_PARTS; part++) {
            const int64_t lane = HEBB_LANES * g * (degree - 1) + HEBB_WIDTH * part;
#define HEBB_FACTOR(k) (*(const hebb_vector *)(factor + lane + HEBB_LANES * ((k) - 1)))
            for (int j = 0; j < n; j++) {
                const hebb_vector z = HEBB_WIDEN(columns[j] + HEBB_LANES * g + HEBB_WIDTH * part) * scale[j];
                hebb_vector term = HEBB_FACTOR(degree - 1);
                for (int k = degree - 2; k >= 1; k--)
                    term = HEBB_FMA(term, z, HEBB_FACTOR(k));
                sum[j][part] = HEBB_FMA(term, z, sum[j][part]);
            }
#undef HEBB_FACTOR
        }
    for (int j = 0; j < n; j++) {
        double lanes[HEBB_LANES];
        for (int part = 0; part < HEBB_PARTS; part++)
            *(hebb_vector *)(lanes + HEBB_WIDTH * part) = sum[j][part];
        out[j] = hebb_across(lanes);
    }
}

HEBB_INLINE void HEBB_NAME(hebb_costs_degree)(const hebb_polynomial *t, const double *factor,
                                              const int16_t *const *columns, const double *sign, int n, const int degree,
                                              double *out)
{
    switch (n) {
#if HEBB_WIDEST >= 8
    case 8: HEBB_NAME(hebb_costs_n)(t, factor, columns, sign, 8, degree, out); break;
#endif
#if HEBB_WIDEST >= 4
    case 4: HEBB_NAME(hebb_costs_n)(t, factor, columns, sign, 4, degree, out); break;
#endif
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

/* sums[8 k] += times * (z^first, z^(first+2), ...), z^k rounded to the grid */
HEBB_INLINE void HEBB_NAME(hebb_add_powers)(const hebb_polynomial *t, double *sums, const int n_sums, const int first,
                                            hebb_vector z, double times)
{
    const hebb_vector square = z * z;
    hebb_vector power = first == 1 ? z : square;
    for (int k = 0; k < n_sums; k++) {
        *(hebb_vector *)(sums + HEBB_LANES * k) += times * ((power + t->grid) - t->grid);
        power *= square;
    }
}

HEBB_TARGET static void HEBB_NAME(hebb_real_add)(const hebb_polynomial *t, double *sums, int n_sums, int first,
                                                 const int16_t *column, double sign, double times)
{
    const double scale = sign * t->scale;
    for (int64_t at = 0; at < HEBB_LANES * t->n_groups; at += HEBB_WIDTH)
        HEBB_NAME(hebb_add_powers)(t, sums + at / HEBB_LANES * HEBB_LANES * n_sums + at % HEBB_LANES, n_sums, first,
                                   HEBB_WIDEN(column + at) * scale, times);
}

/* E_k = k! e_k from Newton's identities, E_k = p_1 E_(k-1) - (k-1) p_2 E_(k-2) + (k-1)(k-2) p_3 E_(k-3) - ..., with p_degree
 * left out */
HEBB_INLINE void HEBB_NAME(hebb_newton)(const double *odd, const double *even, const int order, const int degree,
                                        hebb_vector *e)
{
    e[0] = (hebb_vector){0} + 1.0;
    for (int k = 1; k <= order; k++) {
        hebb_vector sum = (hebb_vector){0};
        double times = 1;
        for (int i = 1; i <= k && i < degree; i++) {
            sum = i % 2 ? sum + *(const hebb_vector *)(odd + HEBB_LANES * (i / 2)) * (times * e[k - i])
                        : sum - *(const hebb_vector *)(even + HEBB_LANES * (i / 2 - 1)) * (times * e[k - i]);
            times *= k - i;
        }
        e[k] = sum;
    }
}

HEBB_INLINE void HEBB_NAME(hebb_flip_degree)(const hebb_polynomial *t, double *odd, const double *even, double *factor,
                                             const int16_t *column, double sign, const int degree, const int naive)
{
    const int n_odd = naive ? 1 : degree / 2, n_even = naive ? 0 : (degree - 1) / 2;
    const double scale = sign * t->scale;
    hebb_vector e[HEBB_MOST_POWERS + 1];
    for (int64_t g = 0; g < t->n_groups; g++)
        for (int part = 0; part < HEBB_PARTS; part++) {
            double *p = odd + HEBB_LANES * g * n_odd + HEBB_WIDTH * part;
            double *f = factor + HEBB_LANES * g * (degree - 1) + HEBB_WIDTH * part;
            if (column)
                HEBB_NAME(hebb_add_powers)(t, p, n_odd, 1, HEBB_WIDEN(column + HEBB_LANES * g + HEBB_WIDTH * part) * scale,
                                           -2.0);
            if (naive) {
                const hebb_vector first = *(hebb_vector *)p;
                hebb_vector power = first;
                for (int j = degree - 1; j >= 1; j--) {
                    *(hebb_vector *)(f + HEBB_LANES * (j - 1)) = t->naive_factor[j] * power;
                    power *= first;
                }
            } else {
                HEBB_NAME(hebb_newton)(p, even + HEBB_LANES * g * n_even + HEBB_WIDTH * part, degree - 1, degree, e);
                double times = 1;
                for (int j = 1; j < degree; j++) {
                    *(hebb_vector *)(f + HEBB_LANES * (j - 1)) = times * e[degree - j];
                    times *= j - degree;
                }
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

HEBB_TARGET static double HEBB_NAME(hebb_real_total)(const hebb_polynomial *t, const double *odd, const double *even)
{
    double lanes[HEBB_LANES] = {0};
    hebb_vector e[HEBB_MOST_POWERS + 1];
    for (int64_t at = 0; at < HEBB_LANES * t->n_groups; at += HEBB_WIDTH) {
        const int64_t g = at / HEBB_LANES, lane = at % HEBB_LANES;
        const double *p = odd + HEBB_LANES * g * t->n_odd + lane;
        hebb_vector *sum = (hebb_vector *)(lanes + lane);
        if (t->naive) {
            hebb_vector power = *(const hebb_vector *)p;
            for (int j = 1; j < t->degree; j++)
                power *= *(const hebb_vector *)p;
            *sum += power;
        } else {
            HEBB_NAME(hebb_newton)(p, even + HEBB_LANES * g * t->n_even + lane, t->degree, t->degree, e);
            *sum += e[t->degree];
        }
    }
    return hebb_across(lanes);
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

#undef hebb_vector
#undef HEBB_PARTS
#undef HEBB_INLINE
#undef HEBB_TARGET
#undef HEBB_NAME
#undef HEBB_WIDTH
#undef HEBB_WIDEST
#undef HEBB_WIDEN
#undef HEBB_FMA
