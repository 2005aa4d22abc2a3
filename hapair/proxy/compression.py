"""Which responses are compressed: HAProxy's conditions (`compression algo`, `type`, `offload`).

A request chooses the coding, by its Accept-Encoding; whether it is used, its response decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hapair.config.model import Algo
from hapair.http1.codings import NAMES, Encoder, encoder
from hapair.http1.framing import CHUNKED

if TYPE_CHECKING:
    from hapair.config import model
    from hapair.http1.head import Request, Response

_WORTH: Final = (200, 201, 202, 203)
_OLD: Final = b"Mozilla/4"


class Compression:
    """What a frontend and a backend together want compressed; the backend's lists come first.

    What a client wants equally, as all browsers do, the order of `algo` decides, where HAProxy
    takes what the client names first: else `br` would never be used.
    """

    def __init__(self, frontend: model.Compression | None, backend: model.Compression | None) -> None:
        sides = [side for side in (backend, frontend) if side is not None]
        self.algos = next((side.algo for side in sides if side.algo), ())
        self._types = tuple(
            one.lower().encode() for one in next((side.type for side in sides if side.type), ())
        )
        self._offload = any(side.offload for side in sides)

    def chosen(self, request: Request) -> Algo | None:
        """The coding for the response, and with `offload` the server is not asked for one."""
        algos = self.algos
        if not algos or _cannot(request.header(b"user-agent")):
            return None
        wanted = [_weighed(one) for value in request.header(b"accept-encoding") for one in value.split(b",")]
        best, quality = None, 0.0
        for algo in algos:
            for word, weight in wanted:
                if weight > quality and (word == b"*" or word == NAMES[algo] != b""):
                    best, quality = algo, weight
        if best is not None:
            if self._offload:
                request.lines = [line for line in request.lines if line[:16].lower() != b"accept-encoding:"]
            return best
        return Algo.IDENTITY if Algo.IDENTITY in algos else None

    def begin(self, algo: Algo, request: Request, response: Response) -> Encoder | None:
        """The encoder of a response whose head says so now; None when it is left as it is."""
        if not self._suits(request, response):
            return None
        kept = []
        for line in response.lines:
            name = line.partition(b":")[0].lower()
            if name == b"content-length":
                continue
            kept.append(_weak(line) if name == b"etag" else line)
        if response.length != CHUNKED:
            kept.append(b"transfer-encoding: chunked")
        kept.append(b"vary: Accept-Encoding")
        if NAMES[algo]:
            kept.append(b"content-encoding: " + NAMES[algo])
        response.lines = kept
        return encoder(algo)

    def _suits(self, request: Request, response: Response) -> bool:
        if request.version != 11 or response.version != 11 or request.method == b"HEAD":
            return False
        if response.status not in _WORTH or (response.length <= 0 and response.length != CHUNKED):
            return False
        tags = []
        kind: bytes | None = None
        for line in response.lines[1:]:
            name, _, value = line.partition(b":")
            name, value = name.lower(), value.strip(b" \t")
            if name == b"content-encoding":
                return False
            if name == b"cache-control" and b"no-transform" in _words(value):
                return False
            if name == b"etag":
                tags.append(value)
            elif name == b"content-type" and kind is None:
                kind = value.lower()
        if len(tags) > 1 or not all(_valid_tag(tag) for tag in tags):
            return False
        if kind is None:
            return not self._types
        return not kind.startswith(b"multipart") and (not self._types or kind.startswith(self._types))


def compression(frontend: model.Frontend, backend: model.Backend | None) -> Compression | None:
    """For requests of this frontend in this backend; None where nothing is compressed."""
    theirs = backend.compression if backend is not None else None
    if frontend.compression is None and theirs is None:
        return None
    made = Compression(frontend.compression, theirs)
    return made if made.algos else None


def _cannot(agents: list[bytes]) -> bool:
    """Browsers of before Internet Explorer 6 with its second service pack: they say they can, and cannot."""
    if not agents or not agents[0].startswith(_OLD):
        return False
    agent = agents[0]
    if agent[25:30] != b"MSIE " or agent[30:31] < b"6":
        return True
    return agent[30:31] == b"6" and agent[51:54] != b"SV1"


def _weighed(element: bytes) -> tuple[bytes, float]:
    """A coding of Accept-Encoding in small letters, and how much it is wanted (RFC 9110 section 12.4.2)."""
    word, *parameters = element.split(b";")
    for parameter in parameters:
        name, _, value = parameter.strip(b" \t").partition(b"=")
        if name == b"q":
            try:
                return word.strip(b" \t").lower(), min(1.0, max(0.0, float(value)))
            except ValueError:
                return word.strip(b" \t").lower(), 0.0
    return word.strip(b" \t").lower(), 1.0


def _words(value: bytes) -> list[bytes]:
    return [word.strip(b" \t").lower() for word in value.split(b",")]


def _valid_tag(tag: bytes) -> bool:
    """RFC 9110 section 8.8.3."""
    tag = tag.removeprefix(b"W/")
    return len(tag) >= 2 and tag[:1] == tag[-1:] == b'"'


def _weak(line: bytes) -> bytes:
    """A strong tag would promise the bytes that the server sent."""
    name, _, value = line.partition(b":")
    value = value.strip(b" \t")
    return line if value.startswith(b"W/") else b"%b: W/%b" % (name, value)
