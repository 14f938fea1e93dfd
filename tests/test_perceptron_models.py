"""Perceptrons with binary weights: teachers and labels, losses and their tables, coupling, who shares disorder, bad input."""

import itertools
import math

import numpy as np
import pytest
from conftest import assert_z
from test_kernels import SETS, streams

from hebb import models, simulate
from hebb.errors import HebbWarning, ParameterError
from hebb.kernels import overlap
from hebb.models import Instance
from hebb.models.patterns import set_bits
from hebb.models.perceptron import labelled
from hebb.runs.plan import Plan
from hebb.sampling.chain import Chain

ALARM = 1e-6
LOSSES = {
    "violations": lambda d, kappa: np.where(d < kappa, 1.0, np.where((d == kappa) & (kappa == 0), 0.5, 0.0)),
    "hinge": lambda d, kappa: np.where(d < kappa, kappa - d, 0.0),
    "quadratic": lambda d, kappa: np.where(d < kappa, (kappa - d) ** 2, 0.0),
    "tabulated": lambda d, kappa: np.exp(-d) / 2 + 0 * kappa,
}


def perceptron(n, loss, kappa=0.0, **keys):
    return models.BinaryPerceptron(n, loss=loss if loss != "tabulated" else lambda d: math.exp(-d) / 2, kappa=kappa, **keys)


@pytest.mark.parametrize("n", [8, 11])
@pytest.mark.parametrize("loss, kappa", [*itertools.product(["violations", "hinge", "quadratic"], [0.0, 0.4, -0.7]),
                                         ("tabulated", 0.0)])
@pytest.mark.parametrize("instruction_set", SETS)
def test_energies_and_costs_are_the_definition(n, loss, kappa, instruction_set):
    instance = perceptron(n, loss, kappa, n_patterns=37).draw(1)
    kernel = instance.kernel(instruction_set)
    kernel.load(np.random.default_rng(1).choice([-1, 1], size=(3, n)))
    tolerance = 1e-11 if instance.tables.exact else 1e-6  # rounded: 37 patterns to 2^-28 of the largest change each
    assert instance.tables.exact == (loss == "violations" or kappa == 0 and loss != "tabulated")
    for _ in range(3):
        spins = kernel.spins
        energy = np.sum(LOSSES[loss](spins @ instance.patterns.T / math.sqrt(n), kappa), axis=1)
        np.testing.assert_allclose(instance.energy(spins), energy, rtol=1e-13)
        np.testing.assert_allclose(kernel.energy, energy, atol=tolerance)
        np.testing.assert_array_equal(kernel.overlaps, spins @ instance.patterns.T)
        for r in range(3):
            flipped = np.where(np.eye(n, dtype=bool), -spins[r], spins[r])
            np.testing.assert_allclose(kernel.costs(r), instance.energy(flipped) - energy[r], atol=tolerance)
        kernel.sweep(5, 1.0, streams(3))


@pytest.mark.parametrize("n, k", [(5, 1), (8, 40), (61, 64), (150, 513), (301, 1100)])
@pytest.mark.parametrize("loss, kappa", [("violations", 0.0), ("violations", 0.6), ("violations", -9.9), ("hinge", 0.0)])
def test_overlaps_bit_by_bit_give_the_same_chain(n, k, loss, kappa):
    """The kernel for losses that bend at few values against the one for any, on all instruction sets and with fields."""
    first = models.BinaryPerceptron(n, n_patterns=k, loss=loss, kappa=kappa)
    instance = models.SecondTask(first, n_patterns=k, coupling=0.1, reference=np.ones(n)).draw(3).at(0.9, 1)
    assert overlap.bends(instance.tables) is not None
    chains = []
    for kernel in (Instance.kernel(instance), *map(instance.kernel, SETS)):
        kernel.load(np.random.default_rng(2).choice([-1, 1], size=(3, n)))
        kernel.field_scale = [1.0, 0.5, 0.0]
        kernel.sweep(12, [0.9, 0.5, 2.0], streams(3), "glauber")
        chains.append((kernel.spins, kernel.energy, kernel.overlaps, kernel.accepted, kernel.lowest_overlap, kernel.costs(1)))
    assert type(Instance.kernel(instance)) is overlap.OverlapKernel and type(instance.kernel()) is overlap.StepKernel
    for chain in chains[1:]:
        for one, other in zip(chains[0], chain, strict=True):
            np.testing.assert_array_equal(one, other)


