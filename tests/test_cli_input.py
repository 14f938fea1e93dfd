"""Odd input on the command line: one sentence where it is wrong, one line where it is worth a word."""

import json
import shlex
import tomllib

import pytest
from conftest import ROOT, TINY, hebb, refused, run_hebb

from hebb import __main__, provenance
from hebb.models import base
from hebb.runs import executors, plan
from hebb.runs.cost import series_bytes
from hebb.runs.plan import Plan

ODD = ["nan", "inf", "-inf", "true", '"0.5"', '"²"', "{}", "[nan]", "[[nan]]", "[[0.5]]", '["a", 1]', "[{}]", "07:32:00",
       '"\\n"', "1" + 400 * "0", "1" + 5000 * "0", "[1, [nan]]",
       '"0:1:3"', '"1:2:2:log"', '["4:8:2", 5]', '["gamma", "temperature"]']  # fmt: skip
KEYS = {
    "job": ("name", "seed"),
    "model": ("kind", "n_spins", "p_body", "gamma", "patterns", "r", "n_examples", "rho", "protocol", "temperature",
              "together"),
    "sampling": ("disorder", "replicas", "start", "corruption", "sweeps", "measure_every", "dynamics", "tempering",
                 "exchange_every"),
    "run": ("walltime", "checkpoint_every", "log"),
}


@pytest.mark.parametrize("section, key", [(section, key) for section, keys in KEYS.items() for key in keys])
def test_any_value_of_any_key_costs_at_most_a_sentence(folder, capsys, section, key):
    """No type or size of a TOML value leaves by a traceback."""
    for value in ODD:
        job = tomllib.loads(TINY.replace("temperature = [0.5, 0.8]", "temperature = 0.5"))
        sections = {name: {k: json.dumps(v) for k, v in job.get(name, {}).items()} for name in KEYS}
        sections[section][key] = value
        if key in ("gamma", "patterns"):
            sections["model"].pop("n_patterns")
        text = "\n".join(f"[{name}]\n" + "\n".join(f"{k} = {v}" for k, v in of.items()) for name, of in sections.items())
        (folder / "tiny.toml").write_text(text)
        code, out, err = hebb(capsys, "check", "tiny.toml")
        assert code in (0, 2) and err.count("\n") <= 1 and len(err) < 500, (value[:20], err)
        assert (code == 2) == (out == "") and all(letter.isprintable() for letter in err.strip("\n"))


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("n_patterns = 2", "gamma = inf", "gamma = inf is not a number in ]0, inf["),
        ("n_patterns = 2", "gamma = 1" + 400 * "0", "characters) is not a number"),
        ("n_patterns = 2", "gamma = 1e308", "GiB|patterns"),
        ("n_spins = 16", "n_spins = 1" + 5000 * "0", "not valid TOML"),
        ("[0.5, 0.8]", "inf", "temperature = inf is not a number in ["),
        ("[0.5, 0.8]", '"0.5"', "temperature = '0.5' is not a number"),
        ("[0.5, 0.8]", "[0.5, true]", "temperature = True is not a number"),
        ("disorder = 2", "disorder = 1000001", "disorder = 1000001 is not a whole number from 1 to 1000000"),
        ("disorder = 2", "disorder = 600000", "spans 2 points, and with this many disorder samples a job holds at most 1 "),
        ("[0.5, 0.8]", f"{[1 + i / 1000 for i in range(1001)]}\nn_spins = {list(range(9, 509))}", "spans 500500 points"),
        ('name = "tiny"', 'name = "a\\nb"', "name = 'a\\nb' is not usable"),
        ('name = "tiny"', 'name = "\\u001b[2J"', "is not usable"),
        ('name = "tiny"', 'name = " "', "is not usable"),
        ("[sampling]", '[run]\nwalltime = "²:00:00"\n[sampling]', "walltime = '²:00:00' is not a time"),
        ("[sampling]", f'[run]\nwalltime = "{5000 * "1"}:00:00"\n[sampling]', "is not a time"),
    ],
)  # fmt: skip
def test_wrong_values_are_named(folder, capsys, old, new, message):
    text = TINY.replace(old, new, 1)
    if "n_spins = [" in new:
        text = text.replace("n_spins = 16\n", "")
    (folder / "tiny.toml").write_text(text)
    for command in ("check", "run"):
        sentence = refused(capsys, command, "tiny.toml")
        assert any(part in sentence for part in message.split("|")), sentence
    assert [path.name for path in folder.iterdir()] == ["tiny.toml"]


