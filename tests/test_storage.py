"""Files: complete or absent, readable for ever, and the same object before and after."""

import dataclasses
import errno
import hashlib
import json
import os
import re
import socket
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import assert_same_datasets

from hebb import load
from hebb.errors import ChainTooShort, DamagedFile, HebbWarning, ParameterError, StorageError
from hebb.storage import schema, sealed, taskfile
from hebb.storage.arrays import load_arrays, save_arrays
from hebb.storage.folder import RunFolder
from hebb.storage.merging import merge
from hebb.storage.observable import bias_of_refusals
from hebb.storage.results import Results
from hebb.storage.taskfile import TaskRecord, read_status, read_task, write_task
from hebb.storage.verify import verify

DATA = Path(__file__).parent / "data"


def record(disorder=0, temperature=0.5, status="done", n_bins=60, seed=3, components=()):
    """A record with correlated, plausible content that depends on its arguments only."""
    rng = np.random.default_rng([seed, disorder, round(1000 * temperature)])
    series = {
        "m": 0.9 + 0.01 * disorder + 0.02 * rng.standard_normal((n_bins, 2, *components)),
        "q": 0.8 + 0.02 * rng.standard_normal((n_bins, 1)),
    }
    return TaskRecord(
        task_id=f"{round(1000 * temperature):012x}-d{disorder:04d}",
        parameters={"kind": "dense", "n_spins": 64, "n_patterns": 7, "temperature": temperature},
        sampling={"disorder": 3, "replicas": 2, "start": "planted", "corruption": None},
        seed=seed,
        disorder=disorder,
        status=status,
        sweeps_done=120,
        series=series,
        bin_length=2,
        lost=disorder == 2,
        acceptance=0.25 + disorder / 64,
        spins={"planted": np.ones(64, np.int8), "final": -np.ones((2, 64), np.int8)},
        snapshot={}
        if status == "done"
        else {"chain/streams": np.arange(8, dtype=np.uint64).reshape(2, 4) << 60, "bins/m/count": np.array(1)},
        message="Traceback ...\nValueError: Größe" if status == "failed" else "",
        seconds=1.5,
        provenance={"git": None},
    )


def plan_of(temperatures=(0.5, 0.7), disorder=3):
    points = [{"kind": "dense", "n_spins": 64, "n_patterns": 7, "temperature": t} for t in temperatures]
    tasks = [[f"{round(1000 * t):012x}-d{d:04d}", i, d] for i, t in enumerate(temperatures) for d in range(disorder)]
    return {
        "digest": "ab",
        "job": {"name": "made", "seed": 3, "sampling": {"disorder": disorder, "replicas": 2, "start": "planted"}},
        "points": points,
        "tasks": tasks,
    }


def file_of(folder, task_id):
    """The file that a task may have of its own."""
    return folder.task_folder / f"{task_id}.h5"


def made_folder(path, leave_out=(), **options):
    """A run of which every task has a file of its own, as in runs of the first versions. See tests/test_packs.py."""
    folder = RunFolder.create(path, plan_of(), "[job]\n")
    for task_id, point, disorder in folder.plan["tasks"]:
        if (point, disorder) not in leave_out:
            write_task(file_of(folder, task_id), record(disorder, (0.5, 0.7)[point], **options))
    return folder


def assert_equal_records(one, two):
    for item in dataclasses.fields(TaskRecord):
        left, right = getattr(one, item.name), getattr(two, item.name)
        if isinstance(left, dict) and any(isinstance(value, np.ndarray) for value in left.values()):
            assert left.keys() == right.keys(), item.name
            for key in left:
                assert left[key].dtype == right[key].dtype and left[key].shape == right[key].shape
                assert left[key].tobytes() == right[key].tobytes(), (item.name, key)
        else:
            assert left == right and type(left) is type(right), item.name


@pytest.mark.parametrize("status", schema.STATUSES)
def test_a_record_survives_the_file(tmp_path, status):
    original = record(1, status=status)
    write_task(tmp_path / "a.h5", original)
    assert_equal_records(original, read_task(tmp_path / "a.h5"))
    assert read_status(tmp_path / "a.h5")["status"] == status
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"], "no temporary file stays behind"


