"""Data-source schemas: the stored form of properties and how they read back.

The order in which properties are served is the service's: by the length of the raw id, then by the id,
which puts `title` behind every ordinary (four-character) id.  Recorded in every answer.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any
from urllib.parse import quote as url_quote
from urllib.parse import unquote

TEXT_TYPES = frozenset({"title", "rich_text", "url", "email", "phone_number"})
OPTION_TYPES = frozenset({"select", "status"})
ID_LIST_TYPES = frozenset({"people", "relation"})
ACTOR_TYPES = frozenset({"created_by", "last_edited_by"})
TIME_TYPES = frozenset({"created_time", "last_edited_time"})
COMPUTED_TYPES = frozenset({"formula", "rollup"})

READ_ONLY_TYPES = ACTOR_TYPES | TIME_TYPES | COMPUTED_TYPES | {"unique_id", "button"}

PROPERTY_TYPES = (
    "number",
    "formula",
    "select",
    "multi_select",
    "status",
    "relation",
    "rollup",
    "unique_id",
    "title",
    "rich_text",
    "url",
    "people",
    "files",
    "email",
    "phone_number",
    "date",
    "checkbox",
    "created_by",
    "created_time",
    "last_edited_by",
    "last_edited_time",
    "button",
    "location",
    "verification",
    "last_visited_time",
    "place",
)
"""Every type that a property configuration may name, in the order in which the service lists them."""

STATUS_GROUPS = (("To-do", "gray"), ("In progress", "blue"), ("Complete", "green"))


@lru_cache(maxsize=4096)
def encode_id(raw: str) -> str:
    """A property id as it is served: percent-encoded ("?B:W" is "%3FB%3AW")."""
    return url_quote(raw, safe="!~*'()")


@dataclass(frozen=True, slots=True, kw_only=True)
class Property:
    """One column of a data source.

    number: unique over the board; names the columns in the rows table (c<number>_…) and keys `link`.
    config: what stands below the type in the answer, except that relation and rollup hold ids only.
    """

    number: int
    id: str
    name: str
    type: str
    description: str | None = None
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def options(self) -> list[dict[str, Any]]:
        """Options in their order (select, multi_select, status)."""
        return list(self.config.get("options", []))

    def option(
        self,
        *,
        name: str | None = None,
        id: str | None = None,  # noqa: A002  # the API's own word
    ) -> dict[str, Any] | None:
        """The option with this id or name."""
        for option in self.config.get("options", []):
            if (id is not None and option["id"] == id) or (id is None and option["name"] == name):
                found: dict[str, Any] = option
                return found
        return None

    def rank(self, option_id: str) -> int | None:
        """Position of an option, which is what rows hold and sorts compare."""
        for position, option in enumerate(self.config.get("options", [])):
            if option["id"] == option_id:
                return position
        return None

    def stored(self) -> dict[str, Any]:
        """The JSON kept in `data_source.properties`."""
        return {
            "number": self.number,
            "id": self.id,
            "name": self.name,
            "type": self.type,
            "description": self.description,
            "config": self.config,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """A data source's identity and properties, parsed.  Immutable: a change makes a new one with a new
    version.
    """

    key: int
    id: str
    database_id: str
    version: int
    properties: tuple[Property, ...]

    @property
    def table(self) -> str:
        """Name of the rows table."""
        return f"rows_{self.key}"

    def served_order(self) -> list[Property]:
        """Properties in the order in which answers list them."""
        return sorted(self.properties, key=lambda p: (len(p.id), p.id))

    def find(self, key: str) -> Property | None:
        """The property with this name or id (raw or percent-encoded).  A name wins over an id."""
        for prop in self.properties:
            if prop.name == key:
                return prop
        raw = unquote(key)
        for prop in self.properties:
            if prop.id in (key, raw):
                return prop
        return None

    def by_number(self, number: int) -> Property | None:
        """The property that owns these columns."""
        return next((prop for prop in self.properties if prop.number == number), None)

    def by_id(self, raw: str) -> Property | None:
        """The property with this raw id."""
        return next((prop for prop in self.properties if prop.id == raw), None)

    @property
    def title(self) -> Property:
        """The one title property."""
        return next(prop for prop in self.properties if prop.type == "title")

    def with_property(self, prop: Property) -> Schema:
        """This schema with one property added or replaced (same number)."""
        others = tuple(p for p in self.properties if p.number != prop.number)
        return replace(self, properties=(*others, prop))

    def without(self, prop: Property) -> Schema:
        """This schema with one property gone."""
        return replace(self, properties=tuple(p for p in self.properties if p.number != prop.number))


def parse_schema(row: Any) -> Schema:
    """A schema from its `data_source` row."""
    properties = tuple(Property(**item) for item in json.loads(row["properties"]))
    return Schema(
        key=row["key"],
        id=row["id"],
        database_id=row["database_id"],
        version=row["version"],
        properties=properties,
    )
