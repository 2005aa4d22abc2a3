"""Programs and files: exit codes and numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapair.config.asks import ExternalCheck
from hapair.health.probes.elsewhere import file_says, program_says
from hapair.health.probes.outcome import Finding

PLAIN, DYNAMIC = ExternalCheck(("/x",)), ExternalCheck(("/x",), dynamic=True)


@pytest.mark.parametrize(
    ("check", "code", "finding", "weight"),
    [
        (PLAIN, 0, Finding("PROCOK"), None),
        (PLAIN, 1, Finding("PROCERR", "no disk", 1), None),
        (PLAIN, 7, Finding("PROCERR", "no disk", 7), None),
        (DYNAMIC, 0, Finding("PROCOK"), None),
        (DYNAMIC, 1, Finding("PROCERR", "no disk", 1), None),
        (DYNAMIC, 2, Finding("PROCOK", code=2), 0),
        (DYNAMIC, 255, Finding("PROCOK", code=255), 253),
    ],
)
def test_an_exit_code_is_a_verdict_and_with_dynamic_a_weight(check, code, finding, weight):
    assert program_says(check, code, "it ended", "first\nno disk\n") == (finding, weight)


def test_a_program_that_did_not_end_by_itself_has_failed():
    assert program_says(PLAIN, None, "it was killed, because", "")[0].status == "PROCTOUT"
    assert program_says(PLAIN, None, "it cannot be started", "")[0].status == "PROCERR"


@pytest.mark.parametrize(
    ("content", "ok"), [(b"0\n", True), (b" 12 ", True), (b"-1\n", False), (b"", False), (b"x", False)]
)
def test_a_file_is_well_while_its_number_is_not_negative(content, ok):
    assert file_says(content).ok is ok


@given(st.binary(max_size=64) | st.from_regex(rb"\s*-?[0-9]{1,12}\s*", fullmatch=True))
def test_a_file_of_arbitrary_bytes_is_a_number_or_none_and_fit_for_a_log(content):
    found = file_says(content)
    assert found.info.isascii()
    assert '"' not in found.info
    try:
        number = int(content)
    except ValueError:
        number = None
    assert not found.ok or (number is not None and number >= 0)
    assert (
        found.ok or number is None or number < 0 or len(content.strip()) > 9 or not content.strip().isdigit()
    )


@given(st.none() | st.integers(0, 255), st.text(st.characters()), st.booleans())
def test_whatever_a_program_says_is_fit_for_a_log(code, output, dynamic):
    found, weight = program_says(ExternalCheck(("/x",), dynamic=dynamic), code, "it ended", output)
    assert found.info.isprintable()
    assert found.info.isascii()
    assert found.ok is (code == 0 or bool(dynamic and code is not None and code >= 2))
    assert (weight is not None) is bool(dynamic and code is not None and code >= 2)
