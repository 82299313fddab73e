"""The registry of agents: section ``[agents.<slug>]`` of the settings.

An agent is found by a look-up in this table, never by a path made from text, and an unknown name never makes
a folder (incident HF-4: 2–4 folders an agent; threat T08).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from daemon.core.text import one_line
from daemon.sdk import BlockedError

Slug = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]{0,39}$")]
ArgKind = Literal["path", "word", "number"]
PLACEHOLDERS = ("workspace", "packet", "task", "run", "criterion")
"""``{name}`` in a check's argv that the daemon fills in itself."""


class CheckTemplate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A program that proves a criterion. Only the settings can name one; a page can only choose it."""

    argv: Annotated[
        tuple[str, ...],
        Meta(
            min_length=1, description="Program and arguments; {workspace}, {packet}, {task}, {run}, {name}."
        ),
    ]
    cwd: Literal["workspace", "packet"] = "workspace"
    timeout: Annotated[float, Meta(gt=0, description="Seconds.")] = 120.0
    exit: Annotated[int, Meta(description="Exit code that means: proved.")] = 0
    regex: Annotated[str, Meta(description="Also required in the output. Empty = not looked at.")] = ""
    args: Annotated[
        dict[str, ArgKind],
        Meta(description="What a page may fill in: path (inside the workspace), word, number."),
    ] = {}
    env: dict[str, str] = {}
    read_only: Annotated[bool, Meta(description="True: the criterion needs no change in the workspace.")] = (
        False
    )


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One agent. Durations in seconds."""

    names: Annotated[
        tuple[str, ...], Meta(description="Other names of it on the board: the titles in Assigned-Agent.")
    ] = ()
    inbox: Annotated[
        str, Meta(description="Folder of its inbox. Empty = agents/<slug> in the home folder.")
    ] = ""
    rendering: Annotated[
        Literal["cursor", "claude-code", "codex", "plain"], Meta(description="How handoff.md addresses it.")
    ] = "plain"
    launch: Annotated[
        tuple[str, ...],
        Meta(description="argv that starts it; {packet}, {workspace}, {task}. Empty = it watches its inbox."),
    ] = ()
    time_limit: Annotated[
        float,
        Meta(gt=0, le=43200, description="From acknowledgement to return; limit of a launched process."),
    ] = 14400.0
    silence_limit: Annotated[
        float, Meta(gt=0, description="No output (launched) or no sign of life (inbox) for so long: nudge.")
    ] = 1800.0
    ack_within: Annotated[float, Meta(gt=0, description="For the acknowledgement.")] = 3600.0
    fix_window: Annotated[float, Meta(gt=0, description="To mend a rejected return.")] = 1800.0
    deliveries: Annotated[
        int, Meta(ge=1, le=10, description="Deliveries before a person is asked; not above run.attempts.")
    ] = 3
    escalation: Annotated[tuple[Slug, ...], Meta(description="Agents to try next, in order.")] = ()
    workspaces: Annotated[
        dict[str, str], Meta(description="Name → folder in which it may work. A page chooses by name.")
    ] = {}
    workspace: Annotated[
        str, Meta(description="Name of the default one. Empty = a folder of the task's own below the inbox.")
    ] = ""
    checks: dict[str, CheckTemplate] = {}
    min_evidence_bytes: Annotated[
        int, Meta(ge=0, description="A file below this size proves nothing (34-byte placeholders were seen).")
    ] = 40
    follow_ups: Annotated[int, Meta(ge=0, le=5, description="Tasks that one return may create.")] = 5
    env: Annotated[
        dict[str, str], Meta(description="Extra environment of a launched agent; no secrets.")
    ] = {}


Agents = dict[Slug, AgentSettings]


def fold(name: str) -> str:
    """The form in which names are compared: NFKC, case folded, single spaces. Nothing is dropped."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def key(name: str) -> str:
    """One word for a name, the same for every spelling that ``find`` takes for it."""
    return fold(name).replace(" ", "-")


def keys(slug: str, agent: AgentSettings) -> set[str]:
    """Every word by which the agent may be named."""
    return {slug, *(key(name) for name in agent.names)}


def find(wanted: Sequence[str], agents: Mapping[str, AgentSettings]) -> str:
    """Slug of the one agent that ``wanted`` names.

    Raises BlockedError when there is none, when it is not registered, or when the page names several.
    """
    known = ", ".join(sorted(agents)) or "none: add [agents.<slug>] to handoffd.toml"
    names = [n for n in wanted if n.strip()]
    if not names:
        raise BlockedError("no agent is assigned", hint=f"set Assigned-Agent to one of: {known}")
    found = {slug for name in names for slug, agent in agents.items() if _is(name, slug, agent)}
    if len(found) == 1 and len({fold(n) for n in names}) == 1:
        return found.pop()
    shown = ", ".join(f"“{one_line(n, 80)}”" for n in names[:5])
    if len(names) > 1:
        raise BlockedError(f"several agents are assigned: {shown}", hint=f"assign exactly one of: {known}")
    if found:
        raise BlockedError(
            f"the name {shown} belongs to several agents in the settings: {', '.join(sorted(found))}",
            hint="give each agent its own names",
        )
    raise BlockedError(f"unknown agent {shown}", hint=f"set Assigned-Agent to one of: {known}")


def _is(name: str, slug: str, agent: AgentSettings) -> bool:
    folded = fold(name)
    return folded == slug or folded.replace(" ", "-") == slug or any(folded == fold(n) for n in agent.names)


def inbox_root(slug: str, agent: AgentSettings, home: Path) -> Path:
    """The agent's folder that holds 01_inbox, 02_processed, 03_failed, receipts and work."""
    return Path(agent.inbox).expanduser() if agent.inbox else home / "agents" / slug


def roots(agents: Mapping[str, AgentSettings], home: Path) -> dict[str, Path]:
    """Slug → folder of every registered agent."""
    return {slug: inbox_root(slug, agent, home) for slug, agent in agents.items()}
