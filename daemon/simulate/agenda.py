"""Virtual time: a clock that only moves from one planned event to the next."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable


class Agenda:
    """What happens when. ``now`` is true time (epoch s) and never goes back; ``clock`` is what the machine's
    clock shows, which may be stepped."""

    def __init__(self, start: float) -> None:
        self.now = start
        self.offset = 0.0
        self._order = itertools.count()
        self._plan: list[tuple[float, int, Callable[[], None]]] = []

    def clock(self) -> float:
        """The machine's clock, epoch seconds."""
        return self.now + self.offset

    def at(self, moment: float, act: Callable[[], None]) -> None:
        """Call ``act`` at true time ``moment``, or next if that is past. Equal times keep their order."""
        heapq.heappush(self._plan, (max(moment, self.now), next(self._order), act))

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Call ``act`` ``seconds`` from now."""
        self.at(self.now + seconds, act)

    def step(self, until: float) -> bool:
        """Move to the next event not later than ``until`` and let it happen; False = there is none, and
        ``now`` is ``until``."""
        if not self._plan or self._plan[0][0] > until:
            self.now = max(self.now, until)
            return False
        self.now, _, act = heapq.heappop(self._plan)
        act()
        return True
