"""What can still be said of a table that has other mistakes: whom it names, and its rules.

The other cross-checks need the whole table and would guess.  These need one value
each, so that a file's mistakes are all told in one go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hapair.config.check import (
    FRONTEND_RULES,
    AclMistake,
    ConditionMistake,
    Draft,
    RuleMistake,
    check_acl,
    check_condition,
    check_exists,
    check_track_exists,
)
from hapair.config.check_log import check_format
from hapair.config.fields import FieldError
from hapair.config.locate import Path
from hapair.config.report import Report
from hapair.config.tracks import track


def check(
    tree: Mapping[str, Any],
    draft: Draft,
    report: Report,
    acl_mistake: AclMistake | None,
    condition_mistake: ConditionMistake | None,
    rule_mistake: RuleMistake | None,
) -> None:
    """Report unknown backends, and wrong ACLs and conditions, in tables that are not in `draft`."""
    for name, instance in _tables(tree, "vrrp", draft.vrrp):
        for i, written in _items(instance.get("track")):
            try:
                tracked = track(written)
            except FieldError:
                continue  # told already
            check_track_exists(tracked, ("vrrp", name, "track", i), draft, report)
    for name, frontend in _tables(tree, "frontend", draft.frontends):
        path: Path = ("frontend", name)
        if isinstance(frontend.get("default_backend"), str):
            check_exists(frontend["default_backend"], (*path, "default_backend"), draft, report)
        acls = frontend.get("acl")
        acls = acls if isinstance(acls, dict) else {}
        for acl, expressions in acls.items():
            for i, expression in _items(expressions):
                where = (*path, "acl", acl, i) if isinstance(expressions, list) else (*path, "acl", acl)
                check_acl(expression, where, report, acl_mistake)
        if "%" in str(frontend.get("log_format")):
            http = frontend.get("mode") != "tcp"  # the more lenient way, where [defaults] say it
            check_format(frontend["log_format"], http, (*path, "log_format"), report, rule_mistake)
        for kind in FRONTEND_RULES:
            for i, text in _items(frontend.get(kind)):
                found = rule_mistake(kind, text, list(acls)) if rule_mistake is not None else None
                if found is not None:
                    where = (*path, kind, i) if isinstance(frontend.get(kind), list) else (*path, kind)
                    report.error(where, found[1], offset=found[0])
        uses = frontend.get("use_backend")
        for i, use in enumerate(uses if isinstance(uses, list) else ()):
            if isinstance(use, dict):
                if isinstance(use.get("backend"), str) and "%[" not in use["backend"]:
                    check_exists(use["backend"], (*path, "use_backend", i, "backend"), draft, report)
                if isinstance(use.get("if"), str):
                    check_condition(
                        use["if"], acls, (*path, "use_backend", i, "if"), report, condition_mistake
                    )


def _tables(
    tree: Mapping[str, Any], section: str, sound: Mapping[str, object]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The tables of a section that could not be read."""
    written = tree.get(section)
    if isinstance(written, dict):
        for name, one in written.items():
            if name not in sound and isinstance(one, dict):
                yield name, one


def _items(value: object) -> Iterator[tuple[int, str]]:
    """The strings of an array, or the one string that stands for it."""
    for i, item in enumerate(value if isinstance(value, list) else [value]):
        if isinstance(item, str):
            yield i, item
