"""Binary weights under the Gibbs measure at temperature T: one task, and a second one coupled to a sample of the first.

    P(w) ~ exp[-beta sum_mu V(D_mu) + lambda w.w'] ,   D_mu = y_mu xi_mu.w/sqrt(N) ,   w_i = +-1

Replica symmetric, per weight, with q = <w>^2, r = <w> W and their conjugates Q, R:

    phi = -Q(1-q)/2 - R r + E ln 2cosh(sqrt(Q) z + R B + lambda w') + alpha G_E
    G_E = 2 E[Phi(r z/sqrt(q-r^2)) ln g(sqrt(q) z)]  with a teacher,  E ln g(sqrt(q) z)  for random labels (R = r = 0)

in the gauge W1 = 1, where W2 = B. Task 1 has B = 1, lambda = 0; in task 2 the reference w' agrees with the teacher of task 1
with probability (1 + r1)/2, and nothing else of the first task is left. Stationarity, with f = ln g and its derivatives in
omega = sqrt(q) z:   Q = alpha E f'^2 ,   R = alpha sqrt(2/pi) E f'(sqrt(q-r^2) z).

The load enters linearly, so that the curve of saddles is explicit: R is chosen, Q solves Q/R = e_Q/e_R, and alpha follows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq, minimize_scalar
from scipy.special import ndtr

from ..errors import NoSolution, ParameterError
from ..params import PerceptronLaw, check_real
from .gaussian_panels import gaussian_nodes
from .perceptron_boundary import PerceptronBoundary
from .perceptron_losses import Tilted, features, tilted

__all__ = ["GibbsState", "SecondGibbsState", "gibbs", "gibbs_second", "gibbs_transition"]

_EPS = np.finfo(float).eps
_TINY = 1e-30
_RATIO = 1.25                # of R at neighbouring points of a curve
_PERFECT = 1e-14             # 1 - q at which only the perfect state is left
_QUADRATURE = 1e-12          # relative error of G_E
_CONVERGED = 1e-11           # change of the conjugates by the saddle-point equations, relative to 1 + their size


@dataclass(frozen=True)
class GibbsState:
    """The weights of one task at temperature T, per weight.

    q: overlap of two replicas; r: with the teacher (0 for random labels); q_hat, r_hat: conjugates. training_error: share of
    training examples with D < kappa; cost: mean of V per example (the training error if V counts violations).
    generalization_error = arccos(r)/pi. free_entropy = (1/N) <ln Z>; entropy = free_entropy + alpha cost/T;
    free_energy = -T free_entropy. replicon_ratio: replica symmetry is stable where it is below 1; stable: whether it is.
    branch: "poor", what follows continuously from alpha = 0, or "good", what is separated from it by a jump. residual: largest
    relative change of the conjugates by the saddle-point equations, judged with a finer quadrature.
    """

    alpha: float
    temperature: float
    loss: str
    kappa: float
    labels: str
    q: float
    r: float
    q_hat: float
    r_hat: float
    training_error: float
    cost: float
    generalization_error: float
    free_entropy: float
    entropy: float
    free_energy: float
    replicon_ratio: float
    stable: bool
    converged: bool
    residual: float
    branch: str


@dataclass(frozen=True)
class SecondGibbsState:
    """The weights of a second task, coupled to a sample w' of the first with weight exp(coupling w.w').

    q, q_hat: overlap of two replicas and its conjugate; r1, r2: with the teachers of both tasks; r2_hat: conjugate of r2.
    overlap_reference = <w> w'. error_task1, error_task2 = arccos(r1)/pi, arccos(r2)/pi. free_entropy contains the coupling;
    entropy = free_entropy + alpha cost/T - coupling overlap_reference. first: the state of task 1. The rest as in `GibbsState`.
    """

    alpha: float
    temperature: float
    coupling: float
    teacher_correlation: float
    first: GibbsState
    q: float
    r1: float
    r2: float
    q_hat: float
    r2_hat: float
    overlap_reference: float
    error_task1: float
    error_task2: float
    training_error: float
    cost: float
    free_entropy: float
    entropy: float
    free_energy: float
    replicon_ratio: float
    stable: bool
    converged: bool
    residual: float
    branch: str


def gibbs(alpha, temperature, loss="violations", kappa=0.0, labels="teacher") -> GibbsState:
    """Replica-symmetric prediction for one task: of several states that of the largest free entropy.

    alpha: load from 0 to 1e12; temperature: 1e-4 to 1e6; loss, kappa, labels: `hebb.params.PerceptronLaw`. Raises
    ParameterError, and NoSolution where it is not the equilibrium: with a teacher, where the perfect state w = W has the larger
    free entropy (kappa = 0: where that of this state is not positive); random labels, where the entropy is negative and the
    weights freeze. Cost: 30 to 80 ms.
    """
    task = _first(temperature, loss, kappa, labels)
    alpha = _load(alpha)
    branch, saddle = task.saddle(alpha)
    task.judge(saddle)
    rest = task.numbers(saddle, branch)
    r, law = rest.pop("r"), task.law
    return GibbsState(alpha, task.temperature, law.loss, law.kappa, law.labels, r=r, r_hat=saddle.R,
                      generalization_error=_error(r), **rest)


def gibbs_transition(temperature, loss="violations", kappa=0.0, labels="teacher") -> PerceptronBoundary:
    """The load up to which `gibbs` has a state: there it and the perfect state have equal free entropies.

    Random labels: where the entropy vanishes. Raises NoSolution if the state stays the equilibrium up to the largest load
    looked at. Cost: 0.1 s.
    """
    task = _first(temperature, loss, kappa, labels)
    saddle = task.crossing()
    rest = task.numbers(saddle, "poor")
    r, law = rest.pop("r"), task.law
    state = GibbsState(saddle.alpha, task.temperature, law.loss, law.kappa, law.labels, r=r, r_hat=saddle.R,
                       generalization_error=_error(r), **rest)
    left = abs(task.advantage(saddle))
    return PerceptronBoundary("transition", saddle.alpha, state, left, state.converged and left < 1e-11)


def gibbs_second(first, alpha, temperature, coupling, teacher_correlation) -> SecondGibbsState:
    """Replica-symmetric prediction for a second task, coupled to a sample of the first.

    first: the `GibbsState` of task 1 (with a teacher), at any temperature; its loss and kappa are those of task 2 too. alpha:
    load of task 2; coupling: lambda, -15 to 15; teacher_correlation: E W1 W2 in [-1, 1]. A strong coupling breaks replica
    symmetry (from about 8 on at alpha = T = 1: `stable`, and the entropy is slightly negative); at 15 overlap_reference is 1
    but for 6e-5 (7e-4 at alpha = 1, T = 0.5), and beyond there is no prediction. Raises ParameterError, and NoSolution
    where the perfect state of task 2 has the larger free entropy. Cost: 50 to 100 ms.
    """
    if not isinstance(first, GibbsState) or first.labels != "teacher":
        raise ParameterError(f"first = {first!r:.60} is not the state of a task with a teacher; take it from "
                             "Perceptron.gibbs(alpha, temperature)")
    alpha = _load(alpha)
    coupling = check_real("coupling", coupling, -15.0, 15.0, remedy="stronger ones leave nothing but the reference: "
                          "overlap_reference = 1, r1 = first.r, r2 = teacher_correlation first.r")
    correlation = check_real("teacher_correlation", teacher_correlation, -1.0, 1.0)
    law = PerceptronLaw(first.loss, first.kappa, "teacher")
    agree = (1 + correlation * first.r) / 2                   # probability that w' = W2
    task = _Task(law, _temperature(temperature), ((agree, coupling), (1 - agree, -coupling)))
    branch, saddle = task.saddle(alpha)
    task.judge(saddle)
    rest = task.numbers(saddle, branch)
    r2 = rest.pop("r")
    same, opposite = saddle.site.means                          # of w W2, given that w' agrees with W2 or not
    r1 = (correlation + first.r) / 2 * same + (correlation - first.r) / 2 * opposite
    overlap = agree * same - (1 - agree) * opposite
    rest["entropy"] -= coupling * overlap
    return SecondGibbsState(alpha, task.temperature, coupling, correlation, first, r1=r1, r2=r2, r2_hat=saddle.R,
                            overlap_reference=overlap, error_task1=_error(r1), error_task2=_error(r2), **rest)


def _error(overlap: float) -> float:
    return math.acos(max(-1.0, min(1.0, overlap))) / math.pi             # it may round beyond 1


def _load(value) -> float:
    alpha = check_real("alpha", value, 0.0, 1e12, remedy="it is the number of examples per weight")
    if not 0 < alpha < 1e-100:
        return alpha
    raise ParameterError(f"alpha = {alpha!r} lies between 0 and 1e-100, where conjugates underflow; use 0")


def _temperature(value) -> float:
    return check_real("temperature", value, 1e-4, 1e6, remedy="at T = 0 use teacher_student or storage_capacity")


def _first(temperature, loss, kappa, labels) -> _Task:
    return _Task(PerceptronLaw.from_keywords(loss, kappa, labels), _temperature(temperature), ((1.0, 0.0),))


# ---- the two parts of the free entropy -------------------------------------------------------------------------------

class _Site(NamedTuple):
    """Averages over one weight, given the conjugates."""

    q: float
    r: float
    free: float              # 1 - q
    gap: float               # q - r^2
    log_cosh: float          # E ln 2cosh
    flatness: float          # E sech^4
    means: tuple             # <w> W2, for each of the shifts of the field


class _Energy(NamedTuple):
    """Averages over one example, given the order parameters."""

    value: float             # G_E
    q_slope: float           # Q/alpha at a saddle, -2 dG_E/dq
    r_slope: float           # R/alpha at a saddle, dG_E/dr
    violated: float
    cost: float
    curvature: float         # E f''^2


class _Saddle(NamedTuple):
    alpha: float
    Q: float
    R: float
    site: _Site
    energy: _Energy


class _Task:
    """All saddles of a task at one temperature. shifts: pairs of the weight and the size of the field added by a reference."""

    def __init__(self, law: PerceptronLaw, temperature: float, shifts):
        self.law, self.temperature, self.beta, self.shifts = law, temperature, 1 / temperature, shifts
        self.taught = law.labels == "teacher"

    def site(self, Q: float, R: float, finer=False) -> _Site:
        s = math.sqrt(Q)
        means, parts = [], np.zeros(5)
        for share, shift in self.shifts:
            a = R + shift
            z, weight = gaussian_nodes((-a / (s + _TINY), 1 / (s + _TINY)), finer=finer)
            field = np.abs(s * z + a)
            e = np.exp(-2 * field)
            m, sech2 = np.copysign((1 - e) / (1 + e), s * z + a), 4 * e / (1 + e) ** 2
            means.append(float(weight @ m))
            parts += share * np.array([weight @ m**2, weight @ sech2, weight @ (m - means[-1]) ** 2,
                                       weight @ (field + np.log1p(e)), weight @ sech2**2])
        r = sum(share * mean for (share, _), mean in zip(self.shifts, means, strict=True))
        scatter = sum(share * (mean - r) ** 2 for (share, _), mean in zip(self.shifts, means, strict=True))
        q, free, within, log_cosh, flatness = map(float, parts)
        return _Site(q, r if self.taught else 0.0, free, within + scatter, log_cosh, flatness, tuple(means))

    def energy(self, site: _Site, finer=False) -> _Energy:
        q, r, sigma = site.q, site.r, math.sqrt(max(site.free, _TINY))
        gap = site.gap if self.taught else q
        places = features(self.law, self.beta, sigma, math.sqrt(q))
        tilt = abs(r) / math.sqrt(gap + _TINY)
        z, weight = gaussian_nodes(*places, (0.0, 1 / (tilt + _TINY)), finer=finer)
        if self.taught:
            weight = 2 * weight * ndtr(math.copysign(tilt, r) * z)
        over = self._tilted(math.sqrt(q) * z, sigma)
        step = 0.0
        if self.taught:
            places = features(self.law, self.beta, sigma, math.sqrt(gap))
            t, flat = gaussian_nodes(*places, finer=finer)
            step = math.sqrt(2 / math.pi) * float(flat @ self._tilted(math.sqrt(gap) * t, sigma).slope)
        return _Energy(float(weight @ over.log_g), float(weight @ over.slope**2), step, float(weight @ over.violated),
                       float(weight @ over.cost), float(weight @ over.bend**2))

    def _tilted(self, omega, sigma: float) -> Tilted:
        return tilted(self.law, self.beta, omega, sigma)

    def at(self, Q: float, R: float) -> _Saddle:
        """What the conjugates imply; a saddle where both equations give the same load."""
        site = self.site(Q, R)
        energy = self.energy(site)
        leading, slope = (R, energy.r_slope) if self.taught else (Q, energy.q_slope)
        return _Saddle(leading / slope if slope > 0 else math.inf, Q, R, site, energy)

    # ---- the curve of saddles ----------------------------------------------------------------------------------------

    def on_curve(self, x: float, guess: float) -> _Saddle:
        """The saddle at the conjugate x: R, and Q near `guess` solved for; Q itself for random labels."""
        if not self.taught:
            return self.at(x, 0.0)
        Q, width = guess, 1e-3
        here = self.at(Q, x)
        value = here.alpha * here.energy.q_slope - Q
        other = Q * (1 + width) + _TINY
        for _ in range(60):                             # secant
            there = self.at(other, x)
            new = there.alpha * there.energy.q_slope - other
            if new == value or abs(other - Q) <= 4 * _EPS * other:
                return there
            Q, other, value = other, max(other - new * (other - Q) / (new - value), other / 4), new
        return there

    def saddle(self, alpha: float) -> tuple[str, _Saddle]:
        """The saddle of largest free entropy at a load, and whether it lies before ("poor") or behind ("good") a fold.

        Raises NoSolution if there is none but the perfect state."""
        if alpha == 0:
            return "poor", self._start()
        found, top, largest = [], None, 0.0
        for below, above in self.curve(min(alpha, 0.1) / 8):
            if below.alpha < alpha <= above.alpha:
                piece = "good" if top else "poor"
                found.append((piece, self._between(lambda saddle: saddle.alpha - alpha, below, above)))
            if top is None and above.alpha < below.alpha:
                top = self._top(below, above)
                largest = max(largest, top.alpha)
                if below.alpha < alpha <= top.alpha:
                    found.append(("poor", self._between(lambda saddle: saddle.alpha - alpha, below, top)))
            largest = max(largest, above.alpha)
            if above.alpha > 3 * alpha:
                break
        if found:
            return max(found, key=lambda pair: self.free_entropy(pair[1]))
        raise NoSolution(f"alpha = {alpha:g}, temperature = {self.temperature:g}: the perfect state wins, or what is left of "
                         f"errors is too small to tell; states with errors exist up to alpha = {largest:.10g}")

    def _start(self) -> _Saddle:
        site = self.site(0.0, 0.0)
        return _Saddle(0.0, 0.0, 0.0, site, self.energy(site))

    def curve(self, alpha: float):
        """Pairs of neighbouring saddles, the first from alpha = 0 to about the load `alpha`, the last close to r = 1."""
        below, energy = self._start(), self._start().energy
        x, Q = alpha * (energy.r_slope if self.taught else energy.q_slope), alpha * energy.q_slope
        while True:
            above = self.on_curve(x, Q)
            if above.site.free < _PERFECT or (below.Q and not 1 / 3 < above.Q / Q < 3):   # another curve
                return
            yield below, above
            Q = above.Q * (above.Q / below.Q if below.Q else _RATIO)
            x, below = x * _RATIO, above

    def crossing(self) -> _Saddle:
        """The first saddle at which this state stops being the equilibrium."""
        for below, above in self.curve(1e-3):
            if above.alpha < below.alpha or above.alpha > 1e4:
                break
            if self.advantage(above) <= 0:
                return self._between(self.advantage, below, above)
        raise NoSolution(f"temperature = {self.temperature:g}: the state that learns from alpha = 0 on is the equilibrium "
                         f"up to alpha = {below.alpha:.6g}, where it ends or becomes too perfect to follow")

    def _between(self, function, below: _Saddle, above: _Saddle) -> _Saddle:
        """The root of a function of the saddle between two points of the curve."""
        low, high = ((s.R if self.taught else s.Q) for s in (below, above))

        def saddle(x):
            share = (x - low) / (high - low)
            return self.on_curve(x, below.Q + share * (above.Q - below.Q))

        return saddle(brentq(lambda x: function(saddle(x)) if x > 0 else function(below), low, high, xtol=_TINY, rtol=4 * _EPS))

    def _top(self, below: _Saddle, above: _Saddle) -> _Saddle:
        """The largest load around a pair at which it falls."""
        best = minimize_scalar(lambda x: -self.on_curve(x, below.Q).alpha, bounds=(below.R / _RATIO, above.R), method="bounded",
                               options={"xatol": 1e-9 * above.R})
        return self.on_curve(best.x, below.Q)

    # ---- what it means -----------------------------------------------------------------------------------------------

    def free_entropy(self, saddle: _Saddle) -> float:
        site = saddle.site
        return -saddle.Q * site.free / 2 - saddle.R * site.r + site.log_cosh + saddle.alpha * saddle.energy.value

    def advantage(self, saddle: _Saddle) -> float:
        """Free entropy minus that of the perfect state w = W; for random labels the entropy."""
        value = self.free_entropy(saddle)
        if not self.taught:
            return value + saddle.alpha * self.beta * saddle.energy.cost
        D, weight = gaussian_nodes(*((place, 1e-2) for place in (-self.law.kappa, 0.0, self.law.kappa)))
        perfect = float(weight @ (self.law.cost(np.abs(D))))
        coupled = sum(share * shift for share, shift in self.shifts)
        return value + saddle.alpha * self.beta * perfect - coupled

    def judge(self, saddle: _Saddle) -> None:
        """Raises NoSolution if the saddle is not the equilibrium."""
        ahead, rounding = self.advantage(saddle), _QUADRATURE * saddle.alpha * self.beta * saddle.energy.cost
        if ahead > rounding:
            return
        if self.taught and ahead > -rounding:
            raise NoSolution(f"alpha = {saddle.alpha:g}, temperature = {self.temperature:g}: this and the perfect state have "
                             "free entropies that differ by less than rounding; take a smaller load")
        where = f"alpha = {saddle.alpha:g}, temperature = {self.temperature:g}"
        limit = self.crossing().alpha
        if self.taught:
            raise NoSolution(f"{where}: the perfect state wins, by {-ahead:.6g} in free entropy; this one is the equilibrium "
                             f"up to alpha = {limit:.10g}")
        raise NoSolution(f"{where}: the entropy of the replica-symmetric state is negative, {ahead:.6g}: the weights freeze; "
                         f"it is positive up to alpha = {limit:.10g}")

    def numbers(self, saddle: _Saddle, branch: str) -> dict:
        """The fields that both records share, and r."""
        alpha, Q, R, site, energy = saddle
        finer = self.energy(self.site(Q, R, finer=True), finer=True)
        residual = max(abs(alpha * finer.q_slope - Q) / (1 + Q), abs(alpha * finer.r_slope - R) / (1 + R))
        phi, ratio = self.free_entropy(saddle), alpha * energy.curvature * site.flatness
        return {"q": site.q, "r": site.r, "q_hat": Q, "training_error": energy.violated, "cost": energy.cost,
                "free_entropy": phi, "entropy": phi + alpha * self.beta * energy.cost, "free_energy": -self.temperature * phi,
                "replicon_ratio": ratio, "stable": ratio < 1, "converged": residual < _CONVERGED, "residual": residual,
                "branch": branch}
