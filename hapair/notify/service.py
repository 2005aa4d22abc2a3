"""Everybody who is told when something happens: scripts, the FIFO, mail, the event log.

Law: being told of something (`report`, `server_changed`, …) is a plain call that
neither waits nor fails; whatever is slow has an outbox and a task of its own, so
that nobody keeps a failover, or one another, waiting.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from functools import partial
from typing import NoReturn

import attrs
import trio

from hapair.config.model import Backend, Email, NodeConfig, SyncGroup, VrrpInstance
from hapair.notify import mail, notices
from hapair.notify.event_file import EventFile, StandardOutput
from hapair.notify.fifo import NotifyFifo
from hapair.notify.notices import Kind, Notice, QuorumChange, ServerChange
from hapair.notify.outbox import Outbox
from hapair.vrrp.reports import Report, Transition

logger = logging.getLogger("hapair.notify")
events = logging.getLogger("hapair.events")

MAX_SCRIPTS = 16
"""Transitions of one instance that wait for its scripts."""
QUORUM_TIMEOUT = 10.0
"""Seconds after which a command for a quorum is killed."""
MAX_MAILS = 64
MAX_EVENTS = 1024
MAIL_RETRIES = (5.0, 30.0, 120.0)
"""Seconds to wait before each further attempt."""
FINISH_TIMEOUT = 10.0
"""Seconds that a stop waits at its end, when the VIPs are gone, until everybody is told."""

RunCommand = Callable[[tuple[str, ...], float], Awaitable[str]]
"""Run a command for at most so many seconds; what went wrong, or an empty string."""
SendMail = Callable[[Email, EmailMessage], None]


@attrs.frozen
class _Errand:
    """Commands that belong to one transition."""

    commands: tuple[tuple[str, ...], ...]
    timeout: float


class Notifications:
    """One for the whole node."""

    def __init__(
        self,
        config: NodeConfig,
        run_command: RunCommand,
        *,
        send_mail: SendMail = mail.send,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._node = config.node.name
        self._hooks: dict[tuple[Kind, str], VrrpInstance | SyncGroup] = {}
        self._groups = config.sync_groups
        self._states: dict[str, str] = {}
        """What each instance was last told to be in."""
        self._group_states: dict[str, str] = {}
        self._email = config.email
        self.adopt(config)
        self._run_command = run_command
        self._send_mail = send_mail
        self._clock = clock
        self._fifo: NotifyFifo | None = None
        self._file: EventFile | StandardOutput | None = None
        self._to_syslog = config.node.event_log == "syslog"
        self._rotated = False
        self._disk_well = True
        self._nursery: trio.Nursery | None = None
        self._over = False
        self._errands: dict[str, Outbox[_Errand]] = {}
        self._mails = Outbox("mail", MAX_MAILS, self._deliver_mail)
        self._mails_failed = 0
        self._events_failed = 0
        self._events = Outbox("event log", MAX_EVENTS, self._write_event)

    def open(self, config: NodeConfig) -> None:
        """Open what may need root, before we become another user.

        Raises:
            StartError: the FIFO or the event log cannot be opened.
        """
        if config.node.notify_fifo is not None:
            self._fifo = NotifyFifo(config.node.notify_fifo)
        if config.node.event_log == "stdout":
            self._file = StandardOutput()
        elif config.node.event_log not in (None, "syslog"):
            assert config.node.event_log is not None
            self._file = EventFile(config.node.event_log, config.node.user)

    def close(self) -> None:
        """Give back what was opened."""
        for opened in (self._fifo, self._file):
            if opened is not None:
                opened.close()
        self._fifo = self._file = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Tell everybody until cancelled; see `finish`."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._mails.run)
            nursery.start_soon(self._events.run)
            self._nursery = nursery
            for waiting in self._errands.values():  # since before we ran
                nursery.start_soon(waiting.run)
            try:
                task_status.started()
                await trio.sleep_forever()
            finally:
                self._nursery, self._over = None, True
        raise AssertionError("a nursery that sleeps for ever has ended")

    async def finish(self) -> None:
        """Wait until everybody is told all that was reported; the caller sets the limit."""
        if self._nursery is not None:
            async with trio.open_nursery() as waiting:
                for scripts in self._errands.values():
                    waiting.start_soon(scripts.idle)
                waiting.start_soon(self._mails.idle)
                waiting.start_soon(self._events.idle)

    def adopt(self, config: NodeConfig) -> None:
        """Follow a reload; instances that leave are still known, because they have yet to stop."""
        self._hooks |= {(Kind.INSTANCE, name): instance for name, instance in config.vrrp.items()}
        self._hooks |= {(Kind.GROUP, name): group for name, group in config.sync_groups.items()}
        self._groups = config.sync_groups
        self._email = config.email

    def reopen(self) -> None:
        """Go on in a fresh event log from the next event on: the old one was rotated away."""
        self._rotated = True

    def report(self, report: Report) -> None:
        """A router says that something happened to it."""
        self._log(notices.record(report))
        if isinstance(report, Transition):
            notice = notices.notice_of(report)
            self._announce(notice)
            self._member_moved(notice)

    def server_changed(self, change: ServerChange) -> None:
        """A server went up or down."""
        self._log(notices.record(change))
        if self._email is not None and self._email.smtp_alert_checker:
            self._mails.put(partial(notices.server_mail, self._email, self._node, change, self._clock()))

    def quorum_changed(self, change: QuorumChange, backend: Backend) -> None:
        """A backend has enough servers, or not any more."""
        self._log(notices.record(change))
        command = backend.quorum_up if change.met else backend.quorum_down
        if command:
            self._errand(f"backend {backend.name}", _Errand((command,), QUORUM_TIMEOUT))

    def node_event(self, event: str, cause: str) -> None:
        """Something happened to the node as a whole: a reload, its start, its stop."""
        self._log({"event": event, "cause": cause})

    def lost(self) -> dict[str, int]:
        """How many were left out so far, by what they were for."""
        return {
            "scripts": sum(outbox.lost for outbox in self._errands.values()),
            "fifo": self._fifo.lost if self._fifo is not None else 0,
            "mail": self._mails.lost + self._mails_failed,
            "event_log": self._events.lost + self._events_failed,
        }

    def _announce(self, notice: Notice) -> None:
        if self._fifo is not None:
            self._fifo.write(notices.fifo_line(notice))
        hooks = self._hooks.get((notice.kind, notice.name))
        if hooks is None:
            return
        commands = notices.commands(notice, hooks)
        if commands:
            whose = f"{notice.kind.value} {notice.name}"
            self._errand(whose, _Errand(commands, hooks.notify_timeout))
        if hooks.smtp_alert and self._email is not None:
            self._mails.put(partial(notices.state_mail, self._email, self._node, notice, self._clock()))

    def _member_moved(self, member: Notice) -> None:
        self._states[member.name] = member.state
        for group in self._groups.values():
            if member.name in group.instances:
                last = self._group_states.get(group.name, "")
                notice = notices.group_notice(group, self._states, last, member.cause)
                if notice is not None:
                    self._group_states[group.name] = notice.state
                    self._announce(notice)

    def _errand(self, whose: str, errand: _Errand) -> None:
        outbox = self._errands.get(whose)
        if outbox is None:
            if self._over:
                return  # nobody is left to run it
            outbox = self._errands[whose] = Outbox(f"scripts of {whose}", MAX_SCRIPTS, self._run_errand)
            if self._nursery is not None:
                self._nursery.start_soon(outbox.run)
        outbox.put(errand)

    async def _run_errand(self, errand: _Errand) -> None:
        for command in errand.commands:
            problem = await self._run_command(command, errand.timeout)
            if problem:
                logger.warning("%s: %s", " ".join(command), problem)

    async def _deliver_mail(self, compose: Callable[[], EmailMessage | None]) -> None:
        # In a thread, too: it takes more than a millisecond, and the first time some eighty.
        message = await trio.to_thread.run_sync(compose)
        if message is None:
            return
        for delay in (*MAIL_RETRIES, None):
            email = self._email
            if email is None:
                return  # a reload has taken [email] away
            try:
                await trio.to_thread.run_sync(self._send_mail, email, message, abandon_on_cancel=True)
            except mail.RefusedError as error:
                self._mails_failed += 1
                logger.error("mail %r was refused: %s", message["Subject"], error)
                return
            except OSError as error:
                if delay is None:
                    self._mails_failed += 1
                    logger.error("mail %r could not be sent: %s", message["Subject"], error)
                    return
                logger.warning("mail %r: %s; trying again in %d s", message["Subject"], error, delay)
                await trio.sleep(delay)
            else:
                return

    def _log(self, values: dict[str, object]) -> None:
        if self._file is None and not self._to_syslog:
            return
        line = notices.event_line(self._node, self._clock(), values)
        if self._to_syslog:
            events.info("%s", line)
        else:
            self._events.put(line)

    async def _write_event(self, line: str) -> None:
        file = self._file
        if file is None:
            return
        rotated, self._rotated = self._rotated, False

        def write() -> None:
            if rotated:
                file.reopen()
            file.write(f"{line}\n".encode())

        try:
            await trio.to_thread.run_sync(write, abandon_on_cancel=True)
        except OSError as error:
            self._events_failed += 1
            if self._disk_well:
                logger.error("the event log cannot be written, events are lost: %s", error.strerror)
            self._disk_well = False
        else:
            self._disk_well = True
