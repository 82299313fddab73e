"""The predecessor's incidents RP-1 to RP-11, each as it would happen here."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.core.evidence import Evidence, Gate, GateResult, Judged, Verdict, files_of, judge, verdict
from daemon.core.ports import Bundle
from daemon.core.text import RUN_UNITS, utf16_units
from daemon.reports import ReportRoom, folders, gaps
from daemon.reports.check import check_templates
from daemon.reports.compare import Baseline
from daemon.reports.samples import BEGAN, MUSIC_GATES, samples

SAMPLES = samples()


def with_evidence(*evidence: Evidence) -> Bundle:
    """The music sample, judged over this evidence alone."""
    judged = judge(MUSIC_GATES, evidence, started=BEGAN)
    return replace(SAMPLES["music"], evidence=evidence, judged=judged, files=[])


def piece(gate: str, kind: str, subject: str, ok: bool, at: float = BEGAN + 1, **data: object) -> Evidence:
    return Evidence(gate=gate, kind=kind, subject=subject, ok=ok, data=data, at=at)


def test_RP_1_success_is_never_a_constant(room: ReportRoom) -> None:
    """The handler said done, nothing was measured: the report says Failed, whatever the summary claims."""
    bundle = replace(with_evidence(), summary="WORKFLOW COMPLETE - SUCCESS")
    made = room.render(bundle)
    assert "**Status:** ❌ Failed — 0 of 9 required gates passed" in made.markdown.read_text()
    assert '<div class="verdict bad"><strong>❌ Failed</strong>' in made.html.read_text()
    assert made.section.startswith("**❌ Failed** — 0 of 9 required gates passed")


@pytest.mark.parametrize(
    "results", [("passed", "failed"), ("passed", "unknown"), ("passed", "passed"), ("unknown",)]
)
def test_RP_1_the_status_line_follows_the_gates(results: tuple[str, ...], room: ReportRoom) -> None:
    judged = [
        Judged(
            name=f"g{i}",
            title=f"g{i}",
            group="Execution",
            required=True,
            result=GateResult(r),
            why="",
            evidence=(),
        )
        for i, r in enumerate(results)
    ]
    expected = verdict(judged)
    text = room.render(replace(SAMPLES["task"], judged=judged)).markdown.read_text()
    assert re.search(rf"^\*\*Status:\*\* \S+ {expected.value} — ", text, flags=re.M)
    assert (expected is Verdict.SUCCESS) == (set(results) == {"passed"})


def test_RP_2_library_totals_are_a_warning_and_no_proof(room: ReportRoom) -> None:
    made = room.render(
        with_evidence(piece("files", "delta", "AIFF", False, before=2734, after=2734, added=0, removed=0))
    )
    text = made.markdown.read_text()
    assert "⚠️ AIFF: 2,734 files there, 0 new" in text
    assert "This run made no files." in text
    assert "Success" not in text.replace("Success Criteria", "")


def test_RP_2_files_that_were_there_already_are_not_counted_as_made(room: ReportRoom) -> None:
    pieces = [
        piece(
            "files", "file", f"a.{ext}", True, path=f"music/a.{ext}", bytes=9, sha256="ab" * 32, how="there"
        )
        for ext in ("m4a", "wav")
    ]
    bundle = replace(with_evidence(*pieces), files=files_of(pieces))
    made = room.render(bundle)
    text = made.markdown.read_text()
    assert "⚠️ 2 files there already and checked again, 0 new" in text
    assert "This run made no files of its own; these it checked again." in text
    assert "was there already" in text
    assert "2 files there already" in made.section
    assert "made (" not in made.section
    assert json.loads(made.evidence.read_text())["formats"] == []


def test_RP_3_evidence_older_than_the_run_proves_nothing(room: ReportRoom) -> None:
    stale = piece("files", "file", "M4A", True, at=BEGAN - 3600, path="music/a.m4a", bytes=1, sha256="0" * 64)
    text = room.render(with_evidence(stale)).markdown.read_text()
    line = next(x for x in text.splitlines() if "(`files`, required)" in x)
    assert (
        "not measured — 1 piece\\(s\\)" in line or "not measured — 1 piece(s) of evidence are older" in line
    )


def test_RP_3_a_claimed_file_without_evidence_is_not_listed(room: ReportRoom) -> None:
    made = room.render(replace(with_evidence(), data={"files": ["music/claimed.m4a"]}))
    assert "claimed.m4a" not in made.markdown.read_text()


def test_RP_4_a_write_that_does_not_read_back_is_shown_as_failed(room: ReportRoom) -> None:
    text = room.render(
        with_evidence(
            piece("tracks-row", "page", "4" * 32, False, property="Downloaded", wrote=True, read=None)
        )
    ).markdown.read_text()
    line = next(x for x in text.splitlines() if "❌ page" in x)
    assert "wrote yes; read —" in line


def test_RP_5_a_status_document_is_replaced_and_never_appended(room: ReportRoom, tmp_path: Path) -> None:
    path = tmp_path / "MUSIC_WORKFLOW_IMPLEMENTATION_STATUS.md"
    path.write_text("# Status\n\nWritten by a person.\n")
    for i in range(4):
        room.render(replace(SAMPLES["music"], run=f"{i:032x}.g1", started=BEGAN + i))
        room.status_document(path, "music")
        room.status_document(path, "music")
    text = path.read_text()
    assert text.startswith("# Status\n\nWritten by a person.\n")
    assert text.count("**Latest run:**") == 1
    assert len(text.splitlines()) == len(set(text.splitlines()) - {""}) + text.splitlines().count("")


def test_RP_6_one_folder_one_naming_rule(room: ReportRoom, tmp_path: Path) -> None:
    for bundle in SAMPLES.values():
        room.render(bundle)
        room.render(bundle)
    root = tmp_path / "reports"
    assert os.listdir(tmp_path) == ["reports"]
    names = [n for month in folders.months(root) for n in os.listdir(month)]
    assert len(names) == len(SAMPLES)
    assert all(folders.NAME.fullmatch(n) for n in names)
    assert {n for n in os.listdir(root) if not n.isdigit()} <= {
        ".lock",
        "index.html",
        "index.jsonl",
        "index-2026-01.html",
    }


def test_RP_7_gaps_come_from_evidence_and_keep_their_key() -> None:
    bundle = SAMPLES["music-partial"]
    keys = [g.key for g in gaps.find(bundle, Baseline())]
    assert keys
    assert len(keys) == len(set(keys))
    assert [g.key for g in gaps.find(replace(bundle, run="f" * 32 + ".g9"), Baseline())] == keys
    assert gaps.find(SAMPLES["music"], Baseline()) == []


@pytest.mark.parametrize(
    "title", ["Implementation:", "Create music_workflow/cli/main.py", "scripts/batch.py", "a\\b.js"]
)
def test_RP_8_words_never_become_files(title: str, room: ReportRoom, tmp_path: Path) -> None:
    bundle = SAMPLES["task"]
    room.render(replace(bundle, task=replace(bundle.task, title=title, description=title), summary=title))
    made = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert {p.name for p in made} <= {
        *folders.FILES,
        ".lock",
        "index.html",
        "index.jsonl",
        "index-2026-01.html",
    }


def test_RP_9_the_checker_is_tried_on_good_and_on_bad(tmp_path: Path) -> None:
    assert check_templates() == []
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "report.md.j2").write_text("{{ report.nothing }}")
    assert [p for p in check_templates(user_templates=tmp_path) if "task/report.md.j2:1" in p]
    good = judge([Gate(name="a", title="a")], [piece("a", "check", "x", True)], started=BEGAN)
    bad = judge([Gate(name="a", title="a")], [piece("a", "check", "x", False)], started=BEGAN)
    assert (verdict(good), verdict(bad)) == (Verdict.SUCCESS, Verdict.FAILED)


def test_RP_10_blocked_says_why_and_what_unblocks(room: ReportRoom) -> None:
    why = "the output volume is not mounted → mount it, then set Ready again"
    made = room.render(replace(SAMPLES["music"], outcome="blocked", status="Blocked", why=why))
    for text in (made.markdown.read_text(), made.section):
        assert "⛔ Blocked" in text
        assert why in text
    assert f"1. {why}" in made.markdown.read_text()


@pytest.mark.parametrize("gates", [0, 1, 500])
def test_RP_11_what_goes_on_the_page_fits_and_links_to_the_rest(
    gates: int, make_room: Callable[..., ReportRoom]
) -> None:
    judged = [replace(SAMPLES["music"].judged[0], name=f"g{i}", title="𝄞 " * 500) for i in range(gates)]
    bundle = replace(SAMPLES["music"], judged=judged, summary="*_[" * 9000, why="😀" * 9000)
    made = make_room().render(bundle)
    assert utf16_units(made.section) <= 1500 < RUN_UNITS
    assert f"[Full report](<{made.link}>)" in made.section
