"""`hebb theory perceptron`: states of one or two tasks at a point, curves over a range of loads, capacities."""

from __future__ import annotations

from .command_line import place
from .errors import NoSolution, ParameterError

__all__ = ["add_arguments", "solve"]

_FIRST = ("q0", "r1", "qd", "overlap", "generalization_error", "free_entropy", "replicon_ratio")
_SECOND = ("q0", "r1", "r2", "qd", "error_task1", "error_task2", "free_entropy", "replicon_ratio")
_GIBBS = ("q", "r", "training_error", "generalization_error", "free_entropy", "entropy", "replicon_ratio")
_COUPLED = ("q", "r1", "r2", "overlap_reference", "training_error", "error_task1", "error_task2", "free_entropy", "entropy",
            "replicon_ratio")
_MOST_LOADS = 2000               # of a curve: a minute


def add_arguments(models) -> None:
    """The perceptron among the models of `hebb theory`."""
    perceptron = models.add_parser(
        "perceptron", help="continual learning in the binary perceptron",
        description="One task: a point, or all branches over a range of loads. A second task with --second-alpha. Weights "
                    "are magnetisations at inverse temperature --beta, or binary at --temperature. --capacities: classical "
                    "anchors.")
    add = perceptron.add_argument
    add("--alpha", metavar="A", help="load of the first task; 1.0 or 0.01:2:200")
    add("--beta", type=float, metavar="B", help="inverse temperature in field space (default 20)")
    add("--kl", type=float, metavar="W", help="weight of the divergence of the first task from unbiased spins (default 0)")
    add("--branch", choices=("unique", "poor", "good"), help="state of the first task that a second one follows")
    add("--second-alpha", metavar="A2", help="load of a second task; 0.5 or 0.1:5:50")
    add("--teacher-correlation", metavar="R0",
        help="mean product of the two teachers (default 0); 0.5 or -0.5:0.5:3")
    add("--second-kl", metavar="W", help="weight of the divergence from the first task (default 1); 1 or 0.1:1:4")
    add("--temperature", type=float, metavar="T", help="of binary weights under the Gibbs measure, instead of --beta")
    add("--loss", help="violations (default), hinge or quadratic; with --temperature")
    add("--kappa", type=float, metavar="K", help="margin (default 0); with --temperature or --capacities")
    add("--labels", help="teacher (default) or random; with --temperature")
    add("--coupling", type=float, metavar="L", help="to a sample of the first task (default 1); with --temperature")
    add("--capacities", action="store_true", help="storage capacities and learning of a teacher at zero temperature")
    add("--plot", type=place, metavar="FILE", help="draw a curve")
    add("--save", type=place, metavar="FILE", help="store a curve as HDF5")


def solve(options) -> int:
    """Run the command; returns the exit code."""
    if options.capacities:
        _refuse(options, "--capacities", "alpha", "beta", "kl", "branch", "second_alpha", "teacher_correlation", "second_kl",
                "temperature", "loss", "labels", "coupling", "plot", "save")
        return _capacities(0.0 if options.kappa is None else options.kappa)
    if options.alpha is None:
        raise ParameterError("--alpha is missing; give a load, for example --alpha 1.0, or a range, --alpha 0.01:2:200 "
                             "(or ask for --capacities)")
    if options.second_alpha is None:
        _refuse(options, "no --second-alpha", "teacher_correlation", "second_kl", "coupling")
    if options.temperature is not None:
        _refuse(options, "--temperature", "beta", "kl", "branch", "second_kl", "plot", "save")
        return _gibbs(options)
    _refuse(options, "no --temperature", "loss", "kappa", "labels", "coupling")
    return _field_space(options)


def _refuse(options, why: str, *names: str) -> None:
    """Options that say nothing here."""
    given = [f"--{name.replace('_', '-')}" for name in names if getattr(options, name) is not None]
    if given:
        raise ParameterError(f"{given[0]} has no meaning with {why}; leave it out")


def _number(name: str, text: str | None, default: float | None = None) -> float:
    """One number of an option that may be a range elsewhere."""
    from .theory_command import values_of

    if text is None:
        return default
    values = values_of(name, text)
    if values.size > 1:
        raise ParameterError(f"{name} {text} is a range; give one number here")
    return float(values[0])


