"""The schedule against real sockets on loopback: every way a server can be up, down or odd."""

from __future__ import annotations

import contextlib
import logging
import re
import socket
import struct
import threading
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing
from ports import free_port

from hapair.config.model import CheckKind, HttpCheck, InitState, OnError
from hapair.health.plan import CheckPlan
from hapair.health.service import HealthService, ServerKey

KEY = ServerKey("web", "one")


def plan(port: int, *, http: bool = False, inter: float = 0.05, **more) -> CheckPlan:
    values = {
        "kind": CheckKind.HTTP if http else CheckKind.TCP,
        "host": "127.0.0.1",
        "port": port,
        "http": HttpCheck("GET", "/health") if http else None,
        "inter": inter,
        "fastinter": inter,
        "downinter": inter,
        "rise": 2,
        "fall": 3,
        "connect_timeout": 0.3,
        "read_timeout": None,
    }
    return CheckPlan(**{**values, **more})


class Watch:
    """Collects verdicts and lets a test wait for one."""

    def __init__(self, **limits) -> None:
        self.send, self._receive = trio.open_memory_channel(100_000)
        self.service = HealthService(self._report, **limits)

    def _report(self, key, verdict):
        self.send.send_nowait((key, verdict))

    async def next(self):
        with trio.fail_after(5):
            return (await self._receive.receive())[1]

    async def keys(self, count):
        with trio.fail_after(5):
            return [(await self._receive.receive())[0] for _ in range(count)]


@pytest.fixture
async def watch(nursery):
    found = Watch()
    await nursery.start(found.service.run)
    return found


