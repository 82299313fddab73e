"""Status documents: the region is ours, every byte outside it is the person's."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from daemon.core.errors import ConfigError
from daemon.reports import ReportRoom, status_docs
from daemon.reports.samples import BEGAN, samples

SAMPLES = samples()
BEGIN, END = status_docs.markers("music")
free = st.binary(max_size=200).filter(lambda b: b"handoffd:" not in b)


@settings(deadline=None)
@given(before=free, after=free, old=free, new=free)
def test_bytes_outside_the_markers_never_change(before: bytes, after: bytes, old: bytes, new: bytes) -> None:
    text = before + BEGIN + b"\n" + old + b"\n" + END + after
    made = status_docs.merge(text, "music", new)
    assert made.startswith(before + BEGIN)
    assert made.endswith(END + after)
    assert status_docs.merge(made, "music", new) == made


@settings(deadline=None)
@given(text=free, new=free)
@example(text=b"\r", new=b"")  # found by chance once: our newline made a Windows line end of it
def test_a_file_without_a_region_gets_one_at_its_end(text: bytes, new: bytes) -> None:
    made = status_docs.merge(text, "music", new)
    assert made.startswith(text)
    assert made.count(BEGIN) == made.count(END) == 1
    assert status_docs.merge(made, "music", new) == made


@settings(deadline=None)
@given(first=free, second=free)
def test_regions_do_not_disturb_each_other(first: bytes, second: bytes) -> None:
    text = status_docs.merge(status_docs.merge(b"# Mine\n", "music", first), "handoff", second)
    changed = status_docs.merge(text, "handoff", b"other")
    begin, end = status_docs.markers("music")
    at, to = text.index(begin), text.index(end)
    assert changed[at:to] == text[at:to]


@pytest.mark.parametrize(
    "text",
    [BEGIN, END, END + b"\n" + BEGIN, BEGIN + BEGIN + END, BEGIN + b"\n" + END + b"\n" + END],
)
def test_broken_markers_are_named_and_nothing_is_written(text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "status.md"
    path.write_bytes(text)
    with pytest.raises(ConfigError, match="broken") as caught:
        status_docs.update(path, "music", b"new")
    assert "delete both" in caught.value.hint
    assert path.read_bytes() == text


def test_a_body_with_a_marker_is_refused() -> None:
    with pytest.raises(ConfigError, match="marker"):
        status_docs.merge(b"", "music", b"x " + END)


@pytest.mark.parametrize("name", ["", "../x", "Music", "a b", "x" * 41, "a\n"])
def test_a_region_has_a_plain_name(name: str) -> None:
    with pytest.raises(ConfigError):
        status_docs.markers(name)


def test_windows_line_ends_stay(tmp_path: Path) -> None:
    path = tmp_path / "status.md"
    path.write_bytes(b"# Mine\r\n")
    status_docs.update(path, "music", b"a\nb\n")
    assert path.read_bytes() == b"# Mine\r\n\r\n" + BEGIN + b"\r\na\r\nb\r\n" + END + b"\r\n"


def test_mode_and_link_are_kept(tmp_path: Path) -> None:
    real = tmp_path / "real.md"
    real.write_text("# Mine\n")
    real.chmod(0o640)
    (tmp_path / "link.md").symlink_to(real)
    assert status_docs.update(tmp_path / "link.md", "music", b"x").changed
    assert (tmp_path / "link.md").is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert b"x" in real.read_bytes()


def test_newest_on_top_and_doing_it_twice_changes_nothing(room: ReportRoom, tmp_path: Path) -> None:
    path = tmp_path / "docs" / "MUSIC_STATUS.md"
    for i in range(12):
        room.render(replace(SAMPLES["music"], run=f"{i:032x}.g1", started=BEGAN + 86400 * i))
    first = room.status_document(path, "music", title="Music workflow status")
    assert (first.changed, first.created) == (True, True)
    seen = os.stat(path).st_mtime_ns
    again = room.status_document(path, "music", title="Music workflow status")
    assert (again.changed, again.created) == (False, False)
    assert os.stat(path).st_mtime_ns == seen
    lines = [x for x in path.read_text().splitlines() if x.startswith("| 2026")]
    assert len(lines) == status_docs.LINES
    assert lines == sorted(lines, reverse=True)
    assert "12 runs" in path.read_text()
    target = lines[0].split("](<")[1].split(">)")[0]
    assert (path.parent / target).resolve().is_file()


def test_a_title_can_not_close_the_region(room: ReportRoom, tmp_path: Path) -> None:
    bundle = SAMPLES["music"]
    room.render(replace(bundle, task=replace(bundle.task, title=f"x {END.decode()} | y")))
    path = tmp_path / "status.md"
    for _ in range(2):
        room.status_document(path, "music")
    assert path.read_bytes().count(END) == 1


def test_a_kind_without_reports_says_so(room: ReportRoom, tmp_path: Path) -> None:
    room.status_document(tmp_path / "s.md", "handoff")
    assert "No run of kind `handoff` is on record." in (tmp_path / "s.md").read_text()


def test_every_document_of_a_folder_with_a_region_is_brought_up_to_date(
    room: ReportRoom, tmp_path: Path
) -> None:
    folder = tmp_path / "docs"
    assert room.refresh_documents(folder) == []
    folder.mkdir()
    begin, end = (m.decode() for m in status_docs.markers("music"))
    plain = "# Mine\n"
    (folder / "plain.md").write_text(plain)
    (folder / "music.md").write_text(f"{plain}{begin}\n{end}\nafter\n")
    (folder / "broken.md").write_text(f"{begin}\n")
    (folder / "notes.txt").write_text(f"{begin}\n{end}\n")
    room.render(SAMPLES["music"])
    (problem,) = room.refresh_documents(folder)
    assert problem.startswith("broken.md: ")
    text = (folder / "music.md").read_text()
    assert text.startswith(f"{plain}{begin}\n") and text.endswith(f"{end}\nafter\n") and "Latest run" in text
    assert (folder / "plain.md").read_text() == plain
    assert "Latest" not in (folder / "notes.txt").read_text()
