"""A page as the API gives it → Task. Never raises on odd values: one strange row must not hide the others."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from daemon.board.schema import Binding, Column
from daemon.core import claim as claims
from daemon.core import ids
from daemon.core.status import Status
from daemon.core.task import Priority, Task

Value = Mapping[str, Any]
TitleOf = Callable[[str], str]
"""Id of a related page (32 hex) → its title."""

INLINE = 25
"""Related pages, or mentions in a text, that a page's answer holds."""

_EPOCH = datetime.fromtimestamp(0, UTC)
_PRIORITY_WORDS = re.compile(r"[A-Za-z]+[0-9]?")
_LINES = re.compile(r"^\s*(?:[-*•]\s+|\d+[.)]\s+|\[[ xX]\]\s+)*")


def plain(runs: Any) -> str:
    """All rich-text runs joined (incident AT-14: the predecessor read the first one)."""
    if not isinstance(runs, Sequence) or isinstance(runs, str):
        return ""
    return "".join(str(run.get("plain_text", "")) for run in runs if isinstance(run, Mapping))


def by_id(page: Value) -> dict[str, Value]:
    """The page's property values by property id, whatever they are called now."""
    properties = page.get("properties")
    if not isinstance(properties, Mapping):
        return {}
    return {str(v["id"]): v for v in properties.values() if isinstance(v, Mapping) and "id" in v}


def text(value: Value | None) -> str:
    """Any property value as text; several parts joined by ", "."""
    if not value:
        return ""
    kind = str(value.get("type", ""))
    inner = value.get(kind)
    if inner is None:
        return ""
    match kind:
        case "title" | "rich_text":
            return plain(inner)
        case "select" | "status":
            return str(inner.get("name", ""))
        case "number":
            return f"{inner:g}" if isinstance(inner, float) else str(inner)
        case "date":
            return str(inner.get("start", ""))
        case "checkbox":
            return "yes" if inner else ""
        case "formula":
            return text({"type": inner.get("type"), **inner})
        case "files":
            return next(_links(inner), "")
        case "unique_id":
            prefix = inner.get("prefix")
            return f"{prefix}-{inner.get('number')}" if prefix else str(inner.get("number", ""))
        case "multi_select" | "people" | "rollup" | "relation":
            return ", ".join(names(value, lambda related: related))
    return inner if isinstance(inner, str) else ""


def names(value: Value | None, title_of: TitleOf) -> tuple[str, ...]:
    """Names in a relation, rollup, select, multi_select, people or text value, alike (incident AT-16).

    ``title_of`` is asked for the title of each related page. In text, commas and lines part the names.
    """
    return tuple(dict.fromkeys(n for n in (n.strip() for n in _names(value, title_of)) if n))


def _names(value: Value | None, title_of: TitleOf) -> Iterator[str]:
    if not value:
        return
    kind = str(value.get("type", ""))
    inner = value.get(kind)
    if not inner:
        return
    match kind:
        case "relation":
            for related in relation_ids(value):
                yield title_of(related)
        case "rollup":
            if inner.get("type") == "array":
                for item in inner.get("array") or []:
                    yield from _names(item, title_of)
            else:
                yield text({"type": inner.get("type"), **inner})
        case "multi_select":
            yield from (str(option.get("name", "")) for option in inner)
        case "people":
            yield from (str(user.get("name") or user.get("id", "")) for user in inner)
        case "rich_text":
            yield from re.split(r"[,\n]", plain(inner))
        case _:
            yield text(value)


def relation_ids(value: Value | None) -> tuple[str, ...]:
    """Ids of related pages, 32 hex each, as far as this answer holds them (``has_more``: at most 25)."""
    items = (value or {}).get("relation") or []
    return tuple(
        ids.normalise(str(item["id"])) for item in items if isinstance(item, Mapping) and "id" in item
    )


def truncated(page: Value, columns: Iterable[Column]) -> list[Column]:
    """Columns whose value on this page is, or may be, longer than the answer holds (pain 26).

    A relation says so. A text is documented to lose what follows its 25th mention, and does not say so.
    """
    values = by_id(page)
    return [c for c in columns if _is_cut(c.type, values.get(c.id, {}))]


