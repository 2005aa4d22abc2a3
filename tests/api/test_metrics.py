"""Prometheus can read it: every line is a type or a sample, every series stands once."""

from __future__ import annotations

import re

from hapair.api.metrics import metrics
from hapair.api.stats import rows
from hapair.vrrp.status import RouterState, RouterStatus

SAMPLE = re.compile(r'([a-z_0-9]+)(\{(?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*\})? (-?[0-9.]+)')


def router(**more) -> RouterStatus:
    values = {
        "name": "web",
        "state": RouterState.MASTER,
        "since": 1.0,
        "cause": "x",
        "transitions": 2,
        "priority": 150,
        "effective_priority": 150,
        "why": "",
        "peer": None,
        "misplaced_addresses": 5,
        "duplicate_masters": 2,
        "duplicate_master_seconds": 1.25,
        "adverts_sent": 10,
        "adverts_received": 3,
        "drops": {"checksum": 4},
    }
    return RouterStatus(**{**values, **more})


def parsed(text: str) -> dict[str, float]:
    found: dict[str, float] = {}
    types: dict[str, str] = {}
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, type_ = line.split(" ")
            assert name not in types, f"{name} is declared twice"
            types[name] = type_
            continue
        sample = SAMPLE.fullmatch(line)
        assert sample is not None, line
        assert sample[1] in types, line
        series = sample[1] + (sample[2] or "")
        assert series not in found, f"{series} stands twice"
        found[series] = float(sample[3])
    return found


def test_haproxys_names_and_labels(plane, verdicts):
    plane.set_server_up("be", "s2", up=False)
    found = parsed(metrics(rows(plane, verdicts), [], 3, {}))
    assert found["haproxy_process_current_connections"] == 3
    assert found['haproxy_server_weight{proxy="be",server="s1"}'] == 10
    assert found['haproxy_server_status{proxy="be",server="s1",state="UP"}'] == 1
    assert found['haproxy_server_status{proxy="be",server="s2",state="UP"}'] == 0
    assert found['haproxy_server_status{proxy="be",server="s2",state="DOWN"}'] == 1
    assert found['haproxy_server_status{proxy="be",server="s3",state="UP"}'] == 1
    assert found['haproxy_frontend_http_responses_total{proxy="fe",code="5xx"}'] == 0


def test_the_virtual_routers(plane, verdicts):
    found = parsed(metrics(rows(plane, verdicts), [router()], 0, {}))
    assert found['hapair_vrrp_state{instance="web",state="MASTER"}'] == 1
    assert found['hapair_vrrp_state{instance="web",state="BACKUP"}'] == 0
    assert found['hapair_vrrp_dropped_total{instance="web",reason="checksum"}'] == 4


def test_labels_are_escaped(plane, verdicts):
    text = metrics(rows(plane, verdicts), [], 0, {"fe": {'a "quoted"\nback\\slash': 1}})
    assert (
        parsed(text)['hapair_frontend_refused_total{proxy="fe",reason="a \\"quoted\\"\\nback\\\\slash"}'] == 1
    )


def test_notifications_that_were_left_out_are_counted(plane, verdicts):
    found = parsed(metrics(rows(plane, verdicts), [], 0, {}, {"fifo": 3}))
    assert found['hapair_notifications_lost_total{to="fifo"}'] == 3
