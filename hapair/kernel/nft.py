"""The program nft: loads rulesets, one transaction each."""

from __future__ import annotations

import os
import shutil
from subprocess import CalledProcessError

import trio

from hapair.errors import StartError


def find() -> str | None:
    """Where it is; None when it is not installed."""
    path = os.environ.get("PATH", os.defpath)
    return shutil.which("nft", path=f"{path}:/usr/sbin:/sbin")


async def load(text: str, purpose: str, *, only_check: bool = False) -> None:
    """Load `text`; messages say that it is for `purpose`.

    Raises:
        StartError: nft is missing, or refuses.
    """
    nft = find()
    if nft is None:
        raise StartError(f"{purpose} needs the program nft: install nftables")
    command = [nft, *(["-c"] if only_check else []), "-f", "-"]
    try:
        await trio.run_process(command, stdin=text.encode(), capture_stdout=True, capture_stderr=True)
    except CalledProcessError as error:
        reason = error.stderr.decode(errors="replace").strip().splitlines()[:1]
        raise StartError(f"nft refuses the rules of {purpose}: {''.join(reason)}") from error
    except OSError as error:
        raise StartError(f"{nft} cannot be run: {error.strerror}") from error
