"""What a stick table costs: memory for each entry, and the time of what rules do with one.

python bench/sticktables.py [--entries 1000000]

CPU microseconds in this process, keys in no order.  The targets: a lookup under 3 µs, and a million
entries within 400 bytes each.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from hapair.config.stick import kind_of
from hapair.tables import table as module
from hapair.tables.table import Table

STORED = ["conn_cur", "conn_rate(10s)", "http_req_rate(10s)", "http_err_rate(10s)", "gpc0"]
TURNS = 200_000
FIRST = 10 << 24
"""10.0.0.0"""


def resident() -> int:
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def measured(what: str, turns: int, one: Callable[[int], object]) -> None:
    """Print what one turn costs."""
    begun = time.process_time()
    for turn in range(turns):
        one(turn)
    print(f"{what:28} {(time.process_time() - begun) / turns * 1e6:6.2f} µs")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--entries", type=int, default=1_000_000)
    entries = parser.parse_args().entries
    print("compiled" if module.__file__.endswith(".so") else "not compiled", "-", ", ".join(STORED))
    before = resident()
    table = Table("bench", entries, 600_000, [kind_of(text) for text in STORED])
    measured("new entry", entries, lambda turn: table.touch(FIRST + turn, turn // 1000))
    print(f"{'memory of an entry':28} {(resident() - before) / entries:6.0f} bytes")
    now = entries // 1000

    def somebody(turn: int) -> int:
        return FIRST + turn * 7919 % entries

    measured("lookup of a rate", TURNS, lambda t: table.value(table.find(somebody(t), now), "conn_rate", now))
    measured("use of an entry", TURNS, lambda turn: table.touch(somebody(turn), now))
    measured("count in a rate", TURNS, lambda t: table.add(table.find(somebody(t), now), "conn_rate", 1, now))
    measured("new entry in a full table", TURNS, lambda turn: table.touch(FIRST - 1 - turn, now))


if __name__ == "__main__":
    main()
