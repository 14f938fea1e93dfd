"""A temperature ladder: R replicas of one model on one disorder sample, each at all temperatures at once, with replica exchange
(parallel tempering; Hukushima and Nemoto, J. Phys. Soc. Jpn. 65, 1604 (1996)).

A replica is a ladder of L configurations, one at each temperature. Between sweeps neighbours a, b offer each other their
configurations, accepted with probability min(1, exp[(beta_a - beta_b)(E_a - E_b)]), which keeps the product of the Boltzmann
laws: each temperature has its own law exactly, and cold configurations cross barriers by way of the hot ones. Pairs
alternate, (0,1), (2,3), ... and (1,2), (3,4), ...; energies are total ones, fields included, but for the coupling of a
`models.SecondTask`, whose weight is the same at every temperature and cancels. It is temperatures that move: no
configuration is copied, and each has its own stream of proposals for ever. Replicas never exchange with each other, so
that q stays the overlap of two independent ones.
"""

from __future__ import annotations

import numpy as np

from ..errors import ParameterError
from ..models.base import Instance, Model, kernel_module
from ..params import check_integer, check_real, digest, shown
from ..streams import Purpose, generator, go_on, positions
from .chain import Chain
from .options import SpinBySpin

__all__ = ["Ladder"]

_RULES = ("metropolis", "glauber")
_COLD, _HOT = 1, 2  # which end of the ladder a configuration has seen last; 0: neither yet
_LOST_BELOW = 0.5


