"""A plausible day in store, board and snapshot, for the dashboard to show."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import sqlalchemy as sa

from daemon.core.evidence import Evidence, Gate, judge
from daemon.core.gates import Call, Decision
from daemon.core.ports import BoardInfo
from daemon.core.snapshot import HandlerRecord, Snapshot
from daemon.core.status import RunState, Status
from daemon.core.task import Priority, Task
from daemon.store import Run, Store, tables
from daemon.store.hosts import Hosts
from daemon.store.rows import Made
from daemon.testing import MemoryBoard
from daemon.web import WebParts

TEMPLATES = Path(__file__).parents[2] / "templates" / "web"

MUSIC_GATES = (
    Gate(name="files_decode", title="Each file decodes to its full length"),
    Gate(name="tags_read_back", title="Tags were written and read back"),
    Gate(name="library_delta", title="The library gained just these files"),
    Gate(name="eagle_item", title="Eagle holds the item", required=False),
)


class Clock:
    """A clock that tests may move; it stands still by itself, so that pages are the same twice."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@dataclass
class World:
    """What a server is built over, and what it was asked to do."""

    home: Path
    clock: Clock
    store: Store
    board: MemoryBoard
    snapshot: Snapshot
    refreshed: list[float] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    checks: list[tuple[str, bool, str]] = field(
        default_factory=lambda: [
            ("settings", True, "read from handoffd.toml"),
            ("store", True, "written 4 s ago"),
            ("board", True, "answered 4 s ago"),
            ("disk", True, "41 GB free"),
        ]
    )

    @property
    def reports(self) -> Path:
        return self.home / "reports"

    def parts(self, **changes: Any) -> WebParts:
        def keep(token: str) -> str:
            self.kept.append(token)
            return "secrets/notion_webhook_secret in the home folder"

        def link(url: str, key: str) -> str:
            self.links.append((url, key))
            return "9" * 32

        values: dict[str, Any] = {
            "store": self.store,
            "snapshot": lambda: self.snapshot,
            "clock": self.clock,
            "refresh": lambda: self.refreshed.append(self.clock()),
            "metrics": lambda: b"# HELP handoffd_up It runs.\n# TYPE handoffd_up gauge\nhandoffd_up 1.0\n",
            "reports": self.reports,
            "board": self.board,
            "token": None,
            "local_board": None,
            "notion_webhook_secret": None,
            "on_webhook": self.events.append,
            "music_webhook": link,
            "templates": TEMPLATES,
            "version": "0.1.0",
            "host_name": "studio-mini",
            "local": True,
            "readiness": lambda: self.checks,
            "keep_webhook_secret": keep,
        }
        return WebParts(**{**values, **changes})


def task(number: int, title: str, status: Status, now: float, **more: Any) -> Task:
    """A task of the world; ``number`` makes its id."""
    made = datetime.fromtimestamp(now, UTC) - timedelta(hours=number)
    values: dict[str, Any] = {
        "id": f"{0xA0000000000000000000000000000000 + number * 7919:032x}",
        "title": title,
        "status": status,
        "status_name": status.value,
        "page_url": f"https://app.notion.com/p/{number:032x}",
        "created": made.replace(second=0, microsecond=0),
        "edited": made.replace(second=0, microsecond=0) + timedelta(minutes=20),
    }
    return Task(**(values | more))


def attempt(of: Task, state: RunState, started: float, **more: Any) -> Run:
    """An attempt of a task, as the tick would have recorded it."""
    generation = more.get("generation", 1)
    values: dict[str, Any] = {
        "run": f"{of.id}.g{generation}",
        "task": of.id,
        "generation": generation,
        "attempt": 1,
        "handler": of.handler or "handoff",
        "host": "studio-mini",
        "state": state,
        "claim": f"3f2a/studio-mini {generation} 9c41d2 {int(started * 1000)}",
        "title": of.title,
        "page": msgspec.to_builtins(of),
        "started": started,
    }
    return Run(**{**values, **more})


def decision(of: Task, gate: str, reason: str, change: str, now: float, **more: Any) -> Decision:
    """A recorded decision about a task."""
    values: dict[str, Any] = {
        "task_id": of.id,
        "title": of.title,
        "verdict": Call.HOLD,
        "gate": gate,
        "reason": reason,
        "would_change": change,
        "since": now - 340,
        "at": now - 4,
        "next_look": now + 26,
        "handler": of.handler,
    }
    return Decision(**{**values, **more})


