"""The command line: check, run, status, merge, verify, delete, plot, export, compare, theory, bench, info.

Exit codes: 0 done; 1 a task failed, or a comparison is off by more than 5 standard errors; 2 an error in what was asked
for (one sentence on stderr); 3 stopped before the end, to be continued with --resume; 130 interrupted at once.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import traceback
from pathlib import Path

from . import folder_command, probe_command, results_command, theory_command
from ._version import __version__
from .command_line import Parser, duration, first_of_launcher, one_line, one_line_warnings, place, steady_streams, whole
from .errors import HebbError, ParameterError, StorageError

__all__ = ["main"]

_EXAMPLES = """
examples:
  hebb check mpi_runs/job.toml                  points, tasks, memory and time; nothing is run
  hebb check mpi_runs/job.toml --probe          the same with times that are measured here, in 20 s
  hebb run mpi_runs/job.toml --ranks 4          on four cores of this machine, into runs/<job name>
  mpirun -n 64 python -m hebb run job.toml      the same numbers, bit for bit, on a cluster
  hebb run job.toml --set model.gamma=0.2 --set job.name=other
                                                another job in a line
  hebb run job.toml --resume                    continue after a kill, a crash or the end of the wall time
  hebb verify runs/demo                         read every file of a run and check it
  hebb run job.toml --extend                    after adding disorder samples or points to job.toml
  hebb status runs/job                          at any time, from anywhere
  hebb run job.toml --part 3/8                  the third of eight parts, for job arrays; all share one folder
  hebb merge runs/job                           what is finished so far, into runs/job/results.h5
  hebb merge runs/job copy/of/job               take over first what a run of the same job on another machine has
  hebb plot runs/job                            what was measured with its errors, into runs/job/plot.png
  hebb export runs/job --csv table.csv          the same as a table, or --netcdf FILE for xarray
  hebb compare runs/job --csv table.csv         simulation against theory, with z-scores
  hebb theory dense --p-body 4 --gamma 0:0.5:100 --temperature 0.01:1.2:100 --plot out.png --save out.h5
  hebb theory dense --p-body 4 --r 0.8 --n-examples 10 --gamma 0.1 --temperature 0.3
  hebb theory dense --p-body 4 --gamma 0.35 --temperature 0.1 --ansatz 1RSB
  hebb theory multitask --n-patterns 3 --dilution 0.02:0.98:60 --temperature 0:1:60 --plot out.png
  hebb theory perceptron --alpha 0.01:2:200 --plot out.png        a first task, all branches
  hebb theory perceptron --alpha 2 --branch good --second-alpha 0.1:5:50 --teacher-correlation -0.5:0.5:3 --save out.h5
  hebb theory perceptron --alpha 1 --temperature 1                binary weights under the Gibbs measure
"""

#: A comparison is off when a deviation exceeds this many standard errors.
_WORST_Z = 5.0

#: Processes that are started on one machine, for each of its cores.
_MOST_RANKS = 4

#: As CITATION.cff has it, which an installed copy does not.
_TITLE = "hebb: statistical mechanics of learning machines, simulated and solved side by side"
_PAPERS = (
    "models.Dense, theory.Dense: E. Agliari and others, Dense Hebbian neural networks: a replica symmetric picture of "
    "supervised learning, arXiv:2212.00606 (2022)",
    "theory.Dense beyond replica symmetry: L. Albanese and others, Replica symmetry breaking in dense Hebbian neural networks, "
    "arXiv:2111.12997 (2021)",
    "models.Multitask, theory.Multitask: E. Agliari and others, Parallel learning by multitasking neural networks, "
    "arXiv:2308.04106 (2023)",
    "models.BinaryPerceptron, models.VariationalPerceptron, models.VariationalNetwork, theory.Perceptron: C. Li and others, "
    "Statistical mechanics of continual learning: variational principle and mean-field potential, arXiv:2212.02846 (2022)",
    "P = 2: D. J. Amit, H. Gutfreund and H. Sompolinsky, Statistical mechanics of neural networks near saturation, "
    "Annals of Physics 173, 30 (1987)",
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the process's exit code is returned."""
    with steady_streams():
        try:
            options = _parser().parse_args(arguments)
            with one_line_warnings():
                code = options.command(options)
            sys.stdout.flush()
            return code
        except HebbError as error:
            return _complain(error)
        except (OSError, MemoryError) as error:  # the system's word, which needs no traceback
            return _complain(_of_system(error))
        except KeyboardInterrupt:
            print("hebb: interrupted", file=sys.stderr)
            return 130


