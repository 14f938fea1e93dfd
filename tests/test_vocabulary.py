"""Words of other fields and programs: each is answered by what to write, and what to write is known."""

import re

import pytest
from conftest import TINY

from hebb import models, vocabulary
from hebb.errors import ParameterError
from hebb.models import _KINDS
from hebb.params import LOSSES, PROTOCOLS, check_choice, check_keys
from hebb.runs.plan import Plan
from hebb.runs.settings import LOGS, RUN, SAMPLING
from hebb.sampling.chain import chain_class
from hebb.sampling.starts import STARTS

TABLES = {
    "SAMPLING_KEYS": SAMPLING, "RUN_KEYS": RUN, "JOB_KEYS": ("name", "seed"), "KINDS": _KINDS, "STARTS": STARTS,
    "PROTOCOLS": PROTOCOLS, "LOSSES": LOSSES, "LOGS": LOGS,
    "SECTIONS": ("[job]", "[model]", "[sampling]", "[run]", "[sampling.learning]"),
}


def written(advice):
    """What "write X" names; [] of advice to leave something out."""
    return re.findall(r'write (?:the loads? (?:of both tasks, |as )|kind = |\[model\] )?"?(\[[a-z.]+\]|\w+)', advice)


@pytest.mark.parametrize("table", TABLES)
def test_advice_names_what_there_is(table):
    for word, advice in getattr(vocabulary, table).items():
        assert word == word.lower() and word not in TABLES[table]
        assert all(name in (*TABLES[table], "temperature") for name in written(advice)), (word, advice)
        assert written(advice) or advice.startswith("leave it out") or "give an array" in advice, (word, advice)


@pytest.mark.parametrize("kind", _KINDS)
def test_advice_names_keys_of_its_kind(kind):
    for word, advice in vocabulary.model_keys(kind).items():
        names = written(advice)
        assert all(name in (*models.keys(kind), "temperature", "kind", "together") for name in names), (word, advice)
        assert names or advice.startswith("leave it out") or " is " in advice, (word, advice)


def test_advice_names_dynamics_there_are():
    for word, advice in vocabulary.DYNAMICS.items():
        named = re.findall(r'(?:write|is) "(\w+)"', advice)
        assert len(named) == 1 and chain_class(named[0]), (word, advice)


@pytest.mark.parametrize(
    "old, new, message",
    [
        ('"dense"', '"hopfield"', "kind = .hopfield. is not one of dense, .*; write kind = .dense. with p_body = 2, "),
        ('"dense"', '"Dense"', "did you mean 'dense'"),
        ('"dense"', '"SK"', 'write kind = "dense" with p_body = 2 and a large gamma'),
        ('"dense"', '"multitasking"', 'write kind = "multitask"'),
        ("n_patterns = 2", "alpha = 0.1", r"unknown key 'alpha' in \[model\]; write the load as gamma: with p_body = 2 it is"),
        ("n_patterns = 2", "load = 0.1", "write the load as gamma"),
        ("n_patterns = 2", "K = 2", "unknown key 'K' .*; write n_patterns"),
        ("p_body = 2", "P = 2", "the interaction order P is p_body"),
        ("n_spins", "N", "write n_spins"),
        ("n_spins", "n-neurons", "write n_spins"),
        ("temperature", "beta", "write temperature, which is 1/beta"),
        ("temperature", "T", "write temperature"),
        ("n_patterns = 2", "dilution = 0.2", "unknown key 'dilution' .*; kind = 'multitask' has it"),
        ("n_patterns = 2", "kl = 1", "kind = 'variational_perceptron' has it"),
        ("n_patterns = 2", 'gamma = 0.1\nprotocol = "Hebbian"', "write \"storage\""),
        ("replicas = 2", 'dynamics = "metropolis-hastings"', 'write "metropolis"'),
        ("replicas = 2", 'dynamics = "Metropolis"', "did you mean 'metropolis'"),
        ("replicas = 2", 'dynamics = "heat bath"', 'write "glauber"'),
        ("replicas = 2", 'start = "retrieval"', r"start = 'retrieval' is not one of planted, random, .*; write \"planted\""),
        ("replicas = 2", "burn_in = 3", "write thermalize"),
        ("replicas = 2", "temperature = 0.3", r"unknown key 'temperature' in \[sampling\]; it belongs to \[model\]"),
        ("replicas = 2", "seed = 3", r"it belongs to \[job\]"),
        ("seed = 5", "sweeps = 5", r"it belongs to \[sampling\]"),
        ("[sampling]", "[run]\nranks = 4\n[sampling]", "ranks are counted on the command line"),
        ("[sampling]", "[simulation]", r"unknown key 'simulation' .*; write \[sampling\]"),
    ],
)  # fmt: skip
def test_other_words_are_answered(old, new, message):
    text = TINY.replace(old, new, 1)
    assert text != TINY
    with pytest.raises(ParameterError, match=message):
        Plan.from_text(text)


def test_a_misprint_is_still_a_misprint():
    with pytest.raises(ParameterError, match="did you mean 'n_spins'"):
        check_keys("[model]", ["n_spinz"], ["n_spins"], vocabulary.model_keys("dense"))
    with pytest.raises(ParameterError, match="is not one of a, b$"):
        check_choice("x", "nothing like it", ["a", "b"], vocabulary.KINDS)
    with pytest.raises(ParameterError, match="3 is not one of a, b$"):
        check_choice("x", 3, ["a", "b"], vocabulary.KINDS)
