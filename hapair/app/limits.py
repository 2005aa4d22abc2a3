"""Descriptors: enough for `maxconn`, or a clear word before anybody is told that we are here."""

from __future__ import annotations

import resource

from hapair.errors import StartError

SPARE = 100
"""Listeners, log, VRRP, netlink, administrators; probes beside these take what they find."""


def reserve_descriptors(maxconn: int) -> None:
    """Raise the soft limit so that every client can have a server connection.

    Raises:
        StartError: the hard limit does not allow it.
    """
    needed = 2 * maxconn + SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise StartError(
            f"node.maxconn: {maxconn} clients need {needed} descriptors and the limit is {hard}; "
            f"raise it (LimitNOFILE=, ulimit -Hn) or set maxconn to at most {max(0, hard - SPARE) // 2}"
        )
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
