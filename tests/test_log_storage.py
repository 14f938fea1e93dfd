"""K = gamma ln N patterns: how deep hierarchies are, in theory, in samples and in chains."""

import math

import numpy as np
import pytest
from conftest import ROOT, assert_z

from hebb import models, simulate
from hebb.errors import DataError, HebbWarning, ParameterError
from hebb.log_storage import (
    depths,
    hierarchical_overlaps,
    hierarchy_holds,
    log_storage_figure,
    log_storage_table,
    stable_share,
)
from hebb.models.classes import Classes
from hebb.runs.plan import Plan
from hebb.runs.worker import compute
from hebb.sampling.chain import Chain
from hebb.storage.results import Results


def _quench(model, disorder, seed=3, **options):
    options = dict(start="hierarchical", dynamics="zero_temperature", thermalize=20, sweeps=2, replicas=1) | options
    return simulate(model, 0.0, disorder=disorder, seed=seed, **options)


def test_overlaps_of_the_hierarchical_state():
    model = models.Multitask(500, 4, 0.3)
    instance = model.draw(5, 1)
    chain = Chain(instance, temperature=0.1, start="hierarchical", replicas=2, seed=5)
    expected = chain.measure()["m"]
    np.testing.assert_allclose(hierarchical_overlaps(instance), expected[0], atol=1e-12)
    np.testing.assert_allclose(expected[1], expected[0], atol=1e-12)            # blank columns do not matter
    np.testing.assert_allclose(hierarchical_overlaps(Classes.of(instance)), expected[0], atol=1e-12)


def test_the_criterion_is_stability_against_every_flip():
    """No flip lowers the energy where it holds, one does where it does not and every column occurs."""
    seen = {True: 0, False: 0}
    for disorder in range(40):
        instance = models.Multitask(300, 3, 0.25).draw(2, disorder)
        m, classes = hierarchical_overlaps(instance), Classes.of(instance)
        if classes.n_classes < 14:
            continue
        first = Chain(instance, temperature=0.1, start="hierarchical", replicas=1, seed=2).spins[0].astype(float)
        fields = instance.patterns.T @ m - np.count_nonzero(instance.patterns, axis=0) * first / instance.n_spins
        margin = (first * fields)[instance.patterns.any(axis=0)].min()
        if abs(margin) < 2 * 3 / instance.n_spins:                              # ties and self-terms are not in the criterion
            continue
        holds = bool(hierarchy_holds(m))
        assert holds == (margin > 0)
        seen[holds] += 1
    assert min(seen.values()) > 3


def test_predicted_share_of_stable_samples():
    """Against samples drawn by classes: no chain, and N far beyond those of chains spin by spin."""
    for n, k in ((10**5, 6), (10**9, 10)):
        holds = [hierarchy_holds(hierarchical_overlaps(Classes.draw(models.Multitask(n, k, 0.3), 8, j))) for j in range(150)]
        share = stable_share(n, k, 0.3)
        assert 0.4 < share < 0.7
        assert_z((np.mean(holds) - share) / math.sqrt(share * (1 - share) / len(holds)), 1e-5, f"stable samples at N = {n}")
    assert stable_share(10**6, 1, 0.3) == 1


def test_the_break_approaches_one_as_slowly_as_a_logarithm():
    """Half of the samples are stable at one signal-to-noise ratio of the last level, whatever N is."""
    ratios, loads = [], []
    for n in (10**4, 10**7, 10**12, 10**15):
        k = np.arange(2, 20)[slice(*((0, 8) if n < 10**10 else (8, 18)))]
        share = np.array([stable_share(n, int(number), 0.3) for number in k])
        assert np.all(np.diff(share) <= 0)
        log_ratio = 0.5 * math.log(n * 0.7) + (k - 1) * math.log(0.3)
        at = np.interp(-0.5, -share, log_ratio)
        ratios.append(math.exp(at))
        loads.append(1 + (math.log(0.7 / 0.09) - 2 * at) / math.log(n))
    np.testing.assert_allclose(ratios, [0.5018, 0.5169, 0.5418, 0.5377], atol=2e-4)
    np.testing.assert_allclose(loads, [1.37246, 1.20915, 1.11860, 1.09532], atol=2e-5)


