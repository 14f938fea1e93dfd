"""The command line: what a user can get wrong costs one sentence and exit code 2, and never a result."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT, TINY, clean_environment, damage, finished, hebb, refused, rewritten, run_hebb
from drawn import assert_shows_diagram, saved_figures

from hebb.__main__ import main


def test_from_check_to_merge(folder, capsys):
    code, out, _ = hebb(capsys, "check", "tiny.toml")
    assert code == 0 and "2 points x 2 disorder samples = 4 tasks" in out and "memory:" in out and "on one core" in out
    assert not (folder / "runs").exists(), "check writes nothing"
    code, out, err = hebb(capsys, "run", "tiny.toml")
    assert code == 0 and out == "hebb: 4 tasks done; results in runs/tiny/results.h5\n" and err == ""
    code, out, _ = hebb(capsys, "status", "runs/tiny")
    assert code == 0 and out.startswith("tiny: 4 of 4 tasks done, 0 checkpointed, 0 failed, 0 without a file yet")
    (folder / "runs/tiny/results.h5").unlink()
    code, out, _ = hebb(capsys, "merge", "runs/tiny")
    assert code == 0 and "temperature  samples  lost" in out and re.search(r"0\.5 +2 +\d .*0\.\d+\(\d+\)", out)
    assert (folder / "runs/tiny/results.h5").exists()


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("n_spins", "n_spinz", "unknown key 'n_spinz' in [model]; did you mean 'n_spins'?"),
        ("p_body = 2", "p_body = 1", "p_body = 1 is not a whole number from 2"),
        ("n_patterns = 2", "n_patterns = 2\ngamma = 0.1", "gamma = 0.1 and n_patterns = 2 given; give exactly one"),
        ("n_patterns = 2", "", "neither given; give exactly one"),
        ("[0.5, 0.8]", "0", "temperature = 0.0 is not a number in ]0, inf["),
        ("n_patterns = 2", "n_patterns = 1000000000000", "GiB"),
        ("n_patterns = 2", 'n_patterns = 2\npatterns = "mnist"', ""),
        ("n_spins = 16\n", "", "n_spins"),
        ("seed = 5", "seed = ", "not valid TOML"),
    ],
)
@pytest.mark.parametrize("command", ["check", "run"])
def test_a_wrong_job_is_refused_before_anything_is_written(folder, capsys, monkeypatch, command, old, new, message):
    monkeypatch.setenv("HEBB_DATA", str(folder / "nothing here"))
    text = TINY.replace(old, new, 1)
    assert text != TINY
    (folder / "tiny.toml").write_text(text)
    assert message in refused(capsys, command, "tiny.toml")
    assert [path.name for path in folder.iterdir()] == ["tiny.toml"]


def test_missing_things(folder, capsys):
    assert "cannot read the job file none.toml" in refused(capsys, "run", "none.toml")
    for command in ("status", "merge"):
        assert "is not a run folder" in refused(capsys, command, "none")
    (folder / "tiny.toml").write_text(TINY.replace("n_patterns = 2", 'n_patterns = 2\npatterns = "mnist"'))
    assert f"data folder '{folder}/nowhere' does not exist" in refused(capsys, "run", "tiny.toml", "--data", "nowhere")


def test_unwritable_output_is_noticed_before_computing(folder, capsys, monkeypatch):
    from hebb.runs import job

    monkeypatch.setattr(job, "run_task", lambda *_, **__: pytest.fail("computed before checking the folder"))
    (folder / "file").write_text("in the way")
    assert "cannot write the run folder file" in refused(capsys, "run", "tiny.toml", "--out", "file/run")
    assert (folder / "file").read_text() == "in the way"
    assert "cannot write the run folder /proc/run" in refused(capsys, "run", "tiny.toml", "--out", "/proc/run")


def test_a_foreign_job_file_is_not_overwritten(folder, capsys):
    (folder / "mine").mkdir()
    (folder / "mine" / "job.toml").write_text("precious")
    assert "mine" in refused(capsys, "run", "tiny.toml", "--out", "mine")
    assert (folder / "mine" / "job.toml").read_text() == "precious"
    (folder / "job.toml").write_text(TINY)
    assert hebb(capsys, "run", "job.toml", "--out", ".")[0] == 0, "a run may live beside its own job file"


def test_a_damaged_task_costs_nothing_but_itself(folder, capsys):
    assert hebb(capsys, "run", "tiny.toml")[0] == 0
    before, pack = finished("runs/tiny"), folder / "runs/tiny/tasks/0000.pack"
    name = sorted(before)[1]
    damage("runs/tiny", name)
    damaged, said = pack.read_bytes(), f"0000.pack {name} is damaged (its checksum is not that of its content)"
    assert "4 of 4 tasks done" in hebb(capsys, "status", "runs/tiny")[1], "which reads the ledger alone"
    code, out, err = hebb(capsys, "merge", "runs/tiny")
    assert code == 0 and "3 of 4 tasks are in" in out and said in err
    code, out, _ = hebb(capsys, "verify", "runs/tiny")
    assert code == 1 and said in out
    code, out, err = hebb(capsys, "run", "tiny.toml", "--resume")
    assert code == 0 and said in err and "moved to runs/tiny/damaged, and 1 task(s) are repeated" in err
    after = finished("runs/tiny")
    assert [task_id for task_id in before if before[task_id] != after[task_id]] == [name]
    assert (folder / "runs/tiny/damaged/0000.pack").read_bytes() == damaged
    assert hebb(capsys, "verify", "runs/tiny")[0] == 0
    assert hebb(capsys, "verify", "runs/tiny", "--repeat", "4")[1].count("the same bits") == 4


def test_a_truncated_task_file_costs_nothing_but_itself(folder, capsys):
    assert hebb(capsys, "run", "tiny.toml")[0] == 0
    rewritten("runs/tiny", lambda index, record: None)
    tasks = sorted((folder / "runs/tiny/tasks").iterdir())
    before = {path: path.read_bytes() for path in tasks}
    (folder / "runs/tiny/results.h5").unlink()
    tasks[1].write_bytes(before[tasks[1]][:1000])
    code, out, _ = hebb(capsys, "status", "runs/tiny")
    assert code == 0 and f"1 with a file that cannot be believed: {tasks[1].name} is truncated or damaged" in out
    code, out, err = hebb(capsys, "merge", "runs/tiny")
    assert code == 0 and "3 of 4 tasks are in" in out and f"{tasks[1].name} is truncated or damaged" in err
    code, out, _ = hebb(capsys, "verify", "runs/tiny")
    assert code == 1 and f"{tasks[1].name} is truncated or damaged" in out
    code, out, err = hebb(capsys, "run", "tiny.toml", "--resume")
    assert code == 0 and f"{tasks[1].name} is truncated or damaged" in err and "moved to runs/tiny/damaged" in err
    assert all(path.read_bytes() == before[path] for path in tasks if path != tasks[1])
    assert (folder / "runs/tiny/damaged" / tasks[1].name).read_bytes() == before[tasks[1]][:1000]
    assert hebb(capsys, "verify", "runs/tiny")[0] == 0
    assert hebb(capsys, "verify", "runs/tiny", "--repeat", "4")[1].count("the same bits") == 4


def test_the_same_command_continues(folder, capsys):
    assert hebb(capsys, "run", "tiny.toml")[0] == 0
    before = finished("runs/tiny")
    code, out, err = hebb(capsys, "run", "tiny.toml")
    assert code == 0 and out == "hebb: 4 tasks done; results in runs/tiny/results.h5\n"
    assert err == ("hebb: runs/tiny holds a run of this job, 4 of 4 tasks done, and is continued; to start afresh, choose "
                   "another folder with --out or remove this one\n")
    assert finished("runs/tiny") == before and hebb(capsys, "run", "tiny.toml", "--resume")[2] == ""
    (folder / "tiny.toml").write_text(TINY.replace("seed = 5", "seed = 6"))
    for arguments in ((), ("--resume",)):
        assert "different job" in refused(capsys, "run", "tiny.toml", *arguments)


def test_failed_tasks_end_with_exit_code_1(folder, capsys, monkeypatch):
    from hebb.sampling.chain import Chain

    true_measure = Chain.measure

    def fragile(self):
        if self.temperature > 0.6:
            raise RuntimeError("bad luck")
        return true_measure(self)

    with monkeypatch.context() as patch:
        patch.setattr(Chain, "measure", fragile)
        code, _, err = hebb(capsys, "run", "tiny.toml")
    assert (
        code == 1
        and "2 of 4 tasks failed" in err
        and "--resume" in err
        and err.count("failed: RuntimeError: bad luck") == 2
    )
    code, out, _ = hebb(capsys, "status", "runs/tiny")
    assert "2 failed" in out and out.count("failed: RuntimeError: bad luck") == 2
    assert hebb(capsys, "run", "tiny.toml", "--resume")[0] == 0


def test_wrong_ranks(folder, capsys, monkeypatch):
    assert "--ranks 0 is not at least 1" in refused(capsys, "run", "tiny.toml", "--ranks", "0")
    monkeypatch.setenv("PMI_SIZE", "3")
    assert "already started 3" in refused(capsys, "run", "tiny.toml", "--ranks", "2")
    monkeypatch.delenv("PMI_SIZE")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert "needs mpiexec" in refused(capsys, "run", "tiny.toml", "--ranks", "2")


def test_no_command_and_unknown_command_say_how():
    for arguments in ([], ["rum"]):
        result = run_hebb(*arguments, cwd=ROOT)
        assert result.returncode == 2 and "usage: hebb" in result.stderr and "Traceback" not in result.stderr


def test_help_teaches_by_example(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    out = capsys.readouterr().out
    assert caught.value.code == 0 and "--resume" in out and "mpirun -n 64" in out and "hebb theory dense" in out


@pytest.mark.parametrize("text", ["0:1", "1:0:5", "a", "0:1:1", "0:1:5:7", ""])
def test_ranges_are_checked(capsys, text):
    assert "low:high:number" in refused(capsys, "theory", "dense", "--gamma", text, "--temperature", "0.3")


def test_theory_of_a_point(capsys):
    from hebb.theory import Dense

    code, out, _ = hebb(capsys, "theory", "dense", "--p-body", "4", "--gamma", "0.1", "--temperature", "0.3")
    solution = Dense(p_body=4).solve(gamma=0.1, temperature=0.3, branch="retrieval")
    assert code == 0 and f"retrieval: f = {solution.free_energy:.10g}  m = {solution.m:.10g}" in out
    assert "p_body = 1" in refused(capsys, "theory", "dense", "--p-body", "1", "--gamma", "0.1", "--temperature", "0.3")
    assert "give a range" in refused(
        capsys, "theory", "dense", "--gamma", "0.1", "--temperature", "0.3", "--plot", "x.png"
    )


def test_theory_of_a_diagram(folder, capsys, monkeypatch):
    from hebb.theory.phases import PhaseDiagram

    figures = saved_figures(monkeypatch)
    arguments = ("theory", "dense", "--p-body", "4", "--gamma", "0.02:0.4:6", "--temperature", "0.2:0.8:5")
    code, out, _ = hebb(capsys, *arguments, "--plot", "d.png", "--save", "d.h5")
    assert code == 0 and "spinodal" in out and (folder / "d.png").exists()
    diagram = PhaseDiagram.load("d.h5")
    assert diagram.labels.shape == (5, 6)
    assert_shows_diagram(figures[0].axes[0], diagram, "gamma", r"load $\gamma$")
    assert "no folder" in refused(capsys, *arguments, "--plot", "none/d.png")


def test_theory_of_multitask_states(capsys):
    from hebb.theory import Multitask

    point = ("theory", "multitask", "--n-patterns", "3", "--dilution", "0.45", "--temperature", "0.03")
    code, out, _ = hebb(capsys, *point)
    states = Multitask(3, 0.45).states(0.03)
    lines = out.splitlines()
    assert code == 0 and lines[0] == "critical temperature: 0.55" and len(lines) == 1 + len(states) == 3
    for line, state in zip(lines[1:], states, strict=True):
        assert line.startswith(f"{state.branch}: f = {state.free_energy:.10g}  m = [{state.m[0]:.10g}, ") and "n = " not in line
    code, out, _ = hebb(capsys, *point, "--normalize-dilution", "--r", "0.5", "--n-examples", "20")
    assert code == 0 and out.startswith("critical temperature: 1\n") and "n = [" in out
    assert "n_patterns = 0" in refused(capsys, *point, "--n-patterns", "0")
    assert "give a range" in refused(capsys, *point, "--save", "x.h5")
    assert "leave them out" in refused(capsys, *point, "--rho", "0.1", "--protocol", "storage")
    assert "temperature = -0.1 is not" in refused(capsys, *point[:-1], "-0.1")


def test_theory_of_a_multitask_diagram(folder, capsys, monkeypatch):
    from hebb.theory.multitask_phases import MultitaskDiagram

    figures = saved_figures(monkeypatch)
    arguments = ("theory", "multitask", "--n-patterns", "2", "--dilution", "0.1:0.9:5", "--temperature", "0:0.8:4")
    code, out, _ = hebb(capsys, *arguments, "--plot", "d.png", "--save", "d.h5")
    assert code == 0 and "\ncontinuous pure-hierarchical: " in out and (folder / "d.png").exists()
    diagram = MultitaskDiagram.load("d.h5")
    assert_shows_diagram(figures[0].axes[0], diagram, "dilution", "dilution $d$")
    assert diagram.labels.shape == (4, 5) and "critical: 5 points, dilution 0.1 to 0.9" in out
    assert "no folder" in refused(capsys, *arguments, "--plot", "none/d.png")
    assert "cannot write .: it is a folder" in refused(capsys, *arguments, "--save", ".")


@pytest.mark.parametrize("worst, code", [(4.9, 0), (5.1, 1)])
def test_compare_judges_by_the_worst_z(folder, capsys, monkeypatch, worst, code):
    from hebb import compare

    class Comparison:
        def __init__(self):
            self.worst = worst

        def table(self):
            return "the table"

        def write_csv(self, path):
            (folder / path).write_text("csv")

        def plot(self, path):
            path.write_text("figure")

    monkeypatch.setattr(compare, "compare_results", lambda results: Comparison())
    assert hebb(capsys, "run", "tiny.toml")[0] == 0
    assert hebb(capsys, "compare", "runs/tiny", "--csv", "t.csv") == (code, "the table\n", "")
    assert (folder / "t.csv").read_text() == "csv" and (folder / "runs/tiny/compare.png").read_text() == "figure"
    code, _, err = hebb(capsys, "compare", "runs/tiny", "--csv", "none/t.csv")
    assert code == 2 and err.startswith("hebb: cannot write none/t.csv") and err.count("\n") == 1
    (folder / "runs/tiny/results.h5").rename(folder / "moved.h5")
    hebb(capsys, "compare", "moved.h5")
    assert (folder / "compare.png").read_text() == "figure", "the figure lies beside a results file"


AGREEING = """
[model]
kind = "dense"
n_spins = 128
p_body = 4
gamma = 0.08
temperature = 0.5
[sampling]
disorder = 10
thermalize = 100
sweeps = 400
"""


def test_compare_of_a_real_run(folder, capsys):
    """A point inside the domain of the theory agrees with it."""
    (folder / "agreeing.toml").write_text(AGREEING)
    assert hebb(capsys, "run", "agreeing.toml")[0] == 0
    code, out, err = hebb(capsys, "compare", "runs/agreeing", "--csv", "t.csv")
    assert code == 0 and "rms z" in out and err == "" and (folder / "t.csv").read_text().count("\n") > 2
    assert (folder / "runs/agreeing/compare.png").stat().st_size > 5000
    assert "no file or folder" in refused(capsys, "compare", "nothing")


def test_bench_hands_over_its_path(folder, capsys, monkeypatch):
    from hebb import bench

    seen = []
    monkeypatch.setattr(bench, "main", lambda path: seen.append(path) or ["rows"])
    assert hebb(capsys, "bench", "--json", "b.json")[0] == 0 and seen == ["b.json"]
    assert "cannot write none/b.json" in refused(capsys, "bench", "--json", "none/b.json")
    assert len(seen) == 1, "an unwritable file is noticed before measuring"


def test_info(capsys):
    code, out, _ = hebb(capsys, "info")
    assert code == 0 and "instruction_set" in out and "numpy:" in out and "mpi:" in out and "cite" in out


def test_uncompiled_kernels_cost_one_sentence(folder):
    """In a process where hebb.kernels cannot be imported, everything that needs it says what to do."""
    code = (
        "import sys; sys.modules['hebb.kernels.overlap'] = None\n"
        "from hebb.__main__ import main\n"
        "from hebb.provenance import collect\n"
        "assert collect()['kernels'] == {}\n"
        "sys.exit(main(['run', 'tiny.toml']))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=clean_environment(), capture_output=True, text=True
    )
    assert result.returncode == 2 and result.stderr.count("\n") == 1
    assert "not compiled" in result.stderr and f"-m pip install -e {ROOT}`" in result.stderr and not (folder / "runs").exists()


def test_interrupts_are_clean(capsys, monkeypatch):
    from hebb import provenance

    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(provenance, "collect", interrupted)
    code, _, err = hebb(capsys, "info")
    assert code == 130 and err == "hebb: interrupted\n"


def test_errors_of_one_sentence_are_all_there_is(folder):
    """As a real process: exit code, stderr and nothing else."""
    result = run_hebb("run", "none.toml", cwd=folder)
    assert (result.returncode, result.stdout) == (2, "") and re.fullmatch(r"hebb: cannot read .*\n", result.stderr)


def test_provenance_names_the_code(folder, capsys):
    import hebb as package
    from hebb.storage.merging import load

    assert hebb(capsys, "run", "tiny.toml")[0] == 0
    provenance = load("runs/tiny").provenance
    assert provenance["hebb"] == package.__version__ and provenance["kernels"]["flags"] and provenance["host"]
    assert (
        np.__version__ == provenance["numpy"]
        and {"git", "scipy", "h5py", "time", "mpi", "machine"} <= provenance.keys()
    )


def test_status_point_by_point(folder, capsys, monkeypatch):
    """A run that was stopped: what every point is at, in a table and as JSON."""
    monkeypatch.setenv("SLURM_JOB_END_TIME", "1")
    assert hebb(capsys, "run", "tiny.toml")[0] == 3
    monkeypatch.delenv("SLURM_JOB_END_TIME")
    code, out, _ = hebb(capsys, "status", "runs/tiny")
    assert code == 0 and "tiny: 0 of 4 tasks done" in out and "it runs" not in out
    assert re.search(r"temperature +done +waiting\n +0.5 +0 +2\n +0.8 +0 +2\n", out)
    assert hebb(capsys, "run", "tiny.toml", "--resume")[0] == 0
    states = [("unfinished", 3), ("unfinished", 100), ("failed", 0), ("done", 40)]

    def change(index, record):
        record.status, record.sweeps_done = states[index]
        record.message = "Traceback\nValueError: odd"

    tasks = rewritten("runs/tiny", change)
    code, out, _ = hebb(capsys, "status", "runs/tiny", "--json")
    found = json.loads(out)
    states = {"done": 1, "measuring": 1, "thermalizing": 1, "failed": 1, "waiting": 0, "damaged": 0}
    assert found["counts"].items() >= states.items()
    assert found["tasks"] == 4 and not found["running"] and found["remaining_seconds"] is None
    assert [point["where"] for point in found["points"]] == [{"temperature": 0.5}, {"temperature": 0.8}]
    assert all(sum(point[name] for name in ("done", "measuring", "thermalizing", "failed")) == 2 for point in found["points"])
    assert found["unfinished"] == {tasks[0].stem: 3, tasks[1].stem: 100}
    assert found["failures"] == {tasks[2].stem: "ValueError: odd"}


def test_status_of_a_run_that_runs(folder, capsys):
    from hebb.storage.locks import lock
    from hebb.storage.status import status_of

    assert hebb(capsys, "run", "tiny.toml")[0] == 0
    tasks = rewritten("runs/tiny", lambda index, record: None)
    tasks[3].unlink()
    for index, path in enumerate(tasks[:3]):
        os.utime(path, (1000 + 10 * index, 1000 + 10 * index))
    with lock(folder / "runs/tiny"):
        found = status_of("runs/tiny")
        assert found.running and found.tasks_per_hour == pytest.approx(360) and found.remaining_seconds == pytest.approx(10)
        assert "it runs: 360 tasks an hour, about 10 s left" in hebb(capsys, "status", "runs/tiny")[1]
    found = status_of("runs/tiny")
    assert not found.running and found.remaining_seconds is None


def test_merge_shows_points_with_samples_only(folder, capsys):
    (folder / "tiny.toml").write_text(TINY.replace("[0.5, 0.8]", str([0.2 + 0.01 * i for i in range(60)])))
    assert hebb(capsys, "run", "tiny.toml")[0] == 0
    for path in sorted(rewritten("runs/tiny", lambda index, record: None))[:30]:
        path.unlink()
    code, out, _ = hebb(capsys, "merge", "runs/tiny")
    assert code == 0 and "nan" not in out and out.count("\n") < 50
    assert re.search(r"\.\.\. and \d+ more points; `hebb export runs/tiny --csv -` prints all", out)
    assert re.search(r"\d+ of 60 points have no finished sample yet\n90 of 120 tasks are in runs/tiny/results.h5", out)


def test_tasks_repeated_alone(folder, capsys):
    """One bit of one number is noticed, though the file has the right checksum; the job must be the one that was run."""
    result = run_hebb("run", "tiny.toml", "--check-serial", "3", cwd=folder)
    assert result.returncode == 0 and result.stdout.count("repeated: the same bits") == 3, result.stdout + result.stderr

    def change(index, record):
        if index == 2:
            record.series["energy"][7, 1] = np.nextafter(record.series["energy"][7, 1], 0)

    path = rewritten("runs/tiny", change)[2]
    code, out, _ = hebb(capsys, "verify", "runs/tiny", "--repeat", "9")
    assert code == 1 and out.count("the same bits") == 3 and f"{path.stem} repeated: DIFFERENT in series/energy\n" in out
    assert hebb(capsys, "verify", "runs/tiny")[0] == 0
    (folder / "runs/tiny/job.toml").write_text(TINY.replace("seed = 5", "seed = 6"))
    assert "is not the job of plan.json" in hebb(capsys, "verify", "runs/tiny", "--repeat", "1")[2]
    assert "--check-serial -1 is not at least 0" in refused(capsys, "run", "tiny.toml", "--check-serial", "-1")
    assert "--repeat -1 is not at least 0" in refused(capsys, "verify", "runs/tiny", "--repeat", "-1")


@pytest.mark.mpi
def test_tasks_of_two_ranks_repeated_on_one(folder):
    result = run_hebb("run", "tiny.toml", "--check-serial", "2", cwd=folder, ranks=2)
    assert result.returncode == 0 and result.stdout.count("repeated: the same bits") == 2, result.stdout + result.stderr
