"""promote_secondaries on files that stand for the kernel's; what the kernel does with it, in namespaces."""

import logging
from pathlib import Path

import pytest

from hapair.kernel.secondaries import PromotedSecondaries


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    for name, value in {"eth0": "0\n", "eth1": "1\n", "eth2": "0\n"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "promote_secondaries").write_text(value)
    return tmp_path


def values(conf: Path) -> str:
    """Of eth0, eth1 and eth2."""
    return "".join((conf / f"eth{n}" / "promote_secondaries").read_text()[0] for n in range(3))


def test_it_is_set_where_it_is_wanted_and_set_back_where_it_was_not_set(conf):
    promoted = PromotedSecondaries(conf)
    promoted.adopt(["eth0", "eth1"])
    assert values(conf) == "110"
    promoted.adopt(["eth1", "eth2"])
    assert values(conf) == "011"
    promoted.close()
    assert values(conf) == "010"


def test_an_interface_that_is_not_there_is_a_warning(conf, caplog):
    promoted = PromotedSecondaries(conf)
    with caplog.at_level(logging.WARNING, "hapair.kernel"):
        promoted.adopt(["eth9"])
    assert "promote_secondaries cannot be set on eth9: No such file or directory" in caplog.text
    promoted.close()
