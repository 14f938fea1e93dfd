"""Images as examples of archetypes: what is stored, what is kept for testing, how correlated it is, and the remedies."""

import math

import numpy as np
import pytest
from conftest import assert_z
from hypothesis import given, settings
from hypothesis import strategies as st

from hebb.errors import DataError, ParameterError
from hebb.models.archetypes import find_archetypes
from hebb.models.datasets import ImageSet, load_images
from hebb.models.images import ImageModel, correlations, threshold_of
from hebb.models.remedies import whitened

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def digits():
    return find_archetypes(load_images("digits"), "class", 0.5, 0.2)


def labelled(per_class=(6, 9, 7), shape=(4, 5), seed=0):
    """Random pictures with labels in mixed order."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(per_class)), per_class))
    return ImageSet("random", rng.integers(0, 256, (len(labels), *shape), dtype=np.uint8), labels)


def stream(seed=0):
    return np.random.default_rng(seed)


# ---- archetypes and the split ----------------------------------------------------------------------------------------------


def test_split_is_disjoint_complete_and_of_one_class(digits):
    labels = digits.images.labels
    both = np.concatenate([*digits.training, *digits.held_out])
    assert sorted(both) == list(range(1797)), "every image is on exactly one side, once"
    for label, known, kept in zip(digits.labels, digits.training, digits.held_out, strict=True):
        assert set(labels[known]) == set(labels[kept]) == {label}
        assert len(kept) == round(0.2 * np.sum(labels == label))


def test_split_depends_on_the_images_alone():
    images = labelled()
    same = ImageSet("another name", images.pixels.copy(), images.labels)
    for one, other in ((0.5, 0.5), (0.3, "median")):
        a, b = find_archetypes(images, "class", one, 0.5), find_archetypes(same, "class", other, 0.5)
        assert all(map(np.array_equal, a.training, b.training)) and all(map(np.array_equal, a.held_out, b.held_out))
    more = find_archetypes(images, "class", 0.5, 0.3)
    assert all(set(few) <= set(many) for few, many in zip(more.held_out, a.held_out, strict=True)), "a smaller share is a part"


def test_archetype_is_the_majority_and_the_best_representative(digits):
    for group in range(3):
        rows = digits.binarised(digits.training[group]).astype(int)
        total = rows.sum(axis=0)
        np.testing.assert_array_equal(digits.rows[group], np.where(total > 0, 1, -1))
        assert math.isclose(digits.quality[group], np.mean(rows @ digits.rows[group]) / 64), "r is the mean overlap"
        flipped = digits.rows[group] * np.where(np.eye(64), -1, 1)
        assert np.all(np.mean(rows @ flipped.T, axis=0) <= 64 * digits.quality[group] + 1e-9), "no flip of a pixel improves it"


def test_threshold_median_is_that_of_the_training_images():
    images = labelled()
    median = find_archetypes(images, "class", "median", 0.4)
    training = np.concatenate(median.training)
    np.testing.assert_array_equal(median.level, np.median(images.grey(training), axis=0))
    share = np.mean(images.binarised(median.level, training) == 1, axis=0)
    assert np.all(share <= 0.5) and share.mean() > 0.4, "half of the pixels, up to ties"
    assert threshold_of("median") == "median" and threshold_of(0.25) == 0.25
    for wrong in ("mean", 1.5, None):
        with pytest.raises(ParameterError, match="threshold"):
            threshold_of(wrong)


def test_mean_image_lies_inside(digits):
    rows = digits.binarised(np.concatenate(digits.training)).astype(float)
    n = len(rows)
    np.testing.assert_allclose(digits.mean_image, rows.sum(axis=0) / (n + 2), rtol=0, atol=1e-12)
    assert np.abs(digits.mean_image).max() < 1


@pytest.mark.parametrize("n_examples", [1, 2, 5, 9])
@pytest.mark.parametrize("centred", [False, True])
def test_second_moment_is_that_of_all_averages(n_examples, centred):
    """Against every choice of M out of n training images, counted out."""
    from itertools import combinations
    found = find_archetypes(labelled((12, 12), (2, 3)), "class", 0.5, 0.25)
    squares = []
    for known in found.training:
        rows = found.binarised(known).astype(float)
        assert len(rows) == 9
        averages = np.array([rows[list(some)].mean(axis=0) for some in combinations(range(9), n_examples)])
        squares.append(np.mean((averages - (found.mean_image if centred else 0)) ** 2))
    assert math.isclose(found.second_moment(n_examples, centred), np.mean(squares), rel_tol=1e-12)


# ---- what a sample uses ----------------------------------------------------------------------------------------------------


def test_choice_never_trains_on_a_cue(digits):
    for seed in range(5):
        choice = digits.choose(stream(seed), 10, 30, "random")
        assert choice.groups.shape == (10,) and choice.examples.shape == (10, 30)
        assert not set(choice.examples.ravel()) & set(np.concatenate(digits.held_out))
        assert sorted(choice.cues) == sorted(digits.held_out[choice.groups[0]]), "all held-out images of the condensed class"
        assert len(set(choice.examples.ravel())) == 300, "no image twice"
        assert all(set(row) <= set(digits.training[g]) for row, g in zip(choice.examples, choice.groups, strict=True))


def test_more_examples_and_archetypes_keep_those_that_were_there(digits):
    few, many = (digits.choose(stream(3), k, m, "random") for k, m in ((4, 5), (10, 80)))
    np.testing.assert_array_equal(few.groups, many.groups[:4])
    np.testing.assert_array_equal(few.examples, many.examples[:4, :5])
    np.testing.assert_array_equal(few.cues, many.cues)


def test_order_of_the_classes(digits):
    np.testing.assert_array_equal(digits.choose(stream(1), 10, 1, "file").groups, np.arange(10))
    firsts = [digits.choose(stream(seed), 3, 1, "random").groups[0] for seed in range(2000)]
    counts = np.bincount(firsts, minlength=10)
    statistic = np.sum((counts - 200) ** 2 / 200)  # chi squared with 9 degrees of freedom, nearly normal to the power 1/3
    assert_z(((statistic / 9) ** (1 / 3) - (1 - 2 / 81)) / math.sqrt(2 / 81), 1e-6, "every class is condensed as often")


@pytest.mark.parametrize("number, each", [(10, 1), (12, 2), (30, 3)])
def test_prototypes_are_clusters_within_classes(number, each):
    found = find_archetypes(load_images("digits"), "prototypes", 0.5, 0.2, number)
    classes = find_archetypes(load_images("digits"), "class", 0.5, 0.2)
    assert found.n_groups == 10 * each and list(found.labels) == list(np.repeat(np.arange(10), each))
    for label in range(10):
        for side in ("training", "held_out"):
            here = np.concatenate([getattr(found, side)[g] for g in np.flatnonzero(found.labels == label)])
            assert sorted(here) == sorted(getattr(classes, side)[label]), f"the {side} images of the class, divided"
    if each == 1:
        np.testing.assert_array_equal(found.rows, classes.rows)
    else:
        assert found.quality.mean() > classes.quality.mean() + 0.02, "clusters are tighter than classes"
    for order in ("random", "file"):
        groups = found.choose(stream(2), number, 1, order).groups
        counts = np.bincount(found.labels[groups], minlength=10)
        assert len(set(groups)) == number and counts.max() - counts.min() <= 1, "spread over the classes"


def test_what_cannot_be_drawn():
    images = labelled((6, 9, 7))
    found = find_archetypes(images, "class", 0.5, 0.5)
    assert [len(group) for group in found.training] == [3, 5, 3] and found.n_cues == 3
    found.require(3, 3, "random")
    with pytest.raises(ParameterError, match="n_examples = 4 exceeds the 3 training images of class 0 of 'random', which "
                                             "keeps 3 for testing; lower n_examples or held_out"):
        found.require(3, 4, "random")
    with pytest.raises(ParameterError, match="n_patterns = 4 exceeds the 3 classes of 'random'"):
        found.require(4, 1, "random")
    with pytest.raises(ParameterError, match="held_out = 1.0 is not a number in"):
        ImageModel(images, 3, archetypes="class", held_out=1.0)
    with pytest.raises(ParameterError, match="held_out = 0.5 has no meaning for single images; give archetypes"):
        ImageModel(images, 3, held_out=0.5)
    for wrong in ("clases", ["class"]):
        with pytest.raises(ParameterError, match="archetypes = .* is not one of class, prototypes"):
            ImageModel(images, 3, archetypes=wrong)
    with pytest.raises(DataError, match="have no labels .*; add them, or leave archetypes out"):
        find_archetypes(ImageSet("bare", images.pixels, None), "class", 0.5, 0.5)
    with pytest.raises(ParameterError, match="fewer than 4 different training images"):
        find_archetypes(images, "prototypes", 0.5, 0.5, 12)
    one = ImageSet("single", images.pixels[:1], np.array([7]))
    with pytest.raises(ParameterError, match="leaves no training image of a class; lower it"):
        find_archetypes(one, "class", 0.5, 0.9)
    prototypes = find_archetypes(images, "prototypes", 0.5, 0.5, 6)
    with pytest.raises(ParameterError, match="training images of a prototype of class"):
        prototypes.require(6, 5, "random")


# ---- correlations ----------------------------------------------------------------------------------------------------------


def test_correlations_of_known_rows():
    hadamard = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])
    found = correlations(hadamard)
    assert found["overlap_mean"] == found["overlap_rms"] == found["overlap_max"] == found["constant"] - 0.25 == 0
    assert math.isclose(found["effective_rank"], 4) and found["activity"] == 0.25 and found["overlap_independent"] == 0.5
    same = correlations(np.tile([1, -1, -1, -1, -1], (3, 1)))
    assert same["overlap_mean"] == same["overlap_max"] == same["constant"] == same["activity_rms"] == 1
    assert math.isclose(same["effective_rank"], 1) and math.isclose(same["activity"], -0.6, rel_tol=1e-6)
    opposite = correlations(np.array([[1, 1, -1, 1], [-1, -1, 1, -1]]))
    assert opposite["overlap_mean"] == -1 and opposite["overlap_max"] == 1
    assert correlations(hadamard[:1])["overlap_rms"] == 0, "one row has no others"


def test_correlations_of_independent_rows():
    """rms overlap N^(-1/2) and mean 0, up to their exact scatter over K(K-1)/2 uncorrelated pairs."""
    k, n = 40, 400
    found = correlations(1 - 2 * stream(5).integers(0, 2, (k, n)))
    pairs = k * (k - 1) / 2
    assert_z(found["overlap_mean"] * math.sqrt(n * pairs), 1e-6, "mean overlap")
    assert_z((found["overlap_rms"] ** 2 * n - 1) * math.sqrt(pairs / 2), 1e-6, "mean square overlap times N")
    assert found["constant"] == 0 and 0.9 * k < found["effective_rank"] < k


def test_images_are_not_independent(digits):
    found = correlations(digits.rows)
    assert found["overlap_rms"] > 3 * found["overlap_independent"] and found["effective_rank"] < 6
    assert found["constant"] > 0.3 and found["activity"] < -0.2


# ---- remedies --------------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 8), st.integers(0, 20), st.integers(0, 2**32))
def test_whitened_rows_are_orthonormal_and_span_the_same(k, more, seed):
    rows = np.random.default_rng(seed).standard_normal((k, k + more + 2)) + 1.0
    n = rows.shape[1]
    eta = whitened(rows)
    scale = np.linalg.cond(rows) ** 2
    np.testing.assert_allclose(eta @ eta.T / n, np.eye(k), atol=1e-13 * scale)
    projection = np.linalg.pinv(rows) @ rows
    np.testing.assert_allclose(eta.T @ eta / n, projection, atol=1e-13 * scale)
    transform = eta @ np.linalg.pinv(rows)
    np.testing.assert_allclose(transform, transform.T, atol=1e-10 * scale)
    assert np.linalg.eigvalsh(transform).min() > 0, "symmetric and positive: the nearest orthogonal rows"


def test_whitening_refuses_dependent_rows(digits):
    rows = digits.rows[:4]
    with pytest.raises(ParameterError, match="needs linearly independent rows, and the 5 rows of 64 entries have rank 4"):
        whitened(np.vstack([rows, -rows[2]]))
    with pytest.raises(ParameterError, match="the 65 rows of 64 entries have rank 64"):
        whitened(stream(0).standard_normal((65, 64)))


def test_projection_couplings_hold_every_image(digits):
    """P = 2: J = (1/N) eta^T eta without its diagonal turns no pixel of any stored image, though overlaps reach 0.8."""
    xi = digits.rows.astype(float)
    eta = whitened(xi)
    couplings = eta.T @ eta / 64
    np.testing.assert_allclose(couplings, np.linalg.pinv(xi) @ xi, atol=1e-12)
    np.fill_diagonal(couplings, 0)
    assert np.all((xi @ couplings) * xi > 0)
    plain = xi.T @ xi / 64
    np.fill_diagonal(plain, 0)
    assert np.any((xi @ plain) * xi < 0, axis=1).all(), "without the remedy none of them is a fixed point"
