"""Finished tasks in packs: nothing is lost, whatever happens to the file, and no byte changes unseen."""

import dataclasses
import fcntl
import json
import os
import re
import resource
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import assert_same_datasets
from test_storage import assert_equal_records, plan_of, record

from hebb import load
from hebb.errors import HebbWarning, StorageError
from hebb.runs.executors import SerialExecutor
from hebb.runs.job import run_job
from hebb.storage import merging, packs
from hebb.storage.damage import named
from hebb.storage.folder import RunFolder
from hebb.storage.merging import first_rows, is_merged, merge, merge_into
from hebb.storage.packs import Pack, PackWriter, ledger_of
from hebb.storage.status import status_of
from hebb.storage.taskfile import write_task
from hebb.storage.verify import verify
from hebb.storage.writer import TaskWriter

DATA = Path(__file__).parent / "data"
STATE = {"chain/streams": np.arange(8, dtype=np.uint64).reshape(2, 4) << 60, "bins/m/count": np.array(1)}


def records(plan):
    """A finished record for every task of a plan, with the final state of its chain."""
    return [dataclasses.replace(record(disorder, (0.5, 0.7)[point]), task_id=task_id, snapshot=STATE)
            for task_id, point, disorder in plan["tasks"]]


def packed_folder(path, leave_out=()):
    folder = RunFolder.create(path, plan_of(), "[job]\n")
    with TaskWriter(folder.task_folder, folder.plan["job"]) as writer:
        for index, item in enumerate(records(folder.plan)):
            if index not in leave_out:
                writer.write(item)
    return folder


def pack_of(folder):
    return folder.task_folder / "0000.pack"


def flip(path, place, bit=0):
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << bit
    path.write_bytes(content)


def test_a_record_survives_the_pack(tmp_path):
    folder = packed_folder(tmp_path / "run")
    tasks = folder.tasks()
    for index, original in enumerate(records(folder.plan)):
        assert_equal_records(original, tasks.record(index, state=True))
        assert tasks.record(index).snapshot == {}
    assert sorted(path.name for path in folder.task_folder.iterdir()) == ["0000.ledger", "0000.pack"]
    assert tasks.done.all() and tasks.lost.tolist() == [item.lost for item in records(folder.plan)]
    assert tasks.seconds.tolist() == 6 * [1.5] and not tasks.damaged


def test_packs_and_files_of_tasks_are_the_same_run(tmp_path):
    """Large, failed and unfinished tasks have files; a pack is believed before a file that is left over."""
    folder, other = packed_folder(tmp_path / "packed"), RunFolder.create(tmp_path / "files", plan_of(), "[job]\n")
    for item in records(other.plan):
        write_task(other.task_folder / f"{item.task_id}.h5", item)
    for one in (folder, other):
        merge(one.path).save(one.path / "memory.h5")
        merge_into(one)
        assert_same_datasets(one.path / "memory.h5", one.results_path)
    assert_same_datasets(folder.results_path, other.results_path)
    assert is_merged(folder) and is_merged(other)
    stale = dataclasses.replace(records(folder.plan)[0], status="unfinished", sweeps_done=1)
    write_task(folder.task_folder / f"{stale.task_id}.h5", stale)
    tasks = folder.tasks()
    assert tasks.done.all() and not tasks.files
    tasks.check()
    tasks.repair()
    assert not list(folder.task_folder.glob("*.h5"))


def test_large_records_have_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(packs, "_LARGEST", 100)
    folder = packed_folder(tmp_path / "run")
    assert len(list(folder.task_folder.glob("*.h5"))) == 6 and not list(folder.task_folder.glob("*.pack"))
    assert folder.tasks().done.all() and verify(folder.path).good == 7


