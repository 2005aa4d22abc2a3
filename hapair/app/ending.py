"""An end that hangs is ended by the kernel.

A process that has given its VIPs away and never exits is worse than a crash: nobody starts it
again.  Out of memory is how it happens (found by `make chaos`): a MemoryError inside trio
leaves tasks that nothing wakes.  Hence no Python and no memory in the way: a timer of the
kernel's, whose signal nobody handles.
"""

from __future__ import annotations

import signal

import trio

LONGEST = 10.0
"""Seconds from the cancellation until every task has ended; the shields on the way have shorter deadlines."""
LAST = 2.0
"""Seconds from then until trio has ended as well."""


def end_within(seconds: float) -> None:
    """From now on; another call replaces this one, and SIGALRM is what happens to who is late."""
    signal.setitimer(signal.ITIMER_REAL, seconds)


async def end_in_time(longest: float = LONGEST) -> None:
    """Wait to be cancelled; from then on the process has `longest` seconds."""
    try:
        await trio.sleep_forever()
    finally:
        end_within(longest)


def ended() -> None:
    """It did, or lives on: the timer is off."""
    end_within(0)
