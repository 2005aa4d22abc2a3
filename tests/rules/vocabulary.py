"""docs/rules.md, made of the tables in the code.

python tests/rules/vocabulary.py      writes it anew
"""

from __future__ import annotations

from pathlib import Path

from hapair.rules.acl import PREDEFINED, SUFFIXED
from hapair.rules.actions import ACTIONS
from hapair.rules.fetch import MOMENTS
from hapair.rules.log_variables import VARIABLES
from hapair.rules.sample import CONVERTERS, FETCHES
from hapair.rules.sample_match import METHODS

PAGE = Path(__file__).parents[2] / "docs" / "rules.md"

BEGIN = """# Rules

The words are HAProxy's, and so is what they mean (its configuration manual, sections 4.2, 7 and 8.2.6). A
test compares them with HAProxy 2.6 over generated expressions and requests. `hapair check` finds every
mistake, with its column.

```toml
[frontend.main]
acl.office = "src 192.0.2.0/24"
http_request = [
  "deny deny_status 429 if { req.hdr_cnt(cookie) gt 5 } !office",
  "set-header X-Client %[src]:%[src_port]",
]
use_backend = [{ backend = "%[req.hdr(host),lower,map(/etc/hapair/hosts.map,web)]" }]
```

- An **ACL** is `fetch[,converter...] [flags] patterns...`. Flags: `-i` (no matter the case), `-m METHOD`,
  `-f FILE` (patterns from a file), `-M` (its lines are keys and values), `-n`, `-u N`, `--`. Methods:
  METHODS. These fetches take one as a suffix (`path_beg`): SUFFIXED.
- A **condition** is a row of ACLs that must all hold, `||` or `or` between alternatives, `!` for not, and
  expressions in braces: `{ path_beg /a }`. Known without being defined: PREDEFINED.
- A **text with samples** (`%[...]`) is what headers, targets and answers are made of. `%%` is a percent
  sign; `%ci` and its like are variables, listed below. Control characters in a sample become `%XX`, so
  nobody can begin another line.
- A **log format** (`log_format = "%ci %{+Q}r %[var(txn.user)]"`) is such a text, too. What is not there is a
  `-`, blanks in a row are one, quotes and control characters become `#XX`. Flags: `+Q` quotes, `+E` escapes
  quotes and brackets, `+X` is hexadecimal; those of `%{+Q}o` are for everything behind it.
- **Regular expressions** are Python's, which are nearly PCRE. They backtrack, so each is only
  asked of texts for which no client can make it take more than about 10 million steps: in a longer one it
  finds nothing, as at PCRE's match limit. Nearly all are asked of whatever there is; `^/.*/.*/.*\\.php$` of
  180 bytes, since it could be three slashes in n³/6 ways, but `^/[^/]*/[^/]*/[^/]*\\.php$` of everything.
  One that repeats what itself repeats, as `(a+)+$`, is refused: a client could keep it busy for ever.
- Headers that delimit messages (Content-Length, Transfer-Encoding, Connection, Upgrade...) cannot be
  written by rules.

Different from HAProxy: a request's samples are still there for rules about its response;
`tcp_request_content` is asked once, when the first bytes are a whole ClientHello or certainly none, and
`tcp_response_content` about the first bytes of a server as they come (in mode http about its head); bytes
are counted in a stick table when a request, or a stream, is over; each of several workers has stick
tables of its own. Without workers `[peers]` shares them with the other node, as HAProxy's peers do: what one
node changes is at the other 50 ms later, `conn_cur` excepted, and all of it when the two meet again.

## Files of patterns, and maps

One file is read once for all the rules that name it (`-f FILE`, `map(FILE)`), in every process. `SIGHUP`
reads them again: a changed file counts from then on, also when nothing else has changed, and takes the
place of what the runtime socket had made of it. A file that cannot be read, or has a line that some rule
has no use for, changes nothing.

At the runtime socket, in HAProxy's words and with its answers: `show map|acl [FILE]`, `get map|acl FILE
SAMPLE`, `add map FILE KEY VALUE`, `add acl FILE PATTERN`, `set map FILE KEY VALUE`, `del map|acl FILE KEY`,
`clear map|acl FILE`; a file is called by its path or its number (`#0`), a line by its key or the number
that `show` gives (`#0x2a`). What is made of a file is made anew when it is next asked, about a millisecond
for a thousand lines. Patterns that stand in the configuration itself are not listed.

## Who may come in

```toml
[userlist.staff]
group.admins = ["ann"]
user.ann = { password = "$6$..." }

[frontend.main]
http_request = [
  "auth realm Staff unless { http_auth(staff) }",
  "deny unless { http_auth_group(staff) admins }",
]
```

An ACL of `http_auth_group` tries each of the user's groups. Computing a hash takes milliseconds that traffic
waits: so bcrypt and its like are refused, what was found out is remembered, and 20 unknown passwords are
tried each second in each process; beyond that a password counts as wrong. Who was let in before is not
concerned.

## Who belongs where

```toml
[backend.shop]
stick_table = { type = "string", size = "100k", expire = "30m" }
stick = ["match req.cook(sid)", "store-response res.cook(sid)", "on src table addresses if no_cookie"]
force_persist = ["{ src 192.0.2.0/28 }"]
ignore_persist = ["{ path_end .css .js }"]
```

A request's server is, in this order, that of `use_server`, the one that its `cookie` names, the one that a
stick rule finds in a table, and else what the balancing chooses; the first three count only while that
server may serve (`force_persist` and `persist` let it be DOWN). `stick` takes `on` (match and store),
`match`, `store-request` and `store-response`, each with a sample, `table NAME` for another than the backend's
own, and a condition. Of each table only the first rule that stores counts. A server is stored by its `id`: so
write ids down, equal on both nodes. Of `force_persist` and `ignore_persist` the first condition that holds
counts; the latter only lets cookies be ignored. With `redispatch` a client whose server cannot be reached
goes elsewhere, and gets a new cookie there; with `force_persist` it does not.
"""