def _complain(error: Exception) -> int:
    if first_of_launcher():
        print(f"hebb: {one_line(error)}", file=sys.stderr, flush=True)
    return 2


def _of_system(error: OSError | MemoryError) -> HebbError:
    """What the system refused, as a sentence."""
    if isinstance(error, MemoryError):
        return ParameterError("there is not enough memory for this on this machine; make it smaller, or free some")
    named = isinstance(error.filename, (str, bytes))
    what = f"cannot use {error.filename}" if named else "the system refuses to read or write"
    return StorageError(f"{what} ({error.strerror or error}); check {'the name, its' if named else 'the'} permissions and the "
                        "free space")


def _parser() -> Parser:
    parser = Parser(
        prog="hebb",
        description="Statistical mechanics of learning machines.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-v", "-V", "--version", action="version", version=f"hebb {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(name, function, text):
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(command=function)
        return command

    check = add("check", _check, "Check a job as run would: points, tasks, memory and time. Nothing is run but a --probe.")
    run = add("run", _run, "Run a job and merge its results.")
    for command in (check, run):
        command.add_argument("job", type=place, metavar="JOB.toml")
        command.add_argument("--ranks", type=whole, metavar="N", help="number of processes on this machine (default 1)")
        command.add_argument("--out", type=place, metavar="DIR", help="run folder (default runs/<job name>)")
        command.add_argument("--data", type=place, metavar="DIR", help="folder of image data sets (sets HEBB_DATA)")
        command.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE",
                             help="change a key of the job, for example model.gamma=0.2; may be given several times")
    check.add_argument("--probe", type=probe_command.probe_seconds, nargs="?", const=probe_command.SECONDS, metavar="SECONDS",
                       help=f"run some tasks for so long (default {probe_command.SECONDS:g}) and say what they take here; "
                       "writes nothing")
    run.add_argument("--resume", action="store_true", help="continue the run that is in the folder")
    run.add_argument("--part", metavar="I/N", help="do the I-th of N parts of the tasks, for job arrays; all share one folder")
    run.add_argument("--check-serial", type=whole, metavar="K", default=0,
                     help="at the end compute K tasks once more, in another process on one rank: bit for bit the same?")
    run.add_argument("--extend", action="store_true",
                     help="continue it with more (or fewer) disorder samples or points, or more sweeps, than it began with")
    folder_command.add_arguments(
        add("status", folder_command.status, "Say how far a run is, point by point, at any time."),
        add("merge", folder_command.merge, "Write what is finished into DIR/results.h5, at any time."),
        add("verify", folder_command.verify,
            "Read and check every file of a run; exit code 1 if one is damaged, 2 if it is the plan."),
        add("delete", folder_command.delete,
            "Remove results that a run no longer has a use for, after --extend has taken points or samples out of it."),
    )
    results_command.add_arguments(
        add("plot", results_command.plot, "Draw what was measured, with errors and without theory."),
        add("export", results_command.export, "Write results for other programs: a table, or everything with its axes."),
    )
    compare = add("compare", _compare, f"Simulation against theory; exit code 1 if any |z| > {_WORST_Z:g}.")
    compare.add_argument("folder", type=place, metavar="DIR")
    compare.add_argument("--csv", type=place, metavar="FILE", help="write the table as CSV")
    compare.add_argument("--plot", type=place, metavar="FILE", help="where to draw it (default DIR/compare.png)")
    theory = add("theory", theory_command.solve, "Solve the theory: one point, or a phase diagram over low:high:number.")
    theory_command.add_arguments(theory)
    bench = add("bench", _bench, "Measure the kernels beside their baselines.")
    bench.add_argument("--json", type=place, metavar="FILE", help="write the numbers too")
    add("info", _info, "Versions, build flags, instruction set, MPI, and how to cite.")
    return parser


