"""Fingerprints: taken in the decode that measures, kept with the track, and never of another sound."""

from __future__ import annotations

import hashlib
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.sdk import Done, PermanentError
from daemon.testing import DirectContext, HandlerRun
from handlers.music import measure, sound
from handlers.music.library import Library
from handlers.music.model import Placed, Tool
from tests.music.conftest import Site, Sync, answer, library_files
from tests.music.test_music_library import BASE

MELODY = "aevalsrc=0.3*sin(2*PI*t*(220+40*floor(mod(t*{a}\\,7))))|0.2*sin(2*PI*t*330):d={d}:s={rate}"
NAMES = 'artist = "X"\ntitle = "Y"\n'
WORDS = list(range(1, 2**32, 2**32 // 900))
Make = Callable[..., None]


@pytest.fixture(autouse=True)
def _able(tool: Tool) -> None:
    if "chromaprint" not in tool.muxers:
        pytest.skip("this ffmpeg has no chromaprint muxer")


@pytest.fixture(scope="module")
def melodies(tmp_path_factory: pytest.TempPathFactory, ffmpeg: Make) -> Path:
    """One melody as AAC and again as MP3, another one, and one of 150 s."""
    root = tmp_path_factory.mktemp("melodies")
    ffmpeg("-f", "lavfi", "-i", MELODY.format(a=2, d=20, rate=44100), root / "a.wav")
    ffmpeg("-i", root / "a.wav", "-c:a", "aac", "-b:a", "128k", root / "a.m4a")
    ffmpeg("-i", root / "a.wav", "-c:a", "libmp3lame", "-b:a", "96k", root / "again.mp3")
    other = MELODY.format(a=3.3, d=20, rate=48000)
    ffmpeg("-f", "lavfi", "-i", other, "-c:a", "libmp3lame", root / "other.mp3")
    long = MELODY.format(a=2, d=150, rate=48000)
    ffmpeg("-f", "lavfi", "-i", long, "-ac", "1", "-c:a", "aac", "-b:a", "64k", root / "long.m4a")
    ffmpeg("-f", "lavfi", "-i", MELODY.format(a=2, d=1, rate=44100), root / "short.wav")
    return root


@pytest.mark.parametrize("name", ["a.m4a", "a.wav", "again.mp3", "long.m4a", "short.wav"])
@pytest.mark.parametrize("mono", [False, True])
def test_the_fingerprint_of_the_one_decode_changes_nothing_else_of_it(
    name: str, mono: bool, melodies: Path, ctx: DirectContext, tool: Tool, tmp_path: Path
) -> None:
    path, tap = str(melodies / name), tmp_path / "x.fp"
    small = tmp_path / "m.pcm" if mono else None
    plain = measure.measure(ctx, tool, path, True, small)
    samples = small.read_bytes() if small else b""
    found = measure.measure(ctx, tool, path, True, small, tap)
    assert replace(found, fingerprint="", cpu_s=0.0) == replace(plain, cpu_s=0.0)
    assert not small or small.read_bytes() == samples
    assert plain.fingerprint == "" and not tap.exists()
    alone = sound.fingerprint(ctx, tool, path, tmp_path / "alone.fp")
    if name == "short.wav":
        assert found.fingerprint == "" and alone is None
        return
    words = sound.unpacked(found.fingerprint)
    assert words == alone  # what is kept and what is taken later are one and the same
    assert sound.packed(words) == found.fingerprint and len(found.fingerprint) < 6000
    assert (900 < len(words) < 1000) if name == "long.m4a" else (100 < len(words) < 200)


def stand_in(path: Path, text: str) -> Path:
    path.write_text(f"#!{sys.executable}\nimport os, subprocess, sys\n{text}")
    path.chmod(0o755)
    return path


def test_a_fingerprint_that_fails_is_no_damage_of_the_source(
    melodies: Path, audio: Path, ctx: DirectContext, tool: Tool, tmp_path: Path
) -> None:
    refuses = stand_in(
        tmp_path / "ffmpeg",
        f"if 'chromaprint' in sys.argv: sys.exit(1)\nos.execv({tool.path!r}, sys.argv)\n",
    )
    broken = replace(tool, path=str(refuses))
    found = measure.measure(ctx, broken, str(melodies / "a.m4a"), True, None, tmp_path / "x.fp")
    plain = measure.measure(ctx, tool, str(melodies / "a.m4a"), True)
    assert replace(found, cpu_s=0.0, warnings=()) == replace(plain, cpu_s=0.0)
    assert found.fingerprint == "" and found.loudness is not None
    assert len(found.warnings) == 1 and found.warnings[0].startswith("no fingerprint: ")
    for name in ("broken.m4a", "cut.m4a"):
        with pytest.raises(PermanentError, match=r"damaged|not audio"):
            measure.measure(ctx, tool, str(audio / name), True, None, tmp_path / "x.fp")


def test_where_ffmpeg_has_no_muxer_fpcalc_takes_it(
    melodies: Path, ctx: DirectContext, tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in of fpcalc that answers as 1.5 does on a short WAV: the print, and exit code 3."""
    own = sound.fingerprint(ctx, tool, str(melodies / "a.wav"), tmp_path / "own.fp")
    stand_in(tmp_path / "fpcalc", f"print({','.join(map(str, own or []))!r})\nsys.exit(3)\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    without = replace(tool, muxers=tuple(m for m in tool.muxers if m != "chromaprint"))
    found = measure.measure(ctx, without, str(melodies / "a.wav"), True, None, tmp_path / "x.fp")
    assert own and sound.unpacked(found.fingerprint) == own
    assert sound.said(without, found.fingerprint).endswith("by fpcalc")
    (tmp_path / "fpcalc").unlink()
    found = measure.measure(ctx, without, str(melodies / "a.wav"), True, None, tmp_path / "x.fp")
    assert found.fingerprint == "" and sound.said(without, "").startswith("none: neither")


def test_a_fingerprint_is_kept_with_the_samples_it_was_taken_of(tmp_path: Path) -> None:
    prints = sound.packed(WORDS)
    with Library(tmp_path / "x.db") as library:
        library.put(BASE, "one", [], fingerprint=prints)
        assert library.fingerprint(BASE.id) == prints
        library.put(replace(BASE, album="Another"), "one", [])  # a scan, a repair: the same samples
        assert library.fingerprint(BASE.id) == prints
        library.put(BASE, "two", [])
        assert library.fingerprint(BASE.id) == ""
        library.put(BASE, "", [], fingerprint=prints)  # of what, nothing says
        assert library.fingerprint(BASE.id) == "" == library.fingerprint("nobody")
    with sqlite3.connect(tmp_path / "x.db") as db:
        assert db.execute("SELECT count(*) FROM fingerprint").fetchone() == (0,)


def test_an_earlier_version_that_writes_into_the_index_leaves_no_wrong_fingerprint(tmp_path: Path) -> None:
    with Library(tmp_path / "x.db") as library:
        library.put(BASE, "one", [], fingerprint=sound.packed(WORDS))
    with sqlite3.connect(tmp_path / "x.db") as db:
        db.execute("UPDATE track SET pcm = 'two'")  # all that it knows of
    with Library(tmp_path / "x.db") as library:
        assert library.fingerprint(BASE.id) == ""


def heard(run: HandlerRun) -> tuple[str, str]:
    assert isinstance(run.outcome, Done), run.outcome
    dedup = run.outcome.data["dedup"]
    return dedup["call"], dedup["fingerprints"]


KEPT, DECODED = "of the source kept, of the library kept", "of the source kept, of the library decoded"


@pytest.fixture
def songs(site: Site, melodies: Path) -> Site:
    for name, kind in (("a.m4a", "audio/mp4"), ("again.mp3", "audio/mpeg"), ("other.mp3", "audio/mpeg")):
        site.routes[f"m/{name}"] = answer(200, (melodies / name).read_bytes(), Content_Type=kind)
    return site


def test_kept_fingerprints_decide_a_near_duplicate_without_another_decode(
    songs: Site, sync: Sync, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = sync(songs.url("m/a.m4a"), NAMES)
    assert isinstance(first.outcome, Done), first.outcome
    lines = [f for p in first.outcome.data["phases"] for f in p["findings"] if f["title"] == "Fingerprint"]
    assert lines[0]["text"].endswith("words, from the same decode")
    files = library_files(tmp_path / "home")
    monkeypatch.setattr(sound, "fingerprint", None)  # a decode for the comparison would be a call of it
    again = sync(songs.url("m/again.mp3"), NAMES)
    assert isinstance(again.outcome, Done), again.outcome
    assert heard(again) == ("same", KEPT) and again.outcome.data["dedup"]["error_rate"] < sound.SAME
    assert library_files(tmp_path / "home") == files
    other = sync(songs.url("m/other.mp3"), NAMES)
    assert isinstance(other.outcome, Done), other.outcome
    assert heard(other) == ("new", KEPT) and other.outcome.data["dedup"]["error_rate"] >= sound.DOUBT
    assert set(files) < set(library_files(tmp_path / "home"))


def test_an_index_of_an_earlier_version_is_opened_and_its_files_are_heard(
    songs: Site, sync: Sync, tmp_path: Path
) -> None:
    sync(songs.url("m/a.m4a"), NAMES)
    with sqlite3.connect(tmp_path / "home/library.db") as db:
        db.execute("DROP TABLE fingerprint")
    again = sync(songs.url("m/again.mp3"), NAMES)
    assert heard(again) == ("same", DECODED) and again.outcome.data["dedup"]["error_rate"] < sound.SAME


def test_a_replaced_file_is_never_answered_for_by_the_old_fingerprint(
    songs: Site, sync: Sync, ffmpeg: Make, melodies: Path, tmp_path: Path
) -> None:
    sync(songs.url("m/a.m4a"), NAMES)
    nearest = tmp_path / "home/music/Unassigned/X - Y.m4a"
    for path in (nearest, tmp_path / "home/music/_backup/Unassigned/X - Y.m4a"):
        ffmpeg("-i", melodies / "other.mp3", "-vn", "-c:a", "aac", path)
    before = nearest.read_bytes()
    again = sync(songs.url("m/again.mp3"), NAMES)  # the old print says: the same. What lies there is not.
    assert isinstance(again.outcome, Done), again.outcome
    assert heard(again) == ("new", DECODED) and again.outcome.data["dedup"]["error_rate"] >= sound.DOUBT
    assert nearest.read_bytes() == before


def test_a_file_of_the_same_size_is_told_from_the_one_that_was_placed(tmp_path: Path) -> None:
    path = tmp_path / "x.m4a"
    path.write_bytes(b"one")
    digest = hashlib.sha256(b"one").hexdigest()
    placed = Placed(format="m4a", path=str(path), how="new", sha256=digest, bytes=3)
    assert sound.unchanged(placed)
    assert not sound.unchanged(replace(placed, sha256=""))  # a scan's: nobody made it here
    path.write_bytes(b"two")
    assert not sound.unchanged(placed)


def test_a_track_whose_files_are_gone_is_not_heard(
    melodies: Path, ctx: DirectContext, tool: Tool, tmp_path: Path
) -> None:
    prints, index = sound.packed(WORDS), tmp_path / "x.db"
    gone = Placed(format="m4a", path=str(tmp_path / "gone.m4a"), how="new", sha256="0" * 64, bytes=1)
    with Library(index) as library:
        library.put(BASE, "one", [gone], fingerprint=prints)
    path = str(melodies / "a.m4a")
    said = sound.compare(ctx, tool, path, prints, index, BASE.id, tmp_path / "f")
    assert said == sound.Heard(rate=None, ours="kept", theirs="missing")
