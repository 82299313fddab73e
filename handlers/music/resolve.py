"""Which upload is the wanted recording? Hard gates, then preference; unsure means a person.

Pure. A candidate passes only when its version markers equal the wanted ones, its length fits, artist and core
title are nearly the same, and no word of its title is left over; popularity plays no part (research/music.md
§1.1, §6.4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from handlers.music.alike import ratio
from handlers.music.identity import artists_of, fold, name_of
from handlers.music.uploads import artist_score, read

SURE, NEAR = 88.0, 80.0
"""Similarity (rapidfuzz ratio of folded text) from which a name is the same, and from which it may be."""
SECONDS, SHARE = 3.0, 0.015
"""Durations may differ by the larger of the two."""
SHOWN = 5
"""Candidates that a review lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The recording that was detected. ``duration_s`` None = not known: then nothing is taken unseen."""

    artist: str
    title: str
    duration_s: float | None
    isrc: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A search hit as a platform lists it. ``artist``: its artist field or the channel's name."""

    url: str
    platform: str
    title: str
    artist: str = ""
    duration_s: float | None = None
    official: bool = False
    """The platform vouches for the uploader: topic channel, verified artist."""
    isrc: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One candidate against the gates. ``call``: accept | unsure | refuse; ``why``: the gate that decided."""

    candidate: Candidate
    call: str
    why: str
    title_score: float
    artist_score: float
    off_s: float | None

    def line(self) -> str:
        """For a report or a person's list."""
        c = self.candidate
        length = "?" if c.duration_s is None else f"{c.duration_s:.0f} s"
        return f"{c.artist} – {c.title} ({length}, {c.platform}): {self.why} · {c.url}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """``call``: accept | review | refuse. ``chosen`` only when accepted. ``ranked``: all, best first."""

    call: str
    why: str
    chosen: Candidate | None
    ranked: tuple[Judgement, ...]


def choose(wanted: Wanted, candidates: Sequence[Candidate], rejected: Sequence[str] = ()) -> Choice:
    """The candidate to take, or why none is taken. ``rejected``: URLs that a person has ruled out."""
    judged = [judge(wanted, c) for c in candidates if c.url not in rejected]
    ranked = tuple(sorted(judged, key=_rank))
    accepted = [j for j in ranked if j.call == "accept"]
    if accepted:
        best = accepted[0]
        return Choice(call="accept", why=best.why, chosen=best.candidate, ranked=ranked)
    unsure = [j for j in ranked if j.call == "unsure"]
    if unsure:
        why = f"{len(unsure)} candidate(s) may be it; the nearest: {unsure[0].why}"
        return Choice(call="review", why=why, chosen=None, ranked=ranked)
    why = f"none of {len(ranked)} candidates is this recording" if ranked else "the search found nothing"
    return Choice(call="refuse", why=why, chosen=None, ranked=ranked)


def _rank(item: Judgement) -> tuple[int, int, int, float, float, str]:
    """Accepted first; an equal ISRC, then who vouches, then length, then names; the URL makes it stable."""
    order = {"accept": 0, "unsure": 1, "refuse": 2}[item.call]
    same_isrc = 0 if "ISRC" in item.why else 1
    off = item.off_s if item.off_s is not None else 999.0
    names = -(item.title_score + item.artist_score)
    return order, same_isrc, 0 if item.candidate.official else 1, round(off), names, item.candidate.url


def judge(wanted: Wanted, candidate: Candidate) -> Judgement:
    """One candidate through every gate, hardest first."""
    want, artists = name_of(wanted.title), artists_of(wanted.artist)
    have = read(want, (*artists, fold(wanted.artist)), candidate.title, candidate.artist)
    title_score = min(have.title, ratio(want.core, " ".join((want.core, *have.unknown))))
    who = artist_score(artists, have, candidate.artist)
    off = _off(wanted, candidate)

    def say(call: str, why: str) -> Judgement:
        return Judgement(
            candidate=candidate,
            call=call,
            why=why,
            title_score=round(title_score, 1),
            artist_score=round(who, 1),
            off_s=None if off is None else round(off, 2),
        )

    if want.versions != have.versions:
        theirs, ours = (" ".join(sorted(v.versions)) or "the plain version" for v in (have, want))
        return say("refuse", f"it is {theirs}, wanted is {ours}")
    if off is not None and off > room(wanted.duration_s or 0.0):
        return say("refuse", f"its length differs by {off:.0f} s")
    if wanted.isrc and wanted.isrc == candidate.isrc:
        return say("accept", f"the same ISRC {wanted.isrc}")
    if have.title < NEAR:
        return say("refuse", f"the title is only {have.title:.0f} % alike")
    if who < NEAR:
        return say("refuse", f"the artist is only {who:.0f} % alike")
    if have.unknown:
        # With the very length a person may know better; else it is some other title with these words in it.
        return say("refuse" if off is None else "unsure", f"its title says more: {', '.join(have.unknown)}")
    if have.title < SURE or who < SURE:
        return say("unsure", f"title {have.title:.0f} %, artist {who:.0f} % alike")
    if off is None:
        return say("unsure", "its length is not known")
    return say("accept", f"artist, title and version fit, length off by {off:.1f} s")


def room(duration_s: float) -> float:
    """How far the length of the same recording may be off, seconds."""
    return max(SECONDS, SHARE * duration_s)


def _off(wanted: Wanted, candidate: Candidate) -> float | None:
    if wanted.duration_s is None or candidate.duration_s is None:
        return None
    return abs(wanted.duration_s - candidate.duration_s)
