"""Deadlines: never early, at most a tick late, however often they move."""

from __future__ import annotations

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from hapair.dataplane.timers import TICK, Timer, Wheel

EPSILON = 1e-9


class Owner:
    def __init__(self) -> None:
        self.timer = Timer(self)
        self.called: list[float] = []
        self.then: float | None = None
        self.wheel: Wheel | None = None

    def on_deadline(self, now: float) -> None:
        self.called.append(now)
        if self.then is not None and self.wheel is not None:
            self.wheel.arm(self.timer, now + self.then)


def wheel() -> Wheel:
    def on_bug(_: object, error: Exception) -> None:
        raise error

    return Wheel(on_bug)


times = st.floats(min_value=0, max_value=2, allow_nan=False)


@given(st.lists(st.tuples(st.integers(min_value=0, max_value=3), st.none() | times, times), max_size=40))
def test_a_deadline_is_met_between_its_moment_and_a_tick_later(
    steps: list[tuple[int, float | None, float]],
) -> None:
    """Each step arms (or disarms) one of four timers and lets some time pass, tick by tick."""
    turning, owners = wheel(), [Owner() for _ in range(4)]
    wanted = [inf] * 4
    now = 1000.0
    for which, after, passing in steps:
        wanted[which] = inf if after is None else now + after
        turning.arm(owners[which].timer, wanted[which])
        until = now + passing
        while now < until:
            now = min(until, now + TICK / 2)
            turning.expire(now)
            for i, owner in enumerate(owners):
                if owner.called:
                    (at,) = owner.called
                    assert wanted[i] <= at <= wanted[i] + 1.5 * TICK + EPSILON
                    wanted[i] = inf
                    owner.called.clear()
            assert all(at > now - 1.5 * TICK - EPSILON for at in wanted)
            assert turning.next_at() <= min(wanted) + TICK + EPSILON


def test_an_owner_may_arm_itself_again_while_it_is_told() -> None:
    turning, owner = wheel(), Owner()
    owner.wheel, owner.then = turning, 0.05
    turning.arm(owner.timer, 100.0)
    now = 100.0
    while now < 100.5:
        now += TICK / 4
        turning.expire(now)
    assert 7 <= len(owner.called) <= 10
    assert all(b - a >= 0.05 for a, b in zip(owner.called, owner.called[1:], strict=False))


def test_a_cancelled_timer_calls_nobody_and_holds_nobody() -> None:
    turning, owner = wheel(), Owner()
    turning.arm(owner.timer, 1.0)
    owner.timer.cancel()
    assert owner.timer.owner is None
    turning.expire(2.0)
    assert owner.called == []
    assert turning.next_at() == inf


def test_moving_a_deadline_later_costs_no_new_place() -> None:
    turning, owner = wheel(), Owner()
    for i in range(1000):
        turning.arm(owner.timer, 10.0 + i)
    assert sum(len(slot) for slot in turning._slots.values()) == 1
    turning.expire(11.0)
    assert owner.called == []
    turning.expire(1010.0)
    assert len(owner.called) == 1


def test_an_exception_costs_its_owner_only() -> None:
    told: list[tuple[object, Exception]] = []
    turning = Wheel(lambda owner, error: told.append((owner, error)))
    first, bad, last = Owner(), Owner(), Owner()
    error = RuntimeError("a bug")

    def fail(_: float) -> None:
        raise error

    bad.on_deadline = fail  # type: ignore[method-assign]
    for owner in (first, bad, last):
        turning.arm(owner.timer, 1.0)
    turning.expire(2.0)
    assert told == [(bad, error)]
    assert len(first.called) == len(last.called) == 1
