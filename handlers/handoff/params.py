"""What a task's Parameters may say for the handoff handler. It is page text: names and choices, no paths."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """TOML lines. ``check.<id>`` binds a criterion to a check; see docs/handoffs.md."""

    agent: Annotated[str, Meta(max_length=120, description="Overrides Assigned-Agent.")] = ""
    workspace: Annotated[str, Meta(max_length=120, description="Name of one of the agent's workspaces.")] = ""
    allowed: Annotated[tuple[str, ...], Meta(description="Relative paths that may be changed.")] = (".",)
    forbidden: tuple[str, ...] = ()
    check: Annotated[dict[str, str | dict[str, str | int | float | bool]], Meta(max_length=100)] = {}
    optional: Annotated[tuple[str, ...], Meta(description="Ids of criteria that are not required.")] = ()
    non_goals: Annotated[tuple[str, ...], Meta(max_length=20)] = ()
    next_command: Annotated[str, Meta(max_length=500, description="Shown to the agent, never run.")] = ""
    root: Annotated[str, Meta(pattern="^([0-9a-f]{32})?$", description="Written by follow-ups.")] = ""
    parent: Annotated[str, Meta(pattern="^([0-9a-f]{32})?$")] = ""
    depth: Annotated[int, Meta(ge=0, le=9)] = 0