class Ladder(SpinBySpin):
    """R ladders on one disorder sample, used like a `Chain`; whatever is measured has the temperatures, coldest first, as its
    first axis.

    temperature: at least two different ones > 0, in any order. dynamics: "metropolis" or "glauber".
    exchange_every: sweeps between exchanges of neighbours (default 1). Otherwise as in `Chain`.
    seed, point: the stream of exchanges is keyed by (seed, point, disorder sample, replica), point being the digest of model
        and all temperatures; starts and proposals are those of the chains at single temperatures, which a ladder without an
        accepted exchange equals bit for bit.
    Raises ParameterError. Cost of one sweep: L R N K spin-pattern pairs; of an exchange, about 50 us.
    """

    def __init__(self, instance: Instance, temperature, replicas: int = 2, start="planted", corruption=None,
                 dynamics: str = "metropolis", order: str = "random", seed: int = 0, point: str | None = None,
                 exchange_every: int | None = None, **options):
        self.check(instance.model, temperature=temperature, replicas=replicas, start=start, corruption=corruption,
                   dynamics=dynamics, order=order, seed=seed, exchange_every=exchange_every, **options)
        self.instance = instance
        self.temperature = np.sort(np.array(temperature, dtype=float))
        self.exchange_every = exchange_every or 1
        self.rule, self.order = dynamics, order
        n_rungs, parameters = len(self.temperature), instance.model.parameters()
        points = [digest({**parameters, "temperature": value}) for value in self.temperature.tolist()]
        point = point or digest({**parameters, "temperature": self.temperature.tolist()})
        # At T = 1, whose fields are the scale of those that follow the temperature: all else is the same at every temperature.
        chain = Chain(instance, 1.0, replicas, start, corruption, dynamics, order, seed, points[0], **options)
        self.kernel, self.planted, self.observer = chain.kernel, chain.planted, chain.observer
        self.kernel.load(np.tile(chain.spins, (n_rungs, 1)))
        self._generators = [generator(seed, Purpose.DYNAMICS, name, instance.disorder, r)
                            for name in points for r in range(replicas)]
        self._exchanges = [generator(seed, Purpose.EXCHANGE, point, instance.disorder, r) for r in range(replicas)]
        self._watched = self.observer.follows_start and isinstance(start, str) and start == "planted"
        self.sweeps_done = 0
        self._at = np.arange(n_rungs * replicas).reshape(n_rungs, replicas)  # the configuration on each rung of each replica
        self._flips = np.zeros(n_rungs, np.int64)
        self._counted = np.zeros(n_rungs * replicas, np.int64)  # accepted flips that _flips has
        self._lost = np.zeros(n_rungs, bool)
        self._offered = np.zeros(n_rungs - 1, np.int64)
        self._taken = np.zeros(n_rungs - 1, np.int64)
        self._last_end = np.zeros(n_rungs * replicas, np.int64)
        self._been_cold = np.zeros(n_rungs * replicas, bool)
        self._trips = np.zeros(replicas, np.int64)
        self._coming = np.zeros((2, n_rungs), np.int64)  # from the cold end, from the hot one
        self._mark_ends()

    @staticmethod
    def check(model: Model, *, temperature, replicas=2, start="planted", corruption=None, dynamics="metropolis",
              order="random", seed=0, exchange_every=None, **options) -> None:
        """Raise ParameterError for settings no ladder of this model can have. Nothing is drawn."""
        if dynamics not in _RULES:
            raise ParameterError(f"dynamics = {shown(dynamics)} with tempering = true: exchanges are those of spin flips at "
                                 "temperatures > 0; use 'metropolis' or 'glauber', or leave tempering out")
        temperatures = [check_real("temperature", value, 0.0, open_low=True, remedy="a ladder has temperatures > 0 only")
                        for value in np.atleast_1d(np.asarray(temperature, dtype=object))]
        if len(set(temperatures)) < max(2, len(temperatures)):
            raise ParameterError(f"temperature = {shown(temperature)} with tempering = true: a ladder needs at least two "
                                 "temperatures, all different; add some, or leave tempering out")
        if exchange_every is not None:
            check_integer("exchange_every", exchange_every, 1)
        if getattr(model, "follows_temperature", False) and model.reference is None:
            raise ParameterError("reference = 'sample' with tempering = true: every temperature would have a reference of its "
                                 "own, and exchanges need one for all; give an array")
        for value in temperatures:
            Chain.check(model, temperature=value, replicas=replicas, start=start, corruption=corruption, dynamics=dynamics,
                        order=order, seed=seed, **options)

    @staticmethod
    def numbers(model: Model, replicas: int, start) -> int:
        """How many numbers one measurement takes at each temperature."""
        return Chain.numbers(model, replicas, start)

    def advance(self, n_sweeps: int) -> None:
        """n_sweeps sweeps of N proposals of every configuration, with an exchange after every `exchange_every`-th sweep."""
        end = self.sweeps_done + n_sweeps
        while self.sweeps_done < end:
            sweeps = min(end - self.sweeps_done, self.exchange_every - self.sweeps_done % self.exchange_every)
            temperatures = np.empty(self._at.size)
            temperatures[self._at] = self.temperature[:, None]
            if self.instance.model.follows_temperature:
                self.kernel.field_scale = temperatures
            self.kernel.sweep(sweeps, temperatures, self._generators, self.rule, self.order)
            self.sweeps_done += sweeps
            accepted = self.kernel.accepted
            self._flips += (accepted - self._counted)[self._at].sum(axis=1)
            self._counted = accepted
            if self.sweeps_done % self.exchange_every == 0:
                if self._watched:
                    overlap = np.abs(self.kernel.first_overlap)[self._at]
                    self._lost |= np.any(overlap < _LOST_BELOW * np.count_nonzero(self.planted), axis=1)
                self._exchange()
                self._mark_ends()

    def _exchange(self) -> None:
        """Offer every second pair of neighbours an exchange; a Metropolis proposal of cost -(beta_a - beta_b)(E_a - E_b)."""
        pairs = len(self._offered)
        lower = np.arange((self.sweeps_done // self.exchange_every) % min(2, pairs), pairs, 2)
        total = self.kernel.interaction if self.instance.model.follows_temperature else self.kernel.energy
        energy, beta = total[self._at], 1 / self.temperature
        cost = (beta[lower + 1] - beta[lower])[:, None] * (energy[lower] - energy[lower + 1])
        words = np.array([stream.bit_generator.random_raw(len(lower)) for stream in self._exchanges]).T
        uniforms = ((words >> np.uint64(12)).astype(float) + 0.5) * 2.0**-52
        limits = kernel_module().thresholds("metropolis", 1.0, uniforms.ravel()).reshape(cost.shape)
        taken = cost <= limits
        below, above = self._at[lower], self._at[lower + 1]
        self._at[lower], self._at[lower + 1] = np.where(taken, above, below), np.where(taken, below, above)
        self._offered[lower] += cost.shape[1]
        self._taken[lower] += taken.sum(axis=1)

    def _mark_ends(self) -> None:
        """Follow the configurations between the coldest and the hottest temperature."""
        cold, hot = self._at[0], self._at[-1]
        self._trips += self._been_cold[cold] & (self._last_end[cold] == _HOT)
        self._been_cold[cold] = True
        self._last_end[cold], self._last_end[hot] = _COLD, _HOT
        coming = self._last_end[self._at]
        self._coming += np.array([np.sum(coming == end, axis=1) for end in (_COLD, _HOT)])

    def measure(self) -> dict[str, np.ndarray]:
        """The observables of the present configurations, those of `Chain.measure` with a leading axis (L,)."""
        seen: dict[str, np.ndarray] = {}
        rungs = [self.observer.measure(_Rung(self.kernel, rows, seen)) for rows in self._at]
        return {name: np.array([rung[name] for rung in rungs]) for name in rungs[0]}

    @property
    def spins(self) -> np.ndarray:
        """(L, R, N) int8."""
        return self.kernel.spins[self._at]

    @property
    def lost(self) -> bool:
        """Whether, from a planted start, |m| fell under half of its planted value at any temperature; see `rungs`."""
        return bool(self._lost.any())

    @property
    def acceptance(self) -> float:
        """Accepted share of all proposals of flips so far."""
        return float(self._acceptance.mean())

    @property
    def _acceptance(self) -> np.ndarray:
        return self._flips / max(1, self.sweeps_done * self.instance.n_spins * self._at.shape[1])

    @property
    def rungs(self) -> dict[str, np.ndarray]:
        """What is known of each temperature (L,), burn-in included.

        lost: whether, from a planted start, a configuration was there at an exchange with |m| under half of its planted value.
        acceptance: that of flips. exchange_acceptance: accepted share of the exchanges with the next higher temperature, nan
        at the highest. round_trips: how often a replica's configurations went from the lowest temperature to the highest
        and back, the mean over replicas, the same at every temperature. flow: of the configurations that have seen an end of
        the ladder, the share that saw the cold one last: 1 at the lowest, 0 at the highest, steep where the ladder is slow
        (Katzgraber and others, J. Stat. Mech. P03018 (2006)).
        """
        with np.errstate(invalid="ignore"):
            exchanged = np.append(self._taken / self._offered, np.nan)
            flow = self._coming[0] / self._coming.sum(axis=0)
        return {"lost": self._lost.copy(), "acceptance": self._acceptance, "exchange_acceptance": exchanged,
                "round_trips": np.full(len(flow), self._trips.mean()), "flow": flow}

    def snapshot(self) -> dict[str, np.ndarray]:
        """Everything needed to go on bit for bit, as plain arrays."""
        return {"spins": self.kernel.spins, "streams": positions(self._generators),
                "exchange_streams": positions(self._exchanges), "sweeps_done": np.array(self.sweeps_done),
                **{name: getattr(self, f"_{name}").copy() for name in _COUNTERS}}

    def restore(self, snapshot: dict[str, np.ndarray]) -> None:
        """Go back to a snapshot of a ladder with the same settings."""
        go_on(self._generators, snapshot["streams"])
        go_on(self._exchanges, snapshot["exchange_streams"])
        self.kernel.load(snapshot["spins"])
        self.sweeps_done = int(snapshot["sweeps_done"])
        for name in _COUNTERS:
            setattr(self, f"_{name}", np.array(snapshot[name]))
        self._counted = self.kernel.accepted


_COUNTERS = ("at", "flips", "lost", "offered", "taken", "last_end", "been_cold", "trips", "coming")


class _Rung:
    """The configurations of one temperature, as observers see a kernel. seen: the kernel's arrays, each computed once."""

    def __init__(self, kernel, rows: np.ndarray, seen: dict[str, np.ndarray]):
        self._kernel, self._rows, self._seen = kernel, rows, seen

    def __getattr__(self, name: str) -> np.ndarray:
        if name not in self._seen:
            self._seen[name] = getattr(self._kernel, name)
        return self._seen[name][self._rows]
