"""The runtime commands, in HAProxy's words and with its answers.

Pure text in, text out: who may connect is the socket's business.
"""

from __future__ import annotations

import json
import os
import re
import time
import zlib
from typing import TYPE_CHECKING

import attrs

from hapair import __version__
from hapair.api.pattern_commands import PatternCommands
from hapair.api.stats import Row, rows, to_csv
from hapair.api.status import report
from hapair.api.stick_commands import StickCommands

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from hapair.dataplane.service import DataPlane
    from hapair.health.service import Verdict
    from hapair.proxy.server import Server
    from hapair.vrrp.status import RouterStatus

_WEIGHT = re.compile(r"([0-9]{1,5})(%?)")
_CHANGING = frozenset(("add", "clear", "del", "disable", "enable", "set", "shutdown"))
"""First words of commands that every process has to hear that serves clients."""
_HELP = """\
The following commands are valid at this level:
  add acl <acl> <pattern>                 : add a pattern; files are called by their path, or #<id>
  add map <map> <key> <value>             : add a map entry
  clear {acl|map} <file>                  : forget every entry
  clear table <table> [<filter>]*         : forget entries: data.<type> <op> <n>, or key <key>
  del {acl|map} <file> [<key>|#<ref>]     : delete entries
  get {acl|map} <file> <sample>           : what the rules that ask a file find for a sample
  get weight <bk>/<srv>                   : report a server's current weight
  help                                    : this list
  prompt                                  : toggle interactive mode with prompt
  quit                                    : disconnect
  set map <map> [<key>|#<ref>] <value>    : change map entries
  set server <bk>/<srv> state <state>     : ready, drain or maint
  set table <table> key <key> [data.* <n>]* : make or change an entry
  set weight <bk>/<srv> <weight>[%]       : change a server's weight
  show {acl|map} [<file>]                 : files of patterns or maps, or the entries of one
  show backend                            : list the backends
  show errors [<px>] [request|response]   : the last messages that were refused, and why
  show info                               : report information about the process
  show stat                               : report counters for each proxy and server, as CSV
  show status                             : routers and servers, as JSON
  show cache                             : the caches of responses, and what they hold
  show table [<table> [<filter>]*]        : stick tables, or the entries of one
  show version                            : show the version
  show vrrp                               : state of every virtual router
"""


