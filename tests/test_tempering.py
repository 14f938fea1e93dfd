"""Temperature ladders: the enumerated law at every temperature, exchanges counted, and the same bits however they are run."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import assert_same_datasets, assert_z, clean_environment, mpiexec, refused, run_hebb
from conftest import hebb as command
from scipy.special import gammaln
from scipy.stats import chi2, norm

import hebb
from hebb import models
from hebb.compare import compare_results, normal_score
from hebb.errors import HebbWarning, ParameterError
from hebb.params import digest
from hebb.runs.executors import SerialExecutor
from hebb.runs.job import run_job
from hebb.runs.plan import Plan
from hebb.runs.worker import compute
from hebb.sampling.chain import Chain
from hebb.sampling.tempering import Ladder
from hebb.storage.results import Results
from hebb.storage.taskfile import read_task, write_task

ALARM = 2e-6


def all_spins(n):
    return np.array(list(itertools.product([1, -1], repeat=n)), np.int8)


def boltzmann(log_weight):
    weight = np.exp(log_weight - log_weight.max())
    return weight / weight.sum()


def scores(seen, exact):
    """z of the means of independent ladders, seen (L, R), whose scatter is the error."""
    n = seen.shape[1]
    deviations = (seen.mean(axis=1) - exact) / (seen.std(axis=1, ddof=1) / np.sqrt(n))
    return [normal_score(deviation, n) for deviation in deviations]


# --- the law of a ladder -----------------------------------------------------------------------------------------------------

def small_models():
    """(model, ratio of the two temperatures, rule)."""
    rng = np.random.default_rng(3)
    patterns = rng.choice([-1, 1], size=(5, 4))
    yield models.Dense(p_body=2, patterns=patterns, fields=rng.normal(scale=0.5, size=4)), 1.5, "metropolis"
    yield models.Dense(p_body=3, hamiltonian="naive", patterns=patterns), 2.0, "glauber"
    yield models.Multitask(n_spins=4, n_patterns=2, dilution=0.3), 1.5, "metropolis"
    yield models.BinaryPerceptron(patterns=patterns, labels="random"), 2.5, "metropolis"


@pytest.mark.statistical
@pytest.mark.parametrize("model, ratio, rule", list(small_models()), ids=lambda item: getattr(item, "kind", str(item)))
def test_two_temperatures_have_the_exact_joint_law(model, ratio, rule):
    """Four spins at two temperatures: the matrix of one sweep and one exchange is known, leaves the product of the two
    Boltzmann laws alone (balance), and gives the covariance of the occupation of all 256 pairs of configurations and of
    single steps along a correlated trajectory (as in test_exact)."""
    instance, n, replicas, steps = model.draw(1), model.n_spins, 4, 12_000
    spins = all_spins(n)
    energy = instance.energy(spins)
    low = 1.2 * np.std(energy)
    beta = 1 / np.array([low, ratio * low])
    laws = [boltzmann(-b * energy) for b in beta]
    sweeps = [np.linalg.matrix_power(sum(flip_matrices(energy, spins, b, rule)) / n, n) for b in beta]
    cold, hot = np.divmod(np.arange(len(spins) ** 2), len(spins))
    accept = np.minimum(1, np.exp((beta[0] - beta[1]) * (energy[cold] - energy[hot])))
    exchange = np.diag(1 - accept)
    exchange[np.arange(cold.size), hot * len(spins) + cold] += accept
    p, step = np.kron(*laws), np.kron(*sweeps) @ exchange
    np.testing.assert_allclose(p[:, None] * exchange, (p[:, None] * exchange).T, atol=1e-15)  # detailed balance of exchanges
    np.testing.assert_allclose(p @ step, p, atol=1e-14)

    ladder = Ladder(instance, 1 / beta, replicas, start="random", dynamics=rule, seed=5)
    codes = 1 << np.arange(n)[::-1]
    states = np.empty((steps, replicas), int)
    ladder.advance(50)
    for row in states:
        ladder.advance(1)
        index = ((1 - ladder.spins.astype(int)) // 2) @ codes
        row[:] = index[0] * len(spins) + index[1]
    deviation = np.bincount(states.ravel(), minlength=p.size) / states.size - p
    covariance = p[:, None] * np.linalg.inv(np.eye(p.size) - step + p)
    covariance = (covariance + covariance.T - np.diag(p) - np.outer(p, p)) / states.size
    seen = p * states.size >= 10
    chi_square = deviation[seen] @ np.linalg.pinv(covariance[np.ix_(seen, seen)], rcond=1e-9, hermitian=True) @ deviation[seen]
    total = energy[cold] / (1 + energy[hot] ** 2)  # any function of both
    before, after = states[:-1], states[1:]
    increments = total[after] - (step @ total)[before]
    variance = (step @ total**2 - (step @ total) ** 2)[before]
    z = [norm.isf(chi2.sf(chi_square, np.sum(seen) - (1 if np.all(seen) else 0))),
         increments.sum() / np.sqrt(variance.sum())]
    assert_z(z, ALARM, f"occupation and steps of a {model.kind} ladder, z = {z}")


def flip_matrices(energy, spins, beta, rule):
    """The matrices of one proposal at each site."""
    for site in range(spins.shape[1]):
        flipped = np.arange(len(spins)) ^ (1 << (spins.shape[1] - 1 - site))
        y = beta * (energy[flipped] - energy)
        accept = np.minimum(1, np.exp(-y)) if rule == "metropolis" else 1 / (1 + np.exp(y))
        matrix = np.diag(1 - accept)
        matrix[np.arange(len(spins)), flipped] = accept
        yield matrix


def enumerated_models():
    fields = np.random.default_rng(2).normal(scale=0.2, size=12)
    first = models.BinaryPerceptron(11, alpha=0.8)
    return {
        "P = 2": (models.Dense(12, 2, n_patterns=3), [0.2, 0.4, 0.7, 1.2]),
        "P = 3 with fields": (models.Dense(12, 3, n_patterns=6, fields=fields), [0.25, 0.4, 0.6, 1.0]),
        "P = 4": (models.Dense(12, 4, n_patterns=4, hamiltonian="naive"), [0.3, 0.5, 0.8, 1.3]),
        "P = 4 from examples": (models.Dense(12, 4, n_patterns=5, r=0.7, n_examples=3), [0.4, 0.7, 1.1, 1.6]),
        "multitask": (models.Multitask(n_spins=12, n_patterns=3, dilution=0.4), [0.1, 0.2, 0.35, 0.6]),
        "perceptron": (models.BinaryPerceptron(11, alpha=2.0), [0.3, 0.6, 1.0, 2.0]),
        "second task": (models.SecondTask(first, alpha=1.5, teacher_correlation=0.5, coupling=0.4,
                                          reference=np.resize([1, 1, -1], 11)), [0.3, 0.6, 1.0, 2.0]),
    }


@pytest.mark.statistical
@pytest.mark.parametrize("name", list(enumerated_models()))
def test_every_temperature_has_the_enumerated_law(name):
    """Energies of 48 independent ladders and squared overlaps of 24 pairs of them, whose scatter is the error; the energy of a
    second task is that without the coupling."""
    model, temperatures = enumerated_models()[name]
    instance, n, replicas = model.draw(4), model.n_spins, 48
    spins = all_spins(n)
    energy, coupling, codes = instance.energy(spins), 0.0, 1 << np.arange(n)[::-1]
    if name == "second task":
        coupling = model.coupling * (spins @ model.reference.astype(float))
    ladder = Ladder(instance, temperatures[::-1], replicas, start="random", seed=8)
    ladder.advance(100)
    measured = {"energy": 0.0, "q2": 0.0}
    for _ in range(400):
        ladder.advance(1)
        signs = ladder.spins.astype(float)
        q = np.sum(signs[:, ::2] * signs[:, 1::2], axis=2) / n
        total = energy[((1 - signs.astype(int)) // 2) @ codes]
        measured = {"energy": measured["energy"] + total / n / 400, "q2": measured["q2"] + q**2 / 400}
    np.testing.assert_allclose(ladder.measure()["energy"], total / n, atol=1e-12)  # sums in another order
    laws = [boltzmann(coupling - energy / temperature) for temperature in temperatures]
    z = scores(measured["energy"], [p @ energy / n for p in laws])
    z += scores(measured["q2"], [np.sum((spins.T.astype(float) @ (p[:, None] * spins)) ** 2) / n**2 for p in laws])
    assert_z(z, ALARM, f"{name}: energies and q^2 by temperature, z = {np.round(z, 2)}")
    assert ladder.rungs["round_trips"][0] > 1, "configurations move along the ladder"


@pytest.mark.statistical
def test_a_ladder_crosses_the_barrier_that_keeps_chains():
    """Two patterns on 40 spins at T = 0.35, where |m| = 0.98: chains stay in the planted one, the law has all four states.
    It is summed exactly over the spins on which the patterns agree and differ."""
    instance, n, replicas = models.Dense(40, 2, n_patterns=2).draw(2), 40, 24
    temperatures = [0.35, 0.45, 0.6, 0.8, 1.05, 1.4]
    ladder, chain = Ladder(instance, temperatures, replicas, seed=2), Chain(instance, 0.35, replicas, seed=2)
    n_same = int(np.sum(instance.patterns[0] == instance.patterns[1]))
    up, other_up = np.meshgrid(np.arange(n_same + 1), np.arange(n - n_same + 1), indexing="ij")
    ways = sum(gammaln(k + 1) - gammaln(w + 1) - gammaln(k - w + 1) for k, w in ((n_same, up), (n - n_same, other_up)))
    same, other = 2 * up - n_same, 2 * other_up - (n - n_same)
    m, m2 = (same + other) / n, (same - other) / n
    energy = -n / 2 * (m**2 + m2**2) + 1  # distinct indices: 1/2 per pattern
    law = {"m": m, "abs_m": np.abs(m), "energy": energy / n}
    measured, alone = {}, 0.0
    for each in (ladder, chain):
        each.advance(200)
    for _ in range(2000):
        ladder.advance(1)
        chain.advance(1)
        overlaps = ladder.spins @ instance.patterns.T.astype(float) / n
        seen = {"m": overlaps[..., 0], "abs_m": np.abs(overlaps[..., 0]), "energy": 1 / n - np.sum(overlaps**2, axis=2) / 2}
        measured = {name: measured.get(name, 0.0) + value / 2000 for name, value in seen.items()}
        alone += np.mean(np.abs(chain.spins @ instance.condensed)) / n / 2000
    laws = [boltzmann(ways - energy / temperature) for temperature in temperatures]
    z = [score for name, values in law.items() for score in scores(measured[name], [np.sum(p * values) for p in laws])]
    assert_z(z, ALARM, f"two-pattern ladder, z = {np.round(z, 2)}")
    assert alone > 0.95 > 0.65 > np.sum(laws[0] * np.abs(m)), "a chain knows one state only"
    assert not chain.lost and ladder.lost and ladder.rungs["lost"][0]


@pytest.mark.statistical
def test_a_cold_perceptron_finds_its_teacher_by_way_of_the_hot_ones():
    """N = 17, alpha = 1.5, T = 0.1: chains from random starts end in local minima; the law has r = 0.88."""
    model, n, replicas = models.BinaryPerceptron(17, alpha=1.5), 17, 24
    instance, temperatures = model.draw(1, disorder=4), [0.1, 0.16, 0.24, 0.36, 0.55, 0.9]
    spins = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1).astype(np.float32)
    energy = np.sum(model.cost(spins @ instance.patterns.T.astype(np.float32)), axis=1)
    teacher = instance.teacher.astype(np.float32)
    ladder, chain = Ladder(instance, temperatures, replicas, start="random", seed=3), Chain(
        instance, 0.1, replicas, start="random", seed=3)
    ladder.advance(300)
    chain.advance(300)
    r, alone = 0.0, 0.0
    for _ in range(1000):
        ladder.advance(1)
        chain.advance(1)
        r, alone = r + ladder.spins @ teacher / n / 1000, alone + np.mean(chain.spins @ teacher) / n / 1000
    exact = np.array([boltzmann(-energy / temperature) @ (spins @ teacher) / n for temperature in temperatures])
    z = scores(r, exact)
    assert_z(z, ALARM, f"overlap with the teacher, z = {np.round(z, 2)}")
    assert exact[0] > 0.85 > 0.6 > alone


# --- what a ladder is made of -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("model, start", [(models.Dense(48, 2, n_patterns=1), "random"),
                                          (models.BinaryPerceptron(31, alpha=0.5), "random"),
                                          (models.SecondTask(models.BinaryPerceptron(31, alpha=0.5), alpha=0.5,
                                                             coupling=0.3, reference=np.ones(31)), "reference"),
                                          (models.Multitask(40, 3, dilution=0.2), "hierarchical")])
def test_without_accepted_exchanges_a_ladder_is_its_chains(model, start):
    """Bit for bit: its configurations keep the streams of the chains at single temperatures."""
    settings = {"start": start, "replicas": 3, "seed": 9}
    temperatures = [0.9, 0.3, 40.0]
    ladder = Ladder(model.draw(9), temperatures, exchange_every=1000, **settings)
    ladder.advance(30)
    for rung, temperature in enumerate(sorted(temperatures)):
        chain = Chain(model.draw(9), temperature, **settings)
        chain.advance(30)
        np.testing.assert_array_equal(ladder.spins[rung], chain.spins)
        for name, value in chain.measure().items():
            np.testing.assert_array_equal(ladder.measure()[name][rung], value)
        assert ladder.rungs["acceptance"][rung] == chain.acceptance
    assert np.isnan(ladder.rungs["exchange_acceptance"]).all()


def test_rejected_exchanges_change_nothing():
    """T = 0.02 against T = 50: once the cold end has its state no exchange is accepted, and offers are made all the time."""
    model = models.Dense(48, 2, n_patterns=1)
    settings = {"disorder": 2, "sweeps": 200, "thermalize": 30, "start": "random", "seed": 4}
    with pytest.warns(HebbWarning) as caught:
        ladder = hebb.simulate(model, [0.02, 50.0], tempering=True, exchange_every=10, **settings)
    assert [str(item.message).split(";")[0] for item in caught] == [
        "neighbouring temperatures 0.02 and 50 of a ladder exchange in only 0 of the attempts (pairs below 0.1: 1)",
        "in 2 of 2 temperature ladders no configuration went from the lowest temperature to the highest and back"]
    chains = hebb.simulate(model, [0.02, 50.0], **settings)
    assert set(ladder) - set(chains) == {"exchange_acceptance", "flow", "round_trips"}
    for name in chains:
        np.testing.assert_array_equal(ladder[name].samples, chains[name].samples)
    assert (ladder.exchange["exchange_acceptance"][0] == 0).all() and (ladder.exchange["round_trips"] == 0).all()


def test_exchanges_move_temperatures_and_are_counted():
    """Round trips, flow and acceptances against a plain count along the recorded positions."""
    model = models.Dense(20, 2, n_patterns=2)
    ladder = Ladder(model.draw(0), [0.4, 0.8, 0.6, 1.1], replicas=3, start="random", seed=1, exchange_every=2)
    rows = [ladder.snapshot()["at"]]
    for _ in range(600):
        ladder.advance(1)
        if ladder.sweeps_done % 2 == 0:
            rows.append(ladder.snapshot()["at"])
    rows = np.array(rows)
    assert all(sorted(row.ravel()) == list(range(12)) for row in rows)
    assert (rows % 3 == np.arange(3)).all(), "replicas never mix"
    moved = rows[1:] != rows[:-1]
    for pair, first in ((0, 1), (1, 0), (2, 1)):  # the first round offers the pair (1, 2) alone
        taken = moved[first::2, pair] & (rows[1 + first::2, pair] == rows[first:-1:2, pair + 1])
        assert ladder.rungs["exchange_acceptance"][pair] == taken.mean()
    trips, cold, hot = 0, np.zeros(4), np.zeros(4)
    for c in range(12):
        last, been_cold = None, False
        for row in rows:
            rung = int(np.argwhere(row == c)[0, 0])
            if rung == 0:
                trips += been_cold and last == "hot"
                last, been_cold = "cold", True
            elif rung == 3:
                last = "hot"
            cold[rung] += last == "cold"
            hot[rung] += last == "hot"
    np.testing.assert_allclose(ladder.rungs["round_trips"], trips / 3)
    np.testing.assert_allclose(ladder.rungs["flow"], cold / (cold + hot))
    assert trips > 10 and ladder.rungs["flow"][0] == 1 and ladder.rungs["flow"][-1] == 0


def test_how_the_sweeps_are_cut_does_not_matter():
    model = models.Dense(20, 3, n_patterns=4)
    one, other = (Ladder(model.draw(0), [0.3, 0.5, 0.9], exchange_every=3, seed=2) for _ in range(2))
    one.advance(40)
    for piece in (1, 2, 5, 1, 1, 20, 7, 3):
        other.advance(piece)
    for name, array in one.snapshot().items():
        np.testing.assert_array_equal(array, other.snapshot()[name])
    assert {name: value.tobytes() for name, value in one.rungs.items()} == {
        name: value.tobytes() for name, value in other.rungs.items()}


# --- jobs ---------------------------------------------------------------------------------------------------------------------

JOB = """
[job]
name = "ladders"
seed = 11
[model]
kind = "dense"
n_spins = 24
p_body = 3
temperature = [0.8, 0.4, 0.6]
n_patterns = [5, 20]
[sampling]
disorder = 2
replicas = 2
thermalize = 10
sweeps = 600
measure_every = 3
tempering = true
exchange_every = 2
keep_spins = true
[run]
checkpoint_every = "00:00:00"
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """job.toml (a checkpoint at every measurement), calm.toml (none) and the undisturbed run."""
    path = tmp_path_factory.mktemp("ladders")
    (path / "job.toml").write_text(JOB)
    (path / "calm.toml").write_text(JOB.replace("00:00:00", "01:00:00"))
    assert run_job(path / "calm.toml", SerialExecutor(), out=path / "one").done == 4
    return path


