"""The operator's programs: as whom each is run, found once and before we become somebody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hapair.config.asks import ExternalCheck
from hapair.config.model import NodeConfig, TrackScript
from hapair.errors import StartError
from hapair.kernel.script_safety import Account, account
from hapair.kernel.scripts import Script, run_script
from hapair.notify.notices import commands_of

if TYPE_CHECKING:
    from hapair.config.model import Node


class Scripts:
    def __init__(self, node: Node) -> None:
        self._node = node
        self._accounts: dict[str | None, Account] = {}
        """By the user that a [track_script.X] or a check names; None for all others."""

    def find_accounts(self, config: NodeConfig) -> None:
        """Look up every account that this configuration needs.

        Raises:
            StartError: there is no such user, or we cannot become it.
        """
        users = {script.user for script in config.trackers.values() if isinstance(script, TrackScript)}
        if any(map(commands_of, config.vrrp.values())) or any(map(commands_of, config.sync_groups.values())):
            users.add(None)
        if any(backend.quorum_up or backend.quorum_down for backend in config.backends.values()):
            users.add(None)
        asks = [s.check.ask for b in config.backends.values() for s in b.servers if s.check is not None]
        users |= {ask.user for ask in asks if isinstance(ask, ExternalCheck)}
        for user in users:
            self._account(user)

    async def run(self, words: tuple[str, ...], seconds: float, user: str | None = None) -> str:
        """Run a program; what went wrong, and nothing when nothing did."""
        try:
            who = self._account(user)
        except StartError as error:  # a reload has brought it: told when it should run
            return str(error)
        result = await run_script(Script(words, who.uid, who.gid, who.groups, seconds))
        return result.problem

    def account_for(self, user: str | None) -> Account | str:
        """Whom a check's program runs as, or why it cannot be run."""
        try:
            return self._account(user)
        except StartError as error:
            return str(error)

    def _account(self, user: str | None) -> Account:
        if user not in self._accounts:
            self._accounts[user] = account(user or self._node.script_user, self._node.user)
        return self._accounts[user]
