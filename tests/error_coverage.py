"""How often the interval of an average covers: every observable of small networks, whose thermal averages are exact.

All 2^N configurations of every disorder sample are enumerated, so that only the disorder is left to chance; an experiment is D
samples drawn from them, and its interval covers if it holds the average over all of them. For each observable: the skewness
over disorder, and for each D the share of experiments whose 95 % interval covers, as Student's t has it and as
`Estimate.interval` has it, and rms z of both. Experiments without an error bar (events too rare) are left out; a percentage
says how many.

    python tests/error_coverage.py            a minute: 400 samples of each network, 1000 experiments
    python tests/error_coverage.py --long     5 minutes: 1500 samples, 3000 experiments; the table of docs/conventions.md
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
from scipy.stats import skew
from scipy.stats import t as student

from hebb import models
from hebb.error_bars import interval, normal_score
from hebb.statistics import of_samples

SIZES = (8, 32, 128)
SEED = 1  # that of `simulate`: its disorder samples
_ROUNDING = 1e-9  # averages that vanish by symmetry are rounding errors

#: name -> (model, temperature). The first is hard: where some of 30 patterns on 10 spins are alike, a sample is another world.
NETWORKS = {
    "dense, P = 4, K = 30": (models.Dense(10, p_body=4, n_patterns=30), 0.9),
    "dense, P = 4, examples": (models.Dense(10, p_body=4, n_patterns=5, r=0.8, n_examples=3, protocol="unsupervised"), 0.8),
    "dense, P = 2, K = 4": (models.Dense(10, p_body=2, n_patterns=4), 0.4),
    "multitasking, K = 3": (models.Multitask(10, n_patterns=3, dilution=0.3), 0.25),
    "perceptron, K = 11": (models.BinaryPerceptron(11, n_patterns=11), 0.5),
    "second task, K = 11": (models.SecondTask(models.BinaryPerceptron(11, n_patterns=11), 1.0, 0.5, 0.3, reference_sweeps=20),
                            0.5),
}


def configurations(n_spins: int) -> np.ndarray:
    """(2^N, N) all configurations; that of number a xor b is the product of those of a and b."""
    return 1.0 - 2.0 * (np.arange(2**n_spins)[:, None] >> np.arange(n_spins) & 1)


def overlaps_of_replicas(p: np.ndarray) -> np.ndarray:
    """(2^N,) the law of the product of two configurations drawn from p (2^N,), by Walsh transforms."""
    return _walsh(_walsh(p) ** 2) / len(p)


def _walsh(p: np.ndarray) -> np.ndarray:
    step, size = 1, p.size
    while step < size:
        p = p.reshape(-1, 2, step)
        p = np.stack([p[:, 0] + p[:, 1], p[:, 0] - p[:, 1]], axis=1)
        step *= 2
    return p.ravel()


def exact_averages(model, temperature: float, samples: int) -> dict[str, np.ndarray]:
    """name -> (samples,) thermal averages of everything that is measured on a model, on its first disorder samples."""
    n, every = model.n_spins, configurations(model.n_spins)
    q, found = every.mean(axis=1), {}
    for disorder in range(samples):
        instance = model.draw(SEED, disorder)
        if model.kind == "second_task":
            instance = instance.at(temperature, disorder)
        x = every @ instance.stored.T.astype(float)
        energy = np.sum(model.potential(x, instance.stored_bits.counts()), axis=1)
        total = energy - every @ instance.fields
        p = np.exp(-(total - total.min()) / temperature)
        p /= p.sum()
        law_of_q = overlaps_of_replicas(p)
        seen = {"energy": energy / n} | _observables(instance, every, x)
        averages = {name: p @ values for name, values in seen.items()} | {"q": law_of_q @ q}
        if model.kind == "dense":
            averages["abs_q"] = law_of_q @ np.abs(q)
            if model.planted_energy is not None:
                planted = np.argmax(every @ instance.patterns[0])
                averages["energy_cv"] = averages["energy"] + model.planted_energy - energy[planted] / n
        for name, value in averages.items():
            found.setdefault(name, np.empty(samples))[disorder] = value
    return found


def _observables(instance, every: np.ndarray, x: np.ndarray) -> dict[str, np.ndarray]:
    """name -> (2^N,) what is measured on single configurations; x (2^N, K) their overlaps with the rows."""
    n, model, seen = instance.n_spins, instance.model, {}
    if model.kind in ("perceptron", "second_task"):
        weights = {"r": instance.teacher}
        if model.kind == "second_task":
            weights = {"r1": instance.teacher, "r2": instance.teacher2, "overlap_reference": instance.reference}
        errors = {"r": "generalization_error", "r1": "error_task1", "r2": "error_task2"}
        for name, other in weights.items():
            seen[name] = every @ other / n
            if name in errors:
                seen[errors[name]] = np.arccos(seen[name].clip(-1, 1)) / np.pi
        return seen | {"training_error": np.mean(model.violated(x), axis=1)}
    m = every @ instance.patterns[0] / n
    seen = {"m": m, "abs_m": np.abs(m)} if model.kind == "dense" else {"m": m}
    if instance.learned is not None:
        seen["n"] = every @ instance.learned / n
    return seen


@dataclass(frozen=True)
class Coverage:
    """Of many experiments of D samples: the share whose 95 % interval covers by Student's t and as it is given, rms z of both,
    and the share without an error bar, which is left out of the others."""

    student: float
    given: float
    rms_student: float
    rms_given: float
    refused: float


def coverage(population: np.ndarray, samples: int, experiments: int, seed: int = 1) -> Coverage:
    """Experiments drawn with replacement from the exact values (n,) of disorder samples."""
    rng = np.random.default_rng([seed, samples])
    truth, reach = population.mean(), student.ppf(0.975, samples - 1)
    rows = []
    for chosen in rng.integers(len(population), size=(experiments, samples)):
        found = of_samples(population[chosen])
        if not found.refusal:
            deviation = (found.mean - truth) / found.raw_error
            low, high = interval(found.mean, found.raw_error, samples, found.skewness)
            rows.append((abs(deviation) <= reach, low <= truth <= high, normal_score(deviation, samples) ** 2,
                         normal_score(deviation, samples, found.skewness) ** 2))
    mean = np.mean(rows, axis=0) if rows else np.full(4, np.nan)
    return Coverage(mean[0], mean[1], mean[2] ** 0.5, mean[3] ** 0.5, 1 - len(rows) / experiments)


def observables_of(model, temperature: float, samples: int) -> dict[str, np.ndarray]:
    """`exact_averages` without what vanishes by symmetry."""
    found = exact_averages(model, temperature, samples)
    return {name: values for name, values in found.items() if np.ptp(values) > _ROUNDING}


def main(long: bool) -> None:
    samples, experiments = (1500, 3000) if long else (400, 1000)
    head = " | ".join(f"D = {size}" for size in SIZES)
    print(f"| network | observable | skewness | {head} | rms z at D = {', '.join(map(str, SIZES))} |")
    print("|---|---|---|" + "---|" * (len(SIZES) + 1), flush=True)
    for name, (model, temperature) in NETWORKS.items():
        for observable, values in observables_of(model, temperature, samples).items():
            found = [coverage(values, size, experiments) for size in SIZES]
            cells = [f"{c.student:.3f} -> {c.given:.3f}" + (f" ({c.refused:.0%})" if c.refused > 0.005 else "") for c in found]
            scores = ", ".join(f"{c.rms_student:.2f} -> {c.rms_given:.2f}" for c in found)
            print(f"| {name} | {observable} | {skew(values):+.1f} |", " | ".join(cells), f"| {scores} |", flush=True)


if __name__ == "__main__":
    main("--long" in sys.argv[1:])
