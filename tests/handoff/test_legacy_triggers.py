"""The predecessor's trigger files: shapes A to D are recognised; nothing is ever written or moved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.handoff import legacy

ID = "2dee7361-6c27-81f0-b0f5-d0f6f2d5a1b2"
PLAIN = ID.replace("-", "")

SHAPES: dict[str, dict[str, Any]] = {
    "A": {
        "title": "Plan the release", "description": "Read the plan", "priority": "High",
        "target_agent": "Cursor MM1 Agent", "source_agent": "Claude", "task_url": "https://x/" + PLAIN,
        "task_id": ID, "agent_task_id": ID, "timestamp": "2026-01-06T10:00:00Z",
        "required_action": "Write the plan", "success_criteria": "One\nTwo",
        "chain_tracking": {"agent_task_id": ID, "dedupe_key": "handoff_x"}, "archive_rule": "move",
    },
    "B": {
        "task_id": ID, "task_title": "Plan the release", "task_url": "", "agent_name": "Codex",
        "agent_type": "MM1", "description": "Read", "status": "Ready", "handoff_instructions": "MANDATORY",
        "created_at": "2026-01-06T10:00:00Z", "priority": "Critical",
    },
    "C": {
        "handoff_id": "h-1", "timestamp": "2026-01-06T10:00:00Z", "source_agent": "A", "target_agent": "B",
        "priority": "Critical", "urgency": "now", "task_url": "https://app.notion.com/p/Plan-" + PLAIN,
        "handoff_reason": "Plan the release", "context": {"current_step": "Step 3", "work_completed": []},
        "required_action": "Go on", "success_criteria": ["One", "Two"], "deliverables": {},
    },
    "D": {
        "return_handoff_id": "r-1", "timestamp": "2026-01-06T10:00:00Z", "type": "RETURN_HANDOFF",
        "executing_agent": "B", "originating_agent": "A",
        "original_task": {"task_id": ID, "task_title": "Plan the release", "task_url": ""},
        "execution_summary": {"work_completed": ["all"]},
    },
}  # fmt: skip


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_hf_6_each_shape_is_read_into_one_form(tmp_path: Path, shape: str) -> None:
    path = tmp_path / f"20260106T100000Z__HANDOFF__Plan__{shape}.json"
    path.write_text(json.dumps(SHAPES[shape]))
    before = path.stat().st_mtime_ns, path.stat().st_size
    found = legacy.read(path)
    assert (found.shape, found.task_id, found.title) == (shape, PLAIN, "Plan the release")
    assert found.created == "2026-01-06T10:00:00Z" and found.agent
    if shape in "AC":
        assert found.criteria == ("One", "Two")
    assert (path.stat().st_mtime_ns, path.stat().st_size) == before


def test_hf_5_hf_15_bad_json_and_markdown_are_listed_not_lost(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": 1} extra')
    (tmp_path / "b.md").write_text("# do it")
    (tmp_path / "c.json").write_text('{"mood": "good"}')
    (tmp_path / "d.json").symlink_to("/etc/passwd")
    (tmp_path / ".tmp-x.json").write_text("{}")
    (tmp_path / "dir.json").mkdir()
    found = {t.file: t.problem for t in legacy.scan(tmp_path)}
    assert set(found) == {"a.json", "b.md", "c.json", "d.json"}
    assert "unreadable" in found["a.json"] and "Markdown" in found["b.md"]
    assert "none of the shapes" in found["c.json"] and "a link" in found["d.json"]


def test_hf_2_an_8_digit_prefix_is_no_id(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps({**SHAPES["B"], "task_id": ID[:8], "task_url": "https://x"}))
    assert legacy.read(path).task_id == ""


def test_packets_of_ours_are_not_taken_for_old_files(tmp_path: Path) -> None:
    (tmp_path / ("20261123T030405Z--p2--x--" + "c" * 32 + "--g1")).mkdir()
    assert legacy.scan(tmp_path) == []


def test_hf_1_one_old_file_becomes_one_draft(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(SHAPES["A"]))
    first, second = legacy.draft(legacy.read(path)), legacy.draft(legacy.read(path))
    assert first == second
    assert first.status.value == "Draft" and first.source_key == f"legacy:{PLAIN}"
    assert first.priority.label == "High" and first.acceptance == ("One", "Two")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = sorted({key for doc in SHAPES.values() for key in doc})


@given(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=12))
def test_any_mixture_of_fields_is_read_without_an_error(doc: dict[str, Any]) -> None:
    shape = legacy.shape_of(doc)
    if shape:
        found = legacy._trigger("x.json", shape, doc)
        assert found.shape == shape
        legacy.draft(found)
