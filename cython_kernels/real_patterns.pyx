# cython: embedsignature=True
"""Metropolis and Glauber chains of E(s) = constant - weight sum_mu F - sum_i h_i s_i over real patterns, x_i = c_i^mu s_i.

    distinct   F = e_P, the elementary symmetric polynomial     cost of a flip  2 weight sum_mu sum_j (-1)^(j-1) e_(P-j) x_i^j
    naive      F = (sum_i x_i)^P                                the same with (2^j/2) binomial(P, j) p_1^(P-j) for e_(P-j)

(j = 1 ... P; the term j = P is a constant of the spin). e_k come from power sums p_k by Newton's identities; even ones never
change, odd ones are refreshed when a flip is accepted (p_P enters only through sums over patterns, one number per spin).
Entries are 16-bit integers times a unit and power sums exact sums, so that all caches are functions of the configuration
alone: nothing drifts, and a chain can be cut and resumed anywhere. Costs lose digits to cancellation as P nears N: a relative
1e-14 at P = 4, 1e-10 at P = 12 and N = 2 P, and more beyond.
"""

import math
from contextlib import ExitStack

import numpy as np

from .overlap import INSTRUCTION_SETS, ORDERS, RULES

from cpython.pycapsule cimport PyCapsule_GetPointer
from cython_kernels.bitgen cimport bitgen_t, draw, hebb_site, hebb_uniform
from libc.stdint cimport int8_t, int16_t, int64_t
from libc.stdlib cimport llabs


cdef extern from "real_simd.h" nogil:
    enum: HEBB_LANES
    ctypedef struct hebb_polynomial:
        int64_t n_groups
        int degree, naive, n_odd, n_even
        double scale, grid
        double naive_factor[21]
    ctypedef struct hebb_real_operations:
        void (*costs)(const hebb_polynomial *, const double *, const int16_t **, const double *, int, double *) noexcept nogil
        void (*add)(const hebb_polynomial *, double *, int, int, const int16_t *, double, double) noexcept nogil
        void (*flip)(const hebb_polynomial *, double *, const double *, double *, const int16_t *, double) noexcept nogil
        double (*total)(const hebb_polynomial *, const double *, const double *) noexcept nogil
        void (*limits)(int, double, double *, int) noexcept nogil
        int widest
    hebb_real_operations hebb_real_choose(int)

cdef extern from "instruction_sets.h" nogil:
    int hebb_best_set()

include "chain.pxi"


