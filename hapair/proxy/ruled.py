"""The rules of a frontend and of its backends, compiled."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hapair.cache.store import make_stores
from hapair.config.model import LogFormat, Mode
from hapair.proxy.balance_key import compile_key
from hapair.proxy.steady import RuleList
from hapair.rules.acl import Setting, compile_acl, compile_condition
from hapair.rules.actions import UNTIL, compile_rules
from hapair.rules.error_pages import compile_pages
from hapair.rules.fetch import END, REQUEST, RESPONSE
from hapair.rules.fetch_transport import TELL_OUTGOING
from hapair.rules.lexer import RuleError, split
from hapair.rules.log_formats import compile_format, compile_unique_id
from hapair.rules.needs import NOTHING
from hapair.rules.pattern_files import Files, References
from hapair.rules.stick_rules import compile_stick
from hapair.rules.template import Template, compile_log_format, compile_template
from hapair.rules.userlists import make_userlists
from hapair.tables.directory import Directory, make_tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from hapair.config import model
    from hapair.rules.facts import Facts, Test
    from hapair.rules.verdicts import Rule

    Route = tuple[Test | None, str, Callable[[Facts], bytes] | None]


class FrontendRules:
    """Raises RuleError for what `hapair check` would have refused."""

    def __init__(
        self, config: model.Frontend, tables: Directory, references: References | None = None
    ) -> None:
        setting = Setting(Files(tables.of(config.name), references), REQUEST)
        capture = config.capture
        if capture is not None:
            setting.captures = [len(capture.request_headers), len(capture.response_headers)]
            setting.asks = True
        anywhere = Setting(setting.files)
        """An ACL may be used in any list of rules."""
        acls: dict[str, Test] = {}
        beyond_path: set[str] = set()
        for name, texts in config.acl.items():
            anywhere.beyond_path = False
            anywhere.needs = NOTHING
            acls[name] = compile_acl(texts, anywhere)
            setting.acl_needs[name] = anywhere.needs
            if anywhere.beyond_path:
                beyond_path.add(name)
        self.routes: list[Route] = []
        for use in config.use_backend:
            test = compile_condition(use.condition, acls, setting) if use.condition is not None else None
            chosen = compile_template(use.backend, 0, setting) if "%[" in use.backend else None
            self.routes.append((test, use.backend, chosen))
            words = {word.text.lstrip("!") for word in split(use.condition)} if use.condition else set()
            setting.beyond_path |= chosen is not None or bool(words & beyond_path)
        self.by_path = bool(config.use_backend) and not setting.beyond_path
        """Does a request's path alone decide where it goes?"""
        if config.default_backend is not None:
            self.routes.append((None, config.default_backend, None))
        self.monitor_fail = (
            compile_condition(config.monitor_fail, acls, setting) if config.monitor_fail is not None else None
        )
        place = f"frontend.{config.name}"
        self.http_request = RuleList(_rules(place, "http_request", config.http_request, acls, setting))
        self.http_response = _rules(place, "http_response", config.http_response, acls, setting)
        self.after_response = compile_rules("http_after_response", config.http_after_response, acls, setting)
        self.connection = [
            *_rules(place, "tcp_request_connection", config.tcp_request_connection, acls, setting),
            *_rules(place, "tcp_request_session", config.tcp_request_session, acls, setting),
        ]
        self.content = _rules(place, "tcp_request_content", config.tcp_request_content, acls, setting)
        self.pages = compile_pages(
            config.errorfile, config.http_error, Setting(setting.files, RESPONSE, captures=setting.captures)
        )
        """Error pages by status."""
        if self.pages:
            setting.asks = True
        self.captures = (setting.captures[0], setting.captures[1])
        """How many slots there are for what is captured of requests and of responses."""
        logging = Setting(setting.files, END, captures=setting.captures)
        self.line = _line(config, logging)
        self.structured = (
            compile_log_format(config.log_format_sd, logging, http=config.mode is Mode.HTTP)
            if config.log_format_sd is not None and self.line is not None
            else None
        )
        identity = config.unique_id_format
        self.unique_id = (
            compile_unique_id(identity, setting, http=config.mode is Mode.HTTP)
            if identity is not None
            else None
        )
        self.outgoing = setting.outgoing or logging.outgoing or bool(TELL_OUTGOING & setting.files.fetches)
        self.asks = setting.asks or anywhere.asks or logging.asks
        """Do they want to know more than the request's own facts?"""


def _rules(
    place: str, kind: str, texts: Sequence[str], acls: Mapping[str, Test], setting: Setting
) -> list[Rule]:
    """Those of one list, each with where it stands."""
    rules = compile_rules(kind, texts, acls, setting)
    return [rule._replace(place=f"{place}.{kind}[{i}]") for i, rule in enumerate(rules)]


