"""Tempo and key: what is measured of sound whose tempo and key are known, and what is left unsaid.

The sound is generated here: clicks, drum patterns over chords, chord progressions in every key, and what has
neither: noise, silence, a drone, hits at random.
"""

from __future__ import annotations

import shutil
import wave
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutagen.aiff import AIFF
from mutagen.mp4 import MP4, MP4FreeForm
from mutagen.wave import WAVE
from numpy.typing import NDArray

from daemon.sdk import Done
from daemon.testing import DirectContext
from handlers.music import Settings, analysis, preflight
from handlers.music.hearing import RATE
from handlers.music.hearing.tempo import tempo
from handlers.music.hearing.tonality import name, relative, tonality
from handlers.music.model import Reading
from tests.music.conftest import Site, Sync, answer, gates

Sound = NDArray[np.float64]
SURE = Settings().analysis_confidence
MAJOR, MINOR = (0, 4, 7), (0, 3, 7)
KICK, SNARE, HAT, CLICK = "kick", "snare", "hat", "click"
CLICKS = {CLICK: (0, 4, 8, 12)}
HOUSE = {KICK: (0, 4, 8, 12), HAT: (2, 6, 10, 14), SNARE: (4, 12)}
ROCK = {KICK: (0, 8), SNARE: (4, 12), HAT: tuple(range(0, 16, 2))}
BROKEN = {KICK: (0, 10), SNARE: (4, 12), HAT: tuple(range(0, 16, 2))}
HIP_HOP = {KICK: (0, 7, 10), SNARE: (4, 12), HAT: tuple(range(0, 16, 2))}


def hit(kind: str, rng: np.random.Generator) -> Sound:
    t = np.arange(int(0.15 * RATE)) / RATE
    if kind == KICK:
        return 0.9 * np.sin(2 * np.pi * (50 * t + 0.75 * (1 - np.exp(-t * 40)))) * np.exp(-t * 25)
    if kind == SNARE:
        return (rng.standard_normal(t.size) * 0.3 + np.sin(2 * np.pi * 190 * t) * 0.25) * np.exp(-t * 30)
    if kind == HAT:
        return np.diff(rng.standard_normal(t.size), prepend=0) * np.exp(-t * 110) * 0.25
    return 0.8 * np.sin(2 * np.pi * 1000 * t) * np.exp(-t * 80)


def drums(
    bpm: float, pattern: dict[str, Sequence[int]], seconds: float = 45.0, *, seed: int = 1, loose: float = 0.0
) -> Sound:
    """A bar of sixteenths, again and again. ``loose``: how far hits stray, seconds."""
    rng = np.random.default_rng(seed)
    out = np.zeros(int(seconds * RATE) + RATE)
    for number in range(int(seconds * bpm / 15)):
        for kind, places in pattern.items():
            if number % 16 in places:
                at = max(0, int((number * 15 / bpm + rng.normal(0, loose)) * RATE))
                sound = hit(kind, rng)
                out[at : at + sound.size] += sound
    return out[: int(seconds * RATE)]


def chords(tonic: int, steps: Sequence[tuple[int, Sequence[int]]], seconds: float = 20.0) -> Sound:
    """One chord a second, five partials a note, with its bass."""
    t = np.arange(RATE) / RATE
    shape = np.minimum(1, np.minimum(t * 30, (1 - t) * 30))
    out = np.zeros(int(seconds) * RATE)
    for second in range(int(seconds)):
        root, triad = steps[second % len(steps)]
        for note in (*(48 + tonic + root + n for n in triad), 36 + tonic + root):
            hertz = 440 * 2 ** ((note - 69) / 12)
            for partial in range(1, 6):
                wave_ = np.sin(2 * np.pi * hertz * partial * t + note * partial)
                out[second * RATE : (second + 1) * RATE] += 0.08 / partial * wave_ * shape
    return out


