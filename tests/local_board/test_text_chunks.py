"""Conditions that look into the texts of every row: each way to the rows gives what the simple evaluator
gives, and copies of texts are never older than their rows.

Bounds are set so low that a few rows go the ways of a large data source.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.local_board import BoardConfig, query_rows, text_chunks
from daemon.local_board.board import Board
from daemon.local_board.server import BoardServer
from tests.local_board import evaluator
from tests.local_board.conftest import NOW, TOKEN, make_client, make_page, make_source, text
from tests.local_board.test_query_properties import (
    KINDS,
    LINKS,
    OPTIONS,
    STEADY,
    WORDS,
    World,
    computed,
    fresh,
    related,
    row_values,
    sorts,
    world,
)

__all__ = ["related", "world"]

WAYS = {
    "rows in front": {"_DENSE_FROM": 0, "_DENSE_ONE_IN": 1_000_000},
    "listed keys": {"_DENSE_FROM": 1_000_000},
    "a byte for each key": {"_DENSE_FROM": 1_000_000, "LISTED": 0},
}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few rows are many, chunks are small, and one way is the only one."""
    monkeypatch.setattr(query_rows, "LARGE_FROM", 0)
    monkeypatch.setattr(query_rows, "_RARE_ONE_IN", 1_000_000)
    monkeypatch.setattr(text_chunks, "CHUNK", 3)
    monkeypatch.setattr(text_chunks, "MADE_FROM", 1)
    monkeypatch.setattr(text_chunks, "_LOOPED", 1)
    for name, value in WAYS[request.param].items():
        monkeypatch.setattr(query_rows, name, value)


OPERATORS = ["contains", "does_not_contain", "starts_with", "ends_with", "does_not_equal"]
STRANGE = ["\x1e", "a\x1eb", ".*", "(x", "\\d", "o\nn", "İ", "i̇", "ß", "SS", "Σ", "ς", "K", "𝒳"]
"""The mark of chunks, signs of patterns, and letters whose case is not a matter of one letter for one."""

texts = st.one_of(
    st.builds(
        lambda name, kind, operator, operand: {"property": name, kind: {operator: operand}},
        *(st.sampled_from(["Name", "Text", "U"]), st.just("rich_text"), st.sampled_from(OPERATORS)),
        st.sampled_from([*WORDS, *LINKS, *STRANGE, "e", "1", "article"]),
    ),
    st.sampled_from(["Name", "Text", "U"]).flatmap(
        lambda name: st.sampled_from(["is_empty", "is_not_empty"]).map(
            lambda operator: {"property": name, "rich_text": {operator: True}}
        )
    ),
    st.builds(
        lambda operator, operand: {"property": "T", "multi_select": {operator: operand}},
        st.sampled_from(["contains", "does_not_contain"]),
        st.one_of(st.sampled_from(OPTIONS), st.lists(st.sampled_from(OPTIONS), max_size=2)),
    ),
)
others = st.one_of(
    st.sampled_from(OPTIONS).map(lambda name: {"property": "S", "status": {"does_not_equal": name}}),
    st.booleans().map(lambda value: {"property": "C", "checkbox": {"equals": value}}),
)
filters = st.one_of(
    texts,
    st.builds(
        lambda glue, first, rest: {glue: [first, *rest]},
        *(st.sampled_from(["and", "or"]), texts, st.lists(texts | others, max_size=2)),
    ),
    st.builds(lambda one, two, other: {"and": [other, {"or": [one, two]}]}, texts, texts, others),
)
strange_rows = row_values.flatmap(
    lambda row: st.sampled_from([*WORDS, *STRANGE]).map(lambda word: {**row, "Text": word})
)


@settings(max_examples=8, **STEADY)
@given(
    rows=st.lists(strange_rows, min_size=2, max_size=8),
    asked=st.lists(st.tuples(filters, sorts), min_size=30, max_size=30),
    changed=st.lists(
        st.tuples(st.integers(0, 7), st.sampled_from([*WORDS, *STRANGE])), min_size=6, max_size=6
    ),
)
def test_every_way_gives_the_same_rows(
    way: None, world: World, related: str, rows: list[dict[str, Any]], asked: list[Any], changed: list[Any]
) -> None:
    """Between the queries texts change, whose copies have just been made."""
    source, ids = fresh(world, related, rows)
    pages = list(ids)
    numbered = [{**computed(row, number), "#": number} for number, row in enumerate(rows)]
    for turn, (wanted, order) in enumerate(asked):
        if turn % 5 == 4:
            index, word = changed[turn // 5]
            row = numbered[index % len(rows)]
            world.clock["now"] = NOW
            body = {"properties": {"Text": {"rich_text": text(word)}}}
            world.call("PATCH", f"/v1/pages/{pages[index % len(rows)]}", body)
            row.update(Text=word, Words=word, Edited=NOW.isoformat(), Editor="user:0")
            row["last_edited_time"] = row["Edited"]
        hits = [row for row in numbered if evaluator.matches(row, wanted, NOW.date())]
        expected = [row["#"] for row in evaluator.order(hits, order, KINDS, OPTIONS)]
        answer = world.query(source, filter=wanted, sorts=order)
        assert [ids[page["id"]] for page in answer["results"]] == expected, (wanted, order)


def test_pages_of_one_query_join(way: None, world: World) -> None:
    source = world.source({"Name": {"title": {}}, "N": {"number": {}}})
    for number in range(11):
        name = "odd one" if number % 2 else "even"
        properties = {"Name": {"title": text(name)}, "N": {"number": number % 4}}
        world.page(source, properties, NOW.isoformat(), "user:0")
    asked: dict[str, Any] = {
        "filter": {"property": "Name", "title": {"contains": "D O"}},
        "sorts": [{"property": "N", "direction": "descending"}],
        "page_size": 2,
    }
    seen: list[int] = []
    cursor = None
    while True:
        answer = world.query(source, start_cursor=cursor, **asked)
        seen.extend(page["properties"]["N"]["number"] for page in answer["results"])
        cursor = answer["next_cursor"]
        if cursor is None:
            break
    assert seen == [3, 3, 1, 1, 1]


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, BoardServer]]:
    """A board in a file on which few rows count as many, and chunks are asked always."""
    for module, name, value in (
        (query_rows, "LARGE_FROM", 0),
        (query_rows, "_RARE_ONE_IN", 1_000_000),
        (query_rows, "_DENSE_FROM", 1_000_000),
        (text_chunks, "MADE_FROM", 1),
    ):
        monkeypatch.setattr(module, name, value)
    path = tmp_path / "board.db"
    with BoardServer(BoardConfig(db=path, token=TOKEN)) as server:
        yield path, server