def _line(config: model.Frontend, setting: Setting) -> Template | None:
    """What makes the log lines, unless the session is quicker at it."""
    chosen = config.log_format
    if chosen is None:
        return None
    quick = not config.logasap and config.log_format_sd is None
    if chosen is LogFormat.TCPLOG and quick:
        return None
    if chosen is LogFormat.HTTPLOG and quick and not any(setting.captures):
        capture = config.capture
        if capture is None or capture.cookie is None:
            return None
    text = chosen.value if isinstance(chosen, LogFormat) else chosen
    setting.asks = True
    return compile_format(text, setting, http=config.mode is Mode.HTTP)


class BackendRules:
    """The same for a backend."""

    def __init__(
        self, config: model.Backend, tables: Directory, references: References | None = None
    ) -> None:
        setting = Setting(Files(tables.of(config.name), references), REQUEST, foreign=True)
        acls: dict[str, Test] = {}
        for name, texts in config.acl.items():
            anywhere = Setting(setting.files)
            acls[name] = compile_acl(texts, anywhere)
            setting.acl_needs[name] = anywhere.needs
        place = f"backend.{config.name}"
        self.http_request = RuleList(_rules(place, "http_request", config.http_request, acls, setting))
        self.http_response = _rules(place, "http_response", config.http_response, acls, setting)
        self.tcp_response = _rules(place, "tcp_response_content", config.tcp_response_content, acls, setting)
        self.use_server: list[tuple[Test | None, str]] = [
            (
                compile_condition(use.condition, acls, setting) if use.condition is not None else None,
                use.server,
            )
            for use in config.use_server
        ]
        self.pages = compile_pages(config.errorfile, config.http_error, Setting(setting.files, RESPONSE))
        self.persistence: list[tuple[Test, bool]] = [
            *((compile_condition(one, acls, setting), True) for one in config.force_persist),
            *((compile_condition(one, acls, setting), False) for one in config.ignore_persist),
        ]
        """Conditions, and whether persistence is then forced; else cookies do not count."""
        self.stick, self.store_response = compile_stick(config.stick, acls, setting)
        """Who belongs where by a stick table, and what is stored by what a server says."""
        self.sticks = bool(self.stick or self.store_response)
        self.outgoing = bool(TELL_OUTGOING & setting.files.fetches)
        """Do they want to know our address towards the server?"""
        self.key = compile_key(config, setting)
        """The hash that a request is placed by; None where the balancing has no use for it."""
        self.asks = bool(
            config.http_request
            or config.http_response
            or config.use_server
            or config.balance.expression
            or config.stick
            or config.tcp_response_content
            or self.pages
            or self.persistence
        )


def table_mistakes(config: model.NodeConfig) -> Iterator[tuple[tuple[str | int, ...], int, str]]:
    """Path, offset and message of each rule that asks for what no stick table, user list or cache has."""
    tables = Directory(
        make_tables(config.all_stick_tables(), {}),
        userlists=make_userlists(config.userlists),
        caches=make_stores(config.caches, {}),
    )
    places: list[tuple[str, model.Frontend | model.Backend]] = [
        *(("frontend", one) for one in config.frontends.values()),
        *(("backend", one) for one in config.backends.values()),
    ]
    for section, place in places:
        here = (section, place.name)
        setting = Setting(Files(tables.of(place.name)), foreign=section == "backend")
        names: dict[str, Test] = dict.fromkeys(place.acl, _never)
        checks: list[tuple[tuple[str | int, ...], Callable[[], object]]] = []
        for name, texts in place.acl.items():
            for i, text in enumerate(texts):
                checks.append(((*here, "acl", name, i), partial(compile_acl, [text], setting)))
        for kind in UNTIL:
            for i, text in enumerate(getattr(place, kind, ())):
                checks.append(((*here, kind, i), partial(compile_rules, kind, [text], names, setting)))
        for key in ("use_backend", "use_server"):
            for i, use in enumerate(getattr(place, key, ())):
                if use.condition is not None:
                    condition = partial(compile_condition, use.condition, names, setting)
                    checks.append(((*here, key, i, "if"), condition))
        for i, text in enumerate(getattr(place, "stick", ())):
            asked = Setting(setting.files, REQUEST)
            checks.append(((*here, "stick", i), partial(compile_stick, [text], names, asked)))
        for key in ("force_persist", "ignore_persist"):
            for i, text in enumerate(getattr(place, key, ())):
                checks.append(((*here, key, i), partial(compile_condition, text, names, setting)))
        for key in ("log_format", "log_format_sd", "unique_id_format"):
            written = getattr(place, key, None)
            if isinstance(written, str):
                logging = Setting(setting.files, END)
                checks.append(((*here, key), partial(compile_log_format, written, logging)))
        for path, compiled in checks:
            try:
                compiled()
            except RuleError as error:
                yield path, error.offset, error.message


def _never(_: Facts) -> bool:
    return False
