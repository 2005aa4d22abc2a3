"""Files of patterns and maps change while rules ask them."""

from __future__ import annotations

import gc
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hapair.rules.acl import Setting, compile_acl
from hapair.rules.lexer import RuleError
from hapair.rules.pattern_files import Files, References


@pytest.fixture
def files():
    return Files()


def asked(path: bytes):
    return SimpleNamespace(path=path, source="192.0.2.1")


def test_a_rule_asks_the_lines_as_they_are_now(tmp_path, files):
    file = tmp_path / "paths"
    file.write_text("/a\n/b c\n")
    test = compile_acl([f"path -f {file} /inline"], Setting(files))
    (reference,) = files.references.used()
    assert [test(asked(path)) for path in (b"/a", b"/b c", b"/new", b"/inline")] == [True, True, False, True]
    reference.add("/new")
    reference.delete(lambda entry: entry.key == "/a")
    assert [test(asked(path)) for path in (b"/a", b"/new", b"/inline")] == [False, True, True]
    reference.replace([])
    assert [test(asked(path)) for path in (b"/new", b"/inline")] == [False, True]


def test_an_empty_file_matches_nothing_until_there_is_a_line(tmp_path, files):
    file = tmp_path / "nets"
    file.write_text("# none yet\n")
    test = compile_acl([f"src -f {file}"], Setting(files))
    assert not test(asked(b"/"))
    files.references.used()[0].add("192.0.2.0/24")
    assert test(asked(b"/"))


def test_a_line_that_a_rule_cannot_use_is_refused_and_changes_nothing(tmp_path, files):
    file = tmp_path / "nets"
    file.write_text("192.0.2.0/24\n")
    test = compile_acl([f"src -f {file}"], Setting(files))
    (reference,) = files.references.used()
    with pytest.raises(RuleError, match="bogus"):
        reference.add("bogus")
    assert test(asked(b"/"))
    file.write_text("192.0.2.0/24\nbogus\n")
    with pytest.raises(RuleError, match="bogus"):
        files.references.changed()


def test_what_the_file_says_by_now_is_known_before_it_counts(tmp_path, files):
    file = tmp_path / "paths"
    file.write_text("/a\n")
    test = compile_acl([f"path -f {file}"], Setting(files))
    assert not files.references.changed()
    file.write_text("/b\n")
    ((reference, lines),) = files.references.changed()
    assert test(asked(b"/a"))
    reference.replace(lines)
    assert [test(asked(path)) for path in (b"/a", b"/b")] == [False, True]


def test_a_file_that_no_rule_asks_any_more_is_forgotten_and_read_again(tmp_path):
    references = References()
    file = tmp_path / "paths"
    file.write_text("/a\n")
    test = compile_acl([f"path -f {file}"], Setting(Files(None, references)))
    assert len(references.used()) == 1
    del test
    gc.collect()
    assert not references.used()
    file.write_text("/b\n")
    test = compile_acl([f"path -f {file}"], Setting(Files(None, references)))
    assert test(asked(b"/b"))


@given(
    first=st.lists(st.sampled_from(["/a", "/b", "/c"])),
    changes=st.lists(st.tuples(st.booleans(), st.sampled_from(["/a", "/b", "/c", "/d"]))),
)
def test_after_any_changes_exactly_what_is_listed_matches(tmp_path_factory, first, changes):
    file = tmp_path_factory.mktemp("files") / "paths"
    file.write_text("".join(f"{one}\n" for one in first))
    files = Files()
    test = compile_acl([f"path -f {file}"], Setting(files))
    (reference,) = files.references.used()
    for adds, key in changes:
        if adds:
            reference.add(key)
        else:
            reference.delete(lambda entry, key=key: entry.key == key)
        listed = {entry.key for entry in reference.entries}
        assert all(test(asked(path.encode())) == (path in listed) for path in ("/a", "/b", "/c", "/d"))
