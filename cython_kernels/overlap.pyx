# cython: embedsignature=True
"""Metropolis and Glauber chains of E(s) = sum_mu f(x_mu) - sum_i h_i s_i, x_mu = sum_i xi_i^mu s_i, xi in {-1, 0, +1}.

A flip of spin i costs, with s_i xi_i^mu = +-1,

    dE_i = unit [sum_mu B(x_mu) + s_i sum_mu xi_i^mu A(x_mu)] + 2 h_i s_i      (sums over the non-zero xi_i^mu)
    A(x) = [f(x-2) - f(x+2)]/(2 unit),   B(x) = [f(x-2) + f(x+2) - 2 f(x)]/(2 unit)

with integer tables A, B, so that the chain, its energy and its zero-cost flips are exact and equal on every instruction
set. A and B are looked up again only after an acceptance. A proposal is the sum of A over the -1 bits of one column;
the next 1, 2, 4, 8 or 16 proposals are summed together and then decided in order, and what follows an acceptance is summed
again: the chain is exactly the sequential one. Potentials that bend at few values of x alone, such as losses of perceptrons,
have `StepKernel`, in which such a sum is a count of bits.
"""

from contextlib import ExitStack

import numpy as np

from cpython.pycapsule cimport PyCapsule_GetPointer
from cython_kernels.bitgen cimport HEBB_GLAUBER, HEBB_METROPOLIS, bitgen_t, draw, hebb_log, hebb_site, hebb_uniform
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport llabs


cdef extern from "simd.h" nogil:
    ctypedef struct hebb_tables:
        int64_t n_patterns
        int64_t flush
        int64_t window
        int32_t constant_second
        const int32_t *table_a
        const int32_t *table_b
    ctypedef struct hebb_operations:
        void (*sums)(const int32_t *, const uint8_t **, int, int64_t, int64_t, int64_t *) noexcept nogil
        void (*flip)(const hebb_tables *, int32_t *, int32_t *, int32_t *, const uint8_t *, const uint8_t *, int, int64_t *,
                     int64_t *) noexcept nogil
        void (*fold)(const int32_t *, int64_t, int32_t *) noexcept nogil
        void (*sums16)(const int32_t *, const uint8_t **, int64_t, int64_t, int64_t, int64_t *) noexcept nogil
        void (*limits)(int, double, double *, int) noexcept nogil
    void hebb_count(int32_t *, const uint8_t *, int64_t, int) noexcept nogil
    hebb_operations hebb_choose(int)

cdef extern from "bit_sliced.h" nogil:
    enum: HEBB_POINTS
    enum: HEBB_CHUNK
    ctypedef struct hebb_steps:
        int64_t n_words, n_padded, first
        int32_t n_planes, n_points, n_masks, below
        int32_t mask[4]
        int64_t weight[5]
        int64_t second[4]
    ctypedef struct hebb_step_operations:
        void (*flip)(const hebb_steps *, uint64_t *, uint64_t *, const uint64_t *, const uint8_t *, int, int64_t *,
                     int64_t *) noexcept nogil
        void (*sums)(const hebb_steps *, const uint64_t *, const uint8_t **, int, int64_t *) noexcept nogil
    void hebb_steps_count(const hebb_steps *, uint64_t *, const uint8_t *, int) noexcept nogil
    hebb_step_operations hebb_choose_steps(int)

cdef extern from "instruction_sets.h" nogil:
    int hebb_best_set()

cdef extern from *:
    """
    #define HEBB_STRING(x) #x
    #define HEBB_VALUE(x) HEBB_STRING(x)
    #ifdef __clang__
    #define HEBB_COMPILER "clang " __clang_version__
    #else
    #define HEBB_COMPILER "gcc " __VERSION__
    #endif
    """
    const char *HEBB_FLAGS
    const char *HEBB_COMPILER
    const char *HEBB_CYTHON

