"""Our values → the payload of a page write, by property id. Only what changes is sent; nothing is ever
emptied by accident (a null status would reset it to the default option, pain 23)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from daemon.board.schema import Binding, Column, listed
from daemon.core import ids
from daemon.core.errors import ConfigError
from daemon.core.ports import PageWrite
from daemon.core.status import Status
from daemon.core.task import Draft, Priority, Task
from daemon.core.text import RUN_UNITS, chunks, shorten

MAX_RUNS = 100
"""Rich-text runs that one property may hold (Notion API limit)."""

URL_UNITS = 2000
"""UTF-16 units of a url property (Notion API limit)."""

Payload = dict[str, Any]


def runs(text: str) -> list[Payload]:
    """Text as rich-text runs within the API's limits; what does not fit is cut with a visible mark."""
    bounded = shorten(text, RUN_UNITS * MAX_RUNS)
    return [{"type": "text", "text": {"content": part}} for part in chunks(bounded)]


def value(column: Column, text: str) -> Payload | None:
    """A text in the shape that the column's type asks for; None when this type can't hold it.

    Raises ConfigError for an option that a select or status does not have: writing it would change the schema
    (incident AT-17).
    """
    match column.type:
        case "title" | "rich_text":
            return {column.type: runs(text)}
        case "url":
            return {"url": shorten(text, URL_UNITS) or None}
        case "number":
            return {"number": float(text)} if text else {"number": None}
        case "select" | "status":
            return {column.type: option(column, text)} if text else None
        case "multi_select":
            return {"multi_select": [option(column, text)] if text else []}
        case "files":
            if not text:
                return {"files": []}
            if not text.startswith(("http://", "https://")):
                return None
            name = shorten(text.rsplit("/", 1)[-1] or "report", 100)
            return {"files": [{"type": "external", "name": name, "external": {"url": text}}]}
    return None


def option(column: Column, name: str) -> Payload:
    """An existing option by id. ConfigError with what there is when it does not exist."""
    found = column.option_id(name)
    if found is None:
        raise ConfigError(
            f"“{column.name}” has no option “{name}”; it has {listed(column.options.values())}",
            hint=f"add the option to “{column.name}” on the board: handoffd adds none by itself",
        )
    return {"id": found}


def status(binding: Binding, wanted: Status) -> Payload:
    """The status property, by option id."""
    column = binding.columns["status"]
    return {column.id: {column.type: {"id": binding.status_id(wanted)}}}


def claiming(binding: Binding, claim_text: str, attempts: int) -> Payload:
    """Everything that the claiming write sets: In Progress, claim, attempts, empty Why."""
    out = status(binding, Status.IN_PROGRESS)
    out.update(_texts(binding, {"claim": claim_text, "why": ""}))
    if column := binding.columns.get("attempts"):
        out[column.id] = {"number": attempts}
    return out


def changes(binding: Binding, current: Task, change: PageWrite, *, keep_status: bool) -> Payload:
    """What ``change`` asks for and ``current`` does not say yet; {} when it is all there (a replay).

    ``keep_status``: a person set the status: leave it.
    """
    out: Payload = {}
    if change.status is not None and not keep_status and current.status is not change.status:
        out.update(status(binding, change.status))
    wanted = {"result": change.result, "why": change.why, "report": change.report}
    differing = {
        key: text
        for key, text in wanted.items()
        if text is not None and text != getattr(current, key) and binding.has(key)
    }
    if change.claim is not None and change.claim != current.claim and binding.has("claim"):
        differing["claim"] = change.claim.text()
    out.update(_texts(binding, differing))
    column = binding.columns.get("attempts")
    if column and change.attempts is not None and change.attempts != current.attempts:
        out[column.id] = {"number": change.attempts}
    return out


def note(binding: Binding, why: str, wanted: Status | None) -> Payload:
    """Why, and for a refusal the status."""
    out = _texts(binding, {"why": why})
    if wanted is not None:
        out.update(status(binding, wanted))
    return out


def draft(binding: Binding, task: Draft, agent: Payload | None) -> Payload:
    """The properties of a new page. ``agent``: the value of the agent column, made by the caller.

    ConfigError when the draft sets something that the board has no property for, or can't hold.
    """
    texts = {
        "title": task.title,
        "handler": task.handler,
        "task_type": task.task_type,
        "url": task.url,
        "description": task.description,
        "parameters": task.parameters,
        "acceptance": "\n".join(task.acceptance),
        "source_key": task.source_key,
        **task.extra,
    }
    out = status(binding, task.status)
    for key, text in texts.items():
        if not text:
            continue
        column = _needed(binding, key)
        made = value(column, text)
        if made is None:
            raise ConfigError(f"{key} can't be set: “{column.name}” has type {column.type}")
        out[column.id] = made
    if ranked := binding.columns.get("priority"):
        out.update(_priority(ranked, task.priority))
    if task.due is not None:
        out[_needed(binding, "due").id] = {"date": {"start": instant(task.due)}}
    if task.after:
        out[_needed(binding, "after").id] = {"relation": [{"id": ids.dashed(i)} for i in task.after]}
    if agent is not None:
        out[_needed(binding, "agent").id] = agent
    return out


def instant(when: datetime) -> str:
    """ISO in UTC, to the minute: Notion drops seconds (pain 7), so none are promised."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:00.000Z")


def _needed(binding: Binding, key: str) -> Column:
    column = binding.columns.get(key)
    if column is None:
        raise ConfigError(
            f"the board has no property for {key}, which this task sets",
            hint=f"add one, or name it in board.properties.{key}",
        )
    return column


def _priority(column: Column, priority: Priority) -> Payload:
    if column.type == "number":
        return {column.id: {"number": int(priority)}}
    for name in (priority.label, f"P{int(priority)}"):
        if found := column.option_id(name):
            return {column.id: {column.type: {"id": found}}}
    if priority is Priority.MEDIUM:
        return {}  # empty means Medium
    raise ConfigError(
        f"“{column.name}” has no option “{priority.label}”; it has {listed(column.options.values())}",
        hint=f"add the option to “{column.name}” on the board: handoffd adds none by itself",
    )


def _texts(binding: Binding, texts: Mapping[str, str]) -> Payload:
    out: Payload = {}
    for key, text in texts.items():
        column = binding.columns.get(key)
        made = value(column, text) if column else None
        if column and made is not None:
            out[column.id] = made
    return out


def selected(column: Column, name: str, related: Sequence[str]) -> Payload | None:
    """An agent by name; ``related``: ids of the pages with that title, when the column is a relation."""
    if column.type == "relation":
        return {"relation": [{"id": ids.dashed(i)} for i in related]}
    if column.type in ("people", "rollup"):
        return None
    return value(column, name)