def empty_snapshot(now: float) -> Snapshot:
    """Of a daemon that started a moment ago."""
    return Snapshot(
        started_at=now - 1, at=now - 1, looked_at=None, board_error="", next_tick=None, board=None, places=2
    )


def at(world: World, moment: float, act: Callable[[], None]) -> None:
    """Do ``act`` with the clock at ``moment``."""
    now, world.clock.now = world.clock.now, moment
    act()
    world.clock.now = now


def fill(world: World) -> None:
    """Put the day into store, board and snapshot."""
    tasks = put_tasks(world)
    runs = put_runs(world, tasks)
    said = put_decisions(world, tasks, runs)
    put_the_rest(world, tasks, runs)
    world.snapshot = snapshot(world.clock.now, tasks, runs, said)


def put_tasks(world: World) -> SimpleNamespace:
    """The rows of the board, by what becomes of them."""
    now = world.clock.now
    running = task(
        1,
        "Sync “Midnight City” from SoundCloud",
        Status.IN_PROGRESS,
        now,
        handler="music-sync",
        url="https://soundcloud.com/m83/midnight-city",
        priority=Priority.HIGH,
    )
    digest = task(2, "Weekly digest of the music library", Status.IN_PROGRESS, now, handler="report")
    waiting = task(
        3,
        "Review the Drive importer for silent failures",
        Status.WAITING,
        now,
        handler="handoff",
        agents=("Claude Code",),
        acceptance=(
            "Every except is named with file and line",
            "A test shows each fix failing before and passing after",
        ),
        description="The importer reported success 2,955 times.\nFind out where it swallows errors.",
    )
    stuck = task(4, "Write the migration guide", Status.WAITING, now, handler="handoff", agents=("Cursor",))
    ready = task(5, "Sync liked tracks of January", Status.READY, now, handler="music-sync")
    held = task(
        6,
        "Publish the release notes",
        Status.READY,
        now,
        handler="handoff",
        agents=("Codex",),
        after=(waiting.id,),
        priority=Priority.CRITICAL,
    )
    retry = task(7, "Sync “Teardrop” (Massive Attack)", Status.READY, now, handler="music-sync")
    failed = task(
        8,
        "Sync “Unfinished Sympathy”",
        Status.FAILED,
        now,
        handler="music-sync",
        why="the source answers 404: the track was removed → give another URL, then set Ready",
    )
    blocked = task(
        9,
        "Sync the DJ pool export",
        Status.BLOCKED,
        now,
        why="no Handler, no rule matched and no agent is assigned → set Handler to one of: handoff, "
        "music-sync, report",
    )
    review = task(
        10,
        "Summarise the incident of December",
        Status.REVIEW,
        now,
        handler="handoff",
        agents=("Claude Code",),
        why="not proved: sources (unknown: no evidence from this run)",
    )
    draft = task(11, "Tidy the sample library", Status.DRAFT, now)
    done = task(
        12,
        "Sync “Angel” (Massive Attack)",
        Status.COMPLETED,
        now,
        handler="music-sync",
        result="Added 1 track in 3 formats. 3 of 3 required gates passed.",
    )
    audit = task(13, "Handoff audit of last week", Status.COMPLETED, now, handler="report")
    odd = replace(task(14, "An odd status", Status.DRAFT, now), status=None, status_name="Someday")
    found = SimpleNamespace(
        odd=odd,
        running=running,
        digest=digest,
        waiting=waiting,
        stuck=stuck,
        ready=ready,
        held=held,
        retry=retry,
        failed=failed,
        blocked=blocked,
        review=review,
        draft=draft,
        done=done,
        audit=audit,
    )
    world.board.pages |= {item.id: item for item in vars(found).values()}
    return found


