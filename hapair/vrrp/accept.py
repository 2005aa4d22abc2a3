"""What accept = false drops, as nftables rules (pure)."""

from __future__ import annotations

import re

from hapair.config.model import VrrpInstance

TABLES = "hapair_"
"""What the names of our tables begin with."""


def ruleset(instance: VrrpInstance) -> str:
    """Return what nft(8) makes the table of, in one transaction; ICMPv6 neighbour discovery gets through."""
    table = f"inet {table_name(instance)}"
    drops = "".join(
        f"    {word} daddr {{ {', '.join(str(vip.ip) for vip in vips)} }} counter drop\n"
        for word, vips in (
            ("ip", [vip for vip in instance.held if vip.version == 4]),
            ("ip6", [vip for vip in instance.held if vip.version == 6]),
        )
        if vips
    )
    return f"""\
add table {table}
delete table {table}
table {table} {{
  chain input {{
    type filter hook input priority -10; policy accept;
    icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept
{drops}  }}
}}
"""


def table_name(instance: VrrpInstance) -> str:
    """Return the name of the instance's table: a virtual router is an interface, a family and an id."""
    interface = re.sub(r"[^A-Za-z0-9]", "_", instance.interface)
    return f"{TABLES}{interface}_ipv{instance.family}_{instance.virtual_router_id}"
