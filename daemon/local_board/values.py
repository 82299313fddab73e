"""Property values: the shapes that may be written and the form in which they are stored.

Stored forms: title and rich_text the served rich text; select and status an option id; multi_select option
ids; people and relation ids; date {start, end, time_zone: null}; everything else as served.  None is
empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from daemon.local_board import files, richtext, shapes
from daemon.local_board.errors import validation
from daemon.local_board.ids import parse_id
from daemon.local_board.schema import Property
from daemon.local_board.times import known_zone, parse_moment, stored_date

_name = shapes.string(100)
_looks = {"color": shapes.enum(*richtext.COLORS), "description": shapes.nullable(shapes.string())}
_option = shapes.one_member(
    {
        "id": {"id": shapes.string(), "name": _name, **_looks},
        "name": {"name": _name, "id": shapes.string(), **_looks},
    }
)
_reference = shapes.obj({"id": shapes.uuid}, ("id",), open_ended=True)


def _iso_date(value: Any, path: shapes.Path) -> list[shapes.Problem]:
    if not isinstance(value, str):
        return shapes.wrong(path, value, "a string")
    return [] if parse_moment(value) else shapes.wrong(path, value, "a valid ISO 8601 date string")


def _zone(value: Any, path: shapes.Path) -> list[shapes.Problem]:
    fits = isinstance(value, str) and known_zone(value)
    return [] if fits else shapes.wrong(path, value, "a valid IANA time zone")


check_date = shapes.obj(
    {"start": _iso_date, "end": shapes.nullable(_iso_date), "time_zone": shapes.nullable(_zone)}, ("start",)
)
"""A date value: {start, end?, time_zone?} in ISO 8601."""

_place = shapes.obj(
    {
        "lat": shapes.number,
        "lon": shapes.number,
        **{
            name: shapes.nullable(shapes.string())
            for name in ("name", "address", "aws_place_id", "google_place_id")
        },
    },
    ("lat", "lon"),
)
_verification = shapes.obj(
    {
        "state": shapes.enum("verified", "unverified"),
        "date": shapes.nullable(check_date),
        "verified_by": shapes.anything,
    },
    ("state",),
)

WRITABLE: dict[str, shapes.Check] = {
    "title": richtext.check,
    "rich_text": richtext.check,
    "number": shapes.nullable(shapes.number),
    "url": shapes.nullable(shapes.string(2000)),
    "select": shapes.nullable(_option),
    "multi_select": shapes.array(_option),
    "people": shapes.array(_reference),
    "email": shapes.nullable(shapes.string(200)),
    "phone_number": shapes.nullable(shapes.string(200)),
    "date": shapes.nullable(check_date),
    "checkbox": shapes.boolean,
    "relation": shapes.array(_reference),
    "files": shapes.array(files.check_named),
    "status": shapes.nullable(_option),
    "place": shapes.nullable(_place),
    "verification": shapes.nullable(_verification),
}
"""Types that a page write may set, in the order in which a refusal lists them."""


_typed = shapes.union(WRITABLE, extra=("type", "id", "name", "has_more"))


def _property(value: Any, path: shapes.Path) -> list[shapes.Problem]:
    # The service takes a bare array for a title ("properties": {"title": [...]}).
    return richtext.check(value, path) if isinstance(value, list) else _typed(value, path)


check_properties = shapes.members(_property)
"""`properties` of a page write, before the schema is known."""


def written_type(payload: Any) -> str:
    """The type that a checked property payload claims to be."""
    if isinstance(payload, list):
        return "title"
    return next(name for name in WRITABLE if name in payload)


def written_value(payload: Any) -> Any:
    """The value inside a checked property payload."""
    return payload if isinstance(payload, list) else payload[written_type(payload)]


def store_date(value: dict[str, Any]) -> dict[str, Any]:
    """A date value as it reads back: minutes, offsets, no zone name."""
    zone = value.get("time_zone")
    end = value.get("end")
    start = stored_date(value["start"], zone)
    return {"start": start, "end": stored_date(end, zone) if end else None, "time_zone": None}


def find_option(prop: Property, given: Mapping[str, Any]) -> dict[str, Any] | None:
    """The existing option that a written one means: by id, else by name."""
    if given.get("id"):
        found = prop.option(id=given["id"])
        if found is not None:
            return found
    return prop.option(name=given["name"]) if given.get("name") else None


def store_status(prop: Property, value: Mapping[str, Any] | None) -> str | None:
    """The id of a status option.  null means the default: the first option of the To-do group."""
    if value is None:
        return default_status(prop)
    found = find_option(prop, value)
    if found is None:
        named = value.get("name", value.get("id"))
        raise validation(f'Invalid status option. Status option "{named}" does not exist".')
    option_id: str = found["id"]
    return option_id


def default_status(prop: Property) -> str | None:
    """What a page has that never set its status."""
    for group in prop.config.get("groups", []):
        if group["option_ids"]:
            option_id: str = group["option_ids"][0]
            return option_id
    options = prop.options
    return options[0]["id"] if options else None


def check_select_name(name: str | None) -> str:
    """The name of an option that is to be created: a comma would split it in two on export, so it is
    refused.
    """
    if not name:
        raise validation("Invalid select option, name must not be empty.")
    if "," in name:
        raise validation(f"Invalid select option, commas not allowed: {name}")
    return name


def store_reference_ids(value: list[dict[str, Any]]) -> list[str]:
    """Ids of people or related pages, in written order, without repeats."""
    out: dict[str, None] = {}
    for item in value:
        identifier = parse_id(item["id"])
        if identifier is not None:
            out[identifier] = None
    return list(out)


def store_plain(prop: Property, value: Any) -> Any:
    """Stored form of the types that need nothing but their own value."""
    kind = prop.type
    if kind in ("title", "rich_text"):
        return richtext.normalise(value) or None
    if kind == "date":
        return store_date(value) if value else None
    if kind in ("url", "email", "phone_number"):
        return value or None
    if kind == "checkbox":
        return bool(value)
    if kind == "people":
        return store_reference_ids(value) or None
    if kind == "place" and value is not None:
        members = ("lat", "lon", "name", "address", "aws_place_id", "google_place_id")
        return {name: value.get(name) for name in members}
    if kind == "verification" and value is not None:
        date = value.get("date")
        return {"state": value["state"], "verified_by": None, "date": store_date(date) if date else None}
    return value
