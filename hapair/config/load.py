"""node.toml -> NodeConfig: read, expand, structure, resolve, cross-check; every mistake at once.

A mistake in one table does not hide those in others, nor does it cause any: what
cannot be read is left out of the cross-checks.
"""

from __future__ import annotations

import re
import tomllib
from ast import literal_eval
from collections.abc import Callable, Container, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import attrs
from cattrs.errors import ClassValidationError, IterableValidationError

from hapair.config import check_broken, resolve, tables, tables_notify, tables_track
from hapair.config.check import AclMistake, ConditionMistake, Draft, RuleMistake, cross_check
from hapair.config.check_notify import ScriptMistake
from hapair.config.check_transparent import TransparencyMistake
from hapair.config.expand import expand
from hapair.config.fields import FieldError, closest, shown
from hapair.config.locate import Path as KeyPath
from hapair.config.locate import locate
from hapair.config.model import Api, IPAddress, NodeConfig
from hapair.config.problems import Problem, dotted, quoted
from hapair.config.report import Report
from hapair.config.shape import Parser, mistakes, named
from hapair.config.written import DefaultsTable
from hapair.errors import ConfigError

T = TypeVar("T")

TableMistakes = Callable[[NodeConfig], "Iterable[tuple[KeyPath, int, str]]"]
"""Where rules name a stick table that there is not, or that does not store what they ask for."""

SECTIONS = (
    *("node", "api", "peers", "email", "vrrp", "sync_group"),
    *(f"track_{kind}" for kind in tables_track.PARSERS),
    *("userlist", "stick_table", "cache", "defaults", "frontend", "backend"),
)

_WHERE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_KEYS = re.compile(r"\('.*'\)|\('.*',\)")
"""How tomllib names a table: the repr of a tuple."""
_BARE_VALUE = re.compile(
    r"=\s*([0-9]+(?:us|ms|s|m|h|d)|[A-Za-z*/][^\s,\]}#\"']*|[0-9]+(?:\.[0-9]+){3}[^\s,\]}#\"']*)"
)


@attrs.frozen
class Loaded:
    """A configuration that can be used, and the text that it came from."""

    config: NodeConfig
    warnings: tuple[Problem, ...]
    source: str


def load(
    path: Path,
    environ: Mapping[str, str],
    *,
    acl_mistake: AclMistake | None = None,
    condition_mistake: ConditionMistake | None = None,
    rule_mistake: RuleMistake | None = None,
    table_mistakes: TableMistakes | None = None,
    local_addresses: Container[IPAddress] = (),
    script_mistake: ScriptMistake | None = None,
    transparency_mistake: TransparencyMistake | None = None,
) -> Loaded:
    """Load a file.

    Raises:
        ConfigError: it cannot be used.
        OSError: it cannot be read.
    """
    return load_text(
        decoded(path.read_bytes(), str(path)),
        str(path),
        environ,
        acl_mistake=acl_mistake,
        condition_mistake=condition_mistake,
        rule_mistake=rule_mistake,
        table_mistakes=table_mistakes,
        local_addresses=local_addresses,
        script_mistake=script_mistake,
        transparency_mistake=transparency_mistake,
    )


def decoded(content: bytes, file: str) -> str:
    """The text of a file.

    Raises:
        ConfigError: it is not UTF-8.
    """
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start].decode()
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        message = f"byte 0x{content[error.start]:02x} is not UTF-8, which TOML has to be"
        raise ConfigError([Problem(file, line, column, "", message)]) from None


def load_text(
    text: str,
    file: str,
    environ: Mapping[str, str],
    *,
    acl_mistake: AclMistake | None = None,
    condition_mistake: ConditionMistake | None = None,
    rule_mistake: RuleMistake | None = None,
    table_mistakes: TableMistakes | None = None,
    local_addresses: Container[IPAddress] = (),
    script_mistake: ScriptMistake | None = None,
    transparency_mistake: TransparencyMistake | None = None,
) -> Loaded:
    """The same from a text; `file` is what messages call it.

    Raises:
        ConfigError: it cannot be used.
    """
    text = text.replace("\r\n", "\n")
    tree = _parsed(text, file)
    report = Report(file, text, locate(text))
    tree = expand(tree, environ, report)
    draft = _draft(tree, report)
    check_broken.check(tree, draft, report, acl_mistake, condition_mistake, rule_mistake)
    cross_check(
        draft,
        report,
        local_addresses=local_addresses,
        script_mistake=script_mistake,
        transparency_mistake=transparency_mistake,
        acl_mistake=acl_mistake,
        condition_mistake=condition_mistake,
        rule_mistake=rule_mistake,
    )
    if report.errors:
        raise ConfigError(report.errors)
    assert draft.node is not None
    assert draft.api is not None
    config = NodeConfig(
        draft.node,
        draft.api,
        draft.email,
        draft.vrrp,
        draft.frontends,
        draft.backends,
        sync_groups=draft.sync_groups,
        trackers=draft.trackers,
        stick_tables=draft.stick_tables,
        caches=draft.caches,
        peers=draft.peers,
        userlists=draft.userlists,
    )
    for path, offset, message in table_mistakes(config) if table_mistakes is not None else ():
        report.error(path, message, offset=offset)
    if report.errors:
        raise ConfigError(report.errors)
    return Loaded(config, report.warnings, text)