def stored(path: Path) -> tuple[list[str], list[str]]:
    """Texts of chunks, and triggers."""
    with closing(sqlite3.connect(path)) as db:
        texts = [row[0] for row in db.execute("SELECT texts FROM text_chunk ORDER BY property, number")]
        return texts, [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")]


def test_copies_go_with_every_change(large: tuple[Path, BoardServer]) -> None:
    """New, changed, trashed and moved rows, a property of another type, and one that is deleted."""
    path, server = large
    client = make_client(server.url)
    source = make_source(client, {"Name": {"title": {}}, "Note": {"rich_text": {}}})
    other = make_source(client, {"Name": {"title": {}}})

    def ask(note: str) -> list[str]:
        wanted = {"property": "Note", "rich_text": {"contains": note}}
        rows = client.data_sources.query(source, filter=wanted)["results"]
        return [row["properties"]["Name"]["title"][0]["plain_text"] for row in rows]

    def add(name: str, note: str) -> str:
        made = {"Name": {"title": text(name)}, "Note": {"rich_text": text(note)}}
        return str(make_page(client, source, made)["id"])

    one, two = add("one", "Red apple"), add("two", "red plum")
    assert ask("RED") == ["two", "one"]
    assert stored(path)[0] == ["\x1ered apple\x1ered plum\x1e"]
    assert len(stored(path)[1]) == 3
    add("three", "red pear")
    assert stored(path)[0] == []
    assert ask("RED") == ["three", "two", "one"]
    client.pages.update(one, properties={"Note": {"rich_text": text("green")}})
    assert ask("red") == ["three", "two"]
    client.pages.update(two, in_trash=True)
    assert ask("red") == ["three"]
    client.pages.update(two, in_trash=False)
    assert ask("red") == ["three", "two"]
    client.pages.move(two, parent={"data_source_id": other})
    assert ask("red") == ["three"]
    client.data_sources.update(source, properties={"Note": {"url": {}}})
    assert stored(path) == ([], [])
    empty = {"property": "Note", "url": {"contains": "red"}}
    assert client.data_sources.query(source, filter=empty)["results"] == []
    assert stored(path)[0] == ["\x1e\x1e\x1e"]
    client.data_sources.update(source, properties={"Note": None})
    assert stored(path) == ([], [])
    client.close()


def test_a_property_that_went_meanwhile_gets_no_copies(large: tuple[Path, BoardServer]) -> None:
    """A query reads a snapshot; what it misses is made behind it, when the property may be gone."""
    path, server = large
    client = make_client(server.url)
    source = make_source(client, {"Name": {"title": {}}, "Note": {"rich_text": {}}})
    make_page(client, source, {"Note": {"rich_text": text("red")}})
    client.close()
    board = Board(BoardConfig(db=path, token=TOKEN))
    with board.store.write() as db:
        schema = board.schema(db, 1)
        note = next(prop for prop in schema.properties if prop.name == "Note")
        text_chunks.make(db, schema.without(note), note, [0])
    assert stored(path) == ([], [])
    board.close()


def test_long_texts_and_marks_stay_in_their_rows(
    large: tuple[Path, BoardServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_chunks, "LARGEST", 100)
    path, server = large
    client = make_client(server.url)
    source = make_source(client, {"Name": {"title": {}}})
    for name in ("x" * 90 + "End", "short", "with a \x1e mark"):
        make_page(client, source, {"Name": {"title": text(name)}})
    for part, count in (("xEN", 1), ("short", 1), ("\x1e m", 1), ("o", 1), ("nothing", 0)):
        for _ in range(2):
            wanted = {"property": "Name", "title": {"contains": part}}
            assert len(client.data_sources.query(source, filter=wanted)["results"]) == count, part
    assert stored(path)[0] == [None]
    client.close()


def test_a_file_of_before_gets_the_table(tmp_path: Path) -> None:
    path = tmp_path / "board.db"
    with BoardServer(BoardConfig(db=path, token=TOKEN)) as server:
        client = make_client(server.url)
        source = make_source(client, {"Name": {"title": {}}})
        make_page(client, source, {"Name": {"title": text("kept")}})
        client.close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("DROP TABLE text_chunk")
    with BoardServer(BoardConfig(db=path, token=TOKEN)) as server:
        client = make_client(server.url)
        wanted = {"property": "Name", "title": {"contains": "EPT"}}
        assert len(client.data_sources.query(source, filter=wanted)["results"]) == 1
        client.close()
