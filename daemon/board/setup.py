"""The tasks database, made once below a page: for the local board, and for ``init --create``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from daemon.board import query, reading
from daemon.board.columns import GROUPS, SPECS
from daemon.board.fixes import TEXT_INSTEAD
from daemon.board.transport import Transport
from daemon.core import ids
from daemon.core.errors import Ambiguous, ConfigError
from daemon.core.status import Status
from daemon.core.task import Priority

TITLE = "Agent-Tasks"

_COLORS = {
    Status.READY: "blue",
    Status.IN_PROGRESS: "yellow",
    Status.COMPLETED: "green",
    Status.FAILED: "red",
    Status.BLOCKED: "orange",
    Status.REVIEW: "purple",
    Status.WAITING: "brown",
}


def create_tasks_database(
    transport: Transport, parent_page_id: str, *, title: str = TITLE, handlers: Sequence[str] = ()
) -> tuple[str, str]:
    """Find the database called ``title`` below the page, else make it with every key of contract.md §3.

    ``handlers``: names for a Handler select; () makes it a text. Returns (database id, data source id), 32
    hex each. Doing it twice, or again after a crash, gives the same database.
    """
    parent = ids.normalise(parent_page_id)
    found = _find(transport, parent, title)
    if found is None:
        try:
            found = transport.call("setup", "POST", "databases", body=_request(parent, title, handlers))
        except Ambiguous:
            found = _find(transport, parent, title)
            if found is None:
                raise
    database, source = ids.normalise(str(found["id"])), _source(found, title)
    _relate(transport, source)
    return database, source


def _request(parent: str, title: str, handlers: Sequence[str]) -> dict[str, Any]:
    return {
        "parent": {"type": "page_id", "page_id": ids.dashed(parent)},
        "title": [{"type": "text", "text": {"content": title}}],
        "initial_data_source": {"properties": properties(handlers)},
    }


def properties(handlers: Sequence[str] = ()) -> dict[str, Any]:
    """The schema that set-up creates, but for the relation to itself: that needs the data source's id."""
    out: dict[str, Any] = {}
    for key, spec in SPECS.items():
        if key == "after":
            continue
        kind = "rich_text" if key in TEXT_INSTEAD and not (key == "handler" and handlers) else spec.types[0]
        out[spec.name] = {kind: {}}
    out[SPECS["status"].name] = {
        "status": {
            "options": [
                {"name": s.value, "color": _COLORS.get(s, "default"), "group": GROUPS[s]} for s in Status
            ]
        }
    }
    out[SPECS["priority"].name] = {"select": {"options": [{"name": p.label} for p in Priority]}}
    if handlers:
        out[SPECS["handler"].name] = {"select": {"options": [{"name": name} for name in handlers]}}
    return out


def _find(transport: Transport, parent: str, title: str) -> dict[str, Any] | None:
    for block in query.items(transport, "setup", f"blocks/{ids.dashed(parent)}/children"):
        if (block.get("child_database") or {}).get("title") == title:
            return transport.call("setup", "GET", f"databases/{block['id']}")
    return None


def _source(database: dict[str, Any], title: str) -> str:
    sources = database.get("data_sources") or []
    if len(sources) != 1:
        named = reading.plain(database.get("title")) or title
        raise ConfigError(
            f"the database “{named}” has {len(sources)} data sources, so it is not one that handoffd made",
            hint="set board.data_source_id, or rename that database",
        )
    return ids.normalise(str(sources[0]["id"]))


def _relate(transport: Transport, source: str) -> None:
    """Prerequisite Tasks relates to the database itself; the service takes that only in a second call."""
    path = f"data_sources/{ids.dashed(source)}"
    name = SPECS["after"].name
    present = transport.call("setup", "GET", path).get("properties") or {}
    if name in present:
        return
    relation = {"data_source_id": ids.dashed(source), "type": "single_property", "single_property": {}}
    transport.call("setup", "PATCH", path, body={"properties": {name: {"relation": relation}}})
