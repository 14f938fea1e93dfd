# The chain that every kernel runs, included at the top of its module: only caches and costs differ between kernels.

cdef enum:
    BATCH = 64


cdef class SpinChain:
    """R replicas of N spins under sequential single-spin flips; kernels say what a flip costs.

    `condensed` is the configuration (N,) of -1, 0, +1 whose overlap with the spins is followed.
    """

    cdef readonly int64_t n_spins, n_patterns, n_replicas, proposed
    cdef readonly str instruction_set
    cdef bint has_fields
    cdef int widest
    cdef const double[::1] fields
    cdef double[::1] field_scale_
    cdef const int8_t[::1] condensed
    cdef int8_t[:, ::1] spins_
    cdef int64_t[::1] overlap, lowest, accepted_, version  # version counts flips: change[r, i] holds if known[r, i] equals it
    cdef int64_t[:, ::1] known
    cdef double[:, ::1] change
    cdef void (*limits)(int, double, double *, int) noexcept nogil

    cdef void _changes(self, int64_t r, const int64_t *sites, int n, double *change) noexcept nogil:
        """change[j] = dE of flipping sites[j], without the field, for n = 1, 2, 4, ... up to `widest`."""

    cdef void _flip(self, int64_t r, int64_t i) noexcept nogil:
        """Caches after the flip of spin i, whose change is known; spins_ still holds its old sign."""

    def _prepare(self, condensed, fields, instruction_set):
        """Check and keep what every chain needs; returns the number of the instruction set."""
        self.condensed = np.ascontiguousarray(condensed, dtype=np.int8)
        self.has_fields = fields is not None and bool(np.any(fields))
        self.fields = np.zeros(self.n_spins) if fields is None else np.ascontiguousarray(fields, dtype=float)
        if self.fields.shape[0] != self.n_spins or self.condensed.shape[0] != self.n_spins:
            raise ValueError("fields and the condensed configuration need one entry per spin")
        best = hebb_best_set()
        chosen = best if instruction_set is None else INSTRUCTION_SETS.index(instruction_set)
        if chosen > best:
            raise ValueError(f"this machine has no {instruction_set}; its widest set is {INSTRUCTION_SETS[best]}")
        self.instruction_set = INSTRUCTION_SETS[chosen]
        return chosen

    def _take(self, spins):
        """Check and keep the configurations; counters start anew."""
        spins = np.array(spins, ndmin=2)
        if spins.ndim != 2 or not len(spins) or spins.shape[1] != self.n_spins or not np.all((spins == 1) | (spins == -1)):
            raise ValueError(f"spins must be +-1 of shape (R, {self.n_spins})")
        self.spins_ = np.ascontiguousarray(spins, dtype=np.int8)
        self.n_replicas = spins.shape[0]
        self.field_scale_ = np.ones(self.n_replicas)
        self.overlap = np.asarray(self.spins_).astype(np.int64) @ np.asarray(self.condensed)
        self.lowest = np.abs(self.overlap)
        self.accepted_ = np.zeros(self.n_replicas, np.int64)
        self.proposed = 0
        self.version = np.ones(self.n_replicas, np.int64)
        self.known = np.zeros(spins.shape, np.int64)
        self.change = np.zeros(spins.shape)

    cdef void _sweep(self, int64_t r, double temperature, int rule, int order, bitgen_t *bitgen) noexcept nogil:
        """N proposals, drawn in batches and decided in order. The costs that the next proposals will need are computed
        together, 1, 2, 4, 8 or 16 at once, and remembered until a flip is accepted. How many follows the acceptances and
        never changes the chain."""
        cdef int64_t sites[BATCH]
        cdef int64_t unknown[16]
        cdef double limit[BATCH]
        cdef double change[16]
        cdef int64_t start, number, i, version = self.version[r]
        cdef int64_t *known = &self.known[r, 0]
        cdef double *remembered = &self.change[r, 0]
        cdef int8_t *spins = &self.spins_[r, 0]
        cdef int batch, at, ahead, width = min(8, self.widest), n, size, first, j
        cdef double cost, twice = 2 * self.field_scale_[r]
        cdef bint taken
        for number in range((self.n_spins + BATCH - 1) // BATCH):
            start = number * BATCH
            batch = <int>min(BATCH, self.n_spins - start)
            for j in range(batch):
                if order == 0:
                    sites[j] = hebb_site(draw(bitgen), self.n_spins, &limit[j])
                else:
                    sites[j] = start + j
                    limit[j] = hebb_uniform(draw(bitgen))
            self.limits(rule, temperature, limit, batch)
            at = ahead = 0
            while at < batch:
                n, taken = 0, False
                while ahead < batch:
                    i = sites[ahead]
                    if known[i] != version:
                        if n == width:
                            break
                        known[i] = version
                        unknown[n] = i
                        n += 1
                    ahead += 1
                first, size = 0, width
                while first < n:
                    while size > n - first:
                        size >>= 1
                    self._changes(r, &unknown[first], size, change)
                    for j in range(size):
                        remembered[unknown[first + j]] = change[j]
                    first += size
                while at < ahead:
                    i = sites[at]
                    cost = remembered[i]
                    if self.has_fields:
                        cost += twice * self.fields[i] * spins[i]
                    at += 1
                    if cost <= limit[at - 1]:
                        self._flip(r, i)
                        self.overlap[r] -= 2 * spins[i] * self.condensed[i]
                        spins[i] = -spins[i]
                        self.accepted_[r] += 1
                        self.lowest[r] = min(self.lowest[r], llabs(self.overlap[r]))
                        version += 1
                        ahead = at
                        taken = True
                width = max(1, width >> 1) if taken else min(self.widest, width << 1)
        self.version[r] = version

    def sweep(self, int64_t n_sweeps, temperature, generators, str rule="metropolis", str order="random"):
        """n_sweeps sweeps of N proposals of every replica.

        temperature: scalar or (R,), >= 0. generators: one numpy Generator per replica. rule: "metropolis" or "glauber".
        order: "random" sites or "sequential". Cost: N K / (16 * lanes at once) vector operations per sweep and replica.
        """
        self._run(n_sweeps, 0, None, temperature, generators, rule, order)

    def sample(self, int64_t n_samples, int64_t thin, temperature, generators, str rule="metropolis", str order="random"):
        """Configurations (n_samples, R, N) int8, one every thin sweeps. Arguments as in `sweep`."""
        out = np.empty((max(0, n_samples), self.n_replicas, self.n_spins), np.int8)
        self._run(n_samples * thin, thin, out, temperature, generators, rule, order)
        return out

    def _require_loaded(self):
        if self.n_replicas == 0:
            raise ValueError("load configurations first")

    def _run(self, int64_t n_sweeps, int64_t thin, out, temperature, generators, str rule, str order):
        self._require_loaded()
        if n_sweeps < 0 or (out is not None and thin < 1):
            raise ValueError(f"{n_sweeps} sweeps, one sample every {thin}: neither may be negative, thin not 0")
        cdef int rule_ = RULES[rule], order_ = ORDERS[order]
        cdef double[::1] temperatures = np.full(self.n_replicas, temperature, float)
        if len(generators) != self.n_replicas:
            raise ValueError(f"{len(generators)} generators for {self.n_replicas} replicas")
        if not np.all(np.greater_equal(temperatures, 0)):
            raise ValueError(f"temperature = {temperature} is not a number >= 0")
        cdef int8_t[:, :, ::1] record
        cdef bint recording = out is not None
        if recording:
            record = out
        cdef int64_t r, sweep, sample
        cdef bitgen_t *bitgen
        with ExitStack() as locks:
            for generator in generators:
                locks.enter_context(generator.bit_generator.lock)
            for r in range(self.n_replicas):
                bitgen = <bitgen_t *>PyCapsule_GetPointer(generators[r].bit_generator.capsule, "BitGenerator")
                with nogil:
                    for sweep in range(n_sweeps):
                        self._sweep(r, temperatures[r], rule_, order_, bitgen)
                        if recording and (sweep + 1) % thin == 0:
                            sample = (sweep + 1) // thin - 1
                            record[sample, r, :] = self.spins_[r, :]
        self.proposed += n_sweeps * self.n_spins

    @property
    def spins(self):
        """(R, N) int8, a copy."""
        self._require_loaded()
        return np.array(self.spins_)

    @property
    def field_scale(self):
        """(R,) factors of the fields, one per replica: 1 after `load`."""
        self._require_loaded()
        return np.array(self.field_scale_)

    @field_scale.setter
    def field_scale(self, values):
        self._require_loaded()
        self.field_scale_ = np.full(self.n_replicas, values, float)

    @property
    def energy(self):
        """Total energies (R,): `interaction` and the field's part, which is summed afresh."""
        energy = self.interaction
        if self.has_fields:
            energy = energy - np.asarray(self.field_scale_) * (np.asarray(self.spins_) @ np.asarray(self.fields))
        return energy

    @property
    def first_overlap(self):
        """The overlap (R,) int64 with the condensed configuration (not divided by N)."""
        self._require_loaded()
        return np.array(self.overlap)

    @property
    def lowest_overlap(self):
        """The lowest |overlap| (R,) with the condensed configuration met at any accepted flip since `load`."""
        self._require_loaded()
        return np.array(self.lowest)

    @property
    def accepted(self):
        """Accepted flips (R,) since `load`; divide by `proposed`."""
        self._require_loaded()
        return np.array(self.accepted_)

    def costs(self, int64_t replica):
        """dE (N,) of flipping each spin of one replica, as the kernel computes it (for tests)."""
        cdef double change
        cdef int64_t i
        self._require_loaded()
        if not 0 <= replica < self.n_replicas:
            raise ValueError(f"replica {replica} is not one of {self.n_replicas}")
        out = np.empty(self.n_spins)
        for i in range(self.n_spins):
            self._changes(replica, &i, 1, &change)
            out[i] = change + 2 * self.field_scale_[replica] * self.fields[i] * self.spins_[replica, i]
        return out
