"""The service's rate limit: a fixed window of 60 seconds, spendable as a burst (documented, measured)."""

from __future__ import annotations

import threading

from daemon.local_board.errors import rate_limited

WINDOW_MS = 60_000


class RateWindow:
    """Counts requests of the one token.  A window starts with the first request behind the last window."""

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._start = 0
        self._used = 0

    def spend(self, now_ms: int) -> None:
        """Counts one request; 429 with the whole seconds until the window ends when it is used up."""
        if self.limit is None:
            return
        with self._lock:
            if not self._start <= now_ms < self._start + WINDOW_MS:
                self._start, self._used = now_ms, 0
            if self._used < self.limit:
                self._used += 1
                return
            left_ms = self._start + WINDOW_MS - now_ms
        raise rate_limited(-(-left_ms // 1000))