def noise(seconds: float = 45.0) -> Sound:
    return np.random.default_rng(7).standard_normal(int(seconds * RATE)) * 0.1


CADENCE = ((0, MAJOR), (5, MAJOR), (7, MAJOR), (0, MAJOR))
MINOR_CADENCE = ((0, MINOR), (5, MINOR), (7, MAJOR), (0, MINOR))


@pytest.mark.parametrize("bpm", [75, 90, 120, 128, 140, 174])
def test_a_click_track_has_its_tempo(bpm: int) -> None:
    found = tempo(drums(bpm, CLICKS))
    assert abs(found.bpm - bpm) <= 0.05 and found.confidence >= SURE, found


@pytest.mark.parametrize(
    ("bpm", "pattern"),
    [*((b, HOUSE) for b in (90, 105, 120, 128, 160, 174)), *((b, ROCK) for b in (90, 105, 120, 128))],
)
def test_drums_over_chords_have_their_tempo(bpm: int, pattern: dict[str, Sequence[int]]) -> None:
    found = tempo(drums(bpm, pattern) + chords(9, MINOR_CADENCE, 45))
    assert abs(found.bpm - bpm) <= 0.1 and found.confidence >= SURE, found


@pytest.mark.parametrize("bpm", [75, 90, 110, 120, 128, 145, 160, 174])
@pytest.mark.parametrize("pattern", [BROKEN, HIP_HOP, ROCK], ids=["broken", "hip-hop", "rock"])
def test_a_tempo_that_could_be_another_is_right_or_not_sure(
    bpm: int, pattern: dict[str, Sequence[int]]
) -> None:
    """Syncopated bars fit half, double and two thirds nearly as well."""
    for seed in (1, 2):
        found = tempo(drums(bpm, pattern, seed=seed) + chords(4, CADENCE, 45))
        assert abs(found.bpm - bpm) <= 0.2 or found.confidence < SURE, found


def drone() -> Sound:
    t = np.arange(45 * RATE) / RATE
    return np.sum([np.sin(2 * np.pi * 110 * k * t) / k for k in range(1, 12)], axis=0)


def at_random() -> Sound:
    rng = np.random.default_rng(11)
    out = np.zeros(46 * RATE)
    for at in rng.uniform(0, 45, 110):
        out[int(at * RATE) : int(at * RATE) + int(0.15 * RATE)] += hit(CLICK, rng)
    return out


NO_TEMPO = {
    "noise": noise(),
    "silence": np.zeros(45 * RATE),
    "a drone": drone(),
    "hits at random": at_random(),
    "a tempo that drifts": np.concatenate([drums(b, ROCK, 6) for b in (100, 106, 113, 119, 127, 134, 142)]),
    "eleven seconds": drums(120, CLICKS, 11),
    "nothing": np.zeros(0),
}


@pytest.mark.parametrize("what", NO_TEMPO)
def test_no_tempo_is_made_up(what: str) -> None:
    found = tempo(NO_TEMPO[what])
    assert found.confidence < SURE, found


@pytest.mark.parametrize("tonic", range(12))
def test_a_cadence_has_its_key(tonic: int) -> None:
    major, minor = tonality(chords(tonic, CADENCE)), tonality(chords(tonic, MINOR_CADENCE))
    assert major.name == name(tonic) and major.confidence >= SURE, major
    assert minor.name == name(tonic + 12) and minor.confidence >= SURE, minor


def test_a_key_is_heard_through_drums_and_out_of_concert_pitch() -> None:
    under = tonality(chords(9, MINOR_CADENCE, 45) + drums(124, ROCK))
    assert under.name == "Am" and under.confidence >= SURE, under
    raised = chords(2, CADENCE)
    spread = np.interp(np.arange(0, raised.size - 1, 2 ** (0.35 / 12)), np.arange(raised.size), raised)
    found = tonality(spread)
    assert found.name == "D" and found.confidence >= SURE, found


