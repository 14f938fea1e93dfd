"""Multitasking networks: laws of patterns and examples, who shares them, observables, losses, starts, bad input."""

import itertools
import math

import numpy as np
import pytest
from conftest import assert_z

from hebb import models, simulate
from hebb.errors import ParameterError
from hebb.models.learning import Averages
from hebb.models.patterns import diluted, noisy_copies, rademacher
from hebb.params import MultitaskLaw
from hebb.sampling.chain import Chain

ALARM = 1e-6
DATA = {
    "storage": dict(),
    "supervised": dict(r=0.6, n_examples=5),
    "even": dict(r=0.5, n_examples=4),
    "gaussian": dict(rho=0.4),
    "unsupervised": dict(r=0.6, n_examples=5, protocol="unsupervised"),
}


def second_moment(data):
    """R from its definition."""
    if "rho" in data:
        return 1 + data["rho"]  # of averages in units of r
    return data["r"] ** 2 + (1 - data["r"] ** 2) / data["n_examples"] if data else 1.0


def by_definition(model, instance, data, spins):
    """H = -(scale/2N) sum_ij s_i (sum_rows y_i y_j) s_j - sum_i h_i s_i from the coupling matrix, diagonal included."""
    rows = instance.stored.astype(float)
    copies = data["n_examples"] if "protocol" in data else 1
    couplings = rows.T @ rows / (model.n_spins * copies)
    if model.law.normalize_examples:
        couplings /= second_moment(data)
    if model.law.normalize_dilution:
        couplings /= 1 - model.law.dilution
    fields = np.zeros(model.n_spins) if model.fields is None else model.fields
    return -np.einsum("ri,ij,rj->r", spins, couplings, spins) / 2 - spins @ fields


@pytest.mark.statistical
@pytest.mark.parametrize("d", [0.0, 0.1, 0.37, 0.9])
def test_law_of_diluted_patterns(d):
    bits = diluted(70, 3000, 1 - d, np.random.default_rng(3))
    x = bits.unpack().astype(float)
    size, p = x.size, 1 - d
    assert not np.any(bits.minus & ~(bits.nonzero if d else np.uint8(255))), "a vanishing entry has no sign"
    assert not np.any(np.unpackbits(bits.minus, axis=1, bitorder="little")[:, 70:])
    z = [x.sum() / math.sqrt(p * size)]
    z += [np.sum(x[:, 1:] * x[:, :-1]) / (p * math.sqrt(70 * 2999)), np.sum(x[1:] * x[:-1]) / (p * math.sqrt(69 * 3000))]
    if d == 0:
        assert bits.nonzero is None
        np.testing.assert_array_equal(bits.minus, rademacher(70, 3000, np.random.default_rng(3)).minus)
    else:
        blank = (x == 0) - d
        z += [blank.sum() / math.sqrt(d * p * size), np.sum(blank[1:] * blank[:-1]) / (d * p * math.sqrt(69 * 3000)),
              np.sum(blank[:, 1:] * blank[:, :-1]) / (d * p * math.sqrt(70 * 2999))]
    assert_z(z, ALARM, f"d = {d}")


@pytest.mark.statistical
def test_examples_keep_zeros_and_agree_as_often_as_r_says():
    r, m, d = 0.6, 7, 0.3
    model = models.Multitask(4000, 5, d, r=r, n_examples=m, protocol="unsupervised")
    instance = model.draw(1)
    patterns, examples = instance.patterns, instance.stored.reshape(5, m, 4000)
    np.testing.assert_array_equal(examples != 0, np.repeat(patterns[:, None] != 0, m, axis=1))
    size = np.count_nonzero(patterns)
    agreement = examples * patterns[:, None].astype(float)
    z = [(agreement.sum() / m - r * size) / math.sqrt(size * (1 - r * r) / m)]
    z += [np.sum(agreement[:, 0] * agreement[:, 1] - r * r * patterns**2) / math.sqrt(size * (1 - r**4))]
    averages = models.Multitask(4000, 5, d, r=r, n_examples=m).draw(1).stored
    np.testing.assert_array_equal(averages[patterns == 0], 0)
    c = (averages * patterns)[patterns != 0]
    z += [(c.mean() - r) / math.sqrt((1 - r * r) / m / c.size)]
    for k in range(m + 1):
        share = math.comb(m, k) * 0.8**k * 0.2 ** (m - k)
        z += [(np.sum(np.rint((c + 1) * m / 2) == k) - c.size * share) / math.sqrt(c.size * share * (1 - share))]
    gaussian = models.Multitask(4000, 5, d, rho=0.4).draw(1)
    noise = (gaussian.stored * gaussian.patterns)[patterns != 0] - 1
    z += [noise.mean() / math.sqrt(0.4 / noise.size), (np.mean(noise**2) / 0.4 - 1) * math.sqrt(noise.size / 2)]
    assert_z(z, ALARM)