cdef class RealPatternKernel(SpinChain):
    """R replicas of one disorder sample.

    columns: int16 (N, stride), entries of spin i in row i; the pattern entry is unit * columns. stride is a multiple of 8 and
        columns vanish beyond K = n_patterns. p_body: P from 2 to 20. naive: F as in the module's formula.
    weight, constant: see there. condensed: int8 (N,), the configuration whose overlap is followed. fields: float64 (N,) or
        None. instruction_set: "avx512", "avx2", "plain", or None for the widest; plain C on x86 fuses multiply-adds in
        software, about twenty times slower.
    Memory: 2 N K bytes, and about 4 K P (3 R + 1) for the caches.
    """

    cdef hebb_polynomial polynomial
    cdef hebb_real_operations do
    cdef double unit, constant
    cdef const int16_t[:, ::1] columns
    cdef double[::1] even, last
    cdef double[:, ::1] odd, factor

    def __init__(self, columns, int64_t n_patterns, double unit, int p_body, bint naive, double weight, double constant,
                 condensed, fields=None, instruction_set=None):
        self.columns = columns
        self.n_spins, self.n_patterns = columns.shape[0], n_patterns
        if columns.shape[1] % HEBB_LANES or columns.shape[1] < n_patterns:
            raise ValueError(f"columns of {columns.shape[1]} entries do not hold {n_patterns} patterns in groups of 8")
        if not 2 <= p_body <= 20:
            raise ValueError(f"p_body = {p_body} is not from 2 to 20")
        self.do = hebb_real_choose(self._prepare(condensed, fields, instruction_set))
        self.limits, self.widest = self.do.limits, self.do.widest
        cdef int bits = max(0, int(columns.max()) - 1, -int(columns.min()) - 1).bit_length()
        cdef hebb_polynomial *t = &self.polynomial
        t.n_groups, t.degree, t.naive = columns.shape[1] // HEBB_LANES, p_body, naive
        t.n_odd = 1 if naive else p_body // 2
        t.n_even = 0 if naive else (p_body - 1) // 2
        t.scale = 2.0**-bits  # |z| <= 1, and the sum of N roundings to the grid stays below 2^53 steps
        t.grid = 1.5 * 2.0 ** math.ceil(math.log2(self.n_spins) + 1)
        for j in range(1, p_body + 1):
            t.naive_factor[j] = (-1) ** (j - 1) * 2 ** (j - 1) * math.comb(p_body, j)
        cdef double whole = 1.0 if naive else math.factorial(p_body - 1)
        self.unit = weight * (unit * 2.0**bits) ** p_body / whole
        self.constant = constant
        self.even = np.zeros(columns.shape[1] * t.n_even + 1)
        self.last = np.zeros(self.n_spins)
        cdef int64_t i, mu
        cdef int _k
        cdef double last = (-1.0) ** (p_body - 1) * (2.0 ** (p_body - 1) if naive else whole), power
        for i in range(self.n_spins):
            self.do.add(t, &self.even[0], t.n_even, 2, &self.columns[i, 0], 1.0, 1.0)
            for mu in range(n_patterns):
                power = last
                for _k in range(p_body):
                    power *= t.scale * self.columns[i, mu]
                self.last[i] += power

    def load(self, spins):
        """Take the configurations spins (R, N) of +-1 and rebuild every cache. Cost O(R N K P)."""
        self._take(spins)
        stride = self.columns.shape[1]
        self.odd = np.zeros((self.n_replicas, stride * self.polynomial.n_odd))
        self.factor = np.zeros((self.n_replicas, stride * (self.polynomial.degree - 1)))
        cdef int64_t r
        with nogil:
            for r in range(self.n_replicas):
                self._rebuild(r)

    cdef void _rebuild(self, int64_t r) noexcept nogil:
        cdef int64_t i
        for i in range(self.n_spins):
            self.do.add(&self.polynomial, &self.odd[r, 0], self.polynomial.n_odd, 1, &self.columns[i, 0], self.spins_[r, i], 1.0)
        self.do.flip(&self.polynomial, &self.odd[r, 0], &self.even[0], &self.factor[r, 0], NULL, 0.0)

    cdef void _changes(self, int64_t r, const int64_t *sites, int n, double *change) noexcept nogil:
        """Cost O(n K P / lanes) vector operations."""
        cdef const int16_t *columns[16]
        cdef double sign[16]
        cdef int j
        cdef double last
        for j in range(n):
            columns[j] = &self.columns[sites[j], 0]
            sign[j] = self.spins_[r, sites[j]]
        self.do.costs(&self.polynomial, &self.factor[r, 0], columns, sign, n, change)
        for j in range(n):
            last = self.last[sites[j]] if self.polynomial.degree % 2 == 0 else sign[j] * self.last[sites[j]]
            change[j] = 2 * self.unit * (change[j] + last)

    cdef void _flip(self, int64_t r, int64_t i) noexcept nogil:
        self.do.flip(&self.polynomial, &self.odd[r, 0], &self.even[0], &self.factor[r, 0], &self.columns[i, 0],
                     self.spins_[r, i])

    @property
    def interaction(self):
        """Energies without fields (R,), from the power sums. Cost O(R K P^2)."""
        self._require_loaded()
        cdef int64_t r
        energy = np.empty(self.n_replicas)
        for r in range(self.n_replicas):
            total = self.do.total(&self.polynomial, &self.odd[r, 0], &self.even[0])
            if not self.polynomial.naive:
                signs = np.asarray(self.spins_[r]) if self.polynomial.degree % 2 else np.ones(self.n_spins)
                total = (total + math.fsum(np.asarray(self.last) * signs)) / self.polynomial.degree
            energy[r] = self.constant - self.unit * total
        return energy
