"""Every kind of check against the real service from Debian: up, wrong, slow, hanging, down.

HAProxy checks the same ports at the same time where it has such a check;
keepalived's checkers are in tests/health/test_beside_keepalived.py.
"""

from __future__ import annotations

import contextlib
import csv
import select
import socket

import attrs
import pytest
import trio
from interop.haproxy import Haproxy
from interop.listening import Listener
from interop.services import services
from interop.services.services import NAME, PASSWORD, Service
from ports import free_port

from hapair.config.asks import (
    DnsCheck,
    MysqlCheck,
    PgsqlCheck,
    RedisCheck,
    SmtpCheck,
    Tls,
    UdpCheck,
)
from hapair.config.model import Backend, Check, CheckKind, HttpCheck, Server, Timeouts
from hapair.config.tables_check import http_expect, tcp_check
from hapair.health.plan import plan_for
from hapair.health.probes.dns import query
from hapair.health.service import HealthService, ServerKey

pytestmark = [pytest.mark.interop, pytest.mark.slow]

MAKERS = {
    "open redis": services.redis,
    "redis": lambda: services.redis("--requirepass", PASSWORD),
    "mariadb": services.mariadb,
    "postgresql": services.postgresql,
    "openldap": services.openldap,
    "dnsmasq": services.dnsmasq,
    "vsftpd": services.vsftpd,
    "nginx": services.nginx,
    "opensmtpd": services.opensmtpd,
    "mail": services.mail,
}


@pytest.fixture(params=MAKERS)
def each(request):
    """The name of each service in turn."""
    return request.param


@pytest.fixture(scope="module")
def running():
    """Starts each service when it is first asked for."""
    found: dict[str, Service] = {}

    def get(name: str) -> Service:
        if name == "opensmtpd" and not services.many_users():
            pytest.skip("OpenSMTPD becomes users of its own, and a user namespace has one")
        if name not in found:
            found[name] = MAKERS[name]()
        return found[name]

    yield get
    for service in found.values():
        service.remove()


PATIENCE = 20.0
"""Seconds that a check may take which must not run out of time, however busy the machine is."""
HASTE = 0.5
"""The same where it must."""


def of(kind: CheckKind, ask=None, **more) -> Check:
    return Check(kind, ask=ask, warmup=0.0, **more)


def https(
    service: Service, uri: str = "/up", *, sni: str = NAME, trusts: bool = True, expect: str = ""
) -> Check:
    tls = Tls(sni, True, str(service.folder / "cert.pem") if trusts else None)
    expects = (http_expect(expect),) if expect else ()
    http = HttpCheck("GET", uri, "HTTP/1.1", (("Host", NAME),), expect=expects)
    return of(CheckKind.HTTP, http=http, tls=tls)


def plan(port: int, check: Check, patience: float):
    server = Server("s", 1, "127.0.0.1", port, check=attrs.evolve(check, inter=patience))
    return plan_for(Backend("b", (server,), timeout=Timeouts(connect=patience, check=patience)), server)


async def verdicts(nursery, *asked: tuple[int, Check], patience: float = PATIENCE):
    """What the first check of each finds: (status, info)."""
    found: dict[ServerKey, object] = {}
    done = trio.Event()

    def report(key, verdict):
        found.setdefault(key, verdict.outcome)
        if len(found) == len(asked):
            done.set()

    service = HealthService(report)
    service.replace({ServerKey("b", str(i)): plan(*one, patience) for i, one in enumerate(asked)})
    async with trio.open_nursery() as own:
        await own.start(service.run)
        with trio.fail_after(2 * PATIENCE):
            await done.wait()
        own.cancel_scope.cancel()
    return [
        (found[ServerKey("b", str(i))].status, found[ServerKey("b", str(i))].info) for i in range(len(asked))
    ]


REDIS_SCRIPT = tcp_check(
    [
        "connect",
        f"send 'AUTH {PASSWORD}'\\r\\n",
        r"expect string +OK\r\n",  # to its end: what comes after the next sending would stand before +PONG
        r"send PING\r\n",
        "expect rstring ^\\+PONG",
    ]
)

