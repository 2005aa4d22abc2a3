"""Flights that do more than ask once: another connection, last words, datagrams, several pings, TLS."""

from __future__ import annotations

import socket
import ssl
import subprocess

import attrs
import pytest
from health.test_flight import BOTH_WITHIN_ONE, GOOD, PLAN, REQUEST, Sky, alone, sky

from hapair.config.asks import IcmpCheck, Tls, UdpCheck
from hapair.config.model import CheckKind
from hapair.config.tables_check import tcp_check
from hapair.health.probes.http import HttpProbe
from hapair.health.probes.numbered import smtp
from hapair.health.probes.tcp import TcpProbe
from hapair.health.probes.tcp_check import TcpCheckProbe
from hapair.health.probes.udp import UdpProbe
from hapair.health.tls import secured

__all__ = ["alone", "sky"]

UDP = attrs.evolve(BOTH_WITHIN_ONE, kind=CheckKind.UDP, http=None)


def test_the_last_words_arrive_and_the_connection_ends_in_order(sky: Sky):
    sky.launch(dialogue=smtp("HELO", "x"))
    with sky.connected() as server:
        server.sendall(b"220 hi\r\n")
        sky.wait_for_events()
        sky.turn()
        assert server.recv(100) == b"HELO x\r\n"
        server.sendall(b"250 hi\r\n")
        assert sky.until_landed().code == 250
        assert server.recv(100) == b"QUIT\r\n"
        assert server.recv(100) == b""  # a FIN, no reset


def test_a_script_goes_on_at_another_port(sky: Sky):
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(5)
        port = other.getsockname()[1]
        script = tcp_check(
            ["connect", "expect string a", "send bye", f"connect port {port}", "expect string b"]
        )
        sky.launch(dialogue=TcpCheckProbe(script))
        with sky.connected() as first:
            first.sendall(b"a")
            sky.wait_for_events()
            sky.turn()
            assert first.recv(100) == b"bye"
            sky.wait_for_events()
            sky.turn()
            second, _ = other.accept()
            with second:
                second.sendall(b"b")
                assert sky.until_landed().status == "L7OK"
    assert len(sky.flights) == 0


def test_a_port_that_refuses_the_second_connection_is_told_as_such(sky: Sky):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        script = tcp_check(["connect", "expect string a", f"connect port {closed.getsockname()[1]}"])
        sky.launch(dialogue=TcpCheckProbe(script))
        with sky.connected() as first:
            first.sendall(b"a")
            assert sky.until_landed().status == "L4CON"


def test_a_datagram_is_answered_or_nobody_is_there_or_nothing_comes(sky: Sky):
    with socket.socket(type=socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)
        for name in ("answered", "silent"):
            sky.launch(name, UdpProbe(UdpCheck(name.encode())), UDP, server.getsockname())
        sky.wait_for_events()
        sky.turn()
        for _ in range(2):
            data, peer = server.recvfrom(100)
            if data == b"answered":
                server.sendto(b"yes", peer)
        sky.until_landed()
        assert sky.landed["answered"].status == "L7OK"
        sky.now += 1
        sky.turn()
        assert sky.landed["silent"].status == "L7TOUT"
        address = server.getsockname()
    sky.launch("closed", UdpProbe(UdpCheck(b"x", require_reply=False)), UDP, address)
    sky.until_landed(3)
    assert (sky.landed["closed"].status, sky.landed["closed"].info) == ("L4CON", "Connection refused")


def pings(count: int, loss: int):
    return attrs.evolve(PLAN, kind=CheckKind.ICMP, http=None, ask=IcmpCheck(count, loss))


@pytest.mark.netns  # a user may send none outside of his own, unless net.ipv4.ping_group_range has his group
def test_several_pings_pass_when_enough_are_answered(sky: Sky):
    sky.flights.launch("t", pings(5, 0), socket.AF_INET, ("127.0.0.1", 0), None, sky.now)
    assert sky.until_landed().status == "L3OK"


