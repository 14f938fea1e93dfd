"""States of dense networks that follow one example: free energy, gradient, limits, relatives at P = 2, and their ends."""

import itertools
from functools import cache

import numpy as np
import pytest
from test_example_response import GAUSS, Z, condensed, fields

from hebb.errors import NoSolution, ParameterError
from hebb.params import DenseLaw
from hebb.theory import Dense, Multitask
from hebb.theory.example_states import ExampleEquations


@cache
def theory(p_body, r, n_examples):
    return Dense(p_body, r=r, n_examples=n_examples, protocol="unsupervised")


def free_energy(law, noise, g, C, gamma, temperature):
    """f of overlaps g (M,) over r that need not be equal, by enumeration of all examples; complex g and C too."""
    a, weight = fields(law, g)
    sigma = np.sqrt(gamma * noise.variance(C, temperature))
    h = a[:, None] + sigma * Z
    h = np.where(h.real > 0, h, -h)
    spin = weight @ (h + temperature * np.log1p(np.exp(-2 * h / temperature))) @ GAUSS
    return condensed(law, g) + gamma * noise.free_energy(C, temperature) - spin


LAWS = [(4, 0.8, 2), (4, 0.6, 5), (3, 0.7, 4), (2, 0.5, 3), (6, 0.9, 3)]


@pytest.mark.parametrize(("p_body", "r", "n_examples"), LAWS)
def test_update_is_the_gradient_of_the_free_energy(p_body, r, n_examples):
    """Off the saddle, by complex steps of another free energy; and the Jacobian by differences of the update."""
    equations = ExampleEquations(DenseLaw.from_keywords(p_body, r, n_examples, protocol="unsupervised"))
    law, noise, gamma, T = equations.law, equations.noise, 0.1, 0.3
    G, H, C = (np.array([x]) for x in (0.7, 0.4, 0.5))
    g, load, temperature = np.array([0.7, *[0.4] * (n_examples - 1)]) / r, np.array([gamma]), np.array([T])
    value = equations.free_energy(G, H, C, load, temperature)[0]
    assert value == pytest.approx(free_energy(law, noise, g, C[0], gamma, T), abs=1e-12)
    spin = equations.spin(G, H, equations.width(C, load, temperature), temperature)
    small = 1e-25
    by_example = [free_energy(law, noise, g + 1j * small * e, C[0], gamma, T).imag / small for e in np.eye(n_examples)[:2]]
    for slope, overlap, update in zip(by_example, (G[0], H[0]), spin.F[0], strict=False):
        factor = p_body * (p_body - 1) / 2 * law.signal / n_examples * (overlap / r) ** (p_body - 2)
        assert slope == pytest.approx(factor * (overlap - update) / r, abs=1e-12)
    step = 1e-5
    by_C = (free_energy(law, noise, g, C[0] + step, gamma, T) - free_energy(law, noise, g, C[0] - step, gamma, T)) / (2 * step)
    assert by_C == pytest.approx(gamma / 2 * noise.variance_slope(C[0], T) * (C[0] - spin.F[0, 2]), abs=1e-8)

    def excess(x):
        x = [np.array([item]) for item in x]
        return equations.spin(*x[:2], equations.width(x[2], load, temperature), temperature).F[0] - np.concatenate(x)

    x = np.array([0.7, 0.4, 0.5])
    numeric = np.array([(excess(x + step * e) - excess(x - step * e)) / (2 * step) for e in np.eye(3)]).T
    assert np.allclose(equations.jacobian(spin, G, H, C, load, temperature)[0], numeric, atol=1e-8)


@pytest.mark.parametrize(("p_body", "r", "n_examples"), LAWS)
def test_equal_overlaps_are_the_state_that_treats_examples_alike(p_body, r, n_examples):
    network = theory(p_body, r, n_examples)
    gamma, T = (0.002, 0.2) if p_body == 2 else (0.02, 0.2)
    alike = network.solve(gamma, T)
    overlap = r * alike.n * (1 + network.law.rho)
    same = ExampleEquations(network.law).states(overlap, overlap, alike.C, gamma, T)
    assert same.residual[0] < 1e-11
    for name in ("m", "n", "q", "free_energy", "entropy", "energy", "replicon"):
        assert getattr(same, name)[0] == pytest.approx(getattr(alike, name), abs=1e-12), name


def test_hessian_of_a_state_that_follows_one_example():
    """All M overlaps and the response: minimum over the former, maximum over q, by differences of another free energy."""
    for keywords, gamma, T in (((4, 0.8, 3), 0.02, 0.2), ((4, 0.8, 2), 0.05, 0.4), ((2, 0.3, 4), 0.005, 0.3)):
        network = theory(*keywords)
        state, noise = network.solve(gamma, T, branch="example"), network.branches.equations.noise
        law, M = network.law, keywords[2]
        x = np.array([state.example, *[state.others] * (M - 1), state.C])

        def f(x, law=law, noise=noise, gamma=gamma, T=T):
            return free_energy(law, noise, x[:-1] / law.r, x[-1], gamma, T)

        step, unit = 2e-4, np.eye(M + 1)
        hessian = np.array([[(f(x + step * (a + b)) - f(x + step * (a - b)) - f(x - step * (a - b)) + f(x - step * (a + b)))
                             / (4 * step**2) for b in unit] for a in unit])
        inner = hessian[:M, :M] - np.outer(hessian[:M, M], hessian[M, :M]) / hessian[M, M]
        assert state.stable and state.converged and np.linalg.eigvalsh(inner)[0] > 0
        if M > 2:
            rise = law.p_body * (law.p_body - 1) / 2 * law.signal / M * (state.others / law.r) ** (law.p_body - 2) / law.r**2
            parting = (hessian[1, 1] - hessian[1, 2])
            assert parting == pytest.approx(rise * (1 - state.others_response), abs=2e-6)


