"""Sample expressions: what they are worth, and what is said about those that are wrong."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rules.requests import Request
from rules.transaction import Place, Server

from hapair.rules.acl import compile_acl
from hapair.rules.fetch import CONNECTION, REQUEST
from hapair.rules.lexer import RuleError
from hapair.rules.sample import CONVERTERS, FETCHES, compile_sample
from hapair.rules.values import as_text, leading_number

REQUEST_LINES = Request(
    method=b"GET",
    path=b"/shop/item",
    query=b"id=7&name=a%20b",
    source="192.0.2.77",
    headers=(
        (b"host", b"www.example.org:8080"),
        (b"x-list", b"one, two"),
        (b"x-list", b"three"),
        (b"cookie", b"session=abc; n=12"),
        (b"x-forwarded-for", b"198.51.100.1, 203.0.113.9"),
    ),
)


def value(text, **changes):
    facts = Given(**changes)
    return compile_sample(text).read(facts)


class Given:
    """The request with a transaction of which a test decides."""

    def __init__(self, **changes):
        self.about = REQUEST_LINES.about
        for name, known in changes.items():
            setattr(self.about, name, known)
        for name in ("method", "path", "query", "source", "host", "header"):
            setattr(self, name, getattr(REQUEST_LINES, name))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("path", b"/shop/item"),
        ("pathq", b"/shop/item?id=7&name=a%20b"),
        ("base", b"www.example.org:8080/shop/item"),
        ("req.hdr(X-List)", b"three"),
        ("req.hdr(x-list,1)", b"one"),
        ("req.hdr(x-list,-2)", b"two"),
        ("req.hdr(x-list,4)", None),
        ("req.fhdr(x-list,1)", b"one, two"),
        ("req.hdr_cnt(x-list)", 3),
        ("req.fhdr_cnt(x-list)", 2),
        ("req.hdr_ip(x-forwarded-for,-1)", ip_address("203.0.113.9")),
        ("req.hdr(absent)", None),
        ("req.cook(session)", b"abc"),
        ("req.cook_val(n),add(1)", 13),
        ("urlp(name),url_dec", b"a b"),
        ("urlp_val(id)", 7),
        ("src,ipmask(24)", ip_address("192.0.2.0")),
        ("src_port", 40000),
        ("req.ver", b"1.1"),
        ("path,word(2,/)", b"item"),
        ("path,field(2,/)", b"shop"),
        ("str(f1_f2_f3__f5),field(-2,_,3)", b"f2_f3_"),
        ("str(w1_w2_w3___w4),word(3,_,0)", b"w3___w4"),
        ('str("a,b)c"),upper', b"A,B)C"),
        ("int(9223372036854775807),add(1)", (1 << 63) - 1),
        ("int(7),div(-2)", -3),
        ("int(-7),mod(3)", -1),
        ("int(5),div(0)", (1 << 63) - 1),
        ("str(abc),crc32", 0x352441C2),
        ("str(abc),xxh64", 0x44BC2CF5AD770999),
        ("str(abc),sha1,hex", b"A9993E364706816ABA3E25717850C26C9CD0D89D"),
        ("str(x),concat(<,txn.user,>)", b"x<kate>"),
        ("str(kate),strcmp(txn.user)", 0),
        ("var(txn.user),length", 4),
        ("var(txn.none)", None),
        ("var(txn.none,nobody)", b"nobody"),
        ("date(10)", 1700000010),
        ("date,http_date", b"Tue, 14 Nov 2023 22:13:20 GMT"),
        ("rand(100)", 45),
        ("nbsrv(app)", 1),
        ("srv_is_up(app/b)", False),
        ("avg_queue(app)", 3),
        ("str(app),nbsrv", 1),
        ("be_name", None),
        ("hostname", b"lb-a"),
        ("ssl_fc_sni", None),
    ],
)
def test_what_a_sample_is_worth(text, expected):
    app = Place("app", queued=3, servers=[Server("a"), Server("b", up=False)])
    found = value(text, variables={"txn.user": b"kate"}, backends={"app": app})
    assert found == expected
    assert type(found) is type(expected) or isinstance(found, bytes)


@pytest.mark.parametrize(
    ("text", "offset", "message"),
    [
        ("pth", 0, "unknown fetch 'pth'; did you mean \"path\"?"),
        ("path,lowre", 5, "unknown converter 'lowre'; did you mean \"lower\"?"),
        ("path(", 4, "never closed"),
        ("path,", 5, "missing here"),
        ("path lower", 4, "a comma or a bracket"),
        ("path(x)", 5, "path takes no argument"),
        ("path,word(one,/)", 10, "word: 'one' is not a number"),
        ("path,word(1)", 5, "needs delimiters"),
        ("bin(00),add(1)", 8, "takes int"),
        ("req.hdr(a b)", 8, "is not the name of a header"),
        ("req.hdr(x,-11)", 0, "occurrences"),
        ("var(user)", 4, "is not a variable"),
        ("path,regsub(a(,b)", 12, "invalid regular expression"),
        ("path,map(/nowhere)", 9, "/nowhere: No such file"),
        ("str(a),sha2(5)", 7, "224, 256, 384 or 512"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_remedy(text, offset, message):
    with pytest.raises(RuleError) as caught:
        compile_sample(text)
    assert caught.value.offset == offset
    assert message in caught.value.message


def test_what_is_known_later_is_a_mistake():
    with pytest.raises(RuleError, match="known only once there is a request"):
        compile_sample("path", until=CONNECTION)
    with pytest.raises(RuleError, match="known only once there is a response"):
        compile_sample("res.hdr(x)", until=REQUEST)
    assert compile_sample("src", until=CONNECTION).read(Given()) == ip_address("192.0.2.77")


@pytest.mark.parametrize(
    ("acl", "holds"),
    [
        ("req.hdr(x-list) two", True),
        ("req.hdr(x-list),upper TWO", True),
        ("req.hdr(x-list,1) two", False),
        ("urlp_val(id) 5:9", True),
        ("urlp(id) -m int gt 7", False),
        ("req.hdr_ip(x-forwarded-for) 198.51.100.0/24", True),
        ("req.hdr(x-forwarded-for,1) -m ip 198.51.100.0/24", True),
        ("src,ipmask(16) 192.0.0.0", True),
        ("str(abc),sha1 -m bin a9993e364706816aba3e25717850c26c9cd0d89d", True),
        ("always_true,not", False),
        ("url_beg /shop", True),
        ("base_dom example.org", True),
        ("cook(session) -m found", True),
        ("cook(none) -m found", False),
        ("int(-5) -- -7:-3", True),
        ("rand(2) -m bool", True),
    ],
)
def test_any_method_is_put_to_any_sample_that_can_be_cast_to_it(acl, holds):
    assert compile_acl([acl])(Given()) is holds


def test_patterns_and_maps_come_from_files(tmp_path):
    hosts = tmp_path / "hosts.map"
    hosts.write_text("# who goes where\nwww.example.org  web\n\n.example.com any # not a comment\n")
    networks = tmp_path / "networks"
    networks.write_text("192.0.2.0/24 10\n192.0.2.64/26 20\n")
    paths = tmp_path / "paths"
    paths.write_text("/ root\n/shop shop\n")
    expressions = tmp_path / "expressions"
    expressions.write_text("^/([a-z]+)/ area-\\1\n")
    assert value(f"req.hdr(host),host_only,map({hosts},other)") == b"web"
    assert value(f"path,map({hosts},other)") == b"other"
    assert value(f"path,map({hosts})") is None
    assert value(f"str(x.example.com),map_end({hosts})") == b"any # not a comment"
    assert value(f"src,map_ip_int({networks})") == 20
    assert value(f"path,map_beg({paths})") == b"shop"
    assert value(f"path,map_regm({expressions})") == b"area-shop"
    assert compile_acl([f"req.hdr(host),host_only -M -f {hosts}"])(Given())
    assert not compile_acl([f"req.hdr(host),host_only -f {hosts}"])(Given())
    assert compile_acl([f"path_beg -f {tmp_path / 'paths'} -M /shop /x"])(Given())


@pytest.mark.parametrize(
    ("said", "chosen"),
    [
        ("fr-CA", b"fr"),
        (" fr\r\n", b"fr"),
        ("fr-CA x", b"xx"),
        ("fr-CA\r\nx-part: 1", b"xx"),
        ("fr x;q=0.9,en;q=0.5", b"en"),
        (";q=0.9,en;q=0.5", b"en"),
    ],
)
def test_a_language_is_one_word(said, chosen):
    assert value("var(txn.v),language(fr;en;,xx)", variables={"txn.v": said.encode()}) == chosen


@pytest.mark.parametrize(
    ("said", "strict", "removed", "fixed", "both"),
    [
        (b'"a/\n', rb"\"a\/\n", rb"\"a\/\n", rb"\"a\/\n", rb"\"a\/\n"),
        ("€".encode(), rb"\u20ac", rb"\u20ac", rb"\u20ac", rb"\u20ac"),
        ("a😀b".encode(), None, b"ab", None, b"ab"),
        ("a\uffffb".encode(), None, b"ab", None, b"ab"),
        (b"a\xed\xa0\x80b", None, b"ab", None, b"ab"),
        (b"a\xc3b\x80", None, b"ab", None, b"ab"),
        (b"a\xc0\xafb", None, b"ab", rb"a\/b", rb"a\/b"),
        (b"\xfc\x80\x80\x80\x80\x81\xff", None, b"", None, rb"\u0001"),
    ],
)
def test_what_is_no_character_of_a_json_string(said, strict, removed, fixed, both):
    """As the manual has it for utf8, utf8s, utf8p and utf8ps."""
    found = [
        value(f"var(txn.v),json({code})", variables={"txn.v": said})
        for code in ("utf8", "utf8s", "utf8p", "utf8ps")
    ]
    assert found == [strict, removed, fixed, both]


@given(st.text(max_size=40) | st.lists(st.sampled_from([*FETCHES, *CONVERTERS]), max_size=4).map(",".join))
def test_no_text_raises_anything_else_and_a_compiled_sample_cannot_fail(text):
    try:
        sample = compile_sample(text)
    except RuleError as error:
        place, message = error.offset, error.message
    else:
        assert isinstance(as_text(sample.read(Given())), bytes)
        assert all(isinstance(as_text(one), bytes) for one in sample.each(Given()))
        return
    assert 0 <= place <= len(text)
    assert message


@given(st.sampled_from(sorted(CONVERTERS)), st.binary(max_size=40), st.sampled_from(["str", "int", "ip"]))
def test_no_value_makes_a_converter_fail(name, raw, kind):
    """What a client sends reaches every converter."""
    for arguments in ("", "(1)", "(1,/)", "(-1,ab,2)", "(sha256,YQ==)", "(a,b,g)", "(txn.x)", "(%Y,1)"):
        try:
            sample = compile_sample(f"var(txn.v),{name}{arguments}")
        except RuleError:
            continue
        known = {
            "str": raw,
            "int": int.from_bytes(raw[:8], "big", signed=True),
            "ip": ip_address(raw[:4].ljust(4)),
        }
        as_text(sample.read(Given(variables={"txn.v": known[kind], "txn.x": raw})))


@pytest.mark.parametrize("digits", ["7" * 5000, "0" * 5000 + "7", "-" + "7" * 5000, "+" + "7" * 18])
def test_a_number_of_any_length_is_the_nearest_of_64_bits(digits):
    """Python's `int` raises for more than 4300 digits, and any client may send them."""
    expected = 7 if digits.startswith("0") else -(1 << 63) if digits.startswith("-") else (1 << 63) - 1
    expected = int(digits) if len(digits) < 20 else expected
    assert leading_number(digits.encode()) == expected
    assert leading_number(digits.encode() + b"x") == expected


@given(st.integers(-(1 << 70), 1 << 70), st.sampled_from([b"", b"x", b" 1"]))
def test_leading_numbers_saturate(number, rest):
    assert leading_number(b"%d" % number + rest) == max(-(1 << 63), min((1 << 63) - 1, number))


def test_a_port_of_any_length_is_a_number():
    assert value(f"str(a:{'9' * 5000}),port_only") == (1 << 63) - 1
    assert value("str(a:8080),port_only") == 8080
    assert value("str(a:),port_only") == 0


@pytest.mark.parametrize("name", FETCHES)
def test_every_fetch_can_be_read_of_any_request(name):
    for text in (name, f"{name}(a)", f"{name}(1)", f"{name}(1,1)"):
        try:
            sample = compile_sample(text)
        except RuleError:
            continue
        assert isinstance(as_text(sample.read(Given())), bytes)