def test_times_may_be_toml_times(folder):
    text = TINY + "[run]\nwalltime = 01:30:00\n"
    assert Plan.from_text(text).walltime == 5400


def test_a_job_file_of_another_encoding(folder, capsys):
    (folder / "tiny.toml").write_bytes(TINY.replace("tiny", "größe").encode("latin-1"))
    assert "tiny.toml (it is not UTF-8 text)" in refused(capsys, "run", "tiny.toml")
    (folder / "there").mkdir()
    (folder / "there" / "job.toml").write_bytes(b"\xff")
    (folder / "tiny.toml").write_text(TINY)
    assert "another job.toml" in refused(capsys, "run", "tiny.toml", "--out", "there")


@pytest.mark.parametrize("text", ["{}", "[]", '{"digest": "x", "tasks": 3}'])
def test_a_damaged_plan(folder, capsys, text):
    assert hebb(capsys, "run", "tiny.toml")[0] == 0
    (folder / "runs/tiny/plan.json").write_text(text)
    for command in (("status", "runs/tiny"), ("merge", "runs/tiny"), ("verify", "runs/tiny"), ("run", "tiny.toml")):
        assert "plan.json is not a plan of hebb; run the job again with --resume" in refused(capsys, *command)
    code, out, err = hebb(capsys, "run", "tiny.toml", "--resume")
    assert code == 0 and "plan.json is not a plan of hebb; it is written again from tiny.toml" in err
    assert (folder / "runs/tiny/damaged/plan.json").read_text() == text
    assert hebb(capsys, "verify", "runs/tiny")[0] == 0
    (folder / "runs/tiny/plan.json").write_text(text)
    (folder / "runs/tiny/job.toml").unlink()  # nothing says that this plan.json was hebb's
    assert "or move it away" in refused(capsys, "run", "tiny.toml", "--resume")


def test_things_that_are_not_runs(folder, capsys, monkeypatch):
    for command in ("status", "merge"):
        assert "tiny.toml is not a run folder" in refused(capsys, command, "tiny.toml")
    assert "tiny.toml is not an HDF5 file; give a run folder" in refused(capsys, "compare", "tiny.toml")
    monkeypatch.setenv("SLURM_JOB_END_TIME", "1")  # long ago
    assert hebb(capsys, "run", "tiny.toml", "--out", "later")[0] == 3
    assert "later has no finished task yet" in refused(capsys, "compare", "later", "--csv", "t.csv")
    assert not (folder / "t.csv").exists() and not (folder / "later/compare.png").exists()


NOTED = TINY.replace("n_patterns = 2", "gamma = [0.001, 0.002, 0.5]").replace("[0.5, 0.8]", "0.5")


def test_a_rounded_load_is_said_in_one_line(folder, capsys):
    (folder / "tiny.toml").write_text(NOTED.replace("0.001, 0.002, 0.5", "0.128, 0.5"))
    assert hebb(capsys, "check", "tiny.toml")[2] == "", "2.4 % are as good as it gets"
    (folder / "tiny.toml").write_text(NOTED.replace("0.002, ", ""))
    note = "hebb: gamma = 0.001 on 16 spins rounds to n_patterns = 1, a load of 0.0625\n"
    code, _, err = hebb(capsys, "check", "tiny.toml")
    assert (code, err) == (0, note)
    code, _, err = hebb(capsys, "run", "tiny.toml")
    assert (code, err) == (0, note)
    assert note.removeprefix("hebb: ") in (folder / "runs/tiny/log.txt").read_text()
    (folder / "tiny.toml").write_text(NOTED.replace("0.002, ", "").replace("p_body = 2", "p_body = [2, 3]"))
    code, _, err = hebb(capsys, "check", "tiny.toml", "--out", "other")
    assert (code, err) == (0, note.strip() + "; models off by more than 5%: 2\n")
    (folder / "tiny.toml").write_text(NOTED)
    code, _, err = hebb(capsys, "check", "tiny.toml")
    assert code == 2 and "gamma = 0.001 and gamma = 0.002 on 16 spins are the same n_patterns = 1" in err


