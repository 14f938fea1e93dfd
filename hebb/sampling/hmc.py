"""Hamiltonian Monte Carlo of the variational perceptron: samples of exp(-beta L(m)) on the flat measure prod dm_i.

In theta = atanh m the density is exp(-U), U = beta L - sum ln(1 - m^2). A trajectory draws momenta p ~ N(0, 1), follows them
for `steps` leapfrog steps of a length drawn within 20 % of `step_size`, and ends in a Metropolis test of the change of U +
p^2/2 (Neal, in Handbook of Markov Chain Monte Carlo (2011), ch. 5). It is exact at any step size; one trajectory is a sweep.

Of a sequence only the last task is measured. Each earlier one is sampled by a chain of its own, whose last state is the m' that
the next task is held to: the reference of a Franz-Parisi potential, one for all replicas of a disorder sample.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from ..errors import HebbError, ParameterError
from ..models.base import Model
from ..models.variational import VariationalPerceptron, VariationalSample
from ..params import check_integer, check_keys, check_real, digest, shown
from ..streams import Purpose, generator, go_on, positions
from .fields import FieldChain, one_per_task

__all__ = ["HMC", "HamiltonianChain", "hmc_settings"]

#: Keys of the table `learning` for dynamics = "hmc" and their defaults.
HMC = {
    "step_size": None,  # default: tuned, in the first tune_sweeps trajectories of every task, to an acceptance of 0.8
    "steps": 20,  # leapfrog steps of a trajectory
    "tune_sweeps": 200,  # 0 with a step_size of one's own
    "reference_sweeps": 1000,  # trajectories of every earlier task after tuning, one number or a list of one per earlier task
}
_JITTER = 0.2
_TARGET = 0.8
_LEAST = 0.05  # acceptance below which a chain does not move in any useful time
_TRIED = 100  # trajectories after which that is judged


def hmc_settings(model: VariationalPerceptron, learning) -> dict:
    """The table `learning` with defaults filled in, reference_sweeps as one per earlier task. Raises ParameterError."""
    if learning is not None and not isinstance(learning, Mapping):
        raise ParameterError(f"learning = {shown(learning)} is not a table; for dynamics = 'hmc' it may have {', '.join(HMC)}")
    given = dict(learning or {})
    check_keys("[sampling.learning]", given, HMC)
    settings, fixed = {**HMC, **given}, given.get("step_size") is not None
    if fixed:
        settings["step_size"] = check_real("step_size", settings["step_size"], 0.0, 100.0, open_low=True)
        if given.get("tune_sweeps"):
            raise ParameterError(f"tune_sweeps = {shown(given['tune_sweeps'])} beside step_size = {settings['step_size']:g}, "
                                 "which is then not tuned; leave one of them out")
        settings["tune_sweeps"] = 0
    earlier = model.n_tasks - 1
    sweeps = one_per_task("reference_sweeps", settings["reference_sweeps"], max(1, earlier))  # checked where no task takes it
    return {
        "step_size": settings["step_size"],
        "steps": check_integer("steps", settings["steps"], 1, 10**6),
        "tune_sweeps": check_integer("tune_sweeps", settings["tune_sweeps"], 0 if fixed else 50, 10**9,
                                     remedy="" if fixed else "fewer trajectories find no step_size; give one instead"),
        "reference_sweeps": [check_integer("reference_sweeps", number, 1, 10**9) for number in sweeps][:earlier],
    }


class _Walk:
    """R chains of one task under one table of settings: positions theta (R, N) and what tunes and counts them."""

    def __init__(self, kernel, theta: np.ndarray, generators: list, reference: np.ndarray, beta: float, kl: float,
                 settings: dict):
        self.kernel, self.theta, self.generators, self.reference = kernel, theta, generators, reference
        self.beta, self.kl, self.steps, self.tune = beta, kl, settings["steps"], settings["tune_sweeps"]
        # where the potential is stiffest, that of the prior or of the examples: a beginning for the tuning
        guess = 0.5 / math.sqrt(1 + beta * (kl + kernel.n_examples / kernel.n_spins))
        self.log_step = np.full(len(theta), math.log(guess if settings["step_size"] is None else settings["step_size"]))
        self.mean_log_step = np.zeros(len(theta))
        self.tuned = self.done = 0
        self.accepted = np.zeros(len(theta), np.int64)

    def advance(self, number: int) -> int:
        """Up to number trajectories, first those that tune; returns how many of them count."""
        tuning = min(number, self.tune - self.tuned)
        for _ in range(tuning):
            self._adapt(self._trajectories()[0])
        if tuning:
            return 0
        for _ in range(number):
            self.accepted += self._trajectories()[1]
            self.done += 1
            if self.done == _TRIED:
                self._require_moving()
        return number

    def _trajectories(self) -> tuple[np.ndarray, np.ndarray]:
        """One trajectory of every replica: min(1, e^-change) and whether it was accepted, both (R,)."""
        chance, moved = np.zeros(len(self.theta)), np.zeros(len(self.theta), bool)
        for r, stream in enumerate(self.generators):
            momentum, after = stream.standard_normal(self.theta.shape[1]), self.theta[r].copy()
            step = math.exp(self.log_step[r]) * (1 + _JITTER * (2 * stream.random() - 1))
            change = self.kernel.trajectory(after, momentum, self.beta, self.steps, step, self.reference, self.kl)
            if math.isfinite(change):
                chance[r] = math.exp(-max(change, 0.0))
            moved[r] = stream.random() < chance[r]
            if moved[r]:
                self.theta[r] = after
        return chance, moved

    def _adapt(self, chance: np.ndarray) -> None:
        """Robbins and Monro: the logarithm of the step follows the acceptance, its average over the second half stays."""
        self.tuned += 1
        self.log_step += (chance - _TARGET) / math.sqrt(1 + self.tuned / 10)
        half = self.tune - self.tune // 2
        if self.tuned > half:
            self.mean_log_step += self.log_step / (self.tune - half)
        if self.tuned == self.tune:
            self.log_step = self.mean_log_step.copy()

    def _require_moving(self) -> None:
        share = float(np.min(self.accepted)) / self.done
        if share < _LEAST:
            step = math.exp(float(self.log_step[np.argmin(self.accepted)]))
            raise HebbError(f"{share:.2f} of the first {self.done} trajectories were accepted: leapfrog steps of {step:.3g} do "
                            "not keep the energy; lower step_size, or leave it out to have it tuned")

    def arrays(self) -> dict[str, np.ndarray]:
        """What it takes to go on."""
        held = {"theta": self.theta, "log_step": self.log_step, "mean_log_step": self.mean_log_step, "accepted": self.accepted,
                "reference": self.reference}
        return {name: array.copy() for name, array in held.items()} | {"counts": np.array([self.tuned, self.done])}

    def take(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from there."""
        self.theta, self.log_step, self.mean_log_step, self.reference = (
            np.array(arrays[name], float) for name in ("theta", "log_step", "mean_log_step", "reference"))
        self.accepted = np.array(arrays["accepted"], np.int64)
        self.tuned, self.done = map(int, arrays["counts"])


