"""Chains of class magnetisations of multitasking networks (`hebb.models.classes`, `hebb.kernels.lumped`).

"lumped"  Metropolis or Glauber flips in random order: the exact projection of the spin-by-spin chain on the classes. Same
    kinetics, same law; about 20 ns per flip at any N, N flips per sweep.
"hubbard_stratonovich"  all spins given a Gaussian field and the field given the spins: the same Boltzmann law, other kinetics,
    at a cost per sweep that does not depend on N (about a microsecond at K = 3).

Both draw the classes alone, not the spins, and take n_spins up to 1e15.
"""

from __future__ import annotations

import itertools
import math
from typing import ClassVar

import numpy as np

from ..errors import ParameterError
from ..models.base import Instance, Model
from ..models.classes import Classes
from ..models.multitask import Multitask
from ..params import check_choice, check_integer, check_real, digest
from ..streams import Purpose, generator, go_on, positions
from ..vocabulary import STARTS
from .observables import MultitaskObserver, of_rows
from .options import refuse_options
from .starts import check_start, entries_of_state

__all__ = ["GibbsChain", "LumpedChain"]

_STARTS = tuple(name for name in Multitask.starts if name != "example")  # fresh examples would tell the spins of a class apart

_PIECE = 2**24  # flips at once: an interrupt is heard after each piece


