"""Classes of spins: how many spins each has when they are drawn, and what they keep of an instance."""

import itertools
import math
import tracemalloc

import numpy as np
import pytest
from conftest import assert_z
from scipy.stats import binom, chi2, norm, poisson
from test_kernels import streams

from hebb import models
from hebb.kernels.lumped import binomials
from hebb.models.classes import Classes
from hebb.sampling.chain import Chain
from hebb.sampling.lumped import LumpedChain

ALARM = 2e-7  # of each test


def enumerated(law):
    """{(archetypes, columns): probability} of all classes, c and -c together, entry by entry from the definition."""
    flip, found = (1 - law.r) / 2, {}
    m = law.n_examples or 1
    one = {}
    for xi in (-1, 0, 1):
        for signs in itertools.product((1, -1), repeat=m if law.protocol != "storage" else 0):
            p = law.dilution / 2 ** len(signs) if xi == 0 else (1 - law.dilution) / 2
            p *= math.prod(flip if s < 0 else 1 - flip for s in signs) if xi else 1
            entries = {"storage": (xi,), "supervised": (xi * sum(signs),),
                       "unsupervised": tuple(xi * s for s in signs)}[law.protocol]
            one[xi, entries] = one.get((xi, entries), 0) + p
    for letters in itertools.product(one, repeat=law.n_patterns):
        archetype = tuple(xi for xi, _ in letters)
        column = tuple(entry for _, entries in letters for entry in entries)
        sign = next((x for x in archetype if x), 1)
        key = tuple(sign * x for x in archetype + column)
        found[key] = found.get(key, 0) + math.prod(one[letter] for letter in letters)
    return found


@pytest.mark.statistical
@pytest.mark.parametrize("options", [{}, {"r": 0.6, "n_examples": 3},
                                     {"r": 0.6, "n_examples": 2, "protocol": "unsupervised"}])
def test_counts_of_drawn_classes_are_multinomial(options):
    model, n, samples = models.Multitask(400, 2, 0.3, **options), 400, 300
    expected = enumerated(model.law)
    assert abs(sum(expected.values()) - 1) < 1e-12
    place, p = {key: j for j, key in enumerate(expected)}, np.array(list(expected.values()))

    def counted(classes):
        row = np.zeros(len(p))
        for archetype, column, count in zip(classes.archetypes, classes.columns, classes.counts, strict=True):
            row[place[(*archetype.tolist(), *column.tolist())]] = count
        assert row.sum() == classes.n_spins
        return row

    for draw, seed in ((Classes.draw, 1), (lambda model, *key: Classes.of(model.draw(*key)), 2)):
        counts = np.array([counted(draw(model, seed, disorder)) for disorder in range(samples)])
        spread = np.sqrt(n * p * (1 - p))
        assert_z((counts.mean(axis=0) - n * p) / spread * math.sqrt(samples), ALARM, f"means {options}")
        often = n * p > 5
        kurtosis = (1 - 6 * p * (1 - p)) / (n * p * (1 - p))
        ratio = np.mean((counts - n * p) ** 2, axis=0) / spread**2 - 1
        assert_z((ratio / np.sqrt((2 + kurtosis) / samples))[often], ALARM, f"variances {options}")
    huge = models.Multitask(10**15, 2, 0.3, **options)
    chi_square = sum(np.sum((counted(Classes.draw(huge, 1, j)) / 1e15 - p) ** 2 / p) * 1e15 for j in range(20))
    assert_z(norm.isf(chi2.sf(chi_square, 20 * (len(p) - 1))), ALARM, f"1e15 spins {options}")


@pytest.mark.parametrize("n, k, options", [
    (100, 1, {"r": 0.5, "n_examples": 10**9}), (20_000, 3, {"r": 0.5, "n_examples": 1000}), (20_000, 30, {}),
    (20_000, 2, {"r": 0.5, "n_examples": 9, "protocol": "unsupervised"}),
    (10**9, 2, {"r": 0.5, "n_examples": 1000}), (10**9, 9, {}), (10**9, 1, {"r": 0.5, "n_examples": 10**5})])
def test_announced_memory_and_number(n, k, options):
    """At least what numpy holds while classes are drawn, those of more classes than spins, too; about as many as expected."""
    model = models.Multitask(n, k, 0.3, **options)
    tracemalloc.start()
    try:
        classes = Classes.draw(model, 1)
        kernel = classes.kernel()
        kernel.load(np.zeros((2, classes.n_classes)))
        held = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert classes.n_spins == n and np.all(classes.counts > 0)
    assert held < Classes.bytes_needed(model, 2)
    if options.get("n_examples") != 10**9:  # which are rounded to 16 bits
        assert 0.3 < classes.n_classes / Classes.expected(model) <= 1


