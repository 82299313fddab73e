"""Writing property values: options made on the way, numbers given out, both halves of relations kept
in step.
"""

# table and column names are made by the board itself; values are always parameters

# ruff: noqa: S608  # table and column names are the board's own; values are always parameters

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from daemon.local_board import cells, files, property_config, schema_edit, values
from daemon.local_board.board import Call
from daemon.local_board.errors import validation
from daemon.local_board.schema import READ_ONLY_TYPES, Property, Schema
from daemon.local_board.texts import dumps


def resolve(schema: Schema, given: Mapping[str, Any]) -> list[tuple[Property, Any]]:
    """Each written property with its payload; 400 naming every unknown one and every one of another type."""
    problems: list[str] = []
    out: list[tuple[Property, Any]] = []
    for key, payload in given.items():
        prop = schema.find(key)
        if prop is None:
            problems.append(f"{key} is not a property that exists.")
        elif prop.type in READ_ONLY_TYPES or values.written_type(payload) != prop.type:
            problems.append(f"{key} is expected to be {prop.type}.")
        else:
            out.append((prop, values.written_value(payload)))
    if problems:
        raise validation(" ".join(problems))
    return out


class Writer:
    """Turns written values into stored ones, for one page of one data source.

    `schema` moves on when a select option is created.
    """

    def __init__(self, call: Call, schema: Schema) -> None:
        self.call = call
        self.schema = schema

    def store(self, prop: Property, value: Any) -> Any:
        """The stored form of one value."""
        prop = self.schema.by_number(prop.number) or prop
        if prop.type == "select":
            return None if value is None else self._option(prop, value)
        if prop.type == "multi_select":
            chosen: dict[str, None] = {}
            for item in value:
                prop = self.schema.by_number(prop.number) or prop
                chosen[self._option(prop, item)] = None
            return list(chosen) or None
        if prop.type == "status":
            return values.store_status(prop, value)
        if prop.type == "relation":
            return self._relation(prop, value)
        if prop.type == "files":
            return [self._file(item) for item in value] or None
        return values.store_plain(prop, value)

    def _option(self, prop: Property, given: Mapping[str, Any]) -> str:
        found = values.find_option(prop, given)
        if found is None:
            if given.get("id") and not given.get("name"):
                raise validation(f'Invalid select option. Select option "{given["id"]}" does not exist.')
            name = values.check_select_name(given.get("name"))
            found = property_config.new_option(self.call, name, color=given.get("color"))
            config = {**prop.config, "options": [*prop.options, found]}
            self.schema = schema_edit.save(self.call, self.schema.with_property(replace(prop, config=config)))
        option_id: str = found["id"]
        return option_id

    def _relation(self, prop: Property, value: list[dict[str, Any]]) -> list[str] | None:
        ids = values.store_reference_ids(value)
        for identifier in ids:
            row = self.call.db.execute("SELECT source FROM page WHERE id = ?", (identifier,)).fetchone()
            if row is None:
                raise self.call.not_found("page", identifier)
            if row["source"] != prop.config["source"]:
                target = self.call.schema(prop.config["source"]).id
                raise validation(
                    f"Page with ID: {identifier} is not in the related data source with ID: {target}."
                )
        return ids or None

    def _file(self, given: dict[str, Any]) -> dict[str, Any]:
        stored = files.stored_named(given, "Untitled")
        return attach_upload(self.call, stored)


def attach_upload(call: Call, stored: dict[str, Any]) -> dict[str, Any]:
    """Checks that a file upload exists and is finished, and keeps its name; other files pass through."""
    if stored.get("type") != "file_upload":
        return stored
    identifier = stored["file_upload"]["id"]
    row = call.db.execute("SELECT status, filename FROM upload WHERE id = ?", (identifier,)).fetchone()
    if row is None:
        raise call.not_found("file upload", identifier)
    if row["status"] != "uploaded":
        raise validation(f"File upload {identifier} must be in status `uploaded`, but is `{row['status']}`.")
    name = row["filename"] or "file"
    # A finished upload that is used somewhere does not expire any more.
    call.db.execute("UPDATE upload SET expires = NULL WHERE id = ?", (identifier,))
    kept = {**stored, "file_upload": {"id": identifier, "name": name}}
    if kept.get("name") == "Untitled":
        kept["name"] = name
    return kept


