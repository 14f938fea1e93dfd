"""Runs that are killed, stopped, damaged and starved of space at random moments, for every dynamics, by the command line.

    python tests/campaign.py [--long] [--seed N] [--parts kills stops flips disks load]

Whatever happens, a run ends bit for bit like one that nobody disturbed, or what is wrong is said. Five parts:

kills  SIGKILL at random moments, several in each run, which is then continued to its end.
stops  every signal that asks for a stop, and every dynamics: exit code 3, nothing computed is lost, the same end.
flips  one bit of one file of a run folder, done or half done: noticed by verify, merge, load or --resume, or without effect.
disks  a file system that is full at a random moment, and has room again when the run is continued.
load   stops while more processes compute than there are cores.

Files of a run folder are found by walking through it; nothing here knows how tasks are stored. Exit code 1 where anything was
silent or different. The long form takes about half an hour on one core; tests/test_campaign.py runs a short one.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

from conftest import clean_environment, datasets_of
from every_dynamics import JOBS, job, runs_here

from hebb.__main__ import main as hebb
from hebb.errors import HebbError
from hebb.runs.plan import Plan
from hebb.runs.worker import compute
from hebb.storage.merging import load

SIGNALS = ("TERM", "INT", "HUP", "USR1", "USR2", "XCPU")
PARTS = ("kills", "stops", "flips", "disks", "load")
#: How much of each part: kills, and in a run; dynamics of a signal (None: all); flips; full disks; stops under load.
SHORT = {"kills": 3, "in_a_run": 3, "dynamics": 1, "signals": 1, "flips": 12, "disks": 1, "load": 0, "seconds": 0.6}
LONG = {"kills": 220, "in_a_run": 5, "dynamics": None, "signals": None, "flips": 600, "disks": 24, "load": 12, "seconds": 1.0}
_UNTOUCHED = (".lock", "log.txt")  # who holds the folder, and what was said: neither is a result
_PATIENCE = 120


class Failed(Exception):
    """What must not happen has happened."""


class Campaign:
    """One folder, one stream of random numbers, and the counts of what was done and found."""

    def __init__(self, place: Path, seed: int, size: dict):
        self.place, self.random, self.size = place, random.Random(seed), size
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []
        self.names = [name for name in JOBS if runs_here(name)]
        self._undisturbed: dict[str, dict] = {}
        self.stopped_after: list[tuple[float, str]] = []
        self._every: dict[str, int] = {}  # sweeps between measurements

    # -- jobs and runs

    def job_file(self, name: str, often: bool) -> Path:
        """A job of two tasks; often: a checkpoint at every measurement, otherwise none but at a stop."""
        file = self.place / f"{name}-{'often' if often else 'calm'}.toml"
        if not file.exists():
            every = self._every.setdefault(name, max(1, round(self.size["seconds"] / 2 / 30 / seconds_of_a_sweep(name))))
            file.write_text(job(name, 30 * every, measure_every=every, disorder=2,
                                checkpoint_every="00:00:00" if often else "01:00:00"))
        return file

    def undisturbed(self, name: str) -> dict:
        """The datasets of the results of a run that nobody disturbs."""
        if name not in self._undisturbed:
            out = self.place / f"{name}-undisturbed"
            result = self.run(self.job_file(name, often=False), out)
            if result.returncode:
                raise Failed(f"{name} does not run: {result.stderr}")
            self._undisturbed[name] = datasets_of(out / "results.h5")
        return self._undisturbed[name]

    def start(self, file: Path, out: Path, **options) -> subprocess.Popen:
        """A run that goes on in another process."""
        command = [sys.executable, "-m", "hebb", "run", str(file), "--out", str(out), *["--resume"] * out.exists()]
        return subprocess.Popen(command, env=clean_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                cwd=self.place, **options)

    def run(self, file: Path, out: Path, **options) -> subprocess.CompletedProcess:
        """A run, to its end."""
        process = self.start(file, out, **options)
        try:
            _, said = process.communicate(timeout=_PATIENCE)
        finally:
            process.kill()
        return subprocess.CompletedProcess(process.args, process.returncode, "", said)

    def require(self, good: bool, what: str) -> bool:
        if not good:
            self.failures.append(what)
            print(f"FAILED: {what}", flush=True)
        return good

    def require_same_end(self, file: Path, out: Path, name: str, what: str) -> None:
        """Continue a run to its end, which must be the undisturbed one, and leave no room taken."""
        result = self.run(file, out)
        if self.require(result.returncode == 0, f"{what}: exit code {result.returncode}, {result.stderr}"):
            self.require(same(datasets_of(out / "results.h5"), self.undisturbed(name)), f"{what}: the results differ")
            left = [path.name for path in out.rglob("*") if path.suffix == ".tmp" or path.name == ".lock"]
            self.require(not left, f"{what}: left behind {left}")
        self.counts["runs compared"] += 1
        shutil.rmtree(out)

    def at_most(self, what: str, seconds: float) -> None:
        self.counts[f"{what}, most"] = max(self.counts[f"{what}, most"], round(1000 * seconds))

    def computing(self, process: subprocess.Popen, out: Path, lines: int) -> bool:
        """Wait until the run has begun with its tasks, or has ended; lines: of its log before."""
        limit = time.monotonic() + _PATIENCE
        while process.poll() is None and time.monotonic() < limit:
            if any("start:" in line for line in log_of(out)[lines:]):
                return True
            time.sleep(0.005)
        return False

    # -- the five parts

    def kills(self) -> None:
        while self.counts["kills"] < self.size["kills"]:
            name = self.names[self.counts["killed runs"] % len(self.names)]
            self.counts["killed runs"] += 1
            file, out, length = self.job_file(name, often=True), self.place / "killed", 0.0
            self.undisturbed(name)
            for _ in range(self.size["in_a_run"]):
                begun, process, lines = time.monotonic(), self.start(file, out), len(log_of(out))
                if self.random.random() < 0.8:  # the others at any moment of the beginning, too
                    self.computing(process, out, lines)
                    time.sleep(self.random.uniform(0, self.size["seconds"]))
                else:
                    time.sleep(self.random.uniform(0, max(0.5, length)))
                length = time.monotonic() - begun
                ended = process.poll() is not None
                process.kill()
                _, said = process.communicate()
                self.counts["kills" if not ended else "ended before the kill"] += 1
                if ended:
                    self.require(process.returncode == 0, f"{name} after kills: exit code {process.returncode}, {said}")
                    break
            self.require_same_end(file, out, name, f"{name}, killed")

    def stops(self, signals=SIGNALS, names=None, loaded: str = "") -> None:
        for number in signals:
            for name in names or self.names:
                self._stop(number, name, loaded)

    def _stop(self, number: str, name: str, loaded: str) -> None:
        file, out, what = self.job_file(name, often=False), self.place / "stopped", f"{name}, SIG{number}{loaded}"
        self.undisturbed(name)
        process = self.start(file, out)
        if not self.require(self.computing(process, out, 0), f"{what}: never began"):
            process.kill()
            return
        begun = time.monotonic()
        time.sleep(self.random.uniform(0, 0.4 * self.size["seconds"]))
        process.send_signal(getattr(signal, f"SIG{number}"))
        sent = time.monotonic()
        _, said = process.communicate(timeout=_PATIENCE)
        self.at_most("ms until stopped", time.monotonic() - sent)
        self.stopped_after.append((round(time.monotonic() - sent, 2), what))
        if process.returncode == 0:
            self.counts["ended before the stop"] += 1
        else:
            self.counts["stops"] += 1
            self.require(process.returncode == 3 and "Traceback" not in said, f"{what}: exit code {process.returncode}, {said}")
            state = json.loads(quietly("status", out, "--json")[1])
            kept = state["unfinished"] or state["counts"]["done"]
            lost = sent - begun - state["seconds"]
            self.at_most("ms not kept", lost)
            self.require(kept and lost < max(1.0, (sent - begun) / 2), f"{what}: of {sent - begun:.2f} s {lost:.2f} are lost")
            self.counts["tasks kept unfinished"] += len(state["unfinished"])
        self.require_same_end(file, out, name, what)

    def load(self) -> None:
        """Under load a stop is heard as well."""
        busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range((os.cpu_count() or 1) + 1)]
        try:
            for _ in range(self.size["load"]):
                self._stop(self.random.choice(SIGNALS), self.random.choice(self.names), " under load")
        finally:
            for process in busy:
                process.kill()
                process.wait()

    def flips(self) -> None:
        """Of a run that is done and of one that was stopped; both small, of a chain, a ladder or a second task."""
        per_folder = -(-self.size["flips"] // 4)
        for name in ("metropolis", "ladder"):
            file = self.place / f"{name}-flips.toml"
            file.write_text(job(name, 12, disorder=2))
            done = self.place / f"{name}-flips-done"
            if not self.require(self.run(file, done).returncode == 0, f"{name} does not run"):
                continue
            for half in (False, True):
                pattern = self._half_done(file, done, name) if half else done
                whole = datasets_of(done / "results.h5")
                for _ in range(per_folder):
                    self._flip(file, pattern, whole, datasets_of(pattern / "results.h5"))

    def _half_done(self, file: Path, done: Path, name: str) -> Path:
        """A folder whose second task is unfinished, with its checkpoint."""
        out, code = self.place / f"{name}-flips-half", _HALF.format(file=str(file), out=str(self.place / f"{name}-flips-half"))
        result = subprocess.run([sys.executable, "-c", code], env=clean_environment(), capture_output=True, text=True,
                                cwd=self.place, timeout=_PATIENCE)
        state = json.loads(quietly("status", out, "--json")[1])
        self.require(result.returncode == 0 and len(state["unfinished"]) == 1, f"{name}: no half of a run, {result.stderr}")
        quietly("merge", out)  # which a run that was stopped leaves to be done
        return out

    def _flip(self, file: Path, pattern: Path, whole: dict, merged: dict) -> None:
        out = self.place / "flipped"
        shutil.copytree(pattern, out)
        files = sorted(path for path in out.rglob("*") if path.is_file() and path.name not in _UNTOUCHED)
        victim = self.random.choice(files)
        content = bytearray(victim.read_bytes())
        where, bit = self.random.randrange(len(content)), self.random.randrange(8)
        content[where] ^= 1 << bit
        victim.write_bytes(content)
        what = f"bit {bit} of byte {where} of {victim.relative_to(out)} in {pattern.name}"
        self.counts["flips"] += 1
        said: list[str] = []
        silent = False
        with contextlib.suppress(HebbError):
            held = load(out / "results.h5")
            again = self.place / "again.h5"
            held.save(again)
            silent |= not same(datasets_of(again), merged)
        for command in (("verify", out), ("status", out), ("merge", out)):
            code, printed, complaint = quietly(*command)
            self.require("Traceback" not in complaint, f"{what}: {command[0]} ends in a traceback")
            if code:
                said.append(f"{command[0]} {code}")
            elif command[0] == "merge" and not same(datasets_of(out / "results.h5"), merged):
                silent |= victim.name not in complaint + printed and not said
            elif victim.name in complaint or "damaged" in complaint:
                said.append(command[0])
        code, _, complaint = quietly("run", file, "--out", out, "--resume")
        self.require("Traceback" not in complaint, f"{what}: --resume ends in a traceback")
        if code:
            said.append(f"--resume {code}")
            self.require(code in (1, 2) and complaint.startswith("hebb: "), f"{what}: --resume says {complaint!r}")
        elif not same(datasets_of(out / "results.h5"), whole):
            silent = True
        elif complaint:
            said.append("--resume")
        self.counts["flips noticed" if said else "flips without effect"] += 1
        self.counts["flips silent"] += silent
        self.require(not silent, f"{what}: silent")
        shutil.rmtree(out)

    def disks(self) -> None:
        """A file system of its own where that is allowed, a limit on file sizes where not."""
        disk = self.place / "disk"
        disk.mkdir(exist_ok=True)
        for turn in range(self.size["disks"]):
            name = self.names[turn % len(self.names)]
            file = self.job_file(name, often=True)
            self.undisturbed(name)
            whole = sum(path.stat().st_size for path in (self.place / f"{name}-undisturbed").rglob("*") if path.is_file())
            room = int(self.random.uniform(0.03, 1.0) * whole)
            if mounted(disk, room):
                out, limited = disk / "run", None
            else:
                out, limited = self.place / "limited", limit_of(int(room / 3))
            try:
                result = self.run(file, out, preexec_fn=limited)
                if result.returncode:
                    self.counts["full disks" if limited is None else "limits on file sizes"] += 1
                    lines = [line for line in result.stderr.splitlines() if "free space" in line]  # and cautions of the job
                    said = len(lines) == 1 and lines[0].startswith("hebb: ") and "Traceback" not in result.stderr
                    self.require(result.returncode == 2 and said, f"{name}, full disk: {result.returncode} {result.stderr}")
                else:
                    self.counts["disks large enough"] += 1
                if limited is None:
                    mounted(disk, 10 * whole + 2**20)
                self.require_same_end(file, out, name, f"{name}, full disk")
            finally:
                if os.path.ismount(disk):
                    subprocess.run(["umount", "-l", disk], check=False)


#: A run that stops in the middle of its second task.
_HALF = """
from hebb.runs.environment import StopRequest
from hebb.runs.executors import SerialExecutor
from hebb.runs.job import run_job

