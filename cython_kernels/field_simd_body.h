/* Included by field_simd.h once for every instruction set, which defines HEBB_TARGET, HEBB_NAME(x), HEBB_WIDTH, HEBB_ROWS,
 * HEBB_CHUNK and HEBB_ADD_WHERE. The eight lanes of a byte are HEBB_PARTS vectors; vectors are the compiler's own (GCC, clang).
 * Loops without explicit vectors are element by element, and left to the compiler. */

#define HEBB_PARTS (HEBB_LANES / HEBB_WIDTH)
#define HEBB_INLINE HEBB_TARGET __attribute__((always_inline)) static inline

typedef double HEBB_NAME(hebb_vector) __attribute__((vector_size(8 * HEBB_WIDTH), aligned(8), may_alias));
typedef int64_t HEBB_NAME(hebb_integers) __attribute__((vector_size(8 * HEBB_WIDTH), aligned(8), may_alias));
#define hebb_vector HEBB_NAME(hebb_vector)
#define hebb_integers HEBB_NAME(hebb_integers)

HEBB_INLINE double HEBB_NAME(hebb_sum)(const double *x, int64_t n_padded)
{
    hebb_vector sum[HEBB_PARTS];
    double lanes[HEBB_LANES];
    for (int part = 0; part < HEBB_PARTS; part++)
        sum[part] = (hebb_vector){0};
    for (int64_t at = 0; at < n_padded; at += HEBB_LANES)
        for (int part = 0; part < HEBB_PARTS; part++)
            sum[part] += *(const hebb_vector *)(x + at + HEBB_WIDTH * part);
    for (int part = 0; part < HEBB_PARTS; part++)
        *(hebb_vector *)(lanes + HEBB_WIDTH * part) = sum[part];
    return hebb_across(lanes);
}

/* out[j] = sum of x over the bits of row j */
HEBB_INLINE void HEBB_NAME(hebb_dots)(const double *x, const uint8_t *const *rows, int64_t stride, double *out)
{
    hebb_vector sum[HEBB_ROWS][HEBB_PARTS];
    double lanes[HEBB_LANES];
    for (int j = 0; j < HEBB_ROWS; j++)
        for (int part = 0; part < HEBB_PARTS; part++)
            sum[j][part] = (hebb_vector){0};
    for (int64_t byte = 0; byte < stride; byte++)
        for (int part = 0; part < HEBB_PARTS; part++) {
            const hebb_vector value = *(const hebb_vector *)(x + HEBB_LANES * byte + HEBB_WIDTH * part);
            for (int j = 0; j < HEBB_ROWS; j++)
                sum[j][part] = HEBB_ADD_WHERE(sum[j][part], value, rows[j][byte] >> (HEBB_WIDTH * part));
        }
    for (int j = 0; j < HEBB_ROWS; j++) {
        for (int part = 0; part < HEBB_PARTS; part++)
            *(hebb_vector *)(lanes + HEBB_WIDTH * part) = sum[j][part];
        out[j] = hebb_across(lanes);
    }
}

/* spread += c[j] where the bit of row j is set, one row after the other */
HEBB_INLINE void HEBB_NAME(hebb_spread)(double *spread, const uint8_t *const *rows, const double *c, int64_t n, int64_t stride)
{
    for (int64_t first = 0; first < stride; first += HEBB_CHUNK) {
        hebb_vector sum[HEBB_CHUNK][HEBB_PARTS];
        double *at = spread + HEBB_LANES * first;
        for (int k = 0; k < HEBB_CHUNK; k++)
            for (int part = 0; part < HEBB_PARTS; part++)
                sum[k][part] = *(hebb_vector *)(at + HEBB_LANES * k + HEBB_WIDTH * part);
        for (int64_t j = 0; j < n; j++) {
            const hebb_vector value = (hebb_vector){0} + c[j];
            for (int k = 0; k < HEBB_CHUNK; k++)
                for (int part = 0; part < HEBB_PARTS; part++)
                    sum[k][part] = HEBB_ADD_WHERE(sum[k][part], value, rows[j][first + k] >> (HEBB_WIDTH * part));
        }
        for (int k = 0; k < HEBB_CHUNK; k++)
            for (int part = 0; part < HEBB_PARTS; part++)
                *(hebb_vector *)(at + HEBB_LANES * k + HEBB_WIDTH * part) = sum[k][part];
    }
}