class _ClassChain:
    """What both chains have in common; used like a `Chain`."""

    name: ClassVar[str]
    lost = False  # not followed: overlaps are seen at measurements only

    def __init__(self, instance: Classes | Instance, temperature: float, replicas: int = 2, start="planted", corruption=None,
                 dynamics: str | None = None, order: str = "random", seed: int = 0, point: str | None = None,
                 rule: str | None = None, **options):
        model = instance.model
        classes = instance if isinstance(instance, Classes) else None
        known_sites = not isinstance(start, str) and (classes is None or classes.site_class is not None)
        self.check(model, temperature=temperature, replicas=replicas, start="random" if known_sites else start,
                   corruption=None if known_sites else corruption, dynamics=dynamics or self.name, order=order, seed=seed,
                   rule=rule, **options)
        if known_sites:
            check_start(model, start, corruption, replicas)
        self.instance = classes or Classes.of(instance)
        self.temperature, self.rule = float(temperature), rule or "metropolis"
        point = point or digest({**model.parameters(), "temperature": self.temperature})
        disorder = self.instance.disorder
        self._generators = [generator(seed, Purpose.DYNAMICS, point, disorder, r) for r in range(replicas)]
        streams = [generator(seed, Purpose.START, model.disorder_key, disorder, r) for r in range(replicas)]
        self.kernel = self.instance.kernel()
        if isinstance(start, str):
            self.kernel.load([_starting(self.instance, start, corruption, stream) for stream in streams])
        else:
            self.kernel.load(self.instance.up(np.broadcast_to(np.asarray(start), (replicas, model.n_spins))))
        self.sweeps_done = 0

    #: The disorder sample that these chains run on, without drawing its spins.
    draw = staticmethod(Classes.draw)

    @classmethod
    def check(cls, model: Model, *, temperature, replicas=2, start="planted", corruption=None, dynamics=None, order="random",
              seed=0, rule=None, **options) -> None:
        """Raise ParameterError for settings no chain of this model can have. Nothing is drawn."""
        check_choice("dynamics", dynamics or cls.name, (cls.name,))
        if not isinstance(model, Multitask):
            raise ParameterError(f"dynamics = {cls.name!r} exists for multitasking networks, not for {type(model).__name__}; "
                                 "use 'metropolis' or 'glauber'")
        refuse_options(cls.name, options)
        if order != "random":
            raise ParameterError(f"order = {order!r} has no meaning with dynamics = {cls.name!r}, whose classes keep no order "
                                 "of spins; leave it out")
        check_integer("seed", seed, 0)
        check_integer("replicas", replicas, 1, 1024)
        cls._check_rule(rule, temperature)
        Classes.check(model)
        if not isinstance(start, str) and model.array is None:
            raise ParameterError(f"start = an array with dynamics = {cls.name!r}: the classes of a random sample have no "
                                 f"sites; give one of {', '.join(_STARTS)}, or the patterns")
        if isinstance(start, str):
            check_choice("start", start, _STARTS, STARTS)
        check_start(model, start, corruption, replicas)
        entry = model.law.n_examples if model.protocol == "supervised" else 1
        if cls._largest(model.n_spins, entry, model.n_stored) >= 2**62:
            below = 2**62 // cls._largest(1, entry, model.n_stored)
            raise ParameterError(f"n_spins = {model.n_spins} with dynamics = {cls.name!r} leads beyond 62-bit integers at "
                                 f"n_patterns = {model.n_patterns}, n_examples = {model.law.n_examples}; "
                                 + (f"give an n_spins below {below:.3g}, or " if below > 2 else "") + "lower n_examples")

    @staticmethod
    def memory_bytes(model: Model, replicas: int) -> int:
        """Bytes one task holds at most. Raises ParameterError if this machine's memory cannot."""
        Classes.check(model, replicas)
        return Classes.bytes_needed(model, replicas)

    @staticmethod
    def numbers(model: Model, replicas: int, start) -> int:
        """How many numbers one measurement takes."""
        return MultitaskObserver.numbers(model, replicas, start)

    def sample(self, n_samples: int, thin: int) -> np.ndarray:
        """The next configurations (n_samples, R, N) int8, one after every thin sweeps; see `spins`."""
        taken = np.empty((n_samples, len(self._generators), self.instance.n_spins), np.int8)
        for row in taken:
            self.advance(thin)
            row[:] = self.spins
        return taken

    def measure(self) -> dict[str, np.ndarray]:
        """The observables of the present state: those of `hebb.sampling.observables.MultitaskObserver`, but q.

        q (pairs,) is the expectation of the overlap of two replicas given their class magnetisations, (1/N) sum_c n_c m_c^a
        m_c^b: it has the mean of the overlap and less noise. Cost: O(R L K) and O(L) per pair.
        """
        classes, model = self.instance, self.instance.model
        n, law = classes.n_spins, model.law
        net = (2 * self.kernel.up - classes.counts).astype(float)
        copies = model.n_stored // model.n_patterns
        g = math.sqrt(copies) * classes.unit / n * self.kernel.overlaps  # of the stored rows themselves
        q = [float((net[a] / classes.counts) @ net[b]) / n for a, b in itertools.combinations(range(len(net)), 2)]
        return {"m": net @ classes.archetypes / n, "energy": -law.scale / (2 * copies) * np.sum(g**2, axis=1),
                "q": np.array(q)} | of_rows(law, g, copies * classes.mean_squares)

    @property
    def planted(self) -> np.ndarray:
        """(N,) int8: the first pattern."""
        where, sign = self.instance.sites()
        return self.instance.archetypes[where, 0] * sign

    @property
    def spins(self) -> np.ndarray:
        """(R, N) int8: configurations of these class magnetisations, the spins up chosen at random within each class (from
        copies of the streams: the chain goes on as if nobody had looked)."""
        copies = [np.random.Generator(g.bit_generator.jumped()) for g in self._generators]
        return self.instance.spins(self.kernel.up, copies)

    def snapshot(self) -> dict[str, np.ndarray]:
        """Everything needed to go on bit for bit, as plain arrays."""
        return {"up": self.kernel.up, "streams": positions(self._generators), "sweeps_done": np.array(self.sweeps_done)}

    def restore(self, snapshot: dict[str, np.ndarray]) -> None:
        """Go back to a snapshot of a chain with the same settings."""
        go_on(self._generators, snapshot["streams"])
        self.kernel.load(snapshot["up"])
        self.sweeps_done = int(snapshot["sweeps_done"])


