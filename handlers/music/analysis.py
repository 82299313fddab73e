"""Tempo and key of a track: as the source or its row says them, else measured, else "not measured" with why.

A value always carries who says it, and a measured one how sure it is; below ``music.analysis_confidence`` it
is written nowhere. Nothing here ever fails a run: both are extras.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.sdk import Check, Context
from handlers.music.model import Finding, Reading
from handlers.music.settings import Settings

CHILD = Path(__file__).with_name("children") / "hear.py"
METHOD = "handoffd analysis 1"
"""Changes whenever the same sound could get another value."""
MEMORY = 1536 << 20
"""Address space of the child, bytes: ten minutes of sound take 400 MB."""
TIMEOUT_S = 120.0
EXTRA = "handoffd[analysis] is not installed"
THREADS = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
"""One thread: each would reserve memory of its own, and tracks are worked on side by side anyway."""
TEMPO_TAGS = ("tbpm", "bpm", "tmpo")
KEY_TAGS = ("tkey", "initialkey", "initial_key", "key")
SLOWEST, FASTEST = 20.0, 400.0
"""BPM that are believed of a tag; 0 stands in many for "not known"."""

_LETTERS = re.compile(r"([A-Ga-g])([#b♯♭]?) ?(m|min|minor|moll|maj|major|dur|M)?")
_CAMELOT = re.compile(r"(1[0-2]|[1-9]) ?([ABab])")
_STEPS = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
_NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
_CAMELOT_MAJOR = {8: 0, 3: 1, 10: 2, 5: 3, 12: 4, 7: 5, 2: 6, 9: 7, 4: 8, 11: 9, 6: 10, 1: 11}
"""Camelot wheel, B side: number → note of the major key. The A side is its relative minor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """Both, with where each comes from."""

    tempo: Reading
    tonality: Reading
    cpu_s: float = 0.0


def version() -> str:
    """numpy's version, without importing it; "" = the extra is not there."""
    try:
        return importlib.metadata.version("numpy")
    except importlib.metadata.PackageNotFoundError:
        return ""


def wanted(settings: Settings) -> bool:
    """Whether anything will be measured."""
    return settings.analysis and bool(version())


def finding(settings: Settings) -> Finding:
    """Phase 0: what will be done about tempo and key."""
    if not settings.analysis:
        return Finding(title="Tempo and key", state="ok", text="not measured: music.analysis is off")
    found = version()
    text = f"measured by {METHOD}, numpy {found}" if found else f"not measured: {EXTRA}"
    return Finding(title="Tempo and key", state="ok" if found else "warn", text=text)


def check(settings: Settings) -> Check:
    """Line of ``handoffd doctor``."""
    found = finding(settings)
    fix = "" if found.state == "ok" else "pip install 'handoffd[analysis]', or set music.analysis = false"
    return Check(name=found.title, state=found.state, message=found.text, fix=fix)


def told(tags: Mapping[str, str], row: Mapping[str, Any]) -> Heard:
    """What a person's row, else the source's own tags, say. Pure. ``row``: keys ``tempo``, ``tonality``."""
    where = "the row in the Tracks database"
    tempo = Reading(value=bpm_of(str(row.get("tempo") or "")), by=where)
    tonality = Reading(value=key_of(str(row.get("tonality") or "")), by=where)
    for name in TEMPO_TAGS:
        if not tempo.value:
            tempo = Reading(value=bpm_of(tags.get(name, "")), by=f"tag {name} of the source")
    for name in KEY_TAGS:
        if not tonality.value:
            tonality = Reading(value=key_of(tags.get(name, "")), by=f"tag {name} of the source")
    return Heard(
        tempo=tempo if tempo.value else Reading(), tonality=tonality if tonality.value else Reading()
    )


def bpm_of(text: str) -> str:
    """A tempo as text, at most two decimals; "" = it is none that can be believed."""
    try:
        value = float(text.strip().replace(",", "."))
    except ValueError:
        return ""
    return f"{value:.2f}".rstrip("0").rstrip(".") if SLOWEST <= value <= FASTEST else ""


