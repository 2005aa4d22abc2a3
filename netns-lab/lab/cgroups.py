"""Processes frozen by the kernel's cgroup freezer, as `docker pause` and `systemctl freeze` do it.

Version 1 (freezer.state) or 2 (cgroup.freeze), whichever this machine lets us write.  Whoever holds the
freezer may be killed: a shell outside the machines thaws when its standard input ends.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import attrs

from lab.processes import LabError

_THAW = """
cat >/dev/null
echo "$2" >"$1/$3"
while read -r pid; do echo "$pid" >"${1%/*}/cgroup.procs"; done <"$1/cgroup.procs"
for _ in 1 2 3 4 5 6 7 8 9; do rmdir "$1" 2>/dev/null && exit; sleep 0.2; done
"""


@attrs.frozen
class _Hierarchy:
    parent: Path
    """Our own group."""
    file: str
    frozen: str
    thawed: str


def _hierarchy() -> _Hierarchy | None:
    """The one whose freezer we could use, writable or not."""
    ours = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        ours[controllers] = path
    unified = None
    for line in Path("/proc/mounts").read_text().splitlines():
        _, at, kind, options, *_ = line.split()
        if kind == "cgroup" and "freezer" in options.split(",") and "freezer" in ours:
            return _Hierarchy(Path(at + ours["freezer"]), "freezer.state", "FROZEN", "THAWED")
        if kind == "cgroup2" and "" in ours:
            unified = _Hierarchy(Path(at + ours[""]), "cgroup.freeze", "1", "0")
    return unified


def why_no_freezer() -> str:
    """Why nothing can be frozen here; empty when it can."""
    found = _hierarchy()
    if found is None:
        return "no cgroup hierarchy with a freezer is mounted"
    if not os.access(found.parent, os.W_OK) or not os.access(found.parent / "cgroup.procs", os.W_OK):
        return f"{found.parent} is not ours to write"
    return ""


class Frozen:
    """Context manager: these processes stand still."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._pids = list(pids)

    def __enter__(self) -> Self:
        found = _hierarchy()
        if found is None:
            raise LabError(why_no_freezer())
        group = found.parent / f"hapair-lab-{os.getpid()}"
        group.mkdir()
        # A session of its own: Ctrl-C is for the lab.
        words = ["sh", "-c", _THAW, "thaw", str(group), found.thawed, found.file]
        self._thaw = subprocess.Popen(words, stdin=subprocess.PIPE, start_new_session=True)
        try:
            for pid in self._pids:
                (group / "cgroup.procs").write_text(str(pid))
            (group / found.file).write_text(found.frozen)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        assert self._thaw.stdin is not None
        self._thaw.stdin.close()
        self._thaw.wait()
