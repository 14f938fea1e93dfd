"""Images as patterns: the IDX reader, what a broken folder says, and what the results say was used."""

import gzip
import hashlib
import os
import struct
import warnings

import numpy as np
import pytest

from hebb import models, simulate
from hebb.errors import DataError, HebbError, HebbWarning, ParameterError
from hebb.models.datasets import ImageSet, load_images, read_idx

pytest.importorskip("sklearn")


def idx(array, magic=8):
    """An unsigned-byte array in IDX format."""
    array = np.asarray(array, np.uint8)
    return struct.pack(f">HBB{array.ndim}I", 0, magic, array.ndim, *array.shape) + array.tobytes()


def pictures(n=6, rows=4, columns=5, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, rows, columns), dtype=np.uint8)


def write(folder, name, data, zipped=False):
    folder.mkdir(exist_ok=True)
    path = folder / (name + ".gz" * zipped)
    path.write_bytes(gzip.compress(data) if zipped else data)
    return path


def refused(path, words, read=load_images):
    """The one clear sentence with which something is refused."""
    with pytest.raises(DataError, match=words) as caught:
        read(path)
    text = str(caught.value)
    assert "\n" not in text and len(text) < 400 and ";" in text, "a sentence names what to do"
    return text


@pytest.fixture(autouse=True)
def no_data_folder(request, monkeypatch):
    if "real_mnist" not in request.node.name:
        monkeypatch.delenv("HEBB_DATA", raising=False)


# ---- the reader ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("shape", [(7,), (3, 4, 5), (0, 4, 5), (2, 1, 1)])
def test_idx_round_trip(tmp_path, shape, zipped):
    array = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    back = read_idx(write(tmp_path, "some-idx-ubyte", idx(array), zipped))
    assert back.dtype == np.uint8 and back.shape == shape
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize("spoil, words", [
    (lambda data: gzip.compress(data)[:-30], "cannot be read"),  # a truncated archive
    (lambda data: gzip.compress(data)[:40] + b"\xff" * 60, "cannot be read"),  # a damaged one
    (lambda data: data[:-1], "holds 119 bytes where its header promises 120"),
    (lambda data: data + b"\0", "holds 121 bytes where its header promises 120"),
    (lambda data: gzip.compress(data[:-7]), "holds 113 bytes where its header promises 120"),
    (lambda data: data[:9], "ends within its header, after 9 of 16 bytes"),
    (lambda data: data[:2], "not an IDX file of bytes .it starts with 0000"),
    (lambda data: b"", "not an IDX file"),
    (lambda data: b"\0\0\x0d\3" + data[4:], "not an IDX file of bytes .it starts with 00000d03"),  # floats
    (lambda data: b"\x89PNG" + data[4:], "not an IDX file of bytes .it starts with 89504e47"),
    (lambda data: b"\0\0\x08\4" + struct.pack(">4I", *[2**16] * 4) + data[16:], f"promises {2**64}"),  # beyond 64 bits
])
def test_a_damaged_file_is_refused(tmp_path, spoil, words):
    path = tmp_path / "t10k-images-idx3-ubyte"
    path.write_bytes(spoil(idx(pictures())))
    assert str(path) in refused(path, words, read_idx)


def test_a_file_that_cannot_be_opened_is_refused(tmp_path):
    refused(tmp_path, "cannot be read", read_idx)  # a folder
    refused(tmp_path / "absent", "cannot be read", read_idx)


# ---- folders ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zipped", [False, True])
def test_a_folder_of_images(tmp_path, zipped):
    folder, images = tmp_path / "letters", pictures()
    write(folder, "train-images-idx3-ubyte", idx(images), zipped)
    write(folder, "train-labels-idx1-ubyte", idx(np.arange(6)), zipped)
    (folder / "README.txt").write_text("not an image")
    found = load_images(str(folder))
    assert found.name == "letters" and found.pixels.dtype == np.uint8 and found.white == 255 and len(found) == 6
    np.testing.assert_array_equal(found.pixels, images)
    np.testing.assert_array_equal(found.grey(slice(2, 4)), images[2:4].reshape(2, 20) / 255.0)
    np.testing.assert_array_equal(found.labels, np.arange(6))


def test_several_files_are_joined_in_alphabetical_order(tmp_path):
    for name, seed in (("train", 2), ("t10k", 1)):
        write(tmp_path, f"{name}-images-idx3-ubyte", idx(pictures(seed=seed)))
        write(tmp_path, f"{name}-labels-idx1-ubyte", idx([seed] * 6))
    found = load_images(str(tmp_path))
    np.testing.assert_array_equal(found.pixels, np.concatenate([pictures(seed=1), pictures(seed=2)]))
    np.testing.assert_array_equal(found.labels, [1] * 6 + [2] * 6)


def test_a_file_beside_its_own_archive_counts_once(tmp_path):
    write(tmp_path, "t10k-images-idx3-ubyte", idx(pictures()))
    write(tmp_path, "t10k-images-idx3-ubyte", idx(pictures()), zipped=True)
    write(tmp_path, "t10k-labels-idx1-ubyte", idx(np.arange(6)))
    found = load_images(str(tmp_path))
    assert len(found) == len(found.labels) == 6