def key_of(text: str) -> str:
    """A key as TKEY spells it, from its usual spellings (``A minor``, ``a♭``, ``8A``); "" = it is none."""
    plain = text.strip()
    if wheel := _CAMELOT.fullmatch(plain):
        note, minor = _CAMELOT_MAJOR[int(wheel[1])], wheel[2] in "Aa"
        return _NAMES[(note + 9) % 12] + "m" if minor else _NAMES[note]
    named = _LETTERS.fullmatch(plain)
    if named is None:
        return ""
    letter, sign, mode = named.groups()
    note = (_STEPS[letter.lower()] + {"": 0, "#": 1, "♯": 1, "b": -1, "♭": -1}[sign]) % 12
    minor = mode in ("m", "min", "minor", "moll") or (mode is None and letter.islower())
    return _NAMES[note] + ("m" if minor else "")


def hear(ctx: Context, mono: str, said: Heard, settings: Settings) -> Heard:
    """Step: ``said``, and what it lacks measured in the samples at ``mono``. What fails is its ``why``."""
    if said.tempo.value and said.tonality.value:
        return said
    if not wanted(settings):
        why = EXTRA if settings.analysis else "music.analysis is off"
        return _with(said, Reading(why=why), Reading(why=why))
    if not Path(mono).is_file():
        why = "the decoded samples are not in the work folder any more"
        return _with(said, Reading(why=why), Reading(why=why))
    result = ctx.child(
        [sys.executable, "-I", str(CHILD)],
        stdin=json.dumps({"pcm": mono}).encode(),
        timeout=TIMEOUT_S,
        env=THREADS,
        max_memory=MEMORY,
    )
    try:
        answer = json.loads(result.stdout) if result.ok else None
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        tail = " ".join(result.stderr.split())[-160:]
        why = f"the analysis ended with {result.ended} {result.returncode}: {tail or 'no message'}"
        return _with(said, Reading(why=why), Reading(why=why), result.cpu_s)
    by = f"{METHOD}, numpy {answer['numpy']}"
    bpm = bpm_of(str(answer["tempo"]["bpm"]))
    tempo = judged(bpm, answer["tempo"], by, settings.analysis_confidence)
    tonality = judged(answer["tonality"]["name"], answer["tonality"], by, settings.analysis_confidence)
    return _with(said, tempo, tonality, result.cpu_s)


def judged(value: str, answer: Mapping[str, Any], by: str, least: float) -> Reading:
    """A measurement as a reading; without a value when it is not sure enough. Pure."""
    confidence = float(answer["confidence"])
    if value and confidence >= least:
        return Reading(value=value, by=by, confidence=confidence)
    why = str(answer["why"])
    if value:
        why = f"confidence {confidence:.2f} is below {least:.2f}" + (f" ({why})" if why else "")
    return Reading(by=by, confidence=confidence, why=why)


def _with(said: Heard, tempo: Reading, tonality: Reading, cpu_s: float = 0.0) -> Heard:
    return Heard(
        tempo=said.tempo if said.tempo.value else tempo,
        tonality=said.tonality if said.tonality.value else tonality,
        cpu_s=cpu_s,
    )


def kept(fields: Mapping[str, str], custom: Mapping[str, str], names: tuple[str, str]) -> Heard:
    """What the tags of a file of ours say, for a set that is made whole again. Pure. ``names``: own tags."""
    readings = []
    for field, own, parse in (("bpm", names[0], bpm_of), ("tonality", names[1], key_of)):
        value, sure, by = [*custom.get(own, "").split("; ", 2), "", "", ""][:3]
        exact = parse(value.removesuffix(" BPM")) or parse(fields.get(field, ""))
        number = re.fullmatch(r"confidence (\d\.\d\d)", sure)
        told_by = by or "tag of the file"
        readings.append(
            Reading(value=exact, by=told_by, confidence=float(number[1]) if number else None)
            if exact
            else Reading()
        )
    return Heard(tempo=readings[0], tonality=readings[1])