class Commands:
    """What the runtime socket can do to a running node."""

    def __init__(
        self,
        plane: DataPlane,
        verdicts: Callable[[], Mapping[tuple[str, str], Verdict]],
        routers: Callable[[], Sequence[RouterStatus]],
        changed: Callable[[], None],
        now: Callable[[], float],
        tasks: Callable[[], int],
    ) -> None:
        """`now` is the routers' time, `tasks` how many tasks there are."""
        self._plane = plane
        self._verdicts = verdicts
        self._routers = routers
        self._now = now
        self._tasks = tasks
        self._changed = changed
        """Called after an operator changed what a server may do."""
        self._started = time.monotonic()
        self._stick = StickCommands(lambda: plane.tables)
        self._patterns = PatternCommands(lambda: plane.references)
        self._verbs: list[tuple[str, Callable[[list[str]], str | Iterator[str]]]] = [
            ("show stat", lambda _: to_csv(self.table())),
            ("show info", lambda _: self._info()),
            ("show backend", lambda _: "# name\n" + "".join(f"{name}\n" for name in plane.backends)),
            ("show errors", self._errors),
            ("show version", lambda _: f"2.6.0-hapair-{__version__}\n"),
            ("show status", lambda _: self._status()),
            ("show vrrp", lambda _: self._vrrp()),
            ("set server", self._set_server),
            ("set weight", self._set_weight),
            ("get weight", self._get_weight),
            ("show table", self._stick.show),
            ("show cache", lambda _: self._caches()),
            ("clear table", self._stick.clear),
            ("set table", self._stick.set),
            *self._patterns.verbs("acl"),
            *self._patterns.verbs("map"),
            ("help", lambda _: _HELP),
        ]

    def table(self) -> list[Row]:
        """The statistics rows as they are now."""
        self._plane.refresh()
        return rows(self._plane, self._verdicts())

    async def settled(self) -> None:
        """Return when what was executed holds for every request to come."""
        await self._plane.settled()

    def execute(self, line: str) -> str:
        """Run one line of `;`-separated commands; every answer ends with an empty line."""
        return "".join(self.answer(line))

    def answer(self, line: str) -> Iterator[str]:
        """The same in parts, so that clients can be served between two of them."""
        for command in line.split(";"):
            if command.strip():
                answer = self._one(command.split())
                if isinstance(answer, str):
                    yield answer + "\n"
                else:
                    yield from answer
                    yield "\n"

    def _one(self, words: list[str]) -> str | Iterator[str]:
        for name, run in self._verbs:
            verb = name.split()
            if words[: len(verb)] == verb:
                answer = run(words[len(verb) :])
                if words[0] in _CHANGING:
                    self._plane.told(" ".join(words))
                return answer
        asked = " ".join(words[:2])
        return f"Unknown command: '{asked}', but maybe one of the following ones is a better match:\n{_HELP}"

    def _info(self) -> str:
        self._plane.refresh()
        process = self._plane.process
        uptime = int(time.monotonic() - self._started)
        values = {
            "Name": "HAProxy",
            "Version": f"2.6.0-hapair-{__version__}",
            "Release_date": "2026/11/23",
            "Nbthread": max(1, len(self._plane.workers())),
            "Nbproc": 1,
            "Process_num": 1,
            "Pid": os.getpid(),
            "Uptime": f"{uptime // 86400}d {uptime // 3600 % 24}h{uptime // 60 % 60:02}m{uptime % 60:02}s",
            "Uptime_sec": uptime,
            "Maxconn": process.maxconn,
            "Hard_maxconn": process.maxconn,
            "CurrConns": process.current,
            "CumConns": process.total,
            "CumReq": sum(frontend.requests for frontend in self._plane.frontends.values()),
            "Maxpipes": 0,
            "PipesUsed": 0,
            "Tasks": self._tasks(),
            "Run_queue": 0,
            "node": self._plane.config.node.name if self._plane.config is not None else "",
        }
        return "".join(f"{key}: {value}\n" for key, value in values.items())

    def _errors(self, words: list[str]) -> str:
        kind = words.pop() if words and words[-1] in ("request", "response") else ""
        if len(words) > 1:
            return "'show errors' expects a frontend or a backend, and 'request' or 'response'.\n"
        if words and words[0] not in self._plane.frontends and words[0] not in self._plane.backends:
            return f"No such proxy: {words[0]}.\n"
        self._plane.refresh()
        return self._plane.process.faults.show(words[0] if words else "", kind)

    def _caches(self) -> str:
        if self._plane.workers():
            return "Each worker has caches of its own: 'show stat' has their lookups and hits.\n"
        now = int(time.time())
        lines = []
        for store in self._plane.stores.values():
            lines.append(f"{store.name}: {len(store)} entries, {store.used} of {store.most} bytes")
            lines += [
                f"  hash:{zlib.crc32(entry.key)} size:{entry.size} expire:{entry.expires - now} "
                f"key:{entry.key.decode('latin-1')}"
                for entry in store.entries()
            ]
        return "\n".join(lines) + "\n"

    def _status(self) -> str:
        config = self._plane.config
        assert config is not None, "the socket is served by a node that was started"
        found = report(config, self._routers(), self.table(), self._now(), self._plane.open_gates)
        found["workers"] = [attrs.asdict(worker) for worker in self._plane.workers()]
        return json.dumps(found) + "\n"

    def _vrrp(self) -> str:
        lines = ["# instance state priority effective_priority transitions cause"]
        for router in self._routers():
            lines.append(
                f"{router.name} {router.state.value} {router.priority} {router.effective_priority} "
                f"{router.transitions} {router.cause}"
            )
        return "\n".join(lines) + "\n"

    def _find(self, words: list[str]) -> Server | str:
        backend_name, _, server_name = (words[0] if words else "").partition("/")
        backend = self._plane.backends.get(backend_name)
        if backend is None:
            return "No such backend.\n"
        for server in backend.servers:
            if server.name == server_name:
                return server
        return "No such server.\n"

    def _set_server(self, words: list[str]) -> str:
        server = self._find(words)
        if isinstance(server, str):
            return server
        if len(words) != 3 or words[1] != "state" or words[2] not in ("ready", "drain", "maint"):
            return "'set server <srv> state' expects 'ready', 'drain' and 'maint'.\n"
        self._plane.set_administrative(server, words[2])
        self._changed()
        return ""

    def _set_weight(self, words: list[str]) -> str:
        server = self._find(words)
        if isinstance(server, str):
            return server
        matched = _WEIGHT.fullmatch(words[1]) if len(words) == 2 else None
        if matched is None:
            return "Require <weight> or <weight%>.\n"
        weight = int(matched[1])
        if matched[2]:
            if weight > 100:
                return "Relative weight can only be between 0 and 100% inclusive.\n"
            weight = (server.initial_weight * weight + 99) // 100
        if weight > 256:
            return "Absolute weight can only be between 0 and 256 inclusive.\n"
        if weight not in (0, server.initial_weight) and not server.backend.weights_move:
            return "Backend is using a static LB algorithm and only accepts weights '0%' and '100%'.\n"
        server.backend.set_weight(server, weight)
        self._changed()
        return ""

    def _get_weight(self, words: list[str]) -> str:
        server = self._find(words)
        return server if isinstance(server, str) else f"{server.weight} (initial {server.initial_weight})\n"
