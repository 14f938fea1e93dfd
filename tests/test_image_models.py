"""Models, chains and results on images: what enters the Hamiltonian, cues, recognition, remedies, and what is refused."""

import json
import math

import matplotlib.image
import numpy as np
import pytest
from conftest import assert_z

import hebb
from hebb import models, simulate
from hebb.compare import compare_results, normal_score
from hebb.errors import ParameterError
from hebb.models.datasets import load_images
from hebb.models.remedies import whitened
from hebb.pictures import image_figure, learning_figure
from hebb.runs.plan import Plan
from hebb.runs.worker import compute
from hebb.sampling.chain import Chain
from hebb.sampling.recognition import Recogniser
from hebb.theory import Dense

pytest.importorskip("sklearn")

QUENCH = dict(sweeps=1, thermalize=15, dynamics="zero_temperature")


def digits(n_patterns=10, archetypes="class", **keys):
    return models.Dense(patterns="digits", archetypes=archetypes, n_patterns=n_patterns, **keys)


def signs(shape, seed=0):
    return 1 - 2 * np.random.default_rng(seed).integers(0, 2, shape, dtype=np.int8)


def held_out_rows(model):
    found = model.images.archetypes
    return [{row.tobytes() for row in found.binarised(group)} for group in found.held_out]


# ---- what is stored --------------------------------------------------------------------------------------------------------


def test_what_enters_the_hamiltonian():
    supervised, unsupervised = (digits(n_examples=7, protocol=name).draw(2, 1) for name in ("supervised", "unsupervised"))
    themselves = digits().draw(2, 1)
    np.testing.assert_array_equal(supervised.patterns, themselves.patterns)
    np.testing.assert_array_equal(supervised.images.examples, unsupervised.images.examples)
    np.testing.assert_array_equal(themselves.stored, themselves.patterns)
    np.testing.assert_allclose(supervised.stored, supervised.images.examples.mean(axis=1), rtol=0, atol=1e-15)
    np.testing.assert_array_equal(unsupervised.stored, supervised.images.examples.reshape(70, 64))
    assert digits().protocol == "storage" and digits(n_examples=3).protocol == "supervised"


def test_law_is_measured():
    """r and R of the law against the disorder samples it stands for: every class, many draws of M images."""
    for protocol in ("supervised", "unsupervised"):
        model = digits(n_examples=5, protocol=protocol)
        samples = [model.draw(1, d) for d in range(60)]
        r = np.array([np.mean(s.patterns[:, None] * s.images.examples.astype(float)) for s in samples])
        assert_z((r.mean() - model.law.r) / (r.std(ddof=1) / math.sqrt(60)), 1e-6, "r")
        if protocol == "supervised":
            squares = np.array([np.mean(s.images.examples.mean(axis=1) ** 2) for s in samples])
            second = model.law.r**2 * (1 + model.law.rho)
            assert_z((squares.mean() - second) / (squares.std(ddof=1) / math.sqrt(60)), 1e-6, "R")
            assert math.isclose(model.measured["second_moment"], second)
            s = samples[0]
            np.testing.assert_allclose(s.learned, s.stored[0] * model.law.r / second, rtol=1e-12)


def test_samples_share_their_images():
    """Over P, protocol, remedy, threshold and M: curves along them differ by nothing else."""
    first = digits(n_examples=4).draw(3, 2)
    for keys in (dict(p_body=4, n_examples=9), dict(protocol="unsupervised", n_examples=4),
                 dict(remedy="whitened", n_examples=6)):
        other = digits(**keys).draw(3, 2)
        np.testing.assert_array_equal(first.patterns, other.patterns)
        np.testing.assert_array_equal(first.images.examples, other.images.examples[:, :4])
        np.testing.assert_array_equal(first.images.cues, other.images.cues)
    few = digits(4, n_examples=4).draw(3, 2)
    np.testing.assert_array_equal(few.patterns, first.patterns[:4])
    assert not np.array_equal(digits(n_examples=4).draw(3, 3).patterns, first.patterns)
    assert digits(threshold=0.3).disorder_key == digits().disorder_key != digits(held_out=0.3).disorder_key
    assert digits(threshold=0.3).digest != digits().digest != digits(remedy="centred").digest