GOOD = {
    "open redis": [of(CheckKind.REDIS, RedisCheck())],
    "redis": [
        of(CheckKind.REDIS, RedisCheck(password=PASSWORD, role="master")),
        of(CheckKind.TCP_CHECK, REDIS_SCRIPT),
    ],
    "mariadb": [
        of(CheckKind.MYSQL, MysqlCheck()),
        of(CheckKind.MYSQL, MysqlCheck("check")),
        of(CheckKind.MYSQL, MysqlCheck("hapair", password=PASSWORD, query="SELECT 1, 4", expect="4")),
    ],
    "postgresql": [
        of(CheckKind.PGSQL, PgsqlCheck("hapair")),
        of(
            CheckKind.PGSQL,
            PgsqlCheck("hapair", "postgres", PASSWORD, "SELECT pg_is_in_recovery()", "f"),
        ),
    ],
    "openldap": [of(CheckKind.LDAP)],
    "dnsmasq": [
        of(CheckKind.DNS, DnsCheck(NAME, "A", "192.0.2.1")),
        of(CheckKind.DNS, DnsCheck(NAME, "TXT", "all is well")),
        of(CheckKind.UDP, UdpCheck(query(7, NAME, "A"), bytes((192, 0, 2, 1)))),
    ],
    "vsftpd": [of(CheckKind.FTP)],
    "nginx": [of(CheckKind.SSL_HELLO), of(CheckKind.TCP, tls=Tls())],
    "opensmtpd": [of(CheckKind.SMTP, SmtpCheck("EHLO", "lb.example")), of(CheckKind.SMTP, SmtpCheck())],
    "mail": [of(CheckKind.SMTP, SmtpCheck("EHLO", "lb.example")), of(CheckKind.SMTP, SmtpCheck())],
}


def good(name: str, service: Service) -> list[Check]:
    if name != "nginx":
        return GOOD[name]
    lists = [HttpCheck("GET", uri, "HTTP/1.1", (("Host", NAME),)) for uri in ("/up", "/up?2")]
    return [
        *GOOD[name],
        https(service),
        https(service, expect="string 'all is up'"),
        of(CheckKind.HTTP, http=lists[0], urls=(lists[1],), tls=Tls(NAME)),
    ]


def starting_tls(service: Service, sni: str = NAME) -> list[Check]:
    """Checks that ask for TLS in clear text."""
    tls = Tls(sni, True, str(service.folder / "cert.pem"), starttls=True)
    found = {
        "mariadb": [
            of(
                CheckKind.MYSQL,
                MysqlCheck("hapair", password=PASSWORD, query="SELECT 1, 4", expect="4"),
                tls=tls,
            )
        ],
        "postgresql": [
            of(CheckKind.PGSQL, PgsqlCheck("hapair"), tls=tls),
            of(CheckKind.PGSQL, PgsqlCheck("hapair", "postgres", PASSWORD, "SELECT 1", "1"), tls=tls),
        ],
        "openldap": [of(CheckKind.LDAP, tls=tls)],
        "vsftpd": [of(CheckKind.FTP, tls=tls)],
        "mail": [of(CheckKind.SMTP, SmtpCheck("EHLO", "lb.example"), tls=tls)],
    }
    return found[service.name]


@pytest.fixture(params=["mariadb", "postgresql", "openldap", "vsftpd", "mail"])
def upgradable(request):
    """The name of each service that speaks TLS when it is asked to."""
    return request.param


async def test_a_service_that_is_asked_for_tls_speaks_it(running, nursery, upgradable):
    service = running(upgradable)
    found = await verdicts(nursery, *((service.port, check) for check in starting_tls(service)))
    assert {status for status, _ in found} == {"L7OK"}, found
    other = starting_tls(service, "other.example")
    found = await verdicts(nursery, *((service.port, check) for check in other))
    assert {status for status, _ in found} == {"L6RSP"}, found
    assert all("Hostname mismatch" in info for _, info in found)


