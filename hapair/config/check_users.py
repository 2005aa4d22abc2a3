"""Cross-checks of [userlist.NAME]: users and groups that name each other exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hapair.config.fields import suggestion
from hapair.config.problems import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hapair.config.model import UserList
    from hapair.config.report import Report


def check(userlists: Mapping[str, UserList], report: Report) -> None:
    """Report names that nobody has."""
    for name, users in userlists.items():
        path = ("userlist", name)
        for group, members in users.groups.items():
            for i, member in enumerate(members):
                if member not in users.users:
                    hint = suggestion(member, users.users)
                    report.error((*path, "group", group, i), f"there is no user {quoted(member)}{hint}")
        for user, one in users.users.items():
            for i, group in enumerate(one.groups):
                if group not in users.groups:
                    hint = suggestion(group, users.groups)
                    report.error(
                        (*path, "user", user, "groups", i), f"there is no group {quoted(group)}{hint}"
                    )
