"""Making and changing the properties of a data source, with what that does to its rows."""

# table and column names are made by the board itself; values are always parameters

# ruff: noqa: S608  # table and column names are the board's own; values are always parameters

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from daemon.local_board import cells, text_chunks, tree
from daemon.local_board import property_config as config
from daemon.local_board.board import Call
from daemon.local_board.errors import validation
from daemon.local_board.schema import OPTION_TYPES, Property, Schema
from daemon.local_board.texts import dumps

PROPERTY_LIMIT = 500
"""Properties of one database (documented)."""

_MATERIAL = frozenset(
    {"number", "select", "multi_select", "status", "relation", "rollup", "formula", "unique_id"}
)


def next_property_number(call: Call) -> int:
    """A number that no property of this board has had."""
    call.db.execute("INSERT OR IGNORE INTO meta(key, value) VALUES ('property', '0')")
    row = call.db.execute(
        "UPDATE meta SET value = CAST(value AS INTEGER) + 1 WHERE key = 'property' RETURNING value"
    ).fetchone()
    return int(row["value"])


def save(call: Call, schema: Schema) -> Schema:
    """Writes a changed schema under its next version."""
    stored = dumps([prop.stored() for prop in schema.properties])
    call.db.execute(
        "UPDATE data_source SET properties = ?, version = version + 1 WHERE key = ?", (stored, schema.key)
    )
    return call.schema(schema.key)


def initial(call: Call, schema: Schema, given: Mapping[str, Any]) -> Schema:
    """Properties of a new data source.  Without a title property one called "Name" is added."""
    titles = [name for name, value in given.items() if config.given_type(value) == "title"]
    if len(titles) > 1:
        raise validation("Title property must be unique.")
    if len(given) > PROPERTY_LIMIT:
        raise validation(f"Databases can have at most {PROPERTY_LIMIT} properties.")
    title = Property(
        number=next_property_number(call), id="title", name=(titles or ["Name"])[0], type="title"
    )
    schema = replace(schema, properties=(title,))
    cells.create_rows_table(call.db, schema)
    schema = save(call, schema)
    # Formulas and rollups refer to other properties, so those have to exist first.
    late = [name for name, value in given.items() if config.given_type(value) in ("formula", "rollup")]
    for name in [name for name in given if name not in late and name not in titles] + late:
        schema = add(call, schema, name, given[name])
    return schema


def change(call: Call, schema: Schema, given: Mapping[str, Any]) -> Schema:
    """PATCH of `properties`: null deletes, {name} renames, a known key with a type changes, a new key
    adds.
    """
    for key, value in given.items():
        prop = schema.find(key)
        if prop is None:
            if value is None:
                raise validation(f"Could not find property with name or id: {key}")
            schema = add(call, schema, value.get("name", key), value)
        elif value is None:
            schema = remove(call, schema, prop)
        else:
            schema = _alter(call, schema, prop, value)
    return schema


def add(call: Call, schema: Schema, name: str, given: Mapping[str, Any]) -> Schema:
    """A new property with its columns."""
    kind = config.given_type(given)
    if kind is None:
        raise validation(f"Could not find property with name or id: {name}")
    if kind == "title":
        raise validation("Cannot create new title property.")
    if kind == "unique_id" and any(prop.type == "unique_id" for prop in schema.properties):
        raise validation("Databases can have at most one unique_id property.")
    if schema.find(name) is not None:
        raise validation(f"Property name {name} is not unique.")
    prop = Property(
        number=next_property_number(call),
        id=call.board.ids.property_id({other.id for other in schema.properties}),
        name=name,
        type=kind,
        description=given.get("description"),
    )
    prop = replace(prop, config=_config(call, schema, prop, None, given[kind]))
    cells.add_columns(call.db, schema, prop)
    schema = save(call, schema.with_property(prop))
    if kind == "relation" and "dual_property" in given[kind]:
        schema = _pair(call, schema, prop, given[kind]["dual_property"])
    if kind in ("status", "unique_id"):
        _fill(call, schema, prop)
    return schema


def remove(call: Call, schema: Schema, prop: Property) -> Schema:
    """Deletes a property, and for a two-way relation its other half."""
    if prop.type == "title":
        raise validation("Cannot delete title property.")
    _forget(call, schema, prop)
    schema = save(call, schema.without(prop))
    synced = prop.config.get("synced") if prop.type == "relation" else None
    if synced is not None:
        other = call.schema(prop.config["source"])
        half = other.by_number(synced)
        if half is not None:
            _forget(call, other, half)
            save(call, other.without(half))
    return call.schema(schema.key)


def _forget(call: Call, schema: Schema, prop: Property) -> None:
    text_chunks.drop(call.db, schema, prop)
    cells.drop_columns(call.db, schema, prop)
    call.db.execute("DELETE FROM link WHERE property = ?", (prop.number,))
    path = "$." + json.dumps(prop.id)
    call.db.execute(
        "UPDATE page SET properties = json_remove(properties, ?) WHERE source = ?", (path, schema.key)
    )


def _alter(call: Call, schema: Schema, prop: Property, given: Mapping[str, Any]) -> Schema:
    name = given.get("name", prop.name)
    taken = schema.find(name)
    if taken is not None and taken.number != prop.number and taken.name == name:
        raise validation(f"Property name {name} is not unique.")
    changed = replace(prop, name=name, description=given.get("description", prop.description))
    kind = config.given_type(given)
    if kind is None:
        return save(call, schema.with_property(changed))
    if "title" in (kind, prop.type) and kind != prop.type:
        raise validation("Cannot change the type of the title property.")
    if kind != prop.type:
        _forget(call, schema, prop)
        fresh = replace(changed, type=kind, config={})
        fresh = replace(fresh, config=_config(call, schema, fresh, None, given[kind]))
        cells.add_columns(call.db, schema, fresh)
        schema = save(call, schema.with_property(fresh))
        if kind in ("status", "unique_id"):
            _fill(call, schema, fresh)
        return schema
    if kind in _MATERIAL:
        changed = replace(changed, config=_config(call, schema, changed, prop, given[kind]))
    schema = save(call, schema.with_property(changed))
    if kind in OPTION_TYPES or kind == "multi_select":
        _reoption(call, schema, prop, changed)
    return schema


