"""Beats per minute, from how the loudness of the low, middle and high tones repeats itself.

Onsets per zone of the spectrum → their autocorrelation → a comb of eight beats for every tempo from 59 to
200. Two numbers make the confidence: how much of the onsets repeats at that tempo, and how far the next best
tempo is behind; where half or double fits nearly as well, neither is named. What it says of clicks, drum
patterns, noise, silence, drones and random hits is in tests/music/test_music_hearing.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from handlers.music.hearing import QUIET, RATE

Floats: TypeAlias = NDArray[np.float64]

WINDOW, HOP = 1024, 220
"""Samples: 46 ms, and one step about every 10 ms."""
FRAMES = RATE / HOP
"""Steps a second."""
BLOCK = 2000
"""Steps of which the spectrum is held at a time."""
ZONES = ((30.0, 150.0, 1.0), (150.0, 2000.0, 1.0), (2000.0, 10000.0, 0.05))
"""From, to (Hz), weight: kick and bass, voices and snare, hats. Hats on every eighth must not be the beat."""
SLOWEST, FASTEST, STEP = 59.0, 200.0, 2 ** (1 / 600)
"""Beats per minute, and the ratio of one candidate to the next (two cents)."""
BEATS = 8
"""Of the comb: two bars, so that a dotted rhythm (three for two) does not fit as well as the beat."""
MIDDLE, SPREAD = 135.0, 0.75
"""Where most tempos lie, and how widely, in octaves: it decides between nearly equal ones alone."""
EVEN = (0.85, 0.02)
"""Where the half beat has this share of the beat's strength it is a beat too; and how sharply that is cut."""
HALVED = 0.5
"""What is left of a tempo's fit when the half beat, or the one of three for two, repeats as well as its own.
The numbers of this block and the zones' weights were searched for over five rhythms at 13 tempos each: these
have 58 of the 65 right and sure; of the others none reaches a confidence of 0.35."""
BLUR = (1.0, 2.0, 3.0, 2.0, 1.0)
"""Onsets are spread over five steps: else a tempo whose beat is a whole number of steps fits better than one
between two."""
SHORTEST_S = 12.0
WEAKEST = 0.03
"""Mean rise a step, of the logarithmic spectrum at full level: below it nothing strikes, a drone at most."""
LOCAL_S = 15.0
"""Stretches that are asked one by one whether they have the same tempo."""


@dataclass(frozen=True, slots=True)
class Tempo:
    """``bpm`` 0 = none found, ``why`` says what stands against it. ``confidence``: 0–1."""

    bpm: float
    confidence: float
    why: str = ""


def tempo(sound: Floats) -> Tempo:
    """The tempo of mono ``sound`` (full scale 1, ``RATE`` samples a second)."""
    peak = float(np.abs(sound).max()) if sound.size else 0.0
    if sound.size < SHORTEST_S * RATE:
        return Tempo(0.0, 0.0, f"shorter than {SHORTEST_S:.0f} s")
    if peak < QUIET:
        return Tempo(0.0, 0.0, "silence")
    rises = onsets(sound / peak)
    if float(rises.mean()) < WEAKEST:
        return Tempo(0.0, 0.0, "nothing strikes")
    repeats = autocorrelation(rises)
    candidates = tempos()
    strength, score = judged(repeats, candidates)
    best = int(score.argmax())
    if score[best] <= 0:
        return Tempo(0.0, 0.0, "nothing repeats")
    others = np.abs(candidates / candidates[best] - 1) > 0.04
    ahead = 1 - float(score[others].max() / score[best])
    bpm = refined(repeats, float(candidates[best]), float(strength[best]))
    rival = float(candidates[others][int(score[others].argmax())])
    confidence = float(np.sqrt(strength[best] * ahead)) * steady(rises, bpm)
    return Tempo(round(bpm, 2), round(min(confidence, 1.0), 3), f"next best {rival:.0f}")


def tempos() -> Floats:
    """The candidates, BPM."""
    count = int(np.log(FASTEST / SLOWEST) / np.log(STEP)) + 1
    return np.asarray(SLOWEST * STEP ** np.arange(count), dtype=np.float64)


