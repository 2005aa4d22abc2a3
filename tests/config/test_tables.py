"""Values that are written as a small language or in several forms."""

from __future__ import annotations

import pytest
from cattrs.errors import ClassValidationError

from hapair.config import tables
from hapair.config.fields import FieldError
from hapair.config.model import Cookie, CookieMode, ForwardFor, HttpCheck, Stats
from hapair.config.shape import mistakes
from hapair.config.written import CheckTable


def refusal(parser, value) -> str:
    with pytest.raises(FieldError) as caught:
        parser(value)
    return caught.value.message


@pytest.mark.parametrize(
    ("written", "check"),
    [
        ("GET /index.php", HttpCheck("GET", "/index.php", "HTTP/1.0")),
        ("GET /x HTTP/1.1", HttpCheck("GET", "/x", "HTTP/1.1")),
        ("/x", HttpCheck("OPTIONS", "/x", "HTTP/1.0")),
        ("OPTIONS *", HttpCheck("OPTIONS", "*", "HTTP/1.0")),
        ({}, HttpCheck()),
        (
            {"method": "HEAD", "uri": "/h", "version": "HTTP/1.1", "headers": {"Host": "a"}},
            HttpCheck("HEAD", "/h", "HTTP/1.1", (("Host", "a"),)),
        ),
    ],
)
def test_httpchk_is_a_request_line_or_a_table(written, check):
    assert tables.httpchk(written) == check


@pytest.mark.parametrize(
    "text", ["", "GET", "get /x", "GET x", "GET /x HTTP/2", "GET /x\r\nX: y", "GET /a b HTTP/1.0", "GET /#x"]
)
def test_no_other_request_is_taken(text):
    refusal(tables.httpchk, text)


def backend(**keys):
    return tables.backend(keys)


def test_what_can_be_a_table_can_be_true_or_short():
    assert backend(forwardfor=True).forwardfor == ForwardFor()
    assert backend(httpchk=True).httpchk == HttpCheck()
    assert backend(cookie="A").cookie == Cookie("A", CookieMode.PASSIVE)
    assert backend(cookie={"name": "A", "mode": "insert"}).cookie == Cookie("A", CookieMode.INSERT)
    server = {"address": "127.0.0.1:80", "check": True}
    assert backend(server={"a": server}).server["a"].check == CheckTable()
    frontend = tables.frontend({"bind": "*:80", "stats": True})
    assert frontend.stats == Stats()


def test_false_is_not_the_same_as_nothing():
    written = backend(forwardfor=False, httpchk=False, cookie=False)
    assert (written.forwardfor, written.httpchk, written.cookie) == (False, False, False)
    assert backend().forwardfor is None


def test_one_value_stands_for_an_array_of_one():
    assert len(tables.node({"name": "a", "log": {"target": "stdout"}}).log) == 1
    assert tables.frontend({"bind": "*:80", "acl": {"a": "path /"}}).acl == {"a": ("path /",)}


def test_redispatch_is_haproxys_interval_and_on_is_its_default():
    assert [tables.redispatch(value) for value in (True, False, -2, 0, 3)] == [-1, 0, -2, 0, 3]
    assert "outside" in refusal(tables.redispatch, 101)
    assert "true or false" in refusal(tables.redispatch, "last")


def test_retry_on_is_one_word_or_several_or_a_status():
    assert tables.retry_on("none") == ("none",)
    assert tables.retry_on([503, "504", "conn-failure"]) == ("503", "504", "conn-failure")
    assert "stands alone" in refusal(tables.retry_on, ["none", 503])
    assert 'did you mean "empty-response"?' in refusal(tables.retry_on, "emty-response")
    assert '"418" is not known' in refusal(tables.retry_on, 418)
    assert "got true" in refusal(tables.retry_on, True)


@pytest.mark.parametrize("value", ["pass", "user", ":x", "a:", "a:b\nc", 5, ["x"]])
def test_a_bad_password_is_not_repeated(value):
    message = refusal(tables.auth, value)
    assert "what is written here is not shown" in message
    assert not isinstance(value, str) or value not in message.replace("user:password", "")


def test_a_password_may_have_colons():
    assert tables.auth("admin:a:b") == ("admin", "a:b")


def test_a_name_in_the_table_itself_is_an_unknown_key():
    with pytest.raises(ClassValidationError) as caught:
        tables.backend({"name": "x"})
    assert [(m.path, m.message.split(";")[0]) for m in mistakes(caught.value)] == [(("name",), "unknown key")]


def test_what_is_no_mistake_of_the_operator_is_raised_on():
    with pytest.raises(ZeroDivisionError):
        list(mistakes(ZeroDivisionError("a bug")))
