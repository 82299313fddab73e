"""The reports room: a bundle in, a report on disk and a section for the page out."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from daemon import resources
from daemon.core.errors import ConfigError, HandoffdError
from daemon.core.ports import Bundle, Rendered
from daemon.reports import folders, record, status_docs
from daemon.reports.check import check_templates
from daemon.reports.compare import Baseline, Notice, baseline_from, compare
from daemon.reports.environment import Templates, templates_in
from daemon.reports.gaps import Gap
from daemon.reports.gaps import find as find_gaps
from daemon.reports.index import Entry, Index
from daemon.reports.section import section
from daemon.reports.status_docs import Updated
from daemon.reports.view import View, view

GENERIC = "task"
"""Kind that is rendered when a handler names one without templates."""
LOOK_BACK = 5
"""Earlier reports that are read for the comparison."""
_KIND = re.compile(r"[a-z][a-z0-9_-]{0,39}")


class ReportRoom:
    """Implements ``daemon.core.ports.Reports``.

    ``folder``: where reports go. ``templates``: the root of the template tree, None = the one that ships.
    ``user_templates``: a folder laid out like ``templates/reports`` whose files win. ``link_for``:
    (run id, report folder) → what the page's Report property gets.
    """

    def __init__(
        self,
        folder: Path,
        *,
        templates: Path | None = None,
        user_templates: Path | None = None,
        link_for: Callable[[str, Path], str],
    ) -> None:
        root = templates if templates is not None else resources.templates()
        if user_templates is not None and not user_templates.is_dir():
            raise ConfigError(
                f"reports.templates names {user_templates}, which is not a folder",
                hint="create it or empty the setting",
            )
        self._folder = folder
        self._root = root
        self._user_templates = user_templates
        self._documents = templates_in(root / "status_docs")
        self._link_for = link_for
        self._index = Index(folder)
        self._builtin = templates_in(root / "reports")
        self._templates = templates_in(root / "reports", user_templates) if user_templates else self._builtin

    def render(self, bundle: Bundle) -> Rendered:
        """Write report.md, report.html and evidence.json atomically and bring the index up to date.

        The same bundle gives the same folder and the same bytes. A template of the user's that fails is
        replaced by ours, and the report says so: a slip in a template never holds a task back. Raises
        ConfigError when one of ours fails, PermanentError when the bundle can't be written as JSON.
        """
        with self._locked():
            home = self._home(bundle)
            return self._publish(bundle, self._baseline(bundle, home), home)

    def index(self) -> Path:
        """Write index.html anew from what is on disk, and give its path."""
        with self._locked():
            return self._index.write(self._builtin)

    def reports(self) -> list[Entry]:
        """Every report on disk, newest first."""
        with self._locked():
            return self._index.entries()

    def retention(self, now: float, days: int) -> list[Path]:
        """Remove the reports that began more than ``days`` days before ``now`` (epoch s), by their name.

        Gives back the folders that went. Nothing but our three files in folders of our naming is touched;
        a folder that holds anything else stays whole.
        """
        if days < 1:
            raise ConfigError(f"reports.retention is {days} days: at least 1", hint="set it to 1 or more")
        with self._locked():
            gone = folders.expire(self._folder, before=now - days * 86400)
            self._index.write(self._builtin)
        return gone

    def rerender(self, evidence: Path) -> Rendered:
        """The report again, from its evidence.json alone, into the folder that it belongs to."""
        bundle, baseline = record.load(record.read(evidence))
        with self._locked():
            home = self._home(bundle)
            return self._publish(bundle, baseline, home)

    def text(self, evidence: Path, form: str) -> bytes:
        """The report in one form (md | html | json) from its evidence.json, written nowhere."""
        bundle, baseline = record.load(record.read(evidence))
        files, _ = self._files(bundle, baseline)
        return files[{"md": "report.md", "html": "report.html", "json": "evidence.json"}[form]]

    def gaps(self, bundle: Bundle) -> list[Gap]:
        """What this run's evidence shows as missing, slow or failing again and again."""
        with self._locked():
            home = self._home(bundle)
            return find_gaps(bundle, self._baseline(bundle, home))

    def status_document(self, path: Path, kind: str, *, title: str = "") -> Updated:
        """Bring the region ``kind`` of the document at ``path`` up to date with the reports on disk."""
        base = os.path.relpath(self._folder.resolve(), path.resolve().parent)
        with self._locked():
            body = status_docs.render(self._documents, kind, self._index.entries(), reports=base)
            return status_docs.update(path, kind, body, title=title)

    def refresh_documents(self, folder: Path) -> list[str]:
        """Bring every region of every document (``*.md``) in ``folder`` up to date; what can't be, in words.

        No document is made and none without a region is touched. A folder that is not there has none.
        """
        problems = []
        for path in sorted(folder.glob("*.md")):
            try:
                for kind in status_docs.regions(path.read_bytes()):
                    self.status_document(path, kind)
            except (HandoffdError, OSError) as error:
                told = error.one_line() if isinstance(error, HandoffdError) else str(error)
                problems.append(f"{path.name}: {told}")
        return problems

    def check_templates(self) -> list[str]:
        """What is wrong with the templates in use, one sentence each (for doctor)."""
        return check_templates(self._root, self._user_templates)

    def _home(self, bundle: Bundle) -> Path:
        return folders.home_of(self._folder, run=bundle.run, title=bundle.task.title, started=bundle.started)

    def _publish(self, bundle: Bundle, baseline: Baseline, home: Path) -> Rendered:
        files, shown = self._files(bundle, baseline)
        folders.publish(home, files)
        self._index.add(home, record.read(home / "evidence.json"))
        self._index.write(self._builtin, home)
        link = self._link_for(bundle.run, home)
        return Rendered(
            folder=home,
            markdown=home / "report.md",
            html=home / "report.html",
            evidence=home / "evidence.json",
            section=section(shown, link),
            link=link,
        )

    def _files(self, bundle: Bundle, baseline: Baseline) -> tuple[dict[str, bytes], View]:
        plain = view(bundle)
        formats = {name: count for name, count, _ in plain.formats}
        notices = compare(bundle, baseline, formats)
        shown = view(bundle, notices)
        evidence = record.dump(record.document(shown, baseline))
        pages: Mapping[str, bytes]
        try:
            pages = self._pages(self._templates, shown)
        except HandoffdError as error:
            if self._templates is self._builtin:
                raise
            text = f"A template of yours failed, the built-in one was used: {error.message}"
            broken = Notice(level="warning", code="template", text=text)
            shown = replace(shown, notices=(broken, *shown.notices))
            pages = self._pages(self._builtin, shown)
        return {**pages, "evidence.json": evidence}, shown

    def _pages(self, templates: Templates, shown: View) -> dict[str, bytes]:
        kind = self.kind_for(shown.bundle.kind, templates)
        values: dict[str, Any] = {"report": shown, "bundle": shown.bundle, "data": shown.bundle.data}
        return {
            "report.md": templates.render(f"{kind}/report.md.j2", **values),
            "report.html": templates.render(f"{kind}/report.html.j2", **values),
        }

    def kind_for(self, kind: str, templates: Templates | None = None) -> str:
        """``kind`` when both its templates are there, else the generic one."""
        found = templates or self._templates
        if not _KIND.fullmatch(kind):
            return GENERIC
        both = all(found.has(f"{kind}/report.{form}.j2") for form in ("md", "html"))
        return kind if both else GENERIC

    def _baseline(self, bundle: Bundle, home: Path) -> Baseline:
        """What earlier reports say; once written beside a report it stays, so that a later render of the
        same run compares with the same."""
        written = home / "evidence.json"
        if written.exists():
            return record.load(record.read(written))[1]
        earlier = []
        for past in bundle.previous[:LOOK_BACK]:
            folder = self._index.find(str(past.get("run")))
            if folder is not None and (folder / "evidence.json").exists():
                earlier.append(record.read(folder / "evidence.json"))
        return baseline_from(earlier)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer of this folder at a time, over processes too (daemon and command line)."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)
