"""Corners of the allowed ranges: values that rounding would eat, and limits that are known in closed form."""

import math
from fractions import Fraction

import numpy as np
import pytest

from hebb.errors import NoSolution, ParameterError
from hebb.progress import Progress
from hebb.theory import Dense, Multitask, Perceptron, example_scaling, noise_load, tolerable_noise
from hebb.theory.vertices import hierarchical

HUGE = 10**400


@pytest.mark.parametrize(("p_body", "hamiltonian"), [(3, "distinct"), (4, "distinct"), (20, "distinct"), (4, "naive")])
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


@pytest.mark.parametrize("n_patterns", [61, 2000, 10**6])
def test_hierarchical_state_of_any_number_of_patterns(n_patterns):
    """T = 0 in closed form: m_k = p d^(k-1); it ends at d = 1/2 to rounding."""
    state = Multitask(n_patterns, 0.3).solve(0.0)
    assert state.branch == "hierarchical" and state.m[:3] == pytest.approx(0.7 * 0.3 ** np.arange(3), rel=1e-14)
    assert state.free_energy == pytest.approx(-0.49 / (2 * 0.91), rel=1e-14)
    assert [one.branch for one in Multitask(n_patterns, 0.5).states(0.0)] == ["hierarchical"]
    assert Multitask(n_patterns, 0.500001).states(0.0) == []


def test_closed_form_of_the_hierarchical_vertex_is_the_counted_one():
    counted, closed = hierarchical(60), hierarchical(61)
    d = np.array([0.0, 0.2, 0.5, 0.9])
    assert closed.m(d)[:, :60] == pytest.approx(counted.m(d), rel=1e-12, abs=1e-300)
    exact = Fraction(1, 3)
    assert closed.m(exact)[:60] == counted.m(exact) and closed.energy(exact) == -sum(m * m for m in closed.m(exact)) / 2
    for d in (Fraction(1, 2), Fraction(1, 2) + Fraction(1, 2**62) - Fraction(1, 2**80)):
        assert closed.exists(d) and hierarchical(60).exists(d)
    assert not closed.exists(Fraction(1, 2) + Fraction(1, 2**61)) and counted.exists(Fraction(1, 2) + Fraction(1, 2**61))


def test_more_patterns_than_states_can_be_looked_for():
    many = Multitask(1000, 0.35)
    assert [state.branch for state in many.states(1.3)] == ["paramagnet"]          # above T_c nothing is looked for
    assert many.states(0.65)[0].free_energy == pytest.approx(-0.65 * math.log(2))
    for call in (lambda: many.states(0.3), lambda: many.solve(0.3), lambda: Multitask(10**6, 0.3).stability_edge(),
                 lambda: Multitask(10**6, 0.3, rho=1.0).solve(0.0), lambda: Multitask.phase_diagram(10**6, [0.5], [0.1]),
                 lambda: Multitask.parallel_dilution(1000)):  # fmt: skip
        with pytest.raises(ParameterError, match="is more than 200"):
            call()
    with pytest.raises(ParameterError, match="name a column"):
        many.critical_examples(0.5)
    assert many.critical_examples(0.5, column=[1, -1] + [0] * 998).snr == pytest.approx(0.65 / math.hypot(1, 0.35))


@pytest.mark.filterwarnings("error")
def test_one_step_from_overlaps_of_any_size():
    """At T = 0 the direction alone counts; at T > 0 fields that no sum of waves reaches are refused with one that works."""
    theory = Multitask(3, 0.3, rho=1.0)
    expected = theory.one_step([1.0, 1.0, 0.0])
    for size in (1e-300, 1e-160, 1e160, 1e300):
        assert theory.one_step([size, size, 0.0]) == pytest.approx(expected, rel=1e-13)
    exact = Multitask(3, 0.3, r=0.5, n_examples=3)
    with pytest.raises(ParameterError, match="temperature above") as caught:
        exact.one_step([1e300, 1.0, 0.0], 1e-300)
    assert np.isfinite(exact.one_step([1e300, 1.0, 0.0], 1.01 * float(str(caught.value).split()[-1]))).all()


def test_example_crossing_reaches_zero_temperature_smoothly():
    assert Multitask(2, 0.3).example_crossing(1e-5).rho == pytest.approx(Multitask(2, 0.3).example_crossing(0.0).rho, rel=1e-6)


