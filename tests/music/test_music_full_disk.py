"""A disk that is really full, at every stage of a track: a small file system is mounted for each case."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daemon.sdk import Blocked, Done
from daemon.testing import HandlerRun, run_handler, sample_task
from handlers.music import MusicSync, Settings
from handlers.music.library import Library
from tests.music.conftest import LOOPBACK, Site, answer, context


@contextlib.contextmanager
def small(folder: Path, kib: int) -> Iterator[None]:
    """A file system of that size at ``folder``; the test is skipped where it can't be mounted."""
    folder.mkdir()
    size = ["mount", "-t", "tmpfs", "-o", f"size={kib}k,mode=700", "tmpfs", str(folder)]
    try:
        done = subprocess.run(size, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount program")
    if done.returncode:
        pytest.skip(f"a file system can't be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True, capture_output=True)


def attempt(site: Site, home: Path, work: Path, name: str = "aac.m4a", **settings: object) -> HandlerRun:
    """One run of a 4-second track: 64 KiB of M4A, 690 KiB each of WAV and AIFF."""
    base = {"allow_hosts": LOOPBACK, "min_free": 0}
    chosen = Settings(**{**base, **settings})  # type: ignore[arg-type]  # a test's own
    task = sample_task(id="a" * 32, url=site.url(name))
    return run_handler(MusicSync, task, home, context=context(chosen, home, work, task.id))


def left(folder: Path) -> list[str]:
    """Files of a folder, but for the marks of its identity and the lock."""
    files = (p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".handoffd"))
    return sorted(str(p.relative_to(folder)) for p in files)


@pytest.mark.parametrize(
    ("kib", "stage"),
    [(60, "downloading"), (132, "measuring"), (900, "rendering"), (1400, "rendering")],
)
def test_a_full_work_disk_is_named_and_nothing_half_is_left(
    site: Site, tmp_path: Path, kib: int, stage: str
) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    with small(work, kib):
        run = attempt(site, home, work)
        assert isinstance(run.outcome, Blocked)
        assert run.outcome.reason == f"no space left while {stage}"
        assert "free space" in run.outcome.unblock
        assert left(home / "music") == []
        assert not [name for name in left(work) if "track." in name]
    again = tmp_path / "again"
    again.mkdir()
    assert isinstance(attempt(site, home, again).outcome, Done)
    assert len(left(home / "music")) == 4


def test_a_disk_that_fills_while_tagging_is_named_too(
    site: Site, tmp_path: Path, audio: Path, ffmpeg: Callable[..., None]
) -> None:
    """The cover is 300 KiB or more, and goes into three files: the disk has room for one of them."""
    picture, source = tmp_path / "noise.jpg", tmp_path / "noise.mp3"
    noise = "color=gray:s=640x640,noise=alls=100:allf=t:all_seed=3,format=yuvj444p"
    ffmpeg("-f", "lavfi", "-i", noise, "-frames:v", "1", "-q:v", "2", picture)
    both = ("-i", audio / "mp3.mp3", "-i", picture, "-map", "0:a", "-map", "1:v")
    ffmpeg(*both, "-c", "copy", "-id3v2_version", "3", source)
    cover = picture.stat().st_size >> 10
    assert cover >= 300
    site.routes["noise.mp3"] = answer(200, source.read_bytes(), Content_Type="audio/mpeg")
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    with small(work, 1800 + 3 * cover):
        run = attempt(site, home, work, "noise.mp3")
        assert isinstance(run.outcome, Blocked)
        assert run.outcome.reason == "no space left while tagging"
        assert left(home / "music") == []
        assert not [name for name in left(work) if "track." in name]


@pytest.mark.parametrize("kib", [16, 100, 400, 800, 1400])
def test_a_full_music_disk_is_named_and_nothing_half_is_left(site: Site, tmp_path: Path, kib: int) -> None:
    home, work, disk = tmp_path / "home", tmp_path / "work", tmp_path / "disk"
    home.mkdir()
    work.mkdir()
    with small(disk, kib):
        run = attempt(site, home, work, output=str(disk / "music"), backup=str(disk / "backup"))
        assert isinstance(run.outcome, Blocked)
        assert run.outcome.reason.startswith("no space left in the music folder")
        assert left(disk) == []
        with Library(home / "library.db") as index:
            assert index.size() == 0
