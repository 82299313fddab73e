"""Bundles rendered: golden files, determinism, the way back from evidence.json, computed status."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.core.errors import NotFound, PermanentError
from daemon.core.evidence import GateResult
from daemon.core.ports import Reports
from daemon.core.text import utf16_units
from daemon.reports import ReportRoom, record, section
from daemon.reports.samples import samples
from daemon.reports.wording import headline

GOLDEN = Path(__file__).parent / "golden"
SAMPLES = samples()


@pytest.mark.parametrize("name", SAMPLES)
def test_golden_files(name: str, room: ReportRoom) -> None:
    """UPDATE_GOLDEN=1 writes them anew. The style sheet is left out of the HTML: it is not the content."""
    made = room.render(SAMPLES[name])
    pages = {
        f"{name}.md": made.markdown.read_text(),
        f"{name}.html": re.sub(r"<style>.*?</style>", "<style></style>", made.html.read_text(), flags=re.S),
        f"{name}.json": made.evidence.read_text(),
        f"{name}.section.md": made.section + "\n",
    }
    for file, text in pages.items():
        if os.environ.get("UPDATE_GOLDEN") == "1":
            (GOLDEN / file).write_text(text)
        assert text == (GOLDEN / file).read_text(), f"{file} differs; UPDATE_GOLDEN=1 when it is meant"


def test_the_room_is_a_reports_port(room: ReportRoom) -> None:
    port: Reports = room
    made = port.render(SAMPLES["task"])
    assert made.link == f"http://127.0.0.1:8787/runs/{SAMPLES['task'].run}/report"
    assert {p.name for p in made.folder.iterdir()} == {"report.md", "report.html", "evidence.json"}


@pytest.mark.parametrize("name", SAMPLES)
def test_same_bundle_same_folder_same_bytes(name: str, make_room: Callable[..., ReportRoom]) -> None:
    first = make_room().render(SAMPLES[name])
    before = {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in first.folder.iterdir()}
    second = make_room().render(SAMPLES[name])
    assert second == first
    assert {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in second.folder.iterdir()} == before


@pytest.mark.parametrize("name", SAMPLES)
def test_evidence_json_alone_gives_the_same_report(name: str, tmp_path: Path, room: ReportRoom) -> None:
    made = room.render(SAMPLES[name])
    kept = tmp_path / "copy.json"
    kept.write_bytes(made.evidence.read_bytes())
    other = ReportRoom(tmp_path / "elsewhere", link_for=lambda run, folder: made.link)
    again = other.rerender(kept)
    for file in ("report.md", "report.html", "evidence.json"):
        assert (again.folder / file).read_bytes() == (made.folder / file).read_bytes()
    assert again.section == made.section
    assert room.text(kept, "md") == made.markdown.read_bytes()
    assert room.text(kept, "html") == made.html.read_bytes()
    assert room.text(kept, "json") == made.evidence.read_bytes()


def test_evidence_names_what_was_judged(room: ReportRoom) -> None:
    doc = json.loads(room.render(SAMPLES["music"]).evidence.read_text())
    assert doc["schema"] == "report/1"
    assert doc["verdict"] == "Success"
    assert doc["times"] == {
        "started": "2026-01-08T11:37:39Z",
        "ended": "2026-01-08T11:37:53Z",
        "seconds": pytest.approx(14.2),
    }
    files = next(g for g in doc["gates"] if g["name"] == "files")
    assert files["evidence"] == ["M4A", "AIFF", "WAV", "M4A backup"]
    assert [f["bytes"] for f in doc["files"]] == [2_402_117, 26_163_954, 26_164_210, 2_402_117]
    assert doc["task"]["claim"] is None


@pytest.mark.parametrize("name", ["task", "task-failed", "music", "music-partial", "handoff"])
def test_every_gate_is_named_with_its_evidence(name: str, room: ReportRoom) -> None:
    made = room.render(SAMPLES[name])
    for text in (made.markdown.read_text(), made.html.read_text()):
        for gate in SAMPLES[name].judged:
            assert gate.name in text
            for subject in gate.evidence:
                assert subject in text


@pytest.mark.parametrize(
    ("outcome", "word"),
    [
        ("delivered", "Waiting"),
        ("retry", "Will be tried again"),
        ("failed", "Failed"),
        ("blocked", "Blocked"),
        ("needsreview", "Needs review"),
        ("needs_review", "Needs review"),
        ("cancelled", "Cancelled"),
        ("exploded", "exploded"),
    ],
)
def test_a_run_that_is_not_done_has_the_status_of_its_outcome(outcome: str, word: str) -> None:
    """All gates of this sample passed; that alone does not make a success of it."""
    assert headline(replace(SAMPLES["music"], outcome=outcome)).word == word


def test_a_changed_title_keeps_the_folder(room: ReportRoom) -> None:
    bundle = SAMPLES["task"]
    first = room.render(bundle)
    second = room.render(replace(bundle, task=replace(bundle.task, title="Another title")))
    assert second.folder == first.folder
    assert "Another title" in second.markdown.read_text()
    assert len(room.reports()) == 1


def test_an_unknown_kind_gets_the_generic_report(room: ReportRoom) -> None:
    for kind in ("inventory", "../../etc", "", "Task"):
        made = room.render(replace(SAMPLES["task"], kind=kind))
        assert "## Completion Gates" in made.markdown.read_text()


def test_the_section_is_bounded_and_counts_what_it_leaves_out(room: ReportRoom) -> None:
    bundle = SAMPLES["music"]
    gates = [
        replace(g, name=f"{g.name}-{i}", title=f"{g.title} 𝄞{i}") for i in range(30) for g in bundle.judged
    ]
    made = room.render(replace(bundle, judged=gates, summary="long " * 2000, why="because " * 500))
    assert utf16_units(made.section) <= section.LIMIT == 1500
    shown = sum(line.startswith(("- ✅", "- ❓")) for line in made.section.splitlines())
    assert f"… and {300 - shown} more gates in the report" in made.section
    assert made.link in made.section


def test_open_gates_come_first_in_the_section(room: ReportRoom) -> None:
    lines = [x for x in room.render(SAMPLES["music-partial"]).section.splitlines() if x.startswith("- ")]
    marks = [line[2] for line in lines]
    assert marks.index("✅") > max(i for i, m in enumerate(marks[:-1]) if m == "❌")


def test_the_section_names_no_path_of_this_machine(room: ReportRoom) -> None:
    made = room.render(SAMPLES["music"])
    assert "music/Unassigned" in made.markdown.read_text()
    assert "music/Unassigned" not in made.section


def test_what_is_not_json_is_a_precise_error(room: ReportRoom) -> None:
    with pytest.raises(PermanentError, match="not JSON") as caught:
        room.render(replace(SAMPLES["task"], data={"when": object()}))
    assert "evidence" in caught.value.hint
    assert room.reports() == []


def test_not_a_number_is_kept_as_a_word(room: ReportRoom) -> None:
    made = room.render(replace(SAMPLES["task"], data={"ratio": float("nan"), "top": float("inf")}))
    assert json.loads(made.evidence.read_text())["data"] == {"ratio": "nan", "top": "inf"}


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"schema": "report/2"}', b"[" * 100_000])
def test_a_foreign_document_is_refused(content: bytes, tmp_path: Path, room: ReportRoom) -> None:
    path = tmp_path / "evidence.json"
    path.write_bytes(content)
    with pytest.raises(PermanentError):
        room.rerender(path)
    with pytest.raises(NotFound):
        room.rerender(tmp_path / "missing.json")


@pytest.mark.parametrize("key", ["run", "task", "gates", "evidence", "versions", "baseline"])
def test_an_incomplete_document_is_refused(key: str, room: ReportRoom) -> None:
    doc = record.read(room.render(SAMPLES["task"]).evidence)
    del doc[key]
    with pytest.raises(PermanentError, match="incomplete"):
        record.load(doc)


def test_the_verdict_is_computed_again_from_the_gates(room: ReportRoom) -> None:
    """Somebody who writes Success into evidence.json does not get a report that says so."""
    made = room.render(SAMPLES["music-partial"])
    doc = json.loads(made.evidence.read_text())
    doc["verdict"] = doc["headline"]["word"] = "Success"
    made.evidence.write_text(json.dumps(doc))
    assert "**Status:** ⚠️ Partial" in room.rerender(made.evidence).markdown.read_text()


def test_a_gate_without_evidence_is_shown_as_not_measured(room: ReportRoom) -> None:
    bundle = SAMPLES["music"]
    assert any(g.result is GateResult.UNKNOWN for g in bundle.judged)
    made = room.render(bundle)
    line = next(x for x in made.markdown.read_text().splitlines() if "**Eagle holds the track**" in x)
    assert "not measured" in line


def test_a_report_costs_well_under_a_second(room: ReportRoom) -> None:
    """CPU time of the best of five, after the first (which compiles the templates)."""
    room.render(SAMPLES["music"])
    took = []
    for i in range(5):
        began = time.process_time()
        room.render(replace(SAMPLES["music"], run=f"{i:032x}.g1"))
        took.append(time.process_time() - began)
    assert min(took) < 0.2


@pytest.mark.parametrize("form", ["markdown", "html"])
def test_gates_that_do_not_apply_are_named_in_one_line(form: str, room: ReportRoom) -> None:
    sample = SAMPLES["music"]
    judged = [
        replace(j, result=GateResult.NOT_APPLICABLE, why="", evidence=()) if j.name == "eagle" else j
        for j in sample.judged
    ]
    other = replace(judged[0], name="library.scanned", title="Shelves were dusted", evidence=())
    judged.append(replace(other, result=GateResult.NOT_APPLICABLE))
    text = getattr(room.render(replace(sample, judged=judged)), form).read_text()
    assert "Shelves" not in text and text.count("library.scanned") == 1
    assert "Gates that do not apply to this task" in text
