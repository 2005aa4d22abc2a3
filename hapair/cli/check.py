"""`hapair check` and `hapair show-config`, and how problems are printed."""

from __future__ import annotations

import os
from itertools import combinations
from typing import TYPE_CHECKING

import click

from hapair.config import check_pair
from hapair.config.problems import count, render
from hapair.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hapair.config.load import Loaded
    from hapair.config.model import NodeConfig
    from hapair.config.problems import Problem


def check_all(paths: Sequence[Path]) -> int:
    """Say whether each file can be used, and whether they go together; returns the exit code."""
    found = [(path, load(path)) for path in paths]
    usable = [(path, loaded) for path, loaded in found if loaded is not None]
    wrong = len(usable) < len(found)
    for (path, one), (other_path, other) in combinations(usable, 2):
        problems = check_pair.check(
            check_pair.side(str(path), one.source, one.config),
            check_pair.side(str(other_path), other.source, other.config),
        )
        sources = {str(path): one.source, str(other_path): other.source}
        for problem in problems:
            click.echo(render(problem, sources[problem.file]), err=True)
        if problems:
            click.echo(count(problems), err=True)
        wrong |= any(problem.severity == "error" for problem in problems)
    for path, loaded in usable:
        click.echo(f"{path}: valid ({summary(loaded.config)})")
        for line in captures(loaded.config):
            click.echo(f"  {line}")
    return int(wrong)


def show_config(path: Path) -> int:
    """Print the file as it is understood; returns the exit code."""
    from hapair.config.show import show

    loaded = load(path)
    if loaded is None:
        return 1
    click.echo(show(loaded.config), nl=False)
    return 0


def load(path: Path) -> Loaded | None:
    """Load, and tell every problem on stderr; None when the file cannot be used."""
    from hapair.app.check import load_text_config
    from hapair.config.load import decoded

    source = ""
    try:
        content = path.read_bytes()
        source = content.decode(errors="replace")
        loaded = load_text_config(decoded(content, str(path)), str(path), os.environ)
    except OSError as error:
        click.echo(f"hapair: cannot read {path}: {error.strerror}", err=True)
        return None
    except ConfigError as error:
        _print(error.problems, source)
        return None
    _print(loaded.warnings, source)
    return loaded


def print_problems(problems: Sequence[Problem], path: Path) -> None:
    """Print each problem with its line of the file, and how many there are."""
    try:
        source = path.read_bytes().decode(errors="replace") if problems else ""
    except OSError:
        source = ""  # it went away meanwhile: the headlines say enough
    _print(problems, source)


def _print(problems: Sequence[Problem], source: str) -> None:
    for problem in problems:
        click.echo(render(problem, source), err=True)
    if problems:
        click.echo(count(problems), err=True)


def captures(config: NodeConfig) -> list[str]:
    """What frontends capture: headers with the number that `capture.req.hdr(N)` knows them by."""
    lines = []
    for name, frontend in config.frontends.items():
        chosen = frontend.capture
        if chosen is None:
            continue
        parts = [
            f"{kind} {', '.join(f'{i} {header.name}' for i, header in enumerate(headers))}"
            for kind, headers in (("request", chosen.request_headers), ("response", chosen.response_headers))
            if headers
        ]
        if chosen.cookie is not None:
            parts.append(f"cookie {chosen.cookie.name}")
        if parts:
            lines.append(f"frontend.{name} captures: {'; '.join(parts)}")
    return lines


def summary(config: NodeConfig) -> str:
    """What a configuration holds, in one line."""
    servers = sum(len(backend.servers) for backend in config.backends.values())
    counts = [
        (len(config.vrrp), "virtual router"),
        (len(config.frontends), "frontend"),
        (len(config.backends), "backend"),
        (servers, "server"),
    ]
    return ", ".join(f"{number} {thing}{'s' * (number != 1)}" for number, thing in counts)
