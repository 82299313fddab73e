"""JSON as the board writes it, and names that answers show."""

from __future__ import annotations

import json
from typing import Any

import msgspec

BOT_NAME = "Local Board"
WORKSPACE_NAME = "Local Workspace"
PERSON_NAME = "Local User"

UNTITLED_DATABASE = "New database"
"""What a database without a title shows as its name (recorded); its data source keeps an empty title."""


def dumps(value: Any) -> str:
    """Compact JSON, text as it is."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def encode(value: Any) -> bytes:
    """The same as bytes, for answers: a tenth of the time that `json` takes for 100 pages."""
    return msgspec.json.encode(value)


def loads(text: str | None) -> Any:
    """JSON out of a column; NULL is None."""
    return None if text is None else json.loads(text)
