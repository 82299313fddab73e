"""133 queries recorded against the service, replayed over HTTP: the same rows must come back, in the same
order.

The rows are written through the API, so ids differ and are mapped.  Formulas and rollups are made with
expressions that give the recorded values.  Not one case is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from notion_client import Client

from daemon.local_board import BoardConfig
from daemon.local_board.server import BoardServer
from tests.local_board.conftest import NOW, TOKEN, make_client, make_page, make_source, text

DATA = json.loads((Path(__file__).parent / "data" / "recorded_queries.json").read_text(encoding="utf-8"))
FORMULA_NOW = datetime(2026, 6, 25, 18, 9, tzinfo=UTC)
FORMULAS = {
    "test_query_formula": {
        "String": 'format(prop("Name"))',
        "Number": 'length(prop("Tags"))',
        "Checkbox": 'contains(join(prop("Tags"), ", "), "Done")',
        "Date": 'prop("Date Source")',
    },
    "test_query_new_task_db": {
        "Due by": 'prop("Due Date")',
        "Done": 'prop("Status") == "Done"',
        "Urgency": 'if(prop("Status") == "Done", "✅ Done", "🔥 Overdue")',
    },
}
ROLLED = {
    "Rollup Title": "Title",
    "Rollup Date": "Date",
    "Rollup Date Array": "Date",
    "Rollup Number": "Number",
    "Rollup Number Array": "Number",
}


class World:
    """One recorded data source, written again on a board of its own."""

    def __init__(self, name: str) -> None:
        moment = FORMULA_NOW if "formula" in name else NOW
        self.server = BoardServer(BoardConfig(db=":memory:", token=TOKEN, seed=1, now=lambda: moment))
        self.server.start()
        self.client = make_client(self.server.url, "2026-03-11")
        self.types: dict[str, str] = DATA["worlds"][name]["types"]
        self.source = make_source(self.client, self._schema(name))
        self._relations()
        self.ids: dict[str, str] = {}
        self.rows: dict[str, str] = {}
        for row, content in DATA["worlds"][name]["rows"].items():
            page = make_page(self.client, self.source, self._properties(content["values"], relations=False))
            self.ids[content["id"]] = page["id"]
            self.rows[page["id"]] = row
        for content in DATA["worlds"][name]["rows"].values():
            given = self._properties(content["values"], relations=True)
            if given:
                self.client.pages.update(self.ids[content["id"]], properties=given)

    def _schema(self, name: str) -> dict[str, Any]:
        formulas = FORMULAS.get(name, {})
        out: dict[str, Any] = {}
        for prop, kind in self.types.items():
            if kind == "formula":
                out[prop] = {"formula": {"expression": formulas[prop]}}
            elif kind != "relation" and not kind.startswith("rollup"):
                out[prop] = {kind: {}}
        return out

    def _relations(self) -> None:
        """Relations to the data source itself, and then what rolls them up."""
        for prop, kind in self.types.items():
            if kind == "relation":
                config = {"relation": {"data_source_id": self.source, "single_property": {}}}
                self.client.data_sources.update(self.source, properties={prop: config})
        for prop, kind in self.types.items():
            if kind.startswith("rollup:"):
                rollup = {
                    "relation_property_name": "Relation",
                    "rollup_property_name": ROLLED[prop],
                    "function": kind.partition(":")[2],
                }
                self.client.data_sources.update(self.source, properties={prop: {"rollup": rollup}})

    def _properties(self, values: dict[str, Any], *, relations: bool) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for prop, value in values.items():
            kind = self.types[prop]
            if (kind == "relation") != relations:
                continue
            out[prop] = {kind: self._value(kind, value)}
        return out

    def _value(self, kind: str, value: Any) -> Any:
        if kind in ("title", "rich_text"):
            return text(value)
        if kind in ("select", "status"):
            return {"name": value}
        if kind == "multi_select":
            return [{"name": item} for item in value]
        if kind == "date":
            return {"start": value}
        if kind == "people":
            return [{"id": item} for item in value]
        if kind == "relation":
            return [{"id": self.ids[item]} for item in value]
        if kind == "files":
            return [{"name": "file", "external": {"url": "https://example.com/file.txt"}} for _ in value]
        return value

    def query(self, given: dict[str, Any] | None, sorts: list[dict[str, Any]] | None) -> list[str]:
        """The recorded names of the rows that the board gives."""
        mapped = json.dumps(given)
        for recorded, own in self.ids.items():
            mapped = mapped.replace(recorded, own)
        wanted = {"filter": json.loads(mapped), "sorts": sorts}
        answer = self.client.data_sources.query(self.source, **{k: v for k, v in wanted.items() if v})
        return [self.rows[page["id"]] for page in answer["results"]]

    def close(self) -> None:
        self.client.close()
        self.server.stop()


@pytest.fixture(scope="module")
def worlds() -> Iterator[dict[str, World]]:
    made: dict[str, World] = {}
    yield made
    for world in made.values():
        world.close()


@pytest.mark.parametrize("number", range(len(DATA["cases"])))
def test_recorded_query(number: int, worlds: dict[str, World]) -> None:
    name, given, sorts, expected = DATA["cases"][number]
    if name not in worlds:
        worlds[name] = World(name)
    got = worlds[name].query(given, sorts)
    if sorts:
        assert got == expected
    else:
        assert sorted(got) == sorted(expected)


def test_all_recordings_are_here() -> None:
    assert len(DATA["cases"]) == 133


def test_default_order_is_newest_first(client: Client) -> None:
    source = make_source(client, {"Name": {"title": {}}})
    made = [make_page(client, source, {"Name": {"title": text(str(n))}})["id"] for n in range(5)]
    assert [page["id"] for page in client.data_sources.query(source)["results"]] == made[::-1]
