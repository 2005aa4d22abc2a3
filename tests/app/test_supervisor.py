"""Whatever ends a node, everybody is told, and nobody can hold it back for ever."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import trio

from hapair.app import supervisor
from hapair.app.ending import ended
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