def test_a_ladder_is_one_task_and_its_points_are_as_usual(place, capsys):
    plan = Plan.from_toml(place / "job.toml")
    assert len(plan.points) == 6 and len(plan.tasks) == 4
    assert [(task.point, task.temperature) for task in plan.tasks[::2]] == [((2, 4, 0), (0.4, 0.6, 0.8)),
                                                                             ((3, 5, 1), (0.4, 0.6, 0.8))]
    found = hebb.load(place / "one")
    assert found.done.shape == (6, 2) and found.done.all() and [p["temperature"] for p in found.points[::2]] == [0.8, 0.4, 0.6]
    assert found["energy"].mean[2] < found["energy"].mean[4] < found["energy"].mean[0], "each temperature at its own place"
    assert found.spins[4, 1]["final"].shape == found.spins[4, 1]["start"].shape == (2, 24)
    np.testing.assert_array_equal(found.spins[4, 1]["start"][0], found.spins[4, 1]["planted"])
    merged = hebb.load(place / "one" / "results.h5")
    assert {*found.exchange} == {"exchange_acceptance", "round_trips", "flow"} == {*merged.exchange}
    np.testing.assert_array_equal(merged["flow"].samples, found["flow"].samples)
    assert np.isnan(found["exchange_acceptance"].mean[:2]).all() and (found["exchange_acceptance"].mean[2:] > 0).all()
    row = found.to_table()[2]
    assert {"m", "q", "energy", "acceptance", "exchange_acceptance", "round_trips", "flow"} <= row.keys()
    assert len(compare_results(found).rows) >= 6
    code, out, _ = command(capsys, "check", place / "job.toml")
    assert code == 0 and "6 points in 2 temperature ladders x 2 disorder samples = 4 tasks" in out
    code, out, _ = command(capsys, "status", place / "one")
    assert code == 0 and "4 of 4 tasks done" in out and "temperature ladders: neighbours exchange in 0." in out
    code, out, _ = command(capsys, "merge", place / "one")
    assert code == 0 and "4 of 4 tasks are in" in out and "round_trips" in out


