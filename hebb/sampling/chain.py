"""A chain: R replicas of one model on one disorder sample, at one temperature."""

from __future__ import annotations

import importlib

import numpy as np

from .. import vocabulary
from ..errors import ParameterError
from ..models.base import Instance, Model, available_memory
from ..params import check_choice, check_integer, check_real, digest
from ..streams import Purpose, generator, go_on, positions
from .hmc import HamiltonianChain
from .learning import GradientChain
from .lumped import GibbsChain, LumpedChain
from .observables import observer_class
from .options import SpinBySpin, refuse_options, require_spins
from .plefka import Plefka
from .starts import check_start, starting_spins

__all__ = ["Chain", "chain_class", "sample"]

RULES = ("metropolis", "glauber", "zero_temperature")
ORDERS = ("random", "sequential")
_LOST_BELOW = 0.5


class Chain(SpinBySpin):
    """R replicas on one disorder sample, each with its own random streams.

    instance: the disorder sample. temperature: T > 0, or 0 with dynamics "zero_temperature" (flips that lower the energy
        are taken, flips at no cost with probability 1/2, the limit of Glauber).
    start: "planted" (the first pattern; entries that vanish there are drawn at random), "random", "corrupted" (planted with
        each spin flipped with probability `corruption`), "example" (a fresh noisy example of the first pattern, of quality
        r, or with archetypes of images a held-out image, another one in each replica), for multitasking networks also
        "hierarchical" (the first non-zero entry of each spin's column of patterns) and "parallel" (the sign of their sum;
        spins without either are drawn at random), for perceptrons "teacher" (the planted configuration; of a second task its
        own teacher) and "reference" (the first task's weights), or an array (N,) or (R, N) of +-1.
    order: sites visited at "random" or "sequential".
    seed, point: the streams are keyed by (seed, point, disorder sample, replica); point is the digest of model and
        temperature, so that no chain depends on what else is run. Starts are keyed like the disorder (`disorder_key`).
    options: those of other dynamics (`hebb.sampling.options.OPTIONS`), refused here.
    Raises ParameterError. Cost of one sweep: R N K spin-pattern pairs.
    """

    def __init__(self, instance: Instance, temperature: float, replicas: int = 2, start="planted", corruption=None,
                 dynamics: str = "metropolis", order: str = "random", seed: int = 0, point: str | None = None,
                 **options):
        self.check(instance.model, temperature=temperature, replicas=replicas, start=start, corruption=corruption,
                   dynamics=dynamics, order=order, seed=seed, **options)
        self.instance = instance = instance.at(float(temperature), seed)
        self.temperature = float(temperature)
        self.order = order
        self.rule = "metropolis" if dynamics == "metropolis" else "glauber"
        self.planted = instance.condensed
        point = point or digest({**instance.model.parameters(), "temperature": self.temperature})
        self._generators = [generator(seed, Purpose.DYNAMICS, point, instance.disorder, r) for r in range(replicas)]
        self.kernel = instance.kernel()
        planted, spins = starting_spins(instance, start, corruption, replicas, seed)
        self.observer = observer_class(instance.model)(instance, self.kernel, planted, spins, start)
        self.kernel.load(spins)
        self._watched = self.observer.follows_start and isinstance(start, str) and start == "planted"
        self.sweeps_done = 0
        self._accepted = np.zeros(replicas, np.int64)
        self._lowest = np.full(replicas, instance.n_spins, np.int64)

    @staticmethod
    def check(model: Model, *, temperature, replicas=2, start="planted", corruption=None, dynamics="metropolis",
              order="random", seed=0, **options) -> None:
        """Raise ParameterError for settings no chain of this model can have. Nothing is drawn."""
        check_choice("dynamics", dynamics, RULES, vocabulary.DYNAMICS)
        require_spins(model, dynamics)
        refuse_options(dynamics, options)
        check_choice("order", order, ORDERS)
        check_integer("seed", seed, 0)
        check_integer("replicas", replicas, 1, 1024)
        if dynamics == "zero_temperature":
            check_real("temperature", temperature, 0.0, 0.0, remedy="dynamics = 'zero_temperature' runs at temperature = 0")
        else:
            check_real("temperature", temperature, 0.0, open_low=True,
                       remedy=f"dynamics = {dynamics!r} needs temperature > 0; at 0 use dynamics = 'zero_temperature'")
        if model.follows_temperature and temperature == 0:
            raise ParameterError(f"temperature = 0 with a {model.kind} model, whose coupling has a law at T > 0 only")
        check_start(model, start, corruption, replicas)

    @staticmethod
    def numbers(model: Model, replicas: int, start) -> int:
        """How many numbers one measurement takes."""
        return observer_class(model).numbers(model, replicas, start)

    def advance(self, n_sweeps: int) -> None:
        """n_sweeps sweeps of N proposals of every replica."""
        self.kernel.sweep(n_sweeps, self.temperature, self._generators, self.rule, self.order)
        self.sweeps_done += n_sweeps

    def sample(self, n_samples: int, thin: int) -> np.ndarray:
        """The next configurations (n_samples, R, N) int8, one after every thin sweeps."""
        return self.kernel.sample(n_samples, thin, self.temperature, self._generators, self.rule, self.order)

    def measure(self) -> dict[str, np.ndarray]:
        """The observables of the present configurations: those of `hebb.sampling.observables` for this kind of model."""
        return self.observer.measure(self.kernel)

    @property
    def spins(self) -> np.ndarray:
        """(R, N) int8."""
        return self.kernel.spins

    @property
    def lost(self) -> bool:
        """Whether, from a planted start, any replica's |m| fell under half of its planted value at any accepted flip,
        burn-in included. Never of multitasking networks and perceptrons, which may well change their state."""
        lowest = np.minimum(self._lowest, self.kernel.lowest_overlap)
        return bool(self._watched and np.any(lowest < _LOST_BELOW * np.count_nonzero(self.planted)))

    @property
    def acceptance(self) -> float:
        """Accepted share of all proposals so far."""
        proposed = self.sweeps_done * self.instance.n_spins * self.kernel.n_replicas
        return float(np.sum(self._accepted + self.kernel.accepted)) / proposed if proposed else 0.0

    def snapshot(self) -> dict[str, np.ndarray]:
        """Everything needed to go on bit for bit, as plain arrays."""
        return {"spins": self.spins, "streams": positions(self._generators), "sweeps_done": np.array(self.sweeps_done),
                "accepted": self._accepted + self.kernel.accepted,
                "lowest": np.minimum(self._lowest, self.kernel.lowest_overlap)}

    def restore(self, snapshot: dict[str, np.ndarray]) -> None:
        """Go back to a snapshot of a chain with the same settings."""
        go_on(self._generators, snapshot["streams"])
        self.kernel.load(snapshot["spins"])
        self.sweeps_done = int(snapshot["sweeps_done"])
        self._accepted = np.array(snapshot["accepted"], np.int64)
        self._lowest = np.array(snapshot["lowest"], np.int64)


