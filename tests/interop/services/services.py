"""The real services that checks are for, each in a folder of its own, on a free port, as nobody.

A service is ended by its pid; nothing is installed, no init system is asked.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from ports import free_port

NOBODY = pwd.getpwnam("nobody")
PASSWORD = "geheim-1"
PATH = "/usr/lib/postgresql/15/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NAME = "www.example.org"


def many_users() -> bool:
    """False in the user namespace of somebody who is not root: there is only one."""
    return os.geteuid() == 0 and int(Path("/proc/self/uid_map").read_text().split()[2]) > 65534


class Service:
    """A process that serves `port`, and its folder."""

    def __init__(self, name: str, *, as_nobody: bool = True) -> None:
        self.name = name
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix=f"hapair-{name}-", dir="/tmp"))
        self.folder.chmod(0o700)
        self._as_nobody = as_nobody
        self._switches = as_nobody and many_users()
        if self._switches:
            os.chown(self.folder, NOBODY.pw_uid, NOBODY.pw_gid)
        self.process: subprocess.Popen[bytes] | None = None

    def write(self, name: str, text: str) -> Path:
        """A file that the service can read."""
        path = self.folder / name
        path.write_text(text)
        if self._switches:
            os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid)
        return path

    def run(self, *words: object) -> None:
        """Something that must be done before, to its end."""
        done = self._spawn(*words)
        try:
            assert done.wait(60) == 0, self.log()
        finally:
            done.kill()
            done.wait()

    def start(self, *words: object, ready=None) -> None:
        """Start it, and wait until it can be connected to, or `ready` says so."""
        self.process = self._spawn(*words)
        until = time.monotonic() + 30
        while not (ready or self._listens)():
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < until, f"{self.name} does not listen: {self.log()}"
            time.sleep(0.02)

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def _spawn(self, *words: object) -> subprocess.Popen[bytes]:
        command = [str(word) for word in words]
        if self._as_nobody and not self._switches and os.geteuid() == 0:
            command = ["unshare", "--user", "--map-user=65534", "--map-group=65534", "--", *command]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": PATH, "HOME": str(self.folder), "LANG": "C.UTF-8"},
                user=NOBODY.pw_uid if self._switches else None,
                group=NOBODY.pw_gid if self._switches else None,
                extra_groups=[] if self._switches else None,
                start_new_session=True,
            )

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-2000:]

    def signal(self, number: int) -> None:
        """To all its processes: a session of its own is a process group, too."""
        assert self.process is not None
        os.killpg(self.process.pid, number)

    @contextlib.contextmanager
    def frozen(self):
        """It hangs: the kernel still accepts."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self.signal(signal.SIGKILL)
            self.process.wait()
        self.process = None

    def remove(self) -> None:
        self.end()
        shutil.rmtree(self.folder, ignore_errors=True)


def certify(one: Service) -> tuple[Path, Path]:
    """A certificate for NAME, signed by itself, and its key."""
    certificate, key = one.folder / "cert.pem", one.folder / "key.pem"
    one.run(
        "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes",
        "-days", "2", "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}",
        "-keyout", key, "-out", certificate,
    )  # fmt: skip
    return certificate, key


def redis(*more: str) -> Service:
    one = Service("redis")
    one.start(
        "redis-server", "--port", one.port, "--bind", "127.0.0.1", "--save", "", "--dir", one.folder, *more
    )
    return one


def mariadb() -> Service:
    one = Service("mariadb")
    certificate, key = certify(one)
    data = one.folder / "data"
    one.run(
        "mariadb-install-db",
        f"--datadir={data}",
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
    )
    start = one.write(
        "start.sql",
        f"CREATE USER 'hapair'@'%' IDENTIFIED BY '{PASSWORD}';\nCREATE USER 'check'@'%';\n",
    )
    one.start(
        "mariadbd", "--no-defaults", f"--datadir={data}", f"--socket={one.folder}/s", f"--port={one.port}",
        "--bind-address=127.0.0.1", f"--pid-file={one.folder}/pid", f"--init-file={start}",
        "--innodb-buffer-pool-size=8M", "--skip-name-resolve",
        f"--ssl-cert={certificate}", f"--ssl-key={key}",
    )  # fmt: skip
    return one