def test_ladders_as_xarray():
    pytest.importorskip("xarray")
    model = models.BinaryPerceptron(9, 1.0)
    ladder = hebb.simulate(model, [0.5, 1.0], disorder=2, sweeps=200, thermalize=0, start="random", tempering=True)
    assert ladder.to_xarray()["flow"].dims == ("temperature",)


def test_the_order_of_temperatures_only_orders_the_results():
    model, settings = models.Dense(24, 2, n_patterns=3), {"tempering": True, "disorder": 2, "sweeps": 400, "thermalize": 50}
    one, other = (hebb.simulate(model, order, **settings) for order in ([0.5, 0.9, 0.7], [0.9, 0.7, 0.5]))
    for name in one:
        np.testing.assert_array_equal(one[name].samples, other[name].samples[[2, 0, 1]])


def test_simulate_is_the_job(place):
    """And each model of a job has the ladder that it has alone."""
    found = hebb.load(place / "one")
    again = hebb.simulate(models.Dense(24, 3, n_patterns=20), [0.8, 0.4, 0.6], seed=11, disorder=2, thermalize=10, sweeps=600,
                          measure_every=3, tempering=True, exchange_every=2, keep_spins=True)
    for name in again:
        np.testing.assert_array_equal(again[name].samples, found[name].samples[1::2])