NO_KEY = {
    "noise": noise(),
    "silence": np.zeros(45 * RATE),
    "one tone": np.sin(2 * np.pi * 440 * np.arange(20 * RATE) / RATE),
    "drums alone": drums(120, ROCK),
    "every major chord": np.concatenate([chords(k, CADENCE[:1], 2) for k in range(12)]),
    "a loop that is Eb as much as Cm": chords(0, ((0, MINOR), (8, MAJOR), (3, MAJOR), (10, MAJOR))),
    "seven seconds": chords(0, CADENCE, 7),
    "nothing": np.zeros(0),
}


@pytest.mark.parametrize("what", NO_KEY)
def test_no_key_is_made_up(what: str) -> None:
    found = tonality(NO_KEY[what])
    assert found.confidence < SURE, found


def test_relatives_are_each_others() -> None:
    assert [name(relative(k)) for k in (0, 9, 6, 21)] == ["Am", "F#m", "Ebm", "C"]
    assert all(relative(relative(k)) == k for k in range(24))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("Am", "Am"), ("A minor", "Am"), ("a", "Am"), ("8A", "Am"), ("8B", "C"), ("5A", "Cm"), ("12B", "E"),
        ("Db", "C#"), ("D♭ maj", "C#"), ("G#m", "Abm"), ("Cb", "B"), ("1A", "Abm"),
        ("", ""), ("13A", ""), ("H", ""), ("Am7", ""), ("o", ""), ("A minorr", ""),
    ],
)  # fmt: skip
def test_a_key_has_one_spelling(text: str, key: str) -> None:
    assert analysis.key_of(text) == key


@given(st.text(max_size=12))
def test_any_text_is_a_key_or_none_and_a_tempo_or_none(text: str) -> None:
    assert analysis.key_of(analysis.key_of(text)) == analysis.key_of(text)
    assert analysis.bpm_of(analysis.bpm_of(text)) == analysis.bpm_of(text)


def write_wav(path: Path, sound: Sound) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes((sound / np.abs(sound).max() * 20000).astype("<i2").tobytes())


@pytest.fixture(scope="session")
def song(tmp_path_factory: pytest.TempPathFactory, ffmpeg: Callable[..., None]) -> Path:
    """Thirty seconds at 120 BPM in A minor, as AAC."""
    folder = tmp_path_factory.mktemp("song")
    write_wav(folder / "song.wav", drums(120, HOUSE, 30) + chords(9, MINOR_CADENCE, 30))
    ffmpeg("-i", folder / "song.wav", "-ar", "44100", "-ac", "2", "-c:a", "aac", folder / "song.m4a")
    return folder / "song.m4a"


def serve(site: Site, path: Path) -> str:
    site.routes["song.m4a"] = answer(200, path.read_bytes(), Content_Type="audio/mp4")
    return site.url("song.m4a")


def test_tempo_and_key_are_in_every_file_with_who_says_so(
    site: Site, sync: Sync, song: Path, tmp_path: Path
) -> None:
    run = sync(serve(site, song))
    assert isinstance(run.outcome, Done), run.outcome
    assert gates(run)["analysis"] == "passed" and gates(run)["tags.read_back"] == "passed"
    said = run.outcome.data["analysis"]
    assert (said["tempo"]["value"], said["key"]["value"]) == ("120", "Am")
    assert said["tempo"]["confidence"] >= SURE and "handoffd analysis 1, numpy" in said["tempo"]["by"]
    files = {f["format"]: f["path"] for f in run.outcome.data["files"]}
    for kind in ("m4a", "backup"):
        atoms = MP4(files[kind]).tags
        assert atoms is not None and atoms["tmpo"] == [120]
        assert bytes(atoms["----:com.apple.iTunes:initialkey"][0]) == b"Am"
        assert bytes(atoms["----:com.apple.iTunes:handoffd:tempo"][0]).startswith(b"120 BPM; confidence 0.")
    for reader, kind in ((AIFF, "aiff"), (WAVE, "wav")):
        frames = reader(files[kind]).tags
        assert frames is not None and frames["TBPM"].text == ["120"] and frames["TKEY"].text == ["Am"]
        assert frames["TXXX:handoffd:tonality"].text[0].startswith("Am; confidence ")
    Path(files["wav"]).unlink()
    fixed = sync("", 'mode = "verify"\nrepair = true')
    assert fixed.outcome.data["verify"]["repaired"] == 1
    again = WAVE(files["wav"]).tags
    assert again is not None and again["TBPM"].text == ["120"]
    assert again["TXXX:handoffd:tempo"].text[0].startswith("120 BPM; confidence 0.")