@pytest.mark.parametrize("what", ["pack", "ledger"])
def test_every_flipped_bit_is_noticed_or_harmless(tmp_path, what):
    """In packs it is noticed, and only one task is lost by it; what a ledger says is found in the pack again."""
    folder = packed_folder(tmp_path / "run")
    merge_into(folder)
    undisturbed = tmp_path / "whole.h5"
    shutil.copy(folder.results_path, undisturbed)
    path = pack_of(folder) if what == "pack" else ledger_of(pack_of(folder))
    content = path.read_bytes()
    for place in range(3, 8 * len(content), 8 * len(content) // 83):
        flip(path, place // 8, place % 8)
        verdict, tasks = verify(folder.path), folder.tasks()
        tasks.check()
        if what == "pack":
            assert len(verdict.damaged) == 1 and "0000.pack" in str(verdict), place
            assert tasks.done.sum() == 5 and not np.any(tasks.done & (tasks.ended == 0))
        else:
            assert not verdict.damaged and tasks.done.all()
            merge_into(folder)
            assert_same_datasets(folder.results_path, undisturbed)
            tasks.repair()
            assert path.read_bytes() == content
        path.write_bytes(content)


def test_a_kill_at_any_byte_loses_one_task_at_most(tmp_path):
    folder = packed_folder(tmp_path / "run")
    content, ledger = pack_of(folder).read_bytes(), ledger_of(pack_of(folder)).read_bytes()
    rows = Pack(pack_of(folder)).rows
    last = int(rows[-1]["offset"])
    for cut in (last, last + 1, last + 7, last + 8, last + 90, last + 200, len(content) - 1):
        pack_of(folder).write_bytes(content[:cut])
        for known in (5 * packs.ROW.itemsize, 5 * packs.ROW.itemsize + 9, 2 * packs.ROW.itemsize, 0):
            ledger_of(pack_of(folder)).write_bytes(ledger[:known])
            tasks = folder.tasks()
            assert tasks.done.tolist() == 5 * [True] + [False] and not tasks.damaged
            tasks.check()
            tasks.repair()
            assert pack_of(folder).read_bytes() == content[:last]
            assert ledger_of(pack_of(folder)).read_bytes() == ledger[: 5 * packs.ROW.itemsize]
            pack_of(folder).write_bytes(content[:cut])
    pack_of(folder).write_bytes(content[:last])
    with TaskWriter(folder.task_folder, folder.plan["job"]) as writer:
        writer.write(records(folder.plan)[5])
    assert folder.tasks().done.all() and len(pack_of(folder).read_bytes()) == len(content)


def test_entries_that_are_gone_are_named(tmp_path):
    """The ledger remembers what a pack held: a pack that was cut, or is missing, is damage, not a task that waits."""
    folder = packed_folder(tmp_path / "run")
    content = pack_of(folder).read_bytes()
    names = [task_id for task_id, _, _ in folder.plan["tasks"]]
    pack_of(folder).write_bytes(content[: int(Pack(pack_of(folder)).rows[4]["offset"])])
    assert set(folder.tasks().damaged) == {f"0000.pack {name}" for name in names[4:]}
    assert folder.tasks().unbelievable == {4, 5} and status_of(folder.path).counts["damaged"] == 2
    pack_of(folder).unlink()
    assert set(folder.tasks().damaged) == {"0000.ledger"} and not folder.tasks().done.any()
    assert folder.tasks().unbelievable == {0, 1, 2, 3, 4, 5}
    assert "pack that is missing" in str(verify(folder.path))


def test_damage_is_set_aside_and_the_rest_of_the_pack_stays(tmp_path):
    folder = packed_folder(tmp_path / "run")
    row = Pack(pack_of(folder)).rows[2]
    flip(pack_of(folder), int(row["offset"]) + 900)
    damaged = pack_of(folder).read_bytes()
    name = folder.plan["tasks"][2][0]
    with pytest.warns(HebbWarning, match=f"0000.pack {name} is damaged .its checksum .*; left out. Run the job again"):
        assert merge(folder.path).done.sum() == 5
    tasks = folder.tasks()
    tasks.check()
    assert tasks.unbelievable == {2} and named(tasks.damaged).startswith(f"0000.pack {name} is damaged")
    tasks.set_aside()
    assert (folder.path / "damaged" / "0000.pack").read_bytes() == damaged
    again = folder.tasks()
    again.check()
    again.repair()
    assert again.done.tolist() == [True, True, False, True, True, True] and not again.damaged
    for index in (0, 1, 3, 4, 5):
        assert_equal_records(records(folder.plan)[index], again.record(index, state=True))
    assert len(ledger_of(pack_of(folder)).read_bytes()) == 5 * packs.ROW.itemsize and verify(folder.path).missing == 1


def test_a_pack_of_another_job_is_not_adopted(tmp_path):
    folder, plan = packed_folder(tmp_path / "run"), plan_of()
    plan["job"]["seed"] = 4
    other = RunFolder.create(tmp_path / "other", plan, "[job]\n")
    for path in (pack_of(folder), ledger_of(pack_of(folder))):
        shutil.copy(path, other.task_folder)
    tasks = other.tasks()
    assert not tasks.done.any()
    tasks.check()
    assert len(tasks.damaged) == 6 and "was written by another job (seed or sampling differ)" in named(tasks.damaged)
    assert not merge(other.path).done.any()


def test_a_point_that_is_not_the_one_of_the_plan_is_left_out(tmp_path):
    folder = packed_folder(tmp_path / "run", leave_out={2})
    with TaskWriter(folder.task_folder, folder.plan["job"]) as writer:
        item = records(folder.plan)[2]
        writer.write(dataclasses.replace(item, parameters={**item.parameters, "temperature": 0.51}))
    with pytest.warns(HebbWarning, match="holds another point or disorder sample than the plan says"):
        assert merge(folder.path).done.sum() == 5


def test_series_that_have_no_room_are_left_out(tmp_path):
    folder = packed_folder(tmp_path / "run", leave_out={5})
    with TaskWriter(folder.task_folder, folder.plan["job"]) as writer:
        writer.write(dataclasses.replace(records(folder.plan)[5], series={"m": np.zeros((99, 2))}))
    with pytest.warns(HebbWarning, match="has series of another shape than the other samples of its point"):
        assert merge_into(folder).done.sum() == 5


def test_the_last_of_two_entries_counts(tmp_path):
    folder = packed_folder(tmp_path / "run")
    with TaskWriter(folder.task_folder, folder.plan["job"], rank=1) as writer:
        writer.write(dataclasses.replace(records(folder.plan)[3], seconds=9.0))
    tasks = folder.tasks()
    assert tasks.record(3).seconds == 9.0 and tasks.seconds.sum() == 5 * 1.5 + 9 and len(tasks.packs) == 2


def test_a_writer_that_is_left_of_a_killed_run_is_let_be(tmp_path):
    folder = packed_folder(tmp_path / "run", leave_out={5})
    with open(pack_of(folder), "r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with TaskWriter(folder.task_folder, folder.plan["job"]) as writer:
            writer.write(records(folder.plan)[5])
    assert (folder.task_folder / "0000-1.pack").exists() and folder.tasks().done.all()


@pytest.mark.parametrize("fails", ["write", "fsync"])
def test_a_full_disk_leaves_whole_entries(tmp_path, monkeypatch, fails):
    folder = packed_folder(tmp_path / "run", leave_out={4, 5})
    before = pack_of(folder).read_bytes()
    item, true = records(folder.plan)[4], os.write

    def half(descriptor, content):
        half.calls += 1
        if half.calls > 1:
            raise OSError(28, "No space left on device")
        return true(descriptor, content[:100])

    half.calls = 0
    writer = TaskWriter(folder.task_folder, folder.plan["job"])
    if fails == "fsync":
        writer.write(item)
    with monkeypatch.context() as patch, pytest.raises(StorageError, match="cannot write .*0000.pack .*No space left"):
        if fails == "write":
            patch.setattr(os, "write", half)
            writer.write(item)
        else:
            patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
            with writer:
                pass
    if fails == "write":
        assert pack_of(folder).read_bytes() == before
        writer.write(item)
    assert folder.tasks().done.tolist() == [True] * 5 + [False] and not folder.tasks().damaged


def test_more_packs_than_a_process_may_open(tmp_path):
    """A job on very many ranks has a pack of each."""
    folder = RunFolder.create(tmp_path / "run", plan_of((0.5, 0.7), 60), "[job]\n")
    for rank, item in enumerate(records(folder.plan)):
        with TaskWriter(folder.task_folder, folder.plan["job"], rank) as writer:
            writer.write(item)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    packs_open, packs._MOST_OPEN = packs._MOST_OPEN, 8
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 20, limits[1]))
        assert merge(folder.path).done.all() and merge_into(folder).done.all()
    finally:
        packs._MOST_OPEN = packs_open
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.parametrize("block", [1, 3000, 10**9])
def test_results_in_blocks_are_the_same(tmp_path, monkeypatch, block):
    folder = packed_folder(tmp_path / "run", leave_out={4})
    merge(folder.path).save(tmp_path / "whole.h5")
    monkeypatch.setattr(merging, "_BLOCK", block)
    head = merge_into(folder)
    assert_same_datasets(folder.results_path, tmp_path / "whole.h5")
    whole = load(folder.path)
    assert head.done.tolist() == whole.done.tolist() and head.seconds == whole.seconds
    assert str(first_rows(folder, head, 5)) == str(whole.to_table())
    assert not is_merged(folder)


def test_a_disk_that_is_full_while_results_are_written(tmp_path, monkeypatch):
    """HDF5 ends in peace, the old file stays, and nothing else does."""
    folder = packed_folder(tmp_path / "run")
    merge_into(folder)
    before, names = folder.results_path.read_bytes(), sorted(os.listdir(folder.path))
    true = os.pwrite
    for room in range(0, len(before), len(before) // 23):
        def limited(descriptor, content, at, room=room):
            if at + len(content) > room:
                raise OSError(28, "No space left on device")
            return true(descriptor, content, at)

        with monkeypatch.context() as patch, pytest.raises(StorageError, match="cannot write .*results.h5.*No space left"):
            patch.setattr(os, "pwrite", limited)
            merge_into(folder)
        assert folder.results_path.read_bytes() == before and sorted(os.listdir(folder.path)) == names


def test_status_reads_no_results(tmp_path, monkeypatch):
    folder = packed_folder(tmp_path / "run", leave_out={1})
    monkeypatch.setattr(Pack, "record", None)
    found = status_of(folder.path)
    assert found.counts["done"] == 5 and found.counts["waiting"] == 1 and found.points[0].done == 2
    assert found.counts["lost"] == sum(item.lost for item in records(folder.plan)) - records(folder.plan)[1].lost
    assert found.tasks_per_hour > 0


def test_runs_of_the_first_layout_open_merge_and_go_on(tmp_path):
    """tests/data/run_schema1: a file for every task, some finished, one at a checkpoint."""
    old = tmp_path / "old"
    shutil.copytree(DATA / "run_schema1", old)
    kept = {path.name: path.read_bytes() for path in (old / "tasks").iterdir()}
    assert load(old).done.sum() == 3 and status_of(old).counts["measuring"] == 1 and not verify(old).damaged
    run_job(old / "job.toml", SerialExecutor(), out=old, resume=True)
    run_job(old / "job.toml", SerialExecutor(), out=tmp_path / "new")
    assert_same_datasets(old / "results.h5", tmp_path / "new" / "results.h5")
    left = {path.name: path.read_bytes() for path in (old / "tasks").glob("*.h5")}
    assert len(left) == 3 and left.items() <= kept.items(), "finished tasks are not touched"
    assert json.loads((old / "plan.json").read_text())["hebb_schema"] == 2, "the first versions would not find the packs"


def test_writing_a_pack_again_can_be_interrupted(tmp_path, monkeypatch):
    folder = packed_folder(tmp_path / "run")
    flip(pack_of(folder), 300)
    true = os.replace
    for step in ("copy", "replace"):
        with monkeypatch.context() as patch:
            if step == "copy":
                patch.setattr(shutil, "copy2", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
            else:
                patch.setattr(os, "replace", lambda source, target: (_ for _ in ()).throw(KeyboardInterrupt)
                              if str(target).endswith(".pack") else true(source, target))
            tasks = folder.tasks()
            tasks.check()
            with pytest.raises((StorageError, KeyboardInterrupt)):
                tasks.set_aside()
        tasks = folder.tasks()
        tasks.check()
        assert tasks.done.sum() == 5
    tasks.set_aside()
    folder.clear_leftovers()
    assert folder.tasks().done.sum() == 5 and not list(folder.task_folder.glob("*.tmp"))


def test_hostile_rows_are_named(tmp_path):
    """A record with a name of many bytes, and letters that are none, is damage and no traceback."""
    folder = packed_folder(tmp_path / "run", leave_out=set(range(1, 6)))
    writer = PackWriter(pack_of(folder))
    row = np.zeros((), packs.ROW)
    row["task"], row["kin"] = folder.plan["tasks"][1][0].encode(), folder.tasks().kin
    for part in (b"", b"\xff" * 50, (9).to_bytes(4, "little") + b"[1, 2, 3]", (2).to_bytes(4, "little") + b"{}"):
        writer.append_parts(row, part, b"")
        tasks = folder.tasks()
        tasks.check()
        assert tasks.unbelievable == {1} and re.search("is damaged", named(tasks.damaged)), part
        with pytest.warns(HebbWarning, match="is damaged"):
            assert merge_into(folder).done.sum() == 1
    writer.close()


def test_the_file_of_results_has_the_layout_of_before(tmp_path):
    folder = packed_folder(tmp_path / "run")
    merge_into(folder)
    with h5py.File(folder.results_path) as new, h5py.File(DATA / "results_schema1.h5") as old:
        names = [set(), set()]
        new.visit(names[0].add), old.visit(names[1].add)
        assert names[0] == names[1]


def test_a_writer_never_appends_behind_an_entry_that_is_not_whole(tmp_path):
    """Nothing would be found there: the head of the torn entry reaches into the next one."""
    folder = packed_folder(tmp_path / "run", leave_out={3, 4, 5})
    content, row = pack_of(folder).read_bytes(), Pack(pack_of(folder)).rows[-1]
    for ledger in (True, False):
        pack_of(folder).write_bytes(content[: int(row["offset"]) + 400])
        if not ledger:
            ledger_of(pack_of(folder)).unlink()
        else:
            ledger_of(pack_of(folder)).write_bytes(ledger_of(pack_of(folder)).read_bytes()[: 2 * packs.ROW.itemsize])
        with TaskWriter(folder.task_folder, folder.plan["job"]) as writer:
            for index in (2, 3):
                writer.write(records(folder.plan)[index])
        tasks = folder.tasks()
        tasks.check()
        assert tasks.done.tolist() == 4 * [True] + 2 * [False] and not tasks.damaged and not tasks.packs[0].gaps


def test_what_was_appended_behind_a_torn_entry_is_found(tmp_path):
    """As an orphan may leave it."""
    folder = packed_folder(tmp_path / "run", leave_out={3, 4, 5})
    content, row = pack_of(folder).read_bytes(), Pack(pack_of(folder)).rows[-1]
    pack_of(folder).write_bytes(content[: int(row["offset"]) + 400])
    ledger_of(pack_of(folder)).unlink()
    other = packed_folder(tmp_path / "other", leave_out={0, 1, 4, 5})
    begin = len(pack_of(folder).read_bytes())
    with open(pack_of(folder), "ab") as file:
        for item in Pack(pack_of(other)).rows:
            entry = pack_of(other).read_bytes()[int(item["offset"]) : packs._end(item)]
            moved = item.copy()
            moved["offset"] = begin
            moved["check"] = packs._checks(moved[None])[0]
            parts = entry[packs._HEAD : packs._HEAD + int(item["result"])], entry[packs._HEAD + int(item["result"]) :]
            sums = b"".join(packs._sha(moved.tobytes(), part) for part in parts)
            entry = packs._MARK + moved.tobytes() + sums + b"".join(parts)
            begin += len(entry)
            file.write(entry)
    tasks = folder.tasks()
    tasks.check()
    assert tasks.done.tolist() == 4 * [True] + 2 * [False] and len(tasks.packs[0].gaps) == 1


def test_a_good_entry_of_a_task_is_believed_where_a_later_one_is_damaged(tmp_path):
    folder = packed_folder(tmp_path / "run")
    with TaskWriter(folder.task_folder, folder.plan["job"], rank=1) as writer:
        for index in (2, 4):
            writer.write(dataclasses.replace(records(folder.plan)[index], seconds=9.0))
    other = folder.task_folder / "0001.pack"
    row = Pack(other).rows[1]
    flip(other, int(row["offset"]) + 900)
    with pytest.warns(HebbWarning, match="0001.pack .* is damaged"):
        assert merge(folder.path).done.all() and merge_into(folder).done.all()
    tasks = folder.tasks()
    tasks.check()
    assert tasks.done.all() and not tasks.unbelievable and tasks.seconds.tolist() == [1.5, 1.5, 9.0, 1.5, 1.5, 1.5]
    tasks.set_aside()
    tasks = folder.tasks()
    tasks.check()
    assert tasks.done.all() and not tasks.damaged and len(tasks.packs[1].rows) == 1


def test_a_damaged_head_of_a_record_spoils_no_other(tmp_path):
    """The shapes of all series are those of results whose checksum is right."""
    folder = packed_folder(tmp_path / "run")
    whole = merge(folder.path)
    content = pack_of(folder).read_bytes()
    place = content.index(b"[60, 2]")
    pack_of(folder).write_bytes(content[:place] + b"[90, 2]" + content[place + 7 :])
    with pytest.warns(HebbWarning, match="is damaged"):
        merge_into(folder)
    again = load(folder.results_path)
    assert again.done.sum() == 5 and again.data["m"][again.done].tobytes() == whole.data["m"][again.done].tobytes()


def test_a_pack_that_somebody_writes_is_not_written_again(tmp_path):
    folder = packed_folder(tmp_path / "run")
    flip(pack_of(folder), 300)
    before = pack_of(folder).read_bytes()
    tasks = folder.tasks()
    tasks.check()
    with open(pack_of(folder), "r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StorageError, match="still written by a process"):
            tasks.set_aside()
    assert pack_of(folder).read_bytes() == before and not list(folder.task_folder.glob("*.tmp"))


def test_many_points_are_merged_in_linear_time(tmp_path):
    """As many steps for each point, however many there are: counted, not timed."""
    groups = [merging._Group([index], {0: index}) for index in range(3000)]
    lengths = []

    class Counted(list):
        def __iter__(self):
            lengths.append(len(self))
            return super().__iter__()

    for group in groups:
        object.__setattr__(group, "points", Counted(group.points))
    blocks = list(merging._blocks(groups, {"m": (2, 2)}))
    assert sum(len(block.points) for block in blocks) == 3000 and len(lengths) <= 3 * 3000


def test_merging_hears_a_stop(tmp_path, monkeypatch):
    folder = packed_folder(tmp_path / "run")
    monkeypatch.setattr(merging, "_BLOCK", 1)
    answers = iter([False, False, True])
    assert merge_into(folder, lambda: next(answers)) is None
    assert not folder.results_path.exists() and not list(folder.path.glob("*.tmp"))
    assert merge_into(folder).done.all() and is_merged(folder)


@pytest.mark.parametrize("what", ["folder", "garbage", "dangling link", "fifo", "device", "no pack", "garbage ledger"])
def test_strange_things_in_the_folder_of_tasks_end_no_run(tmp_path, what):
    """They are named, moved aside by the next run, and what they hid is computed again."""
    old = tmp_path / "run"
    shutil.copytree(DATA / "run_schema1", old)
    run_job(old / "job.toml", SerialExecutor(), out=old)
    shutil.copy(old / "results.h5", tmp_path / "before.h5")
    tasks, pack = old / "tasks", old / "tasks" / "0000.pack"
    if what == "folder":
        (tasks / "x.pack").mkdir()
    elif what == "garbage":
        (tasks / "x.pack").write_bytes(np.random.default_rng(1).bytes(3000))
    elif what == "garbage ledger":
        ledger_of(pack).write_bytes(np.random.default_rng(1).bytes(3000))
    elif what == "dangling link":
        (tasks / "x.pack").symlink_to(tmp_path / "nowhere")
    elif what == "fifo":
        os.mkfifo(tasks / "x.pack")
    else:
        pack.unlink()
        if what == "device":
            pack.symlink_to("/dev/zero")
    harmless = what == "garbage ledger"
    assert bool(verify(old).damaged) != harmless and bool(status_of(old).damaged) != harmless
    summary = run_job(old / "job.toml", SerialExecutor(), out=old, resume=True)
    assert summary.done == 6 and not summary.reason and not verify(old).damaged
    assert_same_datasets(old / "results.h5", tmp_path / "before.h5")
    assert harmless or [path.name for path in (old / "damaged").iterdir()] [-1:] in (["x.pack"], ["0000.pack"], ["0000.ledger"])
