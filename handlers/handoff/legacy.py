"""The predecessor's trigger files: recognised, read, never written, moved or overwritten.

Four shapes by four generators, with three names for the same thing (incident HF-6): A staging handoff,
B direct handoff, C helper handoff, D return. What is none of them is listed as unrecognised instead of being
invisible (HF-15: Markdown handoffs that no ``*.json`` glob ever saw).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from daemon.core.ids import normalise
from daemon.core.text import one_line, visible
from daemon.sdk import Draft, Priority, Status
from handlers.handoff.intake import Refused, receive
from handlers.handoff.packets import NAME

Shape = Literal["A", "B", "C", "D", ""]
SUFFIXES = (".json", ".md")
MAX_FILES = 5000


class Trigger(msgspec.Struct, frozen=True, kw_only=True):
    """One old file in one form. ``shape`` "" = unrecognised, ``problem`` says why."""

    file: str
    shape: Shape = ""
    problem: str = ""
    task_id: str = ""
    """32 hex digits; "" when the file holds no whole id (a prefix is no id, HF-2)."""
    title: str = ""
    description: str = ""
    agent: str = ""
    source_agent: str = ""
    priority: str = ""
    created: str = ""
    task_url: str = ""
    next_step: str = ""
    criteria: tuple[str, ...] = ()


def shape_of(doc: Mapping[str, Any]) -> Shape:
    """Which generator wrote it, by the fields that only that one wrote."""
    if (
        "return_handoff_id" in doc
        or doc.get("type") == "RETURN_HANDOFF"
        or doc.get("handoff_type") == "RETURN"
    ):
        return "D"
    if "handoff_id" in doc and ("handoff_reason" in doc or "required_action" in doc):
        return "C"
    if "agent_name" in doc and "task_title" in doc:
        return "B"
    if "target_agent" in doc and ("agent_task_id" in doc or "chain_tracking" in doc) and "title" in doc:
        return "A"
    return ""


def read(path: Path) -> Trigger:
    """One file. Never raises for what is in it; FileNotFoundError when it is gone."""
    if path.suffix.lower() != ".json":
        return Trigger(file=path.name, problem="not JSON: a Markdown handoff; import it by hand")
    try:
        doc = receive(path).doc
    except Refused as err:
        first = err.findings[0]
        return Trigger(file=path.name, problem=f"{first.name}: expected {first.expected}, got {first.got}")
    shape = shape_of(doc)
    if not shape:
        return Trigger(file=path.name, problem="JSON of none of the shapes A to D")
    return _trigger(path.name, shape, doc)


def _trigger(name: str, shape: Shape, doc: Mapping[str, Any]) -> Trigger:
    inner = doc.get("original_task") if isinstance(doc.get("original_task"), Mapping) else {}
    both = {**(inner if isinstance(inner, Mapping) else {}), **doc}
    context = doc.get("context") if isinstance(doc.get("context"), Mapping) else {}
    return Trigger(
        file=name,
        shape=shape,
        task_id=_id(both, "task_id", "agent_task_id", "task_url"),
        title=_text(both, "task_title", "title", "handoff_reason"),
        description=_text(both, "description", "handoff_instructions", "handoff_reason"),
        agent=_text(both, "agent_name", "target_agent", "originating_agent"),
        source_agent=_text(both, "source_agent", "executing_agent"),
        priority=_text(both, "priority", "urgency"),
        created=_text(both, "created_at", "timestamp"),
        task_url=_text(both, "task_url"),
        next_step=_text(both, "required_action") or _text(context or {}, "current_step"),
        criteria=_lines(both.get("success_criteria")),
    )


def _text(doc: Any, *keys: str) -> str:
    for key in keys:
        value = doc.get(key)
        if isinstance(value, str) and value.strip():
            return visible(value).strip()
    return ""


def _id(doc: Mapping[str, Any], *keys: str) -> str:
    for key in keys:
        value = doc.get(key)
        if isinstance(value, str):
            try:
                return normalise(value)
            except ValueError:
                continue
    return ""


def _lines(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        value = value.splitlines()
    if not isinstance(value, list):
        return ()
    return tuple(visible(v).strip() for v in value if isinstance(v, str) and v.strip())


def scan(folder: Path) -> list[Trigger]:
    """Every old file in a folder, by name; packets of ours and temporary files are left out. Looks only."""
    out: list[Trigger] = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or NAME.fullmatch(path.name) or path.is_dir():
            continue
        if path.suffix.lower() in SUFFIXES and len(out) < MAX_FILES:
            out.append(read(path))
    return out


def draft(trigger: Trigger) -> Draft:
    """The task that an old handoff becomes: a Draft, for a person to look at. The key makes it one task."""
    return Draft(
        title=one_line(trigger.title or trigger.file, 200),
        status=Status.DRAFT,
        priority=Priority.parse(trigger.priority) or Priority.MEDIUM,
        handler="handoff",
        agent=one_line(trigger.agent, 120),
        description="\n\n".join(t for t in (trigger.description, trigger.next_step) if t),
        acceptance=trigger.criteria,
        source_key=f"legacy:{trigger.task_id or trigger.file}",
    )
