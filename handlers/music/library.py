"""The library index: which tracks there are, by every strong id and by what they are called. SQLite.

It is a cache of what the files' own tags say (``library scan`` builds it again) plus the ids that they can't
hold. Lookups are local and indexed: exact ids first, then the version-aware key, then rare words with
rapidfuzz over the few candidates (research/music.md §6.1).
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random

from handlers.music.alike import similarity
from handlers.music.identity import artists_of, fold, name_of
from handlers.music.model import Placed, Track

SCHEMA = """
CREATE TABLE IF NOT EXISTS track(
  n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, artist TEXT NOT NULL, title TEXT NOT NULL,
  album TEXT NOT NULL, isrc TEXT NOT NULL, url TEXT NOT NULL, duration REAL NOT NULL, pcm TEXT NOT NULL,
  a TEXT NOT NULL, t TEXT NOT NULL, v TEXT NOT NULL, artists TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS track_key ON track(a, t, v);
CREATE INDEX IF NOT EXISTS track_isrc ON track(isrc) WHERE isrc != '';
CREATE TABLE IF NOT EXISTS strong(value TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS word(w TEXT, s INTEGER, n INTEGER, PRIMARY KEY(w, s, n)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS df(w TEXT PRIMARY KEY, many INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS file(
  path TEXT PRIMARY KEY, n INTEGER NOT NULL, format TEXT NOT NULL, sha256 TEXT NOT NULL,
  bytes INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS file_track ON file(n);
CREATE TABLE IF NOT EXISTS fingerprint(n INTEGER PRIMARY KEY, pcm TEXT NOT NULL, words BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS rejected(key TEXT PRIMARY KEY, reason TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ruled_out(key TEXT, url TEXT, PRIMARY KEY(key, url)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS root(path TEXT PRIMARY KEY, id TEXT NOT NULL) WITHOUT ROWID;
"""
TITLE_SCORE = ARTIST_SCORE = 80.0
"""rapidfuzz ratio that title and best artist must reach to be called probable (research/music.md §6.1); the
title word by word: one word more is another track."""
ENOUGH = 2000
"""Candidates looked at, at most: those of the rarest words first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A track of the index, with its files by format."""

    id: str
    artist: str
    title: str
    album: str
    isrc: str
    url: str
    duration_s: float
    pcm: str
    files: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """``level``: exact | isrc | key | probable. ``score``: 0–100. ``why`` is a sentence for the report."""

    level: str
    score: float
    why: str
    known: Known

    @property
    def certain(self) -> bool:
        """By a strong id: no look at the sound is needed."""
        return self.level in ("exact", "isrc")


_OPENING = Retrying(
    retry=retry_if_exception_type(sqlite3.OperationalError),
    stop=stop_after_delay(20.0),
    wait=wait_random(0.005, 0.05),
    reraise=True,
)
"""Two tracks that come first at once both set the journal's mode, and for that SQLite waits for nobody."""


class Library:
    """One connection. Use as a context manager; every method is one transaction."""

    def __init__(self, path: Path) -> None:
        if str(path) != ":memory:":
            path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, timeout=20.0, isolation_level=None)
        for attempt in _OPENING:
            with attempt:
                self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(SCHEMA)

    @classmethod
    def looking(cls, path: Path) -> Library:
        """For lookups: an index that is not there yet is empty, and is not made."""
        return cls(path) if path.is_file() else cls(Path(":memory:"))

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def put(
        self,
        track: Track,
        pcm: str,
        files: Iterable[Placed],
        strong: Iterable[str] = (),
        fingerprint: str = "",
    ) -> None:
        """Record a track and its files, or bring what is recorded up to date. ``strong``: further ids.

        ``fingerprint``: of the samples whose hash is ``pcm``, packed; "" = what is kept of the same samples
        stays, what is kept of others goes.
        """
        with self._writing() as db:
            n = self._put_track(db, track, pcm)
            db.execute("DELETE FROM fingerprint WHERE n = ? AND pcm != ?", (n, pcm))
            if fingerprint and pcm:
                words = base64.b64decode(fingerprint, validate=True)
                db.execute("INSERT OR REPLACE INTO fingerprint VALUES(?, ?, ?)", (n, pcm, words))
            for value in (track.key, *strong):
                db.execute("INSERT OR REPLACE INTO strong VALUES(?, ?)", (value, n))
            db.execute("DELETE FROM file WHERE n = ?", (n,))
            for f in files:
                row = (f.path, n, f.format, f.sha256, f.bytes)
                db.execute("INSERT OR REPLACE INTO file VALUES(?, ?, ?, ?, ?)", row)

    def put_many(self, tracks: Iterable[tuple[Track, str]]) -> int:
        """Record many tracks in one transaction (a scan, a benchmark); how many."""
        self._db.execute("PRAGMA cache_size = -131072")  # KiB: the words of many tracks lie scattered
        with self._writing() as db:
            count = 0
            for track, pcm in tracks:
                n = self._put_track(db, track, pcm)
                db.execute("INSERT OR REPLACE INTO strong VALUES(?, ?)", (track.key, n))
                count += 1
            return count

    def _put_track(self, db: sqlite3.Connection, track: Track, pcm: str) -> int:
        name, artists = name_of(track.title), all_artists(track)
        row = (
            track.artist,
            track.title,
            track.album,
            track.isrc,
            track.url,
            track.duration_s,
            pcm,
            artists[0] if artists else "",
            name.core,
            name.version,
            "\n".join(artists),
        )
        old = db.execute("SELECT n, t, artists, duration FROM track WHERE id = ?", (track.id,)).fetchone()
        if old:
            n = int(old[0])
            self._forget_words(db, n, words_of(old[1], old[2].split("\n")), int(old[3]))
            db.execute(
                "UPDATE track SET artist=?, title=?, album=?, isrc=?, url=?, duration=?, pcm=?, a=?, t=?, "
                "v=?, artists=? WHERE n = ?",
                (*row, n),
            )
        else:
            cursor = db.execute(
                "INSERT INTO track(id, artist, title, album, isrc, url, duration, pcm, a, t, v, artists) "
                "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (track.id, *row),
            )
            n = int(cursor.lastrowid or 0)
        words, second = words_of(name.core, artists), int(track.duration_s)
        db.executemany("INSERT INTO word VALUES(?, ?, ?)", [(word, second, n) for word in words])
        db.executemany(
            "INSERT INTO df VALUES(?, 1) ON CONFLICT(w) DO UPDATE SET many = many + 1", [(w,) for w in words]
        )
        return n

    def _forget_words(self, db: sqlite3.Connection, n: int, words: Sequence[str], second: int) -> None:
        for word in words:
            db.execute("UPDATE df SET many = many - 1 WHERE w = ?", (word,))
            db.execute("DELETE FROM word WHERE w = ? AND s = ? AND n = ?", (word, second, n))

    def exact(self, values: Sequence[str]) -> Match | None:
        """By strong id: source key, platform id, own id."""
        for value in values:
            row = self._db.execute("SELECT n FROM strong WHERE value = ?", (value,)).fetchone()
            if row:
                return Match(
                    level="exact",
                    score=100.0,
                    why=f"the same {value.split(':', 1)[0]}",
                    known=self._known(row[0]),
                )
        return None

    def find(self, track: Track, window: float) -> Match | None:
        """The first rung of the ladder that holds: exact id, ISRC, version-aware key, rare words.

        ``window``: how far durations may differ, seconds. Only ids and ISRC are certain.
        """
        exact = self.exact([track.key])
        if exact:
            return exact
        low, high = track.duration_s - window, track.duration_s + window
        if track.isrc:
            row = self._db.execute(
                "SELECT n FROM track WHERE isrc = ? AND duration BETWEEN ? AND ?", (track.isrc, low, high)
            ).fetchone()
            if row:
                return Match(
                    level="isrc", score=100.0, why=f"the same ISRC {track.isrc}", known=self._known(row[0])
                )
        name, artists = name_of(track.title), all_artists(track)
        row = self._db.execute(
            "SELECT n FROM track WHERE a = ? AND t = ? AND v = ? AND duration BETWEEN ? AND ?",
            (artists[0] if artists else "", name.core, name.version, low, high),
        ).fetchone()
        if row:
            return Match(
                level="key",
                score=100.0,
                why="the same artist, title, version and length",
                known=self._known(row[0]),
            )
        return self._probable(name.core, name.version, artists, low, high)

    def _probable(
        self, core: str, version: str, artists: tuple[str, ...], low: float, high: float
    ) -> Match | None:
        from rapidfuzz import fuzz

        best, best_n = 0.0, 0
        for n, title, theirs in self._candidates(words_of(core, artists), version, low, high):
            if not fuzz.ratio(core, title, score_cutoff=TITLE_SCORE):  # most go here, by the cheap look
                continue
            score = similarity(core.split(), title.split())
            if score < TITLE_SCORE:
                continue
            who = max((fuzz.ratio(a, b) for a in artists for b in theirs.split("\n")), default=0.0)
            if who >= ARTIST_SCORE and min(score, who) > best:
                best, best_n = min(score, who), n
        if not best_n:
            return None
        known = self._known(best_n)
        return Match(
            level="probable",
            score=round(best, 1),
            why=f"artist and title are {best:.0f} % alike, length fits",
            known=known,
        )

    def _candidates(
        self, words: Sequence[str], version: str, low: float, high: float
    ) -> list[tuple[int, str, str]]:
        """Tracks that share a word and nearly the length; a word's rows are sorted by length, so that even a
        common one gives a few."""
        marks = ",".join("?" * len(words))
        rare = self._db.execute(
            f"SELECT w FROM df WHERE w IN ({marks}) AND many > 0 ORDER BY many",  # noqa: S608 - marks only
            tuple(words),
        ).fetchall()
        out: dict[int, tuple[int, str, str]] = {}
        for (word,) in rare:
            rows = self._db.execute(
                "SELECT track.n, t, artists FROM word JOIN track ON track.n = word.n "
                "WHERE w = ? AND s BETWEEN ? AND ? AND v = ? AND duration BETWEEN ? AND ? LIMIT ?",
                (word, int(low), int(high), version, low, high, ENOUGH - len(out)),
            )
            out |= {row[0]: row for row in rows}
            if len(out) >= ENOUGH:
                break
        return list(out.values())

    def _known(self, n: int) -> Known:
        row = self._db.execute(
            "SELECT id, artist, title, album, isrc, url, duration, pcm FROM track WHERE n = ?", (n,)
        ).fetchone()
        files = dict(self._db.execute("SELECT format, path FROM file WHERE n = ?", (n,)).fetchall())
        return Known(
            id=row[0],
            artist=row[1],
            title=row[2],
            album=row[3],
            isrc=row[4],
            url=row[5],
            duration_s=row[6],
            pcm=row[7],
            files=files,
        )

    def tracks(self) -> Iterator[Known]:
        """Every track, in the order of its coming."""
        for (n,) in self._db.execute("SELECT n FROM track ORDER BY n").fetchall():
            yield self._known(n)

    def same_names(self) -> list[list[Known]]:
        """Tracks with files, by artist, title and version, where several have the same; shortest first."""
        rows = self._db.execute(
            "SELECT n, a, t, v FROM track WHERE EXISTS(SELECT 1 FROM file WHERE file.n = track.n) "
            "ORDER BY a, t, v, duration, n"
        ).fetchall()
        named = (list(group) for _, group in itertools.groupby(rows, key=lambda row: row[1:]))
        return [[self._known(row[0]) for row in group] for group in named if len(group) > 1]

    def by_id(self, track: str) -> Known | None:
        """A track by its id."""
        row = self._db.execute("SELECT n FROM track WHERE id = ?", (track,)).fetchone()
        return self._known(row[0]) if row else None

    def files_of(self, track: str) -> list[Placed]:
        """The recorded files of a track."""
        rows = self._db.execute(
            "SELECT format, path, sha256, bytes FROM file JOIN track USING(n) WHERE track.id = ?", (track,)
        ).fetchall()
        return [Placed(format=r[0], path=r[1], how="there", sha256=r[2], bytes=r[3]) for r in rows]

    def fingerprint(self, track: str) -> str:
        """The packed fingerprint of the samples that a track's files were made of, "" = none is kept."""
        row = self._db.execute(
            "SELECT words FROM fingerprint JOIN track USING(n, pcm) WHERE track.id = ?", (track,)
        ).fetchone()
        return base64.b64encode(row[0]).decode("ascii") if row else ""

    def file_paths(self) -> list[str]:
        """Every recorded path."""
        return [str(r[0]) for r in self._db.execute("SELECT path FROM file ORDER BY path").fetchall()]

    def size(self) -> int:
        """How many tracks."""
        return int(self._db.execute("SELECT count(*) FROM track").fetchone()[0])

    def paths_of(self, track: str) -> list[str]:
        """Paths that are recorded for a track id."""
        rows = self._db.execute("SELECT path FROM file JOIN track USING(n) WHERE track.id = ?", (track,))
        return [str(row[0]) for row in rows.fetchall()]

    def forget_file(self, path: str) -> None:
        """A file that is not there any more."""
        with self._writing() as db:
            db.execute("DELETE FROM file WHERE path = ?", (path,))

    def reject(self, key: str, reason: str) -> None:
        """A source that can never work: it leaves the selection."""
        with self._writing() as db:
            db.execute("INSERT OR REPLACE INTO rejected VALUES(?, ?)", (key, reason))

    def rejection(self, key: str) -> str:
        """Why a source was rejected, "" = it was not."""
        row = self._db.execute("SELECT reason FROM rejected WHERE key = ?", (key,)).fetchone()
        return str(row[0]) if row else ""

    def readmit(self, key: str) -> None:
        """A rejected source may be picked again."""
        with self._writing() as db:
            db.execute("DELETE FROM rejected WHERE key = ?", (key,))

    def forgive(self, key: str) -> None:
        """No address is ruled out for this track any more."""
        with self._writing() as db:
            db.execute("DELETE FROM ruled_out WHERE key = ?", (key,))

    def rule_out(self, key: str, url: str) -> None:
        """A match that a person called wrong: never taken for this track again."""
        with self._writing() as db:
            db.execute("INSERT OR IGNORE INTO ruled_out VALUES(?, ?)", (key, url))

    def ruled_out(self, key: str) -> list[str]:
        """Addresses that a person called wrong for this track."""
        return [str(r[0]) for r in self._db.execute("SELECT url FROM ruled_out WHERE key = ?", (key,))]

    def root_id(self, path: str) -> str:
        """The identity that a root folder had when it was first used, "" = never used."""
        row = self._db.execute("SELECT id FROM root WHERE path = ?", (path,)).fetchone()
        return str(row[0]) if row else ""

    def set_root(self, path: str, identity: str) -> None:
        """Remember a root folder's identity."""
        with self._writing() as db:
            db.execute("INSERT OR REPLACE INTO root VALUES(?, ?)", (path, identity))


def all_artists(track: Track) -> tuple[str, ...]:
    """Artists of the credit and of the title's "feat.", folded."""
    featured = (fold(f) for f in name_of(track.title).featured)
    return tuple(dict.fromkeys((*artists_of(track.artist), *featured)))


def words_of(core: str, artists: Sequence[str]) -> tuple[str, ...]:
    """The words that a track is found by."""
    return tuple(dict.fromkeys(w for text in (core, *artists) for w in text.split()))
