"""How addresses are spelled: CIDRs, VIPs, what to bind, where servers and logs are."""

from __future__ import annotations

import re
from ipaddress import (
    AddressValueError,
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_interface,
)

from hapair.config.fields import FieldError, matching, shown, socket_path, string
from hapair.config.model import Bind, IPAddress, IPInterface, IPNetwork

_V4 = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
_CIDR4 = re.compile(rf"({_V4.pattern})(?:/([0-9]|[12][0-9]|3[0-2]))?")
_CIDR6 = re.compile(r"([0-9A-Fa-f:.]+:[0-9A-Fa-f:.]*)(?:/([0-9]|[1-9][0-9]|1[01][0-9]|12[0-8]))?")
_HOST_PORT = re.compile(r"(?P<host>\[[^\[\]]*\]|[^\[\]:]*):(?P<port>[0-9]{1,5})")
_NUMERIC = re.compile(r"[0-9.]+")
_HOSTNAME = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62}))*\.?"
)
_NOBODYS = (IPv4Address("255.255.255.255"), IPv6Address("::1"))
_FD = re.compile(r"fd@([0-9]{1,6})")

BIND = '"address:port", "*:port", ":port", "[v6]:port", "/path.sock" or "fd@N"'
SERVER = '"address:port", "name:port", "[v6]:port" or "/path.sock"'
LISTEN = '"address:port", "*:port" or "[v6]:port"'
LOG_TARGET = '"stdout", "stderr", "file:/path", "/path.sock", "host:port" or "tcp@host:port"'
log_file = matching(r"/(?:[^\x00/]+/)*[^\x00/]+", '"file:" and the absolute path of a file', 4095)


def own(value: object) -> IPAddress:
    """An address of one node, of either family."""
    return _usable(address(string(value, "an address")))


def vip(value: object) -> IPInterface:
    """An address that VRRP moves, with its prefix length (32 or 128 without one, as in keepalived)."""
    expected = 'an address with prefix length, such as "192.0.2.1/24"'
    text = string(value, expected)
    found = _CIDR4.fullmatch(text) or _CIDR6.fullmatch(text)
    if found is None:
        raise FieldError(f"{shown(text)} is not {expected}")
    of = _usable(address(found[1]))
    return ip_interface((of, int(found[2] or of.max_prefixlen)))


def cidr(value: object) -> IPNetwork:
    """A network of either family; a bare address is a network of one."""
    text = string(value, 'a network, such as "127.0.0.0/8"')
    found = _CIDR4.fullmatch(text) or _CIDR6.fullmatch(text)
    if found is None:
        raise FieldError(f'{shown(text)} is not a network, such as "127.0.0.0/8"')
    host = address(found[1])
    length = host.max_prefixlen if found[2] is None else int(found[2])
    network: IPNetwork
    if isinstance(host, IPv6Address):
        network = IPv6Network((int(host), length), strict=False)
    else:
        network = IPv4Network((int(host), length), strict=False)
    if network.network_address != host:
        raise FieldError(f'{shown(text)} has bits set to the right of its prefix; did you mean "{network}"?')
    return network


def destination(value: object) -> IPNetwork:
    """A network; "default" is that of IPv4, "::/0" is IPv6's."""
    return cidr("0.0.0.0/0" if value == "default" else value)


def bind(value: object) -> Bind:
    """One listening socket."""
    text = string(value, BIND)
    if text.startswith("/"):
        return Bind(text, path=socket_path(text))
    if text.startswith("fd@"):
        found = _FD.fullmatch(text)
        if found is None or int(found[1]) < 3:
            raise FieldError(
                f'{shown(text)}: after "fd@" comes the number of an inherited descriptor, 3 or higher'
            )
        return Bind(text, fd=int(found[1]))
    host, port = _host_port(text, BIND, anywhere=True)
    if host in ("*", ""):
        return Bind(text, port=port)
    try:
        return Bind(text, host=address(host), port=port)
    except FieldError:
        if _HOSTNAME.fullmatch(host) and not _NUMERIC.fullmatch(host):
            raise FieldError(
                f"{shown(text)}: listening needs an address, not a name; expected {BIND}"
            ) from None
        raise


