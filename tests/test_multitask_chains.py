"""Chains of multitasking networks spin by spin: energies, flip costs and ties against definitions, Boltzmann's law against
enumeration, runs."""

import itertools
import math
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from conftest import assert_same_datasets, assert_z, run_hebb
from test_exact import N_SPINS, SPINS, judge, suitable_temperature
from test_kernels import SETS, streams
from test_multitask_models import ALARM, DATA, by_definition

import hebb
from hebb import models, simulate
from hebb.errors import ParameterError
from hebb.models.base import quadratic, tabulate
from hebb.models.classes import Classes
from hebb.runs.cost import seconds_of, series_bytes
from hebb.runs.plan import Plan
from hebb.runs.worker import compute, run_task
from hebb.sampling.chain import Chain, sample
from hebb.storage.results import Results

JOB = """
[job]
name = "tasks"
seed = 3
[model]
kind = "multitask"
n_spins = 60
n_patterns = [2, 3]
dilution = 0.3
protocol = "unsupervised"
r = 0.7
n_examples = 2
temperature = [0.1, 0.3]
[sampling]
disorder = 2
replicas = 3
thermalize = 5
sweeps = 20
measure_every = 2
start = "hierarchical"
dynamics = "glauber"
keep_spins = true
"""


@pytest.mark.parametrize("counts", [[4, 7, 4, 0, 1], [5], [6, 6]])
def test_the_quadratic_table_is_the_general_one(counts):
    counts = np.array(counts)
    one, other = quadratic(counts, -0.3), tabulate(lambda n: [x * x for x in range(-n, n + 1, 2)], counts, -0.3, centred=False)
    for mu, n in enumerate(counts):
        first, second = (slice(t.base[mu], t.base[mu] + n + 1) for t in (one, other))
        x = np.arange(-n, n + 1, 2)
        np.testing.assert_allclose(one.unit * one.a[first], -0.3 * ((x - 2) ** 2 - (x + 2) ** 2) / 2, atol=1e-14)
        if n > 1:  # the general table cannot extrapolate shorter ones
            np.testing.assert_allclose(one.unit * one.a[first], other.unit * other.a[second], atol=1e-14)
            np.testing.assert_allclose(one.unit * one.b[first], other.unit * other.b[second], atol=1e-14)
    starts = [(one.unit * one.f[one.base + k], other.unit * other.f[other.base + k]) for k in (np.zeros_like(counts), counts)]
    for mine, theirs in starts:
        assert one.constant + mine.sum() == pytest.approx(other.constant + theirs.sum())


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("k, d", [(1, 0.3), (3, 0.4), (5, 0.0), (70, 0.5)])
@pytest.mark.parametrize("units", [{}, dict(normalize_dilution=True, normalize_examples=False)])
def test_energies_and_flip_costs_are_the_definition(name, k, d, units):
    data, n, rng = DATA[name], 31, np.random.default_rng(1)
    if "rho" in data and units:
        units = dict(normalize_dilution=True)
    model = models.Multitask(n, k, d, **data, **units, fields=rng.normal(size=n))
    instance, spins = model.draw(1, 2), rng.choice([-1, 1], size=(3, n))
    expected = by_definition(model, instance, data, spins)
    np.testing.assert_allclose(instance.energy(spins), expected, rtol=1e-12)
    flipped = np.array([[by_definition(model, instance, data, np.where(np.arange(n) == i, -spins, spins))] for i in range(n)])
    for instruction_set in SETS:
        kernel = instance.kernel(instruction_set)
        kernel.load(spins)
        np.testing.assert_allclose(kernel.energy, expected, rtol=1e-12)
        for r in range(3):
            np.testing.assert_allclose(kernel.costs(r), flipped[:, 0, r] - expected[r], atol=1e-12 * abs(expected[r]))
        kernel.sweep(5, 0.5, streams(3))
        np.testing.assert_allclose(kernel.energy, by_definition(model, instance, data, kernel.spins), rtol=1e-12)


