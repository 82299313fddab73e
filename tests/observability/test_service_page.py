"""docs/service.md lists the events and metrics that the tables have."""

from __future__ import annotations

from pathlib import Path

from daemon.observability.events import TABLE as EVENTS
from daemon.observability.metrics import TABLE as METRICS

PAGE = (Path(__file__).parents[2] / "docs" / "service.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[str]:
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith("| `")]


def test_the_page_lists_every_event_as_the_table_has_it() -> None:
    assert rows("Logs") == [
        f"| `{e.name}` | {e.level} | {'yes' if e.recorded else ''} | {e.meaning} |" for e in EVENTS
    ]


def test_the_page_lists_every_metric_as_the_table_has_it() -> None:
    assert rows("Metrics") == [
        f"| `{m.shown}` | {m.kind} | {', '.join(f'`{name}`' for name in m.labels)} | {m.help} |"
        for m in METRICS
    ]
