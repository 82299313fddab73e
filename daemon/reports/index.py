"""``reports/index.html``: the reports, newest first, a page a month; and the file that keeps it fast.

The folders are the truth. ``index.jsonl`` holds one line a report, appended, so that ten thousand reports
are not opened to list them; what it lacks is read from the folder's evidence.json, what was removed by hand
drops out, and a torn or foreign line is passed over. Losing the file costs one slow listing, nothing else.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from daemon.core.errors import NotFound, PermanentError
from daemon.core.text import one_line
from daemon.reports import folders, record
from daemon.reports.amounts import duration, iso, when
from daemon.reports.environment import Templates

PAGE, LINES = "index.html", "index.jsonl"
NEWEST = 500
"""Reports on index.html itself; each month has a page of all its own. Bounds what one report rewrites."""
_PLACE = re.compile(r"\d{4}/\d{2}/" + folders.NAME.pattern)
_TONES = ("good", "warn", "bad", "info", "muted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One report as listed. ``place``: its folder below the reports' folder, with ``/``."""

    place: str
    run: str
    title: str
    kind: str
    handler: str
    word: str
    tone: str
    started: float
    seconds: float
    passed: int
    required: int
    files: int


class Index:
    """The list of one reports folder, kept in memory between renders. Its owner holds the folder's lock."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._entries: dict[str, Entry] = {}
        self._rows: dict[str, Markup] = {}
        self._read_to = (0, 0)
        self._lines = 0
        self._months: dict[str, int] = {}

    def entries(self) -> list[Entry]:
        """All reports that are on disk now, newest first."""
        self._read_lines()
        self._reconcile()
        return sorted(self._entries.values(), key=lambda e: (e.started, e.run), reverse=True)

    def find(self, run: str) -> Path | None:
        """The folder of ``run``'s report, None when it has none."""
        if not self._entries:
            self.entries()
        for place, entry in self._entries.items():
            if entry.run == run:
                return self._root / place
        return None

    def add(self, folder: Path, doc: Mapping[str, Any]) -> None:
        """Take up a report that was just written."""
        self._read_lines()
        entry = entry_of(folder.relative_to(self._root).as_posix(), doc)
        if self._entries.get(entry.place) != entry:
            self._put(entry)
            self._append([entry])

    def write(self, templates: Templates, changed: Path | None = None) -> Path:
        """Write index.html for what is on disk now, and the pages of the months.

        ``changed``: the report folder that was written; then only its month's page is written anew.
        """
        found = self.entries()
        by_month: dict[str, list[Entry]] = {}
        for entry in found:
            by_month.setdefault(entry.place[:7], []).append(entry)
        months = [(month, month_page(month), len(rows)) for month, rows in by_month.items()]
        self._page(self._root / PAGE, templates, found[:NEWEST], months, total=len(found))
        wanted = {name for _, name, _ in months}
        for month, name, _ in months:
            if changed is None or changed.relative_to(self._root).as_posix().startswith(month):
                self._page(self._root / name, templates, by_month[month], months, month=month)
        for stale in self._root.glob("index-[0-9]*-[0-9]*.html"):
            if stale.name not in wanted:
                stale.unlink()
        return self._root / PAGE

    def _page(
        self,
        path: Path,
        templates: Templates,
        shown: list[Entry],
        months: list[tuple[str, str, int]],
        *,
        total: int | None = None,
        month: str = "",
    ) -> None:
        page = templates.render(
            "index.html.j2",
            rows=Markup("\n").join(self._row(e) for e in shown),
            count=len(shown),
            total=len(shown) if total is None else total,
            month=month,
            months=months,
            words=sorted({e.word for e in shown}),
            handlers=sorted({e.handler for e in shown}),
            newest=shown[0].started if shown else None,
        )
        folders.replace(path, page)

    def _put(self, entry: Entry) -> None:
        self._entries[entry.place] = entry
        self._rows.pop(entry.place, None)

    def _row(self, entry: Entry) -> Markup:
        row = self._rows.get(entry.place)
        if row is None:
            row = self._rows[entry.place] = _ROW.format(
                e=entry,
                at=when(entry.started),
                iso=iso(entry.started),
                took=duration(entry.seconds),
            )
        return row

    def _read_lines(self) -> None:
        """What other processes and earlier lives appended since the last look."""
        try:
            with (self._root / LINES).open("rb") as file:
                seen = os.fstat(file.fileno())
                inode, offset = self._read_to
                if seen.st_ino != inode or seen.st_size < offset:
                    offset, self._lines = 0, 0
                    self._entries.clear()
                    self._rows.clear()
                    self._months.clear()
                file.seek(offset)
                tail = file.read()
        except FileNotFoundError:
            return
        whole = tail[: tail.rfind(b"\n") + 1]
        for line in whole.splitlines():
            self._lines += 1
            entry = parse(line)
            if entry is not None and self._entries.get(entry.place) != entry:
                self._put(entry)
        self._read_to = (seen.st_ino, offset + len(whole))

    def _append(self, entries: list[Entry]) -> None:
        lines = "".join(json.dumps(asdict(e)) + "\n" for e in entries).encode("ascii")
        with (self._root / LINES).open("ab") as file:
            # A line torn by a kill is closed first, so that it can't swallow ours.
            torn = file.tell() > 0 and not _ends_with_newline(self._root / LINES)
            file.write(b"\n" + lines if torn else lines)
        self._read_lines()

    def _reconcile(self) -> None:
        """Make the entries agree with the folders on disk, looking only into months that changed."""
        there = {f"{m.parent.name}/{m.name}": m for m in folders.months(self._root)}
        gone = {p for p in self._entries if p[:7] not in there}
        fresh: list[Entry] = []
        for month, path in there.items():
            changed = path.stat().st_mtime_ns
            if self._months.get(month) == changed:
                continue
            self._months[month] = changed
            on_disk = {f"{month}/{name}" for name in folders.names(path)}
            listed = {p for p in self._entries if p[:7] == month}
            gone |= listed - on_disk
            read = (self._from_disk(place) for place in sorted(on_disk - listed))
            fresh += [entry for entry in read if entry is not None]
        for place in gone:
            del self._entries[place]
            self._rows.pop(place, None)
        for entry in fresh:
            self._put(entry)
        if self._lines + len(fresh) > 2 * len(self._entries) + 200:
            self._rewrite()
        elif fresh:
            self._append(fresh)

    def _rewrite(self) -> None:
        """index.jsonl with one line for each report that is there, and nothing else."""
        body = "".join(json.dumps(asdict(e)) + "\n" for e in self._entries.values()).encode("ascii")
        folders.replace(self._root / LINES, body)
        self._read_to = ((self._root / LINES).stat().st_ino, len(body))
        self._lines = len(self._entries)

    def _from_disk(self, place: str) -> Entry | None:
        """The entry of a folder that no line tells of; None when its evidence can't be read."""
        try:
            return entry_of(place, record.read(self._root / place / "evidence.json"))
        except (NotFound, PermanentError):
            # Half a report (its files were removed by hand) is nothing to list; the folder stays as it is.
            return None