@pytest.mark.parametrize("name", ["storage", "even", "unsupervised"])
def test_zero_cost_flips_are_exactly_zero(name):
    """Against rational arithmetic: cost is a multiple of sum_rows [(S - 2 c s)^2 - S^2] with integers S, c."""
    m = DATA[name].get("n_examples", 1) if name == "even" else 1
    instance = models.Multitask(40, 3, 0.5, **DATA[name]).draw(2)
    rows = np.rint(instance.stored * m).astype(int)
    spins = np.random.default_rng(0).choice([-1, 1], size=(20, 40))
    kernel = instance.kernel()
    kernel.load(spins)
    ties = 0
    for r, s in enumerate(spins):
        total = rows @ s
        exact = [-sum(Fraction(int(t - 2 * c * x)) ** 2 - int(t) ** 2 for t, c in zip(total, column, strict=True))
                 for column, x in zip(rows.T, s, strict=True)]
        np.testing.assert_array_equal(np.sign(kernel.costs(r)), [np.sign(float(x)) for x in exact])
        ties += sum(x == 0 for x, column in zip(exact, rows.T, strict=True) if column.any())
    blank = ~rows.any(axis=0)
    assert blank.any() and np.all(kernel.costs(0)[blank] == 0)
    assert ties > 0, "ties of spins with entries occur, too"


@pytest.mark.statistical
@pytest.mark.parametrize("name, d, fields, rule, order", [
    (name, d, fields, rule, order)
    for (name, d), fields, (rule, order) in itertools.product(
        [("storage", 0.3), ("even", 0.4), ("gaussian", 0.3), ("unsupervised", 0.3)], [False, True],
        [("metropolis", "random"), ("glauber", "random"), ("glauber", "sequential")])
    if not (fields and order == "sequential")
])
def test_boltzmann(name, d, fields, rule, order):
    """Occupation of all 2^N configurations of a correlated chain; the judges of test_exact."""
    h = np.random.default_rng(0).normal(scale=0.3, size=N_SPINS) if fields else None
    instance = models.Multitask(N_SPINS, 3, d, **DATA[name], fields=h).draw(3)
    assert np.any(instance.patterns == 0)
    temperature = suitable_temperature(instance.energy(SPINS), spread=1.0)
    z, _ = judge(instance, temperature, rule=rule, order=order)
    assert_z(list(z.values()), ALARM, f"T = {temperature:.3g}, {z}")


@pytest.mark.statistical
def test_zero_temperature_moves_only_blank_spins_of_a_hierarchical_state():
    """Hierarchical retrieval is stable for 1 - 2d + d^K > 0, and blank spins are free: Glauber at T = 0 flips them with
    probability 1/2 each time."""
    instance = models.Multitask(3000, 3, 0.4).draw(1)
    blank = ~instance.patterns.any(axis=0)
    chain = Chain(instance, 0.0, replicas=2, start="hierarchical", dynamics="zero_temperature", seed=3)
    begun, before = chain.spins, chain.measure()
    chain.advance(40)
    after = chain.measure()
    np.testing.assert_array_equal(chain.spins[:, ~blank], begun[:, ~blank])
    np.testing.assert_array_equal(after["m"], before["m"])
    np.testing.assert_allclose(after["energy"], before["energy"], rtol=1e-14)
    accepted, n = chain.acceptance * 2 * 40, blank.mean()
    assert_z([(accepted / 80 - n / 2) / math.sqrt(n / 2 * (1 - n / 2) / (80 * 3000)),
              chain.spins[:, blank].sum() / math.sqrt(2 * blank.sum())], ALARM)


def test_chains_are_those_of_the_coupling_matrix():
    """The dense P = 2 network on the same patterns has the same couplings up to the constant diagonal: the same chain."""
    patterns = np.random.default_rng(5).choice([-1, 0, 1], size=(4, 60))
    mine, dense = models.Multitask(patterns=patterns).draw(0), models.Dense(patterns=patterns, p_body=2).draw(0)
    one, other = (instance.kernel() for instance in (mine, dense))
    for kernel in (one, other):
        kernel.load(SPINS[:1, :1] * np.ones((2, 60), int))
        kernel.sweep(30, 0.3, streams(2))
    np.testing.assert_array_equal(one.spins, other.spins)
    diagonal = np.sum(patterns != 0) / (2 * 60)
    np.testing.assert_allclose(one.energy, other.energy - diagonal, rtol=1e-12)