async def test_tls_that_was_asked_for_byte_by_byte(running, nursery, upgradable):
    service = running(upgradable)
    with Relay(service.port) as relay:
        found = await verdicts(nursery, *((relay.port, check) for check in starting_tls(service)))
    assert {status for status, _ in found} == {"L7OK"}, found


async def test_a_service_that_hangs_when_tls_is_asked_for_runs_out_of_time(running, nursery, upgradable):
    service = running(upgradable)
    asked = [(service.port, check) for check in starting_tls(service)]
    with service.frozen():
        found = await verdicts(nursery, *asked, patience=HASTE)
    assert {status for status, _ in found} == {"L7TOUT"}, found


async def test_a_service_that_is_up_passes(running, nursery, each):
    service = running(each)
    found = await verdicts(nursery, *((service.port, check) for check in good(each, service)))
    assert all(status in ("L7OK", "L6OK") for status, _ in found), found


async def test_a_service_that_hangs_runs_out_of_time(running, nursery, each):
    service = running(each)
    asked = [(service.port, check) for check in good(each, service)]
    with service.frozen():
        found = await verdicts(nursery, *asked, patience=HASTE)
    assert {status for status, _ in found} <= {"L7TOUT", "L6TOUT"}, found


async def test_a_service_that_speaks_byte_by_byte_passes_all_the_same(running, nursery, each):
    if each == "dnsmasq":
        return  # a datagram comes whole
    service = running(each)
    with Relay(service.port) as relay:
        found = await verdicts(nursery, *((relay.port, check) for check in good(each, service)))
    assert all(status in ("L7OK", "L6OK") for status, _ in found), found


def wrong(name: str, service: Service) -> list[tuple[Check, str, str]]:
    """Checks that must fail: status, and a part of the reason."""
    return {
        "open redis": lambda: [
            (of(CheckKind.REDIS, RedisCheck(password=PASSWORD)), "L7STS", "AUTH"),
        ],
        "redis": lambda: [
            (of(CheckKind.REDIS, RedisCheck()), "L7STS", "NOAUTH"),
            (of(CheckKind.REDIS, RedisCheck(password="other")), "L7STS", "WRONGPASS"),
            (of(CheckKind.REDIS, RedisCheck(password=PASSWORD, role="slave")), "L7STS", "the role is master"),
        ],
        "mariadb": lambda: [
            (of(CheckKind.MYSQL, MysqlCheck("nobody")), "L7STS", "Access denied"),
            (of(CheckKind.MYSQL, MysqlCheck("hapair", password="other")), "L7STS", "Access denied"),
            (
                of(CheckKind.MYSQL, MysqlCheck("check", query="SELECT 2", expect="4")),
                "L7STS",
                "gave 2, not 4",
            ),
            (of(CheckKind.MYSQL, MysqlCheck("check", query="SELEKT")), "L7STS", "You have an error"),
            (
                of(
                    CheckKind.MYSQL,
                    MysqlCheck("check", query="SHOW STATUS LIKE 'wsrep_local_state'", expect="4"),
                ),
                "L7STS",
                "gave nothing, not 4",
            ),
        ],
        "postgresql": lambda: [
            (of(CheckKind.PGSQL, PgsqlCheck("hapair", "postgres", "other")), "L7STS", "28P01"),
            (of(CheckKind.PGSQL, PgsqlCheck("hapair", "none", PASSWORD)), "L7STS", "3D000"),
            (
                of(CheckKind.PGSQL, PgsqlCheck("hapair", "postgres", PASSWORD, "SELECT 1", "2")),
                "L7STS",
                "gave 1",
            ),
        ],
        "openldap": lambda: [(of(CheckKind.REDIS, RedisCheck()), "L7TOUT", "waiting for +PONG")],
        "dnsmasq": lambda: [
            (of(CheckKind.DNS, DnsCheck(NAME, "A", "192.0.2.9")), "L7STS", "192.0.2.1"),
            (of(CheckKind.DNS, DnsCheck("other.example", "A")), "L7STS", "REFUSED"),
        ],
        "vsftpd": lambda: [(of(CheckKind.LDAP), "L7RSP", "not LDAPv3")],
        "nginx": lambda: [
            (https(service, "/other"), "L7STS", "Not Found"),
            (https(service, sni="other.example"), "L6RSP", "Hostname mismatch"),
            (https(service, trusts=False), "L6RSP", "self-signed certificate"),
            (https(service, expect="! string up"), "L7RSP", "unwanted"),
            (of(CheckKind.HTTP, http=HttpCheck()), "L7STS", ""),
            (of(CheckKind.SMTP, SmtpCheck()), "L7TOUT", "waiting for a reply"),
        ],
        "mail": lambda: [(of(CheckKind.FTP, tls=Tls(starttls=True)), "L7STS", "")],
        "opensmtpd": lambda: [(of(CheckKind.REDIS, RedisCheck()), "L7RSP", "not an answer: 220")],
    }[name]()


