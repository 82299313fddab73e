"""Reports: a bundle of recorded data → report.md, report.html, evidence.json, a section for the page.

Nothing here measures or decides: status, gates and counts come out of what the run recorded, and what
nobody measured is shown as *not measured*. docs/reports.md describes files, templates and evidence.
"""

from __future__ import annotations

from daemon.reports.room import ReportRoom

__all__ = ["ReportRoom"]
