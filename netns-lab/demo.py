"""`make lab`: a client, two load balancers, two backends; the MASTER is killed, twice, and comes back.

    python netns-lab/demo.py [--interval 100ms] [--nodes keepalived] [--ipv6] [--stay]

Needs nothing but Python and the kernel; root is not needed.  Exits with 0 only if every
promise in the last table held.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import time
from collections import deque

import trio
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lab import verdicts
from lab.faults import KILL_EVERYTHING, KILL_ROUTER, Fault
from lab.namespaces import isolate
from lab.nodes import Kind
from lab.probers import fetch
from lab.processes import LabError
from lab.report import Check, at_most, checks_table, count_at_most, milliseconds, rounds_table
from lab.scenario import PRIORITIES, Handback, Pair, Takeover, open_pair
from lab.topology import PAIR, PAIR6, Topology

ADDRESS_LIFETIME = 2.3
"""hapair gives its VIPs two seconds to live; the kernel is up to 0.24 s late (measured)."""
BRIEF = 0.05
"""Seconds that both nodes may hold the VIP."""
IN_FLIGHT = 5
"""Requests: a hand-back may cost those of 10 ms, under way at that instant."""
SERVED_WITHIN = 1.2
"""Times the master-down time."""


class Screen:
    """Says what happens: as a live view on a terminal, as lines elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = console.is_terminal and "CI" not in os.environ
        self._said: deque[str] = deque(maxlen=14)
        self._began = time.monotonic()

    def say(self, text: str) -> None:
        line = f"[dim]{time.monotonic() - self._began:6.2f} s[/]  {text}"
        self._said.append(line)
        if not self._live:
            self._console.print(line, highlight=False, soft_wrap=True)

    async def watch(self, pair: Pair) -> None:
        """Draw until cancelled."""
        if not self._live:
            while True:
                await trio.sleep(1)
                self._console.print(Text(f"          {_state(pair)}", style="dim"), soft_wrap=True)
        # Refreshed from this task: rich's own thread would draw while values change.
        with Live(console=self._console, auto_refresh=False) as live:
            try:
                while True:
                    live.update(self._view(pair), refresh=True)
                    await trio.sleep(0.25)
            finally:
                live.update(self._view(pair), refresh=True)

    def _view(self, pair: Pair) -> Group:
        now = time.monotonic()
        nodes = Table(box=None, padding=(0, 3, 0, 0))
        for column in ("node", "role", "priority", "answers in the last second"):
            nodes.add_column(column)
        newest = _last_second(pair, now)
        for name, node in pair.nodes.items():
            role = _role(pair, name)
            style = {"MASTER": "bold green", "BACKUP": ""}.get(role, "bold red")
            served = sum(request.via == pair.address_of(node) for request in newest)
            nodes.add_row(name, Text(role, style), str(node.settings.priority), str(served))
        return Group(Text(_state(pair), "bold"), nodes, Text(""), *map(Text.from_markup, self._said))


def _last_second(pair: Pair, now: float) -> list[verdicts.Request]:
    return [request for request in pair.prober.requests[-1500:] if request.end > now - 1]


def _role(pair: Pair, name: str) -> str:
    """What the node is by the witnesses: the VIP is there or not, the VRRP speaker lives or not."""
    match name in pair.sampler.holders, pair.nodes[name].speaks:
        case True, True:
            return "MASTER"
        case False, True:
            return "BACKUP"
        case True, _:
            return "dead, still with the VIP"
        case _:
            return "dead"


def _state(pair: Pair) -> str:
    newest = _last_second(pair, time.monotonic())
    failed = sum(not request.ok for request in newest)
    roles = ", ".join(f"{name} {_role(pair, name)}" for name in pair.nodes)
    return (
        f"VIP {pair.vip} on {' and '.join(sorted(pair.sampler.holders)) or 'no node'} ({roles}), "
        f"{len(newest) - failed} requests/s, {failed} failed/s"
    )


