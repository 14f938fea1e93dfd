# cython: embedsignature=True
"""Learning of the binary perceptron in field space: m = tanh(theta), and a whole epoch or trajectory without the interpreter.

    L = -sum_mu ln Phi(u_mu) + kl D(m||m') ,    u_mu = xi_mu.m / sqrt(S) ,    S = sum_i (1 - m_i^2) ,    xi = y x
    dL/dtheta_i = (1 - m_i^2) { kl (theta_i - theta'_i) - sum_mu h(u_mu) [xi_mu,i / sqrt(S) + u_mu m_i / S] }

h = phi/Phi, the inverse Mills ratio, and ln Phi are accurate at any u. D is the divergence of the independent binary weights
with means m from those with m' = tanh(theta'). Cost of a gradient over B examples: 2 B N/8 vector additions and about 60
vector operations per eight spins. The numbers are the same on every instruction set.
"""

import numpy as np

from .overlap import INSTRUCTION_SETS

from cpython.pycapsule cimport PyCapsule_GetPointer
from cython_kernels.bitgen cimport bitgen_t, draw, hebb_site
from libc.stdint cimport int32_t, int64_t, uint8_t


cdef extern from "field_simd.h" nogil:
    ctypedef struct hebb_field:
        int64_t n_spins, n_padded, stride
        const uint8_t *minus
        double *theta
        double *m
        double *sigma
        double *spread
        const double *prior
    ctypedef struct hebb_optimizer:
        double rate, decay, momentum, eps, first, second, first_power, second_power
        double *speed
        double *square
    ctypedef struct hebb_field_operations:
        double (*forward)(hebb_field *, const int32_t *, int64_t, int) noexcept nogil
        void (*gradient)(const hebb_field *, double, double *) noexcept nogil
        void (*sgd)(const hebb_field *, double, hebb_optimizer *) noexcept nogil
        void (*adam)(const hebb_field *, double, hebb_optimizer *) noexcept nogil
        void (*kick)(const hebb_field *, double, double, double, double *) noexcept nogil
        void (*drift)(const hebb_field *, double, const double *) noexcept nogil
        void (*sites)(const hebb_field *, double *, double *) noexcept nogil
        void (*overlaps)(const hebb_field *, const double *, int64_t, double *) noexcept nogil
        void (*mills)(const double *, int64_t, double *, double *) noexcept nogil
    hebb_field_operations hebb_field_choose(int)

cdef extern from "instruction_sets.h" nogil:
    int hebb_best_set()

OPTIMIZERS = ("sgd", "adam")