async def serve(nursery, behave) -> int:
    async def guarded(stream):
        try:
            await behave(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    listeners = await nursery.start(partial(trio.serve_tcp, guarded, 0, host="127.0.0.1"))
    return listeners[0].socket.getsockname()[1]


async def hang(_):
    await trio.sleep_forever()


def descriptors() -> int:
    """Sockets and epolls that are open; what a lookup left behind is reading is not ours to count."""
    found = 0
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found += str(link.readlink()).startswith(("socket:", "anon_inode:"))
    return found


@pytest.fixture
def silent_port():
    """The kernel accepts there; nobody ever says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as listener:
        yield listener.getsockname()[1]


async def test_a_server_that_accepts_is_up(watch, nursery):
    watch.service.replace({KEY: plan(await serve(nursery, lambda stream: stream.aclose()))})
    verdict = await watch.next()
    assert (verdict.up, verdict.changed, verdict.outcome.status, verdict.health) == (
        True,
        False,
        "L4OK",
        "3/3 UP",
    )


async def test_a_refused_connection_takes_an_unchecked_server_down_at_once(watch):
    watch.service.replace({KEY: plan(free_port())})
    verdict = await watch.next()
    assert (verdict.up, verdict.changed, verdict.outcome.status) == (False, True, "L4CON")
    assert verdict.outcome.description == 'Layer4 connection problem, info: "Connection refused"'


async def test_an_address_that_swallows_packets_times_out(watch):
    with socket.socket() as full:
        # A full backlog: the kernel drops further SYNs.
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        watch.service.replace({KEY: plan(full.getsockname()[1])})
        verdict = await watch.next()
        assert (verdict.up, verdict.outcome.status) == (False, "L4TOUT")
        assert 0.28 <= verdict.outcome.duration < 1
        for filler in fillers:
            filler.close()


async def test_rise_and_fall_are_followed_over_time(watch, nursery):
    port = free_port()
    watch.service.replace({KEY: plan(port)})
    assert (await watch.next()).health == "0/2 DOWN"
    listeners = await trio.open_tcp_listeners(port, host="127.0.0.1")
    while (verdict := await watch.next()).health == "0/2 DOWN":
        pass
    assert (verdict.health, verdict.up) == ("1/2 DOWN", False)
    verdict = await watch.next()
    assert (verdict.health, verdict.up, verdict.changed) == ("3/3 UP", True, True)
    for listener in listeners:
        await listener.aclose()


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "L7OK", 200),
        (b"HTTP/1.1 503 No\r\n\r\n", "L7STS", 503),
        (b"\x16\x03\x01garbage", "L7RSP", 0),
        (b"", "L7RSP", 0),
        (b"HTTP/1.1 200 OK" + b"x" * 100_000, "L7RSP", 0),
    ],
)
async def test_http_answers(watch, nursery, answer, status, code):
    async def behave(stream):
        received = await stream.receive_some(1000)
        assert received == b"GET /health HTTP/1.0\r\n\r\n"
        if answer:
            await stream.send_all(answer)
        await stream.aclose()

    watch.service.replace({KEY: plan(await serve(nursery, behave), http=True)})
    verdict = await watch.next()
    assert (verdict.outcome.status, verdict.outcome.code) == (status, code)
    assert verdict.up == (status == "L7OK")


async def test_an_answer_byte_by_byte_is_understood(watch, nursery):
    async def behave(stream):
        await stream.receive_some(1000)
        for byte in b"HTTP/1.1 204 No Content\r\n\r\n":
            await stream.send_all(bytes([byte]))

    watch.service.replace({KEY: plan(await serve(nursery, behave), http=True)})
    assert (await watch.next()).outcome.status == "L7OK"


async def test_a_server_that_hangs_times_out_in_the_read(watch, nursery):
    watch.service.replace({KEY: plan(await serve(nursery, hang), http=True)})
    verdict = await watch.next()
    assert verdict.outcome.status == "L7TOUT"
    assert 0.28 <= verdict.outcome.duration < 1


async def test_a_reset_is_a_failure_with_its_reason(watch, nursery):
    async def behave(stream):
        await stream.receive_some(1000)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stream.socket.close()

    watch.service.replace({KEY: plan(await serve(nursery, behave), http=True)})
    verdict = await watch.next()
    assert not verdict.up
    assert "Connection reset by peer" in verdict.outcome.description


async def test_a_hanging_target_costs_only_its_own_slot(watch, nursery):
    hangs = await serve(nursery, hang)
    good = await serve(nursery, hang)
    other = ServerKey("web", "other")
    watch.service.replace({KEY: plan(hangs, http=True, connect_timeout=30.0), other: plan(good)})
    assert await watch.keys(5) == [other] * 5


async def test_beyond_the_limit_probes_wait_for_others_to_land(nursery):
    """Four hang, two may be in flight: the good ones get their turn when the hanging run out of time."""
    watch = Watch(max_in_flight=2)
    await nursery.start(watch.service.run)
    hangs, good = await serve(nursery, hang), await serve(nursery, hang)
    plans = {
        ServerKey("hangs", str(i)): plan(hangs, http=True, connect_timeout=0.1 + i / 1000) for i in range(4)
    }
    plans |= {ServerKey("good", str(i)): plan(good, rise=i + 1) for i in range(4)}
    watch.service.replace(plans)
    seen: set[ServerKey] = set()
    with trio.fail_after(5):
        while seen != set(plans):
            seen |= set(await watch.keys(1))
    assert sum(verdict.up for verdict in watch.service.states().values()) == 4


async def test_waiting_for_a_slot_is_waiting(nursery, silent_port):
    """Nothing spins while everything in flight hangs."""
    watch = Watch(max_in_flight=1)
    await nursery.start(watch.service.run)
    watch.service.replace(
        {
            KEY: plan(silent_port, http=True, connect_timeout=0.5),
            ServerKey("web", "waits"): plan(silent_port),
        }
    )
    steps = Steps()
    trio.lowlevel.add_instrument(steps)
    await watch.next()
    trio.lowlevel.remove_instrument(steps)
    assert steps.count < 50


class Steps(trio.abc.Instrument):
    """Counts steps of tasks."""

    count = 0

    def after_task_step(self, _task):
        self.count += 1


async def test_hundreds_of_servers_are_all_heard_and_leave_nothing_behind(silent_port):
    before = descriptors()
    watch = Watch()
    async with trio.open_nursery() as inner:
        await inner.start(watch.service.run)
        plans = {
            ServerKey("web", str(i)): plan(silent_port, inter=5.0, fastinter=0.3, fall=i + 1)
            for i in range(300)
        }
        watch.service.replace(plans)
        assert set(await watch.keys(300)) == set(plans)
        inner.cancel_scope.cancel()
    assert all(verdict.up for verdict in watch.service.states().values())
    assert descriptors() == before


async def test_servers_with_equal_terms_are_probed_once(watch, nursery):
    probes = 0

    async def behave(stream):
        nonlocal probes
        probes += 1
        await stream.receive_some(1000)
        await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n")

    shared = plan(await serve(nursery, behave), http=True, inter=30.0)
    keys = {ServerKey("web", "one"), ServerKey("static", "one")}
    watch.service.replace(dict.fromkeys(keys, shared))
    assert set(await watch.keys(2)) == keys
    assert probes == 1


async def test_a_reload_keeps_the_state_of_what_did_not_change_and_forgets_what_went(watch, nursery):
    port = await serve(nursery, lambda stream: stream.aclose())
    kept = plan(port, inter=30.0, fastinter=0.1)
    gone = plan(free_port(), inter=30.0, fastinter=0.1, downinter=30.0)
    other = ServerKey("web", "other")
    watch.service.replace({KEY: kept, other: gone})
    await watch.keys(2)
    before = watch.service.states()[KEY]
    watch.service.replace({KEY: kept})
    assert watch.service.states() == {KEY: before}


async def test_a_reload_that_changes_only_the_timing_keeps_what_is_known(watch):
    port = free_port()
    watch.service.replace({KEY: plan(port)})
    assert (await watch.next()).changed
    watch.service.replace({KEY: plan(port, inter=0.2)})
    down = watch.service.states()[KEY]
    assert not down.up
    verdict = await watch.next()
    assert (verdict.up, verdict.changed, verdict.since) == (False, False, down.since)
    watch.service.replace({KEY: plan(port, rise=1)})
    assert (await watch.next()).changed, "another way of counting begins anew"


async def test_a_server_that_a_reload_removed_is_not_heard_of_again(watch, nursery):
    asked, answer = trio.Event(), trio.Event()

    async def behave(stream):
        await stream.receive_some(1000)
        asked.set()
        await answer.wait()
        await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n")

    good = await serve(nursery, hang)
    watch.service.replace({KEY: plan(await serve(nursery, behave), http=True)})
    with trio.fail_after(5):
        await asked.wait()
    other = ServerKey("web", "other")
    watch.service.replace({other: plan(good)})
    answer.set()
    assert set(await watch.keys(5)) == {other}
    assert set(watch.service.states()) == {other}


async def test_first_checks_are_spread_over_the_interval(watch, nursery):
    port = await serve(nursery, lambda stream: stream.aclose())
    began = trio.current_time()
    plans = {ServerKey("web", str(i)): plan(port, inter=0.5, rise=i + 1) for i in range(5)}
    watch.service.replace(plans)
    await watch.keys(5)
    assert trio.current_time() - began >= 0.35


async def test_a_bug_in_who_is_told_stops_no_checks(nursery, caplog):
    calls = 0
    enough = trio.Event()

    def broken(key, verdict):
        nonlocal calls
        calls += 1
        if calls == 3:
            enough.set()
        raise RuntimeError("boom")

    service = HealthService(broken)
    await nursery.start(service.run)
    with caplog.at_level(logging.ERROR, "hapair.health"), trio.fail_after(5):
        service.replace({KEY: plan(free_port())})
        await enough.wait()
    assert "boom" in caplog.text


async def test_who_is_told_may_replace_everything(nursery, tmp_path):
    """Launches that end at once, many in one turn: the first report ends the rest."""
    told: list[ServerKey] = []
    enough = trio.Event()
    other = ServerKey("web", "other")
    absent = str(tmp_path / "absent")
    plans = {ServerKey("web", str(i)): plan(0, host=absent, fastinter=0.0, rise=i + 1) for i in range(20)}
    last = {other: plan(free_port())}

    def report(key, verdict):
        told.append(key)
        if key != other:
            service.replace(last)
        elif len(told) > 3:
            enough.set()

    service = HealthService(report)
    service.replace(plans)
    await nursery.start(service.run)
    with trio.fail_after(5):
        await enough.wait()
    assert told[0] in plans
    assert set(told[1:]) == {other}


async def test_changes_of_health_are_logged_in_haproxys_words(watch, caplog):
    with caplog.at_level(logging.INFO, "hapair.health"):
        watch.service.replace({KEY: plan(free_port())})
        for _ in range(3):
            await watch.next()
    assert len(caplog.messages) == 1, "nothing changed after the first"
    assert re.fullmatch(
        r"Health check for server web/one failed, reason: Layer4 connection problem, "
        r'info: "Connection refused", check duration: \d+ms, status: 0/2 DOWN\.',
        caplog.messages[0],
    )


class Names:
    """A resolver that can be made to hang."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answering = threading.Event()
        self.answering.set()

    def resolve(self, host: str, port: int):
        self.asked.append(host)
        self.answering.wait(10)
        return socket.AF_INET, ("127.0.0.1", port)


async def test_names_are_looked_up_once_before_the_start_is_reported(nursery, silent_port):
    """After it the files of the resolver may be out of reach."""
    names = Names()
    watch = Watch(resolve=names.resolve)
    watch.service.replace({KEY: plan(silent_port, host="www.example")})
    await nursery.start(watch.service.run)
    assert names.asked == ["www.example"]
    for _ in range(3):
        assert (await watch.next()).outcome.status == "L4OK"
    assert names.asked == ["www.example"]
    watch.service.replace({KEY: plan(silent_port, host="www.example", inter=0.04)})
    await watch.next()
    assert names.asked == ["www.example"], "a reload that changes only the timing keeps the address"


async def test_a_name_that_comes_with_a_reload_is_looked_up_at_its_first_check(nursery, silent_port):
    names = Names()
    watch = Watch(resolve=names.resolve)
    await nursery.start(watch.service.run)
    watch.service.replace({KEY: plan(silent_port, host="www.example")})
    assert (await watch.next()).outcome.status == "L4OK"
    assert names.asked == ["www.example"]


async def test_a_resolver_that_hangs_costs_only_who_needs_it(nursery, silent_port):
    names = Names()
    watch = Watch(resolve=names.resolve)
    await nursery.start(watch.service.run)
    names.answering.clear()
    named, numbered = ServerKey("web", "named"), ServerKey("web", "numbered")
    watch.service.replace({named: plan(silent_port, host="www.example"), numbered: plan(silent_port)})
    while named not in watch.service.states():
        await watch.next()
    outcome = watch.service.states()[named].outcome
    assert (outcome.status, outcome.info) == ("SOCKERR", "the name server does not answer")
    assert watch.service.states()[numbered].up
    names.answering.set()
    with trio.fail_after(5):
        while not watch.service.states()[named].up:
            await watch.next()


@pytest.mark.parametrize("host", ["no such host", "a..b"])
async def test_a_name_that_means_nothing_is_a_failed_check(watch, host):
    watch.service.replace({KEY: plan(80, host=host, connect_timeout=4.0)})
    verdict = await watch.next()
    assert (verdict.up, verdict.outcome.status) == (False, "SOCKERR")
    assert verdict.outcome.info


@pytest.mark.parametrize("step", range(0, 40, 2))
async def test_cancelled_at_any_step_it_leaves_no_descriptor(silent_port, step):
    """Some probes hang, some are refused, some land, whenever it is that we go."""
    before = descriptors()
    watch = Watch()
    watch.service.replace(
        {
            ServerKey("b", "hangs"): plan(silent_port, http=True),
            ServerKey("b", "good"): plan(silent_port, inter=0.01),
            ServerKey("b", "refused"): plan(free_port(), inter=0.01),
            ServerKey("b", "name"): plan(silent_port, host="localhost", inter=0.01),
        }
    )
    with trio.CancelScope() as scope:
        trio.lowlevel.add_instrument(CancelAfter(step, scope))
        await watch.service.run()
    assert scope.cancelled_caught
    assert descriptors() == before


class CancelAfter(trio.abc.Instrument):
    """Cancels a scope when so many steps of tasks were made."""

    def __init__(self, steps: int, scope: trio.CancelScope) -> None:
        self.left, self.scope = steps, scope

    def after_task_step(self, _task):
        self.left -= 1
        if self.left <= 0:
            trio.lowlevel.remove_instrument(self)
            self.scope.cancel()


@pytest.mark.netns
async def test_loopback_answers_a_ping_and_a_dead_address_does_not(watch):
    """Needs a raw socket."""
    watch.service.replace({KEY: plan(0, kind=CheckKind.ICMP)})
    assert (await watch.next()).outcome.status == "L3OK"
    watch.service.replace({KEY: plan(0, kind=CheckKind.ICMP, host="::1")})
    assert (await watch.next()).outcome.status == "L3OK"


async def test_a_recheck_forgets_what_is_under_way_and_asks_at_once(nursery, silent_port):
    """The network has changed under it: what it would say is about a network that is gone."""
    names = Names()
    watch = Watch(resolve=names.resolve)
    await nursery.start(watch.service.run)
    slow = ServerKey("web", "slow")
    watch.service.replace(
        {KEY: plan(silent_port, inter=60.0), slow: plan(silent_port, http=True, connect_timeout=60.0)}
    )
    assert (await watch.next()).outcome.ok
    await trio.testing.wait_all_tasks_blocked(0.05)
    watch.service.recheck({KEY, slow})
    assert (await watch.next()).outcome.ok, "not in a minute"
    assert watch.service.states().keys() == {KEY}
    assert watch.service.servers() == {KEY, slow}


async def test_what_an_earlier_life_knew_counts_until_the_first_check(watch, silent_port):
    service = watch.service
    service.replace({KEY: plan(silent_port, inter=30.0, fastinter=30.0)})
    service.restore({KEY: 0})
    assert service.down_unchecked() == {KEY}
    assert service.values()[KEY][1].text == "0/2 DOWN"
    verdict = await watch.next()
    assert (verdict.health, verdict.up) == ("1/2 DOWN", False)
    assert service.down_unchecked() == set()


async def test_a_server_may_begin_down(watch, nursery):
    port = await serve(nursery, lambda stream: stream.aclose())
    watch.service.replace({KEY: plan(port, init_state=InitState.DOWN)})
    assert watch.service.down_unchecked() == {KEY}
    verdict = await watch.next()
    assert (verdict.up, verdict.changed) == (True, True)


@pytest.mark.parametrize(
    ("on_error", "health"),
    [
        (OnError.FASTINTER, "3/3 UP"),
        (OnError.FAIL_CHECK, "2/3 UP"),
        (OnError.SUDDEN_DEATH, "1/3 UP"),
        (OnError.MARK_DOWN, "0/2 DOWN"),
    ],
)
async def test_errors_of_traffic_count_as_is_said_and_bring_the_next_check_forward(
    watch, nursery, on_error, health
):
    port = await serve(nursery, lambda stream: stream.aclose())
    watch.service.replace({KEY: plan(port, inter=30.0, fastinter=0.02)})
    assert (await watch.next()).health == "3/3 UP"
    watch.service.suspect(KEY, on_error, 10, "L4 unsuccessful connection")
    assert watch.service.values()[KEY][1].text == health
    if on_error is not OnError.FASTINTER:
        verdict = await watch.next()
        assert verdict.outcome.description == (
            'Health analyze, info: "Detected 10 consecutive errors, last one was: L4 unsuccessful connection"'
        )
        assert verdict.changed is (on_error is OnError.MARK_DOWN)
    assert (await watch.next()).outcome.status == "L4OK"  # not after 30 s


async def test_what_traffic_says_of_a_server_that_is_down_or_unknown_changes_nothing(watch):
    watch.service.replace({KEY: plan(free_port(), inter=30.0, fastinter=0.02)})
    await watch.next()
    watch.service.suspect(KEY, OnError.MARK_DOWN, 10, "x")
    watch.service.suspect(ServerKey("web", "nobody"), OnError.MARK_DOWN, 10, "x")
    assert watch.service.values()[KEY][1].text == "0/2 DOWN"
