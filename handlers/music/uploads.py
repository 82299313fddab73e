"""What an upload's title says, held against the recording that is wanted. Pure.

Every word of it must be accounted for: it is of the wanted title, names an artist, marks a version, or is the
dress that platforms put on (``official video``, a year, a label). A word that is none of these may be the one
that makes it another recording, so it is never overlooked (``Song``, ``Song (432 Hz)``, ``Song II``).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from handlers.music.alike import ratio, similarity
from handlers.music.identity import Name, artists_of, fold, markers

_CUT = re.compile(r"[()\[\]{}（）【】「」『』《》〈〉<>|｜¦•·~～〜:：;\"“”„«»/／\\_,、]|\s[-–—―]\s")
_YEAR = re.compile(r"(19|20)\d\d|\d+ ?kbps|[248]k|\d{3,4}p")
_GUEST = re.compile(r"\b(?:feat|ft|featuring|with|prod|produced by|directed by)\b.*")
_PLAIN = re.compile(r"(original|album|single|full|main|standard|studio)( length)? (mix|version|song|track)")
_DRESS = frozenset(
    re.findall(
        r"\S+",
        "official officiel officielle oficial ufficiale offizielles audio video clip music musik mv "
        "m v pv lyric lyrics letra paroles visualizer visualiser hd hq uhd fhd hi res flac premiere "
        "free download dl out now album single ep lp track no copyright copyrighted royalty ncs "
        "explicit clean full song remaster remastered remastering digitally stereo mono bonus topic "
        "exclusive new color coded subtitles subtitled sub eng rom han film movie "
        "upgrade ver vietsub youtube soundcloud mov mp3 mp4 wav p オフィシャル 公式 клип премьера текст "
        "песни в и in and by x vs the a of",
    )
)
_LOOSE = frozenset(
    ("the", "a", "of", "in", "and", "song", "new", "free", "no", "full", "single", "album", "track")
)
"""Dress too, but not where they alone touch the title: ``The Song``, ``New Song``."""
_LABEL = frozenset(("records", "recordings", "recs", "music", "release", "releases", "label", "sounds"))


@dataclass(frozen=True, slots=True)
class Reading:
    """``title``: 0–100, how alike the words taken for the wanted title are; 0 = they are not there.

    ``unknown``: words that nothing accounts for. ``names``: what stood beside the title, folded.
    """

    title: float
    versions: frozenset[str]
    unknown: tuple[str, ...]
    names: tuple[str, ...]


@dataclass(slots=True)
class _Words:
    """A title's words in order; ``part``: which stretch between brackets and dashes each is from."""

    word: list[str]
    part: list[int]
    used: list[bool]
    title: tuple[int, int] = (0, 0)

    def take(self, sought: Sequence[str]) -> tuple[int, int] | None:
        """Mark the first unused run of these words as accounted for; where it is."""
        for at in range(len(self.word) - len(sought) + 1):
            stop = at + len(sought)
            if self.word[at:stop] == list(sought) and not any(self.used[at:stop]):
                self.used[at:stop] = [True] * len(sought)
                return at, stop
        return None

    def touches_title(self, run: tuple[int, int]) -> bool:
        """Whether nothing stands between this run and the title, no dash or bracket either."""
        start, stop = self.title
        if run[1] == start:
            return self.part[run[0]] == self.part[start]
        return run[0] == stop and self.part[run[0]] == self.part[stop - 1]

    def runs(self) -> Iterator[tuple[int, int]]:
        """Begin and end of each run of words of one part that is not accounted for."""
        at = 0
        while at < len(self.word):
            stop = at
            while stop < len(self.word) and not self.used[stop] and self.part[stop] == self.part[at]:
                stop += 1
            if stop > at:
                yield at, stop
            at = max(stop, at + 1)


def read(want: Name, artists: Sequence[str], title: str, by: str) -> Reading:
    """An upload's ``title`` by the channel ``by``, where ``artists`` (folded) and ``want`` are wanted."""
    words = _split(title)
    score = _take_title(words, want.core.split())
    names = sorted({*artists, *(fold(f) for f in want.featured)}, key=len, reverse=True)
    beside = tuple(" ".join(words.word[a:b]) for a, b in words.runs())
    for name in names:
        # A name of one word is taken once: in "Live – Song (Live)" the second is no name.
        while words.take(name.split()) and " " in name:
            pass
    versions: set[str] = set()
    left = [found for run in words.runs() if not (found := _explained(words, run, versions))[1]]
    unknown = [text for text, _ in left if text not in _channel(by)]
    return Reading(score, frozenset(versions), tuple(unknown), beside)


def _split(title: str) -> _Words:
    text = unicodedata.normalize("NFKC", title)
    out = _Words([], [], [])
    for number, part in enumerate(_CUT.split(text)):
        words = fold(part).split() if any(c.isalnum() for c in part) else []
        out.word += words
        out.part += [number] * len(words)
    if not out.word:  # a name of signs alone is kept as it is
        out.word, out.part = fold(title).split(), [0] * len(fold(title).split())
    out.used = [False] * len(out.word)
    return out


def _take_title(words: _Words, sought: Sequence[str]) -> float:
    """Mark the run that is the wanted title; how alike it is, 0–100."""
    if exact := words.take(sought):
        words.title = exact
        return 100.0
    best, found = 0.0, (0, 0)
    for size in range(max(1, len(sought) - 2), len(sought) + 3):
        for at in range(len(words.word) - size + 1):
            score = similarity(sought, words.word[at : at + size])
            if score > best:
                best, found = score, (at, at + size)
    words.title, words.used[slice(*found)] = found, [True] * (found[1] - found[0])
    return best


def _explained(words: _Words, run: tuple[int, int], versions: set[str]) -> tuple[str, bool]:
    """The words of a run that are left, and whether what it says is known; versions are taken in."""
    text = " ".join(words.word[run[0] : run[1]])
    if _PLAIN.fullmatch(text):
        return "", True
    if _LOOSE.issuperset(text.split()) and words.touches_title(run):
        return text, False
    bare = " ".join(w for w in text.split() if w not in _DRESS and not _YEAR.fullmatch(w))
    found = markers(bare) if bare else set()
    versions |= found
    if found or not bare or text.split()[-1] in _LABEL:
        return bare, True
    rest = _GUEST.sub("", text)
    left = " ".join(w for w in rest.split() if w not in _DRESS and not _YEAR.fullmatch(w))
    return left, not left


@lru_cache(maxsize=512)
def _channel(by: str) -> frozenset[str]:
    """The names of an uploader, folded: what a title repeats of them says nothing."""
    return frozenset((*artists_of(by), fold(by)))


def artist_score(wanted: Sequence[str], reading: Reading, by: str) -> float:
    """How alike the wanted main artist is to the nearest name that the upload gives, 0–100."""
    if not wanted:
        return 0.0
    if any(f" {wanted[0]} " in f" {beside} " for beside in reading.names):
        return 100.0  # words beside it that are no part of a name are unknown
    given = {*_channel(by), *reading.names, *(n for name in reading.names for n in artists_of(name))}
    return max((ratio(wanted[0], n) for n in given), default=0.0)
