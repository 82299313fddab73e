"""Property configurations: what may be written for each type, and how each reads back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from daemon.local_board import richtext, shapes
from daemon.local_board.board import Call
from daemon.local_board.errors import validation
from daemon.local_board.formula_eval import problem
from daemon.local_board.schema import PROPERTY_TYPES, STATUS_GROUPS, Property, Schema, encode_id

NUMBER_FORMAT_DEFAULT = "number"

ROLLUP_FUNCTIONS = (
    "count",
    "count_values",
    "empty",
    "not_empty",
    "unique",
    "show_unique",
    "percent_empty",
    "percent_not_empty",
    "sum",
    "average",
    "median",
    "min",
    "max",
    "range",
    "earliest_date",
    "latest_date",
    "date_range",
    "checked",
    "unchecked",
    "percent_checked",
    "percent_unchecked",
    "count_per_group",
    "percent_per_group",
    "show_original",
)

_ROLLUP_NAMES = (
    "relation_property_name",
    "relation_property_id",
    "rollup_property_name",
    "rollup_property_id",
)

_option = {
    "name": shapes.string(100),
    "id": shapes.string(),
    "color": shapes.enum(*richtext.COLORS),
    "description": shapes.nullable(shapes.string()),
    "group": shapes.enum(*(name for name, _ in STATUS_GROUPS)),
}


def _options(option: shapes.Check, **others: shapes.Check) -> shapes.Check:
    return shapes.obj({"options": shapes.array(option), **others})


def _configs(option: shapes.Check) -> dict[str, shapes.Check]:
    """Checks of what stands below each type; options are written as `option` says."""
    return {
        "number": shapes.obj({"format": shapes.string()}),
        "formula": shapes.obj({"expression": shapes.string()}),
        "select": _options(option),
        "multi_select": _options(option),
        "status": _options(option, groups=shapes.anything),
        "relation": _relation,
        "rollup": _rollup,
        "unique_id": shapes.obj({"prefix": shapes.nullable(shapes.string())}),
    }


_halves: dict[str, shapes.Check] = {
    "single_property": shapes.obj({}),
    "dual_property": shapes.obj(
        {"synced_property_id": shapes.string(), "synced_property_name": shapes.string()}
    ),
}
_relation = shapes.any_of(
    *(
        shapes.obj(
            {target: shapes.uuid, "type": shapes.enum(half), half: check, **others},
            (target, half),
        )
        # The API's own name comes first; the database of one data source is taken for it as well.
        for target, others in (
            ("data_source_id", {"database_id": shapes.uuid}),
            ("database_id", {}),
        )
        for half, check in _halves.items()
    )
)
_rollup = shapes.any_of(
    *(
        shapes.obj(
            {
                "function": shapes.enum(*ROLLUP_FUNCTIONS),
                **dict.fromkeys((*needed, *_ROLLUP_NAMES), shapes.string()),
            },
            ("function", *needed),
        )
        for needed in (
            ("relation_property_name", "rollup_property_name"),
            ("relation_property_id", "rollup_property_name"),
            ("relation_property_name", "rollup_property_id"),
            ("relation_property_id", "rollup_property_id"),
        )
    )
)
_empty = shapes.obj({})
_MEMBERS = {"type": shapes.anything, "name": shapes.string(), "id": shapes.anything}
_DESCRIPTION = {"description": shapes.nullable(shapes.string(280))}


def _type_in(value: Mapping[str, Any]) -> str | None:
    return next((name for name in PROPERTY_TYPES if name in value), None)


def _typed(option: shapes.Check) -> shapes.Check:
    configs = _configs(option)
    return shapes.one_member(
        {name: {name: configs.get(name, _empty), **_MEMBERS, **_DESCRIPTION} for name in PROPERTY_TYPES}
    )


_new = _typed(shapes.obj(_option, ("name",)))
_changed = _typed(shapes.one_member({"name": _option, "id": _option}))
_rename = shapes.obj({**_MEMBERS, **_DESCRIPTION})

check_new = shapes.members(_new)
"""`properties` when a data source is made: a type with its configuration for each name."""


def _change(value: Any, path: shapes.Path) -> list[shapes.Problem]:
    """null deletes, {name} renames, a type changes."""
    if value is None:
        return []
    mere = isinstance(value, dict) and _type_in(value) is None
    return (_rename if mere else _changed)(value, path)


check_change = shapes.members(_change)
"""`properties` when a data source is changed."""


def given_type(value: Mapping[str, Any]) -> str | None:
    """The type that a written property configuration names, or None for a mere rename."""
    return _type_in(value)


def new_option(
    call: Call, name: str, *, color: str | None = None, description: str | None = None
) -> dict[str, Any]:
    """A fresh option.  Without a colour the service picks one at random."""
    return {
        "id": call.board.ids.uuid4(),
        "name": name,
        "color": color or call.board.ids.choice(list(richtext.COLORS)),
        "description": description,
    }


def options_after(call: Call, old: Property | None, given: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The declarative replacement of a list of options.

    Options are matched by id, else by name; a matched one keeps its id, its colour (changing it is
    refused) and its name (renaming is a silent no-op); those not listed are gone.  (Recorded and reported
    behaviour.)
    """
    out: list[dict[str, Any]] = []
    for item in given:
        name = item.get("name")
        if name is not None and "," in name:
            raise validation(f"Invalid select option, commas not allowed: {name}")
        known = None
        if old is not None:
            known = old.option(id=item["id"]) if item.get("id") else None
            known = known or (old.option(name=name) if name is not None else None)
        if known is None and name is None:
            raise validation(f'Invalid select option. Select option "{item["id"]}" does not exist.')
        if known is None:
            created = new_option(
                call, item["name"], color=item.get("color") or "default", description=item.get("description")
            )
            out.append(created)
            continue
        if item.get("color") and item["color"] != known["color"]:
            raise validation(f"Cannot update color of select with id: {known['id']}.")
        out.append({**known, "description": item.get("description", known.get("description"))})
    return out