/* xi.x of n <= HEBB_TILE rows; rows has room for HEBB_TILE + HEBB_ROWS */
HEBB_INLINE void HEBB_NAME(hebb_tile)(const double *x, double total, const uint8_t **rows, int64_t n, int64_t stride,
                                      double *out)
{
    for (int64_t j = n; j % HEBB_ROWS; j++)
        rows[j] = rows[0]; /* so that groups are full; what they give is not used */
    for (int64_t j = 0; j < n; j += HEBB_ROWS)
        HEBB_NAME(hebb_dots)(x, rows + j, stride, out + j);
    for (int64_t j = 0; j < n; j++)
        out[j] = total - 2.0 * out[j];
}

HEBB_TARGET static double HEBB_NAME(hebb_forward)(hebb_field *f, const int32_t *chosen, int64_t n, int want_loss)
{
    const double *restrict theta = f->theta;
    double *restrict m = f->m, *restrict sigma = f->sigma;
    for (int64_t i = 0; i < f->n_padded; i++) {
        const double e = hebb_exp(-2.0 * fabs(theta[i])), inverse = 1.0 / (1.0 + e);
        m[i] = copysign((1.0 - e) * inverse, theta[i]);
        sigma[i] = 4.0 * e * inverse * inverse;
    }
    for (int64_t i = f->n_spins; i < f->n_padded; i++)
        m[i] = sigma[i] = 0.0;
    memset(f->spread, 0, sizeof(double) * (size_t)f->n_padded);
    f->total = HEBB_NAME(hebb_sum)(m, f->n_padded);
    f->variance = HEBB_NAME(hebb_sum)(sigma, f->n_padded);
    const double width = 1.0 / sqrt(f->variance);
    const uint8_t *rows[HEBB_TILE + HEBB_ROWS];
    double u[HEBB_TILE + HEBB_ROWS], c[HEBB_TILE];
    double loss = 0.0, pull = 0.0;
    f->weight = 0.0;
    for (int64_t first = 0; first < n; first += HEBB_TILE) {
        const int64_t count = n - first < HEBB_TILE ? n - first : HEBB_TILE;
        for (int64_t j = 0; j < count; j++)
            rows[j] = f->minus + f->stride * (chosen ? chosen[first + j] : first + j);
        HEBB_NAME(hebb_tile)(m, f->total, rows, count, f->stride, u);
        for (int64_t j = 0; j < count; j++) {
            u[j] = u[j] * width;
            c[j] = hebb_inverse_mills(u[j]);
        }
        for (int64_t j = 0; j < count; j++) {
            pull += c[j] * u[j];
            c[j] = c[j] * width;
            f->weight += c[j];
        }
        HEBB_NAME(hebb_spread)(f->spread, rows, c, count, f->stride);
        if (want_loss) {
            for (int64_t j = 0; j < count; j++)
                u[j] = hebb_log_normal(u[j]);
            for (int64_t j = 0; j < count; j++)
                loss -= u[j];
        }
    }
    f->pull = pull / f->variance;
    return loss;
}

HEBB_INLINE double HEBB_NAME(hebb_slope)(const hebb_field *f, double kl, double theta, double prior, double m, double sigma,
                                         double spread)
{
    return sigma * (kl * (theta - prior) - ((f->weight - 2.0 * spread) + f->pull * m));
}

HEBB_TARGET static void HEBB_NAME(hebb_gradient)(const hebb_field *f, double kl, double *restrict out)
{
    const double *restrict theta = f->theta, *restrict prior = f->prior, *restrict m = f->m, *restrict sigma = f->sigma,
                          *restrict spread = f->spread;
    for (int64_t i = 0; i < f->n_padded; i++)
        out[i] = HEBB_NAME(hebb_slope)(f, kl, theta[i], prior[i], m[i], sigma[i], spread[i]);
}

HEBB_TARGET static void HEBB_NAME(hebb_sgd)(const hebb_field *f, double kl, hebb_optimizer *o)
{
    double *restrict theta = f->theta, *restrict speed = o->speed;
    const double *restrict prior = f->prior, *restrict m = f->m, *restrict sigma = f->sigma, *restrict spread = f->spread;
    const double rate = o->rate, decay = o->decay, momentum = o->momentum;
    for (int64_t i = 0; i < f->n_padded; i++) {
        const double slope = HEBB_NAME(hebb_slope)(f, kl, theta[i], prior[i], m[i], sigma[i], spread[i]);
        speed[i] = momentum * speed[i] + rate * slope;
        theta[i] = theta[i] - (speed[i] + rate * decay * theta[i]);
    }
}

