"""Two files that make a pair, or do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from hapair.config import check_pair
from hapair.config.load import load, load_text
from hapair.rules.acl import acl_mistake, condition_mistake
from hapair.rules.actions import rule_mistake

PAIR = Path(__file__).parents[2] / "configs/pair"

NODE = """
[node]
name = "{node}"

[vrrp.web]
interface = "eth0"
virtual_router_id = 51
addresses = ["192.0.2.100/24"]
priority = {priority}
{more}

[backend.app]
timeout = {{ connect = "1s", server = "1s" }}
server.a = {{ address = "192.0.2.10:80", check = true }}
"""

SECOND = """
[vrrp.in]
interface = "eth1"
virtual_router_id = 51
addresses = ["198.51.100.100/24"]
priority = {priority}

[sync_group.edge]
instances = ["web", "in"]
"""


def side(file: str, text: str) -> check_pair.Side:
    return check_pair.side(file, text, load_text(text, file, {}).config)


def node(file: str, priority: int, more: str = "", rest: str = "") -> check_pair.Side:
    text = NODE.format(node=file, priority=priority, more=more)
    return side(file, text + rest)


def said(one: check_pair.Side, other: check_pair.Side) -> list[str]:
    return [
        f"{found.file}: {found.severity}: {found.path}: {found.message}"
        for found in check_pair.check(one, other)
    ]


def only(one: check_pair.Side, other: check_pair.Side) -> str:
    (message,) = said(one, other)
    return message


def test_a_pair_that_fits_has_nothing_to_say():
    assert said(node("a", 150), node("b", 100)) == []


def test_the_pair_of_the_examples_fits():
    sides = []
    for name in ("lb-a.toml", "lb-b.toml"):
        loaded = load(
            PAIR / name,
            {},
            acl_mistake=acl_mistake,
            condition_mistake=condition_mistake,
            rule_mistake=rule_mistake,
        )
        sides.append(check_pair.side(name, loaded.source, loaded.config))
    assert said(*sides) == []


@pytest.mark.parametrize(
    ("mine", "theirs", "place", "words"),
    [
        ("version = 2", "", "b: error: vrrp.web.version", "neither understands"),
        ("version = 2\nauth_pass = 'x'", "version = 2", "b: error: vrrp.web.auth_pass", "neither believes"),
        (
            "version = 2\nadvert_interval = '2s'",
            "version = 2",
            "b: error: vrrp.web.advert_interval",
            "drops other intervals",
        ),
        ("advert_interval = '2s'", "", "b: warning: vrrp.web.advert_interval", "it is 2s at vrrp.web in a"),
        ("down_timer_adverts = 5", "", "b: warning: vrrp.web.down_timer_adverts", "the same on both"),
        (
            "skew = false",
            "",
            "b: warning: vrrp.web.skew",
            "it is false at vrrp.web in a: failover takes longer",
        ),
        ("checksum = 'pseudo'", "checksum = 'rfc9568'", "b: error: vrrp.web.checksum", "neither"),
        ("unicast_peers = ['192.0.2.12']", "", "b: error: vrrp.web.unicast_peers", "this one multicast"),
        ("", "unicast_peers = ['192.0.2.11']", "a: error: vrrp.web.unicast_peers", "this one multicast"),
        (
            "unicast_peers = ['192.0.2.12']\nmulticast = false",
            "multicast = true",
            "b: error: vrrp.web.unicast_peers",
            "this one multicast",
        ),
        (
            "source_address = '192.0.2.11'\nunicast_peers = ['192.0.2.12']",
            "unicast_peers = ['192.0.2.13']",
            "b: error: vrrp.web.unicast_peers",
            "sends from 192.0.2.11, which is not among these",
        ),
    ],
)
def test_what_keeps_two_routers_apart_is_told_where_it_is(mine, theirs, place, words):
    message = only(node("a", 150, mine), node("b", 100, theirs))
    assert message.startswith(place)
    assert words in message


def test_other_addresses_or_another_vrid_are_no_pair():
    other = NODE.format(node="b", priority=100, more="")
    message = only(node("a", 150), side("b", other.replace("51", "52")))
    assert message.startswith("b: error: vrrp.web.virtual_router_id: it is another one")
    message = only(node("a", 150), side("b", other.replace("100/24", "101/24")))
    assert message.startswith("b: error: vrrp.web.addresses: they are others")


def test_a_router_without_a_counterpart_is_named():
    lonely = NODE.format(node="b", priority=100, more="").replace("100/24", "101/24").replace("51", "52")
    assert said(node("a", 150), side("b", lonely)) == [
        "a: warning: vrrp.web: b has no router for these addresses",
        "b: warning: vrrp.web: a has no router for these addresses",
    ]


def test_equal_priorities_leave_it_to_the_addresses():
    assert only(node("a", 100), node("b", 100)).startswith("b: warning: vrrp.web.priority")
    assert only(node("a", 255), node("b", 255)).startswith("b: error: vrrp.web.priority")


def test_the_same_name_twice_is_noticed():
    assert only(side("a", NODE.format(node="x", priority=1, more="")), node("x", 100)).startswith(
        "x: warning: node.name"
    )


@pytest.mark.parametrize(
    ("track", "verdict"),
    [
        ("'backend.app weight -51'", None),
        ("'backend.app weight -50'", "even when all of it fails the priority is 100"),
        ("'backend.app weight 20'", "even when all of it fails the priority is 150"),
        ("'backend.app'", None),
        ("'backend.app weight 0'", None),
        ("['backend.app weight -20', 'backend.app>=1 yield']", '"backend.app>=1 weight -20" alone'),
        ("['backend.app weight -40', 'backend.app>=1 weight -60']", '"backend.app>=1 weight -40" alone'),
    ],
)
def test_weights_must_bring_the_better_one_below_the_other(track, verdict):
    messages = said(node("a", 150, f"track = {track}"), node("b", 100))
    assert [message for message in messages if not (verdict and verdict in message)] == []
    assert len(messages) == (1 if verdict else 0)


def test_the_better_one_may_be_in_the_second_file():
    message = only(node("a", 100), node("b", 150, "track = 'backend.app weight -10'"))
    assert message.startswith("b: error: vrrp.web.track: even when all of it fails the priority is 140")


def test_a_peer_that_does_not_preempt_makes_weights_useless():
    message = only(node("a", 150, "track = 'backend.app weight -60'"), node("b", 100, "preempt = false"))
    assert message.startswith("b: error: vrrp.web.preempt: with preempt = false it leaves the MASTER alone")


def test_what_one_member_of_a_group_tracks_is_counted_for_the_other():
    a = node("a", 150, "track = 'backend.app weight -10'", SECOND.format(priority=150))
    b = node("b", 100, "", SECOND.format(priority=100))
    paths = [message.split(": ")[2] for message in said(a, b)]
    assert paths == ["vrrp.web.track", "vrrp.in.track"]


def test_a_group_whose_members_prefer_different_nodes_is_fought_over():
    a, b = node("a", 150, "", SECOND.format(priority=100)), node("b", 100, "", SECOND.format(priority=150))
    assert only(a, b).startswith("a: error: sync_group.edge.instances: web and in prefer different nodes")


def test_a_group_on_one_side_only_is_noticed():
    a = node("a", 150, "", SECOND.format(priority=150))
    alone = SECOND.format(priority=100).partition("[sync_group")[0]
    assert "sync_group.edge of a has no counterpart" in only(a, node("b", 100, "", alone))


BELONGS = """
[peers]
listen = "192.0.2.1{own}:1024"
peer = "192.0.2.1{other}:1024"

