"""Rulesets as nft 1.0.6 prints them, and what they mean for adverts."""

from __future__ import annotations

import json

import pytest
from kernel.namespaces import Namespace

from hapair.doctor.firewall import Answer, adverts

CHAIN = "add chain inet f i {{ type filter hook input priority 0; policy {policy}; }}"

CASES = {
    "nothing": ("accept", [], Answer.PASSES),
    "nothing, policy drop": ("drop", [], Answer.DROPPED),
    "established and ssh only": (
        "drop",
        ["ct state established,related accept", "iif lo accept", "tcp dport 22 accept"],
        Answer.DROPPED,
    ),
    "vrrp is let in": ("drop", ["tcp dport 22 accept", "ip protocol 112 accept"], Answer.PASSES),
    "by number, among others": ("drop", ["meta l4proto { 6, 112 } accept"], Answer.PASSES),
    "vrrp is dropped": ("accept", ["ip protocol 112 drop"], Answer.DROPPED),
    "vrrp is rejected": ("accept", ["meta l4proto 112 reject"], Answer.DROPPED),
    "all but vrrp is let in": ("drop", ["meta l4proto != 112 accept"], Answer.DROPPED),
    "everything is dropped at the end": ("accept", ["tcp dport 22 accept", "counter drop"], Answer.DROPPED),
    "the first match counts": ("accept", ["ip protocol 112 accept", "ip protocol 112 drop"], Answer.PASSES),
    "only counted": ("accept", ["ip protocol 112 counter"], Answer.PASSES),
    "new connections are let in": ("drop", ["ct state new accept"], Answer.PASSES),
    "from one address": ("drop", ["ip saddr 192.0.2.2 accept"], Answer.UNSURE),
    "one address is dropped": ("accept", ["ip saddr 192.0.2.2 drop"], Answer.UNSURE),
    "unsure before it is let in": (
        "accept",
        ["ip saddr 192.0.2.2 drop", "ip protocol 112 accept"],
        Answer.UNSURE,
    ),
}


@pytest.fixture(scope="module")
def namespace():
    made = Namespace()
    yield made
    made.close()


@pytest.mark.netns
@pytest.mark.parametrize("case", CASES)
def test_the_ruleset_is_read_as_nft_prints_it(namespace, case):
    policy, rules, answer = CASES[case]
    commands = ["flush ruleset", "add table inet f", CHAIN.format(policy=policy)]
    commands += [f"add rule inet f i {rule}" for rule in rules]
    namespace.run("nft", "-f", "-", stdin="\n".join(commands) + "\n")
    ruleset = json.loads(namespace.run("nft", "-j", "list", "ruleset"))
    assert adverts(ruleset, 4)[0] is answer


def test_a_jump_is_not_followed_but_not_trusted_either():
    jump = {"family": "ip", "table": "f", "chain": "i", "expr": [{"jump": {"target": "x"}}]}
    chain = {"family": "ip", "table": "f", "name": "i", "hook": "input", "policy": "drop"}
    ruleset = {"nftables": [{"chain": chain}, {"rule": jump}]}
    assert adverts(ruleset, 4) == (Answer.UNSURE, "ip f i")
    assert adverts(ruleset, 6) == (Answer.PASSES, "")


def test_chains_of_other_hooks_do_not_count():
    chain = {"family": "inet", "table": "f", "name": "o", "hook": "output", "policy": "drop"}
    assert (
        adverts({"nftables": [{"chain": chain}, {"chain": {**chain, "hook": None}}]}, 4)[0] is Answer.PASSES
    )
