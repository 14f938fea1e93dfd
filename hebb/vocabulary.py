"""What the same things are called elsewhere: words that a physicist may write, and what to write instead.

Nothing here is accepted as input, one thing has one name. Words are found in any case, and with "-" and " " for "_".
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

__all__ = ["COMMANDS", "DYNAMICS", "JOB_KEYS", "KINDS", "LOGS", "LOSSES", "OPTIONS", "PROTOCOLS", "RUN_KEYS", "SAMPLING_KEYS",
           "SECTIONS", "STARTS", "THEORIES", "hint", "model_keys", "nearest"]


def _spread(entries: Mapping[str, str]) -> dict[str, str]:
    """word -> what to write, of lists of words with one answer."""
    return {word: text for words, text in entries.items() for word in words.split()}


_HOPFIELD = "write kind = \"dense\" with p_body = 2, whose load alpha = K/N is gamma"

KINDS = _spread({
    "hopfield hebb hebbian amit ags associative_memory attractor classic standard little rbm boltzmann": _HOPFIELD,
    "dense_hopfield dense_associative_memory dam modern_hopfield krotov p_body p_spin pspin higher_order":
        "write kind = \"dense\" with p_body = P",
    "sk sherrington_kirkpatrick spin_glass glass ea edwards_anderson":
        "write kind = \"dense\" with p_body = 2 and a large gamma, a spin glass of couplings of variance gamma/N",
    "multitasking multi_tasking multitask_hopfield diluted dilute parallel": "write kind = \"multitask\"",
    "binary_perceptron ising_perceptron teacher_student gardner student committee": "write kind = \"perceptron\"",
    "two_tasks second coupled franz_parisi": "write kind = \"second_task\"",
    "variational continual vcl bayes bayesian field_space": "write kind = \"variational_perceptron\"",
    "deep mlp nn bnn dnn ann neural_network variational_network": "write kind = \"network\"",
})

_ANY_MODEL = _spread({
    "beta inverse_temperature b": "write temperature, which is 1/beta",
    "t temp temperatures kt": "write temperature",
    "model type name": "write kind",
    "j j0": "leave it out: energies and temperatures are in units of the coupling",
    "zip zipped paired pairs parallel side_by_side": "write together",
    "field fields h external_field": "leave it out: external fields are given from Python, models.Dense(..., fields=...)",
})
_SPINS = _spread({
    "n size l n_neurons neurons n_units units spins n_nodes nodes num_spins num_neurons number_of_spins n_sites sites dim "
    "dimension n_inputs n_weights": "write n_spins",
})
_PATTERNS = _spread({
    "k n_memories memories num_patterns number_of_patterns n_pattern stored n_stored": "write n_patterns",
})
_DATASET = _spread({
    "m n_samples num_examples number_of_examples examples n_data": "write n_examples",
    "quality q": "write r",
    "entropy dataset_entropy": "write rho",
})
_LOAD = _SPINS | _spread({"gamma load": "write the load as alpha = K/N"})
_COST = _spread({"margin stability": "write kappa", "cost": "write loss"})
_TEACHERS = _spread({"correlation r0 r_0": "write teacher_correlation"})
_MODELS = {
    "dense": _SPINS | _PATTERNS | _DATASET | _spread({
        "alpha load": "write the load as gamma: with p_body = 2 it is alpha = K/N, with p_body = P it is (P!/2) K/N^(P-1)",
        "p": "the interaction order P is p_body, and a number of patterns is n_patterns",
        "interaction_order degree body n_body p_spin": "write p_body",
        "images data dataset": "write patterns = \"mnist\", \"fashion-mnist\", \"digits\" or a folder",
    }),
    "multitask": _SPINS | _PATTERNS | _DATASET | _spread({
        "alpha load": "write the load as gamma = K/ln N",
        "p": "a number of patterns is n_patterns, and the share 1 - p of zero entries is dilution",
        "d dilute sparsity zeros": "write dilution",
    }),
    "perceptron": _LOAD | _COST | _PATTERNS | _spread({
        "p m n_examples num_examples examples": "write n_patterns, or the load alpha",
    }),
    "second_task": _LOAD | _COST | _TEACHERS | _spread({
        "k p m n_patterns n_examples n_memories": "write the loads of both tasks, first_alpha and alpha",
        "alpha1 alpha_1": "write first_alpha", "alpha2 alpha_2 second_alpha": "write alpha", "lambda": "write coupling",
    }),
    "variational_perceptron": _LOAD | _TEACHERS | _spread({
        "k p m n_patterns n_examples n_tasks first_alpha alpha1 alpha2 second_alpha":
            "write the load as alpha = K/N, those of several tasks as a list in a list, alpha = [[2.0, 1.0]]",
        "lambda weight": "write kl",
    }),
    "network": _spread({
        "n_spins n size width hidden sizes n_hidden depth architecture":
            "write layers, a list in a list, layers = [[784, 512, 10]]",
        "patterns data dataset": "write images",
        "lambda weight": "write strength",
        "tasks n_patterns": "write n_tasks",
    }),
}


def model_keys(kind: str) -> dict[str, str]:
    """word -> what to write among the [model] keys of this kind."""
    return _ANY_MODEL | _MODELS[kind]


SAMPLING_KEYS = _spread({
    "n_sweeps sweep steps n_steps mc_steps mcs mcsteps n_measurements measurements iterations n_iter epochs "
    "time t_max tmax length": "write sweeps",
    "burn_in burnin burn equilibration equilibrate warmup warm_up n_therm therm thermalization thermalisation t_eq":
        "write thermalize",
    "n_replicas replica r chains n_chains runs": "write replicas",
    "n_disorder disorders disorder_samples samples n_samples realizations realisations n_realizations instances":
        "write disorder",
    "thin thinning stride interval every measure skip decorrelation": "write measure_every",
    "algorithm update updates move moves method sampler scheme": "write dynamics",
    "init initial initial_state initialization initialisation start_from initial_condition": "write start",
    "noise flip flips flip_probability": "write corruption",
    "parallel_tempering replica_exchange pt exchange": "write tempering = true",
    "swap_every exchange_interval n_exchange": "write exchange_every",
    "beta": "write [model] temperature = 1/beta",
    "save_spins keep store_spins": "write keep_spins",
})

RUN_KEYS = _spread({
    "time time_limit timeout wall_time wall max_time limit": "write walltime",
    "checkpoint checkpoint_interval save_every checkpoints": "write checkpoint_every",
    "ranks cores processes n_ranks n_cores nproc np threads workers jobs n_jobs":
        "leave it out: ranks are counted on the command line, hebb run JOB.toml --ranks N",
    "out output folder outdir directory path":
        "leave it out: the run folder is given on the command line, hebb run JOB.toml --out DIR",
    "log_level loglevel level verbose verbosity logging quiet": "write log",
    "resume": "leave it out: runs are continued on the command line, hebb run JOB.toml --resume",
})

JOB_KEYS = _spread({"title job_name label id": "write name", "random_seed rng": "write seed"})

LOGS = _spread({
    "debug all everything verbose task": "write \"tasks\"",
    "info progress default summary minute": "write \"minutes\"",
    "warning warn error errors quiet none off": "write \"warnings\"",
})

SECTIONS = _spread({
    "simulation simulate montecarlo monte_carlo mc mcmc chain chains dynamics run_parameters": "write [sampling]",
    "network hopfield dense system parameters physics params": "write [model]",
    "general project info": "write [job]",
    "slurm mpi cluster resources execution": "write [run]",
    "learning": "write [sampling.learning]",
})

DYNAMICS = _spread({
    "metropolis_hastings mh mcmc mc monte_carlo montecarlo random_walk": "write \"metropolis\"",
    "heat_bath heatbath gibbs": "write \"glauber\", which draws each spin from its law in the field of the others",
    "zero zero_t t0 greedy quench hopfield deterministic asynchronous": "write \"zero_temperature\", with temperature = 0",
    "synchronous parallel little": "of parallel updates there is \"plefka\", that of mean-field magnetisations",
    "tap mean_field meanfield amp belief_propagation bp": "write \"plefka\", with expansion = \"tap\" or \"mean_field\"",
    "tempering parallel_tempering replica_exchange pt exchange": "write \"metropolis\", with tempering = true",
    "sgd adam gradient_descent gd": "write \"gradient\", with optimizer in [sampling.learning]",
    "hamiltonian hybrid hybrid_monte_carlo hamiltonian_monte_carlo langevin": "write \"hmc\"",
    "backprop bp_through_time training train": "write \"backpropagation\"",
    "hs gaussian block_gibbs": "write \"hubbard_stratonovich\"",
})

STARTS = _spread({
    "pattern patterns retrieval retrieved memory stored ordered cold ferromagnetic pure aligned": "write \"planted\"",
    "hot disordered paramagnet paramagnetic uniform infinite_temperature": "write \"random\"",
    "noisy cue perturbed flipped corrupt": "write \"corrupted\", with a share corruption of flipped spins",
    "mixture symmetric spurious": "write \"parallel\" for a multitasking network, or give an array from Python",
    "student": "write \"random\"",
})

PROTOCOLS = _spread({"hebb hebbian none standard clean": "write \"storage\"", "average averaged": "write \"supervised\""})
LOSSES = _spread({"zero_one 0_1 gibbs error errors step theta": "write \"violations\"",
                  "square squared mse l2": "write \"quadratic\"", "relu perceptron linear svm": "write \"hinge\""})


#: Commands, models of `hebb theory`, and options of each command.
COMMANDS = _spread({
    "simulate sim start execute submit launch sample train": "write hebb run",
    "resume continue restart": "write hebb run JOB.toml --resume",
    "plan validate dry_run lint estimate": "write hebb check",
    "progress state list ls": "write hebb status",
    "collect gather join combine": "write hebb merge",
    "validate_theory agreement zscores": "write hebb compare",
    "solve diagram phase_diagram dense multitask perceptron hopfield": "write hebb theory MODEL",
    "benchmark speed": "write hebb bench",
    "version": "write hebb --version",
    "cite citation about": "write hebb info",
    "help": "write hebb --help",
})
THEORIES = _spread({
    "hopfield classic ags sk": "write hebb theory dense --p-body 2, whose load alpha is --gamma",
    "p_spin pspin p_body": "write hebb theory dense --p-body P",
    "multitasking diluted": "write hebb theory multitask",
    "binary_perceptron variational variational_perceptron second_task continual": "write hebb theory perceptron",
})
_INFINITE = "leave it out: the theory is that of infinitely many spins"
_RESULTS = _spread({"output out o file": "write --save FILE", "figure fig image": "write --plot FILE"})
OPTIONS = {
    "run": _spread({
        "n np nproc cores processes workers j jobs threads": "write --ranks N",
        "o output dir folder": "write --out DIR",
        "restart continue c": "write --resume",
        "v verbose q quiet progress log log_level":
            "write --set run.log=tasks, which is a line in log.txt for every task; hebb status says how far a run is",
        "seed temperature sweeps disorder gamma": "write --set SECTION.KEY=VALUE: it is a key of the job file",
        "override param define d": "write --set SECTION.KEY=VALUE",
    }),
    "check": _spread({
        "calibrate benchmark measure time": "write --probe",
        "override param define d": "write --set SECTION.KEY=VALUE",
    }),
    "dense": _RESULTS | _spread({
        "alpha load": "write --gamma, which with --p-body 2 is alpha",
        "beta": "write --temperature, which is 1/beta",
        "t temp": "write --temperature",
        "p order": "write --p-body",
        "m": "write --n-examples",
        "n n_spins k n_patterns": _INFINITE,
        "rsb 1rsb": "write --ansatz 1RSB",
    }),
    "multitask": _RESULTS | _spread({
        "beta": "write --temperature, which is 1/beta",
        "t temp": "write --temperature",
        "k p": "write --n-patterns",
        "d": "write --dilution",
        "m": "write --n-examples",
        "n n_spins gamma alpha load": _INFINITE + " and finitely many patterns",
    }),
    "perceptron": _RESULTS | _spread({
        "gamma load": "write --alpha",
        "t temp": "write --temperature",
        "n n_spins k n_patterns": _INFINITE,
        "margin": "write --kappa",
    }),
    "compare": _spread({"output out o save table": "write --csv FILE", "figure fig": "write --plot FILE"}),
    "bench": _spread({"output out o save": "write --json FILE"}),
}


def hint(word, instead: Mapping[str, str], choices: Iterable[str] = ()) -> str:
    """A clause to append to "... is not known": what to write for word, or which of choices is nearest; "" if neither."""
    if not isinstance(word, str):
        return ""
    plain = _plain(word)
    for choice in choices:
        if plain == _plain(choice):
            return f"; did you mean {choice!r}?"
    if plain in instead:
        return f"; {instead[plain]}"
    return nearest(word, choices)


def nearest(word: str, choices: Iterable[str]) -> str:
    """A clause with the choice that word may be a misprint of; "" if there is none."""
    near = difflib.get_close_matches(word, tuple(choices), n=1) or difflib.get_close_matches(word.lower(), tuple(choices), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _plain(word: str) -> str:
    return word.strip().lower().replace("-", "_").replace(" ", "_")