IMAGES = TINY.replace("n_spins = 16\n", "").replace("n_patterns = 2", 'n_patterns = 2\npatterns = "mnist"')


def test_warnings_are_one_line_and_in_the_log(folder, capsys):
    (folder / "tiny.toml").write_text(IMAGES)
    code, _, err = hebb(capsys, "check", "tiny.toml")
    assert code == 0 and err.startswith("hebb: no data folder given for 'mnist'") and err.count("\n") == 1
    done = run_hebb("run", "tiny.toml", cwd=folder)
    assert done.returncode == 0 and done.stderr == err
    assert err.removeprefix("hebb: ") in (folder / "runs/tiny/log.txt").read_text()
    (folder / "tiny.toml").write_text(IMAGES.replace("n_patterns = 2", "n_patterns = 100000"))
    code, out, both = hebb(capsys, "run", "tiny.toml")
    assert code == 2 and out == "" and both.startswith(err) and both.count("\n") == 2, "a warning may explain an error"


@pytest.mark.mpi
def test_warnings_come_from_one_rank(folder):
    (folder / "tiny.toml").write_text(IMAGES)
    done = run_hebb("run", "tiny.toml", cwd=folder, ranks=3)
    assert done.returncode == 0 and done.stderr.count("no data folder given") == 1 and done.stderr.count("\n") == 1
    assert (folder / "runs/tiny/log.txt").read_text().count("no data folder given") == 1


def test_hints_can_be_pasted(folder, capsys, monkeypatch):
    (folder / "my job's.toml").write_text(TINY.replace('"tiny"', '"a run; rm x"'))
    monkeypatch.setenv("SLURM_JOB_END_TIME", "1")  # long ago
    code, _, err = hebb(capsys, "run", "my job's.toml")
    assert code == 3
    words = shlex.split(err.rpartition("continue with: ")[2])
    assert words == ["hebb", "run", "my job's.toml", "--out", "runs/a run; rm x", "--resume"]


def test_memory_of_series_and_results(folder, capsys, monkeypatch):
    """8 bytes for each bin of four observables per replica and two per pair; all tasks for the results, which the file's bytes
    double."""
    tiny = Plan.from_text(TINY)
    model = tiny.points[0][0].memory_bytes(2)
    assert tiny.bytes_of_results == 2 * 4 * 400 * 8 * (4 * 2 + 2) and tiny.bytes_per_rank == model + 400 * 8 * 10
    kept = Plan.from_text(TINY.replace("replicas = 2", "replicas = 5\nkeep_spins = true\nmeasure_every = 4"))
    assert kept.bytes_of_results == 2 * 4 * (100 * 8 * (4 * 5 + 2 * 10) + 11 * 16)
    long = Plan.from_text(TINY.replace("sweeps = 400", "sweeps = 400000"))
    assert long.bytes_of_results <= 2 * 4 * 4096 * 80, "bins are bounded"
    assert "to merge the results" in hebb(capsys, "check", "tiny.toml")[1]
    monkeypatch.setattr(plan, "available_memory", lambda: tiny.bytes_of_results - 1)
    assert "the results of 4 tasks need 0.000238 GiB of memory" in refused(capsys, "check", "tiny.toml")
    monkeypatch.setattr(plan, "available_memory", lambda: 2 * tiny.bytes_per_rank - 1)
    (folder / "tiny.toml").write_text(TINY.replace("disorder = 2", "disorder = 1").replace("[0.5, 0.8]", "0.5"))
    assert hebb(capsys, "check", "tiny.toml")[0] == 0
    monkeypatch.setenv("PMI_SIZE", "8")
    monkeypatch.setenv("MPI_LOCALNRANKS", "2")
    assert "the tasks of 2 rank(s) need" in refused(capsys, "check", "tiny.toml")
    assert not (folder / "runs").exists()


def test_the_series_are_as_large_as_they_are_counted():
    from hebb.runs.worker import run_task

    task = Plan.from_text(TINY.replace("replicas = 2", "replicas = 3\nkeep_spins = true")).tasks[0]
    record = run_task(task)
    held = sum(array.nbytes for arrays in (record.series, record.spins) for array in arrays.values())
    assert held == series_bytes(task.model, task.sampling)


