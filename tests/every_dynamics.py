"""A small job of every dynamics, for what must hold of all of them."""

import importlib.util

import pytest

from hebb.sampling.options import CLASS_DYNAMICS, TRAINING

__all__ = ["JOBS", "job", "of_every_dynamics", "runs_here"]

_DENSE = 'kind = "dense"\nn_spins = 40\np_body = 4\nn_patterns = 300\ntemperature = 0.5'
_MULTITASK = 'kind = "multitask"\nn_spins = 40\nn_patterns = 2\ndilution = 0.3\ntemperature = 0.2'
_PERCEPTRON = ('kind = "second_task"\nn_spins = 51\nfirst_alpha = 1.0\nalpha = 0.5\nteacher_correlation = 0.3\ncoupling = 1.0\n'
               'reference_sweeps = 30\ntemperature = 0.8')
_FIELDS = ('kind = "variational_perceptron"\nn_spins = 25\nalpha = [[1.0, 0.6]]\nteacher_correlation = 0.5\nkl = [[0.0, 1.0]]\n'
           'temperature = {}')

#: Name -> the tables [model] and [sampling], without thermalize, sweeps, measure_every, disorder and replicas.
JOBS = {
    "metropolis": (_DENSE, ""),
    "sequential": (_DENSE, 'order = "sequential"\nstart = "corrupted"\ncorruption = 0.1'),
    "glauber": (_DENSE, 'dynamics = "glauber"'),
    "zero_temperature": (_DENSE.replace("0.5", "0.0"), 'dynamics = "zero_temperature"\nstart = "random"'),
    "plefka": (_DENSE, 'dynamics = "plefka"\nexpansion = "tap"\nstart = "random"\ndamping = 0.3'),
    "lumped": (_MULTITASK, 'dynamics = "lumped"'),
    "hubbard_stratonovich": (_MULTITASK, 'dynamics = "hubbard_stratonovich"'),
    "ladder": (_DENSE.replace("0.5", "[0.4, 0.6, 0.9]"), 'tempering = true\nexchange_every = 3'),
    "second_task": (_PERCEPTRON, 'start = "reference"'),
    "gradient": (_FIELDS.format("0.0"), 'dynamics = "gradient"\nstart = "random"\n[sampling.learning]\nepochs = [14, 12]\n'
                                        'learning_rate = 0.02\nbatch_size = 5'),
    "hmc": (_FIELDS.format("0.5"), 'dynamics = "hmc"\nstart = "random"\n[sampling.learning]\nsteps = 4\ntune_sweeps = 50\n'
                                   'reference_sweeps = 15'),
    "backpropagation": ('kind = "network"\nlayers = [[64, 10, 10]]\nimages = "digits"\nn_tasks = 2\nn_train = 200\n'
                        'n_test = 100\nmethod = "ewc"\ntemperature = 0.0',
                        'dynamics = "backpropagation"\nstart = "random"\n[sampling.learning]\nepochs = 12'),
}


def runs_here(name: str) -> bool:
    """Whether this machine has what these dynamics need."""
    return name != "backpropagation" or all(importlib.util.find_spec(module) for module in ("torch", "sklearn"))


def job(name: str, sweeps: int, thermalize: int = 5, measure_every: int = 1, disorder: int = 1,
        checkpoint_every: str = "01:00:00") -> str:
    """The text of a job file, which keeps spins where there are any."""
    model, sampling = JOBS[name]
    replicas = 1 if name == "backpropagation" else 2
    spins = str(name not in (*CLASS_DYNAMICS, *TRAINING)).lower()
    return (f'[job]\nname = "{name}"\nseed = 5\n[model]\n{model}\n[sampling]\nthermalize = {thermalize}\nsweeps = {sweeps}\n'
            f'measure_every = {measure_every}\ndisorder = {disorder}\nreplicas = {replicas}\nkeep_spins = {spins}\n{sampling}\n'
            f'[run]\ncheckpoint_every = "{checkpoint_every}"\n')


of_every_dynamics = pytest.mark.parametrize("name", [
    pytest.param(name, marks=[pytest.mark.deep, pytest.mark.skipif(not runs_here(name), reason="PyTorch or scikit-learn are "
                                                                                               "missing")]
                 if name == "backpropagation" else [])
    for name in JOBS])
