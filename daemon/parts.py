"""The parts of a daemon and how each is made from the settings. ``daemon/service.py`` says when.

The order matters, and stopping is its mirror: store → board → engine → triggers → dashboard.
"""

from __future__ import annotations

import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daemon import __version__, resources
from daemon.core.backoff import Backoff
from daemon.core.breaker import Breaker
from daemon.core.claim import Verify
from daemon.core.errors import Unreachable
from daemon.core.gates import Call
from daemon.core.lineage import LineageLimits
from daemon.core.ports import BoardInfo
from daemon.core.routing import Rule
from daemon.core.snapshot import Snapshot, brought_up
from daemon.core.status import OURS
from daemon.core.task import Draft
from daemon.observability import logging as logs
from daemon.process import give_back_memory
from daemon.session import local_board
from daemon.settings.load import Loaded
from daemon.wiring import executor_id, first_use, host_name, open_board, open_store, section_of

if TYPE_CHECKING:
    from daemon.engine.registry import Registry
    from daemon.reconcile import Policy

LOCAL_INTERVAL_S = 10.0
"""Poll interval on the local board when none is set: it has no rate limit. Commands and dashboard ask for a
look at once anyway; each look costs some 10 ms of this machine."""

PACE_S = 2.0
"""How often the engine may fall into step with the work."""
WATCH_S = 2.0
"""How often the pages of running tasks are looked at: with 2 s for a child to end in peace and the time of
one call, a cancelled task has stopped its processes within 5 s."""

WATCH_SHARE = 0.25
"""Of the calls a minute: what looking at running tasks may use. With 180 a minute, 2 s hold for one task at a
time, 2.7 s for two, 13 s for ten; a hint (webhook, dashboard, command) is quicker in any case."""

ARRIVALS_S = 2.0
ONCE_ARRIVALS_S = 0.5
SCHEDULES_S = 10.0
RETENTION_S = 86_400.0
RETENTION_FIRST_S = 300.0
"""After the start: a machine that is switched off every night forgets what is old, too."""
MEMORY_S = 60.0


