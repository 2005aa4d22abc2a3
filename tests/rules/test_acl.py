"""Named ACLs, and what is said about those that are wrong."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rules.test_samples import request

from hapair.rules.acl import PREDEFINED, acl_mistake, compile_acl, compile_condition, condition_mistake
from hapair.rules.lexer import RuleError

SEED = ["path_beg -i /static /images /javascript /stylesheets", "path_end -i .jpg .gif .png .css .js"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [(b"/Images/x", True), (b"/a/B.CSS", True), (b"/index.php", False), (b"/x/static", False)],
)
def test_several_expressions_of_a_name_are_alternatives(path, expected):
    assert compile_acl(SEED)(request(path=path)) is expected
    assert compile_acl([*SEED, "path_end .never"])(request(path=path)) is expected


@pytest.mark.parametrize(
    ("expression", "offset", "message"),
    [
        ("", 0, "an expression is missing"),
        ("path_bge /x", 0, "unknown fetch 'path_bge'; did you mean \"path_beg\"?"),
        ("hddr(host) x", 0, 'did you mean "hdr"?'),
        ("path_beg", 8, "at least one pattern"),
        ("path_beg -i", 8, "at least one pattern"),
        ("  src 10.0.0.0/8 10.0.0.300", 17, "not an IP address"),
        ("hdr x", 0, "hdr(host)"),
        ("hdr() x", 0, "hdr(host)"),
        ("hdr(a b) x", 3, "this '(' is never closed"),
        ("hdr(x,one) a", 6, "'one' is not a number"),
        ("path(x) a", 0, "takes no argument"),
        ("path -m", 5, "-m needs a matching method"),
        ("path -m foo /a", 5, "-m needs a matching method"),
        ("path -m ip /a", 11, "not an IP address"),
        ("req.hdrz -m beg 10.", 0, "unknown fetch"),
        ("hdr_cnt(x) -m ip 1", 17, "not an IP address"),
        ("hdr_cnt(x) one", 11, "not a number"),
        ("path -f /nowhere/list", 8, "/nowhere/list: No such file"),
        ("path -m found /a", 14, "no pattern"),
        ("always_true x", 12, "no pattern"),
        ("path_reg a(", 9, "regular expression"),
        ("path_beg /a ''", 12, "empty pattern"),
        ("path_beg '/a", 9, "never closed"),
        ("query_beg a", 0, "unknown fetch"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_remedy(expression, offset, message):
    mistake = acl_mistake(expression)
    assert mistake is not None
    assert mistake[0] == offset
    assert message in mistake[1]
    with pytest.raises(RuleError):
        compile_acl([expression])


@pytest.mark.parametrize("expression", [*SEED, *PREDEFINED.values()])
def test_what_is_right_has_no_mistake(expression):
    assert acl_mistake(expression) is None


grammar = st.lists(
    st.sampled_from(
        [
            *"!#'\"\\{}|()-,",
            "path_beg",
            "hdr(x)",
            "src",
            "10.0.0.0/8",
            "-i",
            "-m",
            "reg",
            "--",
            "||",
            "or",
            "a",
            " ",
            "  ",
        ]
    )
).map("".join)


@given(grammar | st.text(max_size=30))
@example("hdr(x) -m reg (((")
def test_no_text_raises_anything_and_a_mistake_is_in_the_text(text):
    """A configuration file can contain anything; only what is right compiles, and that never fails."""
    for mistake, build in (
        (acl_mistake(text), lambda: compile_acl([text])),
        (
            condition_mistake(text, ["a"]),
            lambda: compile_condition(text, {"a": compile_acl(["always_true"])}),
        ),
    ):
        if mistake is None:
            assert build()(request()) in (True, False)
        else:
            offset, message = mistake
            assert 0 <= offset <= len(text)
            assert message


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("HTTP", {"path": b"", "method": b"OPTIONS"}),
        ("LOCALHOST", {"source": "127.0.0.9"}),
        ("LOCALHOST", {"source": "::1"}),
        ("METH_GET", {"method": b"HEAD"}),
        ("METH_POST", {"method": b"POST"}),
        ("TRUE", {}),
    ],
)
def test_predefined_acls(name, changes):
    assert compile_condition(name, {})(request(**changes))
    assert not compile_condition(f"!{name}", {})(request(**changes))


def test_an_acl_of_ones_own_hides_the_predefined_one():
    assert not compile_condition("TRUE", {"TRUE": compile_acl(["always_false"])})(request())