@pytest.mark.netns
def test_pings_that_are_lost_are_counted(alone):
    sky, namespace = alone
    namespace.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/icmp_echo_ignore_all")
    sky.flights.launch("t", pings(3, 50), socket.AF_INET, ("127.0.0.1", 0), None, sky.now)
    sky.now += 1
    sky.turn()
    assert (sky.landed["t"].status, sky.landed["t"].info) == ("L3TOUT", "0 of 3 answers")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", "/CN=www.example.org", "-addext", "subjectAltName=DNS:www.example.org",
         "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


class TlsServer:
    """The server's side of one TLS connection, step by step."""

    def __init__(self, sock: socket.socket, folder) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        self.names: list[str | None] = []
        context.sni_callback = lambda _sock, name, _context: self.names.append(name)
        self.sock = sock
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)

    def serve(self, sky: Sky, answer: bytes, *, bytewise: bool = False) -> None:
        """Until the flight has landed: shake hands, read a request, answer it."""
        self.sock.setblocking(False)
        answered = False
        while not sky.landed:
            try:
                self.incoming.write(self.sock.recv(65536))
            except BlockingIOError:
                pass
            try:
                self.tls.do_handshake()
                if not answered and self.tls.read(1000):
                    self.tls.write(answer)
                    answered = True
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                return
            out = self.outgoing.read()
            for piece in [out[i : i + 1] for i in range(len(out))] if bytewise else [out] if out else []:
                self.sock.sendall(piece)
                sky.turn()
            sky.turn()


def over_tls(tls: Tls, dialogue=lambda: HttpProbe(REQUEST)):
    return secured(dialogue, tls, at_once=True)()


@pytest.mark.parametrize("bytewise", [False, True])
def test_a_dialogue_over_tls_names_the_server_and_is_shown_in_plain(sky: Sky, certificate, bytewise):
    sky.launch(dialogue=over_tls(Tls("www.example.org", True, str(certificate / "cert.pem"))))
    with sky.connected() as sock:
        server = TlsServer(sock, certificate)
        server.serve(sky, GOOD, bytewise=bytewise)
    outcome = sky.until_landed()
    assert (outcome.status, outcome.sent, outcome.received) == ("L7OK", REQUEST, GOOD)
    assert server.names == ["www.example.org"]


@pytest.mark.parametrize(
    ("tls", "trusted", "why"),
    [
        (Tls("other.example.org", True), True, "Hostname mismatch"),
        (Tls("www.example.org", True), False, "self-signed certificate"),
    ],
)
def test_a_certificate_of_somebody_else_is_refused_where_that_matters(
    sky: Sky, certificate, tls, trusted, why
):
    tls = attrs.evolve(tls, ca_file=str(certificate / "cert.pem") if trusted else None)
    sky.launch(dialogue=over_tls(tls))
    with sky.connected() as sock:
        TlsServer(sock, certificate).serve(sky, GOOD)
    outcome = sky.until_landed()
    assert outcome.status == "L6RSP"
    assert why in outcome.info


def test_without_verification_any_certificate_will_do_and_a_mere_connection_is_layer_6(sky: Sky, certificate):
    sky.launch(dialogue=over_tls(Tls(), TcpProbe))
    with sky.connected() as sock:
        TlsServer(sock, certificate).serve(sky, b"")
    assert sky.until_landed().status == "L6OK"


@pytest.mark.parametrize(("answer", "status"), [(b"HTTP/1.0 400 Bad\r\n\r\n", "L6RSP"), (b"", "L6TOUT")])
def test_what_is_not_tls_fails_in_the_handshake(sky: Sky, answer, status):
    sky.launch(dialogue=over_tls(Tls()), plan=BOTH_WITHIN_ONE)
    with sky.connected() as sock:
        if answer:
            sock.sendall(answer)
            sky.until_landed()
        sky.now += 1
        sky.turn()
    assert sky.landed["t"].status == status


def test_a_ca_file_that_is_not_there_fails_every_check_and_says_so(sky: Sky, tmp_path):
    sky.launch(dialogue=over_tls(Tls(None, True, str(tmp_path / "none.pem"))))
    outcome = sky.until_landed()
    assert outcome.status == "SOCKERR"
    assert "No such file" in outcome.info
