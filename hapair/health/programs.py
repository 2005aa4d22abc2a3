"""Checks that are no connection: programs of the operator, and files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import trio

from hapair.config.asks import ExternalCheck, FileCheck
from hapair.health.plan import CheckPlan
from hapair.health.probes.elsewhere import ARGUMENTS, MAX_FILE, file_says, program_says
from hapair.health.probes.outcome import Finding, Outcome
from hapair.kernel.script_safety import Account
from hapair.kernel.scripts import Script, run_script

MAX_PROGRAMS = 32
"""That run at once; a check whose turn does not come in time waits, and its time does not run."""
MAX_LOOKS = 8
"""Threads that read files."""


class Programs:
    """Runs what has to be run."""

    def __init__(self, account_of: Callable[[str | None], Account | str]) -> None:
        """`account_of` gives whom to run as, or why nobody can be; None: as scripts are."""
        self._account_of = account_of
        self._room = trio.CapacityLimiter(MAX_PROGRAMS)
        self._threads = trio.CapacityLimiter(MAX_LOOKS)

    async def check(self, plan: CheckPlan) -> Outcome:
        """One check, from its start to what it found."""
        match plan.ask:
            case ExternalCheck() as external:
                async with self._room:
                    return await self._run(plan, external)
            case FileCheck(file=file):
                began = trio.current_time()
                finding = Finding("PROCTOUT", f"{file} cannot be read in time")
                with trio.move_on_after(plan.connect_timeout):
                    finding = await trio.to_thread.run_sync(
                        _look, Path(file), abandon_on_cancel=True, limiter=self._threads
                    )
                return _outcome(finding, trio.current_time() - began)
        raise AssertionError(f"{plan.kind} is a connection's business")

    async def _run(self, plan: CheckPlan, check: ExternalCheck) -> Outcome:
        who = self._account_of(check.user)
        if isinstance(who, str):
            return _outcome(Finding("PROCERR", who), 0.0)
        script = Script(check.command, who.uid, who.gid, who.groups, plan.connect_timeout)
        result = await run_script(script, *ARGUMENTS, plan.host, str(plan.port), environ=dict(plan.environ))
        finding, weight = program_says(check, result.exit_code, result.problem, result.output_tail)
        return _outcome(finding, result.duration, weight, result.output_tail.encode())


def _outcome(finding: Finding, duration: float, weight: int | None = None, output: bytes = b"") -> Outcome:
    return Outcome(
        finding.ok,
        finding.status,
        duration,
        finding.info,
        finding.code,
        received=output[-80:],
        expected=finding.expected,
        weight=weight,
    )


def _look(path: Path) -> Finding:
    try:
        with path.open("rb") as file:
            return file_says(file.read(MAX_FILE))
    except OSError as error:
        return Finding("PROCERR", f"{path}: {error.strerror}")