def test_averages_do_not_depend_on_blocks(monkeypatch):
    """Blocks of spins draw what spins one by one would."""
    bits = diluted(5, 60, 0.6, np.random.default_rng(1))
    for data in (dict(r=0.6, n_examples=5), dict(rho=0.4)):
        law = MultitaskLaw.from_keywords(5, 0.4, **data)
        whole = Averages.draw(law, bits, np.random.default_rng(2)).columns
        with monkeypatch.context() as patch:
            patch.setattr("hebb.models.learning._BLOCK", 35)
            np.testing.assert_array_equal(Averages.draw(law, bits, np.random.default_rng(2)).columns, whole)


def test_first_copies_do_not_depend_on_how_many_follow():
    bits = diluted(9, 300, 0.6, np.random.default_rng(1))
    few, many = (noisy_copies(bits, m, 0.2, np.random.default_rng(2)).unpack().reshape(9, m, 300) for m in (2, 6))
    np.testing.assert_array_equal(many[:, :2], few)


def test_who_shares_patterns():
    base = models.Multitask(200, 3, 0.3).draw(4, 2).patterns
    others = [dict(r=0.7, n_examples=3), dict(r=0.7, n_examples=9, normalize_dilution=True), dict(rho=1.0),
              dict(r=0.2, n_examples=3, protocol="unsupervised"), dict(normalize_dilution=True)]
    for keys in others:
        np.testing.assert_array_equal(models.Multitask(200, 3, 0.3, **keys).draw(4, 2).patterns, base)
    assert np.any(models.Multitask(200, 3, 0.3).draw(4, 1).patterns != base)
    assert np.any(models.Multitask(200, 3, 0.3).draw(5, 2).patterns != base)
    assert models.Multitask(200, 3, 0.31).disorder_key != models.Multitask(200, 3, 0.3).disorder_key
    digests = [models.Multitask(200, 3, 0.3, **keys).digest for keys in [{}, *others]]
    assert len(set(digests)) == len(digests)


def test_given_patterns():
    patterns = np.random.default_rng(0).choice([-1, 0, 1], size=(4, 50))
    model = models.Multitask(patterns=patterns, r=0.8, n_examples=3)
    assert (model.n_spins, model.n_patterns) == (50, 4)
    assert model.law.dilution == np.mean(patterns == 0)
    np.testing.assert_array_equal(model.draw(1, 3).patterns, patterns)
    assert np.any(model.draw(1, 3).stored != model.draw(1, 4).stored), "examples are drawn anew"
    assert models.Multitask(patterns=-patterns).digest != models.Multitask(patterns=patterns).digest


@pytest.mark.parametrize("name", DATA)
def test_observables(name, monkeypatch):
    data, n, k = DATA[name], 120, 3
    instance = models.Multitask(n, k, 0.4, **data).draw(1)
    chain = Chain(instance, 0.2, replicas=3, seed=4)
    chain.advance(6)
    seen, spins = chain.measure(), chain.spins.astype(float)
    assert set(seen) == {"m", "energy", "q", "loss", "product_loss"} | ({"n"} if data else set())
    np.testing.assert_allclose(seen["m"], spins @ instance.patterns.T / n, rtol=1e-14)
    np.testing.assert_allclose(seen["energy"], by_definition(instance.model, instance, data, spins) / n, rtol=1e-12)
    np.testing.assert_allclose(seen["q"], [spins[a] @ spins[b] / n for a, b in ((0, 1), (0, 2), (1, 2))], rtol=1e-14)
    if data:
        r = data.get("r", 1.0)
        rho = data["rho"] if "rho" in data else (1 - r * r) / (data["n_examples"] * r * r)
        average = instance.stored.reshape(k, -1, n).mean(axis=1)
        np.testing.assert_allclose(seen["n"], spins @ average.T / (n * r * (1 + rho)), rtol=1e-12)
    monkeypatch.setattr("hebb.sampling.observables._BLOCK", 50)
    for key, value in chain.measure().items():
        np.testing.assert_allclose(value, seen[key], rtol=1e-14, err_msg=key)


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("units", [{}, dict(normalize_dilution=True)])
def test_energy_and_losses(name, units):
    """H = -scale (N/2) sum [((1+a)/2)^2 - L_+ L_-], the losses from squared differences of configurations; averaged over the
    examples of a pattern where every example is stored."""
    data, n = DATA[name], 90
    model = models.Multitask(n, 3, 0.3, **data, **units)
    instance = model.draw(2)
    chain = Chain(instance, 0.3, replicas=4, seed=1, start="random")
    rows = instance.stored / math.sqrt(second_moment(data))
    copies = len(rows) // 3
    constant = np.sum(((1 + np.mean(rows**2, axis=1)) / 2) ** 2) / copies
    for _ in range(3):
        chain.advance(4)
        seen, spins = chain.measure(), chain.spins[:, None]
        minus, plus = (np.sum((rows - sign * spins) ** 2, axis=2) / (2 * n) for sign in (1, -1))
        np.testing.assert_allclose(seen["loss"], minus.sum(axis=1) / copies, rtol=1e-12)
        np.testing.assert_allclose(seen["product_loss"], np.sum(minus * plus, axis=1) / copies, rtol=1e-12)
        np.testing.assert_allclose(seen["energy"], -model.law.scale / 2 * (constant - seen["product_loss"]), rtol=1e-12)