def test_interrupted_at_every_step_equals_undisturbed(tmp_path):
    task = Plan.from_text(JOB.replace("sweeps = 600", "sweeps = 30")).tasks[1]
    whole, record, visits = compute(task), None, 0
    while record is None or record.status != "done":
        record = compute(task, record, stop=lambda: True)
        write_task(tmp_path / "task.h5", record)
        record, visits = read_task(tmp_path / "task.h5"), visits + 1
    assert visits >= 10 and record.acceptance == whole.acceptance and record.lost == whole.lost
    for one, other in ((record.series, whole.series), (record.rungs, whole.rungs), (record.spins, whole.spins)):
        assert {name: array.tobytes() for name, array in one.items()} == {
            name: array.tobytes() for name, array in other.items()}


def test_killed_and_resumed_equals_undisturbed(place):
    process = subprocess.Popen([sys.executable, "-m", "hebb", "run", "job.toml", "--out", "killed"], cwd=place,
                               env=clean_environment(), stderr=subprocess.DEVNULL)
    limit = time.monotonic() + 60
    while not list((place / "killed" / "tasks").glob("*.h5")):
        assert process.poll() is None and time.monotonic() < limit
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    again = run_hebb("run", "calm.toml", "--out", "killed", "--resume", cwd=place)
    assert again.returncode == 0, again.stderr
    assert_same_datasets(place / "killed" / "results.h5", place / "one" / "results.h5")


