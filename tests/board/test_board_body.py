"""What people wrote into a page: read as lines, bounded, our own section left out."""

from __future__ import annotations

from typing import Any

import pytest

from daemon.board import body
from daemon.core.errors import NotFound
from tests.board.conftest import Bench

RUN = "a" * 32 + ".g1"


def block(kind: str, words: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, kind: {"rich_text": [{"text": {"content": words}}], **more}}


def test_each_kind_of_block_is_a_line_and_our_section_is_none(bench: Bench) -> None:
    task = bench.row()
    inside = [block("bulleted_list_item", "inner", children=[block("paragraph", "innermost")])]
    written = [
        block("heading_2", "What to do"),
        block("paragraph", "Read the log.\nThen write."),
        block("bulleted_list_item", "one", children=inside),
        block("to_do", "checked", checked=True),
        block("quote", "so they say"),
        block("code", "make test", language="shell"),
        {"type": "divider", "divider": {}},
        block("callout", "mind the gap"),
    ]
    bench.hand("PATCH", f"blocks/{task}/children", {"children": written})
    board = bench.board()
    board.section(task, RUN, "# Ours\n\nnot theirs")
    assert board.body(task).split("\n") == [
        "## What to do",
        "Read the log.",
        "Then write.",
        "- one",
        "  - inner",
        "    innermost",
        "- [x] checked",
        "> so they say",
        "```",
        "make test",
        "```",
        "> mind the gap",
    ]


def test_an_empty_page_has_none_and_a_missing_one_is_not_found(bench: Bench) -> None:
    board = bench.board()
    assert board.body(bench.row()) == ""
    with pytest.raises(NotFound):
        board.body("f" * 32)


def test_a_page_without_end_is_cut_and_says_so(bench: Bench) -> None:
    task = bench.row()
    for start in range(0, body.BLOCKS + 100, 100):
        lines = [block("paragraph", f"line {start + i}") for i in range(100)]
        bench.hand("PATCH", f"blocks/{task}/children", {"children": lines})
    read = bench.board().body(task).split("\n")
    assert read[: body.BLOCKS] == [f"line {i}" for i in range(body.BLOCKS)]
    assert read[body.BLOCKS :] == [body.MORE]


def test_a_page_of_many_branches_costs_a_bounded_number_of_calls(bench: Bench) -> None:
    task = bench.row()
    deep = block("paragraph", "3", children=[block("paragraph", "4")])
    many = [block("bulleted_list_item", f"b{i}", children=[block("paragraph", "in")]) for i in range(40)]
    bench.hand("PATCH", f"blocks/{task}/children", {"children": many})
    board = bench.board()
    bench.relay.forget()
    assert board.body(task).endswith(body.MORE)
    assert len(bench.relay.paths()) == body.CALLS
    other = bench.row()
    bench.hand("PATCH", f"blocks/{other}/children", {"children": [block("paragraph", "1", children=[deep])]})
    (inner,) = bench.hand("GET", f"blocks/{other}/children")["results"]
    (third,) = bench.hand("GET", f"blocks/{inner['id']}/children")["results"]
    (last,) = bench.hand("GET", f"blocks/{third['id']}/children")["results"]
    bench.hand("PATCH", f"blocks/{last['id']}/children", {"children": [block("paragraph", "5")]})
    assert board.body(other).split("\n") == ["1", "  3", "    4", body.MORE]
