"""A connection that can't be held open for nothing: uvicorn's h11 protocol with the limits it lacks.

- A request's head must be complete within ``HEAD_SECONDS`` (slowloris).
- A reader that takes nothing for ``STALL_SECONDS`` is cut off, whatever waits to be sent to it.
- When ``CONNECTIONS`` are open, the oldest one that has not finished a head makes room for the new one.

research/reliability.md T70, T80.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 5.0
STALL_SECONDS = 15.0
CONNECTIONS = 64


class Connection(H11Protocol):
    """One client connection."""

    opened: float
    _timer: asyncio.TimerHandle | None = None
    _stall: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> bool:
        """True while no request of it is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: Any) -> None:
        """Take the place of the oldest idle connection when the house is full."""
        super().connection_made(transport)
        self.opened = self.loop.time()
        if len(self.connections) > CONNECTIONS:
            others = [c for c in self.connections if isinstance(c, Connection) and c.idle and c is not self]
            victim = min(others, key=lambda c: c.opened) if others else self
            victim.transport.abort()
        self._await_head()

    def _await_head(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(HEAD_SECONDS, self._late)

    def _late(self) -> None:
        self._timer = None
        if self.idle:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Count the time from the head's first byte to its last."""
        if self.idle:
            self._await_head()
        super().data_received(data)
        if not self.idle and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def pause_writing(self) -> None:
        """The reader's buffers are full."""
        super().pause_writing()
        if self._stall is None:
            self._stall = self.loop.call_later(STALL_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """It reads again."""
        super().resume_writing()
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Drop the timers with the connection."""
        for timer in (self._timer, self._stall):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)