def put_runs(world: World, t: SimpleNamespace) -> SimpleNamespace:
    """Their attempts, with steps, gates, packets and reports; those that are named elsewhere by name."""
    now, store = world.clock.now, world.store
    first = attempt(
        t.running,
        RunState.RUNNING,
        now - 94,
        progress={"done": 6.2, "total": 10.0, "note": "encoding AIFF", "at": now - 2},
    )
    store.begin_run(first)
    steps(world, first, (("resolve", 4.1, 1), ("download", 61.0, 2), ("encode", None, 1)))
    second = attempt(t.digest, RunState.RUNNING, now - 12, host="rack-2")
    store.begin_run(second)
    steps(world, second, (("collect", None, 1),))
    out = attempt(t.waiting, RunState.WAITING, now - 5400, wait_for="Claude Code to return the packet")
    silent = attempt(
        t.stuck, RunState.WAITING, now - 2.4 * 86400, wait_for="Cursor to acknowledge", host="attic"
    )
    for given, agent in ((out, "claude-code"), (silent, "cursor")):
        store.begin_run(given)
        handed_over(world, given, agent, acknowledged=90.0 if given is out else None)
    store.begin_run(
        attempt(
            t.retry,
            RunState.RETRYING,
            now - 50,
            ended=now - 20,
            retry_at=now + 11,
            outcome="retry",
            why="attempt 1 of 3 failed: the source answers 503; tries again in 31 s",
        )
    )
    broken = attempt(
        t.failed,
        RunState.FAILED,
        now - 7300,
        ended=now - 7288,
        outcome="failed",
        why=t.failed.why,
        summary="Failed: the source answers 404: the track was removed",
    )
    store.begin_run(broken)
    steps(world, broken, (("resolve", 2.0, 1), ("download", 9.4, 3)), error="HTTP 404 from soundcloud.com")
    doubt = attempt(
        t.review,
        RunState.REVIEW,
        now - 16000,
        ended=now - 15100,
        outcome="done",
        why=t.review.why,
        summary="The agent returned a summary. Not proved: sources",
    )
    store.begin_run(doubt)
    steps(world, doubt, (("deliver", 0.3, 1), ("verify", 3.3, 1)))
    handed_over(
        world, doubt, "claude-code", acknowledged=30.0, returned={"AC1": "verified", "AC2": "reported"}
    )
    gates(
        world,
        doubt,
        (
            Gate(name="identity", title="The return belongs to this packet"),
            Gate(name="sources", title="Each claim names its source"),
        ),
        ("identity",),
    )
    finish(world, t.done, now - 4000)
    ended = attempt(
        t.audit,
        RunState.COMPLETED,
        now - 90000,
        ended=now - 89991,
        outcome="done",
        summary="5 handoffs, 4 answered, 1 nudged.",
        verdict="Success",
    )
    store.begin_run(ended)
    report(world, ended, "Handoff audit of last week")
    return SimpleNamespace(first=first, second=second, ended=ended)


def put_decisions(world: World, t: SimpleNamespace, r: SimpleNamespace) -> tuple[Decision, ...]:
    """What was said of each task; gives back those that stand in the last look."""
    now, store = world.clock.now, world.store
    said = (
        decision(t.ready, "capacity", "all 2 places are taken; no task is ahead", "a running task ends", now),
        decision(
            t.held,
            "prerequisites",
            f"waits for 1 of 1 prerequisite(s): {t.waiting.id[:8]}… (Waiting)",
            "they become Completed, or are removed from the task",
            now,
        ),
        decision(
            t.retry,
            "backoff",
            "attempt 1 of 3 failed: the source answers 503; tries again in 31 s",
            "the waiting time ends",
            now,
            next_look=now + 11,
        ),
        decision(t.running, "running", f"attempt {r.first.run} is under way", "it ends", now),
    )
    refused = decision(
        t.blocked,
        "route",
        "no Handler, no rule matched and no agent is assigned",
        "set Handler to one of: handoff, music-sync, report",
        now,
        verdict=Call.REFUSE,
        next_look=None,
    )
    left = [
        decision(
            t.waiting,
            "waiting",
            "waits for Claude Code to return the packet",
            "it arrives",
            now,
            since=now - 5400,
            at=now - 5398,
            next_look=None,
        ),
        decision(
            t.failed,
            "failed",
            "the source answers 404: the track was removed",
            "set Ready again",
            now,
            since=now - 7288,
            at=now - 7288,
            next_look=None,
        ),
        decision(
            t.done, "completed", t.done.result, "", now, since=now - 3852, at=now - 3852, next_look=None
        ),
    ]
    store.record_decisions([*said, refused, *left])
    return said


