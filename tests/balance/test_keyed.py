"""Every algorithm against what was recorded from the real HAProxy, and against the real one itself."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import seeds
from balance import keyed, keyed_oracle
from balance.keyed import KINDS, LETTERS, play

from hapair.balance.base import ALGORITHMS


@pytest.mark.parametrize("kind", KINDS)
def test_every_choice_that_was_recorded_from_haproxy_is_met(kind):
    recorded = [one for one in json.loads(keyed_oracle.GOLDEN.read_text()) if one["kind"] == kind]
    assert len(recorded) == keyed_oracle.EACH
    for scenario in recorded:
        assert play(scenario) == scenario["order"], scenario


@pytest.mark.interop
@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_haproxy_and_we_agree_on_scenarios_never_seen_before(kind, tmp_path: Path):
    seed = seeds.draw()
    chance = random.Random(seed)
    for number in range(5):
        scenario = keyed.scenario(kind, chance)
        folder = tmp_path / str(number)
        folder.mkdir()
        assert play(scenario) == keyed_oracle.play(scenario, folder), (seed, scenario)


@pytest.mark.interop
@pytest.mark.slow
def test_haproxy_and_we_walk_along_the_ring_alike_for_requests_without_a_key(tmp_path: Path):
    scenario = {
        "balance": "url_param k",
        "hash_type": "consistent",
        "factor": 0,
        "allbackups": False,
        "servers": [
            {"weight": weight, "id": id_, "backup": False} for weight, id_ in ((1, 7), (3, 2), (2, 900))
        ],
        "steps": [["ask", "/", "10.0.0.1", None]] * 120,
    }
    assert play(scenario) == keyed_oracle.play(scenario, tmp_path)


def test_the_scenarios_leave_no_algorithm_out_but_the_one_of_chance():
    asked = {
        one["balance"].partition("(")[0].split()[0] for one in json.loads(keyed_oracle.GOLDEN.read_text())
    }
    assert asked | {"random"} == set(ALGORITHMS)
    assert len(LETTERS) >= 6
