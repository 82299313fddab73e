"""GET /v1/pages/{id}/properties/{property}: one property in full, paged where it is a list."""

from __future__ import annotations

import sqlite3
from typing import Any
from urllib.parse import quote as url_quote

from daemon.local_board import computed, page_view, shapes, tree, users
from daemon.local_board.board import Call
from daemon.local_board.errors import validation
from daemon.local_board.listing import bad_cursor, paging
from daemon.local_board.schema import Property, Schema, encode_id
from daemon.local_board.texts import loads

LIST_TYPES = frozenset({"title", "rich_text", "relation", "people", "rollup"})
"""Types that are served as a list of items; all others are one item (recorded)."""

_PAGE_TITLE = Property(number=0, id="title", name="title", type="title")


def retrieve(call: Call) -> dict[str, Any]:
    """The endpoint."""
    row = tree.need_page(call, call.params["page_id"])
    key = call.params["property_id"]
    schema = call.schema(row["source"]) if row["source"] is not None else None
    if schema is None:
        prop = _PAGE_TITLE if key == "title" else None
    else:
        prop = schema.find(key)
    if prop is None:
        raise validation(f"Could not find property with name or id: {key}")
    stored = loads(row["properties"])
    identifier = encode_id(prop.id)
    if prop.type not in LIST_TYPES:
        assert schema is not None  # noqa: S101  # for the type checker: only the title is there without a schema
        shown = page_view.property_value(call, row, schema, prop, stored)
        return {"object": "property_item", "type": prop.type, "id": identifier, prop.type: shown[prop.type]}
    items, summary, item_type = _items(call, row, schema, prop, stored)
    return _listed(call, row, prop, items, summary, item_type)


def _items(
    call: Call, row: sqlite3.Row, schema: Schema | None, prop: Property, stored: dict[str, Any]
) -> tuple[list[Any], Any, str]:
    """All items of a list property, what stands in `property_item`, and the type of the items."""
    value = stored.get(prop.id) or []
    if prop.type == "relation":
        return [{"id": identifier} for identifier in value], {}, "relation"
    if prop.type == "people":
        return [users.in_value(call, identifier) for identifier in value], {}, "people"
    if prop.type == "rollup":
        assert schema is not None  # noqa: S101  # for the type checker: rollups are in data sources only
        shown = computed.served(call, row, schema, prop)
        if shown["type"] == "array":
            return list(shown["array"]), {**shown, "array": []}, ""
        return [], shown, "rollup"
    return value, {}, prop.type


def _listed(
    call: Call, row: sqlite3.Row, prop: Property, items: list[Any], summary: Any, item_type: str
) -> dict[str, Any]:
    identifier = encode_id(prop.id)
    size, cursor_given = paging(call, {"start_cursor": shapes.string(), "page_size": shapes.number})
    size, start = max(size, 0), _offset(cursor_given, len(items))
    following = start + size if start + size < len(items) else None
    cursor = None if following is None else f"{prop.number}-{following}"
    results = []
    for item in items[start : start + size]:
        kind = item_type or item["type"]
        inner = item[kind] if not item_type else item
        results.append({"object": "property_item", "type": kind, "id": identifier, kind: inner})
    next_url = None
    if cursor is not None:
        path = f"/v1/pages/{row['id']}/properties/{url_quote(identifier)}"
        next_url = f"{call.base_url}{path}?start_cursor={cursor}"
    return {
        "object": "list",
        "results": results,
        "next_cursor": cursor,
        "has_more": cursor is not None,
        "type": "property_item",
        "property_item": {"id": identifier, "next_url": next_url, "type": prop.type, prop.type: summary},
    }


def _offset(cursor: str | None, length: int) -> int:
    if not cursor:
        return 0
    _, _, place = cursor.partition("-")
    if not place.isdigit() or int(place) > length:
        raise bad_cursor(cursor)
    return int(place)