def put_the_rest(world: World, t: SimpleNamespace, r: SimpleNamespace) -> None:
    """A follow-up, the slots of schedules, the hosts."""
    now, store = world.clock.now, world.store
    store.made(
        Made(
            key="gap:schedule",
            run=r.ended.run,
            task=t.draft.id,
            title=t.draft.title,
            priority="Medium",
            handler="",
            created=True,
            at=now - 89992,
        )
    )
    store.claim_slot("daily-digest", now - 9000)
    store.close_slot("daily-digest", now - 9000, "ran", task=t.audit.id)
    store.claim_slot("library-check", now - 86400)
    store.close_slot(
        "library-check", now - 86400, "skipped", reason="the daemon was off for 3 h; catch_up is 1 h"
    )
    join(world, "studio-mini", ("agent:claude-code", "volume:music"), up=3.2 * 86400)
    join(world, "rack-2", ("agent:codex",), up=7500)
    join(world, "attic", ("volume:archive",), up=9 * 86400, quiet=2.5 * 86400)


def snapshot(now: float, t: SimpleNamespace, r: SimpleNamespace, said: tuple[Decision, ...]) -> Snapshot:
    """What the last tick left."""
    return Snapshot(
        started_at=now - 3.2 * 86400,
        at=now - 4,
        looked_at=now - 4,
        board_error="",
        next_tick=now + 26,
        board=BoardInfo(
            title="Agent-Tasks",
            url="https://app.notion.com/p/agent-tasks",
            data_source_id="b" * 32,
            bound={"title": "Task Name", "status": "Status"},
            missing=("schedule",),
        ),
        tasks=(t.running, t.digest, t.waiting, t.stuck, t.ready, t.held, t.retry),
        decisions={d.task_id: d for d in said},
        running=(r.first.run, r.second.run),
        places=2,
        handlers=(
            HandlerRecord(name="handoff", state="loaded", dist="handoffd", version="0.1.0"),
            HandlerRecord(name="music-sync", state="loaded", dist="handoffd", version="0.1.0"),
            HandlerRecord(name="report", state="loaded", dist="handoffd", version="0.1.0"),
            HandlerRecord(
                name="podcast",
                state="load_error",
                dist="handoffd-podcast",
                version="0.3.0",
                reason="ModuleNotFoundError: No module named 'feedparser'",
            ),
        ),
        ticks=9216,
        board_calls={"look": 9216, "claim": 214, "finish": 209, "section": 209},
        schedules=(
            {
                "name": "daily-digest",
                "cron": "0 7 * * *",
                "timezone": "Europe/Berlin",
                "title": "Digest of the day",
                "next": [now + 77400, now + 163800],
                "last": [{"slot": now - 9000, "state": "ran", "task": "", "reason": ""}],
            },
            {
                "name": "library-check",
                "cron": "30 9 * * 1",
                "timezone": "",
                "title": "Is the library whole?",
                "next": [now + 4.9 * 86400],
                "last": [],
            },
        ),
    )


def join(
    world: World, name: str, offers: tuple[str, ...] = (), *, up: float = 0.0, quiet: float = 0.0
) -> None:
    """A host that booted ``up`` s ago and was last seen ``quiet`` s ago, by the database's clock."""
    hosts, key = Hosts(world.store.engine), f"executor of {name}"
    hosts.join(executor=key, name=name, boot=f"boot of {name}", version="0.1.0", pid=77, lease=3600.0)
    assert hosts.beat(key, f"boot of {name}", ("handoff", "report"), offers)
    table = tables.hosts.c
    moved = {"joined": table.joined - up, "seen": table.seen - quiet}
    with world.store.engine.begin() as connection:
        connection.execute(sa.update(tables.hosts).where(table.executor == key).values(moved))


def steps(world: World, run: Run, named: tuple[tuple[str, float | None, int], ...], error: str = "") -> None:
    """Record steps that follow each other; None seconds = it is still going on."""
    moment = run.started + 0.2
    for i, (name, seconds, tries) in enumerate(named):
        for _ in range(tries):
            at(world, moment, lambda name=name: world.store.step_began(run.run, name))
        if seconds is None:
            continue
        moment += seconds
        last = error if i == len(named) - 1 else ""
        at(world, moment, lambda name=name, last=last: world.store.step_ended(run.run, name, last))
    at(
        world,
        run.started,
        lambda: world.store.event("task.claimed", task=run.task, run=run.run, handler=run.handler),
    )