def test_the_plain_loss_has_other_minima():
    """Over all configurations: the product loss is least where H is, the plain sum where every spin follows its majority."""
    instance = models.Multitask(12, 3, 0.3).draw(1)
    every = np.array(list(itertools.product([-1, 1], repeat=12)), np.int8)
    chain = Chain(instance, 0.3, replicas=1, start=every[0])
    chain.kernel.load(every)
    energy, loss, product = (chain.measure()[key] for key in ("energy", "loss", "product_loss"))
    ground = np.flatnonzero(np.isclose(energy, energy.min(), atol=1e-12))
    np.testing.assert_array_equal(ground, np.flatnonzero(np.isclose(product, product.min(), atol=1e-12)))
    least = np.flatnonzero(np.isclose(loss, loss.min(), atol=1e-12))
    majority = instance.patterns.sum(axis=0)
    for spins in every[least]:
        assert np.all(spins[majority != 0] == np.sign(majority[majority != 0]))
    assert not set(least) & set(ground)


def test_starts():
    patterns = np.array([[1, -1, 0, 0, 0, 1, 0, -1], [0, 1, -1, 0, 1, 1, -1, -1], [1, 1, 1, 1, -1, -1, 0, 1]])
    instance = models.Multitask(patterns=np.hstack([patterns, np.zeros((3, 40), int)])).draw(0)
    spins = {start: Chain(instance, 0.2, replicas=3, start=start, seed=1).spins
             for start in ("planted", "hierarchical", "parallel", "random")}
    np.testing.assert_array_equal(spins["hierarchical"][:, :8], [[1, -1, -1, 1, 1, 1, -1, -1]] * 3)
    np.testing.assert_array_equal(spins["parallel"][:, [0, 1, 3, 5, 6, 7]], [[1, 1, 1, 1, -1, -1]] * 3)
    np.testing.assert_array_equal(spins["planted"][:, [0, 1, 5, 7]], [[1, -1, 1, -1]] * 3)
    for start in spins:  # blank and tied spins
        assert 0 < np.mean(spins[start][:, 8:] > 0) < 1 and np.any(spins[start][0] != spins[start][1])
    assert {*spins["parallel"][:, 2]} <= {-1, 1}
    given = Chain(instance, 0.2, replicas=2, start=np.ones(48)).spins
    np.testing.assert_array_equal(given, 1)


def test_starts_belong_to_the_disorder():
    """The same start at every temperature and in every protocol."""
    one, other = (Chain(models.Multitask(80, 3, 0.5, **data).draw(1), t, start="parallel", seed=2)
                  for data, t in ((dict(), 0.1), (dict(r=0.5, n_examples=3), 0.2)))
    np.testing.assert_array_equal(one.spins, other.spins)


def test_example_starts():
    instance = models.Multitask(4000, 2, 0.3, r=0.6, n_examples=3).draw(1)
    m = Chain(instance, 0.2, start="example", replicas=2).measure()["m"][:, 0]
    assert_z((m - 0.6 * 0.7) / math.sqrt((0.3 + 0.7 * (1 - 0.36) + 0.36 * 0.21) / 4000), ALARM)


@pytest.mark.parametrize("start", ["hierarchical", "parallel"])
def test_dense_networks_have_no_such_starts(start):
    with pytest.raises(ParameterError, match=f"start = '{start}' is a state of multitasking networks; a dense model"):
        simulate(models.Dense(20, 2, n_patterns=2), 0.3, start=start)