def test_depth_of_quenched_hierarchies():
    shallow, deep = (depths(_quench(models.Multitask(1000, dilution=0.3, gamma=g), 40))[0] for g in (0.43, 0.6))
    assert shallow.n_patterns == 3 and deep.n_patterns == 4
    assert abs(shallow.load - 2 * 3 / math.log(1000) * math.log(1 / 0.3)) < 1e-12
    np.testing.assert_allclose(shallow.signal_to_noise, math.sqrt(700) * 0.3 ** np.arange(3))
    np.testing.assert_array_equal(shallow.stays, 1)
    assert shallow.levels == 1 and np.all(shallow.shift < 0.2) and np.all(shallow.deviation < 1.5)
    assert np.all(deep.stays[:2] == 1) and deep.stays[3] < 0.95 and deep.shift[3] > 0.5
    share = stable_share(1000, 4, 0.3)
    assert_z((deep.stays[3] - share) / math.sqrt(share * (1 - share) / 40), 1e-5, "the last level")
    rows = log_storage_table([shallow, deep])
    assert len(rows) == 7 and rows[-1]["stable"] == share and "signal/noise" in str(rows)
    figure = log_storage_figure([shallow, deep], larger=(10**6,))
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == [
        "N = $10^{6}$ (theory)", "N = $10^{3}$"]


def test_classes_are_quenched_as_well():
    depth, = depths(_quench(models.Multitask(20000, 3, 0.3), 2, dynamics="lumped", rule="glauber"))
    np.testing.assert_array_equal(depth.stays, 1)
    assert np.all(depth.shift < 1e-12) and depth.moving < 1e-12
    once, = depths(_quench(models.Multitask(2000, 3, 0.3), 1, sweeps=1))
    assert math.isnan(once.moving), "one measurement does not tell whether a state moves"


@pytest.mark.parametrize("dilution, options", [
    (0.3, dict(start="planted")), (0.6, {}), (0.3, dict(start="hierarchical", dynamics="glauber", temperature=0.1))])
def test_other_jobs_are_refused(dilution, options):
    temperature = options.pop("temperature", 0.0)
    model = models.Multitask(50, 2, dilution)
    settings = dict(start="hierarchical", dynamics="zero_temperature", thermalize=1, sweeps=1, disorder=2) | options
    with pytest.raises(DataError, match="depth of hierarchies is read from jobs"):
        depths(simulate(model, temperature, **settings))


def test_predictions_refuse_what_they_cannot_know():
    with pytest.raises(ParameterError, match=r"dilution = 0.5 is not a number in \]0, 0.5\["):
        stable_share(100, 2, 0.5)


def test_the_job_of_the_figure(tmp_path):
    """A small version of the shipped job: one load, rounded at every size, with a word about it."""
    text = (ROOT / "mpi_runs" / "multitask_log_n.toml").read_text()
    for old, new in (("[1_000, 10_000, 100_000, 300_000]", "[500, 2_000]"), ("disorder = 48", "disorder = 3"),
                     ("gamma = [0.29, 0.435, 0.58, 0.725, 0.87, 1.015]", "gamma = [0.29, 0.58]")):
        assert old in text
        text = text.replace(old, new)
    with pytest.warns(HebbWarning, match="gamma = 0.29 on 500 spins rounds to n_patterns = 2, a load of 0.322"):
        plan = Plan.from_text(text)
    points = depths(Results.from_records(plan.index(), map(compute, plan.tasks)))
    assert [(point.n_spins, point.n_patterns) for point in points] == [(500, 2), (500, 4), (2000, 2), (2000, 4)]
    assert all(point.samples == 3 and point.stays.shape == (point.n_patterns,) for point in points)