def handed_over(
    world: World,
    run: Run,
    agent: str,
    *,
    acknowledged: float | None = None,
    returned: dict[str, str] | None = None,
) -> None:
    """What the handoff handler records: the packet, its acknowledgement ``acknowledged`` s later, a return
    with the tier of each criterion."""

    def fact(gate: str, subject: str, ok: bool | None, at: float, **data: Any) -> None:
        item = Evidence(gate=gate, kind="file", subject=subject, ok=ok, data=data, at=at)
        world.store.add_evidence(run.run, item)

    fact("packet.published", "packet", True, run.started, agent=agent)
    if acknowledged is not None:
        fact("ack.valid", "ACK.accepted.json", True, run.started + acknowledged, understood="the task")
    for criterion, tier in (returned or {}).items():
        fact("criteria.verified", criterion, tier == "verified", run.started + 300, tier=tier)


def gates(world: World, run: Run, declared: tuple[Gate, ...], proved: tuple[str, ...]) -> None:
    """Evidence for the gates in ``proved``, and all of them judged."""
    facts = {
        "files_decode": [
            (
                "file",
                f"angel.{ext}",
                {
                    "path": f"/music/Massive Attack/Angel.{ext}",
                    "bytes": size,
                    "sha256": f"{i}e" * 32,
                    "seconds": 379.4,
                },
            )
            for i, (ext, size) in enumerate((("m4a", 12_400_311), ("aiff", 66_900_120), ("wav", 66_899_988)))
        ],
        "tags_read_back": [("check", "angel.m4a", {"title": "Angel", "artist": "Massive Attack", "bpm": 91})],
        "library_delta": [("delta", "library", {"before": 2734, "after": 2737, "added": 3, "removed": 0})],
        "identity": [("check", "return.json", {"packet": run.run, "nonce": "ok"})],
    }
    for name in proved:
        for kind, subject, data in facts[name]:
            world.store.add_evidence(
                run.run,
                Evidence(gate=name, kind=kind, subject=subject, ok=True, data=data, at=run.started + 5),
            )
    world.store.put_gates(run.run, judge(declared, world.store.evidence(run.run), started=run.started))


def finish(world: World, of: Task, started: float) -> Run:
    """A music sync on its second claim, proved, with a report; and its failed first one."""
    world.store.begin_run(
        attempt(
            of,
            RunState.RETRYING,
            started - 300,
            ended=started - 270,
            outcome="retry",
            why="attempt 1 of 3 failed: connection reset by the source; tries again in 12 s",
        )
    )
    run = attempt(
        of,
        RunState.COMPLETED,
        started,
        ended=started + 148,
        generation=2,
        attempt=2,
        outcome="done",
        summary=of.result,
        verdict="Success",
    )
    world.store.begin_run(run)
    steps(
        world,
        run,
        (
            ("resolve", 3.2, 1),
            ("download", 52.0, 1),
            ("encode", 71.5, 1),
            ("tag", 2.1, 1),
            ("place", 6.0, 1),
            ("verify", 12.2, 1),
        ),
    )
    gates(world, run, MUSIC_GATES, ("files_decode", "tags_read_back", "library_delta"))
    report(world, run, of.title)
    at(
        world,
        started + 148,
        lambda: world.store.event("task.finished", task=of.id, run=run.run, state="completed", seconds=148.0),
    )
    return run


def report(world: World, run: Run, title: str) -> Path:
    """Report files as the reports room lays them out."""
    stamp = datetime.fromtimestamp(run.started, UTC)
    folder = world.reports / f"{stamp:%Y}" / f"{stamp:%m}" / f"{stamp:%Y%m%dT%H%M%SZ}--a-report--{run.run}"
    folder.mkdir(parents=True)
    (folder / "report.html").write_text(
        "<!doctype html><html lang=en><meta charset=utf-8><title>Report</title><style>body{font:16px/1.5 "
        "system-ui;margin:2rem;max-width:46rem}h1{color:#234}</style>"
        f"<h1>{title}</h1><p>Status: <strong>Success</strong>. 3 of 3 required gates passed.</p>"
        "<script>document.title='the report ran a script'</script>"
    )
    (folder / "report.md").write_text(f"# {title}\n\nStatus: Success\n")
    (folder / "evidence.json").write_text(json.dumps({"run": run.run}))
    world.store.change_run(run.run, report=str(folder))
    return folder
