"""Network namespaces without `ip netns`, and without root where user namespaces exist.

Source: namespaces(7), user_namespaces(7), setns(2).  `os.unshare` and
`os.setns` need Python 3.12, hence ctypes.

A namespace is held by an open descriptor and has no name: it is gone when
the last descriptor and the last process are.  Run as a program
(`python -m lab.namespaces COMMAND...`) this gives COMMAND root's powers over
a network of its own.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import socket
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import attrs

CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """unshare(2) of the calling thread."""
    if _libc.unshare(flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"unshare: {os.strerror(number)}")


def _setns(fd: int) -> None:
    if _libc.setns(fd, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")


def isolate() -> bool:
    """Move this program into a new network namespace (loopback only) in which it has root's powers.

    Returns whether that took a user namespace, that is, whether we are not really root.
    The kernel allows it to single-threaded programs only: call it first.

    Raises:
        PermissionError: this machine forbids user namespaces and we are not root.
    """
    try:
        unshare(CLONE_NEWNET)
    except PermissionError:
        pass  # not root: a user namespace gives the same powers over our own network only
    else:
        _loopback_up()
        return False
    uid, gid = os.getuid(), os.getgid()
    try:
        unshare(CLONE_NEWUSER | CLONE_NEWNET)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOSPC, errno.ENOSYS):
            raise
        message = (
            "the lab needs root, or a kernel that lets users create user namespaces "
            "(sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, "
            "kernel.apparmor_restrict_unprivileged_userns)"
        )
        raise PermissionError(error.errno, message) from error
    # Without this write the kernel refuses the gid map of an unprivileged writer.
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    _loopback_up()
    return True


def _loopback_up() -> None:
    set_flags, up = 0x8914, 1  # SIOCSIFFLAGS, IFF_UP: netdevice(7)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, set_flags, struct.pack("16sh22x", b"lo", up))


def can_create() -> bool:
    """Whether this process may create network namespaces as it is (CAP_SYS_ADMIN is bit 21)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> 21 & 1)
    return False


@attrs.frozen
class NetNamespace:
    """A network namespace, held by `fd`."""

    fd: int

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Run the block in this namespace: what it opens stays there for good.

        Only for plain calls: at an `await` another task would find itself in here.
        """
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(self.fd)
            try:
                yield
            finally:
                _setns(home)
        finally:
            os.close(home)

    def close(self) -> None:
        os.close(self.fd)


def main(command: Sequence[str]) -> None:
    """Replace this program by `command`, isolated."""
    if not command:
        sys.exit("usage: python -m lab.namespaces COMMAND [ARGUMENT...]")
    isolate()
    os.execvp(command[0], list(command))


if __name__ == "__main__":
    main(sys.argv[1:])
