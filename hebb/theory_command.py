"""`hebb theory`: one point, or a phase diagram, of the theory."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

from . import perceptron_command
from .command_line import place, whole
from .errors import NoSolution, ParameterError, StorageError

__all__ = ["add_arguments", "check_targets", "require_figure", "require_target", "solve", "values_of", "write"]

_MOST_VALUES = 10**6             # of one axis
_DATASET = ("r", "n_examples", "rho", "protocol")


def add_arguments(parser) -> None:
    """The options of `hebb theory`: those of each model, and those that all have."""
    models = parser.add_subparsers(title="models", dest="model", metavar="MODEL", required=True)
    dense = models.add_parser("dense", help="dense Hebbian networks", description="One point, or a phase diagram.")
    dense.add_argument("--p-body", type=whole, default=4, metavar="P", help="interaction order (default 4)")
    dense.add_argument("--gamma", required=True, metavar="G", help="load; 0.1 or 0:0.5:100")
    dense.add_argument("--hamiltonian", default="distinct", help="distinct (default) or naive")
    dense.add_argument("--ansatz", default="RS", help="RS (default) or 1RSB")
    multitask = models.add_parser("multitask", help="multitasking Hopfield networks",
                                  description="All stable states of one point, or a phase diagram.")
    multitask.add_argument("--n-patterns", type=whole, default=3, metavar="K", help="number of patterns (default 3)")
    multitask.add_argument("--dilution", required=True, metavar="D", help="share of zero entries; 0.3 or 0.02:0.98:60")
    multitask.add_argument("--normalize-dilution", action="store_true", help="H over 1 - d, so that T_c = 1")
    perceptron_command.add_arguments(models)
    for model in (dense, multitask):
        model.add_argument("--temperature", required=True, metavar="T", help="temperature; 0.3 or 0.01:1.2:100")
        model.add_argument("--r", type=float, metavar="R", help="quality of the examples, ]0, 1]")
        model.add_argument("--n-examples", type=whole, metavar="M", help="examples of each pattern")
        model.add_argument("--rho", type=float, help="entropy of the dataset, the limit of many examples (no M)")
        model.add_argument("--protocol", help="storage (default), supervised (default with a dataset) or unsupervised")
        model.add_argument("--plot", type=place, metavar="FILE", help="draw the phase diagram")
        model.add_argument("--save", type=place, metavar="FILE", help="store the phase diagram as HDF5")


def _most_points(options) -> int:
    """Points of a phase diagram that take minutes, not days."""
    if options.model == "dense":
        return 10**6
    if options.n_patterns > 5:
        return 400
    return 10**5 if options.rho is None and options.n_examples is None else 10**4


def write(path, writer) -> None:
    """writer(path), with what may go wrong on the way to the disk as one sentence."""
    try:
        writer(path)
    except (OSError, ValueError) as error:  # ValueError: a figure format that does not exist
        raise StorageError(f"cannot write {path} ({getattr(error, 'strerror', None) or error})") from error


def check_targets(options) -> None:
    """StorageError if --plot or --save names what cannot be written, before anything is computed."""
    if options.save:
        require_target(options.save)
    if options.plot:
        require_figure(options.plot)


def require_target(path) -> None:
    """StorageError if a file cannot be written. A file that is there stays as it is, and none is left behind."""
    path = Path(path)
    try:
        if path.is_dir():
            raise StorageError(f"cannot write {path}: it is a folder; name a file in it")
        if not path.resolve().parent.is_dir():
            raise StorageError(f"cannot write {path}: there is no folder {path.parent}")
        there = path.exists()
        with open(path, "ab"):
            pass
        if not there:
            path.unlink()
    except (OSError, ValueError) as error:
        raise StorageError(f"cannot write {path} ({getattr(error, 'strerror', None) or error}); name another file") from error


def require_figure(path) -> None:
    """`require_target` of a figure, whose ending says its format."""
    from matplotlib.backend_bases import FigureCanvasBase

    require_target(path)
    known, ending = FigureCanvasBase.get_supported_filetypes(), Path(path).suffix[1:]
    if ending.lower() not in known:
        raise StorageError(f"cannot write {path}: {ending or 'a name without an ending'} is no format of figures; use .png, "
                           ".pdf or .svg")


def solve(options) -> int:
    """Run the command; returns the exit code."""
    if options.model == "perceptron":
        return perceptron_command.solve(options)
    axis = "gamma" if options.model == "dense" else "dilution"
    first, temperature = (values_of(f"--{name}", getattr(options, name)) for name in (axis, "temperature"))
    most = _most_points(options)
    if first.size * temperature.size > most:
        raise ParameterError(
            f"--{axis} {getattr(options, axis)} and --temperature {options.temperature} span "
            f"{first.size * temperature.size} points; at most {most} are solved at once"
            + (f" for --n-patterns {options.n_patterns}" if options.model == "multitask" else "")
        )
    _require_inside(f"--{axis}", getattr(options, axis), first, 1.0 if axis == "dilution" else 1e6)
    _require_inside("--temperature", options.temperature, temperature, 1e6)
    dataset = {name: getattr(options, name) for name in _DATASET}
    run = _dense if options.model == "dense" else _multitask
    if first.size == temperature.size == 1:
        if options.plot or options.save:
            raise ParameterError("--plot and --save draw and store phase diagrams; give a range, for example "
                                 f"--{axis} {'0:0.5:100' if axis == 'gamma' else '0.02:0.98:60'}")
        return run(options, dataset, float(first[0]), float(temperature[0]))
    check_targets(options)
    return _write_diagram(run(options, dataset, first, temperature), axis, options)


def _require_inside(name: str, text: str, values, high: float) -> None:
    """ParameterError for a range that leaves what a phase diagram can show; single numbers are judged by the theory."""
    if values.size > 1 and not (values[0] >= 0 and values[-1] < high):
        raise ParameterError(f"{name} {text} leaves [0, {high:g}[; give a range inside it")


def _dense(options, dataset, gamma, temperature):
    """Prints the solutions of a point, or returns the diagram of two axes."""
    from .theory import Dense

    theory = Dense(p_body=options.p_body, hamiltonian=options.hamiltonian, **dataset)
    if isinstance(gamma, float):
        return _print_solutions(theory, gamma, temperature, options)
    return theory.phase_diagram(gamma=gamma, temperature=temperature, ansatz=options.ansatz)


def _multitask(options, dataset, dilution, temperature):
    """Prints the states of a point, or returns the diagram of two axes."""
    from .theory import Multitask

    dataset = dataset | {"normalize_dilution": options.normalize_dilution}
    if not isinstance(dilution, float):
        return Multitask.phase_diagram(n_patterns=options.n_patterns, dilution=dilution, temperature=temperature, **dataset)
    theory = Multitask(n_patterns=options.n_patterns, dilution=dilution, **dataset)
    states = theory.states(temperature)
    print(f"critical temperature: {theory.critical_temperature():.10g}")
    for state in states:
        overlaps = "  ".join(f"{name} = [{', '.join(f'{value:.10g}' for value in getattr(state, name))}]"
                             for name in ("m", *(("n",) if theory.law.protocol != "storage" else ())))
        print(f"{state.branch}: f = {state.free_energy:.10g}  {overlaps}  entropy = {state.entropy:.6g}  smallest Hessian "
              f"eigenvalue = {state.smallest_hessian_eigenvalue:.6g}  converged = {state.converged} "
              f"(residual {state.residual:.1e})")
    return 0


def _write_diagram(diagram, axis: str, options) -> int:
    """Store, draw and summarise a phase diagram."""
    import numpy as np

    if options.save:
        diagram.save(options.save)
    if options.plot:
        import matplotlib

        matplotlib.use("Agg")
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots(layout="constrained", figsize=(8.0, 4.8) if axis == "dilution" else None)
        diagram.plot(axes)
        write(options.plot, figure.savefig)
        plt.close(figure)
    for name, line in diagram.lines.items():
        if len(line):
            (left, low), (right, high) = np.nanmin(line, axis=0), np.nanmax(line, axis=0)
            print(f"{name}: {np.isfinite(line[:, 0]).sum()} points, {axis} {left:.6g} to {right:.6g}, "
                  f"temperature {low:.6g} to {high:.6g}")
    return 0


def _print_solutions(theory, gamma: float, temperature: float, options) -> int:
    """One line per branch, and where retrieval ends at this temperature; NoSolution only if no branch exists."""
    found, missing = 0, []
    single = ("example",) if theory.examples.exist and options.ansatz == "RS" else ()
    for branch in ("retrieval", *single, "glass", "paramagnet"):
        try:
            solution = theory.solve(gamma=gamma, temperature=temperature, ansatz=options.ansatz, branch=branch)
        except NoSolution as error:
            missing.append(f"{branch}: {error}")
            continue
        found += 1
        print(
            f"{branch}: f = {solution.free_energy:.10g}  m = {solution.m:.10g}  {_overlaps(theory, solution)}  "
            f"entropy = {solution.entropy:.6g}  replicon = {solution.replicon:.6g}  "
            f"{_examples(theory, solution)}stable = {solution.stable}  "
            f"converged = {solution.converged} (residual {solution.residual:.1e})"
        )
    if not found:
        raise NoSolution("; ".join(missing))
    print(*missing, sep="\n", end="\n" if missing else "")
    for name in ("spinodal", "transition"):
        try:
            line = getattr(theory, name)(temperature, ansatz=options.ansatz)
        except NoSolution as error:
            print(f"{name}: {error}")
            continue
        print(
            f"{name}: gamma = {line.gamma:.10g} at temperature = {line.temperature:.10g}, m = {line.solution.m:.10g}  "
            f"converged = {line.converged} (residual {line.residual:.1e})"
        )
    return 0


def _examples(theory, solution) -> str:
    """Overlaps with single examples, or how strongly spins answer to differences between them; empty without examples."""
    if not theory.examples.exist:
        return ""
    if solution.branch == "example":
        return f"example = {solution.example:.6g}  others = {solution.others:.6g}  "
    return f"example response = {solution.example_response:.6g}  "


def _overlaps(theory, solution) -> str:
    """n with a dataset, q, and with broken replica symmetry its levels and where they break."""
    text = "" if theory.law.protocol == "storage" else f"n = {solution.n:.10g}  "
    if solution.ansatz == "RS":
        return text + f"q = {solution.q:.10g}"
    return text + (f"q0 = {solution.q0:.10g}  q1 = {solution.q1:.10g}  theta = {solution.theta:.6g}  "
                   f"breaking slope = {solution.breaking_slope:.6g}")


def values_of(name: str, text: str):
    """A finite number, or low:high:number as that many evenly spaced values."""
    import numpy as np

    parts = text.split(":")
    low = high = math.nan
    number = 1
    with contextlib.suppress(ValueError):
        if len(parts) == 1:
            low = high = float(parts[0])
        elif len(parts) == 3:
            low, high, number = float(parts[0]), float(parts[1]), int(parts[2])
    if not math.isfinite(high - low) or (len(parts) == 3 and not (number >= 2 and low < high)):
        raise ParameterError(
            f"{name} {text} is neither a number nor low:high:number with finite low < high and number >= 2"
        )
    if number > _MOST_VALUES:
        raise ParameterError(f"{name} {text} has more than {_MOST_VALUES} values; take fewer")
    return np.linspace(low, high, number)