asked = []

def stop(self):
    asked.append(0)
    self.reason = "half is done" if len(asked) > 22 else ""
    return bool(self.reason)

StopRequest.__call__ = stop
run_job({file!r}, SerialExecutor(), out={out!r})
"""


def seconds_of_a_sweep(name: str) -> float:
    """How long a sweep of the job of these dynamics takes here, with the measurement of every 30th of them."""
    sweeps, taken = 30, 0.0
    while taken < 0.1:
        sweeps *= 4
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of training that is too short or too long
            task = Plan.from_text(job(name, sweeps, measure_every=sweeps // 30)).tasks[0]
        begun = time.process_time()
        compute(task)
        taken = time.process_time() - begun
    return taken / sweeps


def same(one: dict, other: dict) -> bool:
    """Whether two files hold the same datasets bit for bit; but for where and when they were computed."""
    return one.keys() == other.keys() and all(
        array.dtype == other[name].dtype and array.shape == other[name].shape and
        (array.tobytes() == other[name].tobytes() if array.dtype != object else (array == other[name]).all())
        for name, array in one.items())


def log_of(out: Path) -> list[str]:
    with contextlib.suppress(OSError):
        return (out / "log.txt").read_text().splitlines()
    return []


def quietly(*arguments) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
        try:
            code = hebb([str(argument) for argument in arguments])
        except SystemExit as leaving:
            code = leaving.code
        except Exception as error:  # a campaign tells of it and goes on
            code, _ = 70, err.write(f"Traceback: {error!r}")
    return int(code or 0), out.getvalue(), err.getvalue()


def mounted(disk: Path, size: int) -> bool:
    """A tmpfs of so many bytes at disk, or its size changed; False where that is not allowed."""
    option = f"{'remount,' if os.path.ismount(disk) else ''}size={max(4096, size)}"
    return shutil.which("mount") is not None and not subprocess.run(
        ["mount", "-t", "tmpfs", "-o", option, "tmpfs", disk], capture_output=True).returncode


def limit_of(size: int):
    """What sets ulimit -f in a process that begins."""

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    return limited


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    chosen = parser.parse_args(arguments)
    size = LONG if chosen.long else SHORT
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup would switch it off in the runs, too
    with tempfile.TemporaryDirectory(prefix="campaign-") as folder:
        campaign = Campaign(Path(folder), chosen.seed, size)
        for part in chosen.parts:
            begun = time.monotonic()
            if part == "stops" and not chosen.long:
                campaign.stops(SIGNALS[:size["signals"]], campaign.names[:size["dynamics"]])
            else:
                getattr(campaign, part)()
            print(f"{part}: {time.monotonic() - begun:.0f} s, {dict(campaign.counts)}", flush=True)
    if campaign.stopped_after:
        print(f"latest stops: {sorted(campaign.stopped_after)[-5:]}")
    print(f"{len(campaign.names)} dynamics; {len(campaign.failures)} failures")
    return int(bool(campaign.failures))


if __name__ == "__main__":
    sys.exit(main())