class Parts(ABC):
    """Everything that a running daemon consists of. What the parts report goes to the abstract methods."""

    def __init__(self, loaded: Loaded, registry: Registry, *, once: bool) -> None:
        from daemon.observability.metrics import Metrics

        self.loaded = loaded
        self.registry = registry
        self.web_url = ""
        self.metrics = Metrics(__version__)
        self._once = once
        self._parts = ExitStack()
        self._halt = threading.Event()
        self._draining = threading.Event()
        self._settings_error = ""
        self._configured_at = time.time()
        self._watched = 0.0
        logs.configure(
            level=loaded.settings.log.level,
            format=loaded.settings.log.format,
            redactor=loaded.redactor(),
            on_level=lambda level: self.metrics.count("log_messages", level=level),
            stream=sys.stderr if once else None,
        )
        self.log = logs.get_logger()

    @abstractmethod
    def _tick(self, part: Callable[[], Snapshot]) -> None:
        """Time for a tick, or for that part of it which fills places."""

    @abstractmethod
    def _run_ended(self, run: str) -> None:
        """A run has ended or waits."""

    @abstractmethod
    def _look_for_arrivals(self) -> None:
        """Time to ask the handlers of waiting tasks."""

    @abstractmethod
    def _look_at_schedules(self) -> None:
        """Time to look at the schedules."""

    @abstractmethod
    def _beat(self) -> None:
        """Time for a beat."""

    @abstractmethod
    def _lease_lost(self) -> None:
        """Another host has taken this one's work over."""

    @abstractmethod
    def _retention(self) -> None:
        """Time to forget what is old."""

    def _open_store(self) -> None:
        self.loaded.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.store = open_store(self.loaded)
        self._parts.callback(self.store.close)

    def _join_fleet(self) -> None:
        from daemon.fleet import Membership
        from daemon.triggers.clockwork import Clockwork

        self.fleet = Membership(
            store=self.store,
            registry=self.registry,
            settings=lambda: self.loaded,
            section=self._section,
            executor=executor_id(self.loaded),
            name=host_name(self.loaded),
            version=__version__,
            clock=time.time,
            log=self.log,
            on_lost=self._lease_lost,
        )
        self.fleet.join()
        self.clock = Clockwork(
            tick=lambda: self._tick(self.tick.run),
            fill=lambda: self._tick(self.tick.fill),
            interval=self.interval,
            jitter=self.loaded.settings.poll.jitter,
            log=self.log,
        )
        if self.fleet.shared:  # from here on: a board that does not answer must not cost the lease
            self.clock.every(self.fleet.lease.beat_every, "fleet", self._beat, alone=True)
            self.clock.begin()

    def _start_board(self) -> None:
        from daemon.board.fenced import FencedBoard
        from daemon.upheld import UpheldBoard

        self._address = ""
        self._board_app: Any = None
        if self.loaded.local:
            server = local_board(self.loaded)
            with first_use(self.loaded):
                server.start()
            self._parts.callback(server.stop)
            self._address, self._board_app = server.url, server.app
        self.board: Any = open_board(
            self.loaded,
            address=self._address,
            stop=self._halt,
            log=self.log,
            on_call=self._count_call,
            on_wait=lambda seconds: self.metrics.count("notion_throttled_seconds", seconds),
            on_drift=lambda renamed, gone: self.store.event(
                "board.schema_changed", renamed=list(renamed), gone=list(gone)
            ),
        )
        self._parts.callback(self.board.close)
        if self.fleet.shared:
            self._divide_calls()
            self.board = FencedBoard(self.board, self.fleet.lease.check)
        self.board = UpheldBoard(
            self.board,
            self.store,
            verify=self._verify,
            lease=lambda: self.loaded.settings.run.lease,
            clock=time.time,
            log=self.log,
        )
        try:
            self.info: BoardInfo | None = self.board.open()
        except Unreachable as error:
            # A board that is down must not keep the daemon down: it is told, and looked at again.
            self.log.warning("board.unreachable", error=error.one_line())
            self.info = None
        else:
            self.log.info("board.opened", title=self.info.title, missing=self.info.missing)

    def _divide_calls(self) -> None:
        from daemon.board.budget import WINDOW_S

        if not self.loaded.local:
            self.fleet.divide_calls(
                self.board.transport.budget,
                address=self.loaded.settings.board.base_url,
                token=self.loaded.secrets["notion_token"].reveal(),
                memory=WINDOW_S,
            )

    def _start_engine(self) -> None:
        from daemon.engine.context import Means
        from daemon.engine.durable import Engine
        from daemon.engine.runner import Runner
        from daemon.reports import ReportRoom
        from daemon.tick import Tick

        settings = self.loaded.settings
        templates = settings.reports.templates
        self.reports = ReportRoom(
            self.loaded.paths.reports,
            user_templates=self.loaded.home / Path(templates).expanduser() if templates else None,
            link_for=self._report_link,
        )
        self.means = Means(
            store=self.store,
            board=self.board,
            home=self.loaded.home,
            work=self.loaded.paths.work,
            clock=time.time,
            monotonic=time.monotonic,
            secret=self._secret,
            draining=self._draining,
            rows=self.board.rows,
            lineage=self._lineage,
            attempts=lambda: self.loaded.settings.run.attempts,
            guard=self.fleet.lease.wait_until_sure,
            owns=lambda host: self.policy().mine(host),
        )
        self.runner = Runner(
            means=self.means,
            registry=self.registry,
            sections=self._section,
            reports=self.reports,
            backoff=self._backoff,
            version=__version__,
            log=self.log,
            bind=logs.bind,
            on_end=self._run_ended,
            gaps=lambda bundle: [gap.draft() for gap in self.reports.gaps(bundle)],
            crashes=lambda: self.loaded.settings.run.crashes,
            verify=self._verify,
        )
        self.engine = Engine(
            database=self.store.engine, runner=self.runner, executor=executor_id(self.loaded)
        )
        outage = self.store.outage()
        self.tick = Tick(
            board=self.board,
            store=self.store,
            runs=_Runs(self.engine, self.runner),
            handlers=self.registry,
            policy=self.policy,
            clock=time.time,
            log=self.log,
            info=self.info,
            trouble=outage.name if outage is not None else "",
            fleet=self.fleet.facts,
            needs=self.fleet.needs,
            fates=self.fleet.fates,
        )
        self.engine.start()

    def _start_web(self) -> None:
        from daemon.web import WebParts, WebServer

        secrets = self.loaded.secrets
        settings = self.loaded.settings
        server = WebServer(
            WebParts(
                store=self.store,
                snapshot=self.snapshot,
                clock=time.time,
                refresh=lambda: self.clock.look_now(),
                metrics=self.metrics.render,
                reports=self.loaded.paths.reports,
                board=self.board,
                token=secrets["web_token"].reveal() if "web_token" in secrets else None,
                local_board=self._board_app,
                notion_webhook_secret=(
                    secrets["notion_webhook_secret"].reveal() if "notion_webhook_secret" in secrets else None
                ),
                on_webhook=lambda event: self.clock.look_now(),
                music_webhook=self._music_task if self.registry.get("music-sync") else None,
                templates=resources.templates() / "web",
                version=__version__,
                host_name=host_name(self.loaded),
                local=self.loaded.local,
                readiness=self.readiness,
                interval=self.interval(),
            ),
            settings.web.host,
            settings.web.port,
        )
        server.start()
        self._parts.callback(server.stop)
        self.web_url = server.url
        self.log.info("web.started", url=server.url)

    def _make_triggers(self) -> None:
        from daemon.triggers.arrivals import Arrivals
        from daemon.triggers.schedules import Schedules

        self.arrivals = Arrivals(
            store=self.store,
            engine=self.engine,
            registry=self.registry,
            context=self.runner.looking,
            mine=lambda host: self.policy().mine(host),
            clock=time.time,
            log=self.log,
        )
        self.schedules = Schedules(
            store=self.store,
            board=self.board,
            settings=lambda: self.loaded.settings.schedules,
            clock=time.time,
            log=self.log,
        )
        self.clock.every(ONCE_ARRIVALS_S if self._once else ARRIVALS_S, "arrivals", self._look_for_arrivals)
        self.clock.every(WATCH_S, "watch", self._watch)
        # Not in the same job: while the store can't be written this one waits, and pages are watched on.
        self.clock.every(PACE_S, "pace", self.engine.pace)
        self.clock.every(SCHEDULES_S, "schedules", self._look_at_schedules)
        self.clock.every(RETENTION_S, "retention", self._retention, first=RETENTION_FIRST_S)
        self.clock.every(MEMORY_S, "memory", give_back_memory)

    def _watch(self) -> None:
        """Look at the pages of what runs here; on a board with a limit, with at most a quarter of it."""
        running = len(self.runner.working())
        limit = self.board.transport.budget.limit * WATCH_SHARE
        least = 0.0 if self.loaded.local else running * 60.0 / max(limit, 1.0)
        if running and time.monotonic() - self._watched >= least:
            self._watched = time.monotonic()
            self.tick.watch()

    def policy(self) -> Policy:
        """What a tick needs of the settings, as they are now."""
        from daemon.reconcile import Policy

        return Policy(
            alone=self.store.engine.dialect.name == "sqlite",
            host=host_name(self.loaded),
            concurrency=self.loaded.settings.run.concurrency,
            ageing=self.loaded.settings.run.ageing * 3600.0,
            breaker=self._breaker(),
            stall=self.loaded.settings.run.stall,
            configured_at=self._configured_at,
            lease=self.loaded.settings.run.lease,
            verify=self._verify(),
            interval=self.interval(),
            rest=self.loaded.settings.claim.rest,
            backoff=self._backoff(),
            routes=tuple(
                Rule(handler=r.handler, field=r.field, words=r.words, name=r.name)
                for r in self.loaded.settings.routes
            ),
            handlers_here=frozenset(self.loaded.settings.host.handlers) or None,
        )

    def _verify(self) -> Verify | None:
        claim = self.loaded.settings.claim
        if claim.mode != "verify":
            return None
        return Verify(settle=claim.settle, call_timeout=claim.call_timeout)

    def interval(self) -> float:
        """Seconds between two looks at the board."""
        if self._once:
            return 1.0
        if self.loaded.local and self.loaded.origin("poll.interval") == "default":
            return LOCAL_INTERVAL_S
        return self.loaded.settings.poll.interval

    def snapshot(self) -> Snapshot:
        """The last tick's, with what has changed since."""
        last = self.tick.snapshot
        moving = [
            t.id
            for t in last.tasks
            if t.status in OURS or (t.id in last.decisions and last.decisions[t.id].verdict is Call.DISPATCH)
        ]
        latest = {
            i: (r.state, r.started if r.ended is None else r.ended)
            for i, r in self.store.latest_runs(moving).items()
        }
        return replace(
            brought_up(last, latest),
            running=tuple(self.runner.working()),
            settings_error=self._settings_error,
            store_error=last.store_error or self.runner.store_error,
            schedules=self.schedules.shown(),
        )

    def readiness(self) -> list[tuple[str, bool, str]]:
        """(name, ok, message) of all that is needed to take work."""
        snapshot = self.snapshot()
        broken = [f"{r.name}: {r.reason}" for r in self.registry.found() if r.state != "loaded"]
        return [
            ("settings", not self._settings_error, self._settings_error or "valid"),
            ("board", not snapshot.board_error, snapshot.board_error or "answers"),
            ("store", not snapshot.store_error, snapshot.store_error or "keeps what is decided"),
            ("handlers", not broken, "; ".join(broken) or ", ".join(self.registry.names())),
            ("draining", not self.tick.draining, "stopping" if self.tick.draining else "no"),
        ]

    def _section(self, handler: str) -> Any:
        registered = self.registry.get(handler)
        return section_of(self.loaded, registered.handler) if registered else None

    def _secret(self, name: str) -> str | None:
        secrets = self.loaded.secrets
        return secrets[name].reveal() if name in secrets else None

    def _backoff(self) -> Backoff:
        run = self.loaded.settings.run
        return Backoff(first=run.backoff, ceiling=run.backoff_max, attempts=run.attempts)

    def _breaker(self) -> Breaker:
        run = self.loaded.settings.run
        return Breaker(after=run.breaker_after, first=run.breaker_pause, ceiling=run.breaker_max)

    def _lineage(self) -> LineageLimits:
        run = self.loaded.settings.run
        return LineageLimits(depth=run.follow_up_depth, run=run.follow_ups, family=run.follow_up_family)

    def _report_link(self, run: str, folder: Path) -> str:
        return f"{self.web_url}/reports/{run}" if self.web_url else str(folder / "report.html")

    def _count_call(self, purpose: str, status: int, seconds: float) -> None:
        self.metrics.count("notion_requests", operation=purpose, code=str(status))
        self.metrics.observe("notion_request_duration_seconds", seconds, operation=purpose)

    def _music_task(self, url: str, key: str) -> str:
        task = self.board.create(
            Draft(title=f"Sync {url}"[:200], handler="music-sync", url=url, source_key=f"music:{key}")
        )
        self.clock.look_now()
        return str(task.id)


class _Runs:
    """What the tick asks of engine and runner, as one."""

    def __init__(self, engine: Any, runner: Any) -> None:
        self.submit, self.state = engine.submit, engine.state
        self.adopt, self.abandon = engine.adopt, engine.abandon
        self.cancel, self.working = runner.cancel, runner.working
        self.stop_stalled = runner.stop_stalled