def test_what_the_source_says_is_taken_with_that_provenance(
    site: Site, sync: Sync, song: Path, tmp_path: Path
) -> None:
    tagged = tmp_path / "tagged.m4a"
    shutil.copy(song, tagged)
    file = MP4(tagged)
    assert file.tags is not None
    file.tags["----:com.apple.iTunes:BPM"] = [MP4FreeForm(b"118.5")]
    file.save()
    run = sync(serve(site, tagged))
    said = run.outcome.data["analysis"]
    assert said["tempo"] == {
        "value": "118.5", "by": "tag bpm of the source", "confidence": None, "why": "",
    }  # fmt: skip
    assert said["key"]["value"] == "Am" and said["key"]["confidence"] >= SURE


def test_below_the_confidence_nothing_is_written_and_it_is_said(
    site: Site, sync: Sync, song: Path, tmp_path: Path
) -> None:
    run = sync(serve(site, song), analysis_confidence=1.0)
    assert isinstance(run.outcome, Done), run.outcome
    said = run.outcome.data["analysis"]
    assert said["tempo"]["value"] == "" and "is below 1.00" in said["tempo"]["why"]
    text = {f["title"]: f["text"] for f in run.outcome.data["phases"][2]["findings"]}
    assert text["Tempo"].startswith("not measured: confidence 0.")
    atoms = MP4(run.outcome.data["files"][0]["path"]).tags
    assert atoms is not None and "tmpo" not in atoms
    assert not [a for a in atoms if "handoffd:tempo" in a]


def test_without_the_extra_nothing_fails_and_all_say_so(
    site: Site, sync: Sync, song: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analysis, "version", lambda: "")
    run = sync(serve(site, song))
    assert isinstance(run.outcome, Done), run.outcome
    assert gates(run)["analysis"] == "not_applicable"
    text = {f["title"]: f["text"] for f in run.outcome.data["phases"][2]["findings"]}
    assert text["Tempo"] == text["Key"] == "not measured: handoffd[analysis] is not installed"
    lines = {c.name: c for c in preflight.checks(Settings(), tmp_path)}
    assert lines["Tempo and key"].state == "warn" and "handoffd[analysis]" in lines["Tempo and key"].fix
    off = {c.name: c for c in preflight.checks(Settings(analysis=False), tmp_path)}
    assert off["Tempo and key"].state == "ok"


def test_an_analysis_that_dies_says_so_and_the_track_is_made(
    site: Site, sync: Sync, song: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "hear.py"
    broken.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    monkeypatch.setattr(analysis, "CHILD", broken)
    run = sync(serve(site, song))
    assert isinstance(run.outcome, Done), run.outcome
    assert "the analysis ended with exit -11" in run.outcome.data["analysis"]["tempo"]["why"]


def test_the_analysis_is_held_to_its_memory(
    ctx: DirectContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mono = tmp_path / "mono.pcm"
    mono.write_bytes(bytes(600 * RATE * 2))
    monkeypatch.setattr(analysis, "MEMORY", 300 << 20)
    nothing = analysis.Heard(tempo=Reading(), tonality=Reading())
    found = analysis.hear(ctx, str(mono), nothing, Settings())
    assert found.tempo.value == "" and "the analysis ended with" in found.tempo.why