class HamiltonianChain(FieldChain):
    """R replicas of the Gibbs measure exp(-beta L) of the last task on one disorder sample, at temperature 1/beta > 0.

    start: "random", or "teacher" (theta = 2 W of the last task: the state of low error where there are two). learning: a
    mapping, see HMC. Other arguments as in `FieldChain`. The trajectories of earlier tasks and those that tune a step size are
    made by `advance` as well, before all others, and do not count as sweeps.
    The streams of the earlier tasks are keyed by (seed, point, disorder sample).
    Raises ParameterError; HebbError where fewer than 5 % of 100 trajectories are accepted. Cost of a trajectory: steps + 1
    gradients, each 2 R N M/8 vector additions.
    """

    dynamics = "hmc"
    starts = ("random", "teacher")

    def __init__(self, instance: VariationalSample, temperature: float, replicas: int = 2, start="random", corruption=None,
                 dynamics: str = "hmc", order: str = "random", seed: int = 0, point: str | None = None,
                 learning: Mapping | None = None, **options):
        model = instance.model
        self.check(model, temperature=temperature, replicas=replicas, start=start, corruption=corruption, dynamics=dynamics,
                   order=order, seed=seed, learning=learning, **options)
        super().__init__(instance, temperature, replicas, start, seed, point)
        self.settings = hmc_settings(model, learning)
        key = digest({"reference": self.point})
        self._earlier = generator(seed, Purpose.DYNAMICS, key, instance.disorder)
        streams = [generator(seed, Purpose.START, key, instance.disorder, task) for task in range(model.n_tasks)]
        self._first = [self.starting(start, task, [stream]) for task, stream in enumerate(streams)]
        self._enter(0, np.zeros(model.n_spins))

    @classmethod
    def check(cls, model: Model, *, temperature, replicas=2, start="random", corruption=None, dynamics="hmc", order="random",
              seed=0, learning=None, **options) -> None:
        """Raise ParameterError for settings no sampling of this model can have. Nothing is drawn."""
        cls.check_common(model, replicas=replicas, start=start, corruption=corruption, dynamics=dynamics, order=order,
                         seed=seed, options=options)
        check_real("temperature", temperature, 0.0, open_low=True,
                   remedy="it is 1/beta of exp(-beta L); to minimise, use dynamics = 'gradient' at temperature = 0")
        hmc_settings(model, learning)

    def _enter(self, task: int, reference: np.ndarray) -> None:
        """Begin with a task: R replicas of the last one, a single chain of an earlier one."""
        self._task, last = task, task == self.model.n_tasks - 1
        if last:
            theta, generators = self.theta, self._generators
            self.reference = np.tile(reference, (len(theta), 1))
        else:
            theta, generators = self._first[task].copy(), [self._earlier]
        self._walk = _Walk(self.kernels[task], theta, generators, reference, 1 / self.temperature, self.model.kl[task],
                           self.settings)

    def advance(self, n_sweeps: int) -> None:
        """n_sweeps trajectories of whatever is to be done next: `sweeps_done` counts those of the last task after tuning."""
        while n_sweeps:
            last = self._task == self.model.n_tasks - 1
            left = n_sweeps
            if not last:
                left = min(left, self.settings["reference_sweeps"][self._task] - self._walk.done)
            before = self._walk.tuned + self._walk.done
            counted = self._walk.advance(left)
            n_sweeps -= self._walk.tuned + self._walk.done - before
            if last:
                self.theta = self._walk.theta
                self.sweeps_done += counted
            elif self._walk.done == self.settings["reference_sweeps"][self._task]:
                self._enter(self._task + 1, self._walk.theta[0].copy())

    def measure(self) -> dict[str, np.ndarray]:
        """The observables of `FieldChain.observe`."""
        return self.observe(self.model.n_tasks - 1)

    @property
    def acceptance(self) -> float:
        """Accepted share of the trajectories that count."""
        if self._task < self.model.n_tasks - 1 or not self._walk.done:
            return 0.0
        return float(np.mean(self._walk.accepted)) / self._walk.done

    def snapshot(self) -> dict[str, np.ndarray]:
        """Everything needed to go on bit for bit, as plain arrays."""
        counts = np.array([self._task, self.sweeps_done])
        return self._walk.arrays() | {"position": counts, "streams": positions([*self._generators, self._earlier])}

    def restore(self, snapshot: dict[str, np.ndarray]) -> None:
        """Go back to a snapshot of a chain with the same settings."""
        task, self.sweeps_done = map(int, snapshot["position"])
        self._enter(task, np.array(snapshot["reference"], float))
        self._walk.take(snapshot)
        if task == self.model.n_tasks - 1:
            self.theta = self._walk.theta
        go_on([*self._generators, self._earlier], snapshot["streams"])