class Demo:
    def __init__(self, pair: Pair, screen: Screen, interval: float) -> None:
        self._pair = pair
        self._say = screen.say
        self._down_time = verdicts.master_down_time(min(PRIORITIES.values()), interval)
        self._patience = 3 * self._down_time + 10
        self.checks: list[Check] = []
        self.rounds: list[tuple[str, Takeover | Handback]] = []
        self._quiet_from = 0.0

    async def run(self) -> None:
        """Every round; raises LabError when the pair cannot go on."""
        pair = self._pair
        preferred = pair.nodes["lb-a"]
        self._say(f"client, {' and '.join(pair.nodes)}, two backends are up; waiting for a MASTER")
        await pair.until_master(preferred, self._patience)
        self._say("[green]lb-a is MASTER[/]: it has the higher priority")
        self._quiet_from = time.monotonic()
        await self._curl()
        await self._one_answers("at the start")
        await self._round("SIGKILL, guard lives", KILL_ROUTER, BRIEF)
        await self._round("SIGKILL, guard too", KILL_EVERYTHING, ADDRESS_LIFETIME)
        await trio.sleep(0.5)
        self._quiet(time.monotonic() - 0.5)

    async def _round(self, title: str, fault: Fault, two_holders: float) -> None:
        pair = self._pair
        master = pair.master
        name, peer = master.settings.name, pair.peer_of(master).settings.name
        self._say(f"[bold]{title}[/] ({name})")
        takeover = await pair.take_over(fault, within=self._patience)
        self._quiet(takeover.at - 0.05)
        self._quiet_from = takeover.at + takeover.served
        self.rounds.append((f"{title}: {name} → {peer}", takeover))
        self._say(
            f"[green]{peer} is MASTER[/] and serves: gap {milliseconds(takeover.gap)}, "
            f"{takeover.failed} requests failed"
        )
        bound = SERVED_WITHIN * self._down_time
        self._check(
            at_most(f"{title}: served by {peer} within {SERVED_WITHIN} × master-down", takeover.served, bound)
        )
        await self._curl()
        # At most so long may the dead node keep the address.
        await trio.sleep(max(0.0, takeover.at + two_holders - time.monotonic()))
        await self._one_answers(f"after {title}")
        both = verdicts.two_holders(pair.sampler.holdings, takeover.at, time.monotonic())
        self._check(at_most(f"{title}: VIP on both nodes", both, two_holders))
        self._say(f"{name} is started again")
        handback = await pair.hand_back(master, fault, within=self._patience)
        self._quiet(handback.at)
        self._quiet_from = handback.until
        self.rounds.append((f"hand-back: {peer} → {name}", handback))
        self._say(
            f"[green]{name} is MASTER[/] again: gap {milliseconds(handback.gap)}, "
            f"{handback.failed} requests failed"
        )
        self._check(at_most(f"hand-back to {name}: VIP on both nodes", handback.two_holders, BRIEF))
        self._check(count_at_most(f"hand-back to {name}: requests failed", handback.failed, IN_FLIGHT))
        await self._one_answers(f"after the hand-back to {name}")

    def _check(self, check: Check) -> None:
        self.checks.append(check)

    def _quiet(self, until: float) -> None:
        """Nothing was being done to the pair since `_quiet_from`: nothing may have failed."""
        failed = verdicts.failures(self._pair.prober.requests, self._quiet_from, until)
        span = f"requests failed in {until - self._quiet_from:.1f} s without a fault"
        self._check(count_at_most(span, len(failed), 0))

    async def _curl(self) -> None:
        status, fields, body = await fetch(self._pair.lab["client"].net, self._pair.vip, "/")
        via = fields.get("x-peer", "?")
        self._say(f"curl {_url(self._pair)} → {status}, “{body.decode().strip()}” by way of {via}")
        self._check(Check("curl through the VIP", str(status), "200", status == 200))

    async def _one_answers(self, when: str) -> None:
        macs = await self._pair.who_has_the_vip()
        question = "ARP" if self._pair.vip.version == 4 else "NDP"
        title = f"nodes that answer {question} for the VIP {when}"
        self.checks.append(Check(title, str(len(macs)), "1", len(macs) == 1))


def _url(pair: Pair) -> str:
    return f"http://{pair.vip}/" if pair.vip.version == 4 else f"http://[{pair.vip}]/"


