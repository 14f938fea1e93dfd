# cython: embedsignature=True
"""Chains of class magnetisations: spins with the same column of pattern entries are exchangeable, so their number up is enough.

    E(s) = -scale (N/2) sum_q g_q^2 ,     g_q = (unit/N) G_q ,     G_q = sum_c c_q (2 k_c - n_c)

n_c spins carry the column c (Q integers), k_c of them are up. Two chains on the states (k_c):

flips   a uniformly random spin, in class c with probability n_c/N and up with probability k_c/n_c, is flipped by the rule
        of Metropolis or Glauber: the projection of the spin-by-spin chain in random order, exactly. A flip from s costs
            dE = (2 scale unit^2/N) [s c.G - |c|^2]     (an integer times a constant: flips at no cost are exactly that)
        O(Q) per flip at any N; the class of a spin is found by a table of N's leading bits in O(1) on average.
gibbs   the Hubbard-Stratonovich field z is drawn given the spins and the spins given z,
            z_q ~ Normal(g_q, T/(scale N)) ,     k_c ~ Binomial(n_c, 1/(1 + exp(-2 scale unit c.z/T)))
        which leaves the same Boltzmann law invariant (not Glauber's kinetics) at O(classes Q) per sweep for any N.

The order of operations is fixed. `gibbs` uses the exponential and logarithm of the C library and numpy's BTPE and ziggurat
routines as compiled in, so that its last bits may differ between builds; `flips` is the same everywhere.
"""

from contextlib import ExitStack

import numpy as np

from .overlap import RULES

from cpython.pycapsule cimport PyCapsule_GetPointer
from cython_kernels.bitgen cimport bitgen_t, draw, hebb_site, hebb_uniform
from libc.math cimport INFINITY, exp, fabs, log1p, sqrt
from libc.stdint cimport int32_t, int64_t
from numpy.random.c_distributions cimport binomial_t, random_binomial, random_standard_normal


cdef extern from "acceptance.h" nogil:
    void hebb_thresholds(int rule, double temperature, double *values, int n)

cdef enum:
    BATCH = 64

cdef double INVERTED = 30.0  # binomials of a smaller mean are drawn by inversion
cdef double STRONGEST = 1e280  # of 2 beta scale unit, where T is so small that all spins follow their fields: 0 * inf is nan


cdef int64_t _binomial(bitgen_t *bitgen, int64_t n, double p, binomial_t *setup) noexcept nogil:
    """Binomial(n, p), p <= 1/2. numpy's inversion takes log(1 - p), which says nothing of p < 1e-16 where n is large."""
    cdef double mean = n * p, nothing, chance, u, odds
    cdef int64_t k, bound
    if mean > INVERTED:
        return random_binomial(bitgen, p, n, setup)
    if mean == 0:
        return 0
    nothing = exp(n * log1p(-p))
    odds = p / (1 - p)
    bound = <int64_t>min(<double>n, mean + 10 * sqrt(mean + 1))  # beyond it lies less than a double resolves
    while True:
        k, chance, u = 0, nothing, hebb_uniform(draw(bitgen))
        while u > chance and k < bound:
            u -= chance
            k += 1
            chance *= (n - k + 1) * odds / k
        if u <= chance:
            return k


cdef bitgen_t *_stream(generator) except NULL:
    return <bitgen_t *>PyCapsule_GetPointer(generator.bit_generator.capsule, "BitGenerator")


def binomials(counts, double probability, generator):
    """Independent Binomial(counts[j], probability), int64; 0 <= probability <= 1/2, counts up to 1e15, any tiny probability."""
    if not 0 <= probability <= 0.5:
        raise ValueError(f"probability = {probability} is not in [0, 1/2]")
    cdef const int64_t[::1] n = np.ascontiguousarray(counts, np.int64)
    cdef int64_t[::1] drawn = np.zeros(n.shape[0], np.int64)
    cdef binomial_t setup
    cdef bitgen_t *bitgen = _stream(generator)
    cdef int64_t j
    setup.has_binomial = 0
    with generator.bit_generator.lock, nogil:
        for j in range(n.shape[0]):
            drawn[j] = _binomial(bitgen, n[j], probability, &setup)
    return np.asarray(drawn)


