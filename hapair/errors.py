"""The errors that cross rooms.  Anything else that escapes is a bug."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hapair.config.problems import Problem


class HapairError(Exception):
    """Base of every error that hapair raises on purpose."""


class ConfigError(HapairError):
    """node.toml cannot be used; carries every problem that was found, not just the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(f"{len(problems)} problem(s) in the configuration")
        self.problems = tuple(problems)


class KernelError(HapairError):
    """The kernel refused something that we cannot do without.

    `doing` reads after "could not": "add 192.0.2.1/24 to eth0".
    """

    def __init__(self, doing: str, errno: int, reason: str) -> None:
        super().__init__(f"could not {doing}: {reason}")
        self.doing = doing
        self.errno = errno


class StartError(HapairError):
    """`hapair run` cannot start: a busy port, a missing user, an unknown interface."""


class ReloadIncomplete(HapairError):  # noqa: N818 - most of it was done
    """A reload took effect but for what the message names."""


class WorkerLost(HapairError):  # noqa: N818 - it is lost; what to do about it is the supervisor's business
    """A worker process has died or is stuck."""


class BadMessage(HapairError):  # noqa: N818 - the message is bad; the design knows it by this name
    """An HTTP message that must not be forwarded.

    `status` is what a client is answered (a bad response is always a 502);
    `why` goes to the log, never to the client.
    """

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why