class LumpedChain(_ClassChain):
    """R replicas of the spin-by-spin chain in random order, seen through its class magnetisations (dynamics "lumped").

    instance: `Classes`, or an instance of a multitasking network, whose spins are then counted. rule: "metropolis" (default) or
    "glauber". temperature: T > 0, or 0 with "glauber" (flips at no cost are taken with probability 1/2). start: "planted",
    "random", "corrupted", "hierarchical", "parallel" as in `Chain`, or an array where the spins are known. Everything else as
    in `Chain`. Raises ParameterError. Cost: about 20 ns per flip and N flips per sweep and replica (20 s at N = 1e9; a run
    takes its checkpoints and requests to stop between sweeps).
    """

    name = "lumped"

    @staticmethod
    def _check_rule(rule, temperature) -> None:
        if rule is not None:
            check_choice("rule", rule, ("metropolis", "glauber"))
        check_real("temperature", temperature, 0.0, open_low=rule != "glauber", remedy="" if rule == "glauber" else
                   "at 0 give rule = 'glauber', the limit in which flips at no cost are taken with probability 1/2")

    @staticmethod
    def _largest(n_spins: int, entry: int, components: int) -> int:
        return n_spins * entry**2 * components

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self._accepted = np.zeros(self.kernel.n_replicas, np.int64)

    def advance(self, n_sweeps: int) -> None:
        """n_sweeps sweeps of N proposals of every replica."""
        n = self.instance.n_spins
        for _ in range(n_sweeps):
            for first in range(0, n, _PIECE):
                self.kernel.flips(min(_PIECE, n - first), self.temperature, self._generators, self.rule)
        self.sweeps_done += n_sweeps

    @property
    def acceptance(self) -> float:
        """Accepted share of all proposals so far."""
        proposed = self.sweeps_done * self.instance.n_spins * self.kernel.n_replicas
        return float(np.sum(self._accepted + self.kernel.accepted)) / proposed if proposed else 0.0

    def snapshot(self) -> dict[str, np.ndarray]:
        return super().snapshot() | {"accepted": self._accepted + self.kernel.accepted}

    def restore(self, snapshot: dict[str, np.ndarray]) -> None:
        super().restore(snapshot)
        self._accepted = np.array(snapshot["accepted"], np.int64)


class GibbsChain(_ClassChain):
    """R replicas of the Hubbard-Stratonovich Gibbs sampler (dynamics "hubbard_stratonovich"): Boltzmann's law at any N, T > 0.

    Arguments as in `LumpedChain`, without rule. A sweep draws the field z given the spins and then all spins given z. It is no
    dynamics of single spins: relaxation times have no meaning for Glauber or Metropolis chains, and metastable states are
    left as rarely. Raises ParameterError. Cost of a sweep and replica: about 50 ns per class, at any N.
    """

    name = "hubbard_stratonovich"
    acceptance = math.nan  # nothing is proposed

    @staticmethod
    def _check_rule(rule, temperature) -> None:
        refuse_options("hubbard_stratonovich", {"rule": rule})
        check_real("temperature", temperature, 0.0, open_low=True, remedy="dynamics = 'hubbard_stratonovich' needs temperature "
                   "> 0; at 0 use dynamics = 'lumped' with rule = 'glauber'")

    @staticmethod
    def _largest(n_spins: int, entry: int, components: int) -> int:
        return n_spins * entry

    def advance(self, n_sweeps: int) -> None:
        """n_sweeps draws of the field and the spins of every replica."""
        self.kernel.gibbs(n_sweeps, self.temperature, self._generators)
        self.sweeps_done += n_sweeps


def _starting(classes: Classes, start: str, corruption, stream: np.random.Generator) -> np.ndarray:
    """Numbers of up spins (L,) of a named start."""
    entries, counts = classes.archetypes, classes.counts
    if start == "random":
        sign = np.zeros(len(counts), int)
    elif start in ("planted", "corrupted"):
        sign = entries[:, 0]
    else:
        sign = entries_of_state(entries.T, start)
    up = np.where(sign > 0, counts, 0)
    up[sign == 0] = stream.binomial(counts[sign == 0], 0.5)
    if start == "corrupted":
        up = up + stream.binomial(counts - up, corruption) - stream.binomial(up, corruption)
    return up
