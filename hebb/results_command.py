"""`hebb plot` and `hebb export`: results without theory, as a picture and for other programs."""

from __future__ import annotations

import sys
from pathlib import Path

from .command_line import place
from .errors import ParameterError, StorageError
from .theory_command import require_figure, require_target, write

__all__ = ["add_arguments", "beside", "export", "finished", "plot"]


def add_arguments(plot_parser, export_parser) -> None:
    """The options of both."""
    for parser in (plot_parser, export_parser):
        parser.add_argument("folder", type=place, metavar="DIR")
    plot_parser.add_argument("--out", type=place, metavar="FILE", help="where to draw it (default DIR/plot.png)")
    plot_parser.add_argument("--observables", metavar="A,B", help="what to draw, one row each (default: order parameters)")
    plot_parser.add_argument("--x", metavar="KEY", help="swept key along the horizontal axis (default: that with most values)")
    export_parser.add_argument("--csv", type=place, metavar="FILE",
                               help="one line per point and observable; - for the standard output")
    export_parser.add_argument("--netcdf", type=place, metavar="FILE", help="a netCDF-4 file (needs xarray and h5netcdf)")
    export_parser.add_argument("--samples", action="store_true", help="with --netcdf: also every disorder sample")
    export_parser.add_argument("--chains", action="store_true", help="with --netcdf: also the series of every chain")


def finished(folder):
    """The results of a folder, or of its results file; StorageError if no task is finished."""
    from .storage.merging import load

    results = load(folder)
    if not results.done.any():
        raise StorageError(f"{folder} has no finished task yet; see `hebb status`")
    return results


def beside(folder, name: str) -> Path:
    """Where a picture of the results in a folder, or of a results file, goes."""
    path = Path(folder)
    return (path if path.is_dir() else path.parent) / name


def plot(options) -> int:
    """Run the command; returns the exit code."""
    names = None if options.observables is None else [name.strip() for name in options.observables.split(",")]
    path = options.out or beside(options.folder, "plot.png")
    results = finished(options.folder)
    require_figure(path)
    write(path, results.plot(names, options.x).savefig)
    print(path)
    return 0


def export(options) -> int:
    """Run the command; returns the exit code."""
    from .storage.export import write_csv, write_netcdf

    if not options.csv and not options.netcdf:
        raise ParameterError("nothing to write; give --csv FILE (- for the standard output), --netcdf FILE, or both")
    if options.netcdf == "-":
        raise ParameterError("--netcdf - names no file; a netCDF file cannot go to the standard output")
    if (options.samples or options.chains) and not options.netcdf:
        raise ParameterError("--samples and --chains go into a netCDF file; give --netcdf FILE")
    results = finished(options.folder)
    for target in {options.netcdf, options.csv} - {None, "-"}:
        require_target(target)
    if options.netcdf:
        write(options.netcdf, lambda path: write_netcdf(results, path, options.samples, options.chains))
    if options.csv == "-":
        write_csv(results, sys.stdout)
    elif options.csv:
        write(options.csv, lambda path: _write_table(results, path))
    return 0


def _write_table(results, path) -> None:
    from .storage.export import write_csv

    with open(path, "w", encoding="utf-8", newline="") as file:
        write_csv(results, file)
