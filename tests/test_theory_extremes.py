"""Corners of the allowed ranges: values that rounding would eat, and limits that are known in closed form."""

import math

import numpy as np
import pytest

from hebb.errors import NoSolution, ParameterError
from hebb.theory import Dense, Multitask, Perceptron, example_scaling

HUGE = 10**400


@pytest.mark.parametrize(("p_body", "hamiltonian"), [(3, "distinct"), (4, "distinct"), (20, "distinct"), (4, "naive"), (6, "naive")])
@pytest.mark.parametrize("temperature", [1e-3, 1e-9, 1e-20, 1e-120, 1e-200])
@pytest.mark.filterwarnings("error")
def test_paramagnet_keeps_its_digits_at_every_temperature(p_body, hamiltonian, temperature):
    """Everything is explicit at q = 0, where what rounding leaves of 1 - T C is multiplied by gamma/T^2."""
    theory, gamma = Dense(p_body, hamiltonian=hamiltonian), 0.7
    noise = theory.branches.equations.noise
    state = theory.solve(gamma, temperature, branch="paramagnet")
    f = -temperature * math.log(2) - gamma * noise.g(1.0) / (4 * temperature)
    assert state.q == 0 and state.free_energy == pytest.approx(f, rel=1e-14)
    assert state.energy == pytest.approx(-gamma * noise.g(1.0) / (2 * temperature), rel=1e-14)
    with np.errstate(over="ignore"):
        entropy = math.log(2) - gamma * noise.g(1.0) / 4 / np.float64(temperature) / temperature
        replicon = 1 - gamma * noise.g(0.0, 2) / 2 / np.float64(temperature) / temperature
    assert state.entropy == pytest.approx(entropy, rel=1e-13) and state.replicon == pytest.approx(replicon, rel=1e-13)
    assert state.stable == (hamiltonian == "distinct")


@pytest.mark.parametrize("scale", [1e-3, 1e-9, 1e-100])
def test_mixture_glass_depends_on_the_load_over_the_temperature_squared(scale):
    """gamma, T -> s^2 gamma, s T multiplies all energies of the glass by s, however small they are."""
    theory = Dense(4, hamiltonian="naive")
    one, small = theory.solve(1.0, 1.2, branch="glass"), theory.solve(scale**2, 1.2 * scale, branch="glass")
    assert small.converged and small.q == pytest.approx(one.q, rel=1e-12)
    assert small.free_energy / scale == pytest.approx(one.free_energy, rel=1e-13)
    assert small.replicon == pytest.approx(one.replicon, rel=1e-11)


@pytest.mark.parametrize(("theory", "gamma", "temperature"), [
    (Dense(2), 1e-290, 0.5), (Dense(2), 1e-290, 1e-12), (Dense(2), 1.0, 2 * (1 - 1e-9)), (Dense(2), 1e-12, 1 + 1e-6 - 1e-9),
    (Dense(4, hamiltonian="naive"), 1.0, math.sqrt(3) * (1 - 1e-10))])  # fmt: skip
def test_glass_that_rounding_leaves_nothing_of_is_no_state(theory, gamma, temperature):
    """NaN or noise before; the remedy that the message offers works."""
    with pytest.raises(NoSolution, match="lost in rounding") as caught:
        theory.solve(gamma, temperature, branch="glass")
    number = float(str(caught.value).split()[-1])
    point = (1.01 * number, temperature) if "take gamma" in str(caught.value) else (gamma, number)
    assert theory.solve(*point, branch="glass").residual < 1e-4


@pytest.mark.parametrize("call", [
    lambda: Dense(4).phase_diagram([HUGE], [0.1]), lambda: Dense(4).phase_diagram([0.1], ["0.1"]),
    lambda: Dense(4).complexity(1.0, 0.1, [HUGE]), lambda: example_scaling(4, 0.1, 0.1, r=[HUGE] * 4),
    lambda: Multitask(3, 0.3).one_step(HUGE), lambda: Multitask(3, 0.3).one_step([HUGE, 1, 1]),
    lambda: Multitask(3, 0.3).one_step([1, 1, 1], HUGE), lambda: Multitask(3, 0.3).critical_examples(0.5, [HUGE, 1, 1]),
    lambda: Multitask(3, 0.3).critical_examples(0.5, None, [HUGE, 1, 1]), lambda: Multitask.phase_diagram(2, [HUGE], [0.1]),
    lambda: Perceptron(1.0).curve([HUGE]), lambda: Perceptron(1.0).curve([0.1], kl=HUGE)])  # fmt: skip
def test_integers_beyond_the_floats_are_refused(call):
    with pytest.raises(ParameterError, match="is not|does not hold") as caught:
        call()
    assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)