async def test_a_wrong_answer_fails_with_its_reason(running, nursery, each):
    service = running(each)
    cases = wrong(each, service)
    for wanted, patience in (("L7TOUT", HASTE), ("", PATIENCE)):
        some = [case for case in cases if (case[1] == "L7TOUT") == (wanted == "L7TOUT")]
        if some:
            asked = [(service.port, check) for check, _, _ in some]
            found = await verdicts(nursery, *asked, patience=patience)
            for (status, info), (_, expected, reason) in zip(found, some, strict=True):
                assert status == expected
                assert reason in info


async def test_a_service_that_is_down_is_refused_at_once(nursery):
    port = free_port()
    streams = [check for name, checks in GOOD.items() for check in checks if name != "dnsmasq"]
    found = await verdicts(nursery, *((port, check) for check in [*streams, *GOOD["dnsmasq"]]))
    assert {status for status, _ in found} == {"L4CON"}


@pytest.mark.parametrize("flood", [b"\xff\x00garbage\r\n\r\n" * 3, b"220 x" * 100_000])
async def test_garbage_and_huge_answers_are_no_service(nursery, flood):
    with Flood(flood) as server:
        streams = [check for name, checks in GOOD.items() for check in checks if name != "dnsmasq"]
        streams += [
            attrs.evolve(check, tls=Tls(starttls=True))
            for check in streams
            if check.kind in (CheckKind.MYSQL, CheckKind.PGSQL, CheckKind.LDAP, CheckKind.FTP, CheckKind.SMTP)
        ]
        asked = [(server.port, check) for check in streams]
        found = await verdicts(nursery, *asked, patience=HASTE)
    assert {status for status, _ in found} <= {"L7RSP", "L6RSP", "L7STS", "SOCKERR", "L7TOUT"}, found


@pytest.mark.parametrize("flood", [b"\xff\x00garbage", b"\x81\x80" * 30_000])
async def test_garbage_and_huge_datagrams_are_no_service(nursery, flood):
    sock = trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    await sock.bind(("127.0.0.1", 0))

    async def serve() -> None:
        while True:
            question, whose = await sock.recvfrom(4096)
            # The right number in front: what follows must be judged, not left aside.
            await sock.sendto(question[:2] + flood, whose)

    with sock:
        nursery.start_soon(serve)
        port = sock.getsockname()[1]
        asked = [(port, check) for check in GOOD["dnsmasq"]]
        found = await verdicts(nursery, *asked, patience=HASTE)
        nursery.cancel_scope.cancel()
    assert {status for status, _ in found} <= {"L7RSP", "L7STS", "L7TOUT"}, found


