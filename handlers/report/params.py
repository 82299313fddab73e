"""What a task's Parameters may say for the report handler."""

from __future__ import annotations

from typing import Literal

import msgspec


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``since`` and ``until``: ``7d``, ``24h``, ``2w`` before the run, or an ISO date or time (UTC)."""

    since: str = "7d"
    until: str = ""
    kind: Literal["digest"] = "digest"
