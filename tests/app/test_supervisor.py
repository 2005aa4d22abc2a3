"""Whatever ends a node, everybody is told, and nobody can hold it back for ever."""

from __future__ import annotations

import os
import signal
import threading
from functools import partial
from types import SimpleNamespace

import pytest
import trio

from hapair.app import reload, supervisor
from hapair.app.ending import ended
from hapair.app.signals import RELOAD, STOP, ServiceManager
from hapair.config.model import Node, NodeConfig, VrrpInstance
from hapair.errors import KernelError
from hapair.notify.service import FINISH_TIMEOUT, Notifications
from hapair.vrrp.reports import Transition
from hapair.vrrp.status import RouterState

WEB = VrrpInstance("web", "eth0", 51, (), notify_stop=("/stop",))
STOPPED = Transition("web", RouterState.MASTER, RouterState.INITIALIZE, "stopped", 100, 100)


@pytest.fixture(autouse=True)
def _nobody_is_ended():
    yield
    ended()


class Scripts:
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.ended: list[str] = []

    async def run(self, words, _timeout) -> str:
        try:
            await trio.sleep(self._seconds)
        except trio.Cancelled:
            self.ended.append("killed")
            raise
        self.ended.append(words[0])
        return ""


async def end_by_an_error(scripts, monkeypatch):
    """A node that breaks while its router is MASTER; the seconds until it has ended."""
    node = SimpleNamespace(notifications=Notifications(NodeConfig(Node("a"), vrrp={"web": WEB}), scripts.run))

    async def serve(node, file, environ):
        node.notifications.report(STOPPED)
        raise KernelError("add 192.0.2.100/24 to eth0", 12, "out of memory")

    monkeypatch.setattr(supervisor, "_serve", serve)
    begun = trio.current_time()
    with pytest.raises(ExceptionGroup) as caught:
        await supervisor.supervise(node, None, {})
    assert caught.group_contains(KernelError)
    return trio.current_time() - begun


async def test_when_an_error_ends_the_node_its_scripts_hear_stop_before_it_is_gone(
    monkeypatch, autojump_clock
):
    scripts = Scripts(seconds=2)
    assert await end_by_an_error(scripts, monkeypatch) == 2
    assert scripts.ended == ["/stop"]


async def test_a_script_that_hangs_keeps_a_node_only_so_long(monkeypatch, autojump_clock):
    scripts = Scripts(seconds=1000)
    assert await end_by_an_error(scripts, monkeypatch) == FINISH_TIMEOUT
    assert scripts.ended == ["killed"]


class Reloading:
    """Reloads of a node, as far as they go before anything changes, and real signals."""

    def __init__(self, monkeypatch, tmp_path) -> None:
        self.applied = 0
        self.lookup = threading.Event()
        """Set when the name server answers."""
        self.looking = trio.Event()
        self.node = SimpleNamespace(
            notifications=SimpleNamespace(reopen=lambda: None, node_event=lambda *_: None),
            routers=SimpleNamespace(check=self._check),
        )
        (tmp_path / "node.toml").write_text('[node]\nname = "a"\n')
        self.file = supervisor.ConfigFile(tmp_path / "node.toml")
        monkeypatch.setattr(reload, "resolve_all", self._resolve_all)
        monkeypatch.setattr(reload, "apply", self._apply)

    async def _check(self, _config) -> None:
        await trio.lowlevel.checkpoint()

    def _resolve_all(self, _config):
        trio.from_thread.run_sync(self.looking.set)
        assert self.lookup.wait(20)
        return {}

    async def _apply(self, _node, _config, _addresses) -> str:
        await trio.lowlevel.checkpoint()
        self.applied += 1
        return "changed"

    async def run(self, signals) -> int | None:
        manager = ServiceManager({})
        return await supervisor._attentive(
            signals, partial(supervisor._reload, self.node, self.file, {}, manager)
        )


@pytest.fixture
def reloading(monkeypatch, tmp_path):
    made = Reloading(monkeypatch, tmp_path)
    yield made
    made.lookup.set()
    made.file.close()


async def test_a_stop_does_not_wait_for_the_names_of_a_reload(reloading, caplog):
    with trio.open_signal_receiver(*STOP, RELOAD) as signals, trio.fail_after(5):
        async with trio.open_nursery() as nursery:

            async def stop() -> None:
                await reloading.looking.wait()
                os.kill(os.getpid(), signal.SIGHUP)
                os.kill(os.getpid(), signal.SIGTERM)

            nursery.start_soon(stop)
            assert await reloading.run(signals) == signal.SIGTERM
    assert not reloading.applied
    assert not reloading.lookup.is_set(), "nobody waited for it"


class Overheard:
    """Signals, and whether one has arrived."""

    def __init__(self, signals) -> None:
        self._signals = signals
        self.arrived = trio.Event()

    def __aiter__(self):
        return self

    async def __anext__(self) -> int:
        number = await anext(self._signals)
        self.arrived.set()
        return number


async def test_a_reload_that_is_asked_for_during_another_comes_after_it(reloading):
    with trio.open_signal_receiver(*STOP, RELOAD) as receiver, trio.fail_after(5):
        signals = Overheard(receiver)
        async with trio.open_nursery() as nursery:

            async def ask_again() -> None:
                await reloading.looking.wait()
                os.kill(os.getpid(), signal.SIGHUP)
                await signals.arrived.wait()
                reloading.lookup.set()

            nursery.start_soon(ask_again)
            assert await reloading.run(signals) == signal.SIGHUP
        assert reloading.applied == 1
        assert await reloading.run(signals) is None
    assert reloading.applied == 2


async def test_while_a_file_is_read_and_understood_the_node_does_its_work(reloading, monkeypatch):
    reading, worked = trio.Event(), threading.Event()
    understand = supervisor.load_text_config

    def slowly(*arguments):
        trio.from_thread.run_sync(reading.set)
        assert worked.wait(5), "the loop was kept busy"
        return understand(*arguments)

    monkeypatch.setattr(supervisor, "load_text_config", slowly)
    reloading.lookup.set()
    with trio.open_signal_receiver(*STOP, RELOAD) as signals, trio.fail_after(10):
        async with trio.open_nursery() as nursery:

            async def work() -> None:
                await reading.wait()
                worked.set()

            nursery.start_soon(work)
            assert await reloading.run(signals) is None
    assert reloading.applied == 1