@pytest.mark.statistical
@pytest.mark.parametrize("n, p", [(1, 0.3), (7, 0.5), (100, 0.29), (100, 0.4), (4000, 0.01), (10**15, 1e-14), (10**15, 2e-16),
                                  (10**12, 4e-11), (10**6, 1e-9), (10**9, 0.5), (10**15, 0.37), (10**15, 1e-3)])
def test_binomials_of_any_size(n, p):
    """Small means below 30 by inversion, larger ones by BTPE: chi-square of the law, on cells of equal weight where wide."""
    drawn = binomials(np.full(200_000, n), p, streams(1, seed=3)[0])
    assert drawn.min() >= 0 and drawn.max() <= n
    if n * p * (1 - p) < 1e4:
        values = np.arange(min(n, int(n * p + 12 * math.sqrt(n * p) + 20)) + 1)
        law = binom.pmf(values, n, p) if n < 10**8 else poisson.pmf(values, n * p)
        assert abs(law.sum() - 1) < 1e-8
        seen = np.bincount(drawn, minlength=len(values))
    else:
        edges = n * p + math.sqrt(n * p * (1 - p)) * norm.ppf(np.arange(1, 50) / 50)
        seen = np.histogram(drawn, np.concatenate([[-0.5], np.floor(edges) + 0.5, [n + 0.5]]))[0]
        law = np.diff(np.concatenate([[0], binom.cdf(np.floor(edges), n, p), [1]]))
    often = law * len(drawn) > 20
    expected = np.append(law[often], law[~often].sum() + 1e-300) * len(drawn)
    seen = np.append(seen[often], seen[~often].sum())
    used = expected > 5
    chi_square = np.sum((seen - expected)[used] ** 2 / expected[used])
    assert seen[~used].sum() < 30
    if used.sum() > 1:
        assert_z(norm.isf(chi2.sf(chi_square, used.sum() - 1)), ALARM, f"n = {n}, p = {p}")


def test_binomials_without_chance():
    (stream,) = streams(1)
    assert np.all(binomials([0, 5, 10**15], 0.0, stream) == 0) and np.all(binomials([0, 0], 0.3, stream) == 0)
    assert np.all(binomials(np.full(1000, 10**15), 1e-300, stream) == 0)
    with pytest.raises(ValueError, match="not in"):
        binomials([3], 0.6, stream)


@pytest.mark.parametrize("options", [{}, {"r": 0.6, "n_examples": 4}, {"rho": 0.3},
                                     {"r": 0.6, "n_examples": 3, "protocol": "unsupervised", "normalize_dilution": True}])
def test_classes_of_an_instance(options):
    """The same observables as spin by spin; q has their mean over configurations of the same classes."""
    model = models.Multitask(200, 2, 0.4, **options)
    instance = model.draw(5)
    classes = Classes.of(instance)
    assert classes.counts.sum() == 200 and np.all(classes.counts > 0)
    np.testing.assert_array_equal(classes.archetypes[classes.site_class] * classes.site_sign[:, None], instance.patterns.T)
    stored = math.sqrt(model.n_stored // 2) * classes.unit * classes.columns[classes.site_class] * classes.site_sign[:, None]
    np.testing.assert_allclose(stored * math.sqrt(model.law.second_moment), instance.stored.T, atol=1e-14)
    spins = np.random.default_rng(1).choice([-1, 1], size=(2, 200)).astype(np.int8)
    up, kernel = classes.up(spins), classes.kernel()
    kernel.load(up)
    g = classes.unit / 200 * kernel.overlaps
    np.testing.assert_allclose(-model.law.scale * 100 * np.sum(g**2, axis=1), instance.energy(spins), rtol=1e-12)
    again = classes.spins(up, streams(2))
    np.testing.assert_array_equal(classes.up(again), up)
    if "rho" in options:
        return  # every spin its own class, and no dynamics of classes
    one, other = Chain(instance, 0.3, start=spins).measure(), LumpedChain(instance, 0.3, start=spins).measure()
    assert one.keys() == other.keys()
    for name in one.keys() - {"q"}:
        np.testing.assert_allclose(other[name], one[name], atol=1e-13, err_msg=name)
    q = [np.mean(np.prod(classes.spins(up, streams(2, seed)), axis=0, dtype=int)) for seed in range(400)]
    assert_z((np.mean(q) - other["q"][0]) / np.std(q) * 20, ALARM, "q")