HAPROXYS = {
    "open redis": ("option redis-check", of(CheckKind.REDIS, RedisCheck())),
    "mariadb": ("option mysql-check user check", of(CheckKind.MYSQL, MysqlCheck("check"))),
    "mariadb, a stranger": ("option mysql-check user nobody", of(CheckKind.MYSQL, MysqlCheck("nobody"))),
    "postgresql": ("option pgsql-check user hapair", of(CheckKind.PGSQL, PgsqlCheck("hapair"))),
    "openldap": ("option ldap-check", of(CheckKind.LDAP)),
    "opensmtpd": ("option smtpchk EHLO lb.example", of(CheckKind.SMTP, SmtpCheck("EHLO", "lb.example"))),
    "vsftpd": (
        "option tcp-check\n tcp-check expect rstring ^220",
        of(CheckKind.TCP_CHECK, tcp_check(["connect", "expect rstring ^220"])),
    ),
    "vsftpd, unwanted": (
        "option tcp-check\n tcp-check expect ! rstring ^220",
        of(CheckKind.TCP_CHECK, tcp_check(["connect", "expect ! rstring ^220"])),
    ),
    "vsftpd, binary": (
        "option tcp-check\n tcp-check expect rbinary ^323230",
        of(CheckKind.TCP_CHECK, tcp_check(["connect", "expect rbinary ^323230"])),
    ),
    "open redis, a script": (
        "option tcp-check\n tcp-check connect\n tcp-check send PING\\r\\n\n tcp-check expect string +PONG",
        of(CheckKind.TCP_CHECK, tcp_check(["connect", r"send PING\r\n", "expect string +PONG"])),
    ),
}


async def test_haproxy_comes_to_the_same_verdicts_up_and_hanging(running, tmp_path, nursery):
    wanted = {key: one for key, one in HAPROXYS.items() if key != "opensmtpd" or services.many_users()}
    used = {key: running(key.partition(",")[0]) for key in wanted}
    sections = "".join(
        f"backend b{i}\n mode tcp\n timeout connect 1s\n timeout check 1s\n {text}\n"
        f" server s 127.0.0.1:{used[key].port} check inter 400\n"
        for i, (key, (text, _)) in enumerate(wanted.items())
    )
    haproxy = await trio.to_thread.run_sync(Haproxy, tmp_path, sections)
    try:
        for patience in (PATIENCE, HASTE):
            with contextlib.ExitStack() as stack:
                if patience == HASTE:
                    for service in set(used.values()):
                        stack.enter_context(service.frozen())
                asked = [(used[key].port, one[1]) for key, one in wanted.items()]
                ours = [status for status, _ in await verdicts(nursery, *asked, patience=patience)]
                await _until_theirs_are(haproxy, dict(zip(wanted, ours, strict=True)))
    finally:
        haproxy.end()


async def _until_theirs_are(haproxy: Haproxy, ours: dict[str, str]) -> None:
    """HAProxy's checks come to their end, perhaps one more: it must think the same of all at once."""
    theirs: dict[str, str] = {}
    with trio.move_on_after(15):
        while theirs != ours:
            text = await trio.to_thread.run_sync(haproxy.command, "show stat -1 4 -1")
            found = {
                row["pxname"]: row["check_status"].removeprefix("* ")
                for row in csv.DictReader(text.removeprefix("# ").strip().splitlines())
            }
            theirs = {key: found[f"b{i}"] for i, key in enumerate(ours)}
            await trio.sleep(0.02)
    assert theirs == ours


class Relay(Listener):
    """Passes what a service says on byte by byte, each in a segment of its own."""

    def __init__(self, target: int) -> None:
        super().__init__()
        self._target = target

    def serve(self, client: socket.socket) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with socket.create_connection(("127.0.0.1", self._target)) as server:
            while not self.over.is_set():
                for source in select.select([client, server], [], [], 0.05)[0]:
                    data = source.recv(65536)
                    if not data:
                        return
                    if source is client:
                        server.sendall(data)
                        continue
                    for byte in data:
                        client.sendall(bytes((byte,)))


class Flood(Listener):
    """Says the same to everybody, at once and without listening, and ends."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._data = data

    def serve(self, client: socket.socket) -> None:
        client.sendall(self._data)
        client.shutdown(socket.SHUT_WR)
        while client.recv(4096):
            pass
