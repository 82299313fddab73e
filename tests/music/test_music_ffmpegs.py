"""The sync with each ffmpeg that is here: the system's, and the one that the lock file brings.

Their messages, options and crashes differ by version. Debian 12's 5.1 knows no ``framelog=quiet``; 7.0 aborts
on a graph that ends in a sink, and says the shortest output's time as its own.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import pytest

from daemon.sdk import Blocked, Done, PermanentError
from daemon.testing import DirectContext
from handlers.music import ffmpeg as calls
from handlers.music import hearing, measure, sound
from handlers.music.model import Tool
from tests.music.conftest import Site, Sync, gates, library_files

Make = Callable[..., None]
OLD = 'case "$*" in *-version*) echo "ffmpeg version 4.2.2-static"; exit 0;; esac'
TONE = "aevalsrc=0.3*sin(2*PI*t*(220+40*floor(mod(t*2\\,7))))|0.2*sin(2*PI*t*330):d={d}:s=44100"


@pytest.fixture(scope="module", params=["system", "bundled"])
def one(request: pytest.FixtureRequest) -> Tool:
    if request.param == "bundled":
        return calls.find_ffmpeg(str(imageio_ffmpeg.get_ffmpeg_exe()))
    path = shutil.which("ffmpeg", path=os.environ.get("HANDOFFD_TEST_PATH"))
    if path is None:
        assert os.environ.get("HANDOFFD_REQUIRE_FFMPEG") != "1", "ffmpeg is required and not installed"
        pytest.skip("the system has no ffmpeg")
    return calls.find_ffmpeg(path)


@pytest.mark.parametrize("one", ["system"], indirect=True)  # the rest of the suite runs on the bundled one
@pytest.mark.parametrize("name", ["aac.m4a", "opus.webm", "mp3.mp3", "deep.wav"])
def test_a_track_ends_as_proved_files_measured_and_heard(
    name: str, one: Tool, site: Site, sync: Sync, tmp_path: Path
) -> None:
    run = sync(site.url(name), ffmpeg=one.path)
    assert isinstance(run.outcome, Done), run.outcome
    assert len(library_files(tmp_path / "home")) == 4
    seen = gates(run)
    assert {"passed"} == {seen[g] for g in ("download.decodes", "files.same_audio", "files.durations")}
    assert run.outcome.data["source"]["loudness"] != "not measured"


@pytest.mark.parametrize("kind", ["m4a", "mp3"])
def test_what_listens_beside_the_decode_changes_nothing_of_it(
    kind: str, one: Tool, ctx: DirectContext, ffmpeg: Make, tmp_path: Path
) -> None:
    """Longer than what is heard of it: the outputs beside the samples end before them."""
    path = str(tmp_path / f"long.{kind}")
    ffmpeg("-f", "lavfi", "-i", TONE.format(d=130), path)
    mono, tap = tmp_path / "mono.pcm", tmp_path / "x.fp"
    alone = measure.measure(ctx, one, path)
    assert abs(alone.seconds - 130) < 0.1 and alone.loudness is None and alone.warnings == ()
    found = measure.measure(ctx, one, path, True, mono, tap)
    assert (found.seconds, found.samples, found.pcm) == (alone.seconds, alone.samples, alone.pcm)
    assert found.loudness is not None and -30 < found.loudness < -5 and found.peak is not None
    assert abs(mono.stat().st_size / 2 / hearing.RATE - 130) < 0.1
    assert found.warnings == ()
    assert ("chromaprint" in one.muxers) == bool(found.fingerprint)
    if found.fingerprint:
        assert sound.LONGEST_S * 7 < len(sound.unpacked(found.fingerprint)) < sound.LONGEST_S * 9


@pytest.mark.parametrize("end", ["exit 1", "kill -6 $$"])
def test_a_meter_that_fails_is_no_damage_of_the_sound(
    end: str, tool: Tool, audio: Path, site: Site, sync: Sync, tmp_path: Path
) -> None:
    sick = script(tmp_path, tool, f'case "$*" in *ebur128=*) echo "meter broken" >&2; {end};; esac')
    run = sync(site.url("aac.m4a"), ffmpeg=str(sick))
    assert isinstance(run.outcome, Done), run.outcome
    assert run.outcome.data["source"]["loudness"] == "not measured"
    warnings = next(e for e in run.context.recorded if e.gate == "download.decodes").data["warnings"]
    assert [w.split(":")[0] for w in warnings][:1] == ["no loudness, no samples for the analysis"]


def test_a_damaged_file_is_damaged_without_the_meter_too(
    one: Tool, audio: Path, ctx: DirectContext, tmp_path: Path
) -> None:
    with pytest.raises(PermanentError, match="damaged"):
        measure.measure(ctx, one, str(audio / "cut.m4a"), True, tmp_path / "mono.pcm", tmp_path / "x.fp")
    assert not (tmp_path / "mono.pcm").exists() and not (tmp_path / "x.fp").exists()


def test_an_old_ffmpeg_is_refused_by_its_version(tool: Tool, sync: Sync, site: Site, tmp_path: Path) -> None:
    old = script(tmp_path, tool, OLD)
    assert calls.missing(calls.find_ffmpeg(str(old))) == ["version 4.4 (it is 4.2.2)"]
    outcome = sync(site.url("aac.m4a"), ffmpeg=str(old)).outcome
    assert isinstance(outcome, Blocked) and "lacks version 4.4 (it is 4.2.2)" in outcome.reason


def test_an_old_system_ffmpeg_gives_way_to_the_bundled_one(
    tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = script(tmp_path, tool, OLD)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert shutil.which("ffmpeg") == str(old)
    assert calls.find_ffmpeg().path == str(imageio_ffmpeg.get_ffmpeg_exe())


def script(folder: Path, tool: Tool, first: str) -> Path:
    """An ffmpeg that does ``first``, and then what the real one does."""
    path = folder / "ffmpeg"
    path.write_text(f'#!/bin/sh\n{first}\nexec "{tool.path}" "$@"\n')
    path.chmod(0o755)
    return path
