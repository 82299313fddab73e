"""Figures, amounts and the outline: small pure parts."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.core.ports import Bundle
from daemon.reports import amounts, figures
from daemon.reports.outline import outline
from daemon.reports.samples import samples
from daemon.reports.view import view
from daemon.reports.wording import facts

SAMPLES = samples()
SVG = "{http://www.w3.org/2000/svg}"


def drawn(name: str, bundle: Bundle) -> ET.Element:
    return ET.fromstring(str(figures.ALL[name](view(bundle))))


@pytest.mark.parametrize("name", ["timeline", "durations", "gates", "formats"])
def test_a_figure_is_well_formed_and_says_in_words_what_it_shows(name: str) -> None:
    svg = drawn(name, SAMPLES["music"])
    assert svg.get("role") == "img"
    assert svg.findtext(f"{SVG}title")
    assert svg.findtext(f"{SVG}desc")
    for rect in svg.iter(f"{SVG}rect"):
        left, width = rect.get("x", "0").rstrip("%"), rect.get("width", "0").rstrip("%")
        assert 0 <= float(left) <= 100
        assert float(left) + float(width) <= 100.5


@pytest.mark.parametrize("name", ["timeline", "durations", "gates", "formats"])
def test_no_data_no_figure(name: str) -> None:
    empty = replace(SAMPLES["task"], steps=[], previous=[], judged=[], files=[], evidence=[])
    assert figures.ALL[name](view(empty)) == ""


def test_the_timeline_puts_steps_where_they_happened() -> None:
    svg = drawn("timeline", SAMPLES["music"])
    bars = [r for r in svg.iter(f"{SVG}rect") if "bar" in (r.get("class") or "")]
    lefts = [float((b.get("x") or "0").rstrip("%")) for b in bars]
    assert lefts == sorted(lefts)
    download = bars[3]
    assert float((download.get("x") or "").rstrip("%")) == pytest.approx(100 * 1.7 / 14.2, abs=0.1)
    assert float((download.get("width") or "").rstrip("%")) == pytest.approx(100 * 7.2 / 14.2, abs=0.1)
    assert "download from 1.70 s for 7.20 s" in (svg.findtext(f"{SVG}desc") or "")


def test_gates_are_drawn_in_proportion() -> None:
    svg = drawn("gates", SAMPLES["music-partial"])
    assert svg.findtext(f"{SVG}desc") == "2 passed, 2 failed, 6 not measured, of 10 gates"
    widths = [float((r.get("width") or "").rstrip("%")) for r in svg.iter(f"{SVG}rect")]
    assert widths == pytest.approx([20, 20, 60], abs=0.6)


def test_a_size_that_nobody_measured_is_not_drawn_as_zero() -> None:
    files = [{"path": "a.json", "sha256": None, "bytes": None}, {"path": "b.txt", "sha256": None, "bytes": 5}]
    told = drawn("formats", replace(SAMPLES["task"], files=files)).findtext(f"{SVG}desc")
    assert told == "JSON: 1 file, not measured; TXT: 1 file, 5 B"


def test_durations_show_oldest_first_and_this_run_last() -> None:
    text = drawn("durations", SAMPLES["task"]).findtext(f"{SVG}desc")
    assert text == (
        "Oldest first: completed 2.20 s, completed 2.60 s, completed 2.10 s, this run 2.40 s. "
        "Median of the earlier ones: 2.20 s"
    )


@settings(deadline=None)
@given(st.text(max_size=80), st.floats(min_value=0, max_value=1e9), st.floats(min_value=-1e9, max_value=1e12))
def test_a_figure_is_well_formed_whatever_a_step_is_called(name: str, seconds: float, started: float) -> None:
    steps = [
        {"name": name, "state": name, "attempts": 1, "started": started, "seconds": seconds, "error": ""}
    ]
    svg = drawn("timeline", replace(SAMPLES["task"], steps=steps))
    for rect in svg.iter(f"{SVG}rect"):
        assert 0 <= float(rect.get("x", "0").rstrip("%")) <= 100


def test_the_digests_figures() -> None:
    rows = SAMPLES["digest"].data["runs"]
    assert "2 completed, 1 failed, 1 review, of 4 runs" in figures.states(rows)
    assert "music-sync: 2 runs" in figures.handlers(rows)
    assert figures.states([]) == figures.handlers([]) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.084, "84 ms"),
        (0.9996, "1.00 s"),
        (2.41, "2.41 s"),
        (59.9, "59.9 s"),
        (59.96, "1 min 00 s"),
        (185, "3 min 05 s"),
        (7620, "2 h 07 min"),
        (273600, "3 d 04 h"),
        (-5, "0 ms"),
        (None, "not measured"),
        ("12", "not measured"),
        (float("nan"), "not measured"),
        (float("inf"), "not measured"),
        (True, "not measured"),
    ],
)
def test_durations_read_well(seconds: object, text: str) -> None:
    assert amounts.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (2_402_117, "2.3 MiB"),
        (5e12, "4.5 TiB"),
        (None, "not measured"),
    ],
)
def test_sizes_read_well(count: object, text: str) -> None:
    assert amounts.size(count) == text


def test_times_are_utc() -> None:
    assert amounts.when(1_767_872_259.0) == "2026-01-08 11:37:39 UTC"
    assert amounts.when(datetime(2026, 1, 8, tzinfo=UTC)) == "2026-01-08 00:00:00 UTC"
    assert amounts.day(1_767_872_259.0) == "2026-01-08"
    assert amounts.iso(None) == ""
    assert amounts.when(1e300) == amounts.when("x") == "—"
    assert (amounts.plural(1, "file"), amounts.plural(2734, "file")) == ("1 file", "2,734 files")
    assert (amounts.short_hash("ab" * 32), amounts.short_hash(None)) == ("abababababab", "not measured")


def test_facts_have_units_and_an_end() -> None:
    made = dict(
        facts(
            "file",
            {"bytes": 2048, "seconds": 2.0, "ok": True, "read": None, "code": 1000, "argv": ["a", "b"]},
        )
    )
    assert made == {
        "bytes": "2.0 KiB",
        "seconds": "2.00 s",
        "ok": "yes",
        "read": "—",
        "code": "1000",
        "argv": "a b",
    }
    many = facts("check", {f"k{i}": i for i in range(50)})
    assert len(many) == 12
    assert many[-1] == ("more", "39 further values in evidence.json")
    assert all(
        len(value) <= 200 for _, value in facts("check", {"x": "y" * 5000, "z": {"deep": ["w" * 5000]}})
    )


def test_the_outline_numbers_sections_and_loses_no_gate() -> None:
    shown = view(SAMPLES["music"])
    phases = [
        {
            "number": "0",
            "title": "Before",
            "groups": ["pre execution"],
            "sections": [{"title": "A", "gates": ["Entry_Points"]}],
        },
        {"number": "1", "title": "During", "groups": ["Execution"]},
    ]
    made = outline(shown, phases)
    assert [(p.number, [s.number for s in p.sections]) for p in made] == [
        ("0", ["0.1", "0.2"]),
        ("1", ["1.1", "1.2", "1.3", "1.4", "1.5", "1.6"]),
        ("2", ["2.1", "2.2"]),
    ]
    assert sorted(g.name for p in made for s in p.sections for g in s.gates) == sorted(
        g.name for g in shown.gates
    )


def test_gate_marks_in_a_group_follow_the_worst_required_gate() -> None:
    marks = {g.name: g.mark for g in view(SAMPLES["music-partial"]).groups}
    assert marks["Execution"] == "❌"
    assert marks["Source"] == "✅"
    assert not re.search("✅", marks["Post-Execution"])
