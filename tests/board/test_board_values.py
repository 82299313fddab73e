"""Page JSON → Task and Draft → payload: pure. Odd values never raise; limits are kept; nothing is cut
silently.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.board import markdown, reading, writing
from daemon.board.columns import SPECS
from daemon.board.schema import Binding, Column, bind
from daemon.core.ports import PageWrite
from daemon.core.status import Status
from daemon.core.task import Draft, Priority, Task
from daemon.core.text import utf16_units

PAGE_ID = "0123456789abcdef0123456789abcdef"


def binding(**types: str) -> Binding:
    """Every key, ids = keys; ``types`` overrides."""
    properties: dict[str, Any] = {}
    for spec in SPECS.values():
        kind = types.get(spec.key, spec.types[0])
        names = [s.value for s in Status] if spec.key == "status" else ["Critical", "High", "Medium", "Low"]
        inner = {"options": [{"id": n, "name": n} for n in names]} if kind in ("status", "select") else {}
        properties[spec.name] = {"id": spec.key, "type": kind, kind: inner}
    return bind(properties, {}, {})


def page(**values: dict[str, Any]) -> dict[str, Any]:
    """A page with property values by key; the names on it are not ours on purpose."""
    return {
        "object": "page",
        "id": PAGE_ID,
        "created_time": "2026-11-01T10:00:00.000Z",
        "last_edited_time": "2026-11-02T10:00:00.000Z",
        "last_edited_by": {"object": "user", "id": "8649dec1-be6a-431e-b8dd-bc4d3af228f1"},
        "url": "https://app.notion.com/p/x",
        "properties": {f"name {key}": {"id": key, **value} for key, value in values.items()},
    }


def runs(kind: str, *parts: str) -> dict[str, Any]:
    return {"type": kind, kind: [{"type": "text", "plain_text": p} for p in parts]}


def titled(related: str) -> str:
    return f"agent {related[:2]}"


def test_AT_14_all_rich_text_runs_are_read() -> None:
    task = reading.task(
        page(title=runs("title", "A ", "bold", " one"), description=runs("rich_text", *["x" * 2000] * 3)),
        binding(),
        titled,
    )
    assert task.title == "A bold one"
    assert len(task.description) == 6000


REL = "aa" * 16
AGENTS: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    (
        "relation",
        {"type": "relation", "relation": [{"id": REL}, {"id": "bb" * 16}]},
        ("agent aa", "agent bb"),
    ),
    (
        "rollup",
        {"type": "rollup", "rollup": {"type": "array", "array": [runs("title", "Claude ", "MM1")]}},
        ("Claude MM1",),
    ),
    (
        "rollup",
        {
            "type": "rollup",
            "rollup": {"type": "array", "array": [{"type": "relation", "relation": [{"id": REL}]}]},
        },
        ("agent aa",),
    ),
    ("rollup", {"type": "rollup", "rollup": {"type": "incomplete", "incomplete": {}}}, ()),
    ("select", {"type": "select", "select": {"id": "1", "name": "Cursor"}}, ("Cursor",)),
    ("select", {"type": "select", "select": None}, ()),
    ("multi_select", {"type": "multi_select", "multi_select": [{"name": "A"}, {"name": "B"}]}, ("A", "B")),
    ("people", {"type": "people", "people": [{"id": "1", "name": "Anna"}, {"id": "2"}]}, ("Anna", "2")),
    ("rich_text", runs("rich_text", "Claude MM1, ", "Cursor"), ("Claude MM1", "Cursor")),
    ("rich_text", runs("rich_text"), ()),
]


@pytest.mark.parametrize(("kind", "value", "names"), AGENTS)
def test_AT_16_agents_read_alike_from_every_type(
    kind: str, value: dict[str, Any], names: tuple[str, ...]
) -> None:
    assert reading.task(page(agent=value), binding(agent=kind), titled).agents == names


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ({"type": "select", "select": {"name": "High"}}, Priority.HIGH),
        ({"type": "select", "select": {"name": "P0"}}, Priority.CRITICAL),
        ({"type": "select", "select": {"name": "3 - High"}}, Priority.HIGH),
        ({"type": "select", "select": {"name": "🔥 Critical!"}}, Priority.CRITICAL),
        ({"type": "select", "select": {"name": "Highest"}}, Priority.MEDIUM),
        ({"type": "select", "select": None}, Priority.MEDIUM),
        ({"type": "number", "number": 0}, Priority.CRITICAL),
        ({"type": "number", "number": 3}, Priority.LOW),
        ({"type": "number", "number": 17}, Priority.MEDIUM),
        ({"type": "number", "number": None}, Priority.MEDIUM),
    ],
)
def test_priorities(value: dict[str, Any], wanted: Priority) -> None:
    assert reading.priority(value) is wanted


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        ("2026-07-01", datetime(2026, 7, 1, 23, 59, tzinfo=UTC)),
        ("2026-06-27T17:57:00.000+01:00", datetime(2026, 6, 27, 16, 57, tzinfo=UTC)),
        ("2026-06-27T17:57:00.000Z", datetime(2026, 6, 27, 17, 57, tzinfo=UTC)),
        ("", None),
        ("tomorrow", None),
        (None, None),
    ],
)
def test_pain_37_times_are_instants_in_utc(raw: Any, wanted: datetime | None) -> None:
    assert reading.moment(raw) == wanted


def test_an_unknown_status_is_shown_and_never_taken_for_ready() -> None:
    value = {"type": "status", "status": {"id": "zz", "name": "Ready for Handoff"}}
    task = reading.task(page(status=value), binding(), titled)
    assert (task.status, task.status_name) == (None, "Ready for Handoff")


def test_criteria_lose_their_list_marks() -> None:
    assert reading.lines("- one\n\n * two\n3. three\n[ ] four\n- [x] five") == (
        "one",
        "two",
        "three",
        "four",
        "five",
    )


def test_pain_40_titles_of_every_kind() -> None:
    assert reading.task(page(title=runs("title")), binding(), titled).title == "(untitled)"
    family = "\U0001f468‍\U0001f469‍\U0001f467"
    assert reading.task(page(title=runs("title", family)), binding(), titled).title == family


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "name", "type", "start", "number", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)  # a loaded machine is no finding
@given(
    st.dictionaries(
        st.sampled_from(sorted(SPECS)),
        st.builds(
            lambda kind, inner: {"type": kind, kind: inner}, st.sampled_from(["rich_text", "title"]), _json
        ),
        max_size=4,
    )
)
def test_odd_text_values_never_raise(values: dict[str, dict[str, Any]]) -> None:
    """And whatever they hold, what is read has the types of a task: it is kept and given back as it was."""
    made = reading.task(page(**values), binding(), titled)
    assert made.id == PAGE_ID and made.title
    assert msgspec.json.decode(msgspec.json.encode(made), type=Task) == made


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.text(max_size=300), st.integers(1, 40))
def test_pain_27_runs_lose_nothing_and_keep_the_limit(words: str, times: int) -> None:
    long = words * times
    made = writing.runs(long)
    assert "".join(run["text"]["content"] for run in made) == long
    assert all(0 < utf16_units(run["text"]["content"]) <= 2000 for run in made)


def test_what_does_not_fit_is_cut_with_a_mark() -> None:
    made = writing.runs("\N{FIRE}" * 150_000)
    assert len(made) <= 101
    assert made[-1]["text"]["content"].endswith(" […]")


def test_pain_23_a_status_is_never_null_and_goes_by_option_id() -> None:
    assert writing.status(binding(), Status.READY) == {"status": {"status": {"id": "Ready"}}}
    assert writing.status(binding(status="select"), Status.READY) == {"status": {"select": {"id": "Ready"}}}


def test_only_differences_are_sent() -> None:
    value = {"type": "status", "status": {"id": "In Progress", "name": "In Progress"}}
    task = reading.task(page(status=value, result=runs("rich_text", "r")), binding(), titled)
    change = PageWrite(status=Status.COMPLETED, result="r", why="")
    assert set(writing.changes(binding(), task, change, keep_status=False)) == {"status"}
    assert writing.changes(binding(), task, change, keep_status=True) == {}


@pytest.mark.parametrize(
    ("kind", "text", "wanted"),
    [
        ("url", "http://x/1", {"url": "http://x/1"}),
        ("url", "", {"url": None}),
        ("rich_text", "", {"rich_text": []}),
        (
            "files",
            "http://x/r.html",
            {"files": [{"type": "external", "name": "r.html", "external": {"url": "http://x/r.html"}}]},
        ),
        ("files", "/home/me/report.html", None),
    ],
)
def test_reports_in_every_type(kind: str, text: str, wanted: Any) -> None:
    assert writing.value(Column(key="report", id="r", name="Report", type=kind), text) == wanted


def test_a_draft_is_json() -> None:
    made = writing.draft(binding(), Draft(title="x", after=(PAGE_ID,), acceptance=("a", "b")), None)
    assert json.loads(json.dumps(made)) == made
    assert made["after"] == {"relation": [{"id": "01234567-89ab-cdef-0123-456789abcdef"}]}


def words(blocks: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [
        (b["type"], "".join(r["text"]["content"] for r in b[b["type"]].get("rich_text", []))) for b in blocks
    ]


def test_markdown_to_blocks() -> None:
    text = (
        "# One\n#### Four\n\npara *it* **bo**\nsame line\n\n- a\n  - b\n1. c\n- [x] d\n> q\n\n---\n"
        "```python\nx = 1\n# no heading\n```\n| a | b \\| c |\n|---|:--|\n| 1 | [t](http://u) |\n"
    )
    made = markdown.blocks(text)
    assert words(made) == [
        ("heading_1", "One"),
        ("heading_3", "Four"),
        ("paragraph", "para it bo\nsame line"),
        ("bulleted_list_item", "a"),
        ("bulleted_list_item", "b"),
        ("numbered_list_item", "c"),
        ("to_do", "d"),
        ("quote", "q"),
        ("divider", ""),
        ("code", "x = 1\n# no heading"),
        ("table", ""),
    ]
    assert made[2]["paragraph"]["rich_text"][1]["annotations"] == {"italic": True}
    rows = made[-1]["table"]["children"]
    assert [r["text"]["content"] for cell in rows[0]["table_row"]["cells"] for r in cell] == ["a", "b | c"]
    assert rows[1]["table_row"]["cells"][1][0]["text"] == {"content": "t", "link": {"url": "http://u"}}


@pytest.mark.parametrize(
    "text",
    [
        "[x](javascript:alert(1))",
        "[x](file:///etc/passwd)",
        "<script>x</script>",
        "![i](data:x)",
        "{{ 7*7 }}",
    ],
)
def test_text_that_would_be_more_stays_text(text: str) -> None:
    (block,) = markdown.blocks(text)
    assert all("link" not in run["text"] for run in block["paragraph"]["rich_text"])


def test_escapes_of_the_reports_come_out_plain() -> None:
    (block,) = markdown.blocks(r"a\*b\_c \[x\] \| &lt;b&gt; snake_case_name 2*3*4")
    shown = "".join(r["text"]["content"] for r in block["paragraph"]["rich_text"])
    assert shown == "a*b_c [x] | <b> snake_case_name 2*3*4"


@given(st.text(alphabet="ab *_`[]()#|-\n\\>~1.🔥", max_size=120))
def test_any_markdown_gives_blocks_within_the_limits(text: str) -> None:
    for block in markdown.bounded(markdown.blocks(text)):
        for run in block[block["type"]].get("rich_text", []):
            assert 0 < utf16_units(run["text"]["content"]) <= 2000
        assert len(block[block["type"]].get("rich_text", [])) <= 100


@pytest.mark.parametrize("text", ["*" * 4000, "[" * 4000, "`" * 4001, "**a" * 1500, "|" * 3000, "\\" * 4000])
def test_no_text_makes_it_slow(text: str) -> None:
    begun = time.monotonic()
    markdown.blocks(text)
    assert time.monotonic() - begun < 10


def test_what_is_left_out_is_said() -> None:
    made = markdown.bounded(markdown.blocks("\n\n".join(str(i) for i in range(150))))
    assert len(made) == 100
    assert words(made)[-1] == ("paragraph", "[… 51 more blocks are left out here]")