def test_losses_that_bend_everywhere_have_the_general_kernel():
    for keys in (dict(loss="quadratic"), dict(loss="hinge", kappa=0.3), dict(loss=math.exp), dict(loss=lambda d: -d)):
        assert type(models.BinaryPerceptron(51, 1.0, **keys).draw(1).kernel()) is overlap.OverlapKernel
    assert type(models.BinaryPerceptron(51, 1.0, loss=lambda d: 2.0).draw(1).kernel()) is overlap.StepKernel


def test_perfect_squares_put_margins_on_the_lattice():
    """D = kappa exactly is no violation where kappa is not 0."""
    model = models.BinaryPerceptron(16, 1.0, kappa=0.5)
    np.testing.assert_array_equal(model.violated(np.array([0.0, 2.0, 4.0])), [1, 0, 0])
    np.testing.assert_array_equal(models.BinaryPerceptron(16, 1.0).violated(np.array([-2.0, 0.0, 2.0])), [1, 0.5, 0])


def test_tabulated_losses_are_what_they_tabulate():
    """The same chain, bit for bit, however a loss is given."""
    for loss, power in (("violations", 0), ("hinge", 1), ("quadratic", 2)):
        named = models.BinaryPerceptron(31, 1.0, loss=loss)
        x = np.arange(-31, 32, 2)
        array = models.BinaryPerceptron(31, 1.0, loss=np.where(x < 0, np.abs(x) ** power, 0))
        function = models.BinaryPerceptron(31, 1.0, loss=lambda d, power=power: float(d < 0) * abs(round(d * 31**0.5)) ** power)
        assert array.digest == function.digest != named.digest
        scale = 31 ** (power / 2)  # of the integers in V
        kernels = [model.draw(2).kernel() for model in (named, array)]
        start = np.random.default_rng(0).choice([-1, 1], size=(2, 31))
        for kernel, temperature in zip(kernels, (1.0, scale), strict=True):
            kernel.load(start)
            kernel.sweep(40, temperature, streams(2))
        np.testing.assert_array_equal(kernels[0].spins, kernels[1].spins)
        np.testing.assert_allclose(kernels[0].energy * scale, kernels[1].energy, rtol=1e-12)


