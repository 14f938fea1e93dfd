"""The short form of tests/campaign.py."""

import pytest
from campaign import SHORT, Campaign

pytestmark = pytest.mark.promise  # runs end bit for bit like undisturbed ones, or what is wrong is said


@pytest.fixture
def campaign(tmp_path):
    return Campaign(tmp_path, 7, SHORT)


@pytest.mark.parametrize("part", ["kills", "flips", "disks"])
def test_a_part(campaign, part):
    getattr(campaign, part)()
    assert not campaign.failures and campaign.counts["runs compared" if part != "flips" else "flips noticed"] > 0


def test_two_stops(campaign):
    campaign.stops(["TERM"], ["hmc"])
    campaign.stops(["USR1"], ["second_task"])
    assert not campaign.failures and campaign.counts["runs compared"] == 2


def test_what_is_silent_is_found(campaign, monkeypatch):
    """A run whose results differ from the undisturbed ones is a failure, or else the campaign shows nothing."""
    name = campaign.names[0]
    campaign.undisturbed(name)["done"] = ~campaign.undisturbed(name)["done"]
    campaign.require_same_end(campaign.job_file(name, often=False), campaign.place / "run", name, "changed")
    assert campaign.failures == ["changed: the results differ"]