def month_page(month: str) -> str:
    """File name of the page of ``2026/01``."""
    return f"index-{month.replace('/', '-')}.html"


def entry_of(place: str, doc: Mapping[str, Any]) -> Entry:
    """The entry of a report from its document. PermanentError when the document is incomplete."""
    try:
        required = [g for g in doc["gates"] if g["required"] and g["result"] != "not_applicable"]
        return Entry(
            place=place,
            run=str(doc["run"]),
            title=one_line(str(doc["task"]["title"]), 160) or "Untitled task",
            kind=str(doc["kind"]),
            handler=one_line(str(doc["handler"]), 60),
            word=one_line(str(doc["headline"]["word"]), 40),
            tone=str(doc["headline"]["tone"]),
            started=float(doc["started"]),
            seconds=float(doc["times"]["seconds"]),
            passed=sum(g["result"] == "passed" for g in required),
            required=len(required),
            files=len(doc["files"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise PermanentError(f"the evidence in {place} is incomplete: {error!r}") from error


def parse(line: bytes) -> Entry | None:
    """A line of index.jsonl; None when it is torn, foreign or names a place that is no report folder."""
    try:
        raw = json.loads(line)
        entry = Entry(**raw)
    except (ValueError, TypeError, RecursionError):
        return None
    texts = (entry.place, entry.run, entry.title, entry.kind, entry.handler, entry.word, entry.tone)
    numbers = (entry.started, entry.seconds, entry.passed, entry.required, entry.files)
    good = all(isinstance(t, str) for t in texts) and all(isinstance(n, int | float) for n in numbers)
    return entry if good and _PLACE.fullmatch(entry.place) and entry.tone in _TONES else None


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


_ROW = Markup(
    '<tr data-w="{e.word}" data-h="{e.handler}"><td class="main" data-label="Report">'
    '<a href="{e.place}/report.html">{e.title}</a></td>'
    '<td data-label="Status"><span class="badge {e.tone}">{e.word}</span></td>'
    '<td data-label="Handler">{e.handler}</td>'
    '<td class="num" data-label="Gates">{e.passed} of {e.required}</td>'
    '<td class="num" data-label="Files">{e.files}</td><td class="num" data-label="Took">{took}</td>'
    '<td data-label="Began"><time datetime="{iso}">{at}</time></td></tr>'
)
