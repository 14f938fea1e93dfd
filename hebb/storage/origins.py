"""Which programs computed the tasks of a run, and whether they were one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .taskfile import to_json

__all__ = ["Origins"]

#: What should be the same for all tasks of a run; hosts and times may differ.
_PROGRAM = ("hebb", "git", "python", "numpy", "scipy")
_KERNELS = ("flags", "compiler", "instruction_set")


class Origins:
    """Distinct provenances (`hebb.provenance.collect`, without host and time) with the number of tasks of each."""

    def __init__(self, counted: Iterable[Mapping] = ()):
        self._counted = {_name(item): dict(item) for item in counted}

    def add(self, provenance: Mapping) -> None:
        """One task more; each program that continued it counts as well."""
        for item in (provenance, *provenance.get("continued", ())):
            bare = {name: value for name, value in item.items() if name not in ("host", "time", "continued", "tasks")}
            if bare:
                self._counted.setdefault(_name(bare), {**bare, "tasks": 0})["tasks"] += 1

    def join(self, other: Origins) -> None:
        """The tasks of another part of the run."""
        for name, item in other._counted.items():
            self._counted.setdefault(name, {**item, "tasks": 0})["tasks"] += item["tasks"]

    def plain(self) -> list[dict]:
        """As data: the provenances, each with its "tasks", the most frequent first."""
        return sorted(self._counted.values(), key=lambda item: -item["tasks"])

    def notes(self) -> list[str]:
        """A sentence for everything in which the programs differ: [] if they were one."""
        said = []
        for name in (*_PROGRAM, *_KERNELS):
            tasks: dict[str, int] = {}
            for item in self._counted.values():
                value = item.get(name) if name in _PROGRAM else (item.get("kernels") or {}).get(name)
                tasks[str(value)] = tasks.get(str(value), 0) + item["tasks"]
            if len(tasks) > 1:
                numbers = ", ".join(f"{value} ({number} tasks)" for value, number in tasks.items())
                said.append(f"the tasks were computed with different {name.replace('_', ' ')}: {numbers}")
        return said


def _name(item: Mapping) -> str:
    return to_json({name: value for name, value in item.items() if name != "tasks"})