def test_shapes_of_results():
    model = models.Multitask(500, 3, 0.2, r=0.8, n_examples=4)
    results = simulate(model, [0.05, 0.1], disorder=3, sweeps=30, thermalize=10, start="parallel")
    for name in ("m", "n", "m_sorted"):
        assert results[name].mean.shape == results[name].raw_error.shape == (2, 3)
        assert results[name].samples.shape == (2, 3, 3)
    for name in ("energy", "loss", "product_loss", "q"):
        assert results[name].mean.shape == (2,)
    assert not results.lost.any()
    table = results.to_table()
    assert {"m[2]", "m_sorted[0]", "n[1]", "loss"} <= set(table[0])


def test_a_change_of_state_is_no_loss():
    results = simulate(models.Multitask(50, 3, 0.3), 0.6, disorder=2, sweeps=50, thermalize=0, start="planted")
    assert np.abs(results["m"].mean[0, 0]) < 0.5 * 0.7 and not results.lost.any()


def test_sorted_overlaps(tmp_path):
    plan = Plan.from_text(JOB)
    results = Results.from_records(plan.index(), (compute(task) for task in plan.tasks))
    m, ordered = results.data["m"], results["m_sorted"]
    assert m.shape == (4, 2, 10, 3, 3) and np.all(np.isnan(m[:2, ..., 2])) and np.all(np.isfinite(m[2:]))
    for point, disorder, chain in np.ndindex(4, 2, 3):
        k = 2 if point < 2 else 3
        series = m[point, disorder, :, chain, :k]
        averages = series.mean(axis=0)
        expected = sorted(range(k), key=lambda mu: -abs(averages[mu]))
        np.testing.assert_array_equal(ordered.series(point)[disorder, :, chain, :k],
                                      (series * np.sign(averages))[:, expected])
    assert np.all(np.isnan(ordered.mean[:2, 2])) and np.all(np.diff(ordered.mean[2:]) < 0) and np.all(ordered.mean[2:] > 0)
    results.save(tmp_path / "results.h5")
    again = hebb.load(tmp_path / "results.h5")
    assert again.keys() == results.keys()
    np.testing.assert_array_equal(again["m_sorted"].samples, ordered.samples)
    import h5py

    with h5py.File(tmp_path / "results.h5") as file:
        np.testing.assert_array_equal(file["samples/m_sorted"][()], ordered.samples)
        assert "m_sorted" not in file["series"]
    assert "m_sorted" not in simulate(models.Dense(20, 2, n_patterns=2), 0.3, disorder=2, sweeps=20, thermalize=0)


