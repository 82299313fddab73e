"""Our section of the page body: replaced whole, never anybody else's text, safe at every moment."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.board.sections import Mark, plan
from daemon.core.errors import Fenced, TransientError
from daemon.core.task import Draft
from tests.board.conftest import Bench

RUN = "a" * 32 + ".g1"
LATER = "a" * 32 + ".g2"


def paragraph(words: str) -> dict[str, Any]:
    return {"type": "paragraph", "paragraph": {"rich_text": [{"text": {"content": words}}]}}


def body(bench: Bench, task_id: str) -> list[str]:
    """Top-level blocks: text, callouts of ours as ``[inner text]``."""
    out = []
    for block in bench.hand("GET", f"blocks/{task_id}/children")["results"]:
        words = "".join(r["plain_text"] for r in block[block["type"]].get("rich_text", []))
        if block["type"] == "callout" and "handoffd" in words:
            inner = bench.hand("GET", f"blocks/{block['id']}/children")["results"]
            words = (
                "["
                + "|".join("".join(r["plain_text"] for r in b[b["type"]].get("rich_text", [])) for b in inner)
                + "]"
            )
        out.append(words)
    return out


@pytest.fixture
def page(bench: Bench) -> str:
    task_id = bench.row()
    callout = {"type": "callout", "callout": {"rich_text": [{"text": {"content": "mine: handof"}}]}}
    bench.hand("PATCH", f"blocks/{task_id}/children", {"children": [paragraph("before"), callout]})
    return task_id


def test_it_is_added_replaced_in_place_and_peoples_text_stays(bench: Bench, page: str) -> None:
    board = bench.board()
    board.section(page, RUN, "first")
    bench.hand("PATCH", f"blocks/{page}/children", {"children": [paragraph("after")]})
    assert body(bench, page) == ["before", "mine: handof", "[first]", "after"]
    board.section(page, RUN, "# second\n\n- a\n- b")
    assert body(bench, page) == ["before", "mine: handof", "[second|a|b]", "after"]
    board.section(page, LATER, "third")
    assert body(bench, page) == ["before", "mine: handof", "[third]", "after"]


def test_doing_it_twice_changes_nothing(bench: Bench, page: str) -> None:
    board = bench.board()
    board.section(page, RUN, "text")
    bench.relay.forget()
    board.section(page, RUN, "text")
    assert bench.relay.paths() == ["GET /v1/blocks/*/children"]


def test_peoples_blocks_are_the_same_to_the_byte(bench: Bench, page: str) -> None:
    """Whatever our section does, the blocks around it read as before, ids and times included."""

    def theirs() -> list[dict[str, Any]]:
        blocks = bench.hand("GET", f"blocks/{page}/children")["results"]
        return [b for b in blocks if "handoffd" not in json.dumps(b, ensure_ascii=False)]

    odd = "  two spaces, **no bold**, [x](y), \U0001f9d1\u200d\U0001f4bb, \u202e, a\ttab  "
    bench.hand("PATCH", f"blocks/{page}/children", {"children": [paragraph(odd), paragraph("")]})
    before = theirs()
    assert len(before) == 4
    board = bench.board()
    for run, words in ((RUN, "one"), (RUN, "two"), (LATER, "\n\n".join("abc" * 50)), (LATER, "end")):
        board.section(page, run, words)
        assert theirs() == before


def test_what_a_person_wrote_into_our_callout_is_not_deleted_with_it(bench: Bench, page: str) -> None:
    board = bench.board()
    board.section(page, RUN, "first")
    ours = bench.hand("GET", f"blocks/{page}/children")["results"][-1]["id"]
    person = bench.hand.http.post(f"{bench.hand.url}/_board/users", json={"name": "Ada", "email": "a@b.org"})
    bench.hand.http.headers["X-Board-Actor"] = person.json()["id"]
    bench.hand("PATCH", f"blocks/{ours}/children", {"children": [paragraph("my note")]})
    del bench.hand.http.headers["X-Board-Actor"]
    board.section(page, LATER, "second")
    assert body(bench, page) == ["before", "mine: handof", "[first|my note]", "[second]"]
    board.section(page, LATER, "third")
    assert body(bench, page) == ["before", "mine: handof", "[first|my note]", "[third]"]


def test_a_report_beyond_the_size_of_a_request_comes_in_parts(bench: Bench, page: str) -> None:
    """The API takes 500 kB and 1,000 blocks at once, nested ones counted."""
    code = "\n\n".join(f"```\n{'語' * 60_000}\n```" for _ in range(4))
    rows = "| a | b |\n|---|---|\n" + "\n".join(f"| {n} | x |" for n in range(90))
    tables = "\n\n".join(f"table {n}\n\n{rows}" for n in range(15))
    board = bench.board()
    board.section(page, RUN, f"{code}\n\n{tables}")
    shown = body(bench, page)[2:]
    assert len(shown) >= 4
    assert sum(part.count("語") for part in shown) == 240_000
    sizes = [len(json.dumps(c.body, ensure_ascii=False).encode()) for c in bench.relay.calls if c.body]
    assert max(sizes) < 500_000
    board.section(page, RUN, "short")
    assert body(bench, page) == ["before", "mine: handof", "[short]"]


def test_a_block_that_no_request_can_carry_is_named_and_left_out(bench: Bench, page: str) -> None:
    huge = f"```\n{'語' * 190_000}\n```"
    bench.board().section(page, RUN, f"before\n\n{huge}\n\nafter")
    assert body(bench, page)[2] == "[before|[… a code of 574 kB is left out here]|after]"
    made = bench.board().create(Draft(title="x", body=f"{huge}\n\n" + f"```\n{'語' * 90_000}\n```\n\n" * 3))
    kinds = [b["type"] for b in bench.hand("GET", f"blocks/{made.id}/children")["results"]]
    assert kinds == ["paragraph", "code", "paragraph"]


def test_late_words_of_an_earlier_run_are_fenced(bench: Bench, page: str) -> None:
    board = bench.board()
    board.section(page, LATER, "new")
    with pytest.raises(Fenced):
        board.section(page, RUN, "old")
    assert "[new]" in body(bench, page)


@pytest.mark.parametrize("after", [False, True], ids=["not-done", "done"])
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_lost_answer_leaves_one_section(bench: Bench, page: str, method: str, after: bool) -> None:
    board = bench.board()
    board.section(page, RUN, "first")
    bench.relay.rule(method, "/v1/blocks/", after=after, cut=True)
    board.section(page, RUN, "second")
    assert body(bench, page) == ["before", "mine: handof", "[second]"]


def test_a_crash_between_adding_and_deleting_is_repaired(bench: Bench, page: str) -> None:
    board = bench.board(give_up=0.3)
    board.section(page, RUN, "first")
    bench.relay.rule("DELETE", times=99, status=502)
    with pytest.raises(TransientError):
        board.section(page, RUN, "second")
    assert body(bench, page) == ["before", "mine: handof", "[first]", "[second]"]
    bench.relay.rules.clear()
    board.section(page, RUN, "second")
    assert body(bench, page) == ["before", "mine: handof", "[second]"]


def test_pain_28_more_than_100_blocks_come_in_parts(bench: Bench, page: str) -> None:
    text = "\n\n".join(f"paragraph {i}" for i in range(230))
    board = bench.board()
    board.section(page, RUN, text)
    shown = body(bench, page)
    assert [part.count("|") + 1 for part in shown[2:]] == [100, 100, 30]
    board.section(page, RUN, "short")
    assert body(bench, page) == ["before", "mine: handof", "[short]"]


def test_a_table_and_long_text_fit_the_limits(bench: Bench, page: str) -> None:
    rows = "\n".join(f"| gate {i} | **passed** | `e{i}` |" for i in range(150))
    text = (
        f"| gate | result | evidence |\n|---|---|---|\n{rows}\n\n{'x' * 9000}\n\n```json\n{'y' * 5000}\n```"
    )
    bench.board().section(page, RUN, text)
    container = bench.hand("GET", f"blocks/{page}/children")["results"][-1]
    kinds = [b["type"] for b in bench.hand("GET", f"blocks/{container['id']}/children")["results"]]
    assert kinds == ["table", "paragraph", "code"]


def test_both_versions_of_the_api(bench: Bench, page: str) -> None:
    board = bench.board(version="2026-03-11")
    board.section(page, RUN, "first")
    bench.hand("PATCH", f"blocks/{page}/children", {"children": [paragraph("after")]})
    board.section(page, RUN, "second")
    assert body(bench, page) == ["before", "mine: handof", "[second]", "after"]


def block(mark: Mark, block_id: str) -> dict[str, Any]:
    return {
        "id": block_id,
        "type": "callout",
        "callout": {"rich_text": [{"plain_text": f"Report\n{mark.text()}"}]},
    }


@given(
    st.lists(
        st.one_of(
            st.builds(
                lambda d, n: Mark("a" * 32 + ".g1", d, n, 2),
                st.sampled_from(["0" * 10, "1" * 10]),
                st.integers(1, 2),
            ),
            st.none(),
        ),
        max_size=8,
    ),
    st.sampled_from(["0" * 10, "1" * 10, "2" * 10]),
)
def test_whatever_stands_there_the_plan_leads_to_exactly_the_wanted(
    there: list[Mark | None], digest: str
) -> None:
    wanted = [Mark("a" * 32 + ".g1", digest, n, 2) for n in (1, 2)]
    children = [
        block(m, str(i)) if m else {"id": str(i), "type": "paragraph", "paragraph": {}}
        for i, m in enumerate(there)
    ]
    todo = plan(children, wanted)
    left = [m for i, m in enumerate(there) if m and str(i) not in todo.delete]
    assert sorted((*left, *(wanted[i] for i in todo.add)), key=lambda m: m.part) == wanted
    assert not any(there[int(i)] is None for i in todo.delete)


@pytest.mark.parametrize(
    "line",
    ["handoffd", "handoffd · run x", f"see handoffd · run {RUN} · 0123456789 · 1/1", f"handoffd · run {RUN}"],
)
def test_text_that_only_looks_like_a_mark_is_not_ours(line: str) -> None:
    child = {"id": "1", "type": "callout", "callout": {"rich_text": [{"plain_text": line}]}}
    assert plan([child], []).delete == ()