cdef class LumpedKernel:
    """R replicas of one set of classes.

    counts: int64 (L,), the spins n_c > 0 of each class. columns: integers (L, Q). unit, scale: as in the module's formula.
    Raises ValueError where the integers of `flips` (Q N max|c|^2) or `gibbs` (N max|c|) would not fit 62 bits; see
    `largest_integer`.
    Memory: L (4 Q + 40 + 8 R) bytes.
    """

    cdef readonly int64_t n_spins, n_classes, n_components, n_replicas
    cdef readonly double unit, scale
    cdef const int64_t[::1] counts
    cdef const int32_t[:, ::1] columns
    cdef int64_t[::1] first, norm, accepted_
    cdef int32_t[::1] guide
    cdef int shift
    cdef int64_t[:, ::1] up_, overlaps_
    cdef double[::1] field

    def __init__(self, counts, columns, double unit, double scale):
        self.counts = np.ascontiguousarray(counts, np.int64)
        self.columns = np.ascontiguousarray(columns, np.int32)
        self.n_classes, self.n_components = self.columns.shape[0], self.columns.shape[1]
        if self.counts.shape[0] != self.n_classes or not self.n_classes or np.min(self.counts) < 1:
            raise ValueError(f"{self.counts.shape[0]} counts, which must be positive, for {self.n_classes} columns")
        if not np.array_equal(self.columns, columns):
            raise ValueError("column entries must be integers of 32 bits")
        self.unit, self.scale = unit, scale
        self.n_spins = np.sum(self.counts)
        if self.largest_integer("gibbs") >= 2**62:
            raise ValueError("the overlaps do not fit 62 bits")
        wide = np.asarray(self.columns, np.int64)
        self.norm = np.sum(wide * wide, axis=1)
        self.first = np.concatenate([[0], np.cumsum(self.counts)])
        self.shift = 0
        while (self.n_spins >> self.shift) > 4 * self.n_classes:
            self.shift += 1
        starts = np.arange((self.n_spins >> self.shift) + 1) << self.shift
        self.guide = (np.searchsorted(self.first, starts, side="right") - 1).astype(np.int32)
        self.field = np.zeros(self.n_components)

    def largest_integer(self, str chain):
        """The largest integer that a chain ("flips" or "gibbs") may meet; both need less than 2^62."""
        largest = int(np.max(np.abs(np.asarray(self.columns, np.int64))))
        return int(self.n_spins) * max(1, largest) * (max(1, largest) * int(self.n_components) if chain == "flips" else 1)

    def load(self, up):
        """Take the numbers of up spins (R, L) of each class. Cost O(R L Q)."""
        up = np.array(up, np.int64, ndmin=2)
        if up.ndim != 2 or not len(up) or up.shape[1] != self.n_classes or np.any(up < 0) or np.any(up > self.counts):
            raise ValueError(f"up must be (R, {self.n_classes}) numbers from 0 to the counts")
        self.up_ = up
        self.n_replicas = up.shape[0]
        self.accepted_ = np.zeros(self.n_replicas, np.int64)
        self.overlaps_ = np.zeros((self.n_replicas, self.n_components), np.int64)
        cdef int64_t r, c, q
        for r in range(self.n_replicas):
            for c in range(self.n_classes):
                for q in range(self.n_components):
                    self.overlaps_[r, q] += self.columns[c, q] * (2 * self.up_[r, c] - self.counts[c])

    cdef inline int64_t _gain(self, const int64_t *overlaps, int64_t c) noexcept nogil:
        """c.G"""
        cdef int64_t q, total = 0
        cdef const int32_t *column = &self.columns[c, 0]
        for q in range(self.n_components):
            total += column[q] * overlaps[q]
        return total

    cdef void _flips(self, int64_t r, int64_t n_flips, double temperature, int rule, bitgen_t *bitgen) noexcept nogil:
        cdef int64_t sites[BATCH]
        cdef double limit[BATCH]
        cdef double unused, cost_unit = self._cost_unit()
        cdef int64_t *overlaps = &self.overlaps_[r, 0]
        cdef int64_t *up = &self.up_[r, 0]
        cdef const int64_t *first = &self.first[0]
        cdef const int32_t *column
        cdef int64_t done = 0, accepted = 0, c, s, q, site
        cdef int batch, j
        while done < n_flips:
            batch = <int>min(BATCH, n_flips - done)
            for j in range(batch):  # a word for each: the fraction of a site among 1e15 would have 14 bits left
                sites[j] = hebb_site(draw(bitgen), self.n_spins, &unused)
                limit[j] = hebb_uniform(draw(bitgen))
            hebb_thresholds(rule, temperature, limit, batch)
            for j in range(batch):
                site = sites[j]
                c = self.guide[site >> self.shift]
                while site >= first[c + 1]:
                    c += 1
                s = 1 if site - first[c] < up[c] else -1
                if cost_unit * (s * self._gain(overlaps, c) - self.norm[c]) <= limit[j]:
                    column = &self.columns[c, 0]
                    for q in range(self.n_components):
                        overlaps[q] -= 2 * s * column[q]
                    up[c] -= s
                    accepted += 1
            done += batch
        self.accepted_[r] += accepted

    cdef inline double _cost_unit(self) noexcept nogil:
        return 2 * self.scale * self.unit * self.unit / self.n_spins

    cdef inline double _exponent(self, const double *field, int64_t c) noexcept nogil:
        """2 beta times the field of the class, where field = 2 beta scale unit z."""
        cdef int64_t q
        cdef double total = 0
        cdef const int32_t *column = &self.columns[c, 0]
        for q in range(self.n_components):
            total += column[q] * field[q]
        return total

    cdef void _gibbs(self, int64_t r, int64_t n_sweeps, double temperature, bitgen_t *bitgen) noexcept nogil:
        cdef double *field = &self.field[0]
        cdef int64_t *overlaps = &self.overlaps_[r, 0]
        cdef const int32_t *column
        cdef double width = sqrt(temperature / (self.scale * self.n_spins)), x
        cdef double strength = min(2 * self.scale * self.unit / temperature, STRONGEST)
        cdef int64_t _, c, q, few, net
        cdef binomial_t setup
        setup.has_binomial = 0
        for _ in range(n_sweeps):
            for q in range(self.n_components):
                field[q] = strength * (self.unit * overlaps[q] / self.n_spins + width * random_standard_normal(bitgen))
                overlaps[q] = 0
            for c in range(self.n_classes):
                x = self._exponent(field, c)
                few = _binomial(bitgen, self.counts[c], 1 / (1 + exp(fabs(x))), &setup)  # against their field
                self.up_[r, c] = self.counts[c] - few if x > 0 else few
                net = 2 * self.up_[r, c] - self.counts[c]
                column = &self.columns[c, 0]
                for q in range(self.n_components):
                    overlaps[q] += column[q] * net

    def _run(self, int64_t number, double temperature, generators, int rule):
        """rule < 0: Gibbs sweeps. All replicas one after the other."""
        self._require_loaded()
        if number < 0:
            raise ValueError(f"{number} steps are not a number >= 0")
        if len(generators) != self.n_replicas:
            raise ValueError(f"{len(generators)} generators for {self.n_replicas} replicas")
        if not 0 <= temperature < INFINITY or (rule < 0 and temperature == 0):
            raise ValueError(f"temperature = {temperature} is not a number {'> 0' if rule < 0 else '>= 0'}")
        if rule >= 0 and self.largest_integer("flips") >= 2**62:
            raise ValueError("the costs do not fit 62 bits")
        cdef int64_t r
        cdef bitgen_t *bitgen
        with ExitStack() as locks:
            for generator in generators:
                locks.enter_context(generator.bit_generator.lock)
            for r in range(self.n_replicas):
                bitgen = _stream(generators[r])
                with nogil:
                    if rule < 0:
                        self._gibbs(r, number, temperature, bitgen)
                    else:
                        self._flips(r, number, temperature, rule, bitgen)

    def flips(self, int64_t n_flips, double temperature, generators, str rule="metropolis"):
        """n_flips proposals to every replica; rule "metropolis" or "glauber", temperature >= 0. N of them are a sweep."""
        self._run(n_flips, temperature, generators, RULES[rule])

    def gibbs(self, int64_t n_sweeps, double temperature, generators):
        """n_sweeps draws of the field and of all spins given it; temperature > 0."""
        self._run(n_sweeps, temperature, generators, -1)

    def _require_loaded(self):
        if self.n_replicas == 0:
            raise ValueError("load configurations first")

    @property
    def up(self):
        """(R, L) int64, a copy."""
        self._require_loaded()
        return np.array(self.up_)

    @property
    def overlaps(self):
        """G (R, Q) int64, a copy."""
        self._require_loaded()
        return np.array(self.overlaps_)

    @property
    def accepted(self):
        """Accepted flips (R,) since `load`."""
        self._require_loaded()
        return np.array(self.accepted_)

    def costs(self, int64_t replica):
        """dE (L, 2) of flipping a spin of each class that is up, down, as `flips` computes it (for tests)."""
        self._require_loaded()
        out = np.empty((self.n_classes, 2))
        for c in range(self.n_classes):
            for side in range(2):
                out[c, side] = self._cost_unit() * (
                    (1 - 2 * side) * self._gain(&self.overlaps_[replica, 0], c) - self.norm[c])
        return out

    def up_probability(self, z, double temperature):
        """The probability (L,) of an up spin in each class given z (Q,), as `gibbs` computes it (for tests)."""
        cdef double[::1] field = 2 * self.scale * self.unit / temperature * np.ascontiguousarray(z, float)
        if field.shape[0] != self.n_components:
            raise ValueError(f"z must have {self.n_components} components")
        return np.array([1 / (1 + exp(-self._exponent(&field[0], c))) for c in range(self.n_classes)])