[backend.shop]
mode = "http"
stick_table = {{ type = "string", store = "{store}" }}
stick = "on path"
cookie = {{ name = "{cookie}", mode = "insert", dynamic = true }}
dynamic_cookie_key = "{key}"
timeout = {{ connect = "1s", server = "1s" }}
server.one = {{ address = "192.0.2.21:80", id = {id}, cookie = "{value}" }}
"""
SAME = {"store": "gpc0", "cookie": "SID", "key": "secret", "id": 1, "value": "one"}


def belongs(own: int, other: int, **changed: object) -> str:
    return BELONGS.format(own=own, other=other, **{**SAME, **changed})


def test_nodes_that_place_clients_alike_and_share_their_tables():
    assert not said(node("a", 150, rest=belongs(1, 2)), node("b", 100, rest=belongs(2, 1)))


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"own": 3}, "b: error: peers.listen: a seeks its peer at 192.0.2.12:1024"),
        ({"other": 3}, "b: error: peers.peer: a listens at 192.0.2.11:1024"),
        ({"store": "gpt0"}, "backend.shop.stick_table: it has other keys, or stores other things, in a"),
        ({"cookie": "ID"}, "backend.shop.cookie: it is called SID in a"),
        ({"key": "x"}, "backend.shop.dynamic_cookie_key: it is another one in a"),
        ({"id": 2}, "server.one.id: in a the id of this address is 1: its clients would be moved"),
        ({"value": "1"}, 'server.one.cookie: in a the cookie of this address is "one"'),
    ],
)
def test_nodes_that_would_move_a_client_at_a_failover(changed, complaint):
    other = belongs(**{"own": 2, "other": 1, **changed})
    assert complaint in only(node("a", 150, rest=belongs(1, 2)), node("b", 100, rest=other))


def test_only_one_shares():
    alone = belongs(2, 1)
    complaint = only(
        node("a", 150, rest=belongs(1, 2)), node("b", 100, rest=alone[alone.index("[backend.shop]") :])
    )
    assert "a: warning: peers: b has none" in complaint
