"""The state of servers survives us: read at the start, written when it has changed and at the end."""

from __future__ import annotations

import contextlib
import logging
import os
import pwd
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from hapair.errors import StartError
from hapair.health.saved import Saved, checked, decode, encode, question
from hapair.kernel.state_file import StateFile

if TYPE_CHECKING:
    from hapair.config.model import Node
    from hapair.dataplane.service import DataPlane
    from hapair.health.saved import Key
    from hapair.health.service import HealthService

logger = logging.getLogger("hapair.app")

PERIOD = 2.0
"""Seconds between two looks at whether something has changed: as much is forgotten in a crash."""
LAST_WRITE = 2.0
"""Seconds for the last one."""


class SavedState:
    """Keeps [node] state_file up to date."""

    def __init__(self, node: Node, plane: DataPlane, health: HealthService) -> None:
        self._plane = plane
        self._health = health
        self._path = node.state_file
        self._user = node.user
        self._file: StateFile | None = None
        self._written = b""
        self._complained = False

    def restore(self) -> None:
        """Go on where the life before ended.

        Raises:
            StartError: there is no such directory.
        """
        if self._path is None:
            return
        try:
            self._file = StateFile(Path(self._path), self._owners())
        except OSError as error:
            raise StartError(f"node.state_file: {Path(self._path).parent}: {error.strerror}") from error
        try:
            content = self._file.read()
            known = decode(content) if content is not None else {}
        except (OSError, ValueError) as error:
            logger.warning("%s is not believed: %s; servers begin anew", self._path, error)
            return
        plans = self._health.values()
        self._health.restore(
            {
                key: known[key.backend, key.server].value
                for key, (plan, _) in plans.items()
                if (key.backend, key.server) in known
                and known[key.backend, key.server].question == question(plan)
            }
        )
        for (backend, server), saved in known.items():
            self._plane.restore_server(backend, server, saved.administrative, saved.weight)

    def _owners(self) -> set[int]:
        """Who may have written it: root, we, and whom we are about to become."""
        owners = {0, os.geteuid()}
        if self._user is not None:
            with contextlib.suppress(KeyError):  # there is no such user, which is told elsewhere
                owners.add(pwd.getpwnam(self._user).pw_uid)
        return owners

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write what has changed until cancelled, and once more then."""
        task_status.started()
        if self._file is None:
            return
        try:
            while True:
                await trio.sleep(PERIOD)
                await self._write()
        finally:
            with trio.move_on_after(LAST_WRITE, shield=True):
                await self._write()
            self._file.close()

    async def _write(self) -> None:
        content = encode(self._now())
        if content == self._written or self._file is None:
            return
        try:
            await trio.to_thread.run_sync(self._file.write, content)
        except OSError as error:
            if not self._complained:
                logger.warning("%s cannot be written: %s", self._path, error.strerror)
            self._complained = True
        else:
            self._written, self._complained = content, False

    def _now(self) -> dict[Key, Saved]:
        checks = {(key.backend, key.server): checked(*one) for key, one in self._health.values().items()}
        return {
            (backend.name, server.name): Saved(
                server.administrative,
                server.weight if server.weight != server.initial_weight else None,
                *checks.get((backend.name, server.name), ("", 0)),
            )
            for backend in self._plane.backends.values()
            for server in backend.servers
        }
