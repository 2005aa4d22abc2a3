"""Accept_Mode false (RFC 9568 section 6.1): neighbours find the VIPs, and what they send is dropped.

One nftables table for each virtual router, as long as it takes part: it means nothing
while the VIPs are elsewhere, so whatever kills us, what is left of it does no harm; the
next start replaces or removes it.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from hapair.config.model import VrrpInstance
from hapair.errors import StartError
from hapair.kernel import nft
from hapair.vrrp.accept import ruleset, table_name

log = logging.getLogger("hapair.kernel")

_PURPOSE = "accept = false"
_PATIENCE = 5.0
"""Seconds."""


async def check_accept(instance: VrrpInstance) -> None:
    """See that `accept = false` can be had, if the instance has it.

    Raises:
        StartError: nft is missing, or refuses.
    """
    if not instance.accept:
        await nft.load(ruleset(instance), _PURPOSE, only_check=True)


@asynccontextmanager
async def closed_unless_accepting(instance: VrrpInstance) -> AsyncIterator[None]:
    """Drop packets to the instance's VIPs while the block runs, if it has `accept = false`.

    Raises:
        StartError: nft is missing, or refuses.
    """
    if instance.accept:
        if await _is_there(instance):  # an earlier life had accept = false
            await _remove(instance)
        yield
        return
    await nft.load(ruleset(instance), _PURPOSE)
    try:
        yield
    finally:
        with trio.move_on_after(_PATIENCE, shield=True):
            await _remove(instance)


async def _remove(instance: VrrpInstance) -> None:
    table = table_name(instance)
    try:
        await nft.load(f"add table inet {table}\ndelete table inet {table}\n", _PURPOSE)
    except StartError as error:
        log.warning("the nftables table %s may stay: %s", table, error)


async def _is_there(instance: VrrpInstance) -> bool:
    program = nft.find()
    if program is None:
        return False
    command = [program, "list", "table", "inet", table_name(instance)]
    asked = await trio.run_process(command, check=False, capture_stdout=True, capture_stderr=True)
    return asked.returncode == 0
