"""The worker processes themselves: forked, told, listened to, and ended.

What is told gets a ticket; a worker does things in their order, so one number says
what it has done.  A ping goes out all the time: who leaves too many unanswered is
stuck.  Only our own pings count, so a machine that slept accuses nobody.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import socket
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import attrs
import trio

from hapair.dataplane.channel import Channel
from hapair.dataplane.messages import End, Message, Ping, packed, report_of
from hapair.dataplane.shared import Table
from hapair.errors import StartError, WorkerLost
from hapair.proxy.faults import KEPT

if TYPE_CHECKING:
    from hapair.dataplane.door import Door
    from hapair.proxy.faults import Fault, Faults
    from hapair.proxy.tally import Tally

logger = logging.getLogger("hapair.dataplane")

START_TIMEOUT = 10.0
END_TIMEOUT = 1.0
PING_EVERY = 0.25
"""Seconds, each."""
UNANSWERED = 12
"""Pings that a worker may owe us: three seconds."""
READY = 1
"""The ticket that a worker reports when it serves."""


@attrs.frozen
class Seat:
    """What a new worker is given."""

    index: int
    channel: socket.socket
    leash: socket.socket
    """The guard tells it here what to do when the control process cannot; the end when both are gone."""
    tally: Tally
    sockets: Mapping[str, socket.socket]
    """By bind."""


class Worker:
    """One of them, as we see it."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.pid = 0
        self.pidfd = -1
        self.channel: Channel | None = None
        self.leash: socket.socket | None = None
        """The guard's end."""
        self.reported = 0
        """The last ticket."""
        self.owes = 0
        """Pings."""
        self.problems: dict[int, str] = {}
        self.refusals: Mapping[str, Mapping[str, int]] = {}
        self.distrusted: Mapping[str, Mapping[str, int]] = {}
        self.faults = 0
        self.news: deque[Fault] = deque(maxlen=KEPT)
        """Of the faults, those that nobody has asked for yet."""
        self.told = 0
        """How many faults there were when somebody did."""
        self.suspects: list[tuple[str, str, str]] = []
        """Not yet passed on."""

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.index + 1} (pid {self.pid})"

    def listen(self) -> None:
        """Take in what it says now."""
        if self.channel is None:
            return
        for frame in self.channel.receive():
            report = report_of(frame.payload)
            self.reported = max(self.reported, report.ticket)
            self.owes = 0
            self.refusals = report.refusals or self.refusals
            self.distrusted = report.distrusted or self.distrusted
            self.faults = max(self.faults, report.faults)
            self.news += report.news
            self.suspects += report.suspects
            if report.problem:
                self.problems[report.ticket] = report.problem

    @property
    def hears(self) -> bool:
        """Whether there is any sense in telling it something."""
        return self.channel is not None and not self.channel.ended