def test_ranks_of_this_machine(monkeypatch):
    names = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
    local = ("MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE", "SLURM_STEP_TASKS_PER_NODE")
    for name in names + local:
        monkeypatch.delenv(name, raising=False)
    assert executors.ranks_of_machine() == 1
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "64")
    assert executors.ranks_of_machine() == 64
    monkeypatch.setenv("SLURM_STEP_TASKS_PER_NODE", "32(x2)")
    assert executors.ranks_of_machine() == 32


@pytest.mark.parametrize("text", ["0:inf:10", "nan", "inf", "0:nan:4", "0:1:1" + 5000 * "0", "0:1:²", "-inf:0:3"])
def test_ranges_are_finite(capsys, text):
    sentence = refused(capsys, "theory", "dense", f"--gamma={text[:40]}", "--temperature", "0.3")
    assert "low:high:number" in sentence or "values" in sentence


def test_grids_are_bounded(capsys):
    assert "more than 1000000 values" in refused(capsys, "theory", "dense", "--gamma", "0:1:1000001", "--temperature", "0.3")
    wide = ("theory", "dense", "--gamma", "0:1:2000", "--temperature", "0:1:2000")
    assert "span 4000000 points; at most 1000000" in refused(capsys, *wide)
    wide = ("theory", "multitask", "--dilution", "0:0.9:400", "--temperature", "0:1:400")
    assert "span 160000 points; at most 100000" in refused(capsys, *wide)
    assert "at most 10000 are solved at once for --n-patterns 3" in refused(capsys, *wide, "--rho", "0.1")
    assert "at most 400 are solved at once for --n-patterns 30" in refused(capsys, *wide, "--n-patterns", "30")


def test_options_of_the_other_model_are_refused(capsys):
    for arguments in (("dense", "--gamma", "0.1", "--dilution", "0.1"), ("multitask", "--dilution", "0.1", "--ansatz", "RS")):
        with pytest.raises(SystemExit) as caught:
            hebb(capsys, "theory", *arguments, "--temperature", "0.3")
        assert caught.value.code == 2 and "unrecognized arguments: --" in capsys.readouterr().err


def test_boundaries_beside_a_point(capsys):
    from hebb.theory import Dense

    theory = Dense(p_body=4)
    _, out, _ = hebb(capsys, "theory", "dense", "--gamma", "0.1", "--temperature", "0.3")
    assert f"spinodal: gamma = {theory.spinodal(0.3).gamma:.10g} at temperature = 0.3" in out
    assert f"transition: gamma = {theory.transition(0.3).gamma:.10g} at temperature = 0.3" in out
    code, out, _ = hebb(capsys, "theory", "dense", "--p-body", "2", "--gamma", "0.1", "--temperature", "3")
    assert code == 0 and "spinodal: temperature = 3: no retrieval at any gamma" in out
    assert "\ntransition: temperature = 3: no retrieval" in out


def test_the_citation_is_that_of_the_file(capsys):
    """An installed copy has no CITATION.cff; what it prints must not drift from it."""
    out = hebb(capsys, "info")[1]
    cite = out[out.index("cite:") :]
    lines = (ROOT / "CITATION.cff").read_text().splitlines()
    values = {key: value.strip(' "') for key, _, value in (line.partition(":") for line in lines)}
    assert f"{values['title']}, version {values['version']}" in cite and ".cff" not in cite
    titles = [line.partition('"')[2].rstrip('"') for line in lines if line.startswith("    title:")]
    assert all(title in cite for title in titles) and len(titles) == len(__main__._PAPERS) and "arXiv:2212.00606" in cite


def test_the_slurm_script_needs_no_name(folder):
    """Neither [job] name nor an existing folder: --resume begins where there is nothing."""
    assert "hebb run \"$job\" --resume" in (ROOT / "mpi_runs" / "submit.slurm").read_text()
    (folder / "nameless.toml").write_text(TINY.replace('name = "tiny"\n', ""))
    for _ in range(2):
        done = run_hebb("run", "nameless.toml", "--resume", cwd=folder)
        assert done.stdout == "hebb: 4 tasks done; results in runs/nameless/results.h5\n"


def test_one_sentence_about_uncompiled_kernels_has_one_home():
    assert plan.kernel_module is base.kernel_module and not hasattr(provenance, "require_kernels")
