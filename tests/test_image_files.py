"""Folders of images as people have them: copies, labels in every shape, nested folders, files that are none. Each works
rightly or is one sentence."""

import gzip
import os
import shutil
import struct

import numpy as np
import pytest

from hebb import models
from hebb.errors import DataError, HebbWarning, ParameterError
from hebb.models import image_files
from hebb.models.datasets import load_images


def idx(array):
    """An unsigned-byte array in IDX format."""
    array = np.asarray(array, np.uint8)
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def pictures(n=20, rows=4, columns=5, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, rows, columns), dtype=np.uint8)


CLASSES = np.arange(20) % 4


def fill(folder, prefix="t10k-", seed=0, labels=CLASSES, zipped=(False, False), spelling="-"):
    """A pair of files."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind, content, packed in (("images{}idx3-ubyte", pictures(seed=seed), zipped[0]),
                                  ("labels{}idx1-ubyte", labels, zipped[1])):
        if content is not None:
            data = idx(content)
            path = folder / (prefix + kind.format(spelling) + ".gz" * packed)
            path.write_bytes(gzip.compress(data) if packed else data)
    return folder


def refused(words, source, *arguments):
    """The one sentence with which something is refused."""
    with pytest.raises(DataError, match=words) as caught:
        load_images(str(source), *arguments)
    text = str(caught.value)
    assert "\n" not in text and ";" in text, "a sentence names what to do"


def whole(found, seed=0):
    np.testing.assert_array_equal(found.pixels, pictures(seed=seed))
    np.testing.assert_array_equal(found.labels, CLASSES)


# ---- copies ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["t10k-images-idx3-ubyte (1)", "t10k-images-idx3-ubyte.bak", "t10k-images-idx3-ubyte copy",
                                  "t10k-images-idx3-ubyte (1).gz", "t10k-images-idx3-ubyte~", "t10k-images-idx3-ubyte.gz.part"])
def test_copies_are_left_out_with_a_word(tmp_path, name):
    fill(tmp_path)
    shutil.copy(tmp_path / "t10k-images-idx3-ubyte", tmp_path / name)
    with pytest.warns(HebbWarning) as caught:
        whole(load_images(str(tmp_path)))
    assert [str(one.message) for one in caught] == [
        f"left out of {str(tmp_path)!r}, being called like copies of image files: {name!r}; remove or rename them"]


@pytest.mark.parametrize("name", ["._t10k-images-idx3-ubyte", ".t10k-images-idx3-ubyte.swp", "._t10k-images-idx3-ubyte.gz"])
def test_hidden_files_are_none(tmp_path, name):
    (fill(tmp_path) / name).write_bytes(b"rubbish of a file system")
    whole(load_images(str(tmp_path)))


@pytest.mark.parametrize("prefix, spelling", [("copy of t10k-", "-"), ("t10k-", ".")])
def test_the_same_images_under_two_names_count_once(tmp_path, prefix, spelling):
    fill(tmp_path)
    fill(tmp_path, prefix, spelling=spelling, zipped=(True, False))
    with pytest.warns(HebbWarning, match="holds the same images as .* and is left out; remove one of them"):
        whole(load_images(str(tmp_path)))


def test_no_training_image_among_the_cues(tmp_path):
    """What copies would do: held-out images that are trained on."""
    fill(tmp_path, labels=np.zeros(20))
    fill(tmp_path, "a-", labels=np.zeros(20))
    with pytest.warns(HebbWarning, match="left out"):
        found = models.Dense(patterns=str(tmp_path), archetypes="class", n_patterns=1, n_examples=3).images.archetypes
    pixels = found.images.pixels.reshape(len(found.images), -1)
    training, cues = ({row.tobytes() for row in pixels[np.concatenate(groups)]} for groups in (found.training, found.held_out))
    assert len(training) == 16 and len(cues) == 4 and not training & cues


def test_a_file_with_a_part_of_another_is_refused(tmp_path):
    fill(tmp_path, "train-")
    (tmp_path / "sample-images-idx3-ubyte").write_bytes(idx(pictures()[3:9]))
    refused("train-images-idx3-ubyte and sample-images-idx3-ubyte have 6 images in common, .*; keep one of the two", tmp_path)
    (tmp_path / "sample-images-idx3-ubyte").write_bytes(idx(np.concatenate([pictures()[:1], pictures(seed=8)])))
    with pytest.warns(HebbWarning, match="1 of the 41 images in .* repeat others"):
        assert len(load_images(str(tmp_path))) == 41
    (tmp_path / "sample-images-idx3-ubyte").write_bytes(idx(np.repeat(pictures(n=7, seed=8), 2, axis=0)))
    with pytest.warns(HebbWarning, match="7 of the 34 images in .* repeat others, .*; keep each once"):
        load_images(str(tmp_path))


def test_only_copies(tmp_path):
    fill(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte").rename(tmp_path / "t10k-images-idx3-ubyte (1)")
    refused(r"no IDX images .*; 't10k-images-idx3-ubyte \(1\)' is called like a copy: give it the name of the", tmp_path)


# ---- labels ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zipped", [(False, False), (False, True), (True, False), (True, True)])
def test_labels_are_found_packed_or_not(tmp_path, zipped):
    whole(load_images(str(fill(tmp_path, zipped=zipped))))


@pytest.mark.parametrize("images, labels", [("-idx3-ubyte", ".idx1-ubyte"), (".idx3-ubyte", "-idx1-ubyte.gz"),
                                            ("-idx3", "-idx1")])
def test_labels_are_found_in_both_spellings(tmp_path, images, labels):
    (tmp_path / f"train-images{images}").write_bytes(idx(pictures()))
    (tmp_path / f"train-labels{labels}").write_bytes(idx(CLASSES))
    whole(load_images(str(tmp_path)))


def test_labels_as_rows_of_a_single_one(tmp_path):
    whole(load_images(str(fill(tmp_path, labels=np.eye(4)[CLASSES]))))


@pytest.mark.parametrize("labels, words", [
    (np.zeros((20, 4)), "t10k-labels-idx1-ubyte has 2 axes where labels have 1; give one number per image"),
    (np.ones((20, 4)), "has 2 axes where labels have 1"),
    (pictures(), "has 3 axes where labels have 1"),
    (np.arange(21), "holds 20 images and .*t10k-labels-idx1-ubyte 21 labels; copy the files again"),
    (np.eye(4)[CLASSES[:19]], "holds 20 images and .* 19 labels"),
])
def test_labels_that_do_not_fit(tmp_path, labels, words):
    refused(words, fill(tmp_path, labels=labels))


def test_labels_of_other_files(tmp_path):
    """Their numbers may agree in all and not one by one; without a file of their own images have none."""
    fill(tmp_path, "train-", labels=np.arange(25))
    fill(tmp_path, "t10k-", seed=1, labels=np.arange(15))
    refused("holds 20 images and .* 15 labels", tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(CLASSES))
    (tmp_path / "emnist-labels-idx1-ubyte").write_bytes(idx(CLASSES))
    assert load_images(str(tmp_path)).labels is None
    with pytest.raises(DataError, match="have no labels .*labels-idx1-ubyte beside 'train-images-idx3-ubyte'.; add them"):
        models.Dense(patterns=str(tmp_path), archetypes="class", n_patterns=2)


def test_several_files_of_one_part_are_all_used(tmp_path):
    for seed, name in enumerate(("train-a-", "train-b-", "test-")):
        fill(tmp_path, name, seed=seed)
    train, test = load_images(str(tmp_path)).standard_split()
    assert sorted(train) == list(range(20, 60)) and sorted(test) == list(range(20))


# ---- where images lie ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("below", ["MNIST/raw", "mnist", "MNIST", "mnist/idx", "raw", "mnist/a/b/c"])
def test_a_named_set_below_the_folder(tmp_path, below):
    fill(tmp_path / below)
    fill(tmp_path / "FashionMNIST" / "raw", seed=5)
    found = load_images("mnist", str(tmp_path))
    whole(found)
    assert found.name == "mnist"
    whole(load_images("fashion-mnist", str(tmp_path)), seed=5)


def test_a_named_set_is_no_other_one(tmp_path):
    fill(tmp_path / "MNIST" / "raw")
    refused("holds no IDX images", "fashion-mnist", str(tmp_path))
    refused("is called like the set 'mnist', and 'fashion-mnist' was asked for; give the folder above", "fashion-mnist",
            str(tmp_path / "MNIST" / "raw"))
    fill(tmp_path / "kmnist" / "raw")
    refused("holds no IDX images", "fashion-mnist", str(tmp_path))
    whole(load_images("mnist", str(tmp_path / "MNIST" / "raw")))


def test_a_folder_with_one_set_further_down(tmp_path):
    fill(tmp_path / "a" / "b" / "t10k-images-idx3-ubyte")  # archives unpack into folders called like the file
    whole(load_images(str(tmp_path)))
    fill(tmp_path / "c")
    refused("holds IDX images in 2 folders .'c', 'a/b/t10k-images-idx3-ubyte'.; give one of them", tmp_path)
    fill(tmp_path, seed=3)
    whole(load_images(str(tmp_path)), seed=3)


def test_circles_of_links(tmp_path):
    fill(tmp_path / "a" / "images")
    os.symlink(tmp_path, tmp_path / "a" / "again")
    os.symlink(tmp_path / "a" / "images", tmp_path / "other")
    os.symlink(tmp_path / "self", tmp_path / "self")
    whole(load_images(str(tmp_path)))
    refused("neither a set of images .* nor a folder", tmp_path / "self")


def test_a_huge_folder_is_not_searched_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(image_files, "_MOST_FOLDERS", 10)
    for number in range(30):
        (tmp_path / f"{number:02d}").mkdir()
    fill(tmp_path / "29")
    refused("holds no IDX images", tmp_path)


def test_a_file_instead_of_a_folder(tmp_path):
    fill(tmp_path)
    refused("it is a file, not a folder", tmp_path / "t10k-images-idx3-ubyte")
    refused("is a file, not a folder; give --data", "mnist", str(tmp_path / "t10k-images-idx3-ubyte"))


def test_files_that_are_none(tmp_path):
    os.symlink(tmp_path / "gone", tmp_path / "a-images-idx3-ubyte")
    refused("cannot be read .it is no file", tmp_path)
    (tmp_path / "a-images-idx3-ubyte").unlink()
    os.mkfifo(tmp_path / "a-images-idx3-ubyte")
    refused("cannot be read .it is no file", tmp_path)


def test_a_folder_that_may_not_be_read(tmp_path, monkeypatch):
    listed = os.listdir

    def forbidden(path):
        if path.name == "secret":
            raise PermissionError(13, "Permission denied")
        return listed(path)

    fill(tmp_path / "secret")
    fill(tmp_path / "open")
    monkeypatch.setattr(image_files.os, "listdir", forbidden)
    refused("cannot be read .Permission denied.; make it readable", tmp_path / "secret")
    whole(load_images(str(tmp_path)))


def test_a_promise_beyond_any_memory(tmp_path):
    """An archive whose header promises more than there is, or that holds more than its header promises."""
    small = struct.pack(">HBB3I", 0, 8, 3, 2**31, 2**15, 2**15)
    (tmp_path / "a-images-idx3-ubyte.gz").write_bytes(gzip.compress(small + bytes(100)))
    refused(f"holds 100 bytes where its header promises {2**61}", tmp_path)
    (tmp_path / "a-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(pictures(1)) + bytes(2**26)))
    refused("holds at least 16777216 bytes where its header promises 20", tmp_path)


def test_a_mended_folder_is_read_again(tmp_path):
    fill(tmp_path, labels=None)
    assert load_images(str(tmp_path)).labels is None
    whole(load_images(str(fill(tmp_path))))


# ---- images without contrast -----------------------------------------------------------------------------------------------


def set_of(folder, pixels):
    folder.mkdir(exist_ok=True)
    (folder / "t10k-images-idx3-ubyte").write_bytes(idx(pixels))
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx(np.arange(len(pixels)) % 2))
    return str(folder)


@pytest.mark.parametrize("archetypes", [{}, {"archetypes": "class"}])
def test_images_that_give_patterns_of_one_sign(tmp_path, archetypes):
    """0/1 pixels, and thresholds that all or no grey levels exceed; the remedy works."""
    folder = set_of(tmp_path, np.random.default_rng(0).integers(0, 2, (20, 4, 5)))
    with pytest.raises(DataError, match="at threshold = 0.5 every image of .* is uniform, its grey levels being from 0 to "
                                        "0.00392; set threshold between them, for example 0.00196"):
        models.Dense(patterns=folder, n_patterns=2, **archetypes)
    patterns = models.Dense(patterns=folder, n_patterns=2, threshold=0.00196, **archetypes).draw(1).patterns
    assert 0.2 < np.mean(patterns == 1) < 0.8
    folder = set_of(tmp_path, pictures() // 4 + 100)
    for threshold in (0.2, 0.9, 1.0):
        with pytest.raises(DataError, match=f"threshold = {threshold} every image .* from 0.392 to 0.639; .* example 0.516"):
            models.Dense(patterns=folder, n_patterns=2, threshold=threshold, **archetypes)


def test_black_images(tmp_path):
    for pixels in (np.zeros((20, 4, 5)), np.full((20, 4, 5), 200)):
        folder = set_of(tmp_path, pixels)
        for threshold in (0.5, "median"):
            with pytest.raises(DataError, match="all pixels of all images of .* have the same grey level, .*; give other"):
                with pytest.warns(HebbWarning, match="19 of the 20 images in .* repeat others"):
                    models.Dense(patterns=folder, n_patterns=2, threshold=threshold)
    some = pictures()
    some[0], some[1], some[2] = 0, 10, 240
    with pytest.warns(HebbWarning, match="3 of the 20 images of .* are uniform at threshold = 0.5, .*; remove them"):
        models.Dense(patterns=set_of(tmp_path, some), n_patterns=2)


def test_networks_need_contrast(tmp_path):
    folder = set_of(tmp_path, np.zeros((20, 4, 5)))
    with pytest.raises(DataError, match="pixels of one grey level only; give"), pytest.warns(HebbWarning, match="repeat"):
        models.VariationalNetwork([20, 4, 2], images=folder, n_tasks=1)


# ---- arrays ----------------------------------------------------------------------------------------------------------------


BITS = np.random.default_rng(3).integers(0, 2, (3, 40))


@pytest.mark.parametrize("make", [lambda patterns: models.Dense(patterns=patterns, p_body=4),
                                  lambda patterns: models.Multitask(patterns=patterns)])
def test_bits_are_taken_for_diluted_patterns_with_a_word(make):
    with pytest.warns(HebbWarning, match="entries 0 and .1 and none of -1, and entries 0 count as missing .*; give 2.patt"):
        assert make(BITS).has_zeros
    assert not make(2 * BITS - 1).has_zeros
    diluted = BITS * np.random.default_rng(4).choice([-1, 1], BITS.shape)
    assert make(diluted).has_zeros, "and nothing is said"


def test_bits_elsewhere():
    with pytest.raises(ParameterError, match="these have zeros; give signs, for example 2.patterns - 1 of bits"):
        models.BinaryPerceptron(patterns=BITS, labels="random")
    with pytest.raises(ParameterError, match=r"patterns of type bool .*; give 2\*patterns.astype\(int\) - 1"):
        models.Dense(patterns=BITS.astype(bool), p_body=2)