def test_a_kill_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    """Whatever fails before the rename, the file on disk is the old one, complete."""
    path = tmp_path / "a.h5"
    write_task(path, record(0))
    for victim in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, victim, lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
            with pytest.raises(StorageError, match="cannot write .*No space left.*free space"):
                write_task(path, record(1))
        assert_equal_records(read_task(path), record(0))
    temporary = sealed.temporary_beside(path)
    assert str(os.getpid()) in temporary.name, "two processes never share a temporary file"
    temporary.write_bytes(b"left behind by a kill")
    write_task(path, record(2))
    assert_equal_records(read_task(path), record(2))


@pytest.mark.parametrize("error", [KeyboardInterrupt, TypeError])
def test_whatever_interrupts_a_write_leaves_no_temporary_file(tmp_path, error):
    with pytest.raises(error), taskfile.replace_file(tmp_path / "a.h5", schema.TASK):
        raise error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("keep", [0, 1, 100, 5000, -1])
def test_a_truncated_file_is_named_with_its_remedy(tmp_path, keep):
    path = tmp_path / "tasks" / "a.h5"
    path.parent.mkdir()
    write_task(path, record())
    content = path.read_bytes()
    path.write_bytes(content[:keep])
    with pytest.raises(StorageError, match=r"a\.h5 is .*run the job again with --resume") as caught:
        read_task(path)
    assert "\n" not in str(caught.value)


def test_foreign_files_are_refused(tmp_path):
    with pytest.raises(StorageError, match="there is no file"):
        read_task(tmp_path / "none.h5")
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(StorageError, match="is not a task file of hebb"):
        read_task(tmp_path / "foreign.h5")
    save_arrays(tmp_path / "arrays.h5", {"x": np.ones(2)})
    with pytest.raises(StorageError, match="is not a results file of hebb"):
        Results.open(tmp_path / "arrays.h5")
    write_task(tmp_path / "new.h5", record())
    with h5py.File(tmp_path / "new.h5", "r+") as file:
        del file.attrs[sealed.SEALED]  # as the files of the first versions
        file.attrs["hebb_schema"] = schema.SCHEMA_VERSION + 1
    with pytest.raises(StorageError, match="newer hebb"):
        read_task(tmp_path / "new.h5")
    with h5py.File(tmp_path / "new.h5", "r+") as file:
        file.attrs["hebb_schema"] = schema.SCHEMA_VERSION
        del file.attrs["seed"]
    with pytest.raises(StorageError, match="truncated or damaged"):
        read_task(tmp_path / "new.h5")


def test_deletion_is_advised_only_of_what_hebb_wrote(tmp_path):
    """Whatever somebody points at by mistake is not to be deleted."""
    (tmp_path / "t.toml").write_text("[job]")
    with h5py.File(tmp_path / "theirs.h5", "w") as file:
        file["x"] = 1
    (tmp_path / "cut.h5").write_bytes((tmp_path / "theirs.h5").read_bytes()[:700])
    save_arrays(tmp_path / "results.h5", {"x": np.ones(2)})
    for name in ("t.toml", "theirs.h5", "cut.h5", "results.h5"):
        with pytest.raises(StorageError) as caught:
            load(tmp_path / name)
        assert "delete" not in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(StorageError, match="t.toml is not an HDF5 file; give a run folder or its results.h5"):
        load(tmp_path / "t.toml")
    (tmp_path / "results.h5").write_bytes(b"\x89HDF")
    with pytest.raises(StorageError, match="delete it and run `hebb merge`"):
        load(tmp_path / "results.h5")
    write_task(tmp_path / "copy.h5", record())
    with h5py.File(tmp_path / "copy.h5", "r+") as file:
        del file.attrs[sealed.SEALED], file.attrs["seed"]
    with pytest.raises(StorageError, match="run the job again with --resume, which moves it aside"):
        read_task(tmp_path / "copy.h5")


@pytest.mark.parametrize(
    "text",
    ["{}", "[]", "null", "3", '{"digest": "a"}', "{", '{"a": NaN}', '"text"']
    + [json.dumps(plan_of() | change) for change in (
        {"digest": 3}, {"job": {}}, {"job": 3}, {"points": []}, {"points": 5}, {"tasks": []}, {"tasks": [["a", 9, 0]]},
        {"tasks": [["a", 0]]}, {"tasks": ["abc"]}, {"tasks": {"a": 1}}, {"points": [3, 4]},
    )],
)  # fmt: skip
def test_a_plan_that_is_none_is_named(tmp_path, text):
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(StorageError, match="plan.json .*run the job again with --resume, which writes it again") as caught:
        RunFolder.open(tmp_path)
    assert "\n" not in str(caught.value)