def onsets(sound: Floats) -> Floats:
    """How much louder it grew at each step, over all zones, above what is usual in that second."""
    bands, zone = _bands()
    window = np.hanning(WINDOW)
    frames = np.lib.stride_tricks.sliding_window_view(sound, WINDOW)[::HOP]
    parts = [
        np.log1p(20 * (np.abs(np.fft.rfft(frames[at : at + BLOCK] * window, axis=1)) @ bands.T))
        for at in range(0, len(frames), BLOCK)
    ]
    rise = np.maximum(0, np.diff(np.concatenate(parts), axis=0))
    second = np.ones(int(FRAMES)) / int(FRAMES)
    total = np.zeros(len(rise))
    for number, (_, _, weight) in enumerate(ZONES):
        one = rise[:, zone == number].mean(axis=1)
        total += weight * np.maximum(0, one - np.convolve(one, second, "same"))
    return np.asarray(np.convolve(total, np.array(BLUR) / sum(BLUR), "same"), dtype=np.float64)


def _bands() -> tuple[Floats, NDArray[np.int64]]:
    """Mean over the bins of thirty bands, and the zone of each band."""
    edges = np.geomspace(ZONES[0][0], ZONES[-1][1], 31)
    bins = np.fft.rfftfreq(WINDOW, 1 / RATE)
    rows, zones = [], []
    for low, high in pairwise(edges):
        inside = (bins >= low) & (bins < high)
        if inside.any():
            rows.append(inside / inside.sum())
            zones.append(next(n for n, (_, top, _) in enumerate(ZONES) if np.sqrt(low * high) < top))
    return np.array(rows, dtype=np.float64), np.array(zones)


def autocorrelation(rises: Floats) -> Floats:
    """How alike the onsets are to themselves, later by each number of steps; 1 at none."""
    moved = rises - rises.mean()
    count = len(moved)
    spectrum = np.fft.rfft(moved, 2 * count)
    raw = np.fft.irfft(np.abs(spectrum) ** 2)[:count]
    if raw[0] <= 1e-9:
        return np.zeros(count)
    return np.asarray(raw / raw[0] * count / np.arange(count, 0, -1), dtype=np.float64)


def judged(repeats: Floats, candidates: Floats) -> tuple[Floats, Floats]:
    """Of each candidate tempo: the share of the onsets that repeats with it, and how well it fits in all."""
    steps = np.arange(len(repeats))
    beat = 60 * FRAMES / candidates

    def at(multiple: float) -> Floats:
        return np.maximum(np.interp(multiple * beat, steps, repeats, right=0.0), 0)

    on = np.mean([at(k) for k in range(1, BEATS + 1)], axis=0)
    strength = on * np.minimum(1, at(1) / np.maximum(on, 1e-6)) ** 0.3
    between = np.mean([at(k - 0.5) for k in range(1, BEATS + 1)], axis=0)
    share, width = EVEN
    slower = 1 / (1 + np.exp(-(between / np.maximum(strength, 1e-6) - share) / width))
    dotted = np.mean([at(k * 2 / 3) for k in range(1, BEATS + 1)], axis=0) > on
    usual = np.exp(-0.5 * (np.log2(candidates / MIDDLE) / SPREAD) ** 2)
    return strength, strength**5 * (1 - HALVED * slower) * (1 - HALVED * dotted) * usual


def refined(repeats: Floats, bpm: float, strength: float) -> float:
    """The tempo read off at ever more beats, as long as the onsets still repeat there: to about 0.01 BPM."""
    beat = 60 * FRAMES / bpm
    for many in (1, 2, 4, 8, 16, 32, 64):
        low = int(many * beat - 2.5)
        high = int(many * beat + 3.5)
        if high + 1 >= 0.75 * len(repeats):
            break
        at = low + int(repeats[low:high].argmax())
        left, top, right = repeats[at - 1 : at + 2]
        if top < 0.4 * strength:
            break
        bend = left - 2 * top + right
        beat = (at + (0.5 * (left - right) / bend if bend else 0.0)) / many
    return float(60 * FRAMES / beat)


def steady(rises: Floats, bpm: float) -> float:
    """Share of the stretches whose own best tempo is this one."""
    long, candidates = int(LOCAL_S * FRAMES), tempos()
    starts = range(0, max(1, len(rises) - long + 1), long // 2)
    same = []
    for at in starts:
        _, score = judged(autocorrelation(rises[at : at + long]), candidates)
        same.append(abs(candidates[int(score.argmax())] / bpm - 1) < 0.03 and score.max() > 0)
    return float(np.mean(same))
