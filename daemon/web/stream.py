"""Live events (SSE): a stream follows the store's event log by id, so a reader that comes back misses none.

One watcher looks once a second whether there is anything new, only while somebody listens. A stream holds a
cursor and no queue: a slow reader costs no memory, and its connection is cut (``connection``).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.concurrency import run_in_threadpool

from daemon.core.errors import HandoffdError
from daemon.core.snapshot import Snapshot
from daemon.store import Event, Store
from daemon.web.answers import Refusal

STREAMS = 16
"""Streams at the same time (research/reliability.md T80)."""
HEARTBEAT = 15.0
LOOK = 1.0
"""Seconds between two looks for news."""
BATCH = 200


class Stream:
    """All streams of one server."""

    def __init__(self, store: Store, snapshot: Callable[[], Snapshot]) -> None:
        self._store = store
        self._snapshot = snapshot
        self._news = asyncio.Condition()
        self._newest = 0
        self._state = ""
        self._watcher: asyncio.Task[None] | None = None
        self.listening = 0
        self.closing = False

    def enter(self) -> None:
        """Take one of the places. Refusal 503 when all are taken; ``leave`` gives it back."""
        if self.listening >= STREAMS:
            hint = "close another one, or read /api/v1/state every few seconds"
            raise Refusal(503, "streams", f"All {STREAMS} streams are taken.", hint, {"retry-after": "15"})
        self.listening += 1
        if self._watcher is None or self._watcher.done():
            self._watcher = asyncio.get_running_loop().create_task(self._watch())

    def leave(self) -> None:
        """Give the place back."""
        self.listening -= 1

    async def close(self) -> None:
        """End every stream."""
        self.closing = True
        if self._watcher is not None:
            self._watcher.cancel()
        async with self._news:
            self._news.notify_all()

    async def follow(self, after: int | None) -> AsyncIterator[bytes]:
        """Lines to send: events with an id above ``after`` (None = only new ones), state changes, beats."""
        cursor = await run_in_threadpool(self._last) if after is None else after
        state = self._state
        yield b"retry: 3000\n\n"
        while not self.closing:
            batch = await run_in_threadpool(self._after, cursor)
            for event in batch:
                yield _event(event)
                cursor = event.id
            if len(batch) == BATCH:
                continue
            if state != self._state:
                # The watcher's first look tells what there is, not that it is new.
                known, state = bool(state), self._state
                if known:
                    yield f"event: state\ndata: {json.dumps({'state': state})}\n\n".encode()
            if not await self._wait(cursor, state):
                yield b": beat\n\n"

    async def _wait(self, cursor: int, state: str) -> bool:
        """True when there is news, False when it is time for a beat."""
        try:
            async with asyncio.timeout(HEARTBEAT), self._news:
                await self._news.wait_for(
                    lambda: self._newest > cursor or self._state != state or self.closing
                )
        except TimeoutError:
            return False
        return True

    async def _watch(self) -> None:
        while self.listening and not self.closing:
            try:
                newest, state = await run_in_threadpool(self._look)
            except HandoffdError:
                # The store does not answer; the pages say so. The streams live on and catch up by id.
                newest, state = self._newest, self._state
            async with self._news:
                if (newest, state) != (self._newest, self._state):
                    self._newest, self._state = newest, state
                    self._news.notify_all()
            await asyncio.sleep(LOOK)

    def _last(self) -> int:
        events = self._store.last_events(1)
        return events[-1].id if events else 0

    def _after(self, cursor: int) -> list[Event]:
        return self._store.events(after=cursor, limit=BATCH)

    def _look(self) -> tuple[int, str]:
        snapshot = self._snapshot()
        active = [(r.run, r.state.value, (r.progress or {}).get("at")) for r in self._store.active_runs()]
        return self._last(), f"{snapshot.at}:{hash(tuple(active)) & 0xFFFFFFFF:x}"


def _event(event: Event) -> bytes:
    data: dict[str, Any] = {
        "id": event.id,
        "at": event.at,
        "name": event.name,
        "task": event.task,
        "run": event.run,
        "data": event.data,
    }
    # json escapes every control character: no text of others can begin a line of its own.
    return f"id: {event.id}\ndata: {json.dumps(data)}\n\n".encode()
