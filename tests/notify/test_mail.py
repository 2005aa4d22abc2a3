"""Mail over real SMTP on loopback."""

from __future__ import annotations

import os
import smtplib
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path

import attrs
import pytest
from notify.smtp import mail_server

from hapair.config.model import Email
from hapair.notify import mail
from hapair.notify.notices import ServerChange, server_mail

AT = datetime(2026, 11, 24, 2, 11, 34, tzinfo=UTC)


@pytest.fixture
def server():
    with mail_server() as running:
        yield running


@pytest.fixture
def email(server):
    return Email(
        server.address,
        "lb@example.org",
        ("ops@example.org", "boss@example.org"),
        helo_name="lb.example.org",
        timeout=5,
    )


def message(email, cause="a\n.\nb"):
    return server_mail(email, "lb-a", ServerChange("web", "web1", False, cause), AT)


def test_the_server_hears_who_we_are_and_gets_the_mail_for_everybody(server, email):
    sent = message(email)
    mail.send(email, sent)
    assert server.heard[0] == "ehlo lb.example.org"
    assert [line.split(":")[1].split(" ")[0] for line in server.heard[1:4]] == [
        "<lb@example.org>",
        "<ops@example.org>",
        "<boss@example.org>",
    ]
    read = message_from_bytes(server.mails[0].replace(b"\r\n..", b"\r\n."), policy=policy.default)
    assert read["Subject"] == "[lb-a] Server web/web1 - DOWN"
    assert read.get_content().replace("\r\n", "\n") == sent.get_content()


def test_a_second_attempt_carries_the_same_id(server, email):
    sent = message(email)
    server.answers["."] = ["451 later"]
    with pytest.raises(smtplib.SMTPDataError):
        mail.send(email, sent)
    first = sent["Message-ID"]
    mail.send(email, sent)
    assert message_from_bytes(server.mails[0])["Message-ID"] == first
    assert first.endswith("@lb.example.org>")


@pytest.mark.parametrize("verb", ["MAIL", "."])
def test_what_is_refused_for_good_is_not_worth_another_try(server, email, verb):
    server.answers[verb] = ["550 we do not\twant you"]
    with pytest.raises(mail.RefusedError, match=r"^550 we do not want you$"):
        mail.send(email, message(email))


def test_if_one_recipient_is_taken_the_mail_is_sent(server, email):
    server.answers["RCPT"] = ["550 unknown"]
    mail.send(email, message(email))
    assert len(server.mails) == 1


def test_all_recipients_refused_for_good_is_final_and_for_now_is_not(server, email):
    server.answers["RCPT"] = ["550 unknown", "551 moved"]
    with pytest.raises(
        mail.RefusedError, match=r"ops@example\.org: 550 unknown; boss@example\.org: 551 moved"
    ):
        mail.send(email, message(email))
    server.answers["RCPT"] = ["550 unknown", "451 greylisted"]
    with pytest.raises(OSError, match="greylisted"):
        mail.send(email, message(email))


def test_nobody_there_is_worth_another_try(email):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = taken.getsockname()
    with pytest.raises(ConnectionRefusedError):
        mail.send(attrs.evolve(email, smtp_server=address), message(email))


def test_a_server_that_says_nothing_is_given_up_after_the_timeout(email):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        silent = attrs.evolve(email, smtp_server=mute.getsockname(), timeout=0.2)
        begun = time.monotonic()
        with pytest.raises(OSError, match="timed out"):
            mail.send(silent, message(email))
        assert 0.2 <= time.monotonic() - begun < 2


CHROOTED = """
import os, sys
from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path
if os.geteuid():
    from lab.namespaces import isolate
    isolate()
from hapair.app.privileges import confine
from hapair.config.model import Email
from hapair.notify import mail
from hapair.notify.notices import ServerChange, server_mail
from notify.smtp import mail_server
with mail_server() as server:
    confine(sys.argv[1])
    email = Email(server.address, "lb@example.org", ("ops@example.org",), "lb.example.org")
    change = ServerChange("web", "web1", False, "Gr\u00fc\u00dfe " + "x" * 2000)
    mail.send(email, server_mail(email, "lb-a", change, datetime.now(UTC)))
    sys.stdout.buffer.write(server.mails[0])
"""


@pytest.mark.netns
def test_mail_is_sent_from_inside_a_chroot_where_nothing_can_be_imported(tmp_path):
    """In a process of its own, since there is no way back."""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", CHROOTED, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": f"{root / 'netns-lab'}:{root / 'tests'}"},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert "Gr\u00fc\u00dfe" in message_from_bytes(done.stdout, policy=policy.default).get_content()