def server(value: object) -> tuple[str, int]:
    """Host and port of a server; the path of a socket and 0."""
    text = string(value, SERVER)
    if text.startswith("/"):
        return socket_path(text), 0
    host, port = _host_port(text, SERVER)
    return _host(host, text, SERVER), port


def host(value: object) -> str:
    """An address or a name, without a port."""
    expected = "an address or a host name, without a port"
    text = string(value, expected)
    if _HOST_PORT.fullmatch(text):
        raise FieldError(f"{shown(text)} has a port; expected {expected}")
    return _host(text, text, expected)


def listen(value: object) -> tuple[str, int]:
    """Host and port of a listener of our own."""
    text = string(value, LISTEN)
    host, port = _host_port(text, LISTEN)
    return ("0.0.0.0" if host == "*" else str(address(host))), port


def peer(value: object) -> tuple[str, int]:
    """Address and port of one of the two nodes: one that others can reach."""
    expected = 'an address and port of a node such as "192.0.2.11:1024"'
    text = string(value, expected)
    host, port = _host_port(text, expected)
    if host == "*":
        raise FieldError(f"{shown(text)}: expected {expected}")
    return str(_usable(address(host))), port


def log_target(value: object) -> str:
    """Where log lines go."""
    text = string(value, LOG_TARGET)
    if text in ("stdout", "stderr"):
        return text
    if text.startswith("/"):
        return socket_path(text)
    if text.startswith("file:"):
        return f"file:{log_file(text.removeprefix('file:'))}"
    host, _ = _host_port(text.removeprefix("tcp@"), LOG_TARGET)
    _host(host, text, LOG_TARGET)
    return text


def _host_port(text: str, expected: str, *, anywhere: bool = False) -> tuple[str, int]:
    """Both parts; the host may be left out if it may be `anywhere`, as in HAProxy."""
    found = _HOST_PORT.fullmatch(text)
    if found is None:
        hint = ""
        if _V4.fullmatch(text) or _HOSTNAME.fullmatch(text):
            hint = "it has no port; "
        elif text.count(":") > 1 and _CIDR6.fullmatch(text):
            hint = "an IPv6 address goes in brackets; "
        raise FieldError(f"{shown(text)}: {hint}expected {expected}")
    host, port = found["host"], int(found["port"])
    if not host and not anywhere:
        raise FieldError(f"{shown(text)}: an address is missing before the port; expected {expected}")
    if not 1 <= port <= 65535:
        raise FieldError(f"{shown(text)}: port {port} is outside 1..65535", found.start("port"))
    if host.startswith("["):
        return str(_ipv6(host[1:-1])), port
    return host, port


def _host(host: str, text: str, expected: str) -> str:
    if _NUMERIC.fullmatch(host) or ":" in host:
        return str(address(host))
    if not _HOSTNAME.fullmatch(host):
        raise FieldError(f"{shown(text)}: {shown(host)} is no host name; expected {expected}")
    return host


def address(text: str) -> IPAddress:
    """One address of either family."""
    return _ipv6(text) if ":" in text else _ipv4(text)


def _ipv4(text: str) -> IPv4Address:
    try:
        return IPv4Address(text)
    except AddressValueError:
        raise FieldError(f"{shown(text)} is not an IPv4 address") from None


def _ipv6(text: str) -> IPv6Address:
    try:
        return IPv6Address(text)
    except AddressValueError:
        raise FieldError(f"{shown(text)} is not an IPv6 address") from None


def _usable(one: IPAddress) -> IPAddress:
    """Can it belong to a node at all?"""
    if one.is_multicast or one.is_unspecified or one in _NOBODYS:
        raise FieldError(f"{one} cannot be the address of a node")
    return one
