"""The file of results, written piece by piece: what a job measured may be larger than the memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np

from . import schema
from .coordinates import is_number
from .taskfile import replace_large_file, to_json

__all__ = ["ResultsWriter"]

_BY_SIZE = "m_sorted"


class ResultsWriter:
    """Writes one results file (`schema`): blocks of points and disorder samples, one after the other, which together are all.

    head: a `results.Results` of the whole job, of which all but points, asked and job is written at the end, so that it may be
    filled in meanwhile; its series and spins are not used. shapes: name -> (B, C, ...) of each series.
    Raises StorageError where the disk is full.
    """

    def __init__(self, path: Path, head, shapes: Mapping[str, tuple]):
        self._head, self._shapes = head, dict(sorted(shapes.items()))
        self._context = replace_large_file(Path(path), schema.RESULTS)

    def __enter__(self) -> ResultsWriter:
        self._file, self._check = self._context.__enter__()
        head, file, text = self._head, self._file, h5py.string_dtype()
        file.create_dataset(schema.POINTS, data=[to_json(point) for point in head.points], dtype=text)
        if head.asked:
            file.create_dataset(schema.ASKED, data=[to_json(keys) for keys in head.asked], dtype=text)
        file.create_dataset(schema.JOB, data=to_json(head.job), dtype=text)
        for name, inner in self._shapes.items():
            file.create_dataset(f"{schema.SERIES}/{name}", (*head.done.shape, *inner), dtype=np.float64)
            file.create_dataset(f"{schema.SAMPLES}/{name}", (*head.done.shape, *inner[2:]), dtype=np.float64)
        if len(self._shapes.get("m", ())) == 3:  # an overlap with every pattern
            file.create_dataset(f"{schema.SAMPLES}/{_BY_SIZE}", (*head.done.shape, self._shapes["m"][2]), dtype=np.float64)
        return self

    def put(self, block, points: Sequence[int], first: int) -> None:
        """Results of some points of the job, of the disorder samples from `first` on."""
        for places, rows in _runs(points):
            where = slice(places[0], places[-1] + 1), slice(first, first + block.done.shape[1])
            for name, series in block.data.items():
                self._file[f"{schema.SERIES}/{name}"][where] = series[rows]
            for name in self._file.get(schema.SAMPLES, {}):
                self._file[f"{schema.SAMPLES}/{name}"][where] = block[name].samples[rows]
        for (point, disorder), arrays in block.spins.items():
            for name, array in arrays.items():
                self._file[f"{schema.SPINS}/{points[point]}/{first + disorder}/{name}"] = array
        self._check()

    def __exit__(self, kind, error, trace):
        try:
            if kind is None:
                self._finish()
        except BaseException as another:
            if not self._context.__exit__(type(another), another, another.__traceback__):
                raise
            return None
        return self._context.__exit__(kind, error, trace)

    def _finish(self) -> None:
        head, file = self._head, self._file
        file.attrs["bin_length"] = head.bin_length
        file.attrs["seconds"] = head.seconds
        file.attrs[schema.PROVENANCE] = to_json(head.provenance)
        file.attrs[schema.ORIGINS] = to_json(head.origins.plain())
        file[schema.DONE], file[schema.LOST], file[schema.ACCEPTANCE] = head.done, head.lost_samples, head.acceptance
        for name, values in head.exchange.items():
            file[f"{schema.RUNGS}/{name}"] = values
        self._attach_scales()

    def _attach_scales(self) -> None:
        """Dimension scales, so that other programs see axes with names and values, not bare shapes."""
        head, file = self._head, self._file
        columns = {name: [point.get(name) for point in head.points] for name in head.swept} | head.coordinates.varying
        for name, values in columns.items():
            if all(map(is_number, values)):
                file.create_dataset(f"{schema.PARAMETERS}/{name}", data=np.array(values, dtype=float)).make_scale(name)
        scales: dict[tuple[str, int], str] = {}
        targets = [file[schema.DONE], file[schema.LOST], file[schema.ACCEPTANCE]]
        groups = (schema.SERIES, schema.SAMPLES, schema.RUNGS)
        targets += [dataset for group in groups for dataset in file.get(group, {}).values()]
        for dataset in targets:
            axes = schema.AXES if dataset.name.startswith(f"/{schema.SERIES}/") else schema.AXES[:2]
            for number, axis in enumerate(axes):
                length = dataset.shape[number]
                if (axis, length) not in scales:  # chains are replicas here and pairs there: one scale per length
                    name = f"{axis}{length}" if any(axis == known for known, _ in scales) else axis
                    values = (np.arange(length) + 1) * head.bin_length if axis == "bin" else np.arange(length)
                    file.create_dataset(f"{schema.SCALES}/{name}", data=values).make_scale(axis)
                    scales[axis, length] = name
                dataset.dims[number].label = axis
                dataset.dims[number].attach_scale(file[f"{schema.SCALES}/{scales[axis, length]}"])
            for name in file.get(schema.PARAMETERS, {}):
                dataset.dims[0].attach_scale(file[f"{schema.PARAMETERS}/{name}"])


def _runs(points: Sequence[int]) -> Iterator[tuple[list[int], slice]]:
    """Neighbouring points of the job that are neighbours in a block, and where they are in it."""
    begin = 0
    for end in range(1, len(points) + 1):
        if end == len(points) or points[end] != points[end - 1] + 1:
            yield list(points[begin:end]), slice(begin, end)
            begin = end
