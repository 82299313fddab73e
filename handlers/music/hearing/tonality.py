"""The musical key, from how often each of the twelve notes sounds.

Peaks of the spectrum → notes, in the track's own tuning → the share of each of the twelve → the best of 24
keys. Noise has peaks as well, but they keep to no tuning: that is measured, and without it no key is named.
A key and its relative (C, Am) share their notes; which it is, is decided by the chords, and where those are
even neither is named.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from handlers.music.hearing import QUIET, RATE

Floats: TypeAlias = NDArray[np.float64]

WINDOW, HOP = 8192, 4096
"""Samples: 0.37 s, which tells semitones apart from 90 Hz on."""
LOWEST, HIGHEST = 90.0, 2200.0
"""Hz. Below it semitones run together, above it there are overtones alone."""
BLOCK = 128
SHORTEST_S = 8.0
NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
MAJOR = (0.748, 0.060, 0.488, 0.082, 0.670, 0.460, 0.096, 0.715, 0.104, 0.366, 0.057, 0.400)
MINOR = (0.712, 0.084, 0.474, 0.618, 0.049, 0.460, 0.105, 0.747, 0.404, 0.067, 0.133, 0.330)
"""How much each note of a key is used, from its first: D. Temperley, The Cognition of Basic Musical
Structures (2001), as revised from the Kostka–Payne corpus."""
PRESENT = 0.03
"""Share from which a note counts as used at all."""
CHORD_FRAMES = 6
"""Steps of a stretch for which one chord is named: 1.1 s."""


@dataclass(frozen=True, slots=True)
class Tonality:
    """``name`` "" = none found, ``why`` says what stands against it. ``Am``, ``F#``; ``confidence``: 0–1."""

    name: str
    confidence: float
    why: str = ""


@dataclass(frozen=True, slots=True)
class Notes:
    """``chroma``: step × note (C = 0), each step's sum 1 or 0. ``tuned``: 0–1, how well peaks keep to one
    tuning."""

    chroma: Floats
    tuned: float


def tonality(sound: Floats) -> Tonality:
    """The key of mono ``sound`` (full scale 1, ``RATE`` samples a second)."""
    peak = float(np.abs(sound).max()) if sound.size else 0.0
    if sound.size < SHORTEST_S * RATE:
        return Tonality("", 0.0, f"shorter than {SHORTEST_S:.0f} s")
    if peak < QUIET:
        return Tonality("", 0.0, "silence")
    notes = heard(sound / peak)
    total = notes.chroma.sum(axis=0)
    if total.sum() <= 0:
        return Tonality("", 0.0, "no tones")
    share = total / total.sum()
    if int((share > PRESENT).sum()) < 3:
        return Tonality("", 0.0, "fewer than three notes")
    fits = fit(share)
    first = int(fits.argmax())
    chords = chords_of(notes.chroma)
    best, clear = between_relatives(first, chords)
    others = [k for k in range(24) if k not in (first, relative(first))]
    ahead = float(np.clip((fits[first] - fits[others].max()) / 0.2, 0, 1))
    fitting = float(np.clip((fits[first] - 0.5) / 0.25, 0, 1))
    confidence = float(np.clip(notes.tuned / 0.5, 0, 1)) * ahead * fitting * clear
    why = f"or its relative {name(relative(best))}" if clear < 0.7 else f"tones in tune {notes.tuned:.2f}"
    return Tonality(name(best), round(confidence, 3), why)


def name(key: int) -> str:
    """0–11: major from C on, 12–23: minor. As TKEY spells them."""
    return NAMES[key % 12] + ("m" if key >= 12 else "")


def relative(key: int) -> int:
    """The key of the other mode with the same notes: Am of C."""
    return (key + 9) % 12 + 12 if key < 12 else (key + 3) % 12


def heard(sound: Floats) -> Notes:
    """The notes of each step, by the peaks of its spectrum."""
    frames = np.lib.stride_tricks.sliding_window_view(sound, WINDOW)[::HOP]
    window = np.hanning(WINDOW)
    found = [_peaks(frames[at : at + BLOCK] * window, at) for at in range(0, len(frames), BLOCK)]
    step = np.concatenate([f[0] for f in found])
    pitch = np.concatenate([f[1] for f in found])
    weight = np.concatenate([f[2] for f in found])
    chroma = np.zeros((len(frames), 12))
    if not weight.size:
        return Notes(chroma, 0.0)
    around = complex((weight * np.exp(2j * np.pi * pitch)).sum() / weight.sum())
    off = float(np.angle(around)) / (2 * np.pi)
    np.add.at(chroma, (step, np.round(pitch - off).astype(np.int64) % 12), weight)
    sums = chroma.sum(axis=1, keepdims=True)
    return Notes(chroma / np.where(sums == 0, 1, sums), abs(around))


def _peaks(frames: Floats, start: int) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Step, pitch (semitones, A4 = 69) and weight of every peak that is not far below the loudest."""
    low, high = int(LOWEST * WINDOW / RATE), int(HIGHEST * WINDOW / RATE)
    size = np.abs(np.fft.rfft(frames, axis=1))[:, low - 1 : high + 1]
    middle, top = size[:, 1:-1], size.max(axis=1, keepdims=True)
    peak = (middle > size[:, :-2]) & (middle >= size[:, 2:]) & (middle > 0.03 * top) & (top > 1e-3)
    step, at = np.nonzero(peak)
    left, mid, right = (np.log(size[step, at + k] + 1e-12) for k in (0, 1, 2))
    bend = left - 2 * mid + right
    moved = 0.5 * (left - right) / np.where(bend == 0, -1.0, bend)
    hertz = (low + at + moved) * RATE / WINDOW
    return step + start, 69 + 12 * np.log2(hertz / 440), np.sqrt(size[step, at + 1])


def fit(share: Floats) -> Floats:
    """Correlation of the twelve shares with each of the 24 keys."""
    keys = [np.roll(profile, tonic) for profile in (MAJOR, MINOR) for tonic in range(12)]
    return np.array([np.corrcoef(share, key)[0, 1] for key in keys])


def chords_of(chroma: Floats) -> Floats:
    """How often each of the 24 triads is the one that sounds."""
    counts = np.zeros(24)
    triads = [np.roll(_marks(third), root) for third in (4, 3) for root in range(12)]
    for at in range(0, len(chroma) - CHORD_FRAMES + 1, CHORD_FRAMES):
        part = chroma[at : at + CHORD_FRAMES].sum(axis=0)
        if part.sum() > 0 and part.std() > 0:
            counts[int(np.argmax([np.corrcoef(part, t)[0, 1] for t in triads]))] += 1
    return counts


def _marks(third: int) -> Floats:
    triad = np.zeros(12)
    triad[[0, third, 7]] = 1
    return triad


def between_relatives(key: int, chords: Floats) -> tuple[int, float]:
    """Of a key and its relative, the one whose own chord sounds more; and how clear that is, 0.5–1."""
    other = relative(key)
    ours, theirs = float(chords[key]), float(chords[other])
    if ours + theirs == 0:
        return key, 0.5
    lead = (ours - theirs) / (ours + theirs)
    return (key if lead >= 0 else other), 0.5 + abs(lead) / 2
