"""From root to an unprivileged user that can still do a load balancer's work.

Kept: NET_ADMIN (addresses, transparent proxying), NET_RAW (VRRP, ARP, ICMP) and
NET_BIND_SERVICE (low ports), also in the ambient set, so that the guard inherits
them.  Capabilities belong to threads: this runs before the first thread starts.
"""

from __future__ import annotations

import ctypes
import grp
import importlib
import os
import pwd
import struct
from pathlib import Path

from hapair.errors import StartError

_NET_BIND_SERVICE, _NET_ADMIN, _NET_RAW, _SYS_CHROOT = 10, 12, 13, 18
_KEPT = (_NET_BIND_SERVICE, _NET_ADMIN, _NET_RAW)
_PR_SET_KEEPCAPS, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 8, 38, 47
_AMBIENT_RAISE, _AMBIENT_CLEAR_ALL = 2, 4
_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


def preload() -> None:
    """Import what is otherwise imported when first needed: later it may be out of reach or out of sight."""
    for name in ("encodings.idna", "pyroute2", "scapy.layers.l2", "concurrent.futures.thread"):
        importlib.import_module(name)


def become(user: str | None, group: str | None, *, may_chroot: bool) -> None:
    """Take on `user` and `group`, keeping only the capabilities above.

    `may_chroot` keeps SYS_CHROOT for `confine`, which gives it up.

    Raises:
        StartError: they do not exist, or we are not root.
    """
    if user is None and group is None:
        return
    preload()
    try:
        account = pwd.getpwnam(user) if user is not None else pwd.getpwuid(os.getuid())
    except KeyError:
        raise StartError(f"node.user: there is no user {user!r} here; create it or remove the key") from None
    try:
        gid = grp.getgrnam(group).gr_gid if group is not None else account.pw_gid
    except KeyError:
        raise StartError(
            f"node.group: there is no group {group!r} here; create it or remove the key"
        ) from None
    if os.geteuid() == account.pw_uid and os.getegid() == gid:
        return
    if os.geteuid() != 0:
        raise StartError("node.user: only root can become another user")
    _prctl(_PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
    _capset((*_KEPT, _SYS_CHROOT) if may_chroot else _KEPT)
    for capability in _KEPT:
        _prctl(_PR_CAP_AMBIENT, _AMBIENT_RAISE, capability)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def confine(directory: str | None) -> None:
    """Make `directory` the root of the file system.

    Raises:
        StartError: it does not exist or we may not.
    """
    if directory is None:
        return
    preload()
    try:
        os.chroot(directory)
        os.chdir("/")
    except OSError as error:
        raise StartError(f"node.chroot: cannot use {directory}: {error.strerror}") from None
    if os.geteuid() != 0:
        _capset(_KEPT)


def surrender(*, but_transparency: bool = False) -> None:
    """Give up every capability, for a process that only serves sockets it already has; root stays root.

    NET_RAW may stay, without which no connection can be made in the name of a client.
    """
    if os.geteuid() != 0:
        _prctl(_PR_CAP_AMBIENT, _AMBIENT_CLEAR_ALL)
        _capset((_NET_RAW,) if but_transparency else ())


def may_be_transparent() -> bool:
    """Whether this process has NET_ADMIN, which the rules of transparency take."""
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "CapEff":
            return bool(int(value, 16) >> _NET_ADMIN & 1)
    return False


def _prctl(option: int, *arguments: int) -> None:
    padded = [*arguments, 0, 0, 0, 0][:4]
    if _libc.prctl(option, *[ctypes.c_ulong(argument) for argument in padded]) != 0:
        code = ctypes.get_errno()
        raise StartError(f"cannot keep the needed capabilities: {os.strerror(code)}")


def _capset(capabilities: tuple[int, ...]) -> None:
    bits = sum(1 << capability for capability in capabilities)
    header = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITY_VERSION_3, 0))
    sets = ctypes.create_string_buffer(struct.pack("=6I", bits, bits, bits, 0, 0, 0))
    if _libc.capset(header, sets) != 0:
        code = ctypes.get_errno()
        raise StartError(f"cannot drop capabilities: {os.strerror(code)}")
