"""Descriptors: enough for `maxconn`, or a clear word before anybody is told that we are here; and memory."""

from __future__ import annotations

import fcntl
import gc
import os
import resource
from pathlib import Path

from hapair.errors import StartError

SPARE = 100
"""Listeners, log, VRRP, netlink, administrators; probes beside these take what they find."""
_FEW = 500
"""Sessions among which all garbage is found in a millisecond or two."""


def reserve_descriptors(maxconn: int) -> int:
    """Raise the soft limit so that every client can have a server connection; returns how many that takes.

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
    return needed


def widen_table(descriptors: int) -> None:
    """Let the kernel make its table of our files as large as `descriptors` may need, now.

    It doubles the table whenever a number does not fit, and in a process with threads
    waits for an RCU grace period then: `accept` was seen to block for 10 to 25 ms just
    after a takeover.  The table never shrinks.
    """
    with Path(os.devnull).open("rb") as file:
        os.close(fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, descriptors - 1))


def calm_garbage_collection() -> None:
    """Collect rarely: a full collection over thousands of sessions would stall the loop, and VRRP with it.

    Sessions make no cycles (measured: memory is flat with collection switched off), so
    what there is to collect comes from reloads and administrators.  A reload leaves 10 KiB.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


def collect_garbage_of_reload(sessions: int) -> None:
    """Leave it to the rare collection where many sessions would make this one long."""
    if sessions < _FEW:
        gc.collect()