def _table(title: str, columns: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    lines = [f"## {title}", "", f"| {columns[0]} | {columns[1]} |", "|---|---|"]
    lines += [f"| `{name}` | {text} |" for name, text in rows]
    return "\n".join(lines) + "\n"


def page() -> str:
    """The whole of it."""
    begin = BEGIN
    for word, known in (
        ("METHODS", METHODS),
        ("SUFFIXED", SUFFIXED),
        ("PREDEFINED", list(PREDEFINED)),
    ):
        begin = begin.replace(word, ", ".join(f"`{one}`" for one in known))
    actions = [(kind, ", ".join(f"`{name.rstrip('(')}`" for name in ACTIONS[kind])) for kind in ACTIONS]
    fetches = [
        (name, f"{fetch.meaning} ({fetch.gives}; {MOMENTS[fetch.since]})")
        for name, fetch in sorted(FETCHES.items())
    ]
    variables = [
        (f"%{name}", f"{one.meaning} ({MOMENTS[one.since]}{'; mode http only' if one.http else ''})")
        for name, one in sorted(VARIABLES.items())
    ]
    converters = [
        (name, f"{converter.meaning} ({converter.takes} → {converter.gives})")
        for name, converter in sorted(CONVERTERS.items())
    ]
    return "\n".join(
        [
            begin,
            _table("Actions", ("list", "actions, each with `if` or `unless` behind it"), actions),
            _table("Fetches", ("fetch", "what it is (type; when it is known)"), fetches),
            _table("Converters", ("converter", "what it makes (type → type)"), converters),
            _table("Variables", ("variable", "what it is (when it is known)"), variables),
        ]
    )


if __name__ == "__main__":
    PAGE.write_text(page())