def postgresql() -> Service:
    one = Service("postgresql")
    certificate, key = certify(one)
    secret = one.write("password", PASSWORD)
    data = one.folder / "data"
    one.run(
        "initdb", "-D", data, "-U", "hapair", "-A", "scram-sha-256", f"--pwfile={secret}", "-N", "--no-locale"
    )
    one.start(
        "postgres", "-D", data, "-p", one.port, "-k", one.folder, "-h", "127.0.0.1", "-c", "fsync=off",
        "-c", "ssl=on", "-c", f"ssl_cert_file={certificate}", "-c", f"ssl_key_file={key}",
        ready=lambda: "ready to accept connections" in one.log(),
    )  # fmt: skip
    return one


def openldap() -> Service:
    one = Service("openldap")
    certificate, key = certify(one)
    config = one.write(
        "slapd.conf",
        f"pidfile {one.folder}/pid\nargsfile {one.folder}/args\n"
        f"TLSCertificateFile {certificate}\nTLSCertificateKeyFile {key}\n",
    )
    one.start("slapd", "-d", "0", "-f", config, "-h", f"ldap://127.0.0.1:{one.port}")
    return one


def opensmtpd() -> Service:
    """It wants to be root, to become several users of its own."""
    one = Service("opensmtpd", as_nobody=False)
    config = one.write(
        "smtpd.conf",
        f"listen on 127.0.0.1 port {one.port} hostname {NAME}\n"
        'action "x" mda "/bin/cat"\nmatch for any action "x"\n',
    )
    one.start("smtpd", "-d", "-f", config)
    return one


def dnsmasq() -> Service:
    one = Service("dnsmasq")
    one.start(
        "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", f"--port={one.port}", "--no-resolv",
        "--no-hosts", "--listen-address=127.0.0.1", "--bind-interfaces", f"--pid-file={one.folder}/pid",
        f"--host-record={NAME},192.0.2.1", "--user=", f"--txt-record={NAME},all is well",
    )  # fmt: skip
    return one


def vsftpd() -> Service:
    one = Service("vsftpd")
    certificate, key = certify(one)
    config = one.write(
        "vsftpd.conf",
        f"listen=YES\nlisten_address=127.0.0.1\nlisten_port={one.port}\nrun_as_launching_user=YES\nbackground=NO\n"
        f"anonymous_enable=YES\nsecure_chroot_dir={one.folder}\none_process_model=YES\nseccomp_sandbox=NO\n"
        f"ssl_enable=YES\nrsa_cert_file={certificate}\nrsa_private_key_file={key}\n",
    )
    one.start("vsftpd", config)
    return one


def nginx() -> Service:
    """HTTPS: /up says so, everything else is 404; the certificate is that of NAME, in `cert.pem`."""
    one = Service("nginx")
    certify(one)
    config = one.write(
        "nginx.conf",
        f"""user root; daemon off; master_process off; pid {one.folder}/pid; error_log stderr;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {one.folder}; proxy_temp_path {one.folder}; fastcgi_temp_path {one.folder};
  uwsgi_temp_path {one.folder}; scgi_temp_path {one.folder};
  server {{
    listen 127.0.0.1:{one.port} ssl; server_name {NAME};
    ssl_certificate cert.pem; ssl_certificate_key key.pem;
    location = /up {{ return 200 "all is up"; }}
    location / {{ return 404; }}
  }}
}}
""",
    )
    one.start("nginx", "-p", one.folder, "-c", config)
    return one


def mail() -> Service:
    """nginx's mail module: SMTP with a STARTTLS that works, which OpenSMTPD 6.8 with OpenSSL 3 has not."""
    one = Service("mail")
    certify(one)
    config = one.write(
        "nginx.conf",
        f"""load_module /usr/lib/nginx/modules/ngx_mail_module.so;
user root; daemon off; master_process off; pid {one.folder}/pid; error_log stderr;
events {{ worker_connections 64; }}
mail {{
  server_name {NAME}; auth_http 127.0.0.1:9/;
  server {{
    listen 127.0.0.1:{one.port}; protocol smtp; smtp_auth none; starttls on;
    ssl_certificate cert.pem; ssl_certificate_key key.pem;
  }}
}}
""",
    )
    one.start("nginx", "-p", one.folder, "-c", config)
    return one
