"""Settings on files that stand for the kernel's; what the kernel does with them, in namespaces elsewhere."""

import logging
from pathlib import Path

import pytest

from hapair.kernel.sysctls import Sysctls


@pytest.fixture
def net(tmp_path: Path) -> Path:
    for name, value in {"a": "0\n", "b": "1\n", "c": "2\n"}.items():
        (tmp_path / name).write_text(value)
    return tmp_path


def values(net: Path) -> str:
    """Of a, b and c."""
    return "".join((net / name).read_text()[0] for name in "abc")


def test_each_is_raised_where_it_is_lower_and_set_back_when_nobody_needs_it(net):
    sysctls = Sysctls(net)
    sysctls.adopt({"a": 1, "b": 1})
    assert values(net) == "112"
    sysctls.adopt({"b": 1, "c": 1})
    assert values(net) == "012"
    sysctls.adopt({"b": 2})
    assert values(net) == "022", "wanted higher than before"
    sysctls.close()
    assert values(net) == "012"


def test_what_is_not_there_is_a_warning(net, caplog):
    sysctls = Sysctls(net)
    with caplog.at_level(logging.WARNING, "hapair.kernel"):
        sysctls.adopt({"ipv4/conf/eth9/arp_ignore": 1})
    assert "ipv4/conf/eth9/arp_ignore cannot be set: No such file or directory" in caplog.text
    sysctls.close()


def test_what_is_ours_for_good_is_not_set_back(net):
    sysctls = Sysctls(net)
    sysctls.put("a", 1)
    sysctls.close()
    assert values(net) == "112"


def test_where_no_settings_are_in_sight_each_is_a_warning_and_nothing_else(tmp_path, caplog):
    sysctls = Sysctls(tmp_path / "sys" / "net")
    sysctls.adopt({})
    assert not caplog.records
    with caplog.at_level(logging.WARNING, "hapair.kernel"):
        sysctls.adopt({"a": 1})
        sysctls.put("b", 1)
    missing = f"{tmp_path}/sys/net: No such file or directory"
    assert [record.getMessage() for record in caplog.records] == [
        f"a cannot be set: {missing}",
        f"b cannot be set to 1: {missing}",
    ]
    sysctls.close()
