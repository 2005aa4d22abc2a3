"""Rules that set whom a connection comes from, and where it goes to: for how long that counts."""

from __future__ import annotations

import pytest
from proxy.world import World, get

from hapair.config import model

NAMED = "{ req.hdr(x-ip) -m found }"
RULES = (
    f"set-src req.hdr(x-ip) if {NAMED}",
    f"set-src-port int(7) if {NAMED}",
    f"set-dst ipv4(203.0.113.5) if {NAMED}",
    f"set-dst-port int(99) if {NAMED}",
    'return status 200 content-type text/plain lf-string "%[src]:%[src_port] %[dst]:%[dst_port]\\n"',
)
ANOTHER = b"GET / HTTP/1.1\r\nHost: h\r\nX-Ip: 198.51.100.9\r\n\r\n"


def told(client):
    return client.reads().rpartition(b"\r\n\r\n")[2]


def test_a_request_that_is_given_another_source_keeps_it_for_itself():
    """Behind a proxy that reuses connections, the next request may be somebody else's."""
    here = World(frontend={"http_request": RULES})
    client = here.client(get("/"))
    before = told(client)
    client.sends(ANOTHER)
    assert told(client) == b"198.51.100.9:7 203.0.113.5:99\n"
    client.sends(get("/"))
    assert told(client) == before
    lines = here.log
    assert lines[1].startswith("198.51.100.9:7 ")
    assert lines[0].split()[0] == lines[2].split()[0] != lines[1].split()[0]


@pytest.mark.parametrize("kind", ["tcp_request_connection", "tcp_request_session"])
def test_a_connection_that_is_given_another_source_keeps_it(kind):
    here = World(frontend={kind: ("set-src ipv4(198.51.100.1)",), "http_request": RULES})
    client = here.client(get("/"))
    assert told(client).startswith(b"198.51.100.1:")
    client.sends(ANOTHER)
    assert told(client).startswith(b"198.51.100.9:7 ")
    client.sends(get("/"))
    assert told(client).startswith(b"198.51.100.1:")
    assert [line.partition(":")[0] for line in here.log] == [
        "198.51.100.1",
        "198.51.100.9",
        "198.51.100.1",
    ]


def test_a_stream_keeps_what_its_contents_gave_it():
    here = World(
        mode=model.Mode.TCP,
        frontend={"tcp_request_content": ("set-src ipv4(198.51.100.1)", "set-src-port int(7)")},
    )
    client = here.client(b"x")
    client.gone()
    assert here.log[0].startswith("198.51.100.1:7 ")