@pytest.mark.mpi
def test_two_ranks_give_the_same_bits(place):
    mpiexec()
    result = run_hebb("run", "calm.toml", "--out", "two", cwd=place, ranks=2)
    assert result.returncode == 0 and "4 tasks done" in result.stdout, result.stderr
    assert_same_datasets(place / "two" / "results.h5", place / "one" / "results.h5")


def test_jobs_without_tempering_keep_their_names(place):
    """The digest of a job from before there were ladders."""
    plan = Plan.from_text(JOB.replace("tempering = true\nexchange_every = 2\n", ""))
    sampling = {"disorder": 2, "replicas": 2, "start": "planted", "corruption": None, "thermalize": 10, "sweeps": 600,
                "measure_every": 3, "dynamics": "metropolis", "expansion": None, "damping": None, "order": "random",
                "tempering": False, "keep_spins": True}
    points = [{**model.parameters(), "temperature": temperature} for model, temperature in plan.points]
    assert plan.index()["digest"] == digest({"points": points, "seed": 11, "sampling": sampling})
    assert [task.point for task in plan.tasks] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert len({Plan.from_text(text).index()["digest"] for text in (JOB, JOB.replace("exchange_every = 2", ""))}) == 2


def test_weak_ladders_are_named(tmp_path, capsys):
    text = JOB.replace("[0.8, 0.4, 0.6]", "[40.0, 0.05, 20.0]").replace("sweeps = 600", "sweeps = 12")
    (tmp_path / "job.toml").write_text(text)
    code, _, err = command(capsys, "run", tmp_path / "job.toml", "--out", tmp_path / "run")
    lines = err.splitlines()
    assert code == 0 and len(lines) == 2, err
    assert lines[0].startswith("hebb: neighbouring temperatures 0.05 and 20 of a ladder exchange in only ")
    assert lines[0].endswith("put temperatures between them")
    assert lines[1].startswith("hebb: in 4 of 4 temperature ladders no configuration went from the lowest temperature to the")
    assert lines[1].endswith("raise sweeps, or put temperatures where the flow is steepest")
    assert all(line.removeprefix("hebb: ") in (tmp_path / "run" / "log.txt").read_text() for line in lines)
    assert json.loads((tmp_path / "run" / "plan.json").read_text())["tasks"][0][1] == [2, 4, 0]
    _, _, err = command(capsys, "merge", tmp_path / "run")
    assert err.splitlines() == lines