def _config(
    call: Call, schema: Schema, prop: Property, old: Property | None, given: Mapping[str, Any]
) -> dict[str, Any]:
    """The stored configuration of a property from a written one."""
    kind = prop.type
    if kind == "number":
        return {
            "format": given.get("format") or (old.config["format"] if old else config.NUMBER_FORMAT_DEFAULT)
        }
    if kind in ("select", "multi_select"):
        if "options" not in given:
            return dict(old.config) if old else {"options": []}
        return {"options": config.options_after(call, old, given["options"])}
    if kind == "status":
        return config.status_config(call, old, given)
    if kind == "formula":
        expression = given.get("expression", "")
        return {"expression": config.store_expression(schema, call.board.workspace_id, expression)}
    if kind == "unique_id":
        return {"prefix": given.get("prefix")}
    if kind == "relation":
        return _relation(call, old, given)
    if kind == "rollup":
        return _rollup(call, schema, given)
    return {}


def _relation(call: Call, old: Property | None, given: Mapping[str, Any]) -> dict[str, Any]:
    if "data_source_id" in given:
        source = tree.need_source(call, given["data_source_id"])
    elif "database_id" in given:
        database = tree.need_database(call, given["database_id"])
        source = call.db.execute(
            "SELECT * FROM data_source WHERE database_id = ? ORDER BY key", (database["id"],)
        ).fetchone()
    elif old is not None:
        return dict(old.config)
    else:
        raise validation("body failed validation: data_source_id should be defined, instead was `undefined`.")
    kept = old.config.get("synced") if old is not None and old.config["source"] == source["key"] else None
    return {"source": source["key"], "synced": kept}


def _rollup(call: Call, schema: Schema, given: Mapping[str, Any]) -> dict[str, Any]:
    relation = config.find_by(schema, given, "relation")
    if relation is None or relation.type != "relation":
        named = given.get("relation_property_name", given.get("relation_property_id"))
        raise validation(f"Could not find relation property with name or id: {named}")
    rolled = config.find_by(call.schema(relation.config["source"]), given, "rollup")
    if rolled is None:
        named = given.get("rollup_property_name", given.get("rollup_property_id"))
        raise validation(f"Could not find rollup property with name or id: {named}")
    return {"relation": relation.number, "rolled": rolled.number, "function": given["function"]}


def _pair(call: Call, schema: Schema, prop: Property, given: Mapping[str, Any]) -> Schema:
    """The other half of a two-way relation, in the related data source."""
    target = call.schema(prop.config["source"])
    title = call.db.execute("SELECT title_plain FROM data_source WHERE key = ?", (schema.key,)).fetchone()[
        "title_plain"
    ]
    name = given.get("synced_property_name") or f"Related to {title} ({prop.name})"
    taken = {other.name for other in target.properties}
    while name in taken:
        name += " 1"
    half = Property(
        number=next_property_number(call),
        id=call.board.ids.property_id({other.id for other in target.properties}),
        name=name,
        type="relation",
        config={"source": schema.key, "synced": prop.number},
    )
    cells.add_columns(call.db, target, half)
    save(call, target.with_property(half))
    schema = call.schema(schema.key)
    return save(call, schema.with_property(replace(prop, config={**prop.config, "synced": half.number})))


def _fill(call: Call, schema: Schema, prop: Property) -> None:
    """Existing rows get the default status, or their number in creation order."""
    from daemon.local_board.values import default_status

    rows = call.db.execute("SELECT key FROM page WHERE source = ? ORDER BY key", (schema.key,)).fetchall()
    path = "$." + json.dumps(prop.id)
    value: Any = default_status(prop) if prop.type == "status" else None
    for number, row in enumerate(rows, 1):
        if prop.type == "unique_id":
            value = number
        _set(call, schema, prop, row["key"], path, value)
    if prop.type == "unique_id":
        call.db.execute("UPDATE data_source SET next_number = ? WHERE key = ?", (len(rows) + 1, schema.key))


def _set(call: Call, schema: Schema, prop: Property, page: int, path: str, value: Any) -> None:
    call.db.execute(
        "UPDATE page SET properties = json_set(properties, ?, json(?)) WHERE key = ?",
        (path, dumps(value), page),
    )
    columns = cells.cells(prop, value)
    assignments = ", ".join(f"{name} = ?" for name in columns)
    call.db.execute(f"UPDATE {schema.table} SET {assignments} WHERE page = ?", (*columns.values(), page))


def _reoption(call: Call, schema: Schema, old: Property, new: Property) -> None:
    """Rows after a change of options: those that lost theirs are emptied, positions are written again."""
    from daemon.local_board.values import default_status

    before = [option["id"] for option in old.options]
    after = {option["id"] for option in new.options}
    if before == [option["id"] for option in new.options][: len(before)]:
        return
    path = "$." + json.dumps(new.id)
    fallback = default_status(new) if new.type == "status" else None
    sql = "SELECT key, properties -> ? AS value FROM page WHERE source = ?"
    for row in call.db.execute(sql, (path, schema.key)).fetchall():
        value = json.loads(row["value"]) if row["value"] else None
        if isinstance(value, list):
            value = [item for item in value if item in after] or None
        elif value not in after:
            value = fallback
        _set(call, schema, new, row["key"], path, value)
