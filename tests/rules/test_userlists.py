"""User lists: who is let in, what is remembered, and that guessing passwords costs the others nothing."""

from __future__ import annotations

import base64
import ctypes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from proxy.world import World, statuses

from hapair.config.model import User, UserList
from hapair.rules import userlists

_LIBCRYPT = ctypes.CDLL("libcrypt.so.1")
_LIBCRYPT.crypt.restype = ctypes.c_char_p


def hashed(password: str, salt: str = "$5$rounds=1000$hapair") -> str:
    return _LIBCRYPT.crypt(password.encode(), salt.encode()).decode()


STAFF = UserList(
    users={
        "ann": User(hashed("apple")),
        "bob": User("berry:x", insecure=True, groups=("readers",)),
        "cid": User(hashed("cedar", "$6$rounds=1000$hapair"), groups=("readers", "writers")),
        "dan": User(hashed("dates", "$1$hapair")),
        "eve": User(hashed("elm", "ab")),
    },
    groups={"admins": ("ann", "cid"), "readers": (), "writers": ()},
)
PASSWORDS = {"ann": "apple", "bob": "berry:x", "cid": "cedar", "dan": "dates", "eve": "elm"}


@pytest.mark.parametrize(("user", "password"), PASSWORDS.items())
def test_every_kind_of_password(user, password):
    users = userlists.UserList(STAFF)
    for _ in range(2):
        assert users.knows(user, password, 0)
        assert not users.knows(user, password + "x", 0)
        assert not users.knows(user, "", 0)
    assert not users.knows("nobody", password, 0)


def test_groups_are_those_of_both_sides():
    users = userlists.UserList(STAFF)
    assert users.groups("cid") == (b"admins", b"readers", b"writers")
    assert users.groups("ann") == (b"admins",)
    assert users.groups("dan") == users.groups("nobody") == ()


def test_guessing_is_bounded_and_keeps_nobody_out_who_was_in():
    users = userlists.UserList(STAFF)
    assert users.knows("ann", "apple", 500)
    for guess in range(userlists.EACH_SECOND * 3):
        assert not users.knows("cid", f"guess{guess}", 1000)
    assert users.knows("ann", "apple", 1000), "who is known needs no hash"
    assert users.knows("bob", "berry:x", 1000), "nor does a password that is none"
    assert not users.knows("cid", "cedar", 1999), "a new one waits"
    assert users.knows("cid", "cedar", 2000)


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(userlists, "REMEMBERED", 8)
    users = userlists.UserList(STAFF)
    for guess in range(20):
        users.knows("ann", f"guess{guess}", guess * 1000)
    assert len(users._wrong) == 8


@given(password=st.text(max_size=40), user=st.sampled_from([*PASSWORDS, "nobody"]))
@settings(max_examples=30, deadline=None)
def test_no_other_password_opens(password, user):
    assert userlists.UserList(STAFF).knows(user, password, 0) == (
        # DES looks at 8 bytes, and crypt(3) stops at a NUL: neither makes another one right here
        PASSWORDS.get(user) == password
    )


def asked(rules: list[str], user: str | None, password: str = "") -> int:
    world = World(
        frontend={"http_request": tuple(rules)},
        userlists=userlists.make_userlists({"staff": STAFF}),
    )
    lines = ["GET / HTTP/1.1", "Host: h"]
    if user is not None:
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        lines.append(f"Authorization: Basic {token}")
    client = world.client("\r\n".join([*lines, "", ""]).encode())
    if client.link is not None:
        client.server.says(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    (status,) = statuses(client.got)
    return status


RULES = [
    "auth realm Staff unless { http_auth(staff) }",
    "deny if ! { http_auth_group(staff) admins writers }",
]


@pytest.mark.parametrize(
    ("user", "password", "status"),
    [
        (None, "", 401),
        ("ann", "wrong", 401),
        ("ann", "apple", 200),
        ("cid", "cedar", 200),
        ("bob", "berry:x", 403),
        ("dan", "dates", 403),
        ("nobody", "apple", 401),
    ],
)
def test_rules_let_in_who_is_known_and_belongs(user, password, status):
    assert asked(RULES, user, password) == status