@pytest.mark.parametrize("changes, message", [
    ({"temperature": 0.5}, "a ladder needs at least two temperatures"),
    ({"temperature": [0.5, 0.5]}, "points 0 and 1 of the job are the same"),
    ({"temperature": [0.5, 0.0]}, r"temperature = 0.0 is not a number in \]0, inf\[; a ladder has temperatures > 0 only"),
    ({"dynamics": "zero_temperature", "temperature": [0.0]}, "dynamics = 'zero_temperature' with tempering = true"),
    ({"dynamics": "lumped"}, "dynamics = 'lumped' with tempering = true.*use 'metropolis' or 'glauber'"),
    ({"dynamics": "hubbard_stratonovich"}, "dynamics = 'hubbard_stratonovich' with tempering = true"),
    ({"dynamics": "plefka"}, "dynamics = 'plefka' with tempering = true"),
    ({"dynamics": "gradient"}, "dynamics = 'gradient' with tempering = true"),
    ({"dynamics": "hmc"}, "dynamics = 'hmc' with tempering = true"),
    ({"exchange_every": 0}, "exchange_every = 0 is not a whole number at least 1"),
    ({"exchange_every": "often"}, "exchange_every = 'often' is not a whole number"),
    ({"tempering": False, "exchange_every": 2}, "exchange_every = 2 has no meaning without tempering = true"),
    ({"tempering": "yes"}, "tempering = 'yes' is not true or false"),
    ({"damping": 0.1}, "damping = 0.1 has no meaning with dynamics = 'metropolis'"),
    ({"start": "nowhere"}, "start = 'nowhere' is not one of"),
])
def test_what_no_ladder_can_have_is_refused_in_one_sentence(changes, message):
    settings = {"temperature": [0.5, 0.8], "disorder": 1, "thermalize": 0, "sweeps": 5, "tempering": True} | changes
    with pytest.raises(ParameterError, match=message) as caught:
        Plan.from_keywords(models.Dense(20, 2, n_patterns=2), settings.pop("temperature"), **settings)
    assert "\n" not in str(caught.value)


def test_a_sampled_reference_is_refused():
    model = models.SecondTask(models.BinaryPerceptron(21, alpha=1.0), alpha=1.0, coupling=1.0)
    with pytest.raises(ParameterError, match="reference = 'sample' with tempering = true: every temperature would") as caught:
        hebb.simulate(model, [0.5, 0.8], tempering=True)
    assert "\n" not in str(caught.value)


def test_a_job_with_one_temperature_is_refused(folder, capsys):
    text = (folder / "tiny.toml").read_text().replace("[0.5, 0.8]", "0.5")
    (folder / "tiny.toml").write_text(text + "tempering = true\n")
    assert "at least two temperatures, all different; add some" in refused(capsys, "run", "tiny.toml")


def test_results_without_ladders_have_no_exchanges():
    found = hebb.simulate(models.Dense(16, 2, n_patterns=2), [0.5, 0.8], disorder=2, sweeps=60, thermalize=5)
    assert found.exchange == {} and "flow" not in found and found.exchange_notes == []
    assert isinstance(found, Results)