def test_files_of_another_job_are_not_adopted(tmp_path):
    folder = made_folder(tmp_path / "run")
    name = folder.plan["tasks"][1][0]
    mine = read_task(file_of(folder, name))
    for sampling, sentence in (({}, None), ({"disorder": 7, "later": None}, None),
                               ({"sweeps": 77}, "was written by another job.*run the job again with --resume")):
        write_task(file_of(folder, name), dataclasses.replace(mine, sampling={**mine.sampling, **sampling}))
        damaged = folder.tasks().damaged
        if sentence is None:
            assert not damaged and merge(folder.path).done[0].all()
        else:
            assert re.search(f"{name}.h5 {sentence}", damaged[f"{name}.h5"])
            with pytest.warns(HebbWarning, match=f"{name}.h5 was written by another job.*; left out"):
                assert merge(folder.path).done.sum() == 5


SWAPS = {
    "another task": lambda mine, other: dataclasses.replace(mine, task_id=other.task_id),
    "another disorder sample": lambda mine, other: dataclasses.replace(other, task_id=mine.task_id),
    "another temperature": lambda mine, _: dataclasses.replace(mine, parameters={**mine.parameters, "temperature": 0.51}),
    "another seed": lambda mine, _: dataclasses.replace(mine, seed=mine.seed + 1),
}


@pytest.mark.parametrize("swap", SWAPS.values(), ids=SWAPS)
def test_a_task_that_is_not_the_one_of_the_plan_is_left_out(tmp_path, swap):
    folder = made_folder(tmp_path / "run")
    name, other = folder.plan["tasks"][1][0], folder.plan["tasks"][2][0]
    write_task(file_of(folder, name), swap(read_task(file_of(folder, name)), read_task(file_of(folder, other))))
    tasks = folder.tasks()
    assert tasks.done.sum() == 5 and set(tasks.damaged) == {f"{name}.h5"} and tasks.unbelievable == {1}
    reason = "(holds|was written by another job) .*; left out. Run the job again with --resume"
    with pytest.warns(HebbWarning, match=f"{name}.h5 {reason}"):
        merge(folder.path)
    tasks.set_aside()
    assert not file_of(folder, name).exists() and (folder.path / "damaged" / f"{name}.h5").exists()


