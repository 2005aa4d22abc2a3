"""`hapair run node.toml`: from a file to a running node, and every way it can refuse to start."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click
import trio

from hapair.api.service import api_sockets
from hapair.app.check import load_config
from hapair.app.ending import ended
from hapair.app.logging_bridge import logging_to
from hapair.app.pidfile import pidfile
from hapair.app.privileges import become
from hapair.app.supervisor import ConfigFile, supervise
from hapair.app.wiring import Node
from hapair.cli.check import print_problems
from hapair.errors import ConfigError, HapairError

if TYPE_CHECKING:
    from pathlib import Path


def run(path: Path) -> int:
    """Run until stopped; returns the exit code."""
    try:
        loaded = load_config(path, os.environ)
    except ConfigError as error:
        print_problems(error.problems, path)
        return 1
    except OSError as error:
        click.echo(f"hapair: cannot read {path}: {error.strerror}", err=True)
        return 1
    config = loaded.config
    print_problems(loaded.warnings, path)
    code = 0
    try:
        with (
            logging_to(
                config.node.log, config.node.user, config.node.log_tag, config.node.log_send_hostname
            ) as sink,
            pidfile(config.node.pidfile),
            api_sockets(config.api) as api,
        ):
            file = ConfigFile(path.absolute())
            node = Node(config, sink, api)
            node.start()
            become(config.node.user, config.node.group, may_chroot=config.node.chroot is not None)
            trio.run(supervise, node, file, os.environ)
    except* HapairError as group:
        for leaf in _leaves(group):
            click.echo(f"hapair: {leaf}", err=True)
        code = 1
    except* KeyboardInterrupt:
        code = 130
    finally:
        ended()
    return code


def _leaves(group: BaseExceptionGroup) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