def test_two_body_states_without_load_are_those_of_multitasking_networks():
    """One pattern without zeros is the P = 2 network at gamma = 0, coded independently."""
    for r, n_examples, T in itertools.product((0.3, 0.5), (2, 6), (0.05, 0.4)):
        relative = Multitask(1, 0.0, r=r, n_examples=n_examples, protocol="unsupervised")
        try:
            expected = relative.solve(T, "example")
        except NoSolution:
            with pytest.raises(NoSolution, match="no state follows one example"):
                theory(2, r, n_examples).solve(0, T, branch="example")
            continue
        state = theory(2, r, n_examples).solve(0.0, T, branch="example")
        assert state.stable == expected.stable
        assert [state.m, state.n, state.example, state.others, state.free_energy] == pytest.approx(
            [*expected.m, *expected.n, *expected.example, *expected.others, expected.free_energy], abs=1e-10)


def test_one_example_alone_without_noise():
    """T = 0, gamma = 0, P = 4, r = 0.8, M = 2: s = eta_1, so that G' = r^2, m = r and e = -(kappa/2M r^P)(1 + r^8)."""
    network = theory(4, 0.8, 2)
    state = network.solve(0.0, 0.0, branch="example")
    assert (state.example, state.others, state.m) == pytest.approx((1, 0.64, 0.8), abs=1e-14)
    assert state.energy == pytest.approx(-network.law.signal / (4 * 0.8**4) * (1 + 0.8**8), abs=1e-14)


def test_entropy_is_the_derivative_of_the_free_energy():
    network = theory(4, 0.8, 3)
    states = [network.solve(0.02, T, branch="example") for T in (0.2, 0.1999, 0.2001)]
    assert -(states[2].free_energy - states[1].free_energy) / 2e-4 == pytest.approx(states[0].entropy, rel=1e-6)
    assert states[0].energy == states[0].free_energy + 0.2 * states[0].entropy


@pytest.mark.parametrize(("p_body", "r", "n_examples", "T"), [(4, 0.8, 3, 0.0), (4, 0.8, 3, 0.2), (2, 0.3, 3, 0.3),
                                                              (4, 0.8, 2, 0.1), (4, 0.8, 2, 0.4)])
def test_ends(p_body, r, n_examples, T):
    """States on one side, none on the other; two examples may end where their overlaps become equal, which is x = 1."""
    network = theory(p_body, r, n_examples)
    end = network.examples.spinodal(T)
    assert end.converged and end.residual < 1e-10 and end.solution.branch == "example"
    last = network.solve(end.gamma * (1 - 1e-6), T, branch="example")
    assert last.converged and abs(last.example - end.solution.example) < 0.01
    with pytest.raises(NoSolution, match="it ends at gamma"):
        network.solve(end.gamma * (1 + 1e-6), T, branch="example")
    along = network.curve(T, branch="example", points=5)
    assert along.gamma[-1] == pytest.approx(end.gamma) and np.all(np.isfinite(along.m)) and along.residual.max() < 1e-10
    if (n_examples, T) == (2, 0.4):
        onset = network.examples.onset(T)
        assert end.gamma == pytest.approx(onset.gamma, abs=1e-11) and end.solution.example == end.solution.others
        assert not network.solve(0.99 * onset.gamma, T).stable and network.solve(1.01 * onset.gamma, T).stable


def test_crossing_with_retrieval():
    network = theory(2, 0.5, 2)
    place = network.examples.crossing(0.45)
    assert place.converged and place.solution.stable and place.other.stable
    assert place.solution.free_energy == pytest.approx(place.other.free_energy, abs=1e-12)
    below, above = (network.solve(x * place.gamma, 0.45).free_energy
                    - network.solve(x * place.gamma, 0.45, branch="example").free_energy for x in (0.98, 1.02))
    assert below > 0 > above
    with pytest.raises(NoSolution, match="cross at no load"):
        theory(4, 0.8, 3).examples.crossing(0.2)


@pytest.mark.parametrize(("keywords", "words"), [({}, "protocol = 'storage'"), ({"rho": 0.1, "r": 0.7}, "rho = 0.1: states"),
                                                 ({"r": 0.8, "n_examples": 1}, "n_examples = 1: all examples")], ids=str)
def test_laws_without_single_examples(keywords, words):
    protocol = {"protocol": "unsupervised"} if keywords else {}
    with pytest.raises(ParameterError, match=words):
        Dense(4, **keywords, **protocol).solve(0.02, 0.2, branch="example")


def test_no_broken_ansatz():
    with pytest.raises(ParameterError, match="replica-symmetric only"):
        theory(4, 0.8, 2).solve(0.02, 0.2, ansatz="1RSB", branch="example")


def test_command_line_prints_the_state(capsys):
    from hebb.__main__ import main

    where = ["theory", "dense", "--p-body", "4", "--r", "0.8", "--n-examples", "2", "--protocol", "unsupervised",
             "--gamma", "0.02", "--temperature", "0.2"]
    assert main(where) == 0
    lines = {line.split(":")[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "example = 0.999831  others = 0.640167  stable = True" in lines["example"]
    assert "example response = 3.2077  stable = False" in lines["retrieval"]
