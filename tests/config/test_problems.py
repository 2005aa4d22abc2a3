"""How a problem is shown."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hapair.config.problems import WIDTH, Problem, count, dotted, headline, masked, render


def shown(line: str, column: int, width: int = 1) -> tuple[str, str]:
    """The source line and the carets, without their indent."""
    _, source, carets = render(Problem("f", 1, column, "a", "m", width=width), line).split("\n")
    assert source.startswith("    ")
    assert carets.startswith("    ")
    return source[4:], carets[4:]


def test_the_headline_names_file_line_column_key_and_message():
    assert headline(Problem("f.toml", 4, 8, "a.b", "bad")) == "f.toml:4:8: a.b: bad"
    assert headline(Problem("f.toml", 4, 8, "a.b", "bad", "warning")) == "f.toml:4:8: warning: a.b: bad"
    assert headline(Problem("f.toml", 4, 8, "", "not TOML")) == "f.toml:4:8: not TOML"


def test_the_carets_stand_under_what_is_meant():
    assert shown("virtual_router_id = 300", 21, 3) == ("virtual_router_id = 300", " " * 20 + "^^^")


def test_without_the_source_there_is_only_the_headline():
    problem = Problem("f", 3, 1, "a", "m")
    assert (
        render(problem, "")
        == render(problem, "one\ntwo")
        == render(problem, "1\n2\n \n")
        == headline(problem)
    )


def test_an_indent_is_not_shown():
    assert shown("\t\tx = 1", 7) == ("x = 1", "    ^")


def test_tabs_become_blanks():
    assert shown("a\t= 1", 5) == ("a    = 1", "       ^")


def test_wide_characters_take_two_columns():
    assert shown('日本 = "日"', 6, 3) == ('日本 = "日"', " " * 7 + "^^^^")


def test_control_characters_do_not_reach_the_terminal():
    assert "\x1b" not in render(Problem("f", 1, 3, "a", "m"), "a\x1b[2J = 1")


@given(st.text(st.sampled_from("ab =\t"), max_size=400).map(lambda text: f"x{text}x"), st.data())
def test_of_a_long_line_the_meant_part_is_shown(line, data):
    column = data.draw(st.integers(1, len(line)))
    width = data.draw(st.integers(1, len(line) - column + 1))
    source, carets = shown(line, column, width)
    assert len(source) <= WIDTH + 1
    assert set(carets.strip()) == {"^"}
    at = carets.index("^")
    first = line[column - 1].replace("\t", " ")
    assert source.ljust(at + 1)[at] == first


def test_errors_and_warnings_are_counted():
    error, warning = Problem("f", 1, 1, "", "m"), Problem("f", 1, 1, "", "m", "warning")
    assert count([error]) == "1 error"
    assert count([error, warning, warning, error]) == "2 errors, 2 warnings"


def test_paths_are_written_as_toml_writes_them():
    assert dotted(("frontend", "main", "bind", 0)) == "frontend.main.bind[0]"
    assert dotted(("acl", "a b", 'c"', "")) == r'acl."a b"."c\"".""'


def test_passwords_are_blotted_out_wherever_they_stand():
    source = """stats = { auth = ["admin:s3cret", 'x:s3cret]'], uri = "/" }
auth="admin:s3cret"
"auth" = [
  "admin:s3cret", # s3cret
]
auht = ["s3cret"]
after = "kept"
auth = ["admin:s3cret
"""
    hidden = masked(source)
    assert "s3cret" not in hidden
    assert 'uri = "/"' in hidden
    assert 'after = "kept"' in hidden
    assert [len(line) for line in hidden.split("\n")] == [len(line) for line in source.split("\n")]
