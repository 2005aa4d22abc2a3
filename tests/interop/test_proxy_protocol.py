"""The PROXY protocol with those who speak it: HAProxy on both sides, nginx behind, curl before."""

from __future__ import annotations

import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
from app.node import running as node_running
from clients.conftest import wait_for
from interop.haproxy import running as haproxy_running
from ports import free_port

pytestmark = [pytest.mark.interop, pytest.mark.slow]

NODE = """
[node]
name = "a"
{node}

[defaults]
mode = "http"
log_format = "httplog"
timeout = {{ http_request = "5s", connect = "2s", client = "5s", server = "5s", check = "1s" }}
forwardfor = true

[frontend.main]
bind = [{bind}]
default_backend = "web"

[backend.web]
{httpchk}
server.s1 = {{ address = "127.0.0.1:{server}" {server_options} }}
"""
SAYS = """
frontend says
  bind 127.0.0.1:{port} {options}
  http-request return content-type text/plain lf-string "{said}"
"""


SAID = "%[src]:%[src_port] %[dst]:%[dst_port] %[req.hdr(x-forwarded-for)]"


def get(port: int, path: str = "/", source: str = "127.0.0.1") -> str:
    command = ["curl", "-sS", "--max-time", "5", "--interface", source, f"http://127.0.0.1:{port}{path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    assert done.returncode == 0, done.stderr
    return done.stdout


def node(
    folder: Path, *, bind: str, server: int, server_options: str = "", httpchk: str = "", node: str = ""
):
    path = folder / "node.toml"
    path.write_text(
        NODE.format(bind=bind, server=server, server_options=server_options, httpchk=httpchk, node=node)
    )
    return node_running(path)


@pytest.mark.parametrize("option", ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c"])
def test_behind_haproxy_the_client_is_haproxys_client(tmp_path: Path, option: str) -> None:
    outer, inner, says = free_port(), free_port(), free_port()
    front = f"""
listen outer
  mode tcp
  bind 127.0.0.1:{outer}
  server node 127.0.0.1:{inner} {option} check
{SAYS.format(port=says, options="", said=SAID)}"""
    bind = f'{{ address = "127.0.0.1:{inner}", accept_proxy = ["127.0.0.1"] }}'
    with node(tmp_path, bind=bind, server=says) as daemon, haproxy_running(tmp_path, front):
        assert get(outer, source="127.0.0.7").split()[2:] == ["127.0.0.7"]
        # HAProxy's own checks, LOCAL or UNKNOWN, are connections like any other: nobody is turned away.
        assert "PROXY protocol" not in daemon.text()


@pytest.mark.parametrize("option", ['"v1"', '"v2"', '"v2", proxy_v2_options = ["crc32c"]'])
def test_haproxy_behind_is_told_of_our_client_and_of_our_checks(tmp_path: Path, option: str) -> None:
    ours, says = free_port(), free_port()
    back = SAYS.format(port=says, options="accept-proxy", said=SAID)
    options = f', send_proxy = {option}, check = {{ inter = "50ms" }}'
    with (
        haproxy_running(tmp_path, back) as haproxy,
        node(
            tmp_path,
            bind=f'"127.0.0.1:{ours}"',
            server=says,
            server_options=options,
            httpchk='httpchk = "GET /"',
            node='log = { target = "stdout" }',
        ) as daemon,
    ):
        told = get(ours, source="127.0.0.7").split()
        assert told[0].startswith("127.0.0.7:")
        assert told[1] == f"127.0.0.1:{ours}"
        until = time.monotonic() + 5
        while int(_statistic(haproxy.command("show stat"), "says", "req_tot")) < 4:
            assert time.monotonic() < until, "the checks do not come through"
            time.sleep(0.02)
        assert "is DOWN" not in daemon.text()


def _statistic(table: str, name: str, column: str) -> str:
    lines = [line.split(",") for line in table.removeprefix("# ").splitlines() if line]
    (row,) = [line for line in lines if line[0] == name and line[1] == "FRONTEND"]
    return row[lines[0].index(column)]


def test_nginx_behind_is_told_of_our_client(tmp_path: Path) -> None:
    ours, port = free_port(), free_port()
    config = tmp_path / "nginx.conf"
    config.write_text(
        f"user root; daemon off; pid {tmp_path}/pid; error_log {tmp_path}/nginx.err; events {{}}\n"
        f"http {{ access_log off; client_body_temp_path {tmp_path}/b; proxy_temp_path {tmp_path}/p;\n"
        f"fastcgi_temp_path {tmp_path}/f; uwsgi_temp_path {tmp_path}/u; scgi_temp_path {tmp_path}/s;\n"
        f"server {{ listen 127.0.0.1:{port} proxy_protocol;\n"
        'return 200 "$proxy_protocol_addr $proxy_protocol_server_port"; }}\n}'.replace("}}", "}")
    )
    nginx = subprocess.Popen(["nginx", "-c", str(config), "-e", str(tmp_path / "nginx.err")])
    try:
        wait_for(port, nginx)
        options = ', send_proxy = "v2", check = { inter = "50ms" }'
        with node(tmp_path, bind=f'"127.0.0.1:{ours}"', server=port, server_options=options):
            for _ in range(3):
                assert get(ours, source="127.0.0.7") == f"127.0.0.7 {ours}"
        assert "broken header" not in (tmp_path / "nginx.err").read_text()
    finally:
        nginx.terminate()
        nginx.wait()


def test_curl_before_us_says_who_it_is(tmp_path: Path) -> None:
    ours, says = free_port(), free_port()
    bind = f'{{ address = "127.0.0.1:{ours}", accept_proxy = true }}'
    with (
        haproxy_running(tmp_path, SAYS.format(port=says, options="", said=SAID)),
        node(tmp_path, bind=bind, server=says, node='log = { target = "stdout" }') as daemon,
    ):
        command = [
            "curl",
            "-sS",
            "--haproxy-protocol",
            "--interface",
            "127.0.0.9",
            f"http://127.0.0.1:{ours}/",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
        assert done.stdout.split()[2:] == ["127.0.0.9"], done.stderr
        with pytest.raises(OSError, match=r"Remote end closed|reset"):
            urllib.request.urlopen(f"http://127.0.0.1:{ours}/", timeout=5)
        daemon.wait_for("does not look like a PROXY protocol header")
