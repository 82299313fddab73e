"""The query engine against a second, simple evaluator, on generated rows, filters and sorts of every property
type that can be filtered, over real HTTP.

Ids are not known before a row is made: filters name users and related pages as "user:0" and "page:1", and
`real` puts the ids in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from daemon.local_board import BoardConfig
from daemon.local_board.filters import DATE_SPANS, DATE_WORDS
from daemon.local_board.filters import KINDS as FILTER_KINDS
from daemon.local_board.server import BoardServer
from tests.local_board import evaluator
from tests.local_board.conftest import NOW, ROOT, TOKEN, text

OPTIONS = ["Critical", "High", "Low"]
KINDS = {
    "Name": "title",
    "Text": "rich_text",
    "N": "number",
    "C": "checkbox",
    "P": "select",
    "T": "multi_select",
    "D": "date",
    "U": "url",
    "E": "email",
    "Phone": "phone_number",
    "S": "status",
    "F": "files",
    "R": "relation",
    "Who": "people",
    "Id": "unique_id",
    "At": "created_time",
    "By": "created_by",
    "Edited": "last_edited_time",
    "Editor": "last_edited_by",
    "V": "verification",
    "Formula": "formula",
    "Words": "formula",
    "Later": "formula",
    "Yes": "formula",
    "Sum": "rollup",
    "First": "rollup",
    "All": "rollup",
}
FORMULAS = {
    "Formula": 'if(prop("C"), 1, 2)',
    "Words": 'prop("Text")',
    "Later": 'dateAdd(prop("D"), 1, "days")',
    "Yes": 'not prop("C")',
}
ROLLUPS = {"Sum": ("N", "sum"), "First": ("D", "earliest_date"), "All": ("N", "show_original")}
USERS = ["user:0", "user:1"]
"""The bot and the person of a new board."""

RELATED: list[dict[str, Any]] = [
    {"N": 1, "D": "2026-06-27"},
    {"N": 42, "D": "2026-06-26"},
    {"N": None, "D": None},
]
"""The rows that relations point at."""

PAGES = [f"page:{number}" for number in range(len(RELATED))]
LINKS = ["", "a@b.org", "A@b.org", "https://a.org/2", "+49 30 1"]
WORDS = [
    "",
    "a",
    "A",
    "ab",
    "Article 2",
    "article 10",
    "Ä",
    "ä b",
    "100%",
    "x_y",
    "'",
    "𝒳",
    "item2",
    "item10",
    "  ",
]
DATES = [
    "2026-06-27", "2026-06-26", "2026-06-20", "2026-07-04", "2026-05-27", "2025-06-27", "2027-06-27",
    "2026-06-27T00:00:00Z", "2026-06-27T17:01:00Z", "2026-06-27T18:01:30+01:00", "2026-06-27T23:30:00-05:00",
    "2026-06-26T23:59:59Z",
]  # fmt: skip
STAMPS = ["2026-06-27T17:01:00Z", "2026-06-27T00:00:00Z", "2026-06-26T23:59:00Z", "2026-05-01T12:00:00Z"]
NUMBERS = [None, -1, 0, 1, 1.5, 42, 1e10]

row_values = st.fixed_dictionaries(
    {
        "Name": st.sampled_from(WORDS),
        "Text": st.sampled_from(WORDS),
        "N": st.sampled_from(NUMBERS),
        "C": st.booleans(),
        "P": st.sampled_from([None, *OPTIONS]),
        "T": st.lists(st.sampled_from(OPTIONS), unique=True, max_size=3),
        "D": st.sampled_from([None, *DATES]),
        "U": st.sampled_from(LINKS),
        "E": st.sampled_from(LINKS),
        "Phone": st.sampled_from(LINKS),
        "S": st.sampled_from(OPTIONS),
        "F": st.sampled_from([[], ["a.txt"]]),
        "R": st.lists(st.sampled_from(PAGES), unique=True, max_size=3),
        "Who": st.lists(st.sampled_from(USERS), unique=True, max_size=2),
        "At": st.sampled_from(STAMPS),
        "By": st.sampled_from(USERS),
        "Edited": st.sampled_from(STAMPS),
        "Editor": st.sampled_from(USERS),
        "V": st.sampled_from([None, "verified"]),
    }
)


def computed(row: dict[str, Any], number: int) -> dict[str, Any]:
    """A row with what the board works out: number, formulas, rollups, and timestamps by their names."""
    rolled = [RELATED[PAGES.index(page)] for page in row["R"]]
    day = evaluator.instant(row["D"]) if row["D"] else None
    return {
        **row,
        "Id": number + 1,
        "Formula": 1 if row["C"] else 2,
        "Words": row["Text"],
        "Later": None if day is None else (day + timedelta(1)).isoformat(),
        "Yes": not row["C"],
        "Sum": sum(one["N"] or 0 for one in rolled),
        "First": min((one["D"] for one in rolled if one["D"]), default=None),
        "All": [one["N"] for one in rolled],
        "created_time": row["At"],
        "last_edited_time": row["Edited"],
    }


EMPTINESS = st.sampled_from([{"is_empty": True}, {"is_not_empty": True}])


def operators(names: list[str], operand: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """{operator: operand} for one of the names."""
    return st.builds(lambda name, value: {name: value}, st.sampled_from(names), operand)


texts = operators(
    ["equals", "does_not_equal", "contains", "does_not_contain", "starts_with", "ends_with"],
    st.sampled_from(WORDS),
)
links = operators(
    ["equals", "does_not_equal", "contains", "does_not_contain", "starts_with", "ends_with"],
    st.sampled_from([*LINKS, "A", "org"]),
)
comparisons = ["greater_than", "less_than", "greater_than_or_equal_to", "less_than_or_equal_to"]
numbers = operators(["equals", "does_not_equal", *comparisons], st.sampled_from(NUMBERS[1:]))
one_or_many = st.one_of(st.sampled_from(OPTIONS), st.lists(st.sampled_from(OPTIONS), max_size=2))
dates = st.one_of(
    operators(
        ["equals", "before", "after", "on_or_before", "on_or_after"],
        st.sampled_from([*DATES, *DATE_WORDS]),
    ),
    operators(list(DATE_SPANS), st.just({})),
)
members = ["contains", "does_not_contain"]
people = operators(members, st.sampled_from(USERS)) | EMPTINESS
CONDITIONS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "title": texts | EMPTINESS,
    "rich_text": texts | EMPTINESS,
    "number": numbers | EMPTINESS,
    "checkbox": operators(["equals", "does_not_equal"], st.booleans()),
    "select": operators(["equals", "does_not_equal"], one_or_many) | EMPTINESS,
    "multi_select": operators(["contains", "does_not_contain"], one_or_many) | EMPTINESS,
    "date": dates | EMPTINESS,
    **dict.fromkeys(("url", "email", "phone_number"), links | EMPTINESS),
    "status": operators(["equals", "does_not_equal"], one_or_many) | EMPTINESS,
    "files": EMPTINESS,
    "relation": operators(members, st.sampled_from(PAGES)) | EMPTINESS,
    **dict.fromkeys(("people", "created_by", "last_edited_by"), people),
    "unique_id": numbers | EMPTINESS,
    **dict.fromkeys(("created_time", "last_edited_time"), dates | EMPTINESS),
    "verification": operators(["status", "does_not_equal"], st.sampled_from(["verified", "none", "expired"])),
}


def wrapped(name: str, inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """{name: inner}."""
    return inner.map(lambda value: {name: value})


COMPUTED: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "Formula": wrapped("number", numbers | EMPTINESS),
    "Words": wrapped("string", texts | EMPTINESS),
    "Later": wrapped("date", dates | EMPTINESS),
    "Yes": wrapped("checkbox", CONDITIONS["checkbox"]),
    "Sum": wrapped("number", numbers | EMPTINESS),
    "First": wrapped("date", dates | EMPTINESS),
    "All": st.sampled_from(["any", "every", "none"]).flatmap(
        lambda mode: wrapped(mode, wrapped("number", numbers | EMPTINESS))
    ),
}
by_property = st.sampled_from(sorted(KINDS)).flatmap(
    lambda name: (COMPUTED[name] if name in COMPUTED else CONDITIONS[KINDS[name]]).map(
        lambda condition: {"property": name, KINDS[name]: condition}
    )
)
by_timestamp = st.sampled_from(["created_time", "last_edited_time"]).flatmap(
    lambda name: CONDITIONS[name].map(lambda condition: {"timestamp": name, name: condition})
)
leaves = by_property | by_timestamp


def compounds(members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """{and: […]} or {or: […]}."""
    return st.builds(
        lambda glue, inner: {glue: inner}, st.sampled_from(["and", "or"]), st.lists(members, max_size=3)
    )


filters = st.one_of(st.none(), leaves, compounds(st.one_of(leaves, compounds(leaves))))
SORTABLE = ["Name", "Text", "N", "C", "P", "D", "U", "E", "Phone", "S", "Id", "At", "Edited", *COMPUTED]
SORTABLE.remove("All")  # a list has no order of its own that anybody recorded
sorts = st.lists(
    st.fixed_dictionaries(
        {"property": st.sampled_from(SORTABLE), "direction": st.sampled_from(["ascending", "descending"])}
    ),
    max_size=3,
    unique_by=lambda item: item["property"],
)


def written(values: dict[str, Any]) -> dict[str, Any]:
    """The values as the API takes them, ids still by their names."""
    return {
        "Name": {"title": text(values["Name"])},
        "Text": {"rich_text": text(values["Text"])},
        "N": {"number": values["N"]},
        "C": {"checkbox": values["C"]},
        "P": {"select": {"name": values["P"]} if values["P"] else None},
        "T": {"multi_select": [{"name": name} for name in values["T"]]},
        "D": {"date": {"start": values["D"]} if values["D"] else None},
        "U": {"url": values["U"] or None},
        "E": {"email": values["E"] or None},
        "Phone": {"phone_number": values["Phone"] or None},
        "S": {"status": {"name": values["S"]}},
        "F": {"files": [{"name": name, "external": {"url": "https://a.org/a"}} for name in values["F"]]},
        "R": {"relation": [{"id": name} for name in values["R"]]},
        "Who": {"people": [{"id": name} for name in values["Who"]]},
        "V": {"verification": {"state": values["V"] or "unverified"}},
    }


@dataclass
class World:
    """A board whose clock the test sets, and the ids behind "user:0" and "page:1"."""

    http: httpx.Client
    clock: dict[str, datetime]
    ids: dict[str, str] = field(default_factory=dict)

    def call(self, method: str, path: str, body: Any, by: str = "user:0") -> Any:
        """The answer to a request of a user."""
        headers = {"X-Board-Actor": self.ids.get(by, "")}
        answer = self.http.request(method, path, json=self.real(body), headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def real(self, value: Any) -> Any:
        """A body with ids in the place of names."""
        if isinstance(value, dict):
            return {name: self.real(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self.real(inner) for inner in value]
        return self.ids.get(value, value) if isinstance(value, str) else value

    def source(self, properties: dict[str, Any]) -> str:
        """A new data source."""
        body = {
            "parent": {"type": "page_id", "page_id": ROOT},
            "initial_data_source": {"properties": properties},
        }
        return str(self.call("POST", "/v1/databases", body)["data_sources"][0]["id"])

    def page(self, source: str, properties: dict[str, Any], at: str, by: str) -> str:
        """A new row, made at a time by a user."""
        self.clock["now"] = datetime.fromisoformat(at)
        body = {"parent": {"data_source_id": source}, "properties": properties}
        return str(self.call("POST", "/v1/pages", body, by)["id"])

    def query(self, source: str, **body: Any) -> Any:
        """A query at the moment at which the relative dates are meant."""
        self.clock["now"] = NOW
        return self.call("POST", f"/v1/data_sources/{source}/query", {k: v for k, v in body.items() if v})


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    clock = {"now": NOW}
    config = BoardConfig(db=":memory:", token=TOKEN, seed=5, now=lambda: clock["now"])
    headers = {"Authorization": f"Bearer {TOKEN}", "Notion-Version": "2026-03-11"}
    with (
        BoardServer(config) as server,
        httpx.Client(base_url=server.url, headers=headers, trust_env=False) as plain,
    ):
        made = World(plain, clock)
        users = plain.get("/v1/users").json()["results"]
        made.ids |= {f"user:{int(user['type'] == 'person')}": user["id"] for user in users}
        yield made


@pytest.fixture(scope="module")
def related(world: World) -> str:
    """The data source that relations point at, with its rows."""
    source = world.source({"Name": {"title": {}}, "N": {"number": {}}, "D": {"date": {}}})
    for name, row in zip(PAGES, RELATED, strict=True):
        properties = {"N": {"number": row["N"]}, "D": {"date": row["D"] and {"start": row["D"]}}}
        world.ids[name] = world.page(source, properties, STAMPS[0], "user:0")
    return source


def fresh(world: World, related: str, rows: list[dict[str, Any]]) -> tuple[str, dict[str, int]]:
    """A data source with these rows; page id to row number."""
    stored = {name: kind for name, kind in KINDS.items() if kind not in ("formula", "rollup")}
    schema: dict[str, Any] = {name: {kind: {}} for name, kind in stored.items()}
    schema["P"] = {"select": {"options": [{"name": name} for name in OPTIONS]}}
    schema["S"] = {"status": {"options": [{"name": name} for name in OPTIONS]}}
    schema["R"] = {"relation": {"data_source_id": related, "single_property": {}}}
    for name, expression in FORMULAS.items():
        schema[name] = {"formula": {"expression": expression}}
    for name, (rolled, function) in ROLLUPS.items():
        parts = {"relation_property_name": "R", "rollup_property_name": rolled, "function": function}
        schema[name] = {"rollup": parts}
    source = world.source(schema)
    out = {}
    for number, row in enumerate(rows):
        page = world.page(source, written(row), row["At"], row["By"])
        world.clock["now"] = datetime.fromisoformat(row["Edited"])
        world.call("PATCH", f"/v1/pages/{page}", {"is_locked": False}, row["Editor"])
        out[page] = number
    return source, out


STEADY: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "derandomize": True,
    "phases": (Phase.explicit, Phase.generate),
}
"""The same examples every time.  A failing one is told as it was drawn: making it smaller takes minutes."""


def test_every_kind_of_filter_is_drawn() -> None:
    """A kind that the grammar gains has to be drawn here too."""
    assert set(KINDS.values()) == set(FILTER_KINDS)


@settings(max_examples=40, **STEADY)
@given(
    rows=st.lists(row_values, min_size=1, max_size=8),
    asked=st.lists(st.tuples(filters, sorts), min_size=40, max_size=40),
)
def test_same_rows_in_the_same_order(
    world: World, related: str, rows: list[dict[str, Any]], asked: list[Any]
) -> None:
    source, ids = fresh(world, related, rows)
    numbered = [{**computed(row, number), "#": number} for number, row in enumerate(rows)]
    for wanted, order in asked:
        hits = [row for row in numbered if evaluator.matches(row, wanted, NOW.date())]
        expected = [row["#"] for row in evaluator.order(hits, order, KINDS, OPTIONS)]
        answer = world.query(source, filter=wanted, sorts=order)
        assert [ids[page["id"]] for page in answer["results"]] == expected, (wanted, order)


@settings(max_examples=15, **STEADY)
@given(rows=st.lists(row_values, min_size=2, max_size=8), wanted=filters, order=sorts, size=st.integers(1, 3))
def test_pages_join_to_the_whole(
    world: World, related: str, rows: list[dict[str, Any]], wanted: Any, order: list[Any], size: int
) -> None:
    source, _ = fresh(world, related, rows)
    body = {"filter": wanted, "sorts": order}
    whole = [page["id"] for page in world.query(source, **body)["results"]]
    joined: list[str] = []
    cursor = None
    while True:
        answer = world.query(source, page_size=size, start_cursor=cursor, **body)
        joined.extend(page["id"] for page in answer["results"])
        if not answer["has_more"]:
            break
        cursor = answer["next_cursor"]
    assert joined == whole