HEBB_TARGET static void HEBB_NAME(hebb_adam)(const hebb_field *f, double kl, hebb_optimizer *o)
{
    o->first_power *= o->first;
    o->second_power *= o->second;
    double *restrict theta = f->theta, *restrict speed = o->speed, *restrict square = o->square;
    const double *restrict prior = f->prior, *restrict m = f->m, *restrict sigma = f->sigma, *restrict spread = f->spread;
    const double first = o->first, second = o->second, eps = o->eps, shrink = o->rate * o->decay;
    const double scale = o->rate / (1.0 - o->first_power), width = 1.0 / (1.0 - o->second_power);
    for (int64_t i = 0; i < f->n_padded; i++) {
        const double slope = HEBB_NAME(hebb_slope)(f, kl, theta[i], prior[i], m[i], sigma[i], spread[i]);
        speed[i] = first * speed[i] + (1.0 - first) * slope;
        square[i] = second * square[i] + (1.0 - second) * (slope * slope);
        theta[i] = theta[i] - (scale * speed[i] / (sqrt(width * square[i]) + eps) + shrink * theta[i]);
    }
}

HEBB_TARGET static void HEBB_NAME(hebb_kick)(const hebb_field *f, double beta, double kl, double step,
                                              double *restrict momentum)
{
    const double *restrict theta = f->theta, *restrict prior = f->prior, *restrict m = f->m, *restrict sigma = f->sigma,
                          *restrict spread = f->spread;
    for (int64_t i = 0; i < f->n_padded; i++) {
        const double slope = HEBB_NAME(hebb_slope)(f, kl, theta[i], prior[i], m[i], sigma[i], spread[i]);
        momentum[i] -= step * (beta * slope + 2.0 * m[i]);
    }
}

HEBB_TARGET static void HEBB_NAME(hebb_drift)(const hebb_field *f, double step, const double *restrict momentum)
{
    double *restrict theta = f->theta;
    for (int64_t i = 0; i < f->n_padded; i++)
        theta[i] += step * momentum[i];
}

HEBB_TARGET static void HEBB_NAME(hebb_sites)(const hebb_field *f, double *divergence, double *log_2cosh)
{
    const double *restrict theta = f->theta, *restrict prior = f->prior, *restrict m = f->m;
    double out[2] = {0.0, 0.0}, own[HEBB_TILE], far[HEBB_TILE];
    for (int64_t first = 0; first < f->n_padded; first += HEBB_TILE) {
        for (int64_t i = 0; i < HEBB_TILE; i++) { /* n_padded is a multiple of 64 */
            const double here = hebb_log_2cosh(theta[first + i]), there = hebb_log_2cosh(prior[first + i]);
            own[i] = here;
            far[i] = m[first + i] * (theta[first + i] - prior[first + i]) - (here - there);
        }
        for (int64_t i = first; i < f->n_spins && i < first + HEBB_TILE; i++) {
            out[0] += far[i - first];
            out[1] += own[i - first];
        }
    }
    *divergence = out[0];
    *log_2cosh = out[1];
}

HEBB_TARGET static void HEBB_NAME(hebb_overlaps)(const hebb_field *f, const double *v, int64_t n, double *out)
{
    const uint8_t *rows[HEBB_TILE + HEBB_ROWS];
    double tile[HEBB_TILE + HEBB_ROWS];
    const double total = HEBB_NAME(hebb_sum)(v, f->n_padded);
    for (int64_t first = 0; first < n; first += HEBB_TILE) {
        const int64_t count = n - first < HEBB_TILE ? n - first : HEBB_TILE;
        for (int64_t j = 0; j < count; j++)
            rows[j] = f->minus + f->stride * (first + j);
        HEBB_NAME(hebb_tile)(v, total, rows, count, f->stride, tile);
        memcpy(out + first, tile, sizeof(double) * (size_t)count);
    }
}

HEBB_TARGET static void HEBB_NAME(hebb_normal)(const double *restrict u, int64_t n, double *restrict h,
                                                double *restrict log_normal)
{
    for (int64_t j = 0; j < n; j++) {
        h[j] = hebb_inverse_mills(u[j]);
        log_normal[j] = hebb_log_normal(u[j]);
    }
}

static hebb_field_operations HEBB_NAME(hebb_field_operations)(void)
{
    return (hebb_field_operations){HEBB_NAME(hebb_forward), HEBB_NAME(hebb_gradient), HEBB_NAME(hebb_sgd),
                                   HEBB_NAME(hebb_adam),    HEBB_NAME(hebb_kick),     HEBB_NAME(hebb_drift),
                                   HEBB_NAME(hebb_sites),   HEBB_NAME(hebb_overlaps), HEBB_NAME(hebb_normal)};
}

#undef hebb_vector
#undef hebb_integers
#undef HEBB_PARTS
#undef HEBB_INLINE
#undef HEBB_TARGET
#undef HEBB_NAME
#undef HEBB_WIDTH
#undef HEBB_ROWS
#undef HEBB_CHUNK
#undef HEBB_ADD_WHERE