INSTRUCTION_SETS = ("plain", "avx2", "avx512")
RULES = {"metropolis": HEBB_METROPOLIS, "glauber": HEBB_GLAUBER}
ORDERS = {"random": 0, "sequential": 1}

include "chain.pxi"


def instruction_set():
    """The widest instruction set of this machine that the kernels use: "avx512", "avx2" or "plain"."""
    return INSTRUCTION_SETS[hebb_best_set()]


def build_info():
    """How the kernels were compiled: flags, compiler, Cython and numpy versions."""
    return {"flags": HEBB_FLAGS.decode(), "compiler": HEBB_COMPILER.decode(), "cython": HEBB_CYTHON.decode(),
            "numpy": np.__version__}


def logarithm(double x):
    """The kernels' own ln x (for its test against the library's)."""
    return hebb_log(x)


def thresholds(str rule, double temperature, uniforms, instruction_set=None):
    """The costs up to which proposals with these uniforms (n,) in ]0, 1[ are accepted (for the test of the rule)."""
    cdef double[::1] values = np.array(uniforms, dtype=float)
    cdef hebb_operations do = hebb_choose(hebb_best_set() if instruction_set is None
                                          else INSTRUCTION_SETS.index(instruction_set))
    do.limits(RULES[rule], temperature, &values[0], values.shape[0])
    return np.asarray(values)


