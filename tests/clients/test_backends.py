"""Apache, nginx and Python's http.server behind the node: what each makes of HTTP arrives whole."""

from __future__ import annotations

import contextlib
import http.client
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from app.node import running
from clients.conftest import wait_for
from ports import free_port

pytestmark = [pytest.mark.interop, pytest.mark.slow]

NODE = """
[node]
name = "backends"
[defaults]
mode = "http"
timeout = { http_request = "10s", connect = "5s", client = "10s", server = "10s" }
"""
WAY = """
[frontend.f{n}]
bind = ["127.0.0.1:{port}"]
default_backend = "b{n}"
[backend.b{n}]
server.s = {{ address = "127.0.0.1:{server}" }}
"""
APACHE = """
ServerName localhost
ServerRoot "{folder}"
PidFile "{folder}/apache.pid"
ErrorLog "{folder}/apache.log"
Listen 127.0.0.1:{port}
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule mime_module /usr/lib/apache2/modules/mod_mime.so
LoadModule filter_module /usr/lib/apache2/modules/mod_filter.so
LoadModule deflate_module /usr/lib/apache2/modules/mod_deflate.so
TypesConfig /dev/null
User nobody
Group nogroup
StartServers 1
ThreadsPerChild 25
KeepAlive On
DocumentRoot "{folder}/www"
<Directory "{folder}/www">
  Require all granted
</Directory>
<Location "/packed">
  SetOutputFilter DEFLATE
</Location>
"""
NGINX = """
user root; daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr error;
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; default_type application/octet-stream;
  server {{
    listen 127.0.0.1:{port}; root {folder}/www;
    location /packed {{ gzip on; gzip_types *; gzip_min_length 1; }}
  }}
}}
"""
LARGE = random.Random(1).randbytes(700_000).hex().encode()
SERVERS = ["apache", "nginx", "http.server 1.0", "http.server 1.1"]


def command(kind: str, folder: Path, port: int) -> list[str]:
    if kind == "apache":
        config = folder / "apache.conf"
        config.write_text(APACHE.format(folder=folder, port=port))
        return ["apache2", "-f", str(config), "-DFOREGROUND"]
    if kind == "nginx":
        config = folder / "nginx.conf"
        config.write_text(NGINX.format(folder=folder, port=port))
        return ["nginx", "-c", str(config), "-e", "stderr"]
    place = ["--bind", "127.0.0.1", "--directory", str(folder / "www"), str(port)]
    return [sys.executable, "-m", "http.server", "--protocol", f"HTTP/{kind[-3:]}", *place]


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """Where the node listens for each of the servers, which all run."""
    folder = tmp_path_factory.mktemp("backends")
    (folder / "www" / "packed").mkdir(parents=True)
    for path in (folder, *folder.parents):  # Apache's workers are another user
        if path == Path("/tmp"):
            break
        path.chmod(0o755)
    (folder / "www" / "page").write_bytes(b"<p>hello</p>")
    (folder / "www" / "empty").write_bytes(b"")
    (folder / "www" / "large").write_bytes(LARGE)
    (folder / "www" / "packed" / "large").write_bytes(LARGE)
    fronts = {kind: free_port() for kind in SERVERS}
    text = NODE
    with contextlib.ExitStack() as stack:
        log = stack.enter_context((folder / "servers.log").open("w"))
        for n, (kind, front) in enumerate(fronts.items()):
            behind = free_port()
            process = subprocess.Popen(command(kind, folder, behind), stdout=log, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            wait_for(behind, process)
            text += WAY.format(n=n, port=front, server=behind)
        (folder / "node.toml").write_text(text)
        stack.enter_context(running(folder / "node.toml"))
        yield fronts


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, ports: dict[str, int]) -> tuple[str, int]:
    """Its kind, and the port of the node before it."""
    return request.param, ports[request.param]


@contextlib.contextmanager
def connection(port: int) -> Iterator[http.client.HTTPConnection]:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        yield client
    finally:
        client.close()


def get(client: http.client.HTTPConnection, path: str, method: str = "GET", **fields: str):
    client.request(method, path, headers={name.replace("_", "-"): value for name, value in fields.items()})
    answer = client.getresponse()
    return answer.status, answer.headers, answer.read()


def test_one_client_connection_serves_everything(server: tuple[str, int]) -> None:
    """The client keeps it even where the server, as HTTP/1.0 has it, ends each of its own."""
    _, port = server
    with connection(port) as client:
        client.connect()
        sock = client.sock
        assert get(client, "/page")[::2] == (200, b"<p>hello</p>")
        assert get(client, "/empty")[::2] == (200, b"")
        assert get(client, "/large")[::2] == (200, LARGE)
        status, headers, body = get(client, "/large", "HEAD")
        assert (status, headers["content-length"], body) == (200, str(len(LARGE)), b"")
        assert get(client, "/nowhere")[0] == 404
        assert client.sock is sock


def test_an_unchanged_page_is_304(server: tuple[str, int]) -> None:
    _, port = server
    with connection(port) as client:
        changed = get(client, "/page")[1]["last-modified"]
        assert get(client, "/page", If_Modified_Since=changed)[::2] == (304, b"")
        assert get(client, "/page")[::2] == (200, b"<p>hello</p>")


def test_a_refused_upload_gets_the_servers_answer(server: tuple[str, int]) -> None:
    """The server answers before it has read the body, and perhaps closes."""
    _, port = server
    with connection(port) as client:
        client.request("POST", "/page", body=b"x" * 3000)
        assert client.getresponse().status in (200, 405, 501)
    with connection(port) as client:
        assert get(client, "/page")[0] == 200


def test_parts_and_compression_as_far_as_the_server_has_them(server: tuple[str, int]) -> None:
    kind, port = server
    with connection(port) as client:
        status, _, body = get(client, "/large", Range="bytes=100-199")
        if kind.startswith("http.server"):
            assert (status, body) == (200, LARGE)
            return
        assert (status, body) == (206, LARGE[100:200])
        status, headers, body = get(client, "/packed/large", Accept_Encoding="gzip")
        assert (status, headers["transfer-encoding"], headers["content-encoding"]) == (200, "chunked", "gzip")
        assert len(body) < len(LARGE) * 0.7
        assert get(client, "/page")[::2] == (200, b"<p>hello</p>")
