"""Basic authentication beside HAProxy: the same users and passwords are let in."""

from __future__ import annotations

import base64
import socket
from itertools import product

import pytest
from interop.haproxy import running
from proxy.world import World, statuses
from rules.test_userlists import PASSWORDS, STAFF

from hapair.rules.userlists import make_userlists

pytestmark = [pytest.mark.interop, pytest.mark.slow]

RULES = [
    "auth realm Staff unless { http_auth(staff) }",
    "deny deny_status 403 if { path /a } ! { http_auth_group(staff) admins }",
    "deny deny_status 404 if { path /w } ! { http_auth_group(staff) readers writers }",
    "return status 200 hdr X-User %[http_auth_user]",
]


def haproxys() -> str:
    text = "userlist staff\n"
    for group, users in STAFF.groups.items():
        text += f"  group {group}" + (f" users {','.join(users)}" if users else "") + "\n"
    for name, user in STAFF.users.items():
        kind = "insecure-password" if user.insecure else "password"
        text += f"  user {name} {kind} {user.password}"
        text += (f" groups {','.join(user.groups)}" if user.groups else "") + "\n"
    return text


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


HEADERS = [
    None,
    "",
    "Basic",
    "Basic !!!",
    "Bearer abc",
    basic("nocolon"),
    "basic " + basic("ann:apple").partition(" ")[2],
    *(basic(f"{user}:{password}") for user, password in PASSWORDS.items()),
    *(basic(f"{user}:{password}x") for user, password in PASSWORDS.items()),
    *(basic(f"{user}:") for user in PASSWORDS),
    basic("nobody:apple"),
    basic(":apple"),
]


def test_the_same_are_let_in(tmp_path):
    sections = f"{haproxys()}frontend fe\n  bind unix@{tmp_path}/front.sock\n"
    sections += "".join(f"  http-request {rule}\n" for rule in RULES)
    lists = make_userlists({"staff": STAFF})
    with running(tmp_path, sections):
        for header, path in product(HEADERS, ["/", "/a", "/w"]):
            lines = [f"GET {path} HTTP/1.1", "Host: h"]
            if header is not None:
                lines.append(f"Authorization: {header}")
            request = "\r\n".join([*lines, "", ""]).encode()
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(10)
                client.connect(str(tmp_path / "front.sock"))
                client.sendall(request)
                theirs = client.recv(65536)
            here = World(frontend={"http_request": tuple(RULES)}, userlists=lists)
            ours = here.client(request).got
            assert statuses(ours) == statuses(theirs), (header, path)
