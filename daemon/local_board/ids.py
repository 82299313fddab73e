"""Ids: how the service makes them, and which ones it takes in a path.

Pages, blocks, later data sources and views carry a time-ordered UUID of version 8: three hex digits of
days since 2024-01-01, nine of the workspace, then the rest.  Here the rest starts with the millisecond of
the day and a counter, so ids sort by creation.  Databases and their first data source carry a random v4.
(Recorded.)
"""

from __future__ import annotations

import random
import re
import threading
import uuid

_EPOCH_DAY = 19723
"""Days from 1970-01-01 to 2024-01-01, the day zero of the service's time-ordered ids (recorded: 0x38c is
2026-06-27).
"""

_MS_PER_DAY = 86_400_000
_SHAPE = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}\Z", re.IGNORECASE)
_NIL = "00000000-0000-0000-0000-000000000000"
_PROPERTY_ALPHABET = [chr(code) for code in range(0x3A, 0x7F) if chr(code) != "\\"]
"""The service's alphabet, but for the backslash, which JSON paths would need escaped."""


class IdSource:
    """Makes every id of one board.  Safe to use from several threads; repeatable when seeded.

    opening: how often the file has been opened; a seeded board must not make the same ids again after a
    restart.
    """

    def __init__(self, seed: int | None, workspace: str, opening: int = 1) -> None:
        # Ids name things, they keep nothing secret: the token does that.
        self._random = random.Random(None if seed is None else f"{seed}.{opening}")  # noqa: S311  # see above
        self._workspace = workspace.replace("-", "")[:9]
        self._lock = threading.Lock()
        self._last = (0, 0)

    def _bits(self, count: int) -> int:
        with self._lock:
            return self._random.getrandbits(count)

    def uuid4(self) -> str:
        """A random UUID: databases, options, requests, sessions."""
        return str(uuid.UUID(int=self._bits(128), version=4))

    def ordered(self, now_ms: int, mark: str = "") -> str:
        """A time-ordered UUID; later calls sort after earlier ones within and across milliseconds.

        mark: the tail's first four digits for data sources ("000b") and views ("000c").
        """
        with self._lock:
            ms, count = self._last
            self._last = (now_ms, 0) if now_ms > ms else (ms, count + 1)
            ms, count = self._last
            noise = self._random.getrandbits(16)
            loose = self._random.getrandbits(32)
        days, in_day = divmod(ms, _MS_PER_DAY)
        # 27 bits of millisecond, 27 of counter and noise; the top 8 go behind "81", the next 14 behind the
        # variant.
        body = (in_day << 43) | ((count & 0x7FFFFFF) << 16) | noise
        head = f"{(days - _EPOCH_DAY) & 0xFFF:03x}{self._workspace}"
        third = f"81{body >> 62:02x}"
        fourth = f"{0x8000 | (body >> 48) & 0x3FFF:04x}"
        tail = f"{body & 0xFFFFFFFFFFFF:012x}"
        if mark:
            # The mark takes the place of the counter, so these few ids rest on chance to differ.
            tail = f"{mark:0<4}{loose:08x}"
        return f"{head[:8]}-{head[8:12]}-{third}-{fourth}-{tail}"

    def property_id(self, taken: set[str]) -> str:
        """Four printable characters, as the service names properties (`title` is the only fixed one)."""
        while True:
            name = "".join(_PROPERTY_ALPHABET[self._bits(16) % len(_PROPERTY_ALPHABET)] for _ in range(4))
            if name not in taken:
                return name

    def choice(self, options: list[str]) -> str:
        """One of the options at random: colours of automatically created options."""
        return options[self._bits(32) % len(options)]


def parse_id(text: str) -> str | None:
    """The dashed form of an id from a path or body, or None where the service says "should be a valid uuid".

    Dashed and dashless are taken; the variant nibble is checked (recorded:
    12345678-1234-1234-1234-123456789abc is refused) and the nil UUID is let through.
    """
    if not _SHAPE.match(text):
        return None
    digits = text.replace("-", "")
    dashed = f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
    if ("-" in text and text.lower() != dashed.lower()) or ("-" not in text and text != text.lower()):
        return None
    if dashed == _NIL:
        return dashed
    if dashed[14] not in "123456789" or dashed[19].lower() not in "89ab":
        return None
    # An upper-case dashed id is a valid uuid that finds nothing, a dashless one is no uuid (measured).
    return dashed


def dashless(identifier: str) -> str:
    """The 32-digit form used in URLs."""
    return identifier.replace("-", "")
