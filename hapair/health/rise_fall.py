"""When a server is up: HAProxy's health counter, as a pure machine.

`health` runs from 0 to rise + fall - 1, and a server is up from `rise` on.  It starts
up at exactly `rise`, unchecked: the first failure takes it down at once, a first
success gives it full health.
"""

from __future__ import annotations

import attrs

from hapair.config.model import InitState


@attrs.frozen
class Health:
    """The state of one server's checks."""

    rise: int
    fall: int
    value: int
    checked: bool = False

    @classmethod
    def initial(cls, rise: int, fall: int, state: InitState = InitState.UP) -> Health:
        """A server that was never checked."""
        value = {
            InitState.FULLY_UP: rise + fall - 1,
            InitState.UP: rise,
            InitState.DOWN: rise - 1,
            InitState.FULLY_DOWN: 0,
        }[state]
        return cls(rise, fall, value)

    @property
    def up(self) -> bool:
        return self.value >= self.rise

    @property
    def full(self) -> bool:
        return self.value == self.rise + self.fall - 1

    @property
    def text(self) -> str:
        """As HAProxy logs it: `2/3 UP`, `0/2 DOWN`."""
        if self.up:
            return f"{self.value - self.rise + 1}/{self.fall} UP"
        return f"{self.value}/{self.rise} DOWN"


def after(health: Health, ok: bool) -> Health:
    """The state after one more check."""
    value = health.value
    if ok:
        value = min(value + 1, health.rise + health.fall - 1)
        if value >= health.rise:
            value = health.rise + health.fall - 1
    else:
        value = value - 1 if value > health.rise else 0
    if value == health.value and health.checked:
        return health
    return Health(health.rise, health.fall, value, checked=True)


def interval(
    health: Health,
    inter: float,
    fastinter: float,
    downinter: float,
    retry: float | None = None,
    *,
    ok: bool = True,
) -> float:
    """Seconds until the next check: steady up, in transition or unchecked, or down.

    `retry` follows a failure (not `ok`) of a server that is still up.
    """
    if retry is not None and not ok and health.up:
        return retry
    if not health.checked:
        return fastinter
    if health.full:
        return inter
    return downinter if health.value == 0 else fastinter
