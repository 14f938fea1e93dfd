"""`hebb status`, `hebb merge`, `hebb verify` and `hebb delete`: what is in run folders."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from .command_line import duration, place, whole
from .errors import ParameterError, StorageError

__all__ = ["add_arguments", "delete", "merge", "status", "verify"]

_MOST_LINES = 40


def add_arguments(status_parser, merge_parser, verify_parser, delete_parser) -> None:
    """The options of all four."""
    for parser in (status_parser, merge_parser, verify_parser, delete_parser):
        parser.add_argument("folder", type=place, metavar="DIR")
    merge_parser.add_argument("others", type=place, metavar="OTHER", nargs="*",
                              help="other runs of the same job, from which DIR first takes over what it lacks")
    verify_parser.add_argument("--repeat", type=whole, metavar="K", default=0,
                               help="also compute K finished tasks once more, here and alone, and compare them bit for bit")
    delete_parser.add_argument("--yes", action="store_true", help="do it; without, only tell what would be removed")
    status_parser.add_argument("--json", action="store_true", help="the same as JSON, for other programs")


def status(options) -> int:
    """Run the command; returns the exit code."""
    from .storage.damage import named
    from .storage.status import status_of

    found = status_of(options.folder)
    if options.json:
        print(json.dumps(found.plain(), indent=1))
        return 0
    count = found.counts
    shorter = f"{count['shorter']} to go on from fewer sweeps, " if count["shorter"] else ""
    print(f"{found.name}: {count['done']} of {found.tasks} tasks done, {len(found.unfinished)} checkpointed, "
          f"{count['failed']} failed, {shorter}{count['waiting']} without a file yet; {count['lost']} left the planted state; "
          f"{duration(found.seconds)} of computing")
    if found.running:
        left = "" if found.remaining_seconds is None else f", about {duration(found.remaining_seconds)} left"
        rate = "" if found.tasks_per_hour is None else f": {found.tasks_per_hour:.3g} tasks an hour{left}"
        print(f"it runs{rate}")
    if found.damaged:
        print(f"  {len(found.damaged)} with a file that cannot be believed: {named(found.damaged)}; --resume repeats them")
    if found.ladders:
        exchanged, trips = ([rungs[name] for rungs in found.ladders] for name in ("exchange_acceptance", "round_trips"))
        low, high = (end(end(values[:-1]) for values in exchanged) for end in (min, max))
        fewest, most = (end(values[0] for values in trips) for end in (min, max))
        print(f"temperature ladders: neighbours exchange in {low:.2g} to {high:.2g} of the attempts; {fewest:g} to {most:g} "
              "round trips per replica")
    if count["done"] < found.tasks:
        _print_points(found)
    lines = [f"  {name} checkpointed at sweep {sweeps}" for name, sweeps in found.unfinished.items()]
    lines += [f"  {name} failed: {text}" for name, text in found.failures.items()]
    print("\n".join(lines[:_MOST_LINES]), end="\n" if lines else "")
    if len(lines) > _MOST_LINES:
        print(f"  ... and {len(lines) - _MOST_LINES} more; --json has all")
    return 0


def _print_points(found) -> None:
    """A line for every point that is not done yet."""
    from .storage.observable import Table

    names = ("done", "measuring", "thermalizing", "failed", "shorter", "waiting", "damaged", "lost")
    used = [name for name in names if name == "done" or found.counts[name]]
    open_points = [point for point in found.points if any(getattr(point, name) for name in names[1:-1])]
    table = Table({**point.where, **{name: getattr(point, name) for name in used}} for point in open_points[:_MOST_LINES])
    print(table)
    if len(open_points) > _MOST_LINES:
        print(f"... and {len(open_points) - _MOST_LINES} more points; --json has all")


def verify(options) -> int:
    """Run the command; returns the exit code."""
    from .storage.verify import verify as read_all

    if options.repeat < 0:
        raise ParameterError(f"--repeat {options.repeat} is not at least 0")
    verdict = read_all(options.folder)
    print(verdict)
    wrong = bool(verdict.damaged)
    if options.repeat:
        from .runs.repeat import repeated

        for task_id, different in repeated(options.folder, options.repeat):
            wrong |= bool(different)
            told = f"DIFFERENT in {', '.join(different)}" if different else "the same bits"
            print(f"{task_id} repeated: {told}", flush=True)
    return int(wrong)


def merge(options) -> int:
    """Run the command; returns the exit code."""
    from .storage.folder import RunFolder
    from .storage.merging import first_rows, merge_into

    folder = RunFolder.open(Path(options.folder))
    folder.require_writable()
    others = [RunFolder.open(Path(path)) for path in options.others]
    different = False
    for other in others:
        different |= _take_over(folder, other)
    results = merge_into(folder)
    print(first_rows(folder, results, _MOST_LINES))
    measured, points = sum(results.n_disorder > 0), len(results.points)
    if measured > _MOST_LINES:
        print(f"... and {measured - _MOST_LINES} more points; `hebb export {options.folder} --csv -` prints all")
    if measured < points:
        print(f"{points - measured} of {points} points have no finished sample yet")
    for note in results.exchange_notes + results.origins.notes():
        print(f"hebb: {note}", file=sys.stderr)
    tasks = folder.plan["tasks"]
    print(f"{results.tasks_done(tasks)} of {len(tasks)} tasks are in {folder.results_path}")
    return int(different)


def _take_over(folder, other) -> bool:
    """Join another run to this one, and tell; whether results differ that should be the same."""
    from .storage.joining import take_over

    joined = take_over(folder, other)
    parts = [f"{joined.checkpoints} checkpoints"] * bool(joined.checkpoints)
    parts += [f"{joined.both} are in both, {joined.both - len(joined.different)} of them the same bits"] * bool(joined.both)
    print(", ".join([f"{other.path}: {joined.taken} finished tasks taken over", *parts]))
    for task_id, names in joined.different.items():
        print(f"hebb: {task_id} is DIFFERENT in {', '.join(names)}; that of {folder.path} is kept", file=sys.stderr)
    return bool(joined.different)


def delete(options) -> int:
    """Run the command; returns the exit code."""
    from .storage.folder import RunFolder
    from .storage.locks import lock

    folder = RunFolder.open(Path(options.folder))
    with lock(folder.path), folder.tasks() as tasks:
        tasks.check()
        if tasks.damaged:
            raise StorageError(f"{folder.path} has damaged tasks, see `hebb verify`; run its job with --resume first")
        count, size = tasks.strangers()
        told = f"{count} results ({size / 2**20:.3g} MiB) that do not belong to the {len(tasks)} tasks of {folder.path}"
        if not count:
            print(f"nothing to remove: all results in {folder.path} belong to its {len(tasks)} tasks")
        elif options.yes:
            tasks.remove_strangers()
            print(f"removed {told}")
        else:
            print(f"would remove {told}; --yes does it")
    return 0
