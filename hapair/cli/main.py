"""The `hapair` command.  Each subcommand imports what it needs when it runs: start-up stays quick."""

from __future__ import annotations

from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path

import click

from hapair import __version__

_FILE = click.argument("file", type=click.Path(path_type=Path))


def _how() -> str:
    """Whether the hot modules are compiled (setup.py)."""
    found = find_spec("hapair.proxy.session")
    compiled = found is not None and str(found.origin).endswith(tuple(EXTENSION_SUFFIXES))
    return "compiled" if compiled else "plain Python"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hapair", message=f"%(prog)s %(version)s ({_how()})")
def main() -> None:
    """keepalived and HAProxy in one: a pair of nodes, a floating VIP, layer 4 and 7 balancing."""


@main.command()
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True)
def check(files: tuple[Path, ...]) -> None:
    """Check each of FILES (node.toml) and list everything that is wrong with it.

    Two or more are the nodes of one pair: they are compared as well.
    """
    from hapair.cli.check import check_all

    raise SystemExit(check_all(files))


@main.command(name="show-config")
@_FILE
def show_config(file: Path) -> None:
    """Print FILE as it is understood: defaults and variables filled in.  Passwords included."""
    from hapair.cli.check import show_config as run_show

    raise SystemExit(run_show(file))


@main.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option(
    "--socket", type=click.Path(path_type=Path), help="The node's runtime socket, instead of FILE's."
)
@click.option("--json", "as_json", is_flag=True, help="The same for programs.")
def status(file: Path | None, socket: Path | None, as_json: bool) -> None:
    """Show the routers and servers of the running node that FILE (node.toml) describes.

    The exit code is 0, 1 when the node cannot be asked, 2 when a router is in FAULT.
    """
    from hapair.cli.status import status as run_status

    raise SystemExit(run_status(file, socket, as_json=as_json))


@main.command()
@_FILE
def run(file: Path) -> None:
    """Run the node that FILE (node.toml) describes."""
    from hapair.cli.run import run as run_node

    raise SystemExit(run_node(file))


@main.command()
@_FILE
@click.option(
    "--seconds",
    type=click.FloatRange(0.1, 600),
    default=4.0,
    show_default=True,
    help="How long to listen; some three advert intervals at least.",
)
def doctor(file: Path, seconds: float) -> None:
    """Examine host and network for the node that FILE (node.toml) describes, running or not.

    Listens for foreign adverts, asks who has the VIPs, pings unicast peers; looks at interfaces,
    firewall, permissions and limits.  Changes nothing.  The exit code is 1 with a problem.
    """
    from hapair.cli.doctor import doctor as run_doctor

    raise SystemExit(run_doctor(file, seconds))


@main.group()
def vrrp() -> None:
    """Look at VRRP on the wire."""


@vrrp.command()
@click.option("-i", "--interface", required=True, help="Where to listen.")
@click.option("--vrid", type=click.IntRange(1, 255), help="Only this virtual router.")
@click.option("--json", "as_json", is_flag=True, help="An object in each line.")
@click.option("--count", type=click.IntRange(min=1), help="End after that many adverts.")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="End after that time.")
def watch(interface: str, vrid: int | None, as_json: bool, count: int | None, seconds: float | None) -> None:
    """Show every advert on an interface: VRRP versions 2 and 3, IPv4 and IPv6, ours and others'.

    Says when the master changes, resigns or falls silent, and when there are two.  Needs CAP_NET_RAW.
    """
    from math import inf

    from hapair.cli.watch import watch as run_watch

    raise SystemExit(
        run_watch(
            interface, vrid=vrid, as_json=as_json, count=count, seconds=inf if seconds is None else seconds
        )
    )
