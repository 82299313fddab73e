"""A library of made-up tracks, and questions to it: the same recordings as others spell them, and other ones.

What is a duplicate follows from the rule that made the question, never from a matcher.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace

from handlers.music.model import Track

WINDOW_S = 3.0
"""How far lengths may differ for a duplicate (``music.same_seconds``)."""
ENGLISH = (
    "night drive river stone glass echo fire paper moon silver quiet storm garden north velvet signal harbor "
    "winter copper static over under without again never the of my your in and lost found blue hollow last"
)
BEGINS = "ka lo mi ra su te vo ze bu de fi go hu ja ny pe"
ENDS = "ren da li mor sha nek tov wis bal gro"
SCRIPTS = (
    "но ча ри мо ле ви та се ду гра",
    "さ くら み ど ゆき はな そら かぜ よる うみ",
    "하 늘 바 람 별 빛 노 래 겨 울",
    "λα μι νο τε ρα σι κα θε ου πη",
)
VERSIONS = ("Live", "Kova Remix", "Extended Mix", "Acoustic", "Radio Edit", "Instrumental")
DRESSES = (
    " (Official Video)| [HD]| (Lyrics)| - Official Audio| (Official Music Video)| [Free Download]| (Audio)|"
    " (Remastered 2011)| - 2014 Remaster| (Visualizer)| (Original Mix)| HQ| [Official Visualizer]"
)
OTHER_VERSIONS = (
    "Instrumental|Karaoke Version|VIP Mix|8D Audio|Live|Acoustic|Sped Up|Demo|Ivo Brandt Remix|Slowed"
)


@dataclass(frozen=True, slots=True)
class Question:
    """``same``: the id of the track that it is, "" = none of the library. ``kind``: the rule that made it."""

    track: Track
    same: str
    kind: str


class Maker:
    """Tracks of one seed, one after the other."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.english = ENGLISH.split()
        self.latin = [a + b for a in BEGINS.split() for b in ENDS.split()]
        self.scripts = [s.split() for s in SCRIPTS]

    def word(self, pool: list[str]) -> str:
        """A made-up word; two of three Latin titles' words are made up, the rest are common."""
        pick = self.rng.choice
        if pool is self.latin and self.rng.random() < 0.35:
            return pick(self.english)
        return pick(pool) + pick(pool) + (pick(pool) if pool is not self.latin else "")

    def name(self, pool: list[str], words: int) -> str:
        """Some words, as a title is written."""
        return " ".join(self.word(pool) for _ in range(words)).title()

    def track(self, number: int) -> Track:
        """One track; a quarter have two artists, a tenth another script, a seventh a version."""
        rng = self.rng
        pool = rng.choice(self.scripts) if rng.random() < 0.1 else self.latin
        artist = self.name(pool, rng.choice((1, 2, 2, 3)))
        if rng.random() < 0.25:
            artist += ", " + self.name(self.latin, 2)
        title = self.name(pool, rng.choice((1, 2, 2, 3, 3, 4)))
        if rng.random() < 0.15:
            title += f" ({rng.choice(VERSIONS)})"
        return Track(
            id=f"{number:020x}",
            key=f"url:{number}",
            artist=artist,
            title=title,
            version="",
            album="",
            date="",
            genre="",
            isrc="",
            playlist="",
            url="",
            duration_s=round(rng.uniform(120, 420), 2),
        )


def tracks(many: int, seed: int = 11) -> list[Track]:
    """``many`` tracks; those of a smaller number are the first ones of a larger."""
    maker = Maker(seed)
    return [maker.track(n) for n in range(many)]


def _swapped(rng: random.Random, text: str) -> str:
    """Two letters of one of its words in the other order."""
    words = text.split(" ")
    long = [n for n, w in enumerate(words) if len(w) > 3 and w[0].isascii() and w[0] != "("]
    if not long:
        return text
    at = rng.choice(long)
    word, cut = words[at], rng.randrange(1, len(words[at]) - 2)
    words[at] = word[:cut] + word[cut + 1] + word[cut] + word[cut + 2 :]
    return " ".join(words)


def _dropped(rng: random.Random, text: str) -> str:
    """One letter missing."""
    at = rng.randrange(1, len(text))
    return text[:at] + text[at + 1 :] if text[at].isascii() and text[at].isalpha() and len(text) > 6 else text


