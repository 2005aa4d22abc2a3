"""Maps and files of patterns at the runtime socket, beside HAProxy: the same commands, the same answers."""

from __future__ import annotations

import re

import pytest
from interop.haproxy import running

from hapair.api.commands import Commands
from hapair.config import model
from hapair.dataplane.service import DataPlane

pytestmark = [pytest.mark.interop, pytest.mark.slow]

SETS = [
    "set-header x-map %[req.hdr(host),lower,map({0}/hosts.map,none)]",
    "set-header x-beg %[path,map_beg({0}/hosts.map,none)]",
    "set-header x-ip %[src,map_ip({0}/nets.map)]",
    "set-header x-sub %[path,map_sub({0}/subs.map)]",
    "set-header x-int %[dst_port,map_int({0}/ints.map)]",
]
ACLS = {
    "a": "src -f {0}/nets.lst",
    "p": "path_beg -i -f {0}/paths.lst /inline",
    "h": "hdr(host) -f {0}/names.lst",
    "r": "path_reg -f {0}/regs.lst",
}
FILES = {
    "hosts.map": "# comment\nwww.a.org web\nwww.b.org api two\n\nwww.a.org third\n/a short\n/ab long\n",
    "nets.map": "10.0.0.0/8 ten\n10.1.0.0/16 ten-one\n2001:db8::/32 six\n",
    "subs.map": "x one\nxy two\n",
    "ints.map": "1:5 low\n7 seven\n",
    "nets.lst": "10.0.0.0/8\n192.0.2.1\n# no\n10.1.0.0/16\n",
    "paths.lst": "/admin\n/x y\n/Adm\n",
    "names.lst": "a.org\nb.org\n",
    "regs.lst": "^/x[0-9]+$\n",
}
COMMANDS = """
show map {0}/hosts.map | show acl {0}/nets.lst | show acl {0}/paths.lst | show map nofile | show map #77
show acl {0}/hosts.map | show map {0}/nets.lst
get map {0}/hosts.map www.a.org | get map {0}/hosts.map nokey | get map {0}/hosts.map /abc
get map {0}/hosts.map
get map {0}/nets.map 10.1.2.3 | get map {0}/nets.map 2001:db8::1 | get map {0}/subs.map axyb
get map {0}/ints.map 3 | get map {0}/ints.map 7 | get map {0}/ints.map 6
get acl {0}/nets.lst 10.1.2.3 | get acl {0}/nets.lst bogus | get acl {0}/paths.lst /ADMIN/x
get acl {0}/names.lst b.org | get acl {0}/names.lst c.org | get acl {0}/regs.lst /x12 | get acl | get map
set map {0}/hosts.map www.a.org new | show map {0}/hosts.map | set map {0}/hosts.map nokey v
set map {0}/hosts.map | set map x y z | add map {0}/hosts.map www.c.org v w
add map {0}/hosts.map k | add map
show map {0}/hosts.map | add acl {0}/nets.lst 203.0.113.0/24 | add acl {0}/nets.lst | show acl {0}/nets.lst
get acl {0}/nets.lst 203.0.113.9 | del acl {0}/nets.lst 10.0.0.0/8 | del acl {0}/nets.lst nokey
del acl {0}/nets.lst | show acl {0}/nets.lst | get acl {0}/nets.lst 10.2.0.0
del map {0}/hosts.map www.a.org | del map {0}/hosts.map #0x1 | del map {0}/hosts.map #zz
show map {0}/hosts.map
clear map {0}/hosts.map | show map {0}/hosts.map | get map {0}/hosts.map www.b.org
clear acl nofile | clear acl | clear map | clear acl {0}/nets.lst | get acl {0}/nets.lst 192.0.2.1
add acl {0}/nets.lst 192.0.2.1 | get acl {0}/nets.lst 192.0.2.1
"""


class Silent:
    def write(self, severity, line, data=b""):
        pass

    write_clean = write

    def flush(self):
        pass


def ours(folder) -> Commands:
    plane = DataPlane(100, Silent(), lambda _: lambda _: None)
    frontend = model.Frontend(
        "fe",
        (),
        model.Mode.HTTP,
        acl={name: (text.format(folder),) for name, text in ACLS.items()},
        http_request=(*(text.format(folder) for text in SETS), *(f"deny if {name}" for name in ACLS)),
    )
    plane.commit(plane.prepare(model.NodeConfig(model.Node("a"), frontends={"fe": frontend})), ())
    return Commands(plane, dict, list, lambda: None, lambda: 0.0, lambda: 0)


def plain(answer: str) -> str:
    """Without the names of entries, which are addresses in HAProxy's memory."""
    return re.sub(r"(?m)^0x[0-9a-f]+ ", "0x ", answer)


def test_the_same_commands_have_the_same_answers(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    acls = "".join(f"  acl {name} {text.format(tmp_path)}\n" for name, text in ACLS.items())
    sets = "".join(f"  http-request {text.format(tmp_path)}\n" for text in SETS)
    asked = "".join(f"  http-request deny if {name}\n" for name in ACLS)
    mine = ours(tmp_path)
    with running(tmp_path, f"frontend fe\n  bind unix@{tmp_path}/fe.sock\n{acls}{sets}{asked}") as haproxy:
        for command in COMMANDS.format(tmp_path).replace("\n", "|").split("|"):
            if command.strip():
                assert plain(mine.execute(command)) == plain(haproxy.command(command.strip())), command
