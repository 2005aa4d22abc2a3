"""As whom the operator's programs are run."""

from __future__ import annotations

import os
import pwd

import pytest

from hapair.app.scripts import Scripts
from hapair.config.model import Api, Node, NodeConfig, TrackScript
from hapair.errors import StartError

ANOTHER = "daemon" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


def prints(word: str, user: str) -> tuple[str, ...]:
    return "/bin/sh", "-c", f'test "$({word})" = "{user}"'


async def test_a_script_with_a_user_is_run_as_that():
    assert await Scripts(Node("a")).run(prints("id -un", ANOTHER), 5, ANOTHER) == ""


async def test_one_without_is_never_run_as_root():
    assert await Scripts(Node("a")).run(prints("id -u", "0"), 5) != ""


async def test_node_script_user_is_for_those_without_one():
    assert await Scripts(Node("a", script_user=ANOTHER)).run(prints("id -un", ANOTHER), 5) == ""


async def test_an_account_that_a_reload_brings_and_nobody_has_is_told_when_it_should_run():
    assert "no-such-user" in await Scripts(Node("a")).run(("/bin/true",), 5, "no-such-user")


def test_an_account_that_nobody_has_is_an_error_at_the_start():
    script = TrackScript("chk", ("/bin/true",), user="no-such-user")
    config = NodeConfig(Node("a"), Api(), trackers={("script", "chk"): script})
    with pytest.raises(StartError, match="no-such-user"):
        Scripts(config.node).find_accounts(config)