def test_broken_folders_say_what_is_wrong(tmp_path):
    refused(str(tmp_path / "absent"), "patterns = .*absent' is neither a set of images .* nor a folder .* .it does not exist")
    refused("mnist", "data folder .*nowhere' does not exist; give --data or HEBB_DATA",
            lambda name: load_images(name, str(tmp_path / "nowhere")))
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("nothing")
    refused(str(tmp_path / "empty"), "holds no IDX images")
    write(tmp_path / "sizes", "a-images-idx3-ubyte", idx(pictures(rows=4)))
    write(tmp_path / "sizes", "b-images-idx3-ubyte", idx(pictures(rows=5)))
    refused(str(tmp_path / "sizes"), r"unequal sizes \[\(4, 5\), \(5, 5\)\]; keep one size per folder")
    write(tmp_path / "labels", "a-images-idx3-ubyte", idx(pictures()))
    write(tmp_path / "labels", "a-labels-idx1-ubyte", idx(np.arange(5)))
    refused(str(tmp_path / "labels"), "holds 6 images and .*a-labels-idx1-ubyte 5 labels; copy the files")
    write(tmp_path / "swapped", "a-images-idx3-ubyte", idx(np.arange(6)))
    refused(str(tmp_path / "swapped"), "1 axes where images have 3")
    write(tmp_path / "none", "a-images-idx3-ubyte", idx(pictures(n=0)))
    refused(str(tmp_path / "none"), "have no images in them")


# ---- named sets ------------------------------------------------------------------------------------------------------------


def test_named_sets_are_looked_for_in_their_subfolder_and_in_the_folder(tmp_path, monkeypatch):
    write(tmp_path / "fashion-mnist", "a-images-idx3-ubyte", idx(pictures(seed=5)))
    write(tmp_path, "b-images-idx3-ubyte", idx(pictures(seed=6)))
    monkeypatch.setenv("HEBB_DATA", str(tmp_path))
    fashion, mnist = load_images("fashion-mnist"), load_images("mnist")
    assert (fashion.name, mnist.name) == ("fashion-mnist", "mnist")
    np.testing.assert_array_equal(fashion.pixels, pictures(seed=5))
    np.testing.assert_array_equal(mnist.pixels, pictures(seed=6))
    assert load_images("mnist", str(tmp_path)).sha256 == mnist.sha256 != fashion.sha256


def test_digits_stand_in_for_a_named_set_with_a_warning():
    for name in ("mnist", "fashion-mnist"):
        with pytest.warns(HebbWarning, match=f"no data folder given for '{name}': using scikit-learn's 8x8 digits"):
            images = load_images(name)
        assert images.name == "digits" and images.pixels.shape == (1797, 8, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_images("digits").sha256 == images.sha256


def test_a_folder_named_later_is_used(tmp_path, monkeypatch):
    with pytest.warns(HebbWarning):
        load_images("mnist")
    with pytest.warns(HebbWarning):
        load_images("mnist")
    write(tmp_path, "t10k-images-idx3-ubyte", idx(pictures()))
    monkeypatch.setenv("HEBB_DATA", str(tmp_path))
    assert load_images("mnist").pixels.shape == (6, 4, 5)


def test_results_say_which_images_were_used():
    with pytest.warns(HebbWarning):
        model = models.Dense(patterns="mnist", n_patterns=3)
    results = simulate(model, 0.0, disorder=2, sweeps=1, thermalize=1, dynamics="zero_temperature")
    (point,) = results.points
    assert point["patterns"] == "digits" and point["n_spins"] == 64 and point["order"] == "random" and point["threshold"] == 0.5
    assert point["images_sha256"] == load_images("digits").sha256


def test_parameters_of_digits_are_stable():
    """These names key random streams and stored results: they may never change."""
    model = models.Dense(patterns="digits", n_patterns=3, p_body=4)
    assert model.parameters() == {
        "kind": "dense", "n_spins": 64, "p_body": 4, "n_patterns": 3, "protocol": "storage", "hamiltonian": "distinct",
        "patterns": "digits", "images_sha256": "23a53393488b04f9", "threshold": 0.5, "order": "random"}
    assert model.digest == "9bf3f4ed6f92252ca570cf4858532db2"
    assert models.Dense(n_spins=64, p_body=4, n_patterns=3, patterns="digits").digest == model.digest
    assert models.Dense(patterns="digits", n_patterns=3, p_body=4, threshold=0.4).digest != model.digest


# ---- images as patterns ----------------------------------------------------------------------------------------------------


def test_binarisation():
    images = ImageSet("grey", np.array([[[0, 1], [2, 4]]], np.uint8), None, white=4)
    assert images.grey().tolist() == [[0, 0.25, 0.5, 1]]
    assert images.binarised(0.5).tolist() == [[-1, -1, -1, 1]], "only above the threshold"
    assert images.binarised(0.25).tolist() == [[-1, -1, 1, 1]]
    assert images.binarised(0.0).tolist() == [[-1, 1, 1, 1]]
    assert images.binarised(1.0).tolist() == [[-1, -1, -1, -1]] and images.binarised(0.5).dtype == np.int8
    assert images.binarised(np.array([0.5, 0.2, 0.5, 0.9])).tolist() == [[-1, 1, -1, 1]], "a threshold of each pixel"


def test_many_images_are_binarised_and_named_as_few():
    """They are worked through in parts, so that floating point never holds a whole set."""
    pixels = np.random.default_rng(3).integers(0, 256, (2345, 3, 4), dtype=np.uint8)
    images = ImageSet("many", pixels, None)
    grey = pixels.reshape(2345, 12) / 255.0
    chosen = np.random.default_rng(4).permutation(2345)[:1500]
    np.testing.assert_array_equal(images.binarised(0.3), np.where(grey > 0.3, 1, -1))
    np.testing.assert_array_equal(images.binarised(0.3, chosen), np.where(grey[chosen] > 0.3, 1, -1))
    np.testing.assert_array_equal(images.median(chosen), np.median(grey[chosen], axis=0))
    assert images.sha256 == hashlib.sha256(grey).hexdigest()[:16]


def test_patterns_are_binarised_images():
    digits = load_images("digits")
    for threshold in (0.5, 0.3):
        model = models.Dense(patterns="digits", n_patterns=5, order="file", threshold=threshold)
        np.testing.assert_array_equal(model.draw(1).patterns, np.where(digits.grey()[:5] > threshold, 1, -1))


def test_order():
    every = {row.tobytes() for row in load_images("digits").binarised(0.5)}
    by_file = models.Dense(patterns="digits", n_patterns=40, order="file")
    np.testing.assert_array_equal(by_file.draw(1, 0).patterns, by_file.draw(2, 5).patterns)
    drawn = models.Dense(patterns="digits", n_patterns=40)
    one, again, other, foreign = (drawn.draw(*key).patterns for key in ((1, 0), (1, 0), (1, 1), (2, 0)))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other) and not np.array_equal(one, foreign)
    assert all(row.tobytes() in every for row in one) and not np.array_equal(one, by_file.draw(1, 0).patterns)
    whole = models.Dense(patterns="digits", n_patterns=1797).draw(1, 0).patterns
    assert sorted(row.tobytes() for row in whole) == sorted(row.tobytes() for row in load_images("digits").binarised(0.5))


