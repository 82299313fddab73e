"""uvicorn for a process that is idle most of its life: the board's and the dashboard's server share it."""

from __future__ import annotations

import asyncio

from uvicorn import Config, Server

BEAT_S = 1.0
"""uvicorn renews its Date header once a second, and looks ten times a second whether to stop; at rest those
looks are a fifth of a percent of a core for each server."""


class CalmServer(Server):
    """A uvicorn server that beats once a second and is told of its end instead of looking for it."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None

    def end(self) -> None:
        """Stop serving; from any thread, at any time, twice is fine."""
        self.should_exit = True
        if self._loop is not None and self._end is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end.set)

    async def main_loop(self) -> None:
        """Until the end: the beat of uvicorn's own loop, at its slowest useful rate."""
        self._end, self._loop = asyncio.Event(), asyncio.get_running_loop()
        while not await self.on_tick(0):
            try:
                await asyncio.wait_for(self._end.wait(), BEAT_S)
            except TimeoutError:
                continue