@pytest.mark.parametrize("keys, message", [
    (dict(dilution=1.0), r"dilution = 1.0 is not a number in \[0, 1\[; it is the share of zero entries"),
    (dict(dilution=-0.1), r"dilution = -0.1 is not a number in \[0, 1\["),
    (dict(dilution=math.nan), "dilution = nan is not a number"),
    (dict(dilution=None), "dilution = None: give d, the share of zero entries, or the patterns"),
    (dict(n_patterns=None), "neither given; give exactly one of gamma"),
    (dict(gamma=0.5), "gamma = 0.5 and n_patterns = 2 given; give exactly one of gamma"),
    (dict(gamma=0, n_patterns=None), r"gamma = 0 is not a number in \]0, inf\["),
    (dict(gamma=1e7, n_patterns=None), "gamma = 1e.07 on 10 spins is a load of 2.3e.07 patterns"),
    (dict(patterns=np.ones((2, 10)), dilution=None, n_patterns=None, gamma=0.5), "leave gamma out"),
    (dict(n_patterns=0), "n_patterns = 0 is not a whole number from 1"),
    (dict(n_patterns=2.5), "n_patterns = 2.5 is not a whole number"),
    (dict(n_spins=None), "n_spins = None is not a whole number from 2"),
    (dict(n_spins=10**15 + 1), "n_spins = 1000000000000001 is not a whole number from 2 to 1000000000000000"),
    (dict(r=0.0, n_examples=2), r"r = 0.0 is not a number in \]0, 1\]"),
    (dict(r=1.2, n_examples=2), r"r = 1.2 is not a number in \]0, 1\]"),
    (dict(r=0.5, n_examples=0), "n_examples = 0 is not a whole number from 1"),
    (dict(r=0.5), "exactly one of them"),
    (dict(rho=0.3, protocol="unsupervised"), "every example enters the Hamiltonian and must exist; give r and n_examples"),
    (dict(protocol="superviced", r=0.5, n_examples=2), "did you mean 'supervised'"),
    (dict(normalize_dilution=1), "normalize_dilution = 1 is not true or false"),
    (dict(rho=0.3, normalize_examples=False), "R depends on r"),
    (dict(patterns=np.ones((2, 10)), dilution=0.3), "dilution = 0.3 contradicts the patterns given, which have 0; leave"),
    (dict(patterns=np.ones((3, 10)), dilution=None), "n_patterns = 2 contradicts the patterns given, which have 3"),
    (dict(patterns=np.ones((2, 10)), dilution=None, n_spins=np.array([10, 10])), "n_spins = array.*contradicts"),
    (dict(patterns=[[1, 2]], dilution=None, n_patterns=None), "is not -1, 0 or"),
    (dict(fields=np.ones(9)), "fields of shape"),
])
def test_bad_models_are_refused_in_one_sentence(keys, message):
    given = dict(n_spins=10, n_patterns=2, dilution=0.3) | keys
    with pytest.raises(ParameterError, match=message) as caught:
        models.Multitask(**given)
    assert "\n" not in str(caught.value)


def test_logarithmic_load():
    model = models.Multitask(1000, dilution=0.3, gamma=0.5)
    assert model.n_patterns == 3 and model.gamma == 3 / math.log(1000)
    assert model.digest == models.Multitask(1000, 3, 0.3).digest        # one model, however it was asked for
    assert models.Multitask(1000, dilution=0.3, gamma=1e-3).n_patterns == 1


def test_networks_beyond_memory_exist_but_not_spin_by_spin():
    model = models.Multitask(10**15, 3, 0.3)
    assert model.n_spins == 10**15 and model.parameters()["n_spins"] == 10**15
    with pytest.raises(ParameterError, match=r"spin by spin needs .* GiB .*; use dynamics = 'lumped' or 'hub"):
        simulate(model, 0.2)
    with pytest.raises(ParameterError, match="use dynamics = 'lumped'"):
        model.draw(1)
    for large in (models.Multitask(10**15, 3, 0.3, rho=0.1), models.Multitask(10**15, 40, 0.3)):  # no classes either
        with pytest.raises(ParameterError, match=r"spin by spin needs .* GiB \(at most 1000000000 spins\); lower n_spins or n"):
            large.memory_bytes()
    with pytest.raises(ParameterError, match="are free|at most 1000000000 spins.*; lower n_spins or n_patterns$"):
        simulate(models.Multitask(10**15, 3, 0.3, rho=0.1), 0.2)


def test_starts_are_named_on_one_line():
    with pytest.raises(ParameterError, match="corruption = 0.1 has no meaning with start = array") as caught:
        simulate(models.Multitask(100, 2, 0.3), 0.2, start=np.ones(100), corruption=0.1)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200


def test_example_starts_need_a_dataset():
    for data in (dict(), dict(rho=0.3)):
        with pytest.raises(ParameterError, match="start = 'example' needs examples"):
            simulate(models.Multitask(20, 2, 0.3, **data), 0.2, start="example")
