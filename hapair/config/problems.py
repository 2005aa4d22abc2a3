"""Problems found in a configuration file."""

from __future__ import annotations

import attrs


@attrs.frozen
class Problem:
    """One mistake and where it is."""

    file: str
    line: int
    column: int
    path: str
    """Dotted path of the key: `backend.web.server.web1.weight`."""
    message: str
    """What is wrong, what was expected, and a suggestion."""
    severity: str = "error"
    """`error` or `warning`."""
