"""The same seed gives the same bits in every version: streams, samples, chains and task names as they were first published."""

import hashlib

import numpy as np
import pytest

from hebb import models
from hebb.runs.plan import Plan
from hebb.sampling.chain import Chain
from hebb.streams import Purpose, generator, go_on, positions

POINT = "0123456789abcdef" * 2
WORDS = {"DISORDER": 3646348344620152067, "START": 11390741359263957267, "DYNAMICS": 16083861782865466870,
         "EXCHANGE": 15460328125413428074}


def first_word(*key):
    return generator(*key).bit_generator.random_raw()


def test_streams_are_those_of_every_stored_result():
    assert {purpose.name: first_word(7, purpose, POINT, 3, 1) for purpose in Purpose} == WORDS


def test_every_part_of_the_key_counts_and_none_for_another():
    key = (7, Purpose.DYNAMICS, POINT, 3, 1)
    changed = [(8, *key[1:]), (7, Purpose.START, *key[2:]), (*key[:2], POINT[::-1], 3, 1), (*key[:2], "f" + POINT[1:], 3, 1),
               (*key[:3], 1, 3), (*key[:3], 3, 2), (*key[:3], 4, 1), (*key[:2], POINT[8:] + POINT[:8], 3, 1)]
    assert len({first_word(*one) for one in (key, *changed)}) == 1 + len(changed)


def test_streams_go_on_where_they_stood():
    one = [generator(7, Purpose.DYNAMICS, POINT, d) for d in range(3)]
    for number, stream in enumerate(one):
        stream.bit_generator.random_raw(number + 5)
    other = [generator(1, Purpose.START, POINT) for _ in one]
    go_on(other, positions(one))
    for left, right in zip(one, other, strict=True):
        assert left.bit_generator.random_raw(4).tolist() == right.bit_generator.random_raw(4).tolist()


def fingerprint(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


PUBLISHED = {  # name: (model, options of the chain, fingerprints of its patterns and of its spins after 10 sweeps, digest)
    "dense": (models.Dense(40, 4, n_patterns=60), {}, "2e82b00d4d3c48ab", "3f42a36483fc48b0", "6c4c4bfa791bf933"),
    "naive": (models.Dense(30, 3, n_patterns=20, hamiltonian="naive"), {"dynamics": "glauber"},
              "817e25909b7edbb2", "169e3625454c317c", "453489584698480a"),
    "supervised": (models.Dense(40, 2, n_patterns=3, r=0.7, n_examples=5), {},
                   "7101e58ef18aca04", "03444bd8dfe5f920", "76528436375783a8"),
    "unsupervised": (models.Dense(40, 2, n_patterns=3, r=0.7, n_examples=5, protocol="unsupervised"), {},
                     "7101e58ef18aca04", "5a90947a9f377f65", "ff4bc33cc4903315"),
    "multitask": (models.Multitask(60, 3, 0.3), {}, "5bcf347b89fdff5a", "c8af0076498b635b", "8b3ea1914ccb556e"),
    "perceptron": (models.BinaryPerceptron(41, 0.5), {"start": "random"},
                   "8ce58806b0a9c65d", "2129cb88c08feabf", "6395d50278ea4600")}


@pytest.mark.parametrize("model, options, patterns, spins, digest", PUBLISHED.values(), ids=PUBLISHED)
def test_samples_and_chains_are_those_of_the_first_version(model, options, patterns, spins, digest):
    """A change here is a change of results from the same job file and seed: say so in the changelog, and why."""
    instance = model.draw(7, 2)
    chain = Chain(instance, 0.6, 2, seed=7, **options)
    chain.advance(10)
    assert (fingerprint(instance.patterns), fingerprint(chain.spins), model.digest[:16]) == (patterns, spins, digest)


def test_task_files_keep_their_names():
    plan = Plan.from_keywords(models.Dense(40, 4, n_patterns=60), 0.6, disorder=2, seed=7, thermalize=1, sweeps=4)
    assert [task.task_id for task in plan.tasks] == ["8c919dc35f9c-d0000", "8c919dc35f9c-d0001"]
