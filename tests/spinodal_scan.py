"""Where spinodal(T) of random datasets jumps: python tests/spinodal_scan.py [COUNT [SEED]]

For each network: replica-symmetric loads at 49 temperatures; steps that stand out are halved until they shrink or stay. A
step that stays is shown with its replicons and with 1RSB on both sides: replica symmetry is broken there, and 1RSB goes on.
COUNT: 200 by default, half an hour on one core.
"""

import sys

import numpy as np

from hebb.errors import NoSolution
from hebb.theory import Dense

_HALVINGS = 14
_STAYS = 0.02          # of the load: a step of this size that survives all halvings is a jump


def random_network(rng: np.random.Generator) -> Dense:
    p_body = int(rng.choice([2, 3, 4, 6]))
    protocol = str(rng.choice(["supervised", "unsupervised"]))
    r = float(rng.uniform(0.15, 0.95))
    if rng.random() < 0.7:
        return Dense(p_body, r=r, n_examples=int(rng.choice([2, 3, 4, 5, 7, 10, 20])), protocol=protocol)
    rho = float(np.exp(rng.uniform(np.log(0.02), np.log(5))))
    return Dense(p_body, rho=rho, protocol=protocol, **({"r": r} if protocol == "unsupervised" else {}))


def jumps(network: Dense, points: int = 49) -> list[tuple[float, float, float, float]]:
    """(T below, load, T above, load) of steps of the spinodal that do not shrink with the step in T."""
    branches = network.branches
    T = branches.retrieval.start_temperature * np.linspace(0.0, 0.98, points)
    loads = branches.spinodal_loads(T)
    found = []
    for k in range(points - 1):
        (low, first), (high, second) = (T[k], loads[k]), (T[k + 1], loads[k + 1])
        if abs(second - first) < _STAYS * max(first, second):
            continue
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            load = float(branches.spinodal_loads(np.array([middle]))[0])
            if abs(load - first) > abs(second - load):
                high, second = middle, load
            else:
                low, first = middle, load
            if abs(second - first) < _STAYS / 2 * max(first, second):
                break
        else:
            found.append((low, first, high, second))
    return found


def main(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    kept, several = 0, 0
    for index in range(count):
        network = random_network(rng)
        T = network.branches.retrieval.start_temperature * np.linspace(0.0, 0.98, 49)
        several += bool((network.branches.retrieval.segments(T).count > 1).any())
        for low, first, high, second in jumps(network):
            kept += 1
            replicons = [network.spinodal(x).solution.replicon for x in (low, high)]
            ends = []
            for x in (low * (1 - 1e-3), high * (1 + 1e-3)):
                try:
                    ends.append(f"{network.spinodal(x, '1RSB').gamma:.6f}")
                except NoSolution as error:
                    ends.append(f"none ({error})")
            print(f"{index} {network!r}: T = {low:.6f}, RS {first:.6f} -> {second:.6f}, replicons {replicons[0]:+.3f} "
                  f"{replicons[1]:+.3f}; 1RSB {' -> '.join(ends)}", flush=True)
    print(f"{count} networks, {several} with several stretches, {kept} steps of the RS spinodal that stay")


if __name__ == "__main__":
    main(*(int(x) for x in (sys.argv[1:] + ["200", "1"][len(sys.argv) - 1:])))
