"""Whom programs of the operator are run as, and which of them must not be run.

keepalived's script_user and enable_script_security, without a switch to turn it off.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from pathlib import Path

import attrs

from hapair.errors import StartError

DEFAULT_USERS = ("keepalived_script", "nobody")
"""As keepalived; the first that exists."""


@attrs.frozen
class Account:
    uid: int
    gid: int
    groups: tuple[int, ...]
    """Supplementary groups."""


def account(script_user: str | None, node_user: str | None) -> Account:
    """Whom scripts are run as; never root, unless that is said.

    Raises:
        StartError: there is no such user, or we cannot become it.
    """
    name = script_user or node_user
    ours = os.geteuid()
    if name is None and ours != 0:
        return Account(ours, os.getegid(), ())
    for candidate in (name,) if name is not None else DEFAULT_USERS:
        try:
            found = pwd.getpwnam(candidate)
        except KeyError:
            continue
        if ours not in (0, found.pw_uid):
            raise StartError(f"only root can run scripts as {candidate}")
        groups = tuple(one.gr_gid for one in grp.getgrall() if candidate in one.gr_mem)
        return Account(found.pw_uid, found.pw_gid, groups)
    raise StartError(
        f"no account to run scripts as: there is no user {name or ' or '.join(DEFAULT_USERS)!r} here"
    )


def unsafe(path: str, uid: int) -> str:
    """Why a program must not be run as `uid`; empty when it may.

    Whoever else can write to it, or to a directory on the way, could run what he
    likes: keepalived's enable_script_security.  In a sticky directory he cannot.
    """
    try:
        for one in _way(path):
            status = one.stat()
            if status.st_uid not in (0, uid):
                return f"{one} belongs to neither root nor the script's user"
            sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
            if status.st_mode & stat.S_IWOTH and not sticky:
                return f"anybody can write to {one}"
            if status.st_mode & stat.S_IWGRP and status.st_gid != 0 and not sticky:
                return f"a group can write to {one}"
        status = Path(path).stat()
    except OSError as error:
        return f"{path}: {error.strerror}"
    if not stat.S_ISREG(status.st_mode):
        return f"{path} is not a file"
    if not status.st_mode & 0o111:
        return f"{path} is not executable"
    return ""


def _way(path: str) -> list[Path]:
    """The program and every directory above it, and the same of each link that leads there."""
    place, way = Path(os.path.abspath(path)), []  # noqa: PTH100 - resolve() would hide the links
    for _ in range(40):  # ELOOP
        way += [place, *place.parents]
        resolved = place.parent.resolve()
        way += [resolved, *resolved.parents]
        if not place.is_symlink():
            break
        place = Path(os.path.abspath(resolved / place.readlink()))  # noqa: PTH100
    return way