def _pokes(pair: Pair, *, rootless: bool) -> list[str]:
    enter = "nsenter --preserve-credentials -U" if rootless else "nsenter"
    client = f"{enter} -t {pair.lab['client'].init_pid} -n"
    lines = [f"{client} curl {_url(pair)}", f"{client} ping {pair.vip}"]
    for name, node in pair.nodes.items():
        init = node.machine.init_pid
        lines.append(f"{enter} -t {init} -n ip address          # {name}")
        lines.append(
            f"{enter} -t {init} -n -p sh -c 'kill -KILL -{node.router().pid}'  # {name}'s VRRP speaker"
        )
    lines.append(f"{enter} -t {pair.nodes['lb-b'].machine.init_pid} -n tcpdump -ni eth0 vrrp or arp or icmp6")
    return lines


async def _stay(pair: Pair, screen: Screen, *, rootless: bool) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as received:
        screen.say("the lab stays up; poke it from another terminal, end it with Ctrl-C:")
        for line in _pokes(pair, rootless=rootless):
            screen.say(f"  {line}")
        async for _ in received:
            return


async def demonstrate(
    kind: Kind, interval: float, topology: Topology, console: Console, *, stay: bool, rootless: bool
) -> bool:
    """Run the rounds and print the tables; returns whether everything held."""
    screen = Screen(console)
    screen.say(
        f"two {kind} nodes, advert interval {milliseconds(interval)}, {'not root' if rootless else 'root'}"
    )
    went_on = True
    async with (
        open_pair(dict.fromkeys(PRIORITIES, kind), interval, topology=topology) as pair,
        trio.open_nursery() as watching,
    ):
        watching.start_soon(screen.watch, pair)
        demo = Demo(pair, screen, interval)
        try:
            await demo.run()
        except LabError as error:
            # The tables so far are worth showing: what broke is in them or in this line.
            screen.say(f"[bold red]stopped:[/] {error}")
            went_on = False
        if stay:
            await _stay(pair, screen, rootless=rootless)
        watching.cancel_scope.cancel()
    console.print(rounds_table("What it cost", demo.rounds))
    console.print(checks_table("What was promised", demo.checks))
    return went_on and all(check.ok for check in demo.checks)


def _interval(text: str) -> float:
    found = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)(ms|s)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 100ms or 1s")
    seconds = float(found[1]) / (1000 if found[2] == "ms" else 1)
    if not 0.01 <= seconds <= 10:
        raise argparse.ArgumentTypeError(f"{text} is outside 10ms..10s")
    return seconds


def main() -> int:
    parser = argparse.ArgumentParser(description="The two-node lab: kills the MASTER and watches.")
    parser.add_argument(
        "--interval", type=_interval, default=1.0, help="advert interval, 10ms..10s (default 1s)"
    )
    parser.add_argument(
        "--nodes", choices=("hapair", "keepalived"), default="hapair", help="what the nodes run"
    )
    parser.add_argument("--ipv6", action="store_true", help="nothing but IPv6")
    parser.add_argument("--stay", action="store_true", help="keep the lab up afterwards, until Ctrl-C")
    options = parser.parse_args()
    # Pipes and CI logs have no width; the tables need one.
    console = Console(width=None if sys.stdout.isatty() else 110)
    try:
        rootless = isolate()
    except PermissionError as error:
        console.print(f"[bold red]{error.strerror}[/]", soft_wrap=True)
        return 2
    held = False
    try:
        held = trio.run(
            lambda: demonstrate(
                options.nodes,
                options.interval,
                PAIR6 if options.ipv6 else PAIR,
                console,
                stay=options.stay,
                rootless=rootless,
            )
        )
    except* LabError as group:
        for leaf in _leaves(group):
            console.print(f"[bold red]the lab cannot start:[/] {leaf}", soft_wrap=True)
    except* KeyboardInterrupt:
        console.print("interrupted")
    console.print("[bold green]Everything held.[/]" if held else "[bold red]Not everything held.[/]")
    return 0 if held else 1


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


if __name__ == "__main__":
    sys.exit(main())
