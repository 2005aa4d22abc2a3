"""Replay the corpus through an HTTP proxy and judge what comes out at both ends.

    python tests/conformance/runner.py --proxy 127.0.0.1:8080 --backend 127.0.0.1:9000

The proxy has one server, BACKEND, where this program listens; no health check
that takes it down; timeouts of 2 to 3 seconds.  Verdicts: PASS is the hardened
outcome, OK another one that RFC 9110 and 9112 allow, FAIL anything else, also
any malformed byte that reaches the server.

h1_requests.json.gz, h1_responses.json.gz: `steps` are what is sent (base64),
`allow` the outcomes that are permitted and safe, `recommended` indexes the
hardened ones among them.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import attrs

HERE = Path(__file__).parent
if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))

from conformance.client import Patience  # noqa: E402  # above: to be run as a program
from conformance.oracle import Address, Oracle  # noqa: E402
from conformance.replay import Replay  # noqa: E402
from conformance.verdicts import Case  # noqa: E402

REQUESTS = HERE / "h1_requests.json.gz"
RESPONSES = HERE / "h1_responses.json.gz"


@attrs.frozen
class Verdict:
    """What became of one case."""

    id: str
    category: str
    description: str
    verdict: str
    """PASS, OK or FAIL."""
    why: str
    details: dict[str, Any]


def judge(
    proxy: Address,
    backend: Address,
    *,
    request_cases: Sequence[Case] | None = None,
    response_cases: Sequence[Case] | None = None,
    expect_xff: bool = False,
    client_ip: str = "127.0.0.1",
    patience: Patience | None = None,
    on_verdict: Callable[[Verdict], None] = lambda verdict: None,  # noqa: ARG005
) -> list[Verdict]:
    """Run the cases (by default the whole corpus) through `proxy`, whose server is at `backend`.

    Raises:
        RuntimeError: the proxy does not even serve a plain request.
    """
    request_cases = load(REQUESTS) if request_cases is None else request_cases
    response_cases = load(RESPONSES) if response_cases is None else response_cases
    oracle = Oracle(backend, {case["id"]: case for case in response_cases})
    try:
        replay = Replay(proxy, oracle, expect_xff=expect_xff, client_ip=client_ip, patience=patience)
        failed = replay.probe()
        if failed:
            raise RuntimeError(f"a plain request through {proxy} fails: {failed}")
        verdicts = []
        for run, cases in ((replay.request_case, request_cases), (replay.response_case, response_cases)):
            for case in cases:
                try:
                    verdict, why, details = run(case)
                except OSError as error:
                    verdict, why, details = "FAIL", f"the client: {error}", {}
                verdicts.append(
                    Verdict(case["id"], case["category"], case["description"], verdict, why, details)
                )
                on_verdict(verdicts[-1])
        return verdicts
    finally:
        oracle.close()


def load(path: Path) -> list[Case]:
    """The cases of a corpus file."""
    with gzip.open(path, "rt") as file:
        cases: list[Case] = json.load(file)["cases"]
    return cases


# -- as a program ----------------------------------------------------------------------------------


def main() -> int:
    """Run the corpus from the command line; 1 when a case fails, 2 when nothing works."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--proxy", type=_address, required=True)
    parser.add_argument("--backend", type=_address, required=True)
    parser.add_argument("--only", type=_list, help="ids, separated by commas")
    parser.add_argument("--category", type=_list, help="categories, separated by commas")
    parser.add_argument("--expect-xff", action="store_true", help="the proxy adds X-Forwarded-For")
    parser.add_argument("--client-ip", default="127.0.0.1")
    parser.add_argument("--json", type=Path, help="write every verdict there")
    parser.add_argument("-v", "--verbose", action="store_true", help="print all verdicts, not just FAIL")
    options = parser.parse_args()

    def chosen(path: Path) -> list[Case]:
        return [
            case
            for case in load(path)
            if (options.only is None or case["id"] in options.only)
            and (options.category is None or case["category"] in options.category)
        ]

    def show(verdict: Verdict) -> None:
        if options.verbose or verdict.verdict == "FAIL":
            _say(
                f"{verdict.verdict:5} {verdict.id:8} {verdict.category:15} "
                f"{verdict.description[:60]} -- {verdict.why[:220]}"
            )

    try:
        verdicts = judge(
            options.proxy,
            options.backend,
            request_cases=chosen(REQUESTS),
            response_cases=chosen(RESPONSES),
            expect_xff=options.expect_xff,
            client_ip=options.client_ip,
            on_verdict=show,
        )
    except RuntimeError as error:
        _say(str(error))
        return 2
    if options.json is not None:
        options.json.write_text(json.dumps([attrs.asdict(verdict) for verdict in verdicts], indent=0))
    _say(summary(verdicts))
    return 1 if any(verdict.verdict == "FAIL" for verdict in verdicts) else 0


def summary(verdicts: Iterable[Verdict]) -> str:
    """A table of verdicts by category."""
    counts: dict[str, Counter[str]] = {}
    total: Counter[str] = Counter()
    for verdict in verdicts:
        counts.setdefault(verdict.category, Counter())[verdict.verdict] += 1
        total[verdict.verdict] += 1
    lines = [f"{'category':18} {'PASS':>5} {'OK':>5} {'FAIL':>5}"]
    lines += [
        f"{name:18} {count['PASS']:5} {count['OK']:5} {count['FAIL']:5}"
        for name, count in [*counts.items(), ("TOTAL", total)]
    ]
    return "\n".join(lines)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return host.strip("[]") or "127.0.0.1", int(port)


def _list(text: str) -> list[str]:
    return text.split(",")


if __name__ == "__main__":
    sys.exit(main())