def _parsed(text: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ConfigError([Problem(file, 1, 1, "", "nested too deeply")]) from None
    except ValueError as error:
        # Not only TOMLDecodeError: an integer of thousands of digits is a plain ValueError.
        raise ConfigError([_syntax_problem(str(error), text, file)]) from None


def _syntax_problem(message: str, text: str, file: str) -> Problem:
    """What tomllib says, where it says, with the usual reason."""
    found = _WHERE.search(message)
    lines = text.split("\n")
    line, column = 1, 1
    if found is not None:
        message = _KEYS.sub(lambda keys: dotted(literal_eval(keys[0])), message[: found.start()])
        line = int(found[1]) if found[1] else len(lines)
        column = int(found[2]) if found[2] else len(lines[-1]) + 1
        if line == len(lines) and column > len(lines[-1]):
            message += " at the end of the file"
        bare = _BARE_VALUE.search(lines[line - 1])
        if (
            bare is not None
            and bare.start(1) < column <= bare.end(1) + 1
            and bare[1] not in ("true", "false")
        ):
            message += f'; text and durations need quotes: "{bare[1]}"'
    return Problem(file, line, column, "", f"not TOML: {message[:1].lower()}{message[1:]}")


def _draft(tree: Mapping[str, Any], report: Report) -> Draft:
    """Read table by table, so that each stands or falls by itself."""
    meant = {key: closest(key, SECTIONS) for key in tree.keys() - set(SECTIONS)}
    for key, hint in meant.items():
        known = f"did you mean {quoted(hint)}?" if hint else f"known here: {', '.join(SECTIONS)}"
        report.error((key,), f"unknown key; {known}", at_key=True)
    node = None
    if "node" in tree or "node" not in meant.values():
        node = _read(tables.node, tree.get("node", {}), ("node",), report)
    api = _read(tables.api, tree.get("api", {}), ("api",), report)
    email = None
    if "email" in tree:
        email = _read(tables_notify.email, tree["email"], ("email",), report)
    defaults = _read(tables.defaults, tree.get("defaults", {}), ("defaults",), report)
    frontends = _read_named(tables.frontend, tree, "frontend", report)
    backends = _read_named(tables.backend, tree, "backend", report)
    maxconn = node.maxconn if node is not None else 0
    resolved = _resolved(frontends, lambda n, one, d: resolve.frontend(n, one, d, maxconn), defaults)
    routers = _read_named(tables.vrrp, tree, "vrrp", report)
    return Draft(
        node=node,
        api=api if isinstance(api, Api) else None,
        email=email,
        mails="email" in tree,
        userlists=_read_named(tables.userlist, tree, "userlist", report),
        peers=_read(tables.peers, tree["peers"], ("peers",), report) if "peers" in tree else None,
        vrrp={name: resolve.instance(router, resolved) for name, router in routers.items()},
        instance_names=_names(tree.get("vrrp")),
        sync_groups=_read_named(tables.sync_group, tree, "sync_group", report),
        trackers={
            (kind, name): tracker
            for kind, parser in tables_track.PARSERS.items()
            for name, tracker in _read_named(parser, tree, f"track_{kind}", report).items()
        },
        tracker_names={kind: _names(tree.get(f"track_{kind}")) for kind in tables_track.PARSERS},
        stick_tables=_read_named(tables.stick_table, tree, "stick_table", report),
        caches=_read_named(tables.cache, tree, "cache", report),
        frontends=resolved,
        frontend_names=_names(tree.get("frontend")),
        backends={
            name: resolve.filled(one, resolved.values())
            for name, one in _resolved(backends, resolve.backend, defaults).items()
        },
        backend_names=_names(tree.get("backend")),
    )


def _names(section: object) -> frozenset[str]:
    """Of its tables, whether or not they can be read."""
    return frozenset(section) if isinstance(section, dict) else frozenset()


def _resolved(
    written: Mapping[str, Any],
    resolver: Callable[[str, Any, DefaultsTable], T],
    defaults: DefaultsTable | None,
) -> dict[str, T]:
    """Nothing at all without [defaults]: what it means is not known then."""
    if defaults is None:
        return {}
    return {name: resolver(name, one, defaults) for name, one in written.items()}


def _read_named(parser: Parser[T], tree: Mapping[str, Any], section: str, report: Report) -> dict[str, T]:
    """The tables of a section that can be read."""
    content = tree.get(section, {})
    if not isinstance(content, dict):
        report.error((section,), f"expected tables: [{section}.NAME]")
        return {}
    read = {}
    for name, one in content.items():
        if not isinstance(one, dict):
            report.error((section, name), f"expected a table [{section}.NAME], got {shown(one)}")
            continue
        found = _read(named(parser), {name: one}, (section,), report)
        if found is not None:
            read.update(found)
    return read


def _read(parser: Parser[T], content: object, path: KeyPath, report: Report) -> T | None:
    try:
        return parser(content)
    except (FieldError, ClassValidationError, IterableValidationError) as error:
        for mistake in mistakes(error, path):
            report.error(mistake.path, mistake.message, at_key=mistake.at_key, offset=mistake.offset)
        return None
