"""hapair against the corpus of HTTP/1 byte strings: nothing malformed or ambiguous gets through."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from app.node import running
from conformance.runner import REQUESTS, RESPONSES, Verdict, judge, load, summary
from ports import free_port

NODE = """
[node]
name = "corpus"
log = {{ target = "stdout" }}

[defaults]
mode = "http"
log_format = "httplog"
forwardfor = {{}}

[defaults.timeout]
http_request = "2500ms"
http_keep_alive = "2500ms"
connect = "2s"
client = "5s"
server = "2500ms"

[frontend.main]
bind = ["127.0.0.1:{front}"]
default_backend = "oracle"

[backend.oracle]
server.oracle = {{ address = "127.0.0.1:{back}" }}
"""


AT_ONCE = 5
"""Nodes: each case waits more than it works."""


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory) -> list[Verdict]:
    """The whole corpus, once: a part of it for each node."""

    def part(number: int) -> list[Verdict]:
        front, back = free_port(), free_port()
        config = tmp_path_factory.mktemp("corpus") / "node.toml"
        config.write_text(NODE.format(front=front, back=back))
        with running(config) as daemon:
            found = judge(
                ("127.0.0.1", front),
                ("127.0.0.1", back),
                request_cases=load(REQUESTS)[number::AT_ONCE],
                response_cases=load(RESPONSES)[number::AT_ONCE],
                expect_xff=True,
            )
            assert daemon.process.poll() is None, daemon.text()
            assert "bug in the data plane" not in daemon.text()
        return found

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return [verdict for found in pool.map(part, range(AT_ONCE)) for verdict in found]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_case_has_an_outcome_that_the_rfcs_allow(verdicts):
    failed = [verdict for verdict in verdicts if verdict.verdict == "FAIL"]
    assert len(verdicts) == 260
    assert not failed, "\n".join([summary(verdicts), *(f"{v.id}: {v.description}: {v.why}" for v in failed)])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_case_has_the_hardened_outcome(verdicts):
    lenient = [verdict for verdict in verdicts if verdict.verdict == "OK"]
    assert not lenient, "\n".join(f"{v.id}: {v.description}: {v.why}" for v in lenient)
