"""Cross-checks of who is told: mail that goes nowhere, scripts that nobody can see."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import ip_address

from hapair.config.locate import Path
from hapair.config.model import Email, Node, SyncGroup, VrrpInstance
from hapair.config.report import Report

ScriptMistake = Callable[[str, Node], tuple[str, str] | None]
"""A program -> "error" or "warning", and why; only the host knows, and `hapair.app` asks it."""

HOOKS = ("notify", "notify_master", "notify_backup", "notify_fault", "notify_stop")


def check(
    instances: Mapping[str, VrrpInstance],
    groups: Mapping[str, SyncGroup],
    node: Node | None,
    email: Email | None,
    report: Report,
    script_mistake: ScriptMistake | None,
    *,
    mails: bool,
) -> None:
    """Report what cannot work; `mails` tells whether there is an [email] at all."""
    hooked: list[tuple[Path, VrrpInstance | SyncGroup]] = []
    hooked += [(("vrrp", name), instance) for name, instance in instances.items()]
    hooked += [(("sync_group", name), group) for name, group in groups.items()]
    for path, instance in hooked:
        if instance.smtp_alert and not mails:
            report.error((*path, "smtp_alert"), "there is no [email] that says where mail goes")
        hooks = [hook for hook in HOOKS if getattr(instance, hook)]
        if node is not None and node.chroot is not None:
            for hook in hooks:
                report.error((*path, hook), f"no script can be run from inside node.chroot {node.chroot}")
        elif node is not None and script_mistake is not None:
            for hook in hooks:
                found = script_mistake(getattr(instance, hook)[0], node)
                if found is not None:
                    tell = report.error if found[0] == "error" else report.warning
                    tell((*path, hook), found[1])
        if not hooks and report.written((*path, "notify_timeout")):
            report.warning((*path, "notify_timeout"), "this has no effect without a notify script")
    if node is not None and node.user is not None and node.script_user not in (None, node.user):
        report.error(
            ("node", "script_user"),
            f"we become {node.user} and can become nobody else afterwards: scripts run as {node.user}, too",
        )
    alerts = not instances or any(one.smtp_alert for _, one in hooked)
    if email is not None and not email.smtp_alert_checker and not alerts:
        report.warning(
            ("email",), "no mail is ever sent: neither smtp_alert nor smtp_alert_checker", at_key=True
        )
    if node is not None and node.chroot is not None and email is not None and _is_name(email.smtp_server[0]):
        report.warning(
            ("email", "smtp_server"), "names can hardly be looked up from inside node.chroot: give an address"
        )
    if node is not None and node.event_log == "syslog" and not node.log:
        report.warning(("node", "event_log"), "[node] has no log: events go to standard error")


def _is_name(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return True
    return False