def _check(options) -> int:
    from .runs import job_file
    from .runs.plan import Plan
    from .runs.start import survey

    _use_data(options)
    _ranks_command(options)
    plan = Plan.from_text(job_file.read(Path(options.job), options.set), options.job)
    plan.require_memory(options.ranks)
    found = survey(plan, options.job, options.out)
    total = sum(task.cost for task in plan.tasks)
    longest = max(task.cost for task in plan.tasks)
    points = f"{len(plan.points)} points"
    if plan.sampling["tempering"]:
        points += f" in {len(plan.tasks) // plan.sampling['disorder']} temperature ladders"
    print(f"{plan.name}: {points} x {plan.sampling['disorder']} disorder samples = {len(plan.tasks)} tasks")
    print(f"memory: {_bytes(plan.bytes_per_rank)} per rank, {_bytes(plan.bytes_of_results)} to merge the results")
    print(
        f"time:   about {duration(total)} on one core; the longest task {duration(longest)}, so at most "
        f"{max(1, min(len(plan.tasks), int(total / longest)))} ranks are of use"
    )
    if plan.walltime is not None and total > plan.walltime:
        ranks = int(total / plan.walltime) + 1
        print(f"        the wall time of {duration(plan.walltime)} needs at least {ranks} ranks, or --resume")
    if options.probe is not None:
        sys.stdout.flush()
        probe_command.tell(plan, options.probe, options.ranks)
    for text in dict.fromkeys(model.summary() for model, _ in plan.points):
        if text:
            print(text)
    if found:
        print(found)
    return 0


def _run(options) -> int:
    from .runs.environment import configure_logging
    from .runs.executors import make_executor
    from .runs.job import run_job
    from .runs.start import Part

    _use_data(options)
    if options.check_serial < 0:
        raise ParameterError(f"--check-serial {options.check_serial} is not at least 0")
    part = None if options.part is None else Part.parse(options.part)
    if start := _ranks_command(options):
        return _start_ranks(*start, options)
    executor = make_executor()
    try:
        summary = run_job(options.job, executor, options.out, options.resume, options.extend, configure_logging, part,
                          options.set)
    except Exception as error:
        if executor.leaving_together:
            raise
        if isinstance(error, (HebbError, OSError, MemoryError)):
            error = error if isinstance(error, HebbError) else _of_system(error)
            who = f"rank {executor.rank}: " if executor.size > 1 else ""
            print(f"hebb: {who}{one_line(error)}", file=sys.stderr, flush=True)
        else:
            print(traceback.format_exc(), end="", file=sys.stderr, flush=True)
        executor.abort(2)  # the other ranks would wait for ever
        return 2
    except KeyboardInterrupt:
        executor.abort(130)
        raise
    code = _report(summary, executor, options)
    return executor.share(lambda: code or _check_serial(summary.folder, options))