def _accented(_: random.Random, text: str) -> str:
    """Accents where there are none, and composed otherwise."""
    return unicodedata.normalize("NFD", text.replace("a", "á", 1).replace("o", "ö", 1))


def _featured(track: Track) -> Track:
    """The second artist in the title instead of in the credit."""
    first, _, second = track.artist.partition(", ")
    if not second:
        return replace(track, title=f"{track.title} (feat. Somebody Else)")
    return replace(track, artist=first, title=f"{track.title} (feat. {second})")


def _turned(track: Track) -> Track:
    """The artists in the other order, or joined otherwise."""
    first, _, second = track.artist.partition(", ")
    return replace(track, artist=f"{second} & {first}") if second else track


Noise = Callable[[random.Random, Track], Track]
NOISES: dict[str, Noise] = {
    "upper case": lambda _, t: replace(t, title=t.title.upper()),
    "lower case": lambda _, t: replace(t, title=t.title.lower(), artist=t.artist.lower()),
    "dress": lambda r, t: replace(t, title=t.title + r.choice(DRESSES.split("|"))),
    "swapped letters": lambda r, t: replace(t, title=_swapped(r, t.title)),
    "dropped letter": lambda r, t: replace(t, title=_dropped(r, t.title)),
    "swapped in artist": lambda r, t: replace(t, artist=_swapped(r, t.artist)),
    "accents": lambda r, t: replace(t, title=_accented(r, t.title)),
    "topic channel": lambda _, t: replace(t, artist=f"{t.artist.split(', ')[0]} - Topic"),
    "feat": lambda _, t: _featured(t),
    "artists turned": lambda _, t: _turned(t),
    "hyphens": lambda _, t: replace(t, title=t.title.replace(" ", "-", 1) if "(" not in t.title else t.title),
}


def same(rng: random.Random, track: Track) -> Question:
    """The same recording as another source spells it: one or two noises, up to two seconds off."""
    kinds = rng.sample(sorted(NOISES), rng.choice((1, 1, 2)))
    noisy = track
    for kind in kinds:
        noisy = NOISES[kind](rng, noisy)
    seconds = track.duration_s + rng.uniform(-2, 2)
    noisy = replace(noisy, id="q", key="url:q", duration_s=seconds)
    return Question(noisy, track.id, " + ".join(sorted(kinds)))


def other(rng: random.Random, maker: Maker, track: Track) -> Question:
    """Another recording whose name is near, mostly of the very length."""
    kind = rng.choice(
        ("version", "version", "version dropped", "part", "one word", "word more", "artist", "length", "new")
    )
    title, artist, seconds = track.title, track.artist, track.duration_s + rng.uniform(-1, 1)
    plain = title.split(" (")[0]
    if kind == "version" or (kind == "version dropped" and plain == title):
        kind, title = "version", f"{plain} ({rng.choice(OTHER_VERSIONS.split('|'))})"
        if title == track.title:
            title = f"{plain} (Nightcore)"
    elif kind == "version dropped":
        title = plain
    elif kind == "part":
        title = f"{plain} {rng.choice(('II', 'Pt. 2', '3', 'Part 4'))}"
    elif kind == "one word":
        words = plain.split(" ")
        at = rng.randrange(len(words))
        old = words[at]
        while words[at] == old:
            words[at] = maker.name(maker.latin, 1)
        title = " ".join(words)
    elif kind == "word more":
        title = f"{plain} {maker.name(maker.latin, 1)}"
    elif kind == "artist":
        artist = maker.name(maker.latin, 2)
    elif kind == "length":
        seconds = track.duration_s + rng.choice((-1, 1)) * rng.uniform(4, 60)
    else:
        made = maker.track(0)
        title, artist, seconds = made.title, made.artist, made.duration_s
    asked = replace(track, id="q", key="url:q", title=title, artist=artist, duration_s=seconds)
    return Question(asked, "", kind)


def questions(library: list[Track], many: int, seed: int) -> list[Question]:
    """``many`` duplicates and as many others, of tracks drawn from ``library``."""
    rng, maker = random.Random(seed), Maker(seed + 1)
    asked = [same(rng, rng.choice(library)) for _ in range(many)]
    return asked + [other(rng, maker, rng.choice(library)) for _ in range(many)]
