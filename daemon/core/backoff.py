"""When to try again: exponential with full jitter, capped; and whether there is a next time at all.

Numbers from research/dispatch.md §3.2: 10 s × 2^n up to 300 s, three attempts, then parked with the reason.
A service that gives no answer gets three times as long, what nobody expected or hangs twice as long.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from daemon.core.outcome import Fault

FACTOR = {Fault.UNREACHABLE: 3.0, Fault.UNEXPECTED: 2.0, Fault.STALLED: 2.0}
"""By how much the first wait is longer for a kind of fault; 1 for the others. The ceiling is the same."""


CLOCK_SLACK_S = 60.0
"""By so much the clocks of two hosts may differ. A time of the past that lies further ahead was taken from a
clock that has been put back since: what was to be reckoned from it can't be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """``first`` and ``ceiling`` in seconds; ``attempts`` counts the first one."""

    first: float = 10.0
    ceiling: float = 300.0
    attempts: int = 3

    def delay(
        self,
        attempt: int,
        rng: Callable[[], float],
        named: float | None = None,
        fault: Fault = Fault.TRANSIENT,
    ) -> float | None:
        """Seconds to wait after attempt number ``attempt`` failed; None = that was the last one.

        ``rng`` gives 0 ≤ x < 1. ``named`` is a time that the other side asked for; it is never cut.
        """
        if attempt >= self.attempts:
            return None
        if named is not None:
            return named
        window = min(self.ceiling, self.first * FACTOR.get(fault, 1.0) * 2.0 ** (attempt - 1))
        return window / 2 + rng() * window / 2
