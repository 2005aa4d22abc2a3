"""The one nursery.  Start and stop order are what the indentation says.

`serving` (health, data plane, api) encloses `attracting` (the virtual routers):
nobody is drawn to a node that cannot serve yet, and a node that stops gives the
VIP away before it stops serving.
"""

from __future__ import annotations

import logging
import os
import signal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from hapair.app import reload
from hapair.app.check import load_text_config
from hapair.app.ending import LAST, end_in_time, end_within, ended
from hapair.app.limits import calm_garbage_collection, collect_garbage_of_reload
from hapair.app.privileges import confine
from hapair.app.signals import RELOAD, STOP, ServiceManager
from hapair.config.problems import headline
from hapair.errors import ConfigError, ReloadIncomplete, StartError
from hapair.notify.service import FINISH_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from hapair.app.wiring import Node
    from hapair.config.model import NodeConfig

logger = logging.getLogger("hapair.app")


class ConfigFile:
    """node.toml, still readable by name after a chroot."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def read(self) -> str:
        """The text as it is now."""
        fd = os.open(self.path.name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._directory)
        with os.fdopen(fd, encoding="utf-8") as file:
            return file.read()

    def close(self) -> None:
        """Give the directory back."""
        os.close(self._directory)


async def supervise(node: Node, file: ConfigFile, environ: Mapping[str, str]) -> None:
    """Run a node that was started until a signal stops it; whatever ends it, everybody is told first.

    The process then has `ending.LAST` seconds: call `ending.ended` when it lives on.

    Raises:
        StartError: something cannot be acquired; nothing was announced.
    """
    async with trio.open_nursery() as telling:
        await telling.start(node.notifications.run)
        try:
            await _serve(node, file, environ)
        finally:
            end_within(FINISH_TIMEOUT + LAST)
            with trio.move_on_after(FINISH_TIMEOUT, shield=True):
                await node.notifications.finish()
            end_within(LAST)
            telling.cancel_scope.cancel()


async def _serve(node: Node, file: ConfigFile, environ: Mapping[str, str]) -> None:
    manager = ServiceManager(environ)
    with trio.open_signal_receiver(*STOP, RELOAD) as signals:
        try:
            async with trio.open_nursery() as serving:
                serving.start_soon(end_in_time)
                await serving.start(node.routers.run, node.config)
                await serving.start(node.plane.run)
                await serving.start(node.health.run)
                await serving.start(node.saved.run)
                await serving.start(node.trackers.run)
                await serving.start(node.serve_api)
                await serving.start(node.share_tables)
                calm_garbage_collection()
                confine(node.config.node.chroot)
                async with trio.open_nursery() as attracting:
                    attracting.start_soon(end_in_time)
                    await attracting.start(node.routers.attract, node.config)
                    serving.start_soon(manager.watchdog)
                    manager.ready("serving")
                    logger.info("node %s is ready", node.config.node.name)
                    node.notifications.node_event("start", "ready")
                    async for received in signals:
                        number: int | None = received
                        while number == RELOAD:
                            number = await _attentive(signals, partial(_reload, node, file, environ, manager))
                            collect_garbage_of_reload(node.plane.process.current)
                        if number is not None:
                            logger.info("stopping on %s", signal.Signals(number).name)
                            node.notifications.node_event("stop", signal.Signals(number).name)
                            break
                    manager.stopping()
                    node.plane.part_with_clients()
                    patient = await _unless_hurried(signals, _hand_over, node)
                    attracting.cancel_scope.cancel()  # the VIPs are gone now
                ended()
                node.plane.stop_accepting()
                if patient:
                    await _unless_hurried(signals, _drain, node)
                serving.cancel_scope.cancel()
        finally:
            manager.close()


async def _unless_hurried(
    signals: AsyncIterator[int], work: Callable[[Node], Awaitable[None]], node: Node
) -> bool:
    """Do `work` unless a second signal says that it takes too long; return whether it was done."""
    done = False
    async with trio.open_nursery() as nursery:

        async def wait_for_hurry() -> None:
            async for number in signals:
                if number in STOP:
                    logger.info("stopping at once on a second %s", signal.Signals(number).name)
                    nursery.cancel_scope.cancel()

        nursery.start_soon(wait_for_hurry)
        await work(node)
        done = True
        nursery.cancel_scope.cancel()
    return done


async def _hand_over(node: Node) -> None:
    """Serve on the VIPs until the peer does."""
    with trio.move_on_after(node.config.node.hard_stop_after):
        await node.routers.leave()


async def _drain(node: Node) -> None:
    """Let sessions end, but not for ever."""
    with trio.move_on_after(node.config.node.hard_stop_after) as deadline:
        await node.plane.drained()
    if deadline.cancelled_caught:
        logger.warning("%d sessions were still open and are cut", node.plane.process.current)


async def _attentive(
    signals: AsyncIterator[int], reloading: Callable[[trio.CancelScope], Awaitable[None]]
) -> int | None:
    """Reload; what was asked for meanwhile.  A stop cancels what does not change anything yet."""
    meanwhile: int | None = None
    undecided = trio.CancelScope()
    async with trio.open_nursery() as nursery:

        async def listen() -> None:
            nonlocal meanwhile
            async for meanwhile in signals:
                if meanwhile in STOP:
                    undecided.cancel()
                    break  # a second one is for those who wait for the end

        nursery.start_soon(listen)
        await reloading(undecided)
        nursery.cancel_scope.cancel()
    return meanwhile


def _load(file: ConfigFile, environ: Mapping[str, str]) -> NodeConfig:
    return load_text_config(file.read(), str(file.path), environ).config


async def _reload(
    node: Node,
    file: ConfigFile,
    environ: Mapping[str, str],
    manager: ServiceManager,
    undecided: trio.CancelScope,
) -> None:
    manager.reloading()
    node.notifications.reopen()
    try:
        with undecided:
            # In a thread: a large file keeps a processor busy for longer than an advert may be late.
            config = await trio.to_thread.run_sync(_load, file, environ, abandon_on_cancel=True)
            addresses = await reload.look_ahead(node, config)
        if undecided.cancelled_caught:
            logger.info("reload: given up, because we stop; nothing was changed")
            return
        summary = await reload.apply(node, config, addresses)
    except ConfigError as error:
        for problem in error.problems:
            logger.error("%s", headline(problem))
        logger.error("reload: %s has %d mistakes, nothing was changed", file.path, len(error.problems))
        node.notifications.node_event("reload failed", f"{file.path} has {len(error.problems)} mistakes")
        manager.ready("serving; the last reload failed")
    except ReloadIncomplete as error:
        logger.error("reload: %s", error)
        node.notifications.node_event("reload failed", str(error))
        manager.ready("serving; the last reload failed in part")
    except (StartError, OSError, UnicodeDecodeError) as error:
        logger.error("reload: %s; nothing was changed", error)
        node.notifications.node_event("reload failed", str(error))
        manager.ready("serving; the last reload failed")
    else:
        logger.info("reload: %s", summary)
        node.notifications.node_event("reload", summary)
        manager.ready("serving")
