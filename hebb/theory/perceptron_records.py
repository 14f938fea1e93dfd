"""Records that the field-space theory of the perceptron returns."""

from __future__ import annotations

from dataclasses import dataclass

from .perceptron_energy import Conjugates

__all__ = ["FirstTask", "SecondTask"]


@dataclass(frozen=True)
class FirstTask:
    """A saddle of the first task: magnetisations m under exp(-beta L) on the flat measure of [-1, 1]^N, per weight.

    q0, qd: overlap of two states and self-overlap <m^2>; r1: overlap of m with the teacher; q0_hat, r1_hat, qd_hat: their
    conjugates. overlap: p1 of the binary weights sgn m with the teacher, generalization_error = arccos(overlap)/pi.
    free_entropy = (1/N) <ln Z>, where kl counts -S(m) only, without its constant ln 2: ln 2 at alpha = 0 and kl = 0;
    free_energy = -free_entropy/beta. replicon_ratio: replica symmetry is stable where it is below 1; stable: whether it is
    and the saddle is no unstable one between two branches. imposed_qd: whether qd was imposed, qd_hat being its multiplier.
    residual: largest change of the conjugates by the saddle-point equations relative to max(1, size), judged with a finer
    quadrature too; converged: whether it is at most 1e-10.
    """

    alpha: float
    beta: float
    kl: float
    branch: str
    q0: float
    r1: float
    qd: float
    q0_hat: float
    r1_hat: float
    qd_hat: float
    overlap: float
    generalization_error: float
    free_entropy: float
    free_energy: float
    replicon_ratio: float
    stable: bool
    converged: bool
    residual: float
    imposed_qd: bool = False

    @property
    def conjugates(self) -> Conjugates:
        return Conjugates(self.q0_hat, self.r1_hat, self.qd_hat)


@dataclass(frozen=True)
class SecondTask:
    """A saddle of the second task, with the first one drawn from its Gibbs measure (`first`) and kept.

    q0, qd: overlap of two states of the second task and self-overlap; r1, r2: overlaps of m with the teachers of the first
    and second task (r2 < 0 is possible where the teachers disagree); q0_hat, r2_hat, qd_hat: conjugates. overlap1, overlap2:
    of the binary weights sgn m, error_task = arccos(overlap)/pi. free_entropy = (1/N) <ln Z> averaged over the reference,
    minus the Franz-Parisi potential times beta, with the whole divergence KL(m || m'); free_energy = -free_entropy/beta.
    The rest as in `FirstTask`.
    """

    alpha: float
    beta: float
    kl: float
    teacher_correlation: float
    branch: str
    q0: float
    r2: float
    qd: float
    q0_hat: float
    r2_hat: float
    qd_hat: float
    r1: float
    overlap1: float
    overlap2: float
    error_task1: float
    error_task2: float
    free_entropy: float
    free_energy: float
    replicon_ratio: float
    stable: bool
    converged: bool
    residual: float
    first: FirstTask

    @property
    def conjugates(self) -> Conjugates:
        return Conjugates(self.q0_hat, self.r2_hat, self.qd_hat)
