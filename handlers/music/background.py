"""Phase 0, beside the tools: what is open on the board, what earlier runs left, what the settings leave to
their defaults. Looked up in what the daemon has recorded; costs no call of the board."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import msgspec

from daemon.sdk import Context, OpenTask
from handlers.music.settings import Settings
from handlers.music.sheet import Sheet

HANDLER = "music-sync"
BACK = timedelta(days=30)
RUNS = 20
"""Earlier runs that are looked at, the newest."""
SHOWN = 5
MATTER = (
    "output",
    "backup",
    "formats",
    "layout",
    "sources",
    "search",
    "eagle_base_url",
    "soundcloud_profile",
)
"""Settings whose defaults decide what a run does; the rest are limits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Background:
    """``left``: run id → what it did not prove, of tasks whose newest run was not completed."""

    open: tuple[OpenTask, ...]
    left: dict[str, str]
    runs: int
    defaults: tuple[str, ...]


def look(ctx: Context) -> Background:
    """Step: all three."""
    newest = {r.task: r for r in ctx.history(ctx.run.started - BACK, handler=HANDLER, limit=RUNS)}
    left = {}
    for task, record in newest.items():
        unproved = [j.name for j in record.gates if j.result.value in ("failed", "unknown") and j.required]
        if task != ctx.run.task_id and record.ended is not None and record.state != "completed" and unproved:
            left[record.run] = ", ".join(unproved[:SHOWN])
    return Background(
        open=tuple(ctx.open_tasks()),
        left=left,
        runs=len(newest),
        defaults=defaults(ctx.settings),
    )


def defaults(settings: Settings) -> tuple[str, ...]:
    """Names of the settings that matter and stand as shipped. Pure."""
    shipped = Settings()
    names = {f.name for f in msgspec.structs.fields(Settings)}
    return tuple(n for n in MATTER if n in names and getattr(settings, n) == getattr(shipped, n))


def say(ctx: Context, sheet: Sheet) -> None:
    """Findings and evidence of the report's phase 0."""
    found = ctx.step("background", look, ctx)
    for task in found.open[:SHOWN]:
        sheet.find("0", "Open task", f"{task.title}: {task.reason}", "warn")
    more = f", {SHOWN} shown" if len(found.open) > SHOWN else ""
    sheet.find("0", "Open tasks of this kind", f"{len(found.open)}{more}")
    for run, gates in list(found.left.items())[:SHOWN]:
        sheet.find("0", "Left by an earlier run", f"{run}: {gates}", "warn")
    sheet.find("0", "Gaps of earlier runs", f"{len(found.left)} among {found.runs} task(s) of 30 days")
    sheet.find("0", "From defaults", ", ".join(f"music.{n}" for n in found.defaults) or "none")
    ctx.evidence("related-items", "query", "recorded decisions", True, {"open": len(found.open)})
    data = {"tasks": found.runs, "left": dict(found.left)}
    ctx.evidence("earlier-gaps", "query", "recorded runs", True, data)
    ctx.evidence("defaults", "query", "settings", True, {"defaults": list(found.defaults)})