def _is_cut(kind: str, value: Value) -> bool:
    if kind in ("title", "rich_text"):
        runs = value.get(kind) or ()
        return sum(1 for run in runs if isinstance(run, Mapping) and run.get("type") == "mention") >= INLINE
    return kind == "relation" and value.get("has_more") is True


def moment(raw: Any) -> datetime | None:
    """An API time in UTC. A date without a time is the end of that day: due on a day means by its end."""
    if not isinstance(raw, str) or not raw:
        return None
    try:
        when = datetime.fromisoformat(raw)
    except ValueError:
        return None
    if "T" not in raw:
        return (when + timedelta(days=1, minutes=-1)).replace(tzinfo=UTC)
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


def lines(raw: str) -> tuple[str, ...]:
    """One criterion a line, without list marks."""
    return tuple(clean for line in raw.splitlines() if (clean := _LINES.sub("", line).strip()))


def priority(value: Value | None) -> Priority:
    """``Critical`` … ``Low``, ``P0`` … ``P3``, 0 … 3, also inside a label like ``3 - High``; else Medium."""
    if value and value.get("type") == "number":
        numbered = Priority.parse(value.get("number"))
        return Priority.MEDIUM if numbered is None else numbered
    raw = text(value)
    found = Priority.parse(raw)
    if found is not None:
        return found
    words = {p for w in _PRIORITY_WORDS.findall(raw) if (p := Priority.parse(w)) is not None}
    return words.pop() if len(words) == 1 else Priority.MEDIUM


def status(value: Value | None, binding: Binding) -> tuple[Status | None, str]:
    """Canonical status (None when it is not in the vocabulary) and the option's name on the board."""
    inner = (value or {}).get(str((value or {}).get("type", "")))
    if not isinstance(inner, Mapping):
        return None, ""
    name = str(inner.get("name", ""))
    return binding.canonical(str(inner.get("id", "")), name), name


def task(page: Value, binding: Binding, title_of: TitleOf) -> Task:
    """The task on a page. ``title_of`` names related agents."""
    values = by_id(page)

    def value(key: str) -> Value | None:
        column = binding.columns.get(key)
        return values.get(column.id) if column else None

    canonical, name = status(value("status"), binding)
    due = (value("due") or {}).get("date") or {}
    unique = (value("number") or {}).get("unique_id") or {}
    attempts = (value("attempts") or {}).get("number")
    created = moment(page.get("created_time")) or _EPOCH
    return Task(
        id=ids.normalise(str(page["id"])),
        title=text(value("title")) or "(untitled)",
        status=canonical,
        status_name=name,
        priority=priority(value("priority")),
        handler=text(value("handler")).strip(),
        agents=names(value("agent"), title_of),
        task_type=text(value("task_type")).strip(),
        url=text(value("url")).strip(),
        description=text(value("description")),
        parameters=text(value("parameters")),
        next_step=text(value("next_step")),
        acceptance=lines(text(value("acceptance"))),
        due=moment(due.get("end")) or moment(due.get("start")),
        after=relation_ids(value("after")),
        claim=claims.parse(text(value("claim"))),
        why=text(value("why")),
        result=text(value("result")),
        report=text(value("report")),
        attempts=int(attempts) if isinstance(attempts, int | float) else 0,
        source_key=text(value("source_key")),
        schedule=text(value("schedule")).strip(),
        number=unique.get("number"),
        page_url=str(page.get("url") or ""),
        created=created,
        edited=moment(page.get("last_edited_time")) or created,
        edited_by=str((page.get("last_edited_by") or {}).get("id", "")).replace("-", ""),
    )


def _links(files: Any) -> Iterator[str]:
    for item in files if isinstance(files, Sequence) else []:
        kind = str(item.get("type", ""))
        link = (item.get(kind) or {}).get("url") if kind in ("external", "file") else None
        if link:
            yield str(link)