def test_identity_of_models_without_archetypes_is_untouched():
    known = models.Dense(patterns="digits", n_patterns=3).parameters()
    assert not {"archetypes", "held_out", "remedy", "n_examples", "r"} & set(known)
    named = digits(n_examples=3).parameters()
    assert named["archetypes"] == "class" and named["held_out"] == 0.2 and named["n_examples"] == 3 and "r" not in named
    assert "archetypes_sha256" in digits(12, "prototypes").parameters()


# ---- remedies --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", [dict(), dict(n_examples=6), dict(n_examples=6, protocol="unsupervised")])
@pytest.mark.parametrize("p_body", [2, 3, 4])
@pytest.mark.parametrize("hamiltonian", ["distinct", "naive"])
def test_centred_rows_have_the_energy_of_the_formula(keys, p_body, hamiltonian):
    """The kernel and the slow reference against the Hamiltonian written out in power sums, prefactor included."""
    model = digits(6, remedy="centred", p_body=p_body, hamiltonian=hamiltonian, **keys)
    instance = model.draw(1)
    plain = digits(6, p_body=p_body, **keys).draw(1).stored
    rows = plain - model.images.archetypes.mean_image
    np.testing.assert_allclose(instance.stored, rows, atol=2 / 2**15)
    rows, n, found = instance.stored, 64, model.images.archetypes
    if not keys:
        second = np.mean((found.rows - found.mean_image) ** 2)
    else:
        second = found.second_moment(6 if model.protocol == "supervised" else 1, centred=True)
    scale = second ** (-p_body / 2) / (6 if model.protocol == "unsupervised" else 1)
    spins = signs((3, n), 4)
    sums = [((rows[:, None] * spins) ** k).sum(axis=-1) for k in range(1, 5)]
    if hamiltonian == "distinct":
        e = {2: (sums[0]**2 - sums[1]) / 2, 3: (sums[0]**3 - 3 * sums[0] * sums[1] + 2 * sums[2]) / 6,
             4: (sums[0]**4 - 6 * sums[0]**2 * sums[1] + 3 * sums[1]**2 + 8 * sums[0] * sums[2] - 6 * sums[3]) / 24}[p_body]
        expected = -scale * math.factorial(p_body) / (2 * n ** (p_body - 1)) * e.sum(axis=0)
    else:
        mean = {2: sums[1], 3: 0 * sums[0], 4: 3 * sums[1] ** 2 - 2 * sums[3]}[p_body]
        expected = -scale / (2 * n ** (p_body - 1)) * (sums[0] ** p_body - mean).sum(axis=0)
    np.testing.assert_allclose(instance.energy(spins), expected, rtol=1e-9, atol=1e-9)
    kernel = instance.kernel()
    kernel.load(spins)
    np.testing.assert_allclose(kernel.energy, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("threshold", [0.5, 0.0])
def test_centred_single_images_have_mean_square_one(threshold):
    """Over all images of the set, pixels that never change included."""
    model = models.Dense(patterns="digits", n_patterns=1797, threshold=threshold, remedy="centred")
    left = load_images("digits").binarised(threshold) - model.images.mean_image
    assert model.images.centred_moment(model.law) == pytest.approx(np.mean(left**2), rel=1e-9)


@pytest.mark.parametrize("keys", [dict(), dict(n_examples=9), dict(n_examples=2, protocol="unsupervised", p_body=2)])
def test_whitened_couplings_are_the_projection(keys):
    """H = -(1/2) s (J - diag J) s with J the projection on the span of what would be stored, from the pseudo-inverse."""
    instance, plain = digits(remedy="whitened", **keys).draw(1), digits(**keys).draw(1).stored.astype(float)
    projection = np.linalg.pinv(plain) @ plain
    np.fill_diagonal(projection, 0)
    spins = signs((5, 64), 1)
    expected = -0.5 * np.einsum("ri,ij,rj->r", spins, projection, spins)
    np.testing.assert_allclose(instance.energy(spins), expected, atol=64 * 3 / 2**15)
    kernel = instance.kernel()
    kernel.load(spins)
    np.testing.assert_allclose(kernel.energy, instance.energy(spins), atol=1e-9)
    np.testing.assert_allclose([kernel.costs(0)], [2 * spins[0] * (projection @ spins[0])], atol=64 * 3 / 2**15)


@pytest.mark.parametrize("model", [
    *(digits(k, remedy="whitened") for k in (1, 2, 10)),
    models.Dense(patterns="digits", n_patterns=30, remedy="whitened"),
    models.Dense(patterns=signs((40, 64)), remedy="whitened"),
], ids=lambda model: f"K={model.n_patterns}")
def test_whitened_patterns_are_fixed_points(model):
    """P = 2, T = 0, K < N: no flip of any stored pattern lowers the energy or leaves it, and the chain stays for ever."""
    instance = model.draw(1)
    kernel = instance.kernel()
    kernel.load(instance.patterns)
    assert min(kernel.costs(mu).min() for mu in range(model.n_patterns)) > 0
    results = simulate(model, 0.0, disorder=3, replicas=2, start="planted", **QUENCH)
    assert np.all(results["m"].samples == 1) and not results.lost.any()


def test_hebb_rule_loses_what_whitening_keeps():
    """Planted at an archetype of T = 0: without a remedy the state all archetypes have in common is where it ends."""
    plain, white = (simulate(digits(remedy=name), 0.0, disorder=12, replicas=1, **QUENCH) for name in ("none", "whitened"))
    assert np.all(white["m"].samples == 1) and plain["m"].mean[0] < 0.85


def test_whitened_random_patterns_at_higher_order():
    """P = 4 accepts the remedy; rows are orthonormal up to the 16 bits they are kept in."""
    instance = models.Dense(n_spins=80, p_body=4, n_patterns=20, remedy="whitened").draw(5)
    np.testing.assert_allclose(instance.stored @ instance.stored.T / 80, np.eye(20), atol=1e-3)
    np.testing.assert_allclose(instance.stored, whitened(instance.patterns), atol=5 / 2**15)


# ---- cues and recognition --------------------------------------------------------------------------------------------------


def test_cues_are_held_out_images_of_the_condensed_class():
    model = digits(n_examples=20)
    kept = held_out_rows(model)
    for disorder in range(6):
        instance = model.draw(1, disorder)
        chain = Chain(instance, 0.0, replicas=30, start="example", dynamics="zero_temperature")
        label = int(instance.images.labels[0])
        assert all(row.tobytes() in kept[label] for row in chain.spins)
        np.testing.assert_array_equal(chain.spins, instance.images.cues[:30])
        fewer = Chain(instance, 0.0, replicas=2, start="example", dynamics="zero_temperature", seed=9)
        np.testing.assert_array_equal(fewer.spins, chain.spins[:2])


def test_fresh_examples_of_random_patterns():
    """Entries agree with the pattern with probability (1 + r)/2, independently in every replica."""
    model = models.Dense(n_spins=2000, n_patterns=3, r=0.4, n_examples=5)
    chain = Chain(model.draw(1), 0.5, replicas=20, start="example")
    seen = chain.measure()
    deviation = math.sqrt((1 - 0.4**2) / 2000)
    assert_z((seen["m_cue"] - 0.4) / deviation, 1e-6, "quality of the cues")
    assert len({row.tobytes() for row in chain.spins}) == 20
    assert np.all(seen["recognised_cue"] == 1) and np.array_equal(seen["m"], seen["m_cue"]), "nothing has moved yet"


@pytest.mark.parametrize("protocol", ["supervised", "unsupervised"])
def test_independent_archetypes_are_learnt_as_theory_says(protocol):
    """What images fail at, at the size, number and r of MNIST's classes: the pipeline is not what fails there."""
    model = models.Dense(n_spins=784, n_patterns=10, r=0.7877, n_examples=4, protocol=protocol)
    results = simulate(model, 0.0, disorder=40, replicas=2, start="example", **QUENCH)
    assert np.all(results["recognised"].samples == 1)
    theory = Dense(p_body=2, r=0.7877, n_examples=4, protocol=protocol).solve(gamma=model.gamma, temperature=0.0).m
    assert_z(normal_score((results["m"].mean[0] - theory) / results["m"].raw_error[0], 40), 1e-6, "m")


def test_recogniser_against_counting():
    model = digits(6, n_examples=3)
    instance = model.draw(4, 1)
    spins = np.vstack([instance.images.cues[:12], signs((12, 64), 2), instance.patterns])
    seen = Recogniser(instance, spins).measure(spins.astype(np.float32))
    for s, recognised, m_cue in zip(spins, seen["recognised_cue"], seen["m_cue"], strict=True):
        overlaps = [int(np.dot(s.astype(int), row)) for row in instance.patterns]
        assert recognised == float(overlaps[0] > max(overlaps[1:])) and m_cue == overlaps[0] / 64
    assert seen["recognised"].tolist() == seen["recognised_cue"].tolist() and 0 < seen["recognised"].mean() < 1
    assert seen["recognised"][-6:].tolist() == [1, 0, 0, 0, 0, 0]


def test_without_held_out_images_everything_but_cues_works():
    model = digits(3, n_examples=130, held_out=0.0)
    assert model.draw(1).images.cues.shape == (0, 64) and model.n_cues == 0
    assert simulate(model, 0.0, disorder=2, **QUENCH)["m"].mean[0] > 0


def test_mean_field_dynamics_recognise_too():
    """At T = 0 the states are configurations, whose overlaps are counted here."""
    keys = dict(disorder=3, replicas=4, start="example", dynamics="plefka", keep_spins=True, sweeps=1, thermalize=6)
    model = digits(8, n_examples=60, remedy="whitened")
    results = simulate(model, 0.0, **keys)
    for disorder in range(3):
        instance = model.draw(1, disorder)
        for name, spins in (("recognised_cue", "start"), ("recognised", "final")):
            overlaps = results.spins[0, disorder][spins].astype(int) @ instance.patterns.T.astype(int)
            np.testing.assert_array_equal(results[name].series(0)[disorder, 0], overlaps[:, 0] > overlaps[:, 1:].max(axis=1))
    assert 0 < results["recognised"].mean[0] < 1
    assert {"recognised", "m_cue"} <= set(simulate(model, 0.3, **keys))


def test_prototypes_of_one_class_are_one_answer():
    model = digits(30, "prototypes")
    instance = model.draw(1)
    same = np.flatnonzero(instance.images.labels == instance.images.labels[0])
    assert len(same) == 3
    seen = Recogniser(instance, instance.patterns).measure(instance.patterns.astype(np.float32))
    np.testing.assert_array_equal(np.flatnonzero(seen["recognised"]), same)


def test_whitening_recognises_more_than_the_cue_and_examples_help():
    """4-body network on digits, averages over the same 40 samples: many examples beat one, and beat the bare cue."""
    one, many = (simulate(digits(p_body=4, threshold="median", remedy="whitened", n_examples=m), 0.0, disorder=40, replicas=6,
                          start="example", **QUENCH) for m in (1, 100))
    gain = many["recognised"].samples[0] - one["recognised"].samples[0]
    assert gain.mean() / (gain.std(ddof=1) / math.sqrt(40)) > 4
    assert many["recognised"].mean[0] >= many["recognised_cue"].mean[0]
    np.testing.assert_array_equal(one["m_cue"].samples, many["m_cue"].samples)


def test_an_interrupted_task_ends_like_another():
    plan = Plan.from_keywords(digits(n_examples=4, remedy="whitened"), 0.3, disorder=1, sweeps=40, thermalize=10,
                              start="example", keep_spins=True)
    (task,) = plan.tasks
    whole, record = compute(task), None
    while record is None or record.status != "done":
        record = compute(task, record, stop=lambda: True)
    assert whole.series.keys() == record.series.keys() >= {"recognised", "recognised_cue", "m_cue", "n"}
    for name, series in whole.series.items():
        np.testing.assert_array_equal(series, record.series[name])
    for name, spins in whole.spins.items():
        np.testing.assert_array_equal(spins, record.spins[name])
    assert set(whole.spins) == {"planted", "start", "final", "example", "average"}


# ---- results and figures ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def learnt():
    """Two P, two M, two remedies, and the unsupervised protocol beside."""
    jobs = []
    for protocol, remedies in (("supervised", ["none", "whitened"]), ("unsupervised", ["none"])):
        text = f"""
            [job]
            name = "learnt"
            [model]
            kind = "dense"
            patterns = "digits"
            archetypes = "class"
            n_patterns = 10
            protocol = "{protocol}"
            remedy = {json.dumps(remedies)}
            p_body = [2, 4]
            n_examples = [1, 20]
            temperature = 0.0
            [sampling]
            dynamics = "zero_temperature"
            disorder = 3
            replicas = 2
            start = "example"
            thermalize = 10
            sweeps = 1
            keep_spins = true
            """
        plan = Plan.from_text(text)
        jobs.append(hebb.storage.results.Results.from_records(plan.index(), map(compute, plan.tasks)))
    return jobs


def test_results_carry_what_was_measured(learnt, tmp_path):
    learnt[0].save(tmp_path / "results.h5")
    back = hebb.load(tmp_path / "results.h5")
    assert set(back.swept) == {"remedy", "p_body", "n_examples"}
    for point in back.points:
        found = point["measured"]
        assert found["overlap_rms"] > 3 * found["overlap_independent"] and 0.6 < found["r"] < 0.9
        assert found["training_images"] + found["held_out_images"] == 1797
    assert "measured" not in simulate(models.Dense(n_spins=20, n_patterns=2), 0.5, disorder=2, sweeps=5, thermalize=1).points[0]
    comparison = compare_results(back)
    assert {row.observable for row in comparison.rows} >= {"m", "recognised", "recognised_cue"}
    comparison.write_csv(tmp_path / "table.csv")
    assert "measured" not in (tmp_path / "table.csv").read_text()


def test_learning_figure(learnt, tmp_path):
    figure = learning_figure(*learnt)
    figure.savefig(tmp_path / "learning.png")
    assert np.ptp(matplotlib.image.imread(tmp_path / "learning.png")[..., :3]) > 0.9
    curves = [ax for ax in figure.axes if not ax.images]
    pictures = [ax.images[0].get_array() for ax in figure.axes if ax.images]
    assert [ax.get_title() for ax in curves[:2]] == ["P = 2", "P = 4"] and len(curves) == 4
    assert len(pictures) == 2 * 6 and all(picture.shape == (8, 8) for picture in pictures)
    archetype, example, average, cue, *retrieved = pictures[:6]
    assert set(np.unique(archetype)) == set(np.unique(example)) == set(np.unique(cue)) == {-1, 1}
    assert len(np.unique(average)) > 2 and np.mean(np.sign(average) == archetype) > 0.8
    first = learnt[0]
    place = next(i for i, p in enumerate(first.points)
                 if (p["p_body"], p["n_examples"], p.get("remedy")) == (4, 20, "whitened"))
    np.testing.assert_array_equal(pictures[6 + 5].ravel(), first.spins[place, 0]["final"][0])
    drawn = {line.get_label() for ax in curves for line in ax.lines} | {c.get_label() for ax in curves for c in ax.containers}
    assert {"supervised, whitened", "supervised, no remedy", "unsupervised, no remedy", "the cue itself",
            "theory of independent archetypes, supervised"} <= drawn


def test_figures_of_other_jobs_with_archetypes(tmp_path):
    """The archetypes themselves are stored, K varies, nothing is kept, the start is no cue."""
    text = """
        [model]
        kind = "dense"
        patterns = "digits"
        archetypes = "class"
        n_patterns = [2, 5]
        temperature = [0.1, 0.2]
        [sampling]
        disorder = 2
        thermalize = 5
        sweeps = 20
        start = "example"
        """
    plan = Plan.from_text(text, "job")
    results = hebb.storage.results.Results.from_records(plan.index(), map(compute, plan.tasks))
    figure = image_figure(results)
    figure.savefig(tmp_path / "archetypes.png")
    assert figure.axes[-1].get_xlabel() == "archetypes $K$"
    planted = Plan.from_keywords(digits(3, n_examples=2), 0.1, disorder=2, sweeps=20, thermalize=5)
    image_figure(hebb.storage.results.Results.from_records(planted.index(), map(compute, planted.tasks)))


def test_summary_for_people():
    text = digits().summary()
    assert "digits, threshold 0.5: class archetypes, 1438 training and 359 held-out images, r = 0.7" in text
    assert "effective rank" in text and "independent: rms 0.125" in text and text.count("\n") == 1
    assert "median: single images" in models.Dense(patterns="digits", n_patterns=3, threshold="median").summary()
    assert models.Dense(n_spins=20, n_patterns=2).summary() == ""


# ---- what is refused -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keys, words", [
    (dict(archetypes="class", n_patterns=11), "n_patterns = 11 exceeds the 10 classes of 'digits'; lower it, or divide"),
    (dict(archetypes="class", n_examples=140), "n_examples = 140 exceeds the 139 training images of class 8 of 'digits'"),
    (dict(archetypes="class", n_examples=0), "n_examples = 0 is not a whole number"),
    (dict(archetypes="class", n_examples=3, r=0.5), "r = 0.5 and rho = None cannot be chosen for images"),
    (dict(archetypes="class", protocol="unsupervised"), "protocol = 'unsupervised' learns from examples; give n_examples"),
    (dict(archetypes="class", protocol="storage", n_examples=3), "r = None, n_examples = 3, rho = None describe"),
    (dict(archetypes="class", examples=np.ones((5, 2, 64))), "archetypes have images as examples, and examples are given as"),
    (dict(archetypes="groups"), "archetypes = 'groups' is not one of class, prototypes"),
    (dict(n_examples=3), "needs the quality r of its examples"),
    (dict(held_out=0.1), "held_out = 0.1 has no meaning for single images"),
    (dict(archetypes="class", held_out=-0.1), "held_out = -0.1 is not a number in"),
    (dict(threshold="mean"), "threshold = 'mean' is not one of median"),
    (dict(remedy="centered"), "remedy = 'centered' is not one of none, centred, whitened; did you mean 'centred'"),
    (dict(remedy="whitened", n_patterns=65), "65 stored rows of 64 entries cannot be; lower n_patterns or n_examples"),
    (dict(archetypes="class", remedy="whitened", n_examples=13, protocol="unsupervised"), "65 stored rows of 64 entries"),
    (dict(archetypes="class", n_spins=784), "n_spins = 784 contradicts the images"),
    (dict(patterns=None, n_spins=20, archetypes="class"), "archetypes are made from images, and the patterns are not images"),
    (dict(patterns=None, n_spins=20, held_out=0.2), "held_out = 0.2 has no meaning without archetypes"),
    (dict(patterns=None, n_spins=20, remedy="centred"), "remedy = 'centred' subtracts the mean of a set of images"),
    (dict(patterns=np.array([[1, 0, 1, -1]] * 5), remedy="whitened"), "patterns with zeros have no examples of .-1 and no"),
])
def test_what_images_cannot_be(keys, words):
    with pytest.raises(ParameterError, match=words) as caught:
        models.Dense(**{"patterns": "digits", "n_patterns": 5} | keys)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("model, replicas, words", [
    (digits(), 36, "replicas = 36 with start = 'example' exceeds the 35 held-out images that every archetype has"),
    (digits(held_out=0.0), 1, "start = 'example' needs examples that are not trained on"),
    (models.Dense(patterns="digits", n_patterns=3), 1, "start = 'example' needs examples"),
    (models.Dense(n_spins=64, n_patterns=3, rho=0.3), 1, "start = 'example' needs examples"),
])
def test_cues_that_do_not_exist(model, replicas, words):
    with pytest.raises(ParameterError, match=words):
        simulate(model, 0.0, disorder=2, replicas=replicas, start="example", **QUENCH)


def test_reaction_of_independent_patterns_is_refused_to_others():
    with pytest.raises(ParameterError, match="expansion = 'tap' with remedy = 'whitened'"):
        simulate(digits(remedy="whitened"), 0.5, disorder=2, sweeps=2, thermalize=1, dynamics="plefka", expansion="tap")


def test_equal_images_cannot_be_whitened():
    rows = load_images("digits").binarised(0.5)[[0, 1, 0]]
    with pytest.raises(ParameterError, match="the 3 rows of 64 entries have rank 2; store fewer"):
        models.Dense(patterns=rows, remedy="whitened").draw(1)