def _print(name: str, state, quantities) -> None:
    numbers = "  ".join(f"{quantity} = {getattr(state, quantity):.10g}" for quantity in quantities)
    print(f"{name}: {numbers}  stable = {state.stable}  converged = {state.converged} (residual {state.residual:.1e})")


# ---- magnetisations --------------------------------------------------------------------------------------------------

def _field_space(options) -> int:
    from .theory import Perceptron
    from .theory_command import check_targets, values_of

    theory = Perceptron(20.0 if options.beta is None else options.beta)
    kl = 0.0 if options.kl is None else options.kl
    alpha = values_of("--alpha", options.alpha)
    if options.second_alpha is not None:
        return _second(theory, kl, options)
    if alpha.size == 1:
        _no_files(options, "--alpha 0.01:2:200")
        return _first(theory, float(alpha[0]), kl, options.branch)
    _refuse(options, "a range of --alpha, which shows all branches", "branch")
    if alpha.size > _MOST_LOADS:
        raise ParameterError(f"--alpha {options.alpha} has {alpha.size} values; at most {_MOST_LOADS} are solved at once")
    check_targets(options)
    curve = theory.curve(alpha, kl)
    for name in curve.names:
        row = curve.row(name)
        _range_of(name, alpha, curve.generalization_error[row], "generalization_error")
    _lines(theory, kl)
    return _files(curve, options)


def _first(theory, alpha: float, kl: float, branch: str | None) -> int:
    """One line per state at a load, and the loads at which states change."""
    found, missing = 0, []
    for name in ("poor", "good") if branch is None else (branch,):
        try:
            state = theory.first_task(alpha, kl=kl, branch=name)
        except NoSolution as error:
            missing.append(f"{name}: {error}")
            continue
        single = branch is None and theory.first_branches(kl).window is None
        _print("unique" if single else name, state, _FIRST)
        found += 1
        if single:
            break
    if not found:
        raise NoSolution("; ".join(missing))
    print(*missing, sep="\n", end="\n" if missing else "")
    _lines(theory, kl)
    return 0


def _lines(theory, kl: float) -> None:
    """Spinodals, transition and AT line, as far as they exist."""
    def spinodals():
        lower, upper = theory.spinodals(kl)
        return (f"alpha = {lower.alpha:.10g} to {upper.alpha:.10g}, generalization_error = "
                f"{lower.solution.generalization_error:.6g} (good), {upper.solution.generalization_error:.6g} (poor)")

    def transition():
        crossing = theory.transition(kl)
        return (f"alpha = {crossing.alpha:.10g}, generalization_error = {crossing.solution.generalization_error:.6g} to "
                f"{crossing.other.generalization_error:.6g}")

    lines = [("replica symmetry breaks", lambda: f"alpha = {theory.at_line(kl).alpha:.10g}")]
    if theory.first_branches(kl).window is None:
        print("transition: one smooth branch at all loads")
    else:
        lines = [("spinodals", spinodals), ("transition", transition), *lines]
    for name, text in lines:
        try:
            print(f"{name}: {text()}")
        except NoSolution as error:
            print(f"{name.removesuffix(' breaks')}: {error}")


def _second(theory, kl: float, options) -> int:
    from .theory_command import check_targets, values_of

    first = theory.first_task(_number("--alpha", options.alpha), kl=kl, branch=options.branch or "unique")
    loads, correlations, weights = (values_of(name, text) for name, text in (
        ("--second-alpha", options.second_alpha), ("--teacher-correlation", options.teacher_correlation or "0"),
        ("--second-kl", options.second_kl or "1")))
    points = loads.size * correlations.size * weights.size
    if points > _MOST_LOADS:
        raise ParameterError(f"--second-alpha, --teacher-correlation and --second-kl span {points} points; at most "
                             f"{_MOST_LOADS} are solved at once")
    if points == 1:
        _no_files(options, "--second-alpha 0.1:5:50")
    check_targets(options)
    if points == 1:
        return _second_point(theory, first, float(loads[0]), float(correlations[0]), float(weights[0]))
    found = theory.second_task_map(first, loads, correlations, weights)
    _print("first task", first, _FIRST)
    for i, weight in enumerate(weights):
        for j, correlation in enumerate(correlations):
            where = f"kl = {weight:g}, teacher_correlation = {correlation:g}, "
            for row, name in enumerate(found.names):
                for quantity in ("error_task1", "error_task2"):
                    _range_of(where + name, loads, getattr(found, quantity)[i, j, row], quantity)
    return _files(found, options)


