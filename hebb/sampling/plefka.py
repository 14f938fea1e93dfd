"""Plefka's mean-field dynamics: parallel updates of magnetisations m_i in [-1, 1] instead of spins.

    m_i(t+1) = tanh{ beta [ h_i(m(t)) - Gamma(t) m_i(t-1) ] } ,     h_i = -dE/dm_i

Expanding the Gibbs free energy at fixed m in the coupling gives E(m) - T S(m) + N phi(q) with q = (1/N) sum m_i^2, and a fixed
point of the dynamics is a stationary point of it. Two truncations are offered and neither is ever used in place of Monte Carlo:

"mean_field"  first order, phi = 0, Gamma = 0: the parallel dynamics of arXiv:2212.00606. Exact at low load. At extensive load
              it keeps the reaction of a spin's surroundings to the spin itself, which equilibrium does not have: its
              fixed points overestimate |m| and q (numbers in `Plefka`; their theory: Kuehn, Boes and van Hemmen, Phys. Rev. A
              43, 2084 (1991)).
"tap"         with the Onsager reaction of the extensive noise, Gamma = 2 dphi/dq, to all orders that survive as N -> infinity.
              Its retrieval fixed points are the replica-symmetric equilibrium where `replicon` > 0. The reaction
              acts on the magnetisation one step earlier: on the present one the iteration diverges around stable fixed
              points (paramagnet of P = 2 at alpha = 4: below T = 4.24, while the glass begins at 3).

Noise covariance N (gamma/2) g(q), g = q^P for distinct indices (Gaussian couplings, P >= 3):

    phi = -(beta gamma/4) [g(1) - g(q) - (1-q) g'(q)] ,     Gamma = (beta gamma/2) (1-q) g''(q)

P = 2, couplings that are a sample covariance matrix with eigenvalues lambda of the population (C = beta (1-q)):

    phi = (T/2) sum_k alpha_k [ln(1 - lambda_k C) + lambda_k C] ,     Gamma = sum_k alpha_k lambda_k^2 C/(1 - lambda_k C)

Sources: Plefka, J. Phys. A 15, 1971 (1982); Georges and Yedidia, J. Phys. A 24, 2173 (1991); Mezard, Parisi and Virasoro, Spin
Glass Theory and Beyond (1987), ch. XIII (P = 2); Bolthausen, Commun. Math. Phys. 325, 333 (2014) (the time index).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import Polynomial
from scipy.special import entr

from ..errors import ParameterError
from ..models.base import Instance, Model, available_memory
from ..models.dense import Dense
from ..models.mean_field import MeanFieldEnergy
from ..params import DenseLaw, check_choice, check_integer, check_real, dilution_factor
from .observables import DenseObserver
from .options import SpinBySpin, refuse_options
from .recognition import Recogniser
from .starts import check_start, starting_spins

__all__ = ["EXPANSIONS", "Plefka", "Reaction", "entropy"]

EXPANSIONS = ("mean_field", "tap")

#: The reaction of P = 2 has a pole at lambda C = 1, beyond which the expansion says nothing: it is held at this value.
_LARGEST_C = 0.9


def _tuple_power(law: DenseLaw, order: int) -> float:
    """R_k = r^2k + (1 - r^2k)/M, the mean squared k-tuple of M examples entered one by one; 1 otherwise."""
    power = law.r ** (2 * order) if law.protocol == "unsupervised" else 1.0
    return power + (1 - power) / law.effective_examples


@dataclass(frozen=True)
class Reaction:
    """The noise of a dense network in the Plefka free energy; phi, Gamma per spin as functions of q (R,) and T.

    covariance: P >= 3, the polynomial (gamma/2) g(q); None for P = 2. loads, eigenvalues: P = 2, alpha_k and lambda_k.
    """

    covariance: Polynomial | None
    loads: np.ndarray
    eigenvalues: np.ndarray

    @classmethod
    def of(cls, law: DenseLaw, gamma: float, n_spins: int) -> Reaction:
        """Of the patterns at load gamma; of the tuples of distinct indices there are f_N times N^P/P!."""
        p = law.p_body
        if p == 2:
            loads, eigenvalues = [gamma], [1.0]
            if law.protocol == "unsupervised" and law.rho > 0:  # the examples of one pattern are correlated
                loads.append(gamma * (law.effective_examples - 1))
                eigenvalues.append(law.rho / (1 + law.rho))
            return cls(None, np.array(loads), np.array(eigenvalues))
        g = np.zeros(p + 1)
        if law.hamiltonian == "distinct":
            g[p] = dilution_factor(n_spins, p)
        else:  # z^P = sum_k c_k He_k(z), and g = sum_k (c_k^2 k!/P!) q^k
            for j in range((p + 1) // 2):
                k = p - 2 * j
                g[k] = math.factorial(p) / (4**j * math.factorial(j) ** 2 * math.factorial(k)) * _tuple_power(law, k)
            g /= _tuple_power(law, p)
        return cls(Polynomial(gamma / 2 * g), np.zeros(0), np.zeros(0))

    def _poles(self, q: np.ndarray, temperature: float) -> tuple[np.ndarray, np.ndarray]:
        """lambda_k C (R, 1 or 2), and whether every one lies inside the domain."""
        x = np.multiply.outer(1 - q, self.eigenvalues / temperature)
        return np.minimum(x, _LARGEST_C), np.all(x < 1, axis=-1)

    def coefficient(self, q: np.ndarray, temperature: float) -> np.ndarray:
        """Gamma (R,)."""
        if self.covariance is not None:
            return (1 - q) * self.covariance.deriv(2)(q) / temperature
        x, _ = self._poles(q, temperature)
        return (x / (1 - x)) @ (self.loads * self.eigenvalues)

    def free_energy(self, q: np.ndarray, temperature: float) -> np.ndarray:
        """phi (R,); nan outside the domain of P = 2."""
        if self.covariance is not None:
            g = self.covariance
            return -(g(1.0) - g(q) - (1 - q) * g.deriv()(q)) / (2 * temperature)
        x, inside = self._poles(q, temperature)
        return np.where(inside, temperature / 2 * (np.log1p(-x) + x) @ self.loads, np.nan)

    def energy(self, q: np.ndarray, temperature: float) -> np.ndarray:
        """d(beta phi)/d beta (R,), what the noise adds to E(m)/N; nan outside the domain of P = 2."""
        if self.covariance is not None:
            return 2 * self.free_energy(q, temperature)
        x, inside = self._poles(q, temperature)
        return np.where(inside, -temperature / 2 * (x**2 / (1 - x)) @ self.loads, np.nan)

    def replicon(self, m: np.ndarray, temperature: float) -> np.ndarray:
        """(R,) positive where the expansion converges and the replica-symmetric state is stable (Plefka's condition): the
        distance from 1 of beta^2 (1/N) sum (1-m^2)^2 times (gamma/2) g''(q), or sum_k alpha_k lambda_k^2/(1-lambda_k C)^2."""
        q = np.mean(m**2, axis=1)
        if self.covariance is not None:
            slope = self.covariance.deriv(2)(q)
        else:
            x, inside = self._poles(q, temperature)
            slope = np.where(inside, (1 - x) ** -2.0 @ (self.loads * self.eigenvalues**2), np.inf)
        return 1 - slope * np.mean((1 - m**2) ** 2, axis=1) / temperature**2


def entropy(m: np.ndarray) -> np.ndarray:
    """Entropy per spin (R,) of independent spins with magnetisations m (R, N)."""
    return np.mean(entr((1 + m) / 2) + entr((1 - m) / 2), axis=1)


class Plefka(SpinBySpin):
    """R replicas of the mean-field dynamics on one disorder sample, used like a `Chain` whose sweep is one parallel update.

    instance: a sample of a dense network. temperature: T >= 0. At 0 spins follow the sign of their field (those without
        field stay), Little's dynamics: fixed points are the configurations stable against every single flip, cycles of
        two occur.
    replicas, start, corruption, seed: as in `Chain`. Nothing but the start is random; planted replicas are all alike.
    expansion: "mean_field" (default) or "tap" (T > 0 only), see the module. damping: share of the old magnetisation kept
        in an update, in [0, 0.99] (default 0); it moves no fixed point and breaks cycles.
    dynamics, order, point: keywords that every chain takes; "plefka", "random" (there are no visits to order), unused.
    options: those of other dynamics, refused.

    What "mean_field" misses as N -> infinity, its fixed point and equilibrium: P = 2, alpha = .05, T = .5: m .9170 and .9041, q
    .8530 and .8334; P = 4, gamma = .3, T = .5: m .9732 and .9647, q .9654 and .9506; gamma = .1: m .9967 and .9966.
    Raises ParameterError. Cost of an update: about P K N multiply-adds per replica. One core: P = 2, N = 3000, K = 150: 0.6 ms,
    8 Metropolis sweeps of the bit kernel; P = 4, N = 100, K = 20833: 4 ms, 60 to 100 sweeps. Away from the spinodal 10 to 40
    updates give magnetisations without the noise that thousands of sweeps still have.
    """

    def __init__(self, instance: Instance, temperature: float, replicas: int = 2, start="planted", corruption=None,
                 dynamics: str = "plefka", order: str = "random", seed: int = 0, point: str | None = None,
                 expansion: str | None = None, damping: float | None = None, **options):
        model = instance.model
        self.check(model, temperature=temperature, replicas=replicas, start=start, corruption=corruption, dynamics=dynamics,
                   order=order, seed=seed, expansion=expansion, damping=damping, **options)
        self.instance, self.temperature = instance, float(temperature)
        self.damping = float(damping or 0.0)
        self.reaction = Reaction.of(model.law, model.gamma, model.n_spins) if expansion == "tap" else None
        self.mean_field = MeanFieldEnergy.of(instance)
        self.planted = instance.condensed
        self._watched = isinstance(start, str) and start == "planted"
        planted, spins = starting_spins(instance, start, corruption, replicas, seed)
        self.planted_energy = float(self.mean_field.energy_and_field(planted[None].astype(float))[0][0])
        self.m = spins.astype(float)
        self._before = np.zeros_like(self.m)
        self._change = np.full(replicas, np.nan)
        self._lowest = np.abs(self._overlap)
        self._seen = None
        self._recogniser = Recogniser(instance, spins) if isinstance(start, str) and start == "example" else None
        self.sweeps_done = 0

    @staticmethod
    def check(model: Model, *, temperature, replicas=2, start="planted", corruption=None, dynamics="plefka", order="random",
              seed=0, expansion=None, damping=None, **options) -> None:
        """Raise ParameterError for settings no mean-field dynamics of this model can have. Nothing is drawn."""
        check_choice("dynamics", dynamics, ("plefka",))
        if not isinstance(model, Dense):
            raise ParameterError(f"dynamics = 'plefka' exists for dense networks, not for "
                                 f"{type(model).__name__}; use 'metropolis'")
        refuse_options(dynamics, options)
        if order != "random":
            raise ParameterError(f"order = {order!r} has no meaning with dynamics = 'plefka', which updates all spins at once; "
                                 "leave it out")
        check_integer("seed", seed, 0)
        check_integer("replicas", replicas, 1, 1024)
        check_real("temperature", temperature, 0.0)
        if expansion is not None:
            check_choice("expansion", expansion, EXPANSIONS)
        if expansion == "tap" and model.remedy != "none":
            raise ParameterError(f"expansion = 'tap' with remedy = {model.remedy!r}: its reaction is that of independent "
                                 "patterns; use 'mean_field'")
        if expansion == "tap" and temperature == 0:
            raise ParameterError("expansion = 'tap' at temperature = 0: its reaction needs beta (1 - q), which spins of +-1 do "
                                 "not tell; take a small temperature, or expansion = 'mean_field'")
        if damping is not None:
            check_real("damping", damping, 0.0, 0.99, remedy="it is the share of the old magnetisation kept in an update")
        if damping and temperature == 0:
            raise ParameterError(f"damping = {damping!r} at temperature = 0, where magnetisations are +-1; leave it out")
        check_start(model, start, corruption, replicas)
        entry = 8 if model.has_real_rows else 1
        needed = model.memory_bytes(replicas) + entry * model.n_spins * model.n_stored
        if needed > available_memory():
            raise ParameterError(f"dynamics = 'plefka' holds {needed / 2**30:.3g} GiB here ({entry} bytes per stored entry) "
                                 f"and {available_memory() / 2**30:.3g} GiB are free; lower n_spins or gamma")

    @staticmethod
    def numbers(model: Model, replicas: int, start) -> int:
        """How many numbers one measurement takes, at most: four per replica more than of spins."""
        return DenseObserver.numbers(model, replicas, start) + 4 * replicas

    def advance(self, n_sweeps: int) -> None:
        """n_sweeps parallel updates of every replica."""
        for _ in range(n_sweeps):
            _, field = self._evaluate()
            if self.temperature == 0:
                after = np.where(field == 0, self.m, np.sign(field))
            else:
                if self.reaction is not None:
                    field = field - self.reaction.coefficient(self._q, self.temperature)[:, None] * self._before
                after = (1 - self.damping) * np.tanh(field / self.temperature) + self.damping * self.m
            self._change = np.max(np.abs(after - self.m), axis=1)
            self._before, self.m, self._seen = self.m, after, None
            self._lowest = np.minimum(self._lowest, np.abs(self._overlap))
            self.sweeps_done += 1

    def sample(self, n_samples: int, thin: int) -> np.ndarray:
        """The next magnetisations (n_samples, R, N), one after every thin updates."""
        taken = np.empty((n_samples, *self.m.shape))
        for row in taken:
            self.advance(thin)
            row[:] = self.m
        return taken

    def measure(self) -> dict[str, np.ndarray]:
        """The observables of the present magnetisations, those of `Chain.measure` and some more; (R,), per pair "q", "abs_q".

        m, n, q: overlaps of magnetisations with the condensed pattern, its examples and each other; q_self = (1/N) sum m_i^2.
        energy, free_energy: E(m)/N and the expanded Gibbs free energy per spin, with phi and d(beta phi)/d beta for "tap" (nan
        where phi does not exist: P = 2, beta (1-q) >= 1); energy_cv as in `Chain`. fixed_point_change: max |dm_i| of the
        last update, 0 at a fixed point. replicon ("tap"): positive where the expansion holds.
        """
        n, m, temperature = self.instance.n_spins, self.m, self.temperature
        overlap, q_self = self._overlap, self._q
        energy = self._evaluate()[0] / n
        free_energy = energy - temperature * entropy(m)
        q = np.array([m[a] @ m[b] / n for a, b in itertools.combinations(range(len(m)), 2)])
        seen = {"m": overlap, "abs_m": np.abs(overlap), "q": q, "abs_q": np.abs(q), "q_self": q_self,
                "fixed_point_change": self._change}
        if self.instance.learned is not None:
            seen["n"] = m @ self.instance.learned / n
        if self._recogniser is not None:
            seen |= self._recogniser.measure(m.astype(np.float32))
        if self.reaction is not None:
            energy = energy + self.reaction.energy(q_self, temperature)
            free_energy = free_energy + self.reaction.free_energy(q_self, temperature)
            seen["replicon"] = self.reaction.replicon(m, temperature)
        seen |= {"energy": energy, "free_energy": free_energy}
        if self.instance.model.planted_energy is not None:
            seen["energy_cv"] = energy + (self.instance.model.planted_energy - self.planted_energy / n)
        return seen

    @property
    def spins(self) -> np.ndarray:
        """(R, N) int8, the signs of the magnetisations (+1 for 0)."""
        return np.where(self.m < 0, -1, 1).astype(np.int8)

    @property
    def lost(self) -> bool:
        """Whether, from a planted start, any replica's |m| fell under half of its planted value in any update."""
        return bool(self._watched and np.any(self._lowest < 0.5 * np.count_nonzero(self.planted) / self.instance.n_spins))

    @property
    def acceptance(self) -> float:
        """nan: nothing is proposed."""
        return math.nan

    def snapshot(self) -> dict[str, np.ndarray]:
        """Everything needed to go on bit for bit, as plain arrays."""
        return {"m": self.m, "before": self._before, "change": self._change, "lowest": self._lowest,
                "sweeps_done": np.array(self.sweeps_done)}

    def restore(self, snapshot: dict[str, np.ndarray]) -> None:
        """Go back to a snapshot of a chain with the same settings."""
        self.m, self._before, self._change, self._lowest = (
            np.array(snapshot[name], float) for name in ("m", "before", "change", "lowest"))
        self.sweeps_done, self._seen = int(snapshot["sweeps_done"]), None

    @property
    def _overlap(self) -> np.ndarray:
        return self.m @ self.planted.astype(float) / self.instance.n_spins

    @property
    def _q(self) -> np.ndarray:
        return np.mean(self.m**2, axis=1)

    def _evaluate(self) -> tuple[np.ndarray, np.ndarray]:
        """Energies and fields of the present magnetisations, computed once."""
        if self._seen is None:
            self._seen = self.mean_field.energy_and_field(self.m)
        return self._seen
