"""Checks by program and by file, through the schedule."""

from __future__ import annotations

import os

import pytest
import trio
from health.test_service import KEY, plan

from hapair.config.asks import ExternalCheck, FileCheck
from hapair.config.model import Backend, Check, CheckKind, Server
from hapair.health.plan import plan_for
from hapair.health.programs import Programs
from hapair.health.service import HealthService
from hapair.kernel.script_safety import Account


def us(_user):
    return Account(os.geteuid(), os.getegid(), ())


async def first_verdict(nursery, check, *, account=us):
    send, receive = trio.open_memory_channel(100)
    service = HealthService(
        lambda _key, verdict: send.send_nowait(verdict), elsewhere=Programs(account).check
    )
    await nursery.start(service.run)
    service.replace({KEY: check})
    with trio.fail_after(5):
        return await receive.receive()


def external(*words: str, dynamic: bool = False, **more):
    ask = ExternalCheck(words, dynamic=dynamic)
    server = Server("s1", 7, "192.0.2.1", 8080, maxconn=50, check=Check(CheckKind.EXTERNAL, ask=ask, **more))
    return plan_for(Backend("app", (server,)), server)


async def test_a_program_gets_haproxys_arguments_and_environment(nursery):
    names = "$HAPROXY_PROXY_NAME $HAPROXY_SERVER_NAME $HAPROXY_SERVER_ID $HAPROXY_SERVER_MAXCONN"
    script = f'echo "$@ {names}"; exit 3'
    verdict = await first_verdict(nursery, external("/bin/sh", "-c", script, "check"))
    assert not verdict.up
    assert verdict.outcome.description == (
        'External check error, code: 3, info: "NOT_USED NOT_USED 192.0.2.1 8080 app s1 7 50"'
    )


async def test_a_program_that_passes_may_say_the_weight(nursery):
    verdict = await first_verdict(nursery, external("/bin/sh", "-c", "exit 12", dynamic=True))
    assert (verdict.up, verdict.outcome.status, verdict.outcome.weight) == (True, "PROCOK", 10)


async def test_a_program_that_hangs_is_killed_in_time(nursery):
    verdict = await first_verdict(nursery, external("/bin/sh", "-c", "sleep 60", inter=0.1))
    assert (verdict.up, verdict.outcome.status) == (False, "PROCTOUT")


async def test_a_program_that_cannot_be_run_says_why(nursery):
    verdict = await first_verdict(nursery, external("/nonexistent/program"))
    assert verdict.outcome.status == "PROCERR"
    assert "No such file" in verdict.outcome.info


async def test_nobody_to_run_it_as_is_a_failure_too(nursery):
    verdict = await first_verdict(
        nursery, external("/bin/true"), account=lambda _user: "there is no user x here"
    )
    assert verdict.outcome.description == 'External check error, info: "there is no user x here"'


@pytest.mark.parametrize(("content", "up"), [("0\n", True), ("-1", False), (None, False)])
async def test_a_file_decides_by_its_number(nursery, tmp_path, content, up):
    file = tmp_path / "weight"
    if content is not None:
        file.write_text(content)
    check = plan(0, kind=CheckKind.FILE, ask=FileCheck(str(file)))
    assert (await first_verdict(nursery, check)).up is up
