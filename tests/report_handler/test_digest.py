"""The digest: no number that is not from records, each number with the runs behind it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.core.evidence import Evidence, GateResult, Judged
from daemon.core.outcome import Blocked, Done
from daemon.sdk import RunInfo, RunRecord
from daemon.testing import DirectContext, run_handler, sample_task
from handlers.report import Report
from handlers.report.digest import compute, cross_checks, span_of

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SPAN = span_of("7d", "", NOW)
STATES = ("completed", "failed", "blocked", "review", "waiting", "running", "retrying", "cancelled")


def record(number: int, **fields: Any) -> RunRecord:
    began = NOW.timestamp() - 3600 * (number + 1)
    base: dict[str, Any] = {
        "run": f"{number:032x}.g1",
        "task": f"{number:032x}",
        "title": f"Task {number}",
        "handler": "music-sync",
        "state": "completed",
        "started": began,
        "ended": began + 10.0,
        "result": "",
        "report": "",
    }
    return RunRecord(**{**base, **fields})


def file(run_start: float, path: str, size: int | None, ok: bool = True) -> Evidence:
    data: dict[str, Any] = {"path": path, "sha256": "ab" * 32}
    if size is not None:
        data["bytes"] = size
    return Evidence(gate="files", kind="file", subject=path, ok=ok, data=data, at=run_start + 1)


def gate(name: str, result: GateResult, required: bool = True) -> Judged:
    return Judged(
        name=name, title=name, group="Execution", required=required, result=result, why="", evidence=()
    )


def context(home: Path, records: list[RunRecord]) -> DirectContext:
    run = RunInfo(id="f" * 32 + ".g1", task_id="f" * 32, generation=1, attempt=1, started=NOW, host="test")
    ctx = DirectContext(run=run, settings=None, home=home, workdir=home)
    ctx.records = records
    return ctx


def digest_task(parameters: str = "") -> Any:
    return sample_task(id="f" * 32, title="Weekly digest", handler="report", parameters=parameters)


def test_digest_of_a_week_end_to_end(tmp_path: Path) -> None:
    began = record(1).started
    records = [
        record(3, state="failed", result="the source answered 404"),
        record(2, handler="handoff", state="waiting", ended=None),
        record(1, evidence=(file(began, "music/a.m4a", 1000), file(began, "music/a.wav", 5000))),
        record(900),  # before the span
    ]
    ran = run_handler(Report, digest_task('since = "7d"'), tmp_path, context=context(tmp_path, records))
    assert isinstance(ran.outcome, Done)
    data = ran.outcome.data
    assert data["total"] == 3
    assert data["bytes_total"] == 6000 and data["files_total"] == 2
    assert [f["reason"] for f in data["failures"]] == ["the source answered 404"]
    assert [w["run"] for w in data["waiting"]] == [records[1].run]
    assert {c["name"]: c["runs"] for c in data["states"]}["failed"] == [records[0].run]
    assert [r["run"] for r in data["runs"]] == [r.run for r in records[:3]]
    assert {j.name: j.result.value for j in ran.judged} == {
        "history.read": "passed",
        "digest.computed": "passed",
    }
    assert "3 runs from 2026-11-16 12:00 UTC" in ran.outcome.summary
    assert "2 files, 6,000 bytes" in ran.outcome.summary


def test_nothing_ran_says_so_and_invents_no_number(tmp_path: Path) -> None:
    ran = run_handler(Report, digest_task(), tmp_path, context=context(tmp_path, []))
    assert isinstance(ran.outcome, Done)
    assert ran.outcome.summary.startswith("Nothing ran from ")
    assert ran.outcome.data["total"] == 0 and ran.outcome.data["warnings"] == []


def test_the_digest_does_not_count_itself(tmp_path: Path) -> None:
    own = record(0, run="f" * 32 + ".g1", state="running", ended=None, started=NOW.timestamp() - 1)
    ran = run_handler(Report, digest_task(), tmp_path, context=context(tmp_path, [own]))
    assert isinstance(ran.outcome, Done) and ran.outcome.data["total"] == 0


@pytest.mark.parametrize(
    "text", ["yesterday-ish", "7", "0d", "-3d", "2026-13-01", "1d; drop", "9" * 40 + "d"]
)
def test_a_span_that_makes_no_sense_blocks_with_a_hint(tmp_path: Path, text: str) -> None:
    ran = run_handler(Report, digest_task(f'since = "{text}"'), tmp_path, context=context(tmp_path, []))
    assert isinstance(ran.outcome, Blocked)
    assert "7d" in ran.outcome.unblock


def test_since_must_be_before_until(tmp_path: Path) -> None:
    task = digest_task('since = "1d"\nuntil = "2d"')
    ran = run_handler(Report, task, tmp_path, context=context(tmp_path, []))
    assert isinstance(ran.outcome, Blocked)


@pytest.mark.parametrize(
    ("text", "seconds"), [("7d", 7 * 86400), ("24h", 86400), (" 2W ", 14 * 86400), ("2026-11-22", 129600)]
)
def test_spans(text: str, seconds: float) -> None:
    span = span_of(text, "", NOW)
    assert not span.problem and span.until - span.since == seconds


def test_rp_2_many_runs_and_no_new_file_is_a_warning_not_a_success() -> None:
    records = [record(n, evidence=(file(1, "x", 5, ok=False),)) for n in range(3)]
    notes = [w.text for w in compute(records, SPAN).warnings]
    assert "music-sync: 3 runs completed, 0 files new" in notes


def test_vib_2955_empty_success_is_told() -> None:
    notes = compute([record(n) for n in range(5)], SPAN).warnings
    assert notes[0].text == "music-sync: 5 runs called completed without any evidence"
    assert len(notes[0].runs) == 5


def test_slow_runs_are_named_against_the_median() -> None:
    records = [record(n) for n in range(5)]
    slow = record(7, ended=record(7).started + 100)
    notes = [w for w in compute([*records, slow], SPAN).warnings if "slower" in w.text]
    assert [w.runs for w in notes] == [[slow.run]]
    assert "median of 10.0 s" in notes[0].text


def test_the_same_reason_three_times_is_a_warning() -> None:
    records = [record(n, state="failed", result="no space left") for n in range(3)]
    texts = [w.text for w in compute(records, SPAN).warnings]
    assert "music-sync: 3 times the same end: no space left" in texts


def test_vib_357_day_trigger_old_waiting_is_told() -> None:
    old = record(0, state="waiting", ended=None, started=NOW.timestamp() - 4 * 86400)
    assert any("72 h" in w.text for w in compute([old], SPAN).warnings)


def test_unknown_gates_are_counted_as_unknown_not_passed() -> None:
    digest = compute([record(1, gates=(gate("a", GateResult.UNKNOWN), gate("b", GateResult.PASSED)))], SPAN)
    assert {c.name: c.count for c in digest.gates} == {"unknown": 1, "passed": 1}
    assert any("no evidence" in w.text for w in digest.warnings)


def test_a_cross_check_fails_when_a_run_is_lost() -> None:
    records = [record(n) for n in range(3)]
    digest = compute(records[:2], SPAN)
    assert not all(c.ok for c in cross_checks(digest, records))


@st.composite
def histories(draw: st.DrawFn) -> list[RunRecord]:
    out = []
    for number in range(draw(st.integers(0, 12))):
        state = draw(st.sampled_from(STATES))
        began = NOW.timestamp() - draw(st.integers(1, 600_000))
        took = draw(st.none() | st.floats(0, 10_000))
        sizes = draw(st.lists(st.none() | st.integers(0, 10**9), max_size=3))
        out.append(
            record(
                number,
                handler=draw(st.sampled_from(("music-sync", "handoff", "x"))),
                state=state,
                started=began,
                ended=None if took is None else began + took,
                result=draw(st.text(max_size=30)),
                evidence=tuple(file(began, f"{number}-{i}", s) for i, s in enumerate(sizes)),
                gates=tuple(
                    gate(f"g{i}", r)
                    for i, r in enumerate(draw(st.lists(st.sampled_from(GateResult), max_size=3)))
                ),
            )
        )
    return out


@settings(max_examples=60, deadline=None)
@given(histories())
def test_every_number_can_be_made_again_from_the_named_runs(records: list[RunRecord]) -> None:
    digest = compute(records, SPAN)
    by_id = {r.run: r for r in records}
    assert all(c.ok for c in cross_checks(digest, records))
    for count in digest.states:
        assert count.count == len(count.runs) and all(by_id[r].state == count.name for r in count.runs)
    for made in digest.files:
        assert made.path in {e.data["path"] for e in by_id[made.run].evidence}
    for note in digest.warnings:
        assert note.runs and set(note.runs) <= by_id.keys()
    msgspec.json.encode(digest)
