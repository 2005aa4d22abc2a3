"""What frontends log, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hapair.config.model import LogFormat, LogHeader, Mode

if TYPE_CHECKING:
    from hapair.config.check import RuleMistake
    from hapair.config.locate import Path
    from hapair.config.model import Frontend, Log, Node
    from hapair.config.report import Report

_OF_REQUESTS = {LogFormat.HTTPLOG.value, LogFormat.HTTPSLOG.value, LogFormat.CLF.value}
"""Formats that a stream has nothing for."""


def check(
    frontend: Frontend, path: Path, node: Node | None, report: Report, rule_mistake: RuleMistake | None
) -> None:
    """A format that the rules understand, and somewhere for its lines to go."""
    written = (*path, "log_format")
    chosen = frontend.log_format
    if node is not None and chosen is not None and not node.log:
        report.warning(written, "nothing is logged: [node] has no log")
    http = frontend.mode is Mode.HTTP
    if chosen is LogFormat.TCPLOG and report.spelled(written) in _OF_REQUESTS:
        report.warning(written, 'this needs mode = "http": streams are logged as tcplog')
    check_format(chosen, http, written, report, rule_mistake)
    if rule_mistake is not None and frontend.unique_id_format is not None:
        found = rule_mistake(
            "unique_id_format" if http else "unique_id_format tcp", frontend.unique_id_format, ()
        )
        if found is not None:
            report.error((*path, "unique_id_format"), found[1], offset=found[0])
    written = (*path, "log_format_sd")
    if frontend.log_format_sd is not None:
        check_format(frontend.log_format_sd, http, written, report, rule_mistake)
        if report.written(written) and node is not None and not any(_structured(log) for log in node.log):
            report.warning(written, 'no log target has format = "rfc5424"')
    for key in ("dontlog_normal", "logasap", "log_separate_errors", "log_tag"):
        if getattr(frontend, key) and chosen is None and report.written((*path, key)):
            report.warning((*path, key), "this has no effect without log_format")
    for key, value in (("capture", frontend.capture), ("unique_id_header", frontend.unique_id_header)):
        if value is not None and not http and report.written((*path, key)):
            report.warning((*path, key), 'this has no effect without mode = "http"')
    if frontend.unique_id_header is not None and frontend.unique_id_format is None:
        report.error((*path, "unique_id_header"), "this needs unique_id_format")


def _structured(log: Log) -> bool:
    return log.format is LogHeader.RFC5424


def check_format(
    text: object, http: bool, path: Path, report: Report, rule_mistake: RuleMistake | None
) -> None:
    """A text with variables; a name was looked at when it was read."""
    if isinstance(text, str) and rule_mistake is not None:
        found = rule_mistake("log_format" if http else "log_format tcp", text, ())
        if found is not None:
            report.error(path, found[1], offset=found[0])