def test_more_images_keep_those_that_were_there():
    """What is compared at different K and P is compared on the same images."""
    few, many = (models.Dense(patterns="digits", n_patterns=k, p_body=p) for k, p in ((5, 2), (9, 4)))
    np.testing.assert_array_equal(few.draw(3, 1).patterns, many.draw(3, 1).patterns[:5])


@pytest.mark.parametrize("keys, words", [
    (dict(n_patterns=1798), "n_patterns = 1798 exceeds the 1797 images of 'digits'"),
    (dict(gamma=30.0), "n_patterns = 1920 exceeds the 1797 images"),
    (dict(n_patterns=3, n_spins=784), "n_spins = 784 contradicts the images of 'digits', which have 64"),
    (dict(n_patterns=3, threshold=1.5), "threshold = 1.5"),
    (dict(n_patterns=3, order="sorted"), "order = 'sorted' is not one of random, file"),
    (dict(), "exactly one"),
])
def test_what_images_cannot_be(keys, words):
    with pytest.raises(ParameterError, match=words):
        models.Dense(patterns="digits", **keys)


def test_a_misspelt_set_is_a_missing_folder():
    for word, words in (("mnits", "did you mean 'mnist'"), ("MNIST", "did you mean 'mnist'"), ("cifar", "give one of them"),
                        ("", "give one of them")):
        with pytest.raises(HebbError, match=f"patterns = '{word}' is neither .* .it does not exist.; {words}"):
            models.Dense(patterns=word, n_patterns=3)
    with pytest.raises(HebbError, match="images = 'mnits' is neither"):
        models.VariationalNetwork([64, 10], images="mnits", n_tasks=1)


@pytest.mark.skipif("HEBB_DATA" not in os.environ, reason="HEBB_DATA names no folder of IDX files")
def test_real_mnist():
    images = load_images("mnist")
    assert images.name == "mnist" and images.pixels.shape[1:] == (28, 28) and len(images) >= 10_000
    assert images.labels is not None and set(images.labels) == set(range(10))
    assert images.pixels.min() == 0 and images.pixels.max() == 255 and 0.12 < images.pixels.mean() / 255 < 0.14
    found = models.Dense(patterns="mnist", archetypes="class", n_patterns=10, n_examples=100).measured
    assert 0.72 < found["overlap_mean"] < 0.74 and 0.78 < found["r"] < 0.8 and 2.6 < found["effective_rank"] < 3.1
    assert found["held_out_images"] == pytest.approx(len(images) / 5, abs=5)
    model = models.Dense(patterns="mnist", n_patterns=20, p_body=4)
    patterns = model.draw(1).patterns
    assert model.n_spins == 784 and patterns.shape == (20, 784) and 0.05 < np.mean(patterns == 1) < 0.25
