"""Who is told what happens: the table [email], and the keys of others that name scripts and files."""

from __future__ import annotations

import re
from typing import Any

from hapair.config import addresses, fields
from hapair.config.fields import FieldError, shown, string
from hapair.config.model import Email
from hapair.config.shape import Parser, array, one_or_more, table

SMTP_PORT = 25

_BLANK = re.compile(r"\s")
_BARE_HOST = re.compile(r"[^:\[\]]+|\[[^\[\]]*\]")


def command(value: object) -> tuple[str, ...]:
    """The words of a command line; a path alone may be a string."""
    expected = 'the words of a command, such as ["/etc/hapair/notify", "web"]'
    if isinstance(value, str) and _BLANK.search(value):
        raise FieldError(f"{shown(value)}: there is no shell to split this; expected {expected}")
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list):
        raise fields.wrong(value, expected)
    checked = array(_word, at_least=1)(words)
    fields.file_path(checked[0])
    return checked


def _word(value: object) -> str:
    if value == "":
        return ""  # an empty argument is one
    text = string(value)
    if "\0" in text:
        raise FieldError(f"{shown(text)}: no argument can hold a NUL")
    return text


def smtp_server(value: object) -> tuple[str, int]:
    """`host:port`; port 25 without one."""
    expected = '"host:port"'
    text = string(value, expected)
    if _BARE_HOST.fullmatch(text):
        text = f"{text}:{SMTP_PORT}"
    if text.startswith("/"):
        raise FieldError(f"{shown(text)} is not {expected}")
    try:
        return addresses.server(text)
    except FieldError as error:
        raise FieldError(error.message.replace(addresses.SERVER, expected), error.offset) from None


mailbox = fields.matching(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@(?=[^\s]{1,253}$)(?:[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.]+\])",
    'a mail address, such as "ops@example.org"',
)
event_log = fields.matching(
    r"stdout|syslog|/(?:[^\x00/]+/)*[^\x00/]+", '"stdout", "syslog" or the absolute path of a file', 4095
)

hooks: dict[str, Parser[Any]] = {
    **dict.fromkeys(("notify", "notify_master", "notify_backup", "notify_fault", "notify_stop"), command),
    "notify_timeout": fields.interval,
    "smtp_alert": fields.boolean,
}
"""Keys of whatever enters states: an instance, a group."""

email = table(
    Email,
    rename={"sender": "from", "recipients": "to"},
    smtp_server=smtp_server,
    sender=mailbox,
    recipients=one_or_more(mailbox, at_least=1),
    helo_name=fields.domain,
    timeout=fields.interval,
    smtp_alert_checker=fields.boolean,
)
