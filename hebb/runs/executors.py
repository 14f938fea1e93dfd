"""Who computes what: one process, or all ranks of an MPI job. The only module that imports mpi4py.

Every rank computes, rank 0 too. Tasks are handed out, the longest first and short ones in batches (`schedule`), by a small
thread of rank 0 that sleeps between looks at its mailbox; the main thread of rank 0 takes its tasks from the same queue
without a message. The kernels release the interpreter lock, so the thread does not wait for them. An idle rank sleeps as well:
MPI libraries spin in blocking calls and would take the processor from a rank that still computes. Another thread of every
rank gives signs of life (`watch`).
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import re
import shutil
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Protocol

from ..errors import EnvironmentMismatch, HebbError, HebbWarning
from ..installation import install_command
from .schedule import Deal
from .watch import NO_TASK, Watch, hung_after

__all__ = [
    "Executor",
    "MPIExecutor",
    "SerialExecutor",
    "check_launcher",
    "launch_command",
    "launched_ranks",
    "make_executor",
    "mpi_library",
    "ranks_of_machine",
]

#: Environment variables in which launchers tell a process how many ranks they started; the first that speaks decides. The MPI
#: launchers come before Slurm, which they may use to start their own helpers. SLURM_NTASKS is no launcher's word: it is what a
#: batch job was allotted, and may start with fewer.
_LAUNCHERS = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")

#: Seconds after which Python code between two kernel calls gives way to the task server.
_SWITCH = 2e-4

#: Seconds between the last words of a rank and its abort: launchers drop output that is still on its way.
_FAREWELL = 0.5

#: Seconds of the shortest sleep of the task server, which takes time from the tasks of rank 0 whenever it looks, and of a rank
#: that has nothing else to do.
_CALM, _QUICK = 1e-3, 1e-4

_WORK = 1  # a batch and its time from rank 0; outcomes, with a request or without, to rank 0


class Executor(Protocol):
    """rank, size; leaving_together: an error that is being raised ends all ranks, so nobody has to be aborted."""

    rank: int
    size: int
    leaving_together: bool

    def share(self, make: Callable[[], Any]) -> Any:
        """make() on rank 0 and its value on every rank. A HebbError of rank 0 is raised there; the others leave quietly
        with exit code 2."""

    def run(
        self,
        work: Callable[[int], Any],
        indices: Sequence[int],
        report: Callable[[Any], None],
        stop: Callable[[], bool],
    ) -> None:
        """Call work(index) once for every index, in order of hand-out, until stop(); give every value it returns (small
        and picklable) to report() on rank 0. Returns on all ranks together."""

    def abort(self, code: int) -> None:
        """End all ranks at once, after an error that only this one knows of."""


class SerialExecutor:
    """One process."""

    rank, size, leaving_together = 0, 1, True

    def share(self, make: Callable[[], Any]) -> Any:
        return make()

    def run(self, work, indices, report, stop) -> None:
        for index in indices:
            if stop():
                return
            report(work(index))

    def abort(self, code: int) -> None:
        """Nobody else is there; the caller's own exit is enough."""