def _check_serial(folder, options) -> int:
    """`hebb verify --repeat` in a process of its own, which knows nothing of a launcher; its exit code."""
    if not options.check_serial:
        return 0
    launched = ("OMPI_", "PMI", "PMIX_", "SLURM_", "MPI_", "HYDRA_", "HYDI_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(launched)}
    command = [sys.executable, "-m", "hebb", "verify", str(folder), "--repeat", str(options.check_serial)]
    return subprocess.run(command, env=environment, check=False).returncode


def _report(summary, executor, options) -> int:
    """Rank 0 says in one line how the run ended; the exit code for every rank."""
    changes = "".join(f" --set {shlex.quote(change)}" for change in options.set)
    again = f"hebb run {shlex.quote(options.job)}{changes} --out {shlex.quote(str(summary.folder))} --resume"
    again += f" --part {options.part}" if options.part else ""
    if summary.reason:
        text, code = (
            f"stopped because {summary.reason}: {summary.done} of {summary.total} tasks are done; continue with: "
            f"{again}",
            3,
        )
    elif summary.failed:
        text, code = (
            f"{summary.failed} of {summary.total} tasks failed (tracebacks in {summary.folder}/log.txt); repeat them "
            f"with: {again}",
            1,
        )
    else:
        where = f"results in {summary.folder}/results.h5"
        if summary.elsewhere:
            where = f"{summary.elsewhere} tasks of other parts are not done yet, and the last one merges"
        text, code = f"{summary.done} tasks {f'of part {options.part} ' if options.part else ''}done; {where}", 0
    if executor.rank == 0:
        for boundary in summary.boundaries:
            print(boundary)
        print(f"hebb: {text}", file=sys.stderr if code else sys.stdout, flush=True)
    return code


def _ranks_command(options) -> tuple[list[str], dict[str, str]] | None:
    """The beginning of the command that starts --ranks, and its environment; None if this process is enough."""
    from .runs.executors import launch_command, launched_ranks

    if options.ranks is None:
        return None
    if options.ranks < 1:
        raise ParameterError(f"--ranks {options.ranks} is not at least 1")
    if options.ranks > (most := max(64, _MOST_RANKS * (os.cpu_count() or 1))):
        raise ParameterError(f"--ranks {options.ranks} is more than {most} processes, the most that are started on a machine "
                             f"of {os.cpu_count()} cores; lower it, or start more machines with mpirun -n N python -m hebb run")
    if options.ranks == 1:
        return None
    if "PMI_SIZE" in os.environ or "OMPI_COMM_WORLD_SIZE" in os.environ:
        raise ParameterError(
            f"--ranks {options.ranks} under a launcher that has already started {launched_ranks()}; "
            "give the number of ranks once"
        )
    return launch_command(options.ranks)


def _start_ranks(command: list[str], environment: dict[str, str], options) -> int:
    """Run the same command on options.ranks processes under mpiexec; its exit code."""
    from .runs.launch import supervise

    arguments = ["run", options.job]
    arguments += [word for change in options.set for word in ("--set", change)]
    arguments += ["--out", options.out] if options.out else []
    arguments += ["--part", options.part] if options.part else []
    resume = ["--resume"] * options.resume + ["--extend"] * options.extend
    check = ["--check-serial", str(options.check_serial)] if options.check_serial else []
    again = shlex.join(["hebb", *arguments, "--ranks", str(options.ranks), "--resume"])
    sys.stdout.flush()
    return supervise([*command, "-m", "hebb", *arguments, *resume, *check], environment, options.ranks, again)


def _compare(options) -> int:
    from .compare import compare_results

    results = results_command.finished(options.folder)
    figure = options.plot or results_command.beside(options.folder, "compare.png")
    if options.csv:
        theory_command.require_target(options.csv)
    theory_command.require_figure(figure)
    comparison = compare_results(results)
    print(comparison.table())
    if options.csv:
        theory_command.write(options.csv, comparison.write_csv)
    theory_command.write(figure, comparison.plot)
    return int(comparison.worst > _WORST_Z)


def _bench(options) -> int:
    from . import bench

    if options.json:
        theory_command.require_target(options.json)  # now, not after the measurements
    bench.main(options.json)
    return 0


def _info(options) -> int:
    from .provenance import collect
    from .runs.executors import mpi_library

    for name, value in (collect() | {"mpi": mpi_library()}).items():
        if isinstance(value, dict):
            print(f"{name}:" if value else f"{name}: not compiled")
            for key, item in value.items():
                print(f"  {key}: {item}")
        else:
            print(f"{name}: {value}")
    print(f"cite: {_TITLE}, version {__version__}, and the papers whose models you used:")
    print(*(f"  {paper}" for paper in _PAPERS), sep="\n")
    return 0


def _use_data(options) -> None:
    if options.data is not None:
        os.environ["HEBB_DATA"] = str(Path(options.data).resolve())


def _bytes(number: float) -> str:
    power = min(3, max(0, int(number).bit_length() - 1) // 10)
    return f"{number / 1024**power:.4g} {('B', 'KiB', 'MiB', 'GiB')[power]}"


if __name__ == "__main__":
    sys.exit(main())