class Crew:
    """All of them."""

    def __init__(self, workers: int) -> None:
        self.table = Table(workers)
        self.workers = [Worker(index) for index in range(workers)]
        self._ticket = READY
        self.on_suspicion: Callable[[str, str, str], None] | None = None
        """Told of servers that a worker suspects: backend, server and what happened."""
        self._news = trio.Event()
        self._patient = False

    # -- forking -----------------------------------------------------------------------------------

    def fork(self, serve: Callable[[Seat], None], doors: Mapping[str, Door]) -> None:
        """Start every worker; in the child, `serve` and the end."""
        for worker in self.workers:
            ours, theirs = socket.socketpair()
            watched, leash = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            sockets = {text: door.sockets[worker.index] for text, door in doors.items()}
            seat = Seat(worker.index, theirs, leash, self.table.tally(worker.index), sockets)
            worker.pid = os.fork()
            if not worker.pid:
                _live(serve, seat)
            theirs.close()
            leash.close()
            worker.channel, worker.leash = Channel(ours), watched
            worker.pidfd = os.pidfd_open(worker.pid)

    def lifelines(self) -> list[tuple[int, int]]:
        """For the guard: of each worker the leash and the pidfd."""
        return [(worker.leash.fileno(), worker.pidfd) for worker in self.workers if worker.leash is not None]

    # -- telling -----------------------------------------------------------------------------------

    def tell(self, message: Message) -> int:
        """Tell everybody; returns the ticket for `done`."""
        self._ticket += 1
        for worker in self.workers:
            self._send(worker, message, self._ticket, ())
        return self._ticket

    @property
    def latest(self) -> int:
        """The last ticket."""
        return self._ticket

    def tell_one(self, worker: Worker, message: Message, descriptors: Sequence[int]) -> None:
        """Tell one something that comes with descriptors."""
        self._ticket += 1
        self._send(worker, message, self._ticket, descriptors)

    @staticmethod
    def _send(worker: Worker, message: Message, ticket: int, descriptors: Sequence[int]) -> None:
        if worker.channel is not None and worker.hears:
            worker.channel.send(packed(message, ticket), descriptors)

    def _behind(self, ticket: int) -> list[Worker]:
        return [worker for worker in self.workers if worker.hears and worker.reported < ticket]

    async def done(self, ticket: int) -> None:
        """Wait until everybody has done it."""
        while self._behind(ticket):
            await self._news.wait()

    def done_within(self, ticket: int, seconds: float) -> list[Worker]:
        """As `done`, while nothing else happens in this process; returns who did not do it in time."""
        until = time.monotonic() + seconds
        while behind := self._behind(ticket):
            poll = select.poll()
            for worker in behind:
                if worker.channel is not None:
                    poll.register(worker.channel.sock, select.POLLIN)
            left = until - time.monotonic()
            if left <= 0:
                break
            poll.poll(left * 1000)
            for worker in behind:
                worker.listen()
        return behind

    def problems(self, ticket: int) -> list[str]:
        """Why it could not be done, by whoever could not, or has not said."""
        found = [worker.problems.pop(ticket) for worker in self.workers if ticket in worker.problems]
        return found + [f"worker {worker.name} does not answer" for worker in self._behind(ticket)]

    def refusals(self, frontend: str) -> dict[str, int]:
        """The sums over all workers, by reason."""
        found: Counter[str] = Counter()
        for worker in self.workers:
            found.update(worker.refusals.get(frontend, {}))
        return dict(found)

    def distrusted(self) -> dict[str, dict[str, int]]:
        """The same of responses, by backend and reason."""
        found: dict[str, Counter[str]] = {}
        for worker in self.workers:
            for backend, reasons in worker.distrusted.items():
                found.setdefault(backend, Counter()).update(reasons)
        return {backend: dict(reasons) for backend, reasons in found.items()}

    def tell_faults(self, faults: Faults) -> None:
        """Add what workers have refused since the last time."""
        for worker in self.workers:
            faults.take(worker.faults - worker.told, worker.news)
            worker.told = worker.faults
            worker.news.clear()

    # -- life --------------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Listen to everybody until cancelled.

        Raises:
            StartError: one cannot begin.
            WorkerLost: one has died or is stuck.
        """
        async with trio.open_nursery() as nursery:
            for worker in self.workers:
                nursery.start_soon(self._follow, worker)
            with trio.move_on_after(START_TIMEOUT):
                # By then they have also done what they were told before the loop began.
                await self.done(self.tell(Ping()))
            problems = self.problems(READY)
            if problems:
                raise StartError(problems[0])
            for worker in self.workers:
                logger.info("worker %s serves", worker.name)
            task_status.started()
            while True:
                await trio.sleep(PING_EVERY)
                self._ping()

    @contextlib.contextmanager
    def patience(self) -> Iterator[None]:
        """Accuse nobody of being stuck: who makes a large configuration answers nothing."""
        self._patient = True
        try:
            yield
        finally:
            self._patient = False
            for worker in self.workers:
                worker.owes = 0

    def _ping(self) -> None:
        for worker in self.workers:
            if self._patient:
                break
            if worker.owes >= UNANSWERED:
                raise WorkerLost(
                    f"worker {worker.name} has answered nothing for {UNANSWERED * PING_EVERY:.0f} s"
                )
            worker.owes += 1
        self.tell(Ping())

    async def _follow(self, worker: Worker) -> None:
        channel = worker.channel
        assert channel is not None, "forked before"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(channel.pump)
            while not channel.ended:
                await channel.readable()
                worker.listen()
                self._pass_on(worker)
                news, self._news = self._news, trio.Event()
                news.set()
            if READY in worker.problems:
                return  # `run` tells
            with trio.move_on_after(END_TIMEOUT):
                await trio.lowlevel.wait_readable(worker.pidfd)
            raise WorkerLost(f"worker {worker.name} {_fate(worker.pidfd)}")

    def _pass_on(self, worker: Worker) -> None:
        suspects, worker.suspects = worker.suspects, []
        if self.on_suspicion is not None:
            for suspect in suspects:
                self.on_suspicion(*suspect)

    async def end(self) -> None:
        """Let everybody reset what is left and go; who does not is killed."""
        self.tell(End())
        with trio.move_on_after(END_TIMEOUT):
            for worker in self.workers:
                if worker.pidfd >= 0:
                    await trio.lowlevel.wait_readable(worker.pidfd)
        for worker in self.workers:
            if worker.pidfd >= 0:
                # By descriptor: its number may be somebody else's by now.
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(worker.pidfd, signal.SIGKILL)
                _reap(worker.pidfd)
                os.close(worker.pidfd)
                worker.pidfd = -1
            if worker.channel is not None:
                worker.channel.close()
            if worker.leash is not None:
                worker.leash.close()


def _reap(pidfd: int) -> None:
    """Of a process that has ended, or been killed: this cannot last."""
    with contextlib.suppress(ChildProcessError):  # its end was seen before
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)


def _fate(pidfd: int) -> str:
    result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    if result is None:
        return "has closed its channel"
    if result.si_code == os.CLD_EXITED:
        return f"has ended with {result.si_status}"
    return f"was killed by {signal.Signals(result.si_status).name}"


def _live(serve: Callable[[Seat], None], seat: Seat) -> None:
    """The whole life of a worker: nothing of the control process runs in it, not even its `finally`s."""
    code = 1
    try:
        _let_go_of_all_but(seat)
        serve(seat)
        code = 0
    except BaseException:  # noqa: BLE001 - whatever it is, the fork must not return into the caller
        traceback.print_exc()
    finally:
        os._exit(code)


def _let_go_of_all_but(seat: Seat) -> None:
    """Give up every descriptor that belongs to the control process or to other workers.

    Their numbers stay taken, by the null device: the objects that think they own them
    are still in this process's memory, and must not close something else one day.
    """
    kept = {0, 1, 2, seat.channel.fileno(), seat.leash.fileno()}
    kept |= {sock.fileno() for sock in seat.sockets.values()}
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for number in [int(name) for name in os.listdir("/proc/self/fd")]:  # noqa: PTH208 - names, not paths
        if number not in kept and number != null:
            with contextlib.suppress(OSError):  # the one that listed them
                os.fstat(number)
                os.dup2(null, number, inheritable=False)
    os.close(null)