class MPIExecutor:
    """All ranks of MPI.COMM_WORLD. limit: seconds of silence after which a rank counts as hung, see `watch.hung_after`."""

    leaving_together = False

    def __init__(self, limit: float | None = None):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # a foreign launcher: check_launcher refuses it below
                from mpi4py import MPI
        except (ImportError, RuntimeError) as error:
            raise _without_mpi(error) from None
        self._mpi, self._comm = MPI, MPI.COMM_WORLD
        self.rank, self.size = self._comm.Get_rank(), self._comm.Get_size()
        check_launcher(self.size)
        limit = hung_after(limit)
        self._threads = MPI.Query_thread() >= MPI.THREAD_SERIALIZED
        self._guard = nullcontext() if MPI.Query_thread() >= MPI.THREAD_MULTIPLE else threading.Lock()
        self._handing = threading.Lock()  # of outcomes, between the thread that computes and the watch
        self._sent: list[Any] = []
        self._done: list[Any] = []  # outcomes that rank 0 does not know yet
        self._watch = None
        if self._threads and self.size > 1 and limit is not None:
            self._wait_for_all()
            hosts = self._comm.allgather(MPI.Get_processor_name())
            self._watch = Watch(self._comm.Dup(), hosts, self._guard, limit, self._hand_in, self._give_up)
            atexit.register(self._watch.close)

    def share(self, make: Callable[[], Any]) -> Any:
        error, message = None, None
        if self.rank == 0:
            try:
                message = (True, make())
            except HebbError as caught:
                error, message = caught, (False, None)
        self._wait_for_all()  # asleep: a broadcast would spin until rank 0 has made it
        with self._guard:
            good, value = self._comm.bcast(message)
        self.leaving_together = not good
        if error is not None:
            raise error
        if not good:
            raise SystemExit(2)
        return value

    def run(self, work, indices, report, stop) -> None:
        if self._threads:
            interval = sys.getswitchinterval()
            sys.setswitchinterval(_SWITCH)
            try:
                if self.rank == 0:
                    self._lead(work, indices, report, stop)
                else:
                    self._follow(work, stop)
            finally:
                sys.setswitchinterval(interval)
        else:  # no thread may talk to MPI: deal the tasks out beforehand, longest first
            mine = [work(index) for index in indices[self.rank :: self.size] if not stop()]
            self._wait_for_all()
            for outcomes in self._comm.gather(mine) or ():
                for outcome in outcomes:
                    report(outcome)
        self._wait_for_all()

    def _lead(self, work, indices, report, stop) -> None:
        queue = _Queue(Deal(indices, self.size), report, stop)
        failure: list[BaseException] = []
        server = threading.Thread(target=self._serve, args=(queue, failure), name="task server", daemon=True)
        server.start()
        self._drain(work, queue)
        server.join()
        if failure:
            raise failure[0]
        self._drain(work, queue)  # what a rank that had to stop handed back when the others had left

    def _drain(self, work, queue: _Queue) -> None:
        while (index := queue.next()) is not None:
            self._computes(index)
            begun = time.monotonic()
            outcome = work(index)
            queue.finished([outcome], 1, time.monotonic() - begun)
        self._computes(NO_TASK)

    def _follow(self, work, stop) -> None:
        """Compute batch after batch. Between two tasks: whether to stop, and whether the batch takes too long."""
        done, seconds, batch, leaving = 0, 0.0, deque(), stop()
        while True:
            batch, span = self._ask(done, seconds, list(batch), leaving)
            if not batch:
                return
            begun, done, batch = time.monotonic(), 0, deque(batch)
            while batch and not (leaving := stop()) and (done == 0 or time.monotonic() - begun < span):
                self._computes(batch[0])
                self._done.append(work(batch.popleft()))
                done += 1
            self._computes(NO_TASK)
            seconds = time.monotonic() - begun

    def _serve(self, queue: _Queue, failure: list[BaseException]) -> None:
        """Answer the other ranks until each has been told that nothing is left."""
        try:
            waiting, pause = self.size - 1, _Pause()
            while waiting:
                status = self._mpi.Status()
                with self._guard:
                    mail = self._comm.recv(tag=_WORK, status=status) if self._mail() else None
                if mail is None:
                    pause()
                    continue
                (outcomes, request), rank = mail, status.Get_source()
                done, seconds, undone, leaving = request or (0, 0.0, (), False)
                queue.finished(outcomes, done, seconds, undone)
                if request is not None:
                    batch = [] if leaving else queue.batch()
                    with self._guard:
                        self._comm.send((batch, queue.span), rank, tag=_WORK)
                    waiting -= not batch
                    if self._watch is not None:
                        self._watch.computes(rank, batch[0] if batch else NO_TASK)
                pause = _Pause()
        except BaseException as error:  # carried to the main thread, which ends the job
            failure.append(error)
            queue.close()

    def _ask(self, done: int, seconds: float, undone: list[int], leaving: bool) -> tuple[list[int], float]:
        """Hand in the outcomes of a batch and what is left of it, get the next one and its time: an empty one when nothing is
        left, or when this rank was told to stop."""
        self._hand_in((done, seconds, undone, leaving))
        pause = _Pause(_QUICK)
        while True:
            with self._guard:
                if self._mail():
                    return self._comm.recv(source=0, tag=_WORK)
            pause()

    def _hand_in(self, request=None) -> None:
        """Send outcomes to rank 0, with a request for more or, from the thread of the watch, in the middle of a long batch."""
        with self._handing, self._guard:
            outcomes = self._done[:]
            del self._done[: len(outcomes)]
            if outcomes or request is not None:
                self._sent = [message for message in self._sent if not message.Test()]
                self._sent.append(self._comm.isend((outcomes, request), 0, tag=_WORK))

    def _mail(self) -> bool:
        """Whether a message has come. A sleeper's first look fetches it from the network, the second one sees it."""
        return self._comm.iprobe(tag=_WORK) or self._comm.iprobe(tag=_WORK)

    def _computes(self, index: int) -> None:
        if self._watch is not None:
            self._watch.task = index

    def _wait_for_all(self) -> None:
        with self._guard:
            request, pause = self._comm.Ibarrier(), _Pause(_QUICK)
        while True:
            with self._guard:
                if request.Test():
                    return
            pause()

    def _give_up(self, sentence: str) -> None:
        """A rank has hung: the watch ends the job, whatever the other threads wait for."""
        print(f"hebb: {sentence}", file=sys.stderr, flush=True)
        self.abort(2)

    def abort(self, code: int) -> None:
        sys.stderr.flush()
        time.sleep(_FAREWELL)
        self._comm.Abort(code)


