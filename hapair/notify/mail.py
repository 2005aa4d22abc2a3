"""One SMTP conversation (smtplib).  It blocks, and is for a thread."""

from __future__ import annotations

import smtplib
from email.message import EmailMessage
from email.utils import make_msgid

from hapair.config.model import Email


class RefusedError(Exception):
    """The server does not want this mail and will not want it later either."""


def send(email: Email, message: EmailMessage) -> None:
    """Hand `message` to the server of `email`.

    A server that takes it for some of the recipients has taken it.

    Raises:
        RefusedError: a 5xx answer.
        OSError: no connection, silence, a 4xx answer: worth another try (smtplib's errors are OSErrors).
    """
    if message["Message-ID"] is None:  # the same in every attempt, so that a mail that came twice is known
        message["Message-ID"] = make_msgid(domain=email.helo_name)
    host, port = email.smtp_server
    try:
        with smtplib.SMTP(host, port, local_hostname=email.helo_name, timeout=email.timeout) as server:
            server.send_message(message, email.sender, email.recipients)
    except smtplib.SMTPRecipientsRefused as error:
        answers = [
            f"{recipient}: {code} {text(said)}" for recipient, (code, said) in error.recipients.items()
        ]
        if all(code >= 500 for code, _ in error.recipients.values()):
            raise RefusedError("; ".join(answers)) from None
        raise
    except smtplib.SMTPResponseException as error:
        if error.smtp_code >= 500:
            raise RefusedError(f"{error.smtp_code} {text(error.smtp_error)}") from None
        raise


def text(said: bytes | str) -> str:
    """What a server said, on one line."""
    decoded = said.decode("ascii", "backslashreplace") if isinstance(said, bytes) else said
    return " ".join(decoded.split())
