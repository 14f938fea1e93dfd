"""The chain that draws the reference of a second task: in pieces, stopped, kept in checkpoints and never drawn twice."""

import copy
import hashlib

import numpy as np
import pytest
from every_dynamics import job

from hebb import models
from hebb.models.reference import ReferenceChain
from hebb.runs.plan import Plan
from hebb.runs.worker import compute, run_task
from hebb.sampling.chain import Chain
from hebb.storage.joining import differences
from hebb.storage.taskfile import read_task, write_task


@pytest.fixture
def task():
    return Plan.from_text(job("second_task", 20)).tasks[0]


@pytest.fixture
def swept(monkeypatch):
    """How many sweeps each piece of a reference had."""
    pieces, advance = [], ReferenceChain.advance
    monkeypatch.setattr(ReferenceChain, "advance", lambda self, n: pieces.append(n) or advance(self, n))
    return pieces


def sample():
    return models.SecondTask(models.BinaryPerceptron(101, 1.0), 0.5, 0.3, 1.0, reference_sweeps=40).draw(1)


def test_the_same_bits_as_ever():
    """Those of the first version of this model."""
    assert hashlib.sha256(sample().at(0.8, 3).reference.tobytes()).hexdigest()[:16] == "544eaf6195d3eab2"


def test_pieces_and_snapshots_change_nothing():
    whole, chain = sample().at(0.8, 3), sample().preparation(0.8, 3)
    assert not chain.ready
    for number in (1, 7, 20, 100):
        chain.advance(number)
        again = sample().preparation(0.8, 3)
        again.restore({name: array.copy() for name, array in chain.snapshot().items()})
        chain = again
    assert chain.ready and chain.sweeps_done == 40 and set(chain.snapshot()) == {"spins", "sweeps_done"}
    for name in ("reference", "fields", "teacher2"):
        np.testing.assert_array_equal(getattr(chain.instance, name), getattr(whole, name))


def test_a_sample_is_prepared_once(swept):
    prepared = sample().at(0.8, 3)
    assert prepared.at(0.8, 3) is prepared and Chain(prepared, 0.8, start="random", seed=3).instance is prepared
    assert swept == [40]
    assert np.any(prepared.at(0.8, 4).reference != prepared.reference) and swept == [40, 40]
    given = models.SecondTask(models.BinaryPerceptron(101, 1.0), 0.5, reference=prepared.reference).draw(1)
    assert given.preparation(0.8, 3) is None and given.model.preparation_pairs == 0


def test_a_stop_is_heard_at_every_step_and_costs_nothing(task, swept, tmp_path):
    """A stop after each step, with the record on disk between them: each sweep of the reference is made once."""
    calm = compute(task)
    pieces, record, path, seen = swept[:], None, tmp_path / "task.h5", []
    assert sum(min(n, 30 - sum(pieces[:i])) for i, n in enumerate(pieces)) == 30 and len(pieces) > 1
    swept.clear()
    while record is None or record.status != "done":
        record = run_task(task, record and read_task(path), stop=lambda: True)
        assert record.status != "failed", record.message
        seen.append(int(record.snapshot["preparation/sweeps_done"]))
        write_task(path, record)
    assert seen[:30] == list(range(1, 31)) and set(seen[30:]) == {30} and swept == [1] * 30
    assert differences(record, calm) == []
    for name, array in calm.snapshot.items():
        assert record.snapshot[name].tobytes() == array.tobytes(), name


def test_checkpoints_while_the_reference_is_drawn(task):
    """What a kill leaves: any checkpoint leads to the same end, without spins, sweeps or series before there is a chain."""
    kept = []
    calm = compute(task, checkpoint=lambda record: kept.append(copy.deepcopy(record)), checkpoint_every=0.0)
    early = [record for record in kept if record.sweeps_done == 0]
    assert len(early) > 2 and all(not record.series and not record.spins for record in early[:3])
    for record in (early[0], early[2], kept[-1]):
        assert record.status == "unfinished" and differences(compute(task, record), calm) == []


def test_a_failure_while_the_reference_is_drawn_keeps_its_checkpoint(task, monkeypatch):
    advance, calm = ReferenceChain.advance, compute(task)

    def fragile(self, n_sweeps):
        if self.sweeps_done >= 7:
            raise RuntimeError("bad luck")
        advance(self, n_sweeps)

    monkeypatch.setattr(ReferenceChain, "advance", fragile)
    failed = run_task(task, checkpoint=lambda record: None, checkpoint_every=0.0)
    assert failed.status == "failed" and int(failed.snapshot["preparation/sweeps_done"]) == 7
    monkeypatch.setattr(ReferenceChain, "advance", advance)
    assert differences(run_task(task, failed), calm) == []


def test_checkpoints_of_before_go_on(task, swept):
    """They have a chain and no reference, which is drawn once more; a stop meanwhile does not lose the chain."""
    calm, steps = compute(task), []
    record = compute(task, stop=lambda: len(steps) == 20 or steps.append(0))
    assert 5 < record.sweeps_done < 25
    record.snapshot = {name: array for name, array in record.snapshot.items() if not name.startswith("preparation/")}
    measured = len(record.series["r1"])
    swept.clear()
    record = compute(task, record, stop=lambda: True)
    assert record.snapshot["preparation/sweeps_done"] == 1 and "chain/spins" in record.snapshot
    assert len(record.series["r1"]) == measured
    assert differences(compute(task, record), calm) == [] and sum(swept[:-1]) < 30 <= sum(swept)
