"""PID 1 of a machine: starts processes, signals them, reports their ends.  Run as a program.

    init.py CONTROL_FD [DIRECTORY_TO_REMOVE_AT_THE_END]

A machine is a network, a PID and a mount namespace (files are everybody's).  The kernel kills
everything in a PID namespace when its PID 1 ends, and ours ends when the lab's end of
the control socket is closed, that is, also when the lab is killed with SIGKILL:
daemons that fork, call setsid or hide are no exception.

Imports the standard library only, so that a machine is up in some 20 ms.

Control messages are JSON, one per packet:
    {"id", "argv", "env", "cwd"} + [stdin, stdout, stderr]   -> {"id", "pid"} or {"id", "errno"}
    {"signal", "pid"}      as kill(2): negative for a group, -1 for everything but us
    <- {"exited", "status"}  the raw wait status; of children we started only
"""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import shutil
import signal
import socket
import sys
from typing import Any

CLONE_NEWNS = 0x00020000
MS_REC, MS_SLAVE = 0x4000, 0x80000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
LONGEST = 1 << 17


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWNS) != 0:
        sys.exit(f"cannot create a machine: {os.strerror(ctypes.get_errno())}")
    # What is mounted in here concerns nobody else, and goes when we do.
    if libc.mount(None, b"/", None, MS_REC | MS_SLAVE, None) != 0:
        sys.exit(f"cannot have mounts of its own: {os.strerror(ctypes.get_errno())}")
    pid = os.fork()  # unshare(CLONE_NEWPID) concerns our children: the first is PID 1
    if pid == 0:
        Init(control).serve()
    # Only here is init's PID known as the outside sees it.
    namespace = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    socket.send_fds(control, [json.dumps({"init": pid}).encode()], [namespace])
    os.close(namespace)
    control.close()
    os.waitpid(pid, 0)
    for scratch in sys.argv[2:]:
        shutil.rmtree(scratch)


class Init:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._ours: set[int] = set()

    def serve(self) -> None:
        wake, wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        with selectors.DefaultSelector() as ready:
            ready.register(wake, selectors.EVENT_READ)
            ready.register(self._control, selectors.EVENT_READ)
            while True:
                for key, _ in ready.select():
                    if key.fileobj == wake:
                        os.read(wake, 4096)
                        self._reap()
                    else:
                        self._obey()

    def _obey(self) -> None:
        try:
            data, fds, _, _ = socket.recv_fds(self._control, LONGEST, 3, socket.MSG_CMSG_CLOEXEC)
        except ConnectionResetError:
            os._exit(0)  # the lab is gone and had not read all we said
        if not data:
            os._exit(0)
        message = json.loads(data)
        if "argv" in message:
            self._spawn(message, fds)
        else:
            try:
                os.kill(message["pid"], message["signal"])
            except ProcessLookupError:
                pass  # it has ended by itself; its exit is reported or about to be

    def _spawn(self, message: dict[str, Any], fds: list[int]) -> None:
        argv: list[str] = message["argv"]
        try:
            if message["cwd"] is not None:
                os.chdir(message["cwd"])
            pid = os.posix_spawnp(
                argv[0],
                argv,
                message["env"],
                file_actions=[(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(fds)],
                setsid=True,
                setsigdef=[signal.SIGCHLD, signal.SIGPIPE],
            )
        except OSError as error:
            self._tell({"id": message["id"], "errno": error.errno})
        else:
            self._ours.add(pid)
            self._tell({"id": message["id"], "pid": pid})
        finally:
            for fd in fds:
                os.close(fd)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self._ours:
                self._ours.discard(pid)
                self._tell({"exited": pid, "status": status})

    def _tell(self, message: dict[str, Any]) -> None:
        try:
            self._control.send(json.dumps(message).encode())
        except BrokenPipeError:
            os._exit(0)  # the lab is gone


if __name__ == "__main__":
    main()
