"""Beside earlier runs: new, slower, missing; and the gaps that follow from it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.core.evidence import Evidence, GateResult
from daemon.core.ports import Bundle
from daemon.core.status import Status
from daemon.reports import ReportRoom, gaps
from daemon.reports.compare import Baseline, baseline_from, compare
from daemon.reports.samples import BEGAN, samples

SAMPLES = samples()


def codes(
    bundle: Bundle, baseline: Baseline | None = None, formats: dict[str, int] | None = None
) -> list[str]:
    return [n.code for n in compare(bundle, baseline or Baseline(), formats or {})]


def past(*seconds: float, state: str = "completed") -> list[dict[str, object]]:
    return [
        {"run": f"{i:032x}.g1", "seconds": s, "state": state, "ended": 0.0} for i, s in enumerate(seconds)
    ]


@pytest.mark.parametrize(
    ("took", "earlier", "slow"),
    [
        (10.0, (3.0, 3.0, 3.0), True),
        (9.0, (3.0, 3.0, 3.0), False),
        (9.1, (3.0, 3.0, 3.0), True),
        (100.0, (3.0, 3.0), False),
        (0.9, (0.1, 0.1, 0.1), False),
        (10.0, (0.0, 0.0, 0.0), True),
    ],
)
def test_slower_means_more_than_three_times_the_median_of_enough_runs(
    took: float, earlier: tuple[float, ...], slow: bool
) -> None:
    bundle = replace(SAMPLES["task"], ended=BEGAN + took, previous=past(*earlier))
    assert ("slower-run" in codes(bundle)) is slow


def test_a_slow_step_is_named() -> None:
    baseline = Baseline(run="x", steps={"read-source": [0.2, 0.3, 0.2], "write-inventory": [0.1]})
    found = [n for n in compare(SAMPLES["task"], baseline, {}) if n.code == "slower-step"]
    assert [n.about for n in found] == ["read-source"]
    assert found[0].text == "Step read-source took 1.20 s, 6.0 times the median of 3 earlier runs (200 ms)"


def test_a_gate_that_was_proved_before_and_not_measured_now_is_missing() -> None:
    baseline = Baseline(
        run="x", gates={"eagle": "passed", "gone": "passed", "tags": "passed", "old": "failed"}
    )
    found = [n.about for n in compare(SAMPLES["music"], baseline, {}) if n.code == "missing-gate"]
    assert found == ["eagle", "gone"]


def test_the_first_run_says_so_and_warns_of_nothing() -> None:
    assert codes(replace(SAMPLES["handoff"], previous=())) == ["first-run"]


def test_files_are_compared_by_format() -> None:
    baseline = Baseline(run="x", gates={"a": "passed"}, formats={"WAV": 1, "M4A": 2})
    found = [
        n for n in compare(SAMPLES["music"], baseline, {"M4A": 2, "AIFF": 1}) if n.code == "files-changed"
    ]
    assert [(n.about, n.level) for n in found] == [("WAV", "warning"), ("AIFF", "info")]


def test_the_room_reads_the_baseline_from_earlier_reports(room: ReportRoom) -> None:
    first = SAMPLES["music"]
    room.render(first)
    later = replace(
        first,
        run="f" * 32 + ".g1",
        started=BEGAN + 600,
        ended=BEGAN + 614,
        judged=[replace(j, result=GateResult.UNKNOWN) if j.name == "tags" else j for j in first.judged],
        files=[],
        evidence=[],
        previous=[{"run": first.run, "seconds": 14.2, "state": "completed", "ended": BEGAN + 14.2}],
    )
    text = room.render(later).markdown.read_text()
    assert "Gate tags passed in the run before and was not measured in this one" in text
    assert "0 M4A files made; 2 in the run before" in text


def test_the_comparison_stays_when_the_earlier_report_is_gone(room: ReportRoom) -> None:
    import shutil

    first = room.render(SAMPLES["music"])
    later = replace(
        SAMPLES["music-partial"],
        started=BEGAN + 60,
        previous=[{"run": SAMPLES["music"].run, "seconds": 14.2, "state": "completed", "ended": BEGAN}],
    )
    made = room.render(later)
    before = made.markdown.read_bytes()
    shutil.rmtree(first.folder)
    assert room.render(later).markdown.read_bytes() == before
    assert room.rerender(made.evidence).markdown.read_bytes() == before


@pytest.mark.parametrize(
    "junk", [{}, {"gates": 3, "steps": [1, None], "formats": [{"format": "X"}]}, {"gates": [{}]}]
)
def test_an_ill_formed_earlier_report_is_no_reason_to_fail(junk: dict[str, object]) -> None:
    assert baseline_from([junk]).run == ""


def test_warnings_come_first() -> None:
    found = compare(SAMPLES["music-partial"], Baseline(run="x", gates={"x": "passed"}), {"WAV": 1})
    levels = [n.level for n in found]
    assert levels == sorted(levels, key=lambda level: level != "warning")
    assert set(levels) == {"warning", "info"}


def test_a_gap_keeps_its_key_over_runs_and_changes_it_with_what_it_is_about() -> None:
    bundle = SAMPLES["music-partial"]
    one = {g.key for g in gaps.find(bundle, Baseline())}
    two = {
        g.key
        for g in gaps.find(replace(bundle, run="e" * 32 + ".g7", started=BEGAN + 5, host="other"), Baseline())
    }
    assert one == two
    assert one.isdisjoint(g.key for g in gaps.find(replace(bundle, handler="other"), Baseline()))


def test_a_clean_run_has_no_gaps() -> None:
    for name in ("task", "music", "handoff", "handoff-waiting", "digest"):
        assert gaps.find(SAMPLES[name], Baseline()) == []


def test_a_repeated_failure_is_one_gap_whatever_the_numbers_in_its_words() -> None:
    def run(why: str, failed: int) -> Bundle:
        return replace(
            SAMPLES["task-failed"], why=why, steps=[], previous=past(*[1.0] * failed, state="failed")
        )

    first = gaps.find(run("10.0.0.9:5432 does not answer after 3 attempts", 2), Baseline())
    again = gaps.find(run("10.0.0.8:5433 does not answer after 12 attempts", 5), Baseline())
    other = gaps.find(run("disk full", 2), Baseline())
    assert [g.rule for g in first] == ["repeated-failure"]
    assert first[0].key == again[0].key != other[0].key
    assert gaps.find(run("disk full", 1), Baseline()) == []


def test_a_gap_becomes_a_draft_with_its_key() -> None:
    gap = gaps.find(SAMPLES["music-partial"], Baseline())[0]
    draft = gap.draft()
    assert draft.source_key == gap.key
    assert draft.status is Status.DRAFT
    assert gap.seen in draft.description


def test_slow_and_flaky_steps_are_gaps() -> None:
    steps = [
        {"name": "download", "state": "done", "attempts": 4, "started": BEGAN, "seconds": 60.0, "error": ""}
    ]
    bundle = replace(SAMPLES["task"], steps=steps)
    found = gaps.find(bundle, Baseline(run="x", steps={"download": [1.0, 2.0, 3.0]}))
    assert [(g.rule, g.about) for g in found] == [("slow-step", "download"), ("flaky-step", "download")]


def test_the_room_finds_gaps_beside_its_reports(room: ReportRoom) -> None:
    assert {g.rule for g in room.gaps(SAMPLES["music-partial"])} == {"gate-unmeasured", "nothing-new"}


@settings(deadline=None)
@given(st.text(max_size=200))
def test_the_class_of_a_failure_is_stable(why: str) -> None:
    once = gaps.failure_class(why)
    assert gaps.failure_class(why) == once
    assert "\n" not in once


@settings(deadline=None)
@given(st.integers(min_value=-5, max_value=10_000), st.integers(min_value=-5, max_value=10_000))
def test_nothing_new_is_said_exactly_when_files_are_there_and_none_was_added(added: int, after: int) -> None:
    item = Evidence(
        gate="files",
        kind="delta",
        subject="AIFF",
        ok=True,
        data={"added": added, "after": after},
        at=BEGAN + 1,
    )
    bundle = replace(SAMPLES["task"], evidence=[item])
    assert ("nothing-new" in codes(bundle)) is (added == 0 and after > 0)