def _second_point(theory, first, alpha: float, correlation: float, kl: float) -> int:
    """One line per state of the second task."""
    branches = theory.second_branches(first, correlation, kl)
    states, missing = {}, []
    for name in ("unique",) if branches.window is None else ("poor", "good"):
        try:
            states[name] = theory.second_task(first, alpha, correlation, kl=kl, branch=name)
        except NoSolution as error:
            missing.append(f"{name}: {error}")
    if not states:
        raise NoSolution("; ".join(missing))
    _print("first task", first, _FIRST)
    for name, state in states.items():
        _print(name, state, _SECOND)
    print(*missing, sep="\n", end="\n" if missing else "")
    return 0


def _range_of(name: str, alpha, values, quantity: str) -> None:
    """From where to where a branch was found, with its values at both ends."""
    import numpy as np

    there = np.flatnonzero(np.isfinite(values))
    if there.size:
        first, last = there[0], there[-1]
        print(f"{name}: {there.size} loads, alpha {alpha[first]:.6g} to {alpha[last]:.6g}, {quantity} {values[first]:.6g} to "
              f"{values[last]:.6g}")


def _no_files(options, example: str) -> None:
    if options.plot or options.save:
        raise ParameterError(f"--plot and --save draw and store curves; give a range, for example {example}")


def _files(record, options) -> int:
    """Store and draw a curve or a map."""
    from .theory_command import write

    if options.save:
        record.save(options.save)
    if options.plot:
        import matplotlib

        matplotlib.use("Agg")
        import matplotlib.pyplot as plt

        second = hasattr(record, "error_task1")
        figure, axes = plt.subplots(1, 1 + second, layout="constrained", figsize=(5.5 * (1 + second), 3.8), squeeze=False)
        for task, ax in enumerate(axes[0], 1):
            record.plot(ax, task=task) if second else record.plot(ax)
        write(options.plot, figure.savefig)
        plt.close(figure)
    return 0


# ---- binary weights --------------------------------------------------------------------------------------------------

def _gibbs(options) -> int:
    from .theory import Perceptron

    law = {name: getattr(options, name) for name in ("loss", "kappa", "labels") if getattr(options, name) is not None}
    first = Perceptron.gibbs(_number("--alpha", options.alpha), options.temperature, **law)
    more = ("cost",) if first.loss != "violations" else ()
    if options.second_alpha is not None:
        second = Perceptron.gibbs_second(first, _number("--second-alpha", options.second_alpha), options.temperature,
                                         1.0 if options.coupling is None else options.coupling,
                                         _number("--teacher-correlation", options.teacher_correlation, 0.0))
        _print("first task", first, _GIBBS + more)
        _print("second task", second, _COUPLED + more)
        return 0
    _print("gibbs", first, _GIBBS + more)
    try:
        edge = Perceptron.gibbs_transition(options.temperature, **law)
        print(f"equilibrium up to: alpha = {edge.alpha:.10g}, training_error = {edge.solution.training_error:.6g}")
    except NoSolution as error:
        print(f"equilibrium: {error}")
    return 0


def _capacities(kappa: float) -> int:
    from .theory import Perceptron

    binary, spherical = (Perceptron.storage_capacity(kind, kappa) for kind in ("binary", "spherical"))
    broken = Perceptron.storage_at_line(kappa)
    print(f"storage, binary weights, kappa = {kappa:g}: alpha = {binary:.10g} (replica symmetry breaks at {broken:.10g})")
    print(f"storage, spherical weights, kappa = {kappa:g}: alpha = {spherical:.10g}")
    crossing, end = Perceptron.teacher_student_transition(), Perceptron.teacher_student_spinodal()
    print(f"binary teacher and student: alpha = {crossing.alpha:.10g}, R = {crossing.solution.R:.10g} to 1; metastable up to "
          f"alpha = {end.alpha:.10g}, R = {end.solution.R:.10g}")
    print(f"at high temperature: alpha/T = {Perceptron.high_temperature_transition():.10g}, metastable up to "
          f"{Perceptron.high_temperature_spinodal():.10g}")
    return 0