cdef class OverlapKernel(SpinChain):
    """R replicas of one disorder sample.

    minus, nonzero: uint8 (N, stride) bit columns, little-endian bits over the patterns, zero beyond K; stride is a
        multiple of 8 bytes. Bit = 1 where xi = -1, and where xi != 0. nonzero is None if no entry vanishes.
    tables: an object with int32 arrays `a`, `b`, int64 `f`, float `unit`, `constant`, and int32 (K,) arrays `base`, `count`:
        pattern mu has count[mu] = n non-zero entries and its values x = -n, -n+2, ..., n start at base[mu].
        sum_mu f(x_mu) = constant + unit * sum_mu f_table; A and B as in the module's formula.
    condensed: int8 (N,), the configuration whose overlap is followed. fields: float64 (N,) or None.
    instruction_set: "avx512", "avx2", "plain", or None for the widest.
    """

    cdef double unit, constant
    cdef bint diluted
    cdef int64_t stride
    cdef hebb_tables tables
    cdef hebb_operations do
    cdef int32_t[::1] folded
    cdef int64_t folded_for
    cdef const uint8_t[:, ::1] minus, nonzero
    cdef const int32_t[::1] table_a, table_b, base, count
    cdef const int64_t[::1] table_f
    cdef int32_t[:, ::1] index, value_a, value_b
    cdef int64_t[::1] total_a, total_b, energy_
    cdef int64_t[:, ::1] cost  # of the spins whose change is known, in units

    def __init__(self, minus, int64_t n_patterns, tables, condensed, fields=None, nonzero=None, instruction_set=None):
        self.n_spins, self.stride = minus.shape
        self.n_patterns = n_patterns
        if self.stride % 8 or 8 * self.stride < n_patterns:
            raise ValueError(f"columns of {self.stride} bytes do not hold {n_patterns} patterns in 8-byte steps")
        self.minus = minus
        self.diluted = nonzero is not None
        if self.diluted:
            if nonzero.shape != minus.shape:
                raise ValueError("nonzero and minus differ in shape")
            self.nonzero = nonzero
        size = tables.a.shape[0]
        self.table_a = np.concatenate([tables.a, np.zeros(64, np.int32)])
        self.table_b = np.concatenate([tables.b, np.zeros(64, np.int32)])
        self.table_f, self.base, self.count = tables.f, tables.base, tables.count
        if self.base.shape[0] != n_patterns or self.count.shape[0] != n_patterns:
            raise ValueError("base and count need one entry per pattern")
        if int(np.max(np.add(tables.base, tables.count))) >= size:
            raise ValueError("tables are shorter than base and count promise")
        self.unit, self.constant = tables.unit, tables.constant
        largest = max(1, int(np.abs(tables.a).max()), int(np.abs(tables.b).max()))
        self.tables.n_patterns = n_patterns
        self.tables.flush = max(1, (2**31 - 1) // largest)
        single_row = bool(np.all(np.equal(tables.base, tables.base[0])))
        self.tables.window = max(0, tables.base[0] + tables.count[0] // 2 - 32) if single_row else -1
        self.tables.constant_second = bool(np.all(np.equal(tables.b, tables.b[0])))
        self.tables.table_a, self.tables.table_b = &self.table_a[0], &self.table_b[0]
        self.do = hebb_choose(self._prepare(condensed, fields, instruction_set))
        self.limits = self.do.limits
        wide = self.do.sums16 != NULL and not self.diluted and self.n_patterns >= 256 and self.tables.flush >= 32
        self.widest = 16 if wide else 8
        self.folded = np.zeros(32 * self.stride if wide else 1, np.int32)

    def load(self, spins):
        """Take the configurations spins (R, N) of +-1 and rebuild every cache. Cost O(R N K / 16)."""
        self._take(spins)
        padded = (self.n_replicas, 8 * self.stride)
        self.index = np.zeros(padded, np.int32)
        self.value_a = np.zeros(padded, np.int32)
        self.value_b = np.zeros(padded if self.diluted else (1, 1), np.int32)
        self.total_a = np.zeros(self.n_replicas, np.int64)
        self.total_b = np.zeros(self.n_replicas, np.int64)
        self.energy_ = np.zeros(self.n_replicas, np.int64)
        self.cost = np.zeros((self.n_replicas, self.n_spins), np.int64)
        self.folded_for = -1
        cdef int64_t r
        with nogil:
            for r in range(self.n_replicas):
                self._rebuild(r)

    cdef void _rebuild(self, int64_t r) noexcept nogil:
        """index = base + number of entries that agree with the spins; then caches and energy."""
        cdef int64_t i, mu, n_vectors = self.stride // 2
        cdef int32_t *index = &self.index[r, 0]
        for i in range(self.n_spins):
            if self.spins_[r, i] < 0:
                hebb_count(index, &self.minus[i, 0], n_vectors, 0)
            elif self.diluted:  # +1 entries are the non-zero ones that are not -1
                hebb_count(index, &self.nonzero[i, 0], n_vectors, 0)
                for mu in range(self.n_patterns):
                    index[mu] -= (self.minus[i, mu >> 3] >> (mu & 7)) & 1
            else:
                hebb_count(index, &self.minus[i, 0], n_vectors, 0xffff)
        self.energy_[r] = 0
        for mu in range(self.n_patterns):
            index[mu] += self.base[mu]
            self.energy_[r] += self.table_f[index[mu]]
        self._renew(r, 0, 0)

    cdef inline void _renew(self, int64_t r, int64_t i, int s) noexcept nogil:
        """Caches after the flip of a spin i that was s; s = 0 only looks the tables up."""
        self.folded_for = -1
        self.do.flip(&self.tables, &self.index[r, 0], &self.value_a[r, 0], &self.value_b[r, 0] if self.diluted else NULL,
                     &self.minus[i, 0], &self.nonzero[i, 0] if self.diluted else NULL, s, &self.total_a[r], &self.total_b[r])

    cdef void _flip(self, int64_t r, int64_t i) noexcept nogil:
        self._renew(r, i, self.spins_[r, i])
        self.energy_[r] += self.cost[r, i]

    cdef void _changes(self, int64_t r, const int64_t *sites, int n, double *change) noexcept nogil:
        """Cost O(n K / 16) vector operations."""
        cdef const uint8_t *columns[16]
        cdef int64_t minus[16]
        cdef int64_t total_a[16]
        cdef int64_t total_b[16]
        cdef int j
        for j in range(n):
            columns[j] = &self.minus[sites[j], 0]
            total_a[j], total_b[j] = self.total_a[r], self.total_b[r]
        if n == 16:
            if self.folded_for != r:
                self.do.fold(&self.value_a[r, 0], self.n_patterns, &self.folded[0])
                self.folded_for = r
            self.do.sums16(&self.folded[0], columns, self.stride, self.n_patterns, self.tables.flush, minus)
        else:
            self.do.sums(&self.value_a[r, 0], columns, n, self.n_patterns, self.tables.flush, minus)
        if self.diluted:
            for j in range(n):
                columns[j] = &self.nonzero[sites[j], 0]
            self.do.sums(&self.value_a[r, 0], columns, n, self.n_patterns, self.tables.flush, total_a)
            self.do.sums(&self.value_b[r, 0], columns, n, self.n_patterns, self.tables.flush, total_b)
        for j in range(n):
            self.cost[r, sites[j]] = total_b[j] + self.spins_[r, sites[j]] * (total_a[j] - 2 * minus[j])
            change[j] = self.unit * self.cost[r, sites[j]]

    @property
    def overlaps(self):
        """x_mu (R, K) int32, a copy."""
        self._require_loaded()
        index = np.asarray(self.index)[:, :self.n_patterns]
        return 2 * (index - np.asarray(self.base)) - np.asarray(self.count)

    @property
    def interaction(self):
        """Energies without fields (R,), tracked exactly in integers."""
        self._require_loaded()
        return self.unit * np.asarray(self.energy_) + self.constant


def bends(tables):
    """Where the potential of these tables bends: (first entry, entries, A below them) if it is one for all patterns, straight
    but for at most 4 neighbouring values of x, and flat above them; else None."""
    base, count = np.unique(tables.base), np.unique(tables.count)
    if len(base) != 1 or len(count) != 1:
        return None
    row = slice(base[0], base[0] + count[0] + 1)
    a, b = tables.a[row], tables.b[row]
    bent = np.flatnonzero((b != 0) | (a != a[0]) & (a != 0))
    if not len(bent):
        return (0, 1, 0) if not np.any(a) else None
    first, end = bent.min(), bent.max() + 1
    below = a[0] if first else 0
    fits = end - first <= HEBB_POINTS and np.all(a[:first] == below) and not np.any(a[end:])
    return (int(first), int(end - first), int(below)) if fits else None


cdef class StepKernel(SpinChain):
    """An `OverlapKernel` for tables that `bends` takes: the same chain, bit for bit, several times faster.

    Arguments as there; without zero entries. Cost of a proposal: K / 64 word operations for each value of A, of an accepted
    flip: about 10 log2(N) K / 64.
    """

    cdef double unit, constant
    cdef hebb_steps steps
    cdef hebb_step_operations do
    cdef object tables
    cdef const uint8_t[:, ::1] minus
    cdef uint64_t[::1] live
    cdef uint64_t[:, :, ::1] planes, masks
    cdef int64_t[::1] total_a, total_b, energy_
    cdef int64_t[:, ::1] cost  # of the spins whose change is known, in units

    def __init__(self, minus, int64_t n_patterns, tables, condensed, fields=None, instruction_set=None):
        found = bends(tables)
        if found is None:
            raise ValueError("tables bend at too many values")
        self.n_spins, stride = minus.shape
        self.n_patterns = n_patterns
        if stride % 8 or 8 * stride < n_patterns or len(tables.base) != n_patterns or tables.count[0] != self.n_spins:
            raise ValueError("columns, tables and patterns differ in size")
        self.tables, self.unit, self.constant = tables, tables.unit, tables.constant
        first, n_points, below = found
        self.steps.n_words = stride // 8
        self.steps.n_padded = (self.steps.n_words + HEBB_CHUNK - 1) // HEBB_CHUNK * HEBB_CHUNK
        self.steps.first, self.steps.n_points = first, n_points
        self.steps.n_planes = int(self.n_spins).bit_length()
        at = slice(tables.base[0] + first, tables.base[0] + first + n_points)
        values = sorted({below, *tables.a[at].tolist()} - {0})
        self.steps.n_masks, self.steps.below = len(values), values.index(below) if below else -1
        cdef int j
        for j in range(n_points):
            a = tables.a[at][j]
            self.steps.mask[j] = values.index(a) if a else -1
            self.steps.second[j] = tables.b[at][j]
        for j in range(len(values)):
            self.steps.weight[j] = values[j]
        self.minus = np.pad(minus, ((0, 0), (0, 8 * self.steps.n_padded - stride)))
        live = np.zeros(64 * self.steps.n_padded, bool)
        live[:n_patterns] = True
        self.live = np.packbits(live, bitorder="little").view(np.uint64)
        self.do = hebb_choose_steps(self._prepare(condensed, fields, instruction_set))
        self.limits = hebb_choose(INSTRUCTION_SETS.index(self.instruction_set)).limits
        self.widest = 8

    def load(self, spins):
        """Take the configurations spins (R, N) of +-1 and rebuild every cache. Cost O(R N K log2(N) / 64)."""
        self._take(spins)
        self.planes = np.zeros((self.n_replicas, self.steps.n_planes, self.steps.n_padded), np.uint64)
        self.masks = np.zeros((self.n_replicas, max(1, self.steps.n_masks), self.steps.n_padded), np.uint64)
        self.total_a = np.zeros(self.n_replicas, np.int64)
        self.total_b = np.zeros(self.n_replicas, np.int64)
        self.cost = np.zeros((self.n_replicas, self.n_spins), np.int64)
        cdef int64_t r, i
        with nogil:
            for r in range(self.n_replicas):
                for i in range(self.n_spins):
                    hebb_steps_count(&self.steps, &self.planes[r, 0, 0], &self.minus[i, 0], self.spins_[r, i] > 0)
                self._renew(r, 0, 0)
        self.energy_ = np.sum(self.tables.f[self.tables.base[0] + self._indices()], axis=1)

    cdef inline void _renew(self, int64_t r, int64_t i, int s) noexcept nogil:
        """Caches after the flip of a spin i that was s; s = 0: of the overlaps as they are."""
        self.do.flip(&self.steps, &self.planes[r, 0, 0], &self.masks[r, 0, 0], &self.live[0], &self.minus[i, 0], s,
                     &self.total_a[r], &self.total_b[r])

    cdef void _flip(self, int64_t r, int64_t i) noexcept nogil:
        self._renew(r, i, self.spins_[r, i])
        self.energy_[r] += self.cost[r, i]

    cdef void _changes(self, int64_t r, const int64_t *sites, int n, double *change) noexcept nogil:
        cdef const uint8_t *columns[16]
        cdef int64_t minus[16]
        cdef int j
        for j in range(n):
            columns[j] = &self.minus[sites[j], 0]
        self.do.sums(&self.steps, &self.masks[r, 0, 0], columns, n, minus)
        for j in range(n):
            self.cost[r, sites[j]] = self.total_b[r] + self.spins_[r, sites[j]] * (self.total_a[r] - 2 * minus[j])
            change[j] = self.unit * self.cost[r, sites[j]]

    def _indices(self):
        """(R, K) int32: how many entries agree with the spins."""
        planes = np.asarray(self.planes)
        index = np.zeros((self.n_replicas, self.n_patterns), np.int32)
        for k in range(self.steps.n_planes):
            bits = np.unpackbits(planes[:, k].view(np.uint8), axis=1, count=self.n_patterns, bitorder="little")
            index += bits.astype(np.int32) << k
        return index

    @property
    def overlaps(self):
        """x_mu (R, K) int32, a copy."""
        self._require_loaded()
        return 2 * self._indices() - np.int32(self.n_spins)

    @property
    def interaction(self):
        """Total energies (R,) without the field, tracked exactly in integers."""
        self._require_loaded()
        return self.unit * np.asarray(self.energy_) + self.constant