class _Pause:
    """Sleeps 2 % of the time already waited, between shortest and 10 ms: waiting costs little processor, answering late
    costs less than 2 % of a task or batch."""

    def __init__(self, shortest: float = _CALM):
        self.since, self.shortest = time.monotonic(), shortest

    def __call__(self) -> None:
        time.sleep(min(0.01, max(self.shortest, 0.02 * (time.monotonic() - self.since))))


class _Queue:
    """The tasks still to be done, and the reports of those that are, for two threads."""

    def __init__(self, deal: Deal, report: Callable[[Any], None], stop: Callable[[], bool]):
        self._deal, self._report, self._stop = deal, report, stop
        self._lock = threading.Lock()
        self.span = deal.span

    def next(self) -> int | None:
        with self._lock:
            return None if self._stop() else self._deal.take_one()

    def batch(self) -> list[int]:
        with self._lock:
            return [] if self._stop() else self._deal.take()

    def finished(self, outcomes: Sequence[Any], tasks: int, seconds: float, undone: Sequence[int] = ()) -> None:
        with self._lock:
            self._deal.measured(tasks, seconds)
            self._deal.hand_back(undone)
            for outcome in outcomes:
                self._report(outcome)

    def close(self) -> None:
        with self._lock:
            self._deal.clear()


def launched_ranks() -> int | None:
    """The number of ranks a launcher says it started, None without a launcher."""
    name = _speaker()
    return None if name is None else int(os.environ[name])


def _speaker() -> str | None:
    """The variable that tells how many ranks were started, None without a launcher."""
    return next((name for name in _LAUNCHERS if os.environ.get(name, "").isdigit()), None)


def ranks_of_machine() -> int:
    """The number of ranks on this machine as the launcher says; all of them where it tells only that."""
    for name in ("MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE", "SLURM_STEP_TASKS_PER_NODE"):
        if number := re.match("[1-9][0-9]*", os.environ.get(name, "")):  # Slurm writes "32(x4)"
            return min(int(number[0]), launched_ranks() or 1)
    return launched_ranks() or 1


def check_launcher(size: int) -> None:
    """EnvironmentMismatch if a launcher started another number of ranks than this MPI library sees.

    Under a foreign launcher each process believes to be alone and would run the whole job.
    """
    name = _speaker()
    if name is not None and int(os.environ[name]) != size:
        remedy = "srun --mpi=pmi2 (MPICH) or --mpi=pmix (Open MPI), or with " if name.startswith("SLURM") else ""
        raise EnvironmentMismatch(
            f"the launcher started {os.environ[name]} ranks ({name}) but MPI sees {size}; start the job with {remedy}"
            f"the mpiexec that belongs to mpi4py's MPI library, or unset that variable to run on {size}"
        )


def launch_command(ranks: int) -> tuple[list[str], dict[str, str]]:
    """The beginning of a command line that runs this Python on so many ranks, and the environment for it.

    The launcher beside the interpreter comes first, then PATH; EnvironmentMismatch if there is none.
    """
    beside = [str(Path(sys.executable).parent / name) for name in ("mpiexec", "mpirun")]
    launcher = next(filter(None, map(shutil.which, [*beside, "mpiexec", "mpirun"])), None)
    if launcher is None:
        raise EnvironmentMismatch(
            f"--ranks {ranks} needs mpiexec, which is neither beside {sys.executable} nor on PATH; "
            f"`{install_command('mpi4py', 'mpich')}` brings one, with the MPI library that belongs to it"
        )
    if importlib.util.find_spec("mpi4py") is None:
        raise _without_mpi("mpi4py is not installed")
    # Open MPI needs to be told that more ranks than cores are meant.
    environment = os.environ | {
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "OMPI_MCA_rmaps_base_oversubscribe": "1",
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    }
    return [launcher, "-n", str(ranks), sys.executable], environment


def _without_mpi(reason) -> EnvironmentMismatch:
    return EnvironmentMismatch(
        f"running on several ranks needs mpi4py and an MPI library ({reason}); "
        f"`{install_command('mpi4py', 'mpich')}` brings both, and "
        f"`{install_command('mpi4py', from_source=True)}` builds mpi4py on the MPI library of a cluster"
    )


def make_executor() -> Executor:
    """MPIExecutor under a launcher of several ranks, SerialExecutor otherwise (without loading MPI)."""
    ranks, allotted = launched_ranks(), os.environ.get("SLURM_NTASKS", "")
    if ranks is None and allotted.isdigit() and int(allotted) > 1:
        warnings.warn(f"the batch job was allotted {allotted} tasks (SLURM_NTASKS) and this is one process; start it with "
                      f"srun, or give --ranks {allotted}", HebbWarning, stacklevel=2)
    return SerialExecutor() if ranks in (None, 1) else MPIExecutor()


def mpi_library() -> str:
    """The name of the MPI library that mpi4py would use, without starting it; "none" if there is none."""
    try:
        import mpi4py

        mpi4py.rc.initialize = False
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        return f"none ({error})"
    return MPI.Get_library_version().splitlines()[0].strip("\0 ")