@pytest.mark.parametrize("kind", ["task", "results", "arrays", "plan"])
def test_every_flipped_bit_is_noticed(tmp_path, kind):
    """Of a plan every bit, of the other files one in 37 or fewer, another byte and bit each; and some places to cut."""
    folder = made_folder(tmp_path / "run")
    path = {"task": file_of(folder, folder.plan["tasks"][0][0]), "results": folder.results_path,
            "arrays": tmp_path / "arrays.h5", "plan": folder.path / "plan.json"}[kind]
    merge(folder.path).save(folder.results_path)
    save_arrays(tmp_path / "arrays.h5", {"x": np.arange(5.0), "t": np.array(["a", "b"])}, {"a": 1})
    call = {"task": lambda: read_task(path), "results": lambda: Results.open(path), "arrays": lambda: load_arrays(path),
            "plan": lambda: RunFolder.open(folder.path)}[kind]
    content = path.read_bytes()
    call()
    step = 37 if kind != "plan" else 1
    for place in range(len(kind), 8 * len(content), step * max(1, len(content) // 4000)):
        path.write_bytes(content[:place // 8] + bytes([content[place // 8] ^ 1 << place % 8]) + content[place // 8 + 1:])
        with pytest.raises(DamagedFile):
            call()
    for cut in (1, 2, 40, 77, 78, 79, len(content) // 2):
        path.write_bytes(content[:-cut])
        with pytest.raises(DamagedFile):
            call()


def test_results_of_another_job_in_a_folder_are_not_taken(tmp_path):
    folder = made_folder(tmp_path / "run")
    results = merge(folder.path)
    foreign = dataclasses.replace(results, job={**results.job, "seed": 77})
    foreign.save(folder.results_path)
    with pytest.warns(HebbWarning, match="results.h5 is of another job than its folder"):
        assert load(folder.path).job["seed"] == results.job["seed"]


def test_merge_keeps_every_bit_and_the_job_order(tmp_path):
    folder = made_folder(tmp_path / "run")
    results = merge(folder.path)
    assert results["m"].samples.shape == (2, 3) and results.data["m"].shape == (2, 3, 60, 2)
    for point, temperature in enumerate((0.5, 0.7)):
        for disorder in range(3):
            assert results.data["m"][point, disorder].tobytes() == record(disorder, temperature).series["m"].tobytes()
    assert results.points[1]["temperature"] == 0.7 and results.lost.tolist() == [1, 1]
    assert results.n_disorder.tolist() == [3, 3] and results.seconds == 9.0
    np.testing.assert_array_equal(results["acceptance"].mean, np.mean([0.25, 0.25 + 1 / 64, 0.25 + 2 / 64]))


def test_saved_and_loaded_results_are_the_same(tmp_path):
    results = merge(made_folder(tmp_path / "run").path)
    results.save(tmp_path / "one.h5")
    again = load(tmp_path / "one.h5")
    again.save(tmp_path / "two.h5")
    assert_same_datasets(tmp_path / "one.h5", tmp_path / "two.h5")
    assert again.points == results.points and again.job == results.job and again.keys() == results.keys()
    assert str(again.to_table()) == str(results.to_table())
    assert again.spins.keys() == results.spins.keys() and again.spins[1, 2]["final"].shape == (2, 64)
    assert again.provenance == {"git": None} and again.bin_length == 2 and again["m"].estimate(0).n_measurements == 120


def test_two_level_error(tmp_path):
    results = merge(made_folder(tmp_path / "run").path)
    means = np.array([record(disorder, 0.5).series["m"].mean() for disorder in range(3)])
    assert results["m"].mean[0] == pytest.approx(means.mean(), rel=1e-14)
    assert results["m"].error[0] == pytest.approx(means.std(ddof=1) / np.sqrt(3), rel=1e-12)
    assert results["m"].series(0).shape == (3, 60, 2)
    with pytest.raises(ParameterError, match="did you mean 'abs_m'|not one of"):
        results["absm"]
    with pytest.raises(ParameterError, match="no series"):
        results["acceptance"].series(0)


def test_partial_merges(tmp_path):
    folder = made_folder(tmp_path / "run", leave_out={(0, 1), (1, 0), (1, 1), (1, 2)})
    write_task(file_of(folder, folder.plan["tasks"][3][0]), record(0, 0.7, status="unfinished"))
    write_task(file_of(folder, folder.plan["tasks"][4][0]), record(1, 0.7, status="failed"))
    results = load(folder.path)
    assert results.n_disorder.tolist() == [2, 0] and np.isnan(results["m"].mean[1])
    assert np.isnan(results["m"].samples[0, 1]) and results["m"].series(0).shape == (2, 60, 2)
    assert "nan" in str(results.to_table())
    with pytest.warns(HebbWarning, match=r"^m has no error bar at 1 of 2 points: temperature = 0.7 \(no sample\); raise"):
        errors = results["m"].error
    assert errors[0] == results["m"].raw_error[0] and np.isnan(errors[1])
    results.save(folder.results_path)
    assert load(folder.path).n_disorder.tolist() == [2, 0]
    write_task(file_of(folder, folder.plan["tasks"][1][0]), record(1, 0.5))
    assert load(folder.path).n_disorder.tolist() == [3, 0], "a partial results.h5 does not hide newer tasks"


def test_too_short_chains_are_marked_and_refused(tmp_path):
    results = merge(made_folder(tmp_path / "run", n_bins=12).path)
    assert (
        results["m"].too_short.all()
        and np.isfinite(results["m"].mean).all()
        and np.isfinite(results["m"].raw_error).all()
    )
    assert "(?)" in str(results.to_table()) and "too short" in str(results.to_table())
    assert re.search(r"\n\(\?\) chain too short .*: (\d+) of \1 averages. .* raise `sweeps`", str(results.to_table()))
    assert bias_of_refusals(1, 10) == "" != bias_of_refusals(2, 10)
    with pytest.warns(HebbWarning, match=r"m has no error bar at 2 of 2 points: temperature = 0.5 \(chains too short: 24 meas.*"
                                         "take raw_error"):
        assert np.isnan(results["m"].error).all()
    with pytest.raises(ChainTooShort) as caught:
        results["m"].estimate(0).error  # noqa: B018
    assert caught.value.estimate is results["m"].estimate(0)


def test_one_point_that_is_too_short_keeps_the_errors_of_the_others(tmp_path):
    """nan and a warning that names it, in a job where every other point has its error; intervals alike."""
    records = [record(d, t, n_bins=200) for t in (0.5, 0.7) for d in range(3)]
    for item in records[3:]:
        item.series["m"][:] = np.linspace(0, 1, 200)[:, None] + item.series["m"]  # a drift
    results = Results.from_records(plan_of(), records)
    with pytest.warns(HebbWarning, match=r"^m has no error bar at 1 of 2 points: temperature = 0.7 \(chains too short") as said:
        errors, interval = results["m"].error, results["m"].interval()
    assert len(said) == 2 and all("raw_error" in str(item.message) for item in said)
    assert np.isnan(errors[1]) and errors[0] == results["m"].raw_error[0] > 0 and np.isfinite(results["m"].raw_error[1])
    assert np.isnan(interval[:, 1]).all() and interval[0, 0] < results["m"].mean[0] < interval[1, 0]
    with pytest.raises(ParameterError, match="level = 95 is not between 0 and 1"):
        results["m"].interval(95)


def test_what_no_sample_has_seen_has_no_error_bar():
    records = [record(d, t) for t in (0.5, 0.7) for d in range(3)]
    for item in records:
        item.series["m"][:] = 1.0
    results = Results.from_records(plan_of(), records)
    with pytest.warns(HebbWarning, match=r"temperature = 0.5 \(no scatter between samples\)"):
        assert np.isnan(results["m"].error).all()
    assert (results["m"].raw_error == 0).all() and str(results["m"].estimate(0)) == "1(-)"
    assert "(-) no error bar" in str(results.to_table())


def test_components_and_ragged_points():
    """Vector observables keep their component axes; points with fewer components are padded with nan."""
    plan = plan_of(disorder=2)
    records = [record(d, t, components=(k,)) for t, k in ((0.5, 2), (0.7, 3)) for d in range(2)]
    results = Results.from_records(plan, records)
    assert results["m"].mean.shape == (2, 3) and results["m"].samples.shape == (2, 2, 3)
    assert (
        np.isnan(results["m"].mean[0, 2])
        and np.isfinite(results["m"].mean[1]).all()
        and not results["m"].too_short[0, 2]
    )
    assert "m[2]" in results.to_table()[0]


def test_files_explain_themselves(tmp_path):
    """Axes carry labels and dimension scales, so that other programs read them."""
    merge(made_folder(tmp_path / "run").path).save(tmp_path / "r.h5")
    with h5py.File(tmp_path / "r.h5") as file:
        m, q = file["series/m"], file["series/q"]
        assert [dim.label for dim in m.dims] == ["point", "disorder", "bin", "chain"]
        assert m.dims[0]["temperature"][()].tolist() == [0.5, 0.7] and m.dims[2]["bin"][()].tolist()[:2] == [2, 4]
        assert len(m.dims[3]["chain"]) == 2 and len(q.dims[3]["chain"]) == 1
        assert file.attrs["hebb_schema"] == 1 and json.loads(file["job"][()])["seed"] == 3


def test_xarray(tmp_path):
    pytest.importorskip("xarray")
    data = merge(made_folder(tmp_path / "run").path).to_xarray(samples=True)
    assert data["m"].dims == ("temperature",) and data["temperature"].values.tolist() == [0.5, 0.7]
    assert data["m_samples"].sel(temperature=0.7).shape == (3,) and int(data["lost"].sum()) == 2


def test_arrays_and_attributes(tmp_path):
    arrays = {
        "labels": np.arange(6).reshape(2, 3),
        "lines/spinodal": np.ones((3, 2)),
        "names": np.array(["glass", "Überlapp"]),
        "scalar": np.array(2.5),
    }
    save_arrays(tmp_path / "a.h5", arrays, {"p_body": 4, "deep": {"a": [1, None]}})
    read, attributes = load_arrays(tmp_path / "a.h5")
    assert attributes == {"p_body": 4, "deep": {"a": [1, None]}} and read.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array)
        assert read[name].dtype.kind == array.dtype.kind
    with pytest.raises(StorageError, match="cannot write"):
        save_arrays(tmp_path / "missing" / "a.h5", arrays)


def test_files_of_schema_1_open():
    """Written once by schema 1 (tests/data/make_schema1.py) and never again."""
    task = read_task(DATA / "task_schema1.h5")
    assert (
        task.status == "unfinished"
        and task.job == ""
        and task.series["m"].shape == (60, 2)
        and task.snapshot["chain/streams"].dtype == np.uint64
    )
    results = load(DATA / "results_schema1.h5")
    assert results["m"].mean.shape == (2,) and results.points[0]["kind"] == "dense"
    assert results["m"].mean[0] == pytest.approx(0.9117361618562204, rel=1e-12) and results.lost.tolist() == [1, 1]


def test_older_layouts_are_migrated(tmp_path, monkeypatch):
    """With a layout 2 that renames an attribute, a file of layout 1 opens and is not touched."""
    write_task(tmp_path / "a.h5", record())
    before = (tmp_path / "a.h5").read_bytes()
    monkeypatch.setattr(schema, "SCHEMA_VERSION", 2)

    def rename(file):
        file.attrs["rng_seed"] = file.attrs["seed"]

    monkeypatch.setitem(schema.MIGRATIONS, 1, rename)
    monkeypatch.setattr(taskfile, "SIMPLE_FIELDS", {**taskfile.SIMPLE_FIELDS, "rng_seed": int})
    assert read_status(tmp_path / "a.h5")["rng_seed"] == 3
    assert (tmp_path / "a.h5").read_bytes() == before


@pytest.mark.parametrize("link", [h5py.ExternalLink("other.h5", "/series"), h5py.SoftLink("/spins")])
def test_files_that_point_elsewhere_are_refused(tmp_path, link):
    write_task(tmp_path / "other.h5", record())
    write_task(tmp_path / "a.h5", record())
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file.attrs[sealed.SEALED], file["series"]
        file["series"] = link
    with pytest.raises(DamagedFile, match="'series' points elsewhere"):
        read_task(tmp_path / "a.h5")


def test_verify_reads_everything(tmp_path):
    folder = made_folder(tmp_path / "run")
    tasks = [file_of(folder, name) for name, _, _ in folder.plan["tasks"]]
    merge(folder.path).save(folder.results_path)
    verdict = verify(folder.path)
    assert (verdict.good, verdict.unsealed, verdict.damaged, verdict.missing) == (8, (), {}, 0)
    tasks[0].unlink()
    with h5py.File(tasks[1], "r+") as file:
        del file.attrs[sealed.SEALED]
    content = tasks[2].read_bytes()
    tasks[2].write_bytes(content[:3000] + bytes([content[3000] ^ 1]) + content[3001:])
    folder.results_path.write_bytes(folder.results_path.read_bytes()[:-5])
    verdict = verify(folder.path)
    assert (verdict.good, verdict.unsealed, verdict.missing) == (5, (tasks[1].name,), 1)
    assert set(verdict.damaged) == {tasks[2].name, "results.h5"} and "checksum" in str(verdict)


def test_what_the_system_refuses_is_no_damage(tmp_path, monkeypatch):
    """A network disk that stumbles must not move finished tasks away."""
    folder = made_folder(tmp_path / "run")
    for number in (errno.EIO, errno.ESTALE, errno.EMFILE, errno.EACCES):
        with monkeypatch.context() as patch:
            patch.setattr(taskfile, "check_seal", lambda path, number=number: (_ for _ in ()).throw(OSError(number, "no")))
            with pytest.raises(StorageError, match="cannot be read .*try again") as caught:
                folder.tasks()
            assert not isinstance(caught.value, DamagedFile)


def test_damaged_tasks_on_another_disk_are_set_aside(tmp_path, monkeypatch):
    folder = made_folder(tmp_path / "run")
    name = folder.plan["tasks"][0][0]
    true = os.rename

    def elsewhere(source, target):
        if str(source).endswith(".h5"):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        true(source, target)

    file_of(folder, name).write_bytes(b"no task")
    monkeypatch.setattr(os, "rename", elsewhere)
    monkeypatch.setattr(os, "replace", elsewhere)
    folder.tasks().set_aside()
    assert not file_of(folder, name).exists() and (folder.path / "damaged" / f"{name}.h5").is_file()


def test_only_leftovers_are_removed(tmp_path):
    folder = made_folder(tmp_path / "run")
    here, mine = socket.gethostname(), os.getpid()
    left = [f"results.h5.{here}-{mine}.tmp", "plan.json.elsewhere-77.tmp", f"tasks/a.h5.{here}-{os.getppid()}.tmp"]
    kept = ["job.toml.mine.tmp", f"results.h5.{here}-{os.getppid()}.tmp", "tasks/notes.tmp"]
    kept += ["results.h5.elsewhere-78.tmp"]
    for name in left + kept:
        (folder.path / name).write_text("x")
    os.utime(folder.path / left[1], (1e9, 1e9))
    folder.clear_leftovers()
    assert not any((folder.path / name).exists() for name in left) and all((folder.path / name).exists() for name in kept)


def test_a_folder_in_the_place_of_a_task_is_damage(tmp_path):
    folder = made_folder(tmp_path / "run")
    path = file_of(folder, folder.plan["tasks"][0][0])
    path.unlink()
    path.mkdir()
    tasks = folder.tasks()
    assert tasks.done.sum() == 5 and "is not a file" in tasks.damaged[path.name]
    tasks.set_aside()
    assert (folder.path / "damaged" / path.name).is_dir()


def test_plans_of_a_newer_hebb_are_left_alone(tmp_path):
    folder = made_folder(tmp_path / "run")
    merge(folder.path).save(folder.results_path)
    plan = folder.path / "plan.json"
    text = plan.read_text()
    newer = json.dumps({**json.loads(text), "hebb_schema": 3, "more": 1, "checksum": 64 * "0"})
    plan.write_text(newer.replace(64 * "0", hashlib.sha256(newer.encode()).hexdigest()))
    with pytest.raises(StorageError, match="written by a newer hebb") as caught:
        RunFolder.open(folder.path)
    assert not isinstance(caught.value, DamagedFile)
    plan.write_text(text.replace('"name": "made"', '"name": "mad"'))
    with pytest.warns(HebbWarning, match="was changed after it was written"):
        assert load(folder.path).done.all(), "finished results can do without their plan"


def test_results_know_their_plan_though_something_measured_is_nan(tmp_path):
    plan = plan_of()
    plan["points"] = [{**point, "measured": {"correlation": float("nan")}} for point in plan["points"]]
    folder = RunFolder.create(tmp_path / "run", plan, "[job]\n")
    merge(folder.path).save(folder.results_path)
    assert Results.open(folder.results_path).belongs_to(folder.plan) and not verify(folder.path).damaged


def test_the_programs_that_computed_a_run_are_all_kept(tmp_path):
    folder = made_folder(tmp_path / "run")
    first, other = ({"hebb": version, "numpy": "2.0", "time": time, "kernels": {"instruction_set": "avx2"}}
                    for version, time in (("0.1.0", "1"), ("0.2.0", "2")))
    names = [task[0] for task in folder.plan["tasks"]]
    for index, name in enumerate(names):
        provenance = {0: {**first, "continued": [other]}, 1: other}.get(index, {**first, "time": str(index)})
        write_task(file_of(folder, name), dataclasses.replace(read_task(file_of(folder, name)), provenance=provenance))
    merged = merge(folder.path)
    merged.save(folder.results_path)
    for results in (merged, load(folder.results_path)):
        assert [(item["hebb"], item["tasks"]) for item in results.origins.plain()] == [("0.1.0", 5), ("0.2.0", 2)]
        assert results.origins.notes() == ["the tasks were computed with different hebb: 0.1.0 (5 tasks), 0.2.0 (2 tasks)"]
        assert "time" not in results.origins.plain()[0]
    assert load(DATA / "results_schema1.h5").origins.notes() == []