def status_config(call: Call, old: Property | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Options and groups of a status property.

    Without options there are the three that the product gives; options without a group land in To-do
    (recorded).
    """
    listed = given.get("options")
    if listed is None and old is not None:
        return dict(old.config)
    if not listed:
        plain = (
            ("Not started", "default", "To-do"),
            ("In progress", "blue", "In progress"),
            ("Done", "green", "Complete"),
        )
        listed = [{"name": name, "color": color, "group": group} for name, color, group in plain]
    options = options_after(call, old, listed)
    old_groups = old.config["groups"] if old is not None else []
    ids = {group["name"]: group["id"] for group in old_groups}
    member = {option_id: group["name"] for group in old_groups for option_id in group["option_ids"]}
    placed = {
        option["id"]: item.get("group") or member.get(option["id"], STATUS_GROUPS[0][0])
        for option, item in zip(options, listed, strict=True)
    }
    groups = [
        {
            "id": ids.get(name) or call.board.ids.uuid4(),
            "name": name,
            "color": color,
            "option_ids": [option["id"] for option in options if placed[option["id"]] == name],
        }
        for name, color in STATUS_GROUPS
    ]
    return {"options": options, "groups": groups}


def store_expression(schema: Schema, workspace_id: str, expression: str) -> str:
    """A formula with prop("Name") replaced by the reference by id that the service keeps (renames do not
    break it).
    """

    def reference(match: re.Match[str]) -> str:
        prop = schema.find(match.group(1).replace('\\"', '"'))
        if prop is None:
            raise validation(f"Type error with formula: Undefined property {match.group(1)}.")
        return f"{{{{notion:block_property:{encode_id(prop.id)}:{schema.id}:{workspace_id}}}}}"

    stored = re.sub(r'prop\(\s*"((?:[^"\\]|\\.)*)"\s*\)', reference, expression)
    wrong = problem(stored)
    if wrong is not None:
        raise validation(f"Type error with formula: {wrong}.")
    return stored


def served_config(call: Call, schema: Schema, prop: Property) -> dict[str, Any]:
    """A property of a data source as answers show it."""
    config: dict[str, Any] = dict(prop.config)
    if prop.type == "relation":
        config = _served_relation(call, prop)
    elif prop.type == "rollup":
        config = _served_rollup(call, schema, prop)
    elif prop.type == "unique_id":
        config = {"prefix": prop.config.get("prefix")}
    return {
        "id": encode_id(prop.id),
        "name": prop.name,
        "description": prop.description,
        "type": prop.type,
        prop.type: config,
    }


def _served_relation(call: Call, prop: Property) -> dict[str, Any]:
    target = call.schema(prop.config["source"])
    out: dict[str, Any] = {"database_id": target.database_id, "data_source_id": target.id}
    synced = target.by_number(prop.config["synced"]) if prop.config.get("synced") else None
    if synced is None:
        return {**out, "type": "single_property", "single_property": {}}
    names = {"synced_property_name": synced.name, "synced_property_id": encode_id(synced.id)}
    return {**out, "type": "dual_property", "dual_property": names}


def _served_rollup(call: Call, schema: Schema, prop: Property) -> dict[str, Any]:
    relation = schema.by_number(prop.config["relation"])
    rolled = None
    if relation is not None:
        rolled = call.schema(relation.config["source"]).by_number(prop.config["rolled"])
    return {
        "rollup_property_name": rolled.name if rolled else "",
        "relation_property_name": relation.name if relation else "",
        "rollup_property_id": rolled.id if rolled else "",
        "relation_property_id": relation.id if relation else "",
        "function": prop.config["function"],
    }


def find_by(schema: Schema, given: Mapping[str, Any], what: str) -> Property | None:
    """The property that `<what>_property_id` or `<what>_property_name` names."""
    identifier = given.get(f"{what}_property_id")
    if identifier is not None:
        found = schema.by_id(identifier) or schema.by_id(unquote(identifier))
        if found is not None:
            return found
    name = given.get(f"{what}_property_name")
    return schema.find(name) if name is not None else None