@pytest.mark.parametrize(("call", "allowed"), [
    (lambda: Perceptron(5.0).first_task(10.0, kl=1e300, branch="good"), "kl = 1e+300 is not a number in [0, 20000]"),
    (lambda: Perceptron(5.0).transition(kl=1e300), "kl = 1e+300 is not a number in [0, 20000]"),
    (lambda: Perceptron(5.0).curve([1e-12, 1e12]), "in [1e-100, 1000.0]"),
    (lambda: Perceptron(5.0).curve([1e-300, 1.0]), "in [1e-100, 1000.0]"),
    (lambda: Perceptron(1e-300), "beta = 1e-300 is not a number in [1e-40, 10000]"),
    (lambda: noise_load(1e200, 10, 4), "w = 1e+200 on 10 spins is a load beyond the floats; lower w"),
    *((lambda size=size, call=call: getattr(hierarchical(size), call)(HUGE), "in [0, 1]")
      for size in (3, 90) for call in ("m", "energy", "exists")),
    (lambda: Perceptron.gibbs(1e300, 1.0), "alpha = 1e+300 is not a number in [0, 1e+12]"),
    (lambda: Perceptron.gibbs(1e-300, 1e-4, "quadratic", -10.0, "random"), "between 0 and 1e-100")])  # fmt: skip
def test_calls_name_the_range_of_what_they_follow(call, allowed):
    """Before, calls without an end, OverflowError or MemoryError."""
    with pytest.raises(ParameterError) as caught:
        call()
    assert allowed in str(caught.value)


def test_loads_below_the_floats():
    """N^(P-1) is beyond the floats, the noise that retrieval survives is not."""
    for p_body, n_spins in ((4, 100), (20, 10**18)):
        w = tolerable_noise(p_body, n_spins)
        assert noise_load(w, n_spins, p_body) == pytest.approx(Dense(p_body).spinodal(0.0).gamma, rel=1e-12)


def test_stiff_perceptron_at_small_loads():
    """kl -> infinity: m is Gaussian of variance 1/c, c = beta kl, around h/c, so that 1 - qd -> 1; r of order alpha."""
    state = Perceptron(5.0).first_task(10.0, kl=1e4)
    assert state.converged and state.qd - state.q0 == pytest.approx(1 / 5e4, rel=1e-2)
    assert state.r1 == pytest.approx(state.r1_hat / 5e4, rel=2e-3)
    assert state.q0 - state.r1**2 == pytest.approx(state.q0_hat / 5e4**2, rel=5e-3)


@pytest.mark.parametrize("call", [lambda: Perceptron(0.5).first_task(1e-12, kl=1e4, qd=1 - 1e-12),
                                  lambda: Perceptron(1e4).first_task(1e3),
                                  lambda: Perceptron.gibbs(1e12, 0.01, "violations", 10.0)])  # fmt: skip
def test_perceptrons_that_nothing_can_be_said_of(call):
    """Singular matrices, averages of fields that no memory holds, and free entropies that differ by less than rounding."""
    with pytest.raises(NoSolution):
        call()


@pytest.mark.parametrize(("loss", "kappa", "temperature"), [("violations", 0.02, 0.5), ("hinge", 0.1, 0.5)])
def test_perfect_state_of_a_margin_pays_for_each_example_once(loss, kappa, temperature):
    """w = W has stabilities |z|: its free entropy is -(alpha/T) E V(|z|), which the other state meets at the transition."""
    end = Perceptron.gibbs_transition(temperature, loss, kappa)
    inside, peak = math.erf(kappa / math.sqrt(2)), math.sqrt(2 / math.pi)
    mean = inside if loss == "violations" else kappa * inside + peak * math.expm1(-kappa**2 / 2)
    assert end.converged and end.solution.free_entropy == pytest.approx(-end.alpha / temperature * mean, rel=1e-10)


@pytest.mark.parametrize(("rho", "temperature", "remedy"), [(1e12, 1e-8, "lower rho"), (1e6, 0.1, "lower rho"),
                                                            (1.0, 1 - 1e-11, "lower the temperature")])  # fmt: skip
def test_states_that_rounding_cannot_tell_apart(rho, temperature, remedy):
    """Before, an empty list at rho = 1e12, and at 1e6 a state named after what its start had left."""
    with pytest.raises(NoSolution, match=remedy):
        Multitask(7, 0.0, rho=rho).states(temperature)
    assert [state.branch for state in Multitask(7, 0.2, rho=1e3).states(0.1)] == ["parallel"]
    assert [state.branch for state in Multitask(7, 0.0).states(1 - 1e-6)] == ["pure"]


@pytest.mark.parametrize("call", [lambda: Multitask(2, 0.3).example_crossing(0.05),
                                  lambda: Multitask.phase_diagram(6, [0.2, 0.4], [0.2, 0.5])])  # fmt: skip
def test_long_searches_count_their_steps(call, monkeypatch, capsys):
    """A line after every step here, one a minute where steps take long; before, some searches said nothing for minutes."""
    started = Progress.__init__
    monkeypatch.setattr(Progress, "__init__", lambda self, *a, **k: started(self, *a, **(k | {"every": 0.0})))
    call()
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("hebb: ") and "min left" in line]
    total = int(lines[0].split(" of ")[1].split()[0])
    assert 20 <= len(lines) <= 1.2 * total