@pytest.mark.parametrize("n", [7, 10])
def test_labels_are_those_of_the_teacher(n):
    teacher = np.random.default_rng(n).choice([-1, 1], n)
    rows = labelled(5000, n, teacher, streams(1, seed=3)[0]).unpack()
    sums = rows @ teacher
    assert np.all(sums >= 0) and np.any(sums == 0) == (n % 2 == 0)
    inputs = labelled(5000, n, None, streams(1, seed=3)[0]).unpack()
    signs = inputs[:, 0] * rows[:, 0]
    np.testing.assert_array_equal(rows, signs[:, None] * inputs)
    np.testing.assert_array_equal(np.sign(inputs @ teacher)[sums != 0], signs[sums != 0])
    z = [inputs.sum() / math.sqrt(inputs.size), np.sum(inputs[1:] * inputs[:-1]) / math.sqrt(4999 * n),
         np.sum(inputs[:, 1:] * inputs[:, :-1]) / math.sqrt(5000 * (n - 1)),
         np.sum(inputs[64:] * inputs[:-64]) / math.sqrt(4936 * n)]
    if n % 2 == 0:
        ties = signs[sums == 0]
        share = math.comb(n, n // 2) / 2**n
        z += [ties.sum() / math.sqrt(len(ties)), (len(ties) - 5000 * share) / math.sqrt(5000 * share * (1 - share))]
    assert_z(z, ALARM)


def test_random_labels_have_no_teacher():
    instance = models.BinaryPerceptron(101, 1.5, labels="random").draw(1)
    assert instance.teacher is None and not instance.condensed.any()
    seen = Chain(instance, 1.0, start="random").measure()
    assert set(seen) == {"q", "energy", "training_error"}
    for start in ("planted", "teacher", "corrupted"):
        with pytest.raises(ParameterError, match=f"start = '{start}' needs a teacher, which random labels do not have; a "):
            Chain(instance, 1.0, start=start, corruption=0.1 if start == "corrupted" else None)


@pytest.mark.parametrize("r0", [-1.0, -0.4, 0.0, 0.7, 1.0])
def test_teachers_of_two_tasks(r0):
    first = models.BinaryPerceptron(2001, n_patterns=3)
    instance = models.SecondTask(first, 0.5, r0, 1.0).draw(3, 2)
    alone = first.draw(3, 2)
    np.testing.assert_array_equal(instance.teacher, alone.teacher)
    np.testing.assert_array_equal(instance.first.patterns, alone.patterns)
    assert np.all(instance.patterns @ instance.teacher2.astype(int) > 0)
    overlap = np.mean(instance.teacher * instance.teacher2.astype(float))
    if abs(r0) == 1:
        assert overlap == r0
    else:
        assert_z((overlap - r0) / math.sqrt((1 - r0**2) / 2001), ALARM)


def test_who_shares_disorder():
    few, many = (models.BinaryPerceptron(101, n_patterns=k).draw(4, 1) for k in (70, 300))
    np.testing.assert_array_equal(few.teacher, many.teacher)
    np.testing.assert_array_equal(few.patterns, many.patterns[:70])
    soft = models.BinaryPerceptron(101, n_patterns=70, loss="hinge", kappa=0.3).draw(4, 1)
    np.testing.assert_array_equal(soft.patterns, few.patterns)
    assert np.any(models.BinaryPerceptron(101, n_patterns=70).draw(4, 2).teacher != few.teacher)
    assert np.any(models.BinaryPerceptron(101, n_patterns=70).draw(5, 1).patterns != few.patterns)
    first = models.BinaryPerceptron(101, n_patterns=70)
    base = models.SecondTask(first, 1.0, 0.5, 1.0).draw(4, 1)
    for alpha, coupling in ((1.0, 0.3), (2.0, 1.0)):
        other = models.SecondTask(first, alpha, 0.5, coupling).draw(4, 1)
        np.testing.assert_array_equal(other.teacher2, base.teacher2)
        np.testing.assert_array_equal(other.patterns[:101], base.patterns)
    opposite = models.SecondTask(first, 1.0, -0.5, 1.0).draw(4, 1)  # half of B = +1 turns, the rest stays
    assert np.all(opposite.teacher2[base.teacher2 != base.teacher] == -base.teacher[base.teacher2 != base.teacher])
    kept = {models.SecondTask(first, 1.0, r0, g, n_patterns=None).disorder_key for r0, g in ((0, 1), (1, 0), (0.5, 2))}
    assert len(kept) == 1
    digests = [models.SecondTask(first, 1.0, 0.5, 1.0, **keys).digest
               for keys in ({}, dict(reference_sweeps=7), dict(reference=np.ones(101)), dict(reference=-np.ones(101)))]
    assert len(set(digests)) == 4
    assert models.SecondTask(models.BinaryPerceptron(101, n_patterns=71), 1.0, 0.5, 1.0).digest not in digests


def test_given_examples_and_teachers():
    rng = np.random.default_rng(0)
    patterns, teacher = rng.choice([-1, 1], size=(30, 21)), rng.choice([-1, 1], 21)
    model = models.BinaryPerceptron(patterns=patterns, teacher=teacher)
    assert (model.n_spins, model.n_patterns, model.alpha) == (21, 30, 30 / 21)
    np.testing.assert_array_equal(model.draw(5).patterns, patterns)
    assert Chain(model.draw(5), 1.0, start="teacher").measure()["r"][0] == 1
    assert models.BinaryPerceptron(patterns=patterns, labels="random").draw(1).teacher is None
    fixed = models.BinaryPerceptron(21, 1.0, teacher=teacher)
    assert np.all(fixed.draw(1).patterns @ teacher > 0) and np.any(fixed.draw(1).patterns != fixed.draw(2).patterns)
    second = models.SecondTask(model, 1.0, 0.5, 1.0)
    assert second.parameters()["first_teacher"] is model.teacher
    np.testing.assert_array_equal(second.draw(1).first.patterns, patterns)


def test_energy_has_the_coupling_where_there_is_a_reference():
    reference = np.random.default_rng(0).choice([-1, 1], 31)
    model = models.SecondTask(models.BinaryPerceptron(31, 1.0), 1.0, 0.5, 0.7, reference)
    instance = model.draw(1)
    coupled = instance.at(0.4, 1)
    spins = np.random.default_rng(1).choice([-1, 1], size=(5, 31))
    assert instance.reference is None and not instance.fields.any()
    np.testing.assert_array_equal(coupled.reference, reference)
    np.testing.assert_allclose(coupled.energy(spins), instance.energy(spins) - 0.4 * 0.7 * spins @ reference, rtol=1e-12)


def test_labels_of_many_examples():
    teacher = np.random.default_rng(0).choice([-1, 1], 300)
    whole = labelled(2**15, 300, teacher, streams(1)[0]).minus  # 128 spins at a time
    rows = 1 - 2 * np.unpackbits(whole, axis=1, bitorder="little").astype(np.int32)
    assert np.all(teacher @ rows >= 0)


@pytest.mark.parametrize("keys, message", [
    (dict(alpha=0.01), "alpha = 0.01 on 51 spins is less than one example; give at least 0.0196, or a larger n_spins"),
    (dict(alpha=0.0), r"alpha = 0.0 is not a number in \]0, "),
    (dict(alpha=-1.0), r"alpha = -1.0 is not a number in \]0, "),
    (dict(alpha=math.nan), "alpha = nan is not a number"),
    (dict(alpha=None), "neither given; give exactly one of alpha"),
    (dict(n_patterns=3), "alpha = 1.0 and n_patterns = 3 given; give exactly one"),
    (dict(alpha=None, n_patterns=0), "n_patterns = 0 is not a whole number from 1"),
    (dict(n_spins=1), "n_spins = 1 is not a whole number from 2"),
    (dict(n_spins=None), "n_spins = None is not a whole number"),
    (dict(n_spins=10**8), "n_spins = 100000000 is not a whole number from 2 to 10000000"),
    (dict(loss="hing"), "loss = 'hing' is not one of violations, hinge, quadratic; did you mean 'hinge'"),
    (dict(loss=3), "loss = 3 is neither one of violations, hinge, quadratic nor a function of the stability"),
    (dict(loss=np.zeros(51)), "loss of shape .51,. is not 52 finite numbers, the costs at x = -51, -49, ..., 51"),
    (dict(loss=lambda d: math.inf), "is not 52 finite numbers"),
    (dict(kappa=11.0), r"kappa = 11.0 is not a number in \[-10, 10\]"),
    (dict(labels="noise"), "labels = 'noise' is not one of teacher, random"),
    (dict(labels="random", teacher=np.ones(51)), "labels = 'random' beside a teacher"),
    (dict(teacher=np.ones(50)), r"teacher of shape \(50,\) is not \+-1 of shape \(51,\)"),
    (dict(teacher=np.zeros(51)), r"teacher\[0\] = 0 is not -1 or \+1"),
    (dict(teacher=np.append(np.ones(50), math.nan)), r"teacher\[50\] = nan is not -1 or \+1"),
    (dict(patterns=np.ones((3, 51))), "patterns without their teacher"),
    (dict(patterns=np.ones((3, 51)), labels="random"), "alpha = 1.0 beside patterns, which have their own"),
    (dict(patterns=np.ones((3, 50)), labels="random", alpha=None), "n_spins = 51 beside patterns"),
    (dict(patterns=np.tri(3, 51), labels="random", alpha=None), "these have zeros"),
    (dict(alpha=1e7), "GiB are free; lower n_spins, alpha or n_patterns"),
])
def test_bad_models_are_refused_in_one_sentence(keys, message):
    with pytest.raises(ParameterError, match=message) as caught:
        models.BinaryPerceptron(**dict(n_spins=51, alpha=1.0) | keys)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


@pytest.mark.parametrize("keys, message", [
    (dict(first=3), "first = 3 is not the model of a first task; give a models.BinaryPerceptron"),
    (dict(first=models.BinaryPerceptron(51, 1.0, labels="random")), "first has labels = 'random': the teacher of a "),
    (dict(teacher_correlation=1.1), r"teacher_correlation = 1.1 is not a number in \[-1, 1\]"),
    (dict(coupling=-0.1), r"coupling = -0.1 is not a number in \[0, 1e.06\]"),
    (dict(alpha=0.001), "alpha = 0.001 on 51 spins is less than one example"),
    (dict(reference="mean"), "reference = 'mean' is neither 'sample' nor an array"),
    (dict(reference=np.ones(50)), r"reference of shape \(50,\) is not \+-1"),
    (dict(reference_sweeps=0), "reference_sweeps = 0 is not a whole number from 1"),
])
def test_bad_second_tasks_are_refused_in_one_sentence(keys, message):
    given = dict(first=models.BinaryPerceptron(51, 1.0), alpha=1.0, teacher_correlation=0.5, coupling=1.0) | keys
    with pytest.raises(ParameterError, match=message) as caught:
        models.SecondTask(**given)
    assert "\n" not in str(caught.value)


JOB = """
[model]
{model}
temperature = 1.0
[sampling]
disorder = 2
start = "{start}"
thermalize = 1
sweeps = 4
"""
SECOND = 'kind = "second_task"\nn_spins = 51\nfirst_alpha = 1.0\nalpha = {}\nteacher_correlation = {}\ncoupling = 0.5'


@pytest.mark.parametrize("model, start, message", [
    ('kind = "perceptron"\nn_spins = 51\nalpha = 0.01', "random", "alpha = 0.01 on 51 spins is less than one example"),
    ('kind = "perceptron"\nn_spins = 51', "random", "neither given; give exactly one of alpha"),
    ('kind = "perceptron"\nn_spins = 51\nalpha = 1.0\ngamma = 2', "random",
     "unknown key 'gamma' in .model.; write the load as alpha"),
    ('kind = "perceptron"\nn_spins = 51\nalpha = 1.0', "reference", "start = 'reference' is what a second task is coupled"),
    ('kind = "perceptron"\nn_spins = 51\nalpha = 1.0', "parallel", "start = 'parallel' is a state of multitasking net"),
    ('kind = "perceptron"\nn_spins = 51\nalpha = 1.0', "example", "start = 'example' needs patterns with examples"),
    ('kind = "dense"\nn_spins = 51\nn_patterns = 2', "teacher", "start = 'teacher' belongs to perceptrons; a dense"),
    ('kind = "second_task"\nn_spins = 51\nfirst_alpha = 1.0', "random",
     "kind = 'second_task' must give alpha and teacher_correlation and coupling"),
    (SECOND.format(1.0, 2.0), "random", "teacher_correlation = 2.0 is not a number"),
    (SECOND.replace("= 1.0", "= 0.001").format(1.0, 0.0), "random", "first_alpha = 0.001 on 51 spins is less than one example"),
])
def test_bad_jobs(model, start, message):
    with pytest.raises(ParameterError, match=message):
        Plan.from_text(JOB.format(model=model, start=start))


def test_loads_are_those_of_integers():
    with pytest.warns(HebbWarning, match="alpha = 0.03 on 51 spins rounds to n_patterns = 2, a load of 0.0392"):
        Plan.from_text(JOB.format(model='kind = "perceptron"\nn_spins = 51\nalpha = 0.03', start="random"))
    with pytest.warns(HebbWarning, match="first_alpha = 0.03 on 51 spins rounds to first_n_patterns = 2, .*; models .* 2"):
        Plan.from_text(JOB.format(model=SECOND.replace("= 1.0", "= 0.03").format(0.05, 0.5), start="random"))
    model = Plan.from_text(JOB.format(model=SECOND.format(2.0, 0.5), start="reference")).tasks[0].model
    assert (model.first_alpha, model.alpha, model.first.n_patterns, model.n_patterns) == (1.0, 2.0, 51, 102)


def test_the_default_start_is_pointed_out():
    with pytest.warns(HebbWarning, match="start = 'planted' begins in the teacher, .* use start = 'random', or "):
        simulate(models.BinaryPerceptron(21, 1.0), 1.0, disorder=1, sweeps=2, thermalize=0)
    simulate(models.BinaryPerceptron(21, 1.0), 1.0, disorder=1, sweeps=2, thermalize=0, start="teacher")


@pytest.mark.parametrize("dynamics", ["plefka", "lumped"])
def test_other_dynamics_are_refused(dynamics):
    with pytest.raises(ParameterError, match=f"dynamics = '{dynamics}' exists for"):
        simulate(models.BinaryPerceptron(21, 1.0), 1.0, dynamics=dynamics, start="random")


def test_second_tasks_are_warm():
    model = models.SecondTask(models.BinaryPerceptron(21, 1.0), 1.0, 0.5, 1.0)
    with pytest.raises(ParameterError, match="temperature = 0 with a second_task model, whose coupling has a law at T > 0"):
        simulate(model, 0.0, dynamics="zero_temperature", start="random")


def test_what_a_user_is_told_of_ties():
    assert "even" in models.BinaryPerceptron(50, 1.0).summary() and not models.BinaryPerceptron(51, 1.0).summary()


@pytest.mark.parametrize("shape", [(1, 8), (2, 8), (3, 16), (64, 24), (65, 8), (1000, 8), (20000, 8), (300, 2**15)])
def test_bits_are_counted_exactly(shape):
    """Within one block of rows and over several of them."""
    columns = np.random.default_rng(shape[0]).integers(0, 256, shape, dtype=np.uint8)
    columns[:, 0] = 255
    np.testing.assert_array_equal(set_bits(columns), np.unpackbits(columns, axis=1, bitorder="little").sum(axis=0))
