"""node.toml with everything that can be known about it: configuration, rules, this host's addresses."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from hapair.config.load import Loaded, load, load_text
from hapair.rules.acl import acl_mistake, condition_mistake

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


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
        local_addresses=LocalAddresses(),
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
        local_addresses=LocalAddresses(),
    )