def insert_row(call: Call, schema: Schema, page: int, stored: Mapping[str, Any]) -> None:
    """The row of a new page in its data source's table, and its links."""
    columns: dict[str, Any] = {
        "page": page,
        "created": call.now,
        "edited": call.now,
        "created_by": call.actor,
        "edited_by": call.actor,
    }
    for prop in schema.properties:
        if prop.id in stored:
            columns.update(cells.cells(prop, stored[prop.id]))
    names = ", ".join(columns)
    marks = ", ".join("?" * len(columns))
    call.db.execute(f"INSERT INTO {schema.table}({names}) VALUES ({marks})", tuple(columns.values()))
    for prop in schema.properties:
        if prop.type == "relation" and stored.get(prop.id):
            relink(call, prop, page, [], stored[prop.id])


def update_row(call: Call, schema: Schema, page: int, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Cells and links of changed properties."""
    columns: dict[str, Any] = {"edited": call.now, "edited_by": call.actor}
    for prop in schema.properties:
        if prop.id not in new:
            continue
        columns.update(cells.cells(prop, new[prop.id]))
        if prop.type == "relation":
            relink(call, prop, page, old.get(prop.id) or [], new[prop.id] or [])
    assignments = ", ".join(f"{name} = ?" for name in columns)
    call.db.execute(f"UPDATE {schema.table} SET {assignments} WHERE page = ?", (*columns.values(), page))


def relink(call: Call, prop: Property, page: int, old: list[str], new: list[str]) -> None:
    """Writes a page's links, and the other half on every page that a two-way relation gained or lost."""
    write_links(call, prop, page, new)
    if prop.config.get("synced") is None:
        return
    target = call.schema(prop.config["source"])
    half = target.by_number(prop.config["synced"])
    if half is None:
        return
    own = call.db.execute("SELECT id FROM page WHERE key = ?", (page,)).fetchone()["id"]
    for identifier in [
        *(item for item in new if item not in old),
        *(item for item in old if item not in new),
    ]:
        _sync_half(call, target, half, identifier, own, identifier in new)


def write_links(call: Call, prop: Property, page: int, ids: list[str]) -> None:
    """Replaces the links of one relation of one page."""
    call.db.execute("DELETE FROM link WHERE property = ? AND source = ?", (prop.number, page))
    for position, identifier in enumerate(ids):
        call.db.execute(
            "INSERT INTO link(property, source, position, target) SELECT ?, ?, ?, key FROM page WHERE id = ?",
            (prop.number, page, position, identifier),
        )


def _sync_half(call: Call, target: Schema, half: Property, identifier: str, own: str, add: bool) -> None:
    row = call.db.execute("SELECT key, properties FROM page WHERE id = ?", (identifier,)).fetchone()
    if row is None:
        return
    stored = json.loads(row["properties"])
    ids: list[str] = [item for item in stored.get(half.id) or [] if item != own]
    if add:
        ids.append(own)
    stored[half.id] = ids or None
    call.db.execute("UPDATE page SET properties = ? WHERE key = ?", (dumps(stored), row["key"]))
    columns = cells.cells(half, stored[half.id])
    assignments = ", ".join(f"{name} = ?" for name in columns)
    call.db.execute(
        f"UPDATE {target.table} SET {assignments} WHERE page = ?", (*columns.values(), row["key"])
    )
    write_links(call, half, row["key"], ids)


def defaults(call: Call, schema: Schema) -> dict[str, Any]:
    """What a new page has without being told: its number and the default status."""
    out: dict[str, Any] = {}
    for prop in schema.properties:
        if prop.type == "unique_id":
            row = call.db.execute(
                "UPDATE data_source SET next_number = next_number + 1 WHERE key = ?"
                " RETURNING next_number - 1 AS number",
                (schema.key,),
            ).fetchone()
            out[prop.id] = row["number"]
        elif prop.type == "status":
            out[prop.id] = values.default_status(prop)
    return out
