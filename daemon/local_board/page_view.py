"""Pages as answers show them."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Collection
from typing import Any

from daemon.local_board import computed, files, tree, users
from daemon.local_board.board import Call
from daemon.local_board.ids import dashless
from daemon.local_board.schema import Property, Schema, encode_id
from daemon.local_board.texts import loads
from daemon.local_board.times import minute

INLINE_REFERENCES = 25
"""Related pages and people that a page shows; the rest is read through the property endpoint (recorded)."""


def page_object(
    call: Call,
    row: sqlite3.Row,
    *,
    only: Collection[str] | None = None,
    trashed: bool | None = None,
) -> dict[str, Any]:
    """A page.  only: numbers of the properties to show (as str); trashed: its state when that is known
    already.
    """
    if trashed is None:
        trashed = tree.in_trash(call, "page_id", row["id"])
    schema = call.schema(row["source"]) if row["source"] is not None else None
    out: dict[str, Any] = {
        "object": "page",
        "id": row["id"],
        "created_time": minute(row["created"]),
        "last_edited_time": minute(row["edited"]),
        "created_by": users.partial(row["created_by"]),
        "last_edited_by": users.partial(row["edited_by"]),
        "cover": files.served(loads(row["cover"]), call.base_url, call.now),
        "icon": files.served(loads(row["icon"]), call.base_url, call.now),
        "parent": parent_of(row, schema),
        "in_trash": trashed,
        "is_archived": trashed,
        "is_locked": bool(row["is_locked"]),
        "properties": properties(call, row, schema, only),
        "url": page_url(row["id"], row["title"]),
        "public_url": None,
    }
    if call.shows_archived:
        out["archived"] = trashed
    return out


def parent_of(row: sqlite3.Row, schema: Schema | None) -> dict[str, Any]:
    """A page's parent; a row names its data source and its database."""
    if schema is not None:
        return {"type": "data_source_id", "data_source_id": schema.id, "database_id": schema.database_id}
    return tree.parent_object(row["parent_type"], row["parent_id"])


def page_url(identifier: str, title: str) -> str:
    """ "https://app.notion.com/p/<Words-of-the-title>-<32 hex>", as recorded since July 2026."""
    slug = re.sub(r"[^0-9A-Za-z]+", "-", title).strip("-")
    return "https://app.notion.com/p/" + (f"{slug}-" if slug else "") + dashless(identifier)


def properties(
    call: Call, row: sqlite3.Row, schema: Schema | None, only: Collection[str] | None = None
) -> dict[str, Any]:
    """The properties of a page by name, in the served order."""
    stored = loads(row["properties"])
    if schema is None:
        return {"title": {"id": "title", "type": "title", "title": stored.get("title") or []}}
    out: dict[str, Any] = {}
    for prop in schema.served_order():
        if only is None or str(prop.number) in only:
            shown = property_value(call, row, schema, prop, stored)
            out[prop.name] = {"id": encode_id(prop.id), "type": prop.type, **shown}
    return out


def option_view(prop: Property, option_id: str) -> dict[str, Any] | None:
    """An option as a value shows it, without its description."""
    option = prop.option(id=option_id)
    return None if option is None else {"id": option["id"], "name": option["name"], "color": option["color"]}


def property_value(
    call: Call, row: sqlite3.Row, schema: Schema, prop: Property, stored: dict[str, Any]
) -> dict[str, Any]:
    """{<type>: value} of one property, for relations with has_more beside it."""
    value = stored.get(prop.id)
    if prop.type == "relation":
        ids = value or []
        shown = [{"id": identifier} for identifier in ids[:INLINE_REFERENCES]]
        return {"relation": shown, "has_more": len(ids) > INLINE_REFERENCES}
    if prop.type in ("formula", "rollup"):
        return {prop.type: computed.served(call, row, schema, prop)}
    return {prop.type: plain_value(call, row, prop, value)}


def plain_value(call: Call, row: sqlite3.Row, prop: Property, value: Any) -> Any:
    """The served value of a property that is stored, not computed."""
    kind = prop.type
    if kind in ("select", "status"):
        return None if value is None else option_view(prop, value)
    if kind == "multi_select":
        return [view for view in (option_view(prop, item) for item in value or []) if view is not None]
    if kind in ("title", "rich_text"):
        return value or []
    if kind == "people":
        return [users.in_value(call, item) for item in (value or [])[:INLINE_REFERENCES]]
    if kind == "files":
        return [files.served(item, call.base_url, call.now) for item in value or []]
    if kind == "checkbox":
        return bool(value)
    if kind == "unique_id":
        return {"prefix": prop.config.get("prefix"), "number": value}
    if kind in ("created_time", "last_edited_time"):
        return minute(row["created" if kind == "created_time" else "edited"])
    if kind in ("created_by", "last_edited_by"):
        return users.in_value(call, row["created_by" if kind == "created_by" else "edited_by"])
    if kind == "button":
        return {}
    if kind == "verification":
        return value or {"state": "unverified", "verified_by": None, "date": None}
    return value
