"""How `source` is spelled: where connections to a server come from, in HAProxy's words."""

from __future__ import annotations

import re

from hapair.config.addresses import address
from hapair.config.fields import FieldError, shown, string
from hapair.config.model import IPAddress, Source

SOURCE = '"ADDRESS[:PORT[-PORT]] [usesrc client|clientip|hdr_ip(NAME[,N])]"'

_PLACE = re.compile(
    r"(?P<host>\*|[0-9.]+|\[[0-9A-Fa-f:.]+\])(?::(?P<low>[0-9]{1,5})(?:-(?P<high>[0-9]{1,5}))?)?"
)
_V6 = re.compile(r"[0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*")
_HDR_IP = re.compile(r"hdr_ip\((?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:,(?P<occurrence>-?[0-9]{1,4}))?\)")


def source(value: object) -> Source:
    """Address, ports, and whose address it is to seem."""
    text = string(value, SOURCE)
    words = text.split()
    if len(words) not in (1, 3) or (len(words) == 3 and words[1] != "usesrc"):
        raise FieldError(f"{shown(text)}: expected {SOURCE}")
    host, ports = _place(words[0], text)
    if len(words) == 1:
        if host is None and ports is None:
            raise FieldError(f"{shown(text)} says nothing: the kernel chooses anyway")
        return Source(text, host, ports)
    whose = words[2]
    at = text.rindex(whose)
    if ports is not None and whose == "client":
        raise FieldError("with usesrc client the port is the client's", text.index(":"))
    if whose in ("client", "clientip"):
        return Source(text, host, ports, whose)
    found = _HDR_IP.fullmatch(whose)
    if found is None:
        raise FieldError(f"{shown(whose)} is not client, clientip or hdr_ip(NAME)", at)
    occurrence = int(found["occurrence"] or -1)
    if not occurrence:
        raise FieldError("values are counted from 1, or from -1 backwards", at + found.start("occurrence"))
    return Source(text, host, ports, "hdr_ip", found["name"].lower(), occurrence)


def _place(word: str, text: str) -> tuple[IPAddress | None, tuple[int, int] | None]:
    if _V6.fullmatch(word):
        return _known(word), None
    found = _PLACE.fullmatch(word)
    if found is None:
        raise FieldError(f"{shown(text)}: {shown(word)} is no address; expected {SOURCE}")
    host = None if found["host"] == "*" else _known(found["host"].strip("[]"))
    if found["low"] is None:
        return host, None
    low, high = int(found["low"]), int(found["high"] or found["low"])
    if not 1 <= low <= high <= 65535:
        raise FieldError(f"{shown(word)}: ports do not ascend within 1..65535", found.start("low"))
    return host, (low, high)


def _known(text: str) -> IPAddress | None:
    found = address(text)
    return None if found.is_unspecified else found
