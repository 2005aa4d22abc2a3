"""`${NAME}` and `${NAME-default}` in the strings of node.toml; `$${` is a plain `${`.

One file can so serve both nodes: `priority = "${PRIORITY-100}"`.  The default
counts when the variable is not set at all, as in HAProxy and the shell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hapair.config.fields import Expanded
from hapair.config.locate import Path
from hapair.config.report import Report

_REFERENCE = re.compile(r"\$\$\{|\$\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:-(?P<default>[^}]*))?\})?")


def expand(value: Any, environ: Mapping[str, str], report: Report, path: Path = ()) -> Any:
    """`value` with every reference in every string replaced; keys are left alone."""
    match value:
        case dict():
            return {key: expand(one, environ, report, (*path, key)) for key, one in value.items()}
        case list():
            return [expand(one, environ, report, (*path, i)) for i, one in enumerate(value)]
        case str() if "${" in value:
            return _expand(value, environ, report, path)
        case _:
            return value


def escape(text: str) -> str:
    """A string that expands to `text`."""
    return text.replace("${", "$${")


def _expand(text: str, environ: Mapping[str, str], report: Report, path: Path) -> Expanded:
    failed = False

    def complain(message: str, offset: int) -> None:
        nonlocal failed
        failed = True
        report.error(path, message, offset=offset)

    def replace(found: re.Match[str]) -> str:
        name, default = found["name"], found["default"]
        if found[0] == "$${":
            return "${"
        if name is None:
            complain("expected ${NAME} or ${NAME-default}; a plain ${ is written $${", found.start())
        elif name in environ:
            return environ[name]
        elif default is None:
            complain(
                f"{name} is not set in the environment; ${{{name}-…}} would give a default", found.start()
            )
        return default or ""

    expanded = Expanded(_REFERENCE.sub(replace, text))
    report.expanded(path, failed=failed)
    return expanded