cdef class FieldKernel:
    """The examples of one task.

    minus: uint8 (M, stride), one bit for each column, set where y x_i = -1, least significant bit first; stride is a
        multiple of 8 bytes and bits beyond n_spins are 0. instruction_set: "avx512", "avx2", "plain", or None for the widest.
    Memory: M stride bytes, and 72 per spin for work. One thread at a time.
    """

    cdef readonly int64_t n_spins, n_examples
    cdef readonly str instruction_set
    cdef const uint8_t[:, ::1] minus
    cdef hebb_field field
    cdef hebb_field_operations do
    cdef double[:, ::1] work
    cdef int32_t[::1] order

    def __init__(self, minus, int64_t n_spins, instruction_set=None):
        self.minus = np.ascontiguousarray(minus, np.uint8)
        self.n_spins, self.n_examples = n_spins, self.minus.shape[0]
        stride = self.minus.shape[1]
        if stride % 8 or not 1 <= n_spins <= 8 * stride or not 1 <= self.n_examples < 2**31:
            raise ValueError(f"rows of {stride} bytes (a multiple of 8) do not hold {n_spins} spins, or there are none")
        if np.any(np.unpackbits(np.asarray(self.minus)[:, n_spins // 8:], axis=1, bitorder="little")[:, n_spins % 8:]):
            raise ValueError("bits beyond the last spin must be 0")
        best = hebb_best_set()
        chosen = best if instruction_set is None else INSTRUCTION_SETS.index(instruction_set)
        if chosen > best:
            raise ValueError(f"this machine has no {instruction_set}; its widest set is {INSTRUCTION_SETS[best]}")
        self.instruction_set = INSTRUCTION_SETS[chosen]
        self.do = hebb_field_choose(chosen)
        self.work = np.zeros((8, 8 * stride))
        self.order = np.zeros(self.n_examples, np.int32)
        self.field.n_spins, self.field.n_padded, self.field.stride = n_spins, 8 * stride, stride
        self.field.minus = &self.minus[0, 0]
        self.field.theta, self.field.m, self.field.sigma = &self.work[0, 0], &self.work[1, 0], &self.work[2, 0]
        self.field.spread, self.field.prior = &self.work[3, 0], &self.work[4, 0]

    def _take(self, int64_t row, values):
        """Put (N,) values, zeros for None, into a row of the padded arrays."""
        cdef double[::1] into = self.work[row]
        cdef const double[::1] given
        into[:] = 0.0
        if values is None:
            return
        given = np.ascontiguousarray(values, float)
        if given.shape[0] != self.n_spins:
            raise ValueError(f"{given.shape[0]} values for {self.n_spins} spins")
        into[:self.n_spins] = given

    def _give(self, int64_t row, array):
        array[:] = np.asarray(self.work[row, :self.n_spins])

    def loss(self, theta):
        """-sum_mu ln Phi(u_mu) over all examples."""
        self._take(0, theta)
        cdef double value
        with nogil:
            value = self.do.forward(&self.field, NULL, self.n_examples, 1)
        return value

    def gradient(self, theta, reference=None, double kl=0.0):
        """dL/dtheta (N,) over all examples; reference: theta' (N,), None for 0."""
        self._take(0, theta)
        self._take(4, reference)
        with nogil:
            self.do.forward(&self.field, NULL, self.n_examples, 0)
            self.do.gradient(&self.field, kl, &self.work[5, 0])
        return np.array(self.work[5, :self.n_spins])

    def divergence(self, theta, reference=None):
        """D(m||m'), in total."""
        self._take(0, theta)
        self._take(4, reference)
        cdef double divergence, unused
        with nogil:
            self.do.forward(&self.field, NULL, 0, 0)
            self.do.sites(&self.field, &divergence, &unused)
        return divergence

    def overlaps(self, vector):
        """xi.v (M,) of all examples with v (N,)."""
        self._take(0, vector)
        out = np.empty(self.n_examples)
        cdef double[::1] into = out
        with nogil:
            self.do.overlaps(&self.field, &self.work[0, 0], self.n_examples, &into[0])
        return out

    def train(self, double[::1] theta, double[:, ::1] state, str optimizer, int64_t epochs, *, double learning_rate,
              double momentum=0.9, double weight_decay=0.0, int64_t batch_size=0, reference=None, double kl=0.0,
              double[::1] powers=None, generator=None):
        """Epochs of gradient descent, in place.

        sgd:  v = momentum v + learning_rate g,  theta -= v           + learning_rate weight_decay theta
        adam: theta -= learning_rate s/(sqrt(w) + 1e-8)               + learning_rate weight_decay theta ,
              s, w the bias-corrected running means of g and g^2 (0.9, 0.999)

        g is summed, not averaged, over the batch, and a batch of B of the M examples has B/M of the divergence.
        state (2, N): v and nothing, or both moments; powers (2,): 0.9^t and 0.999^t of "adam" (1 at the beginning).
        batch_size: 0 for all examples in one batch; otherwise every epoch visits them in an order of its own, drawn in words
        from generator, the last batch being what is left.
        """
        if optimizer not in OPTIMIZERS:
            raise ValueError(f"optimizer = {optimizer!r} is not one of {', '.join(OPTIMIZERS)}")
        if not 0 <= batch_size <= self.n_examples or state.shape[0] != 2 or (batch_size and generator is None):
            raise ValueError("batches are of 0 to M examples and, but for 0, need a generator; state is (2, N)")
        cdef bint adam = optimizer == "adam"
        cdef hebb_optimizer o
        cdef bitgen_t *bitgen = NULL
        o.rate, o.decay, o.momentum, o.eps, o.first, o.second = learning_rate, weight_decay, momentum, 1e-8, 0.9, 0.999
        o.first_power = o.second_power = 1.0
        if adam:
            o.first_power, o.second_power = powers[0], powers[1]
        self._take(0, theta)
        self._take(4, reference)
        self._take(5, state[0])
        self._take(6, state[1])
        o.speed, o.square = &self.work[5, 0], &self.work[6, 0]
        if batch_size:
            bitgen = <bitgen_t *>PyCapsule_GetPointer(generator.bit_generator.capsule, "BitGenerator")
            with generator.bit_generator.lock, nogil:
                self._epochs(epochs, batch_size, kl, adam, &o, bitgen)
        else:
            with nogil:
                self._epochs(epochs, self.n_examples, kl, adam, &o, NULL)
        self._give(0, theta)
        self._give(5, state[0])
        self._give(6, state[1])
        if adam:
            powers[0], powers[1] = o.first_power, o.second_power

    cdef void _epochs(self, int64_t epochs, int64_t batch, double kl, bint adam, hebb_optimizer *o,
                      bitgen_t *bitgen) noexcept nogil:
        cdef int64_t _, first, count, j, k
        cdef int32_t *order = &self.order[0]
        cdef int32_t kept
        cdef double unused, share
        for _ in range(epochs):
            if bitgen != NULL:
                for j in range(self.n_examples):
                    order[j] = <int32_t>j
                for j in range(self.n_examples - 1, 0, -1):
                    k = hebb_site(draw(bitgen), j + 1, &unused)
                    kept = order[j]
                    order[j] = order[k]
                    order[k] = kept
            first = 0
            while first < self.n_examples:
                count = min(batch, self.n_examples - first)
                self.do.forward(&self.field, order + first if bitgen != NULL else NULL, count, 0)
                share = kl * count / self.n_examples
                if adam:
                    self.do.adam(&self.field, share, o)
                else:
                    self.do.sgd(&self.field, share, o)
                first += count

    def trajectory(self, double[::1] theta, double[::1] momentum, double beta, int64_t steps, double step, reference=None,
                   double kl=0.0):
        """A leapfrog trajectory of the Hamiltonian p^2/2 + U, in place, and how much it changed (0 but for the step).

        U = beta L(m) - sum ln(1 - m^2): e^-U dtheta is e^(-beta L) dm, the flat measure in m. momentum: p (N,).
        """
        self._take(0, theta)
        self._take(4, reference)
        self._take(5, momentum)
        cdef double before, after
        cdef int64_t k
        with nogil:
            before = self._energy(beta, kl)
            self.do.kick(&self.field, beta, kl, 0.5 * step, &self.work[5, 0])
            for k in range(steps):
                self.do.drift(&self.field, step, &self.work[5, 0])
                if k < steps - 1:
                    self.do.forward(&self.field, NULL, self.n_examples, 0)
                    self.do.kick(&self.field, beta, kl, step, &self.work[5, 0])
            after = self._energy(beta, kl)
            self.do.kick(&self.field, beta, kl, 0.5 * step, &self.work[5, 0])
        cdef double kinetic = 0.0
        for k in range(self.n_spins):
            kinetic += self.work[5, k] * self.work[5, k] - momentum[k] * momentum[k]
        self._give(0, theta)
        self._give(5, momentum)
        return after - before + 0.5 * kinetic

    cdef double _energy(self, double beta, double kl) noexcept nogil:
        """U, which leaves behind what `kick` needs."""
        cdef double loss = self.do.forward(&self.field, NULL, self.n_examples, 1), divergence, log_2cosh
        self.do.sites(&self.field, &divergence, &log_2cosh)
        return beta * (loss + kl * divergence) + 2 * log_2cosh

    def mills(self, u):
        """h(u) and ln Phi(u) as computed here (for tests)."""
        cdef const double[::1] given = np.ascontiguousarray(u, float)
        h, log_normal = np.empty(given.shape[0]), np.empty(given.shape[0])
        cdef double[::1] one = h, two = log_normal
        if given.shape[0]:
            with nogil:
                self.do.mills(&given[0], given.shape[0], &one[0], &two[0])
        return h, log_normal
