"""Music: finding a duplicate in a library, beside a loop and beets' query.

Library and questions are made up by rules, with fixed seeds. A lookup is what a run does: the index opened,
asked and closed. Times are CPU; a track that is found and should not be is a false duplicate.
"""

from __future__ import annotations

import difflib
import json
import statistics
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import NoPeer, Peers
from handlers.music.identity import fold
from handlers.music.library import Library
from handlers.music.model import Track
from tests.music.library_corpus import WINDOW_S, Question, questions, tracks

SIZES = (2_700, 100_000, 1_000_000)
QUERIES = 300
"""Duplicates asked for at each size, and as many others."""
LIMIT_SIZE, LIMIT_MS, FOUND_LEAST = 100_000, 3.0, 94.0
LOOPED = 2_700
"""Tracks that the slow loop is timed on; larger libraries are that, multiplied: it looks at every track."""
BEETS_MOST = 100_000
"""beets reads every row for a question: larger libraries are this one's time, multiplied."""
BEETS_ASKED = 60

Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Answers:
    """Of one size: milliseconds of each lookup, the questions that were missed, those answered wrongly."""

    ms: list[float]
    missed: list[Question]
    false: list[Question]


def ask(path: Path, asked: list[Question]) -> Answers:
    """Put the questions to the index, as a run does."""
    out = Answers([], [], [])
    for question in asked:
        began = time.process_time()
        with Library(path) as library:
            match = library.find(question.track, WINDOW_S)
        out.ms.append((time.process_time() - began) * 1000)
        if question.same and (match is None or match.known.id != question.same):
            out.missed.append(question)
        if not question.same and match is not None:
            out.false.append(question)
    return out


def p95(values: list[float]) -> float:
    """The value that 95 of 100 do not exceed."""
    return statistics.quantiles(values, n=20)[18]


def kinds(found: list[Question]) -> str:
    """What sorts of questions these were, the most frequent first."""
    counted = Counter(k for q in found for k in q.kind.split(" + "))
    return ", ".join(f"{many} {kind}" for kind, many in counted.most_common(4))


def size_rows(name: str, size: int, got: Answers, loop_ms: float) -> list[Row]:
    """Time beside the loop, what was found, and what was found and should not have been."""
    said = "" if size == LOOPED else f", extrapolated from {LOOPED:,}"
    pace: Row = {"name": f"{name}: p95 of a lookup, CPU", "ours": p95(got.ms), "unit": "ms"}
    pace |= {"peer": loop_ms * size / LOOPED, "peer_name": f"SequenceMatcher loop, median{said}"}
    pace |= {"note": f"median {statistics.median(got.ms):.2f} ms of {len(got.ms)}"}
    if size == LIMIT_SIZE:
        pace |= {"limit": f"< {LIMIT_MS:g} ms", "held": p95(got.ms) < LIMIT_MS}
    share = 100 * (1 - len(got.missed) / QUERIES)
    true: Row = {"name": f"{name}: true duplicates found, of {QUERIES}", "ours": share, "unit": "%"}
    true |= {
        "limit": f"≥ {FOUND_LEAST:g} %",
        "held": share >= FOUND_LEAST,
        "note": f"missed: {kinds(got.missed)}",
    }
    false: Row = {"name": f"{name}: false duplicates, of {QUERIES} near names", "ours": len(got.false)}
    false |= {"limit": "0", "held": not got.false, "note": kinds(got.false)}
    return [pace, true, false]


def loop_ms(library: list[Track], asked: list[Question]) -> float:
    """One lookup as the predecessor made it, a ratio against every item: the median of a few."""
    taken = []
    for question in asked[:5]:
        began = time.process_time()
        title, artist = fold(question.track.title), fold(question.track.artist)
        for track in library:
            difflib.SequenceMatcher(None, title, fold(track.title)).ratio()
            difflib.SequenceMatcher(None, artist, fold(track.artist)).ratio()
        taken.append((time.process_time() - began) * 1000)
    return statistics.median(taken)


@dataclass(slots=True)
class Beets:
    """beets' own question before an import, in a real beets library that grows with ours."""

    peers: Peers
    root: Path
    size: int = 0
    ms: float = 0.0
    note: str = ""

    def row(self, name: str, library: list[Track], asked: list[Question], ours: float) -> Row:
        """Beside ours; beyond ``BEETS_MOST`` its last time, multiplied."""
        if len(library) <= BEETS_MOST:
            self._ask(library, asked)
        said = "" if self.size == len(library) else f", extrapolated from {self.size:,}"
        out: Row = {"name": f"{name}: p95 of a lookup, CPU", "ours": ours, "unit": "ms", "note": self.note}
        out["peer"] = self.ms * len(library) / self.size
        return out | {
            "peer_name": f"beets {self.peers.versions['beets']} query on an open library, p95{said}"
        }

    def _ask(self, library: list[Track], asked: list[Question]) -> None:
        rows, more = self.root / "rows", library[self.size :]
        rows.write_text("".join(json.dumps([t.artist, t.title, t.duration_s]) + "\n" for t in more))
        some = [q for q in asked if q.same][:BEETS_ASKED]
        names = [[q.track.artist, q.track.title] for q in some]
        order = {"db": str(self.root / "beets.db"), "rows": str(rows), "asked": names}
        answers = self.peers.ask("beets_query", **order)["answers"]
        known = {t.id: [t.artist, t.title] for t in library}
        got = sum(known[q.same] in found for q, (_, found) in zip(some, answers, strict=True))
        self.size, self.ms = len(library), p95([ms for ms, _ in answers])
        self.note = f"beets finds {got} of {len(some)} of the same duplicates"


def dedup_rows(root: Path, peers: Peers | None) -> list[Row]:
    """Lookups in a library that grows to each size."""
    out: list[Row] = []
    everything = tracks(max(SIZES))
    index, done = root / "library.db", 0
    beets = Beets(peers, root) if peers is not None else None
    once = loop_ms(everything[:LOOPED], questions(everything[:LOOPED], 5, seed=1))
    for size in SIZES:
        with Library(index) as library:
            library.put_many((t, "") for t in everything[done:size])
        done, asked = size, questions(everything[:size], QUERIES, seed=size)
        got, name = ask(index, asked), f"dedup in {size:,} tracks"
        out += size_rows(name, size, got, once)
        if beets is not None:
            out.append(beets.row(name, everything[:size], asked, p95(got.ms)))
    return out


def rows() -> list[Row]:
    """The table of this room."""
    with tempfile.TemporaryDirectory(prefix="handoffd-bench-") as folder:
        try:
            with Peers() as peers:
                return dedup_rows(Path(folder), peers)
        except NoPeer as error:
            missing: Row = {"name": "beets", "ours": "not measured", "note": str(error)}
            return [*dedup_rows(Path(folder), None), missing]