def test_a_job_is_simulate_and_survives_interruption(tmp_path):
    (tmp_path / "job.toml").write_text(JOB)
    done = run_hebb("run", "job.toml", "--out", "folder", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    model = models.Multitask(60, 3, 0.3, protocol="unsupervised", r=0.7, n_examples=2)
    here = simulate(model, [0.1, 0.3], disorder=2, replicas=3, thermalize=5, sweeps=20, measure_every=2, start="hierarchical",
                    dynamics="glauber", keep_spins=True, seed=3)
    there = hebb.load(tmp_path / "folder")
    for name in here:
        np.testing.assert_array_equal(here[name].samples, there[name].samples[2:], err_msg=name)
    tasks = Plan.from_text(JOB).tasks
    cut = []
    for task in tasks:
        record = compute(task, stop=lambda: True)
        while record.status != "done":
            record = compute(task, record, stop=lambda: True)
        cut.append(record)
    results = Results.from_records(Plan.from_text(JOB).index(), cut)
    results.save(tmp_path / "cut.h5")
    assert_same_datasets(tmp_path / "cut.h5", tmp_path / "folder" / "results.h5")


@pytest.mark.parametrize("name", DATA)
def test_announced_sizes(name):
    """Bytes of the series, and at least those that numpy holds while a sample is drawn and measured."""
    model = models.Multitask(40_000, 4, 0.3, **DATA[name])
    plan = Plan.from_keywords(model, 0.2, disorder=1, sweeps=3, thermalize=0, replicas=3)
    (task,) = plan.tasks
    tracemalloc.start()
    try:
        record = run_task(task)
        held = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert record.status == "done", record.message
    assert sum(array.nbytes for array in record.series.values()) == series_bytes(model, task.sampling)
    assert held < model.bytes_needed(3)


def test_announced_size_of_results(tmp_path):
    """Overlaps and sorted overlaps are both held while a job is merged."""
    plan = Plan.from_keywords(models.Multitask(20, 12, 0.5), [0.2, 0.3], disorder=2, sweeps=3000, thermalize=0)
    records = [compute(task) for task in plan.tasks]
    tracemalloc.start()
    try:
        results = Results.from_records(plan.index(), records)
        assert results["m_sorted"].samples.shape == (2, 2, 12) and results["m"].samples.shape == (2, 2, 12)
        held = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    size = sum(array.nbytes for record in records for array in record.series.values())
    assert size < held < plan.bytes_of_results


def test_estimated_time_knows_the_size():
    """Large networks do not fit the cache; of many possible classes few are occupied."""
    sampling = Plan.from_text(JOB).sampling | {"keep_spins": False, "sweeps": 100, "thermalize": 0}
    small, large = (seconds_of(models.Multitask(n, 3, 0.3), sampling) / n for n in (10**5, 10**7))
    assert 3 < large / small < 10
    few, many = (seconds_of(models.Multitask(10**9, 2, 0.3, r=0.5, n_examples=m), sampling | {
        "dynamics": "hubbard_stratonovich"}) for m in (100, 1000))
    assert 5 < many / few < 20, "widths grow like sqrt(M)"


def test_sample():
    spins = sample(models.Multitask(30, 2, 0.3).draw(1), 0.2, n_samples=5, replicas=2, start="hierarchical", dynamics="glauber")
    assert spins.shape == (5, 2, 30) and spins.dtype == np.int8


def test_instruction_sets_give_the_same_chain():
    for data in DATA.values():
        instance, chains = models.Multitask(200, 3, 0.4, **data).draw(0), []
        for instruction_set in SETS:
            kernel = instance.kernel(instruction_set)
            kernel.load(np.ones((2, 200)))
            kernel.sweep(15, 0.2, streams(2))
            chains.append(kernel.spins)
        assert all(np.array_equal(chains[0], chain) for chain in chains)



@pytest.mark.parametrize("old, new, message", [
    ("dilution", "dilutoin", r"unknown key 'dilutoin' in \[model\]; did you mean 'dilution'"),
    ("dilution = 0.3", "dilution = 0.3\np_body = 2", r"unknown key 'p_body' in \[model\]"),
    ("dilution = 0.3", "", "dilution = None: give "),
    ('"unsupervised"', '"storage"', "describe a noisy dataset"),
    ('"hierarchical"', '["hierarchical", "parallel"]', "is a list, .*: a job has one start; write a job for each"),
    ('"hierarchical"', '"hierarchic"', "did you mean 'hierarchical'"),
    ('"glauber"', '"plefka"', "exists for dense networks"),
    ('"glauber"', '"glauber"\nrule = "glauber"', "rule = 'glauber' has no meaning with dynamics = 'glauber'; it belongs to"),
    ('"glauber"', '"lumped"', "keep_spins = true with dynamics = 'lumped'"),
    ('"hierarchical"', '"example"\ncorruption = 0.1', "corruption = 0.1 has no meaning"),
])
def test_bad_jobs_are_refused_in_one_sentence(old, new, message):
    text = JOB.replace(old, new, 1)
    assert text != JOB
    with pytest.raises(ParameterError, match=message) as caught:
        Plan.from_text(text)
    assert "\n" not in str(caught.value)


def test_simulated_classes_meet_the_fixed_point_of_their_sample():
    """One measurement of two replicas: cov m = (T/N) [(1-J)^-1 - 1] around m = F(m); its shift of order 1/N is far smaller."""
    temperature, model = 0.1, models.Multitask(10**6, 2, 0.3)
    classes = Classes.draw(model, 1, 0)
    share, xi = classes.counts / model.n_spins, classes.archetypes.astype(float)
    m = np.array([0.7, 0.21])
    for _ in range(500):
        m = (share * np.tanh(xi @ m / temperature)) @ xi
    slope = (xi.T * share * (1 - np.tanh(xi @ m / temperature) ** 2)) @ xi / temperature
    sd = np.sqrt(temperature / model.n_spins * (np.diag(np.linalg.inv(np.eye(2) - slope)) - 1) / 2)
    for dynamics, rule in (("lumped", "glauber"), ("lumped", None), ("hubbard_stratonovich", None)):
        found = simulate(model, temperature, disorder=1, sweeps=1, thermalize=20, start="hierarchical", dynamics=dynamics,
                         rule=rule, seed=1)
        assert_z((found["m"].mean[0] - m) / sd, ALARM, f"{dynamics} {rule}")
