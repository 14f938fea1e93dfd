"""`hebb theory`: one point, or a phase diagram, of the theory."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

from .errors import NoSolution, ParameterError, StorageError

__all__ = ["add_arguments", "solve", "write"]

_MOST_POINTS = 10**6      # of a phase diagram: minutes of computing
_DATASET = ("r", "n_examples", "rho", "protocol")


def add_arguments(parser) -> None:
    """The options of `hebb theory`."""
    parser.add_argument("model", choices=["dense"])
    parser.add_argument("--p-body", type=int, default=4, metavar="P", help="interaction order (default 4)")
    parser.add_argument("--gamma", required=True, metavar="G", help="load; 0.1 or 0:0.5:100")
    parser.add_argument("--temperature", required=True, metavar="T", help="temperature; 0.3 or 0.01:1.2:100")
    parser.add_argument("--hamiltonian", default="distinct", help="distinct (default) or naive")
    parser.add_argument("--r", type=float, metavar="R", help="quality of the examples, ]0, 1]")
    parser.add_argument("--n-examples", type=int, metavar="M", help="examples of each pattern")
    parser.add_argument("--rho", type=float, help="entropy of the dataset, the limit of many examples (no M)")
    parser.add_argument("--protocol", help="storage (default), supervised (default with a dataset) or unsupervised")
    parser.add_argument("--ansatz", default="RS", help="RS (default) or 1RSB")
    parser.add_argument("--plot", metavar="FILE", help="draw the phase diagram")
    parser.add_argument("--save", metavar="FILE", help="store the phase diagram as HDF5")


def write(path, writer) -> None:
    """writer(path), with what may go wrong on the way to the disk as one sentence."""
    try:
        writer(path)
    except (OSError, ValueError) as error:  # ValueError: a figure format that does not exist
        raise StorageError(f"cannot write {path} ({error})") from error


def solve(options) -> int:
    """Run the command; returns the exit code."""
    from .theory import Dense

    dataset = {name: getattr(options, name) for name in _DATASET}
    theory = Dense(p_body=options.p_body, hamiltonian=options.hamiltonian, **dataset)
    gamma, temperature = _range("--gamma", options.gamma), _range("--temperature", options.temperature)
    if gamma.size * temperature.size > _MOST_POINTS:
        raise ParameterError(
            f"--gamma {options.gamma} and --temperature {options.temperature} span {gamma.size * temperature.size} "
            f"points; at most {_MOST_POINTS} are solved at once"
        )
    if gamma.size == temperature.size == 1:
        return _print_solutions(theory, float(gamma[0]), float(temperature[0]), options)
    for path in filter(None, (options.plot, options.save)):
        if not Path(path).resolve().parent.is_dir():
            raise StorageError(f"cannot write {path}: there is no folder {Path(path).parent}")
    diagram = theory.phase_diagram(gamma=gamma, temperature=temperature, ansatz=options.ansatz)
    if options.save:
        diagram.save(options.save)
    if options.plot:
        import matplotlib

        matplotlib.use("Agg")
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots(layout="constrained")
        diagram.plot(axes)
        write(options.plot, figure.savefig)
        plt.close(figure)
    for name, line in diagram.lines.items():
        if len(line):
            print(
                f"{name}: {len(line)} points, gamma {line[:, 0].min():.6g} to {line[:, 0].max():.6g}, "
                f"temperature {line[:, 1].min():.6g} to {line[:, 1].max():.6g}"
            )
    return 0


def _print_solutions(theory, gamma: float, temperature: float, options) -> int:
    """One line per branch, and where retrieval ends at this temperature; NoSolution only if no branch exists."""
    if options.plot or options.save:
        raise ParameterError(
            "--plot and --save draw and store phase diagrams; give a range, for example --gamma 0:0.5:100"
        )
    found, missing = 0, []
    for branch in ("retrieval", "glass", "paramagnet"):
        try:
            solution = theory.solve(gamma=gamma, temperature=temperature, ansatz=options.ansatz, branch=branch)
        except NoSolution as error:
            missing.append(f"{branch}: {error}")
            continue
        found += 1
        print(
            f"{branch}: f = {solution.free_energy:.10g}  m = {solution.m:.10g}  {_overlaps(theory, solution)}  "
            f"entropy = {solution.entropy:.6g}  replicon = {solution.replicon:.6g}  stable = {solution.stable}  "
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


def _overlaps(theory, solution) -> str:
    """n with a dataset, q, and with broken replica symmetry its levels and where they break."""
    text = "" if theory.law.protocol == "storage" else f"n = {solution.n:.10g}  "
    if solution.ansatz == "RS":
        return text + f"q = {solution.q:.10g}"
    return text + (f"q0 = {solution.q0:.10g}  q1 = {solution.q1:.10g}  theta = {solution.theta:.6g}  "
                   f"breaking slope = {solution.breaking_slope:.6g}")


def _range(name: str, text: str):
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
    if number > _MOST_POINTS:
        raise ParameterError(f"{name} {text} has more than {_MOST_POINTS} values; take fewer")
    return np.linspace(low, high, number)