_OTHERS: dict[str, type] = {"plefka": Plefka, "lumped": LumpedChain, "hubbard_stratonovich": GibbsChain,
                            "gradient": GradientChain, "hmc": HamiltonianChain}
#: Dynamics of other rooms, by module and class: loaded when they are asked for, since they need more than this room.
_ELSEWHERE = {"backpropagation": ("hebb.deep.trainer", "NetworkChain")}


def chain_class(dynamics) -> type:
    """The class whose chains have these dynamics; ParameterError if there is none.

    All of them have, before anything is drawn, `check`, `memory_bytes` and `numbers`; `draw` gives what they are built on.
    """
    check_choice("dynamics", dynamics, (*RULES, *_OTHERS, *_ELSEWHERE), vocabulary.DYNAMICS)
    if dynamics in _ELSEWHERE:
        module, name = _ELSEWHERE[dynamics]
        return getattr(importlib.import_module(module), name)
    return _OTHERS.get(dynamics, Chain)


def sample(instance: Instance, temperature: float, n_samples: int = 1000, thin: int = 1, thermalize: int = 0,
           replicas: int = 1, dynamics: str = "metropolis", start="random", corruption=None, order: str = "random",
           seed: int = 0, **options) -> np.ndarray:
    """Configurations (n_samples, R, N) int8 of R independent chains, one every `thin` sweeps after `thermalize` sweeps.

    Arguments as in `Chain`. Consecutive configurations are correlated unless thin exceeds the autocorrelation time.
    dynamics = "plefka" draws no configurations: the magnetisations (float64) of `Plefka` after the same numbers of updates.
    """
    if not isinstance(instance, Instance):
        kind = type(instance).__name__
        if isinstance(getattr(instance, "model", None), Model):
            raise ParameterError(f"sample draws spins, and a {kind} has none; use hebb.simulate with its model")
        raise ParameterError(f"sample needs one disorder sample, not {kind}; give model.draw(seed)")
    n_samples = check_integer("n_samples", n_samples, 1)
    thin = check_integer("thin", thin, 1)
    thermalize = check_integer("thermalize", thermalize, 0)
    kind = chain_class(dynamics)
    needed = n_samples * check_integer("replicas", replicas, 1, 1024) * instance.n_spins * (8 if kind is Plefka else 1)
    if needed > available_memory():
        raise ParameterError(f"n_samples = {n_samples} needs {needed / 2**30:.3g} GiB and {available_memory() / 2**30:.3g} GiB "
                             "are free; take fewer, with a larger thin")
    chain = kind(instance, temperature, replicas, start, corruption, dynamics, order, seed, None, **options)
    chain.advance(thermalize)
    return chain.sample(n_samples, thin)
