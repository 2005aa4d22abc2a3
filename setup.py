"""Compiles the hot modules with mypyc; without a C compiler or with HAPAIR_COMPILE=0 they stay Python.

All or nothing: half of the modules compiled would not fit the others.  An editable install is never
compiled, since its modules are there to be edited.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

HOT = [
    "hapair/balance/balancer.py",
    "hapair/balance/base.py",
    "hapair/balance/draws.py",
    "hapair/balance/first.py",
    "hapair/balance/leastconn.py",
    "hapair/balance/ring.py",
    "hapair/balance/roundrobin.py",
    "hapair/balance/server_map.py",
    "hapair/dataplane/access_log.py",
    "hapair/dataplane/arrival.py",
    "hapair/dataplane/endpoint.py",
    "hapair/dataplane/listener.py",
    "hapair/dataplane/log_lines.py",
    "hapair/dataplane/reactor.py",
    "hapair/dataplane/syslog_header.py",
    "hapair/dataplane/syslog_tcp.py",
    "hapair/dataplane/timers.py",
    "hapair/hashes.py",
    "hapair/http1/body.py",
    "hapair/http1/caching.py",
    "hapair/http1/codings.py",
    "hapair/http1/emit.py",
    "hapair/http1/framing.py",
    "hapair/http1/head.py",
    "hapair/http1/memo.py",
    "hapair/http1/printable.py",
    "hapair/http1/rewrite.py",
    "hapair/proxy/about.py",
    "hapair/proxy/backend.py",
    "hapair/proxy/compression.py",
    "hapair/proxy/exchange.py",
    "hapair/proxy/frontend.py",
    "hapair/proxy/log_line.py",
    "hapair/proxy/persistence.py",
    "hapair/proxy/proxy_protocol.py",
    "hapair/proxy/queue.py",
    "hapair/proxy/reasons.py",
    "hapair/proxy/request_side.py",
    "hapair/proxy/ruled.py",
    "hapair/proxy/response_side.py",
    "hapair/proxy/server.py",
    "hapair/proxy/session.py",
    "hapair/proxy/silence.py",
    "hapair/proxy/steady.py",
    "hapair/proxy/tally.py",
    "hapair/proxy/transaction.py",
    "hapair/proxy/tunnel.py",
    "hapair/rules/action_edits.py",
    "hapair/rules/condition.py",
    "hapair/rules/converter.py",
    "hapair/rules/fetch.py",
    "hapair/rules/fetch_internal.py",
    "hapair/rules/fetch_request.py",
    "hapair/rules/matching.py",
    "hapair/rules/sample.py",
    "hapair/rules/sample_match.py",
    "hapair/rules/samples.py",
    "hapair/rules/template.py",
    "hapair/tables/table.py",
    "hapair/tables/tracks.py",
]


class BuildOrDoWithout(build_ext):
    """Leaves nothing behind when something cannot be compiled."""

    def run(self) -> None:
        try:
            super().run()
        except Exception as error:  # noqa: BLE001 - whatever it is, the modules work uncompiled
            self.warn(f"not compiled: {error}")
            for extension in self.extensions:
                Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
            self.extensions = []


def extensions() -> list[Extension]:
    if os.environ.get("HAPAIR_COMPILE") == "0" or "editable_wheel" in sys.argv:
        return []
    try:
        from mypyc.build import mypycify

        made: list[Extension] = mypycify(["--config-file=", "--ignore-missing-imports", *HOT], opt_level="3")
    except (Exception, SystemExit) as error:  # noqa: BLE001
        print(f"not compiled: {error}", file=sys.stderr)  # noqa: T201
        return []
    return made


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildOrDoWithout})
