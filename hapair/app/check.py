"""node.toml with everything that can be known about it: configuration, rules, this host's addresses."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING

from hapair.app.privileges import may_be_transparent
from hapair.config.load import Loaded, load, load_text
from hapair.errors import StartError
from hapair.kernel.script_safety import account, unsafe
from hapair.proxy.ruled import table_mistakes
from hapair.rules.acl import acl_mistake, condition_mistake
from hapair.rules.actions import rule_mistake

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hapair.config.model import Node


class LocalAddresses:
    """The addresses of this host, looked up one by one and only when a bind needs it."""

    def __contains__(self, address: object) -> bool:
        family = socket.AF_INET6 if ":" in str(address) else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.bind((str(address), 0))  # without IP_FREEBIND the kernel knows
        except OSError:
            return False  # whatever the reason, it is not known to be ours
        return True


def script_mistake(program: str, node: Node) -> tuple[str, str] | None:
    """Why a program would not be run: "error" or "warning", and the reason.

    What is missing may be missing here only: a file is also checked elsewhere.
    """
    try:
        who = account(node.script_user, node.user)
    except StartError:
        return None  # said at the start, and only where it matters
    if not Path(program).exists():
        return "warning", "there is no such program here"
    why = unsafe(program, who.uid)
    return ("error", f"it is not safe to run: {why}") if why else None


def transparency_mistake() -> str | None:
    """Why this process could not connect in the name of others."""
    if may_be_transparent():
        return None
    return (
        "this takes the right to administer the network (CAP_NET_ADMIN), which this process has not: be root"
    )


def load_config(path: Path, environ: Mapping[str, str]) -> Loaded:
    """Load a file.

    Raises:
        ConfigError: it cannot be used.
        OSError: it cannot be read.
    """
    return load(
        path,
        environ,
        acl_mistake=acl_mistake,
        condition_mistake=condition_mistake,
        rule_mistake=rule_mistake,
        table_mistakes=table_mistakes,
        local_addresses=LocalAddresses(),
        script_mistake=script_mistake,
        transparency_mistake=transparency_mistake,
    )


def load_text_config(text: str, file: str, environ: Mapping[str, str]) -> Loaded:
    """The same from a text; `file` is what messages call it.

    Raises:
        ConfigError: it cannot be used.
    """
    return load_text(
        text,
        file,
        environ,
        acl_mistake=acl_mistake,
        condition_mistake=condition_mistake,
        rule_mistake=rule_mistake,
        table_mistakes=table_mistakes,
        local_addresses=LocalAddresses(),
        script_mistake=script_mistake,
        transparency_mistake=transparency_mistake,
    )
