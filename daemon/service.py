"""Start reading here: settings → parts → start; stop in mirror order.

``run`` is the daemon; ``daemon.session`` is the short life of one command. docs/architecture.md has the
picture.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from daemon import __version__
from daemon.core.errors import ExitCode, HandoffdError, Unreachable
from daemon.core.gates import Call
from daemon.core.status import RunState
from daemon.engine.child import kill_children
from daemon.observability.sd_notify import Notifier
from daemon.parts import Parts
from daemon.process import Holder, HomeLock, Signals, frugal_memory, settle
from daemon.session import Session, session
from daemon.settings.load import Loaded, changed_keys, reload
from daemon.wiring import with_handlers

if TYPE_CHECKING:
    from daemon.core.snapshot import Snapshot
    from daemon.engine.registry import Registry
    from daemon.store import Run

MAIN_LOOP_S = 1.0
"""How often the main thread looks at its flags, the settings file and the watchdog."""

START_S = 60.0
"""What the unit files give a start; the wait for a board that is away comes on top."""

_NEEDS_RESTART = ("store.", "board.", "web.", "secrets.", "paths.", "host.")


def run(
    loaded: Loaded,
    *,
    once: bool,
    web: bool,
    started: Callable[[Service], object] = lambda service: None,
) -> ExitCode:
    """The daemon in the foreground, until a signal (or, ``once``, until nothing is left to do).

    ``started`` is called when it is ready. Raises HandoffdError when it can't start;
    otherwise it does not return, the process ends with the exit code.
    """
    loaded, registry = with_handlers(loaded)
    frugal_memory()
    lock = HomeLock(loaded.paths.lock)
    lock.take()
    signals = Signals()
    with signals.caught():
        service = Service(loaded, registry, lock=lock, web=web and loaded.settings.web.enabled, once=once)
        try:
            service.start()
            started(service)
            settle()
            service.wait(signals)
        finally:
            service.stop()
            lock.release()
    code = ExitCode.FAILED if once and (service.failed or service.paused) else ExitCode.OK
    if service.unanswered:
        raise Unreachable(service.unanswered, hint="nothing is lost: what is Ready is done by the next run")
    # All that lasts is on disk and committed. A thread may be parked beside work that was cut, or be in a
    # library's sleep; a normal exit would wait for it, in a rare case for ever. The next start resumes.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


__all__ = ["Service", "Session", "run", "session"]


class Service(Parts):
    """A running daemon: its parts (daemon/parts.py says how each is made) and its life."""

    def __init__(self, loaded: Loaded, registry: Registry, *, lock: HomeLock, web: bool, once: bool) -> None:
        super().__init__(loaded, registry, once=once)
        self.failed = 0
        self.unanswered = ""
        """``--once`` only: the board's last error, when it ended the run."""
        self._answered = self._ticked_at = time.monotonic()
        self._works = False
        self._lock = lock
        self._with_web = web
        self._notify = Notifier()
        self._wake: Callable[[], object] = lambda: None

    # ── start and stop ────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """Store, board, engine, dashboard, clock — then READY. A part that can't start stops the start."""
        for record in self.registry.found():
            if record.state != "loaded":
                self.log.warning("handler.unusable", handler=record.name, reason=record.reason)
        # A board that is away is waited for so long before the daemon starts without it.
        self._notify.extend(self.loaded.settings.board.give_up + START_S)
        self._open_store()
        self._join_fleet()
        self._start_board()
        self._start_engine()
        self._make_triggers()
        if self._with_web:
            self._start_web()
        self.clock.start()
        self._works = True
        self._lock.say(Holder(pid=os.getpid(), web=self.web_url, board=self._address))
        self.store.event("daemon.started", version=__version__, pid=os.getpid())
        self.log.info(
            "daemon.started",
            version=__version__,
            home=str(self.loaded.home),
            board="local" if self.loaded.local else self.loaded.settings.board.base_url,
            web=self.web_url,
            handlers=self.registry.names(),
        )
        self._notify.ready(f"dashboard {self.web_url}" if self.web_url else "running")

    @property
    def paused(self) -> int:
        """Tasks that the last tick left Ready because their handler is paused."""
        return sum(d.gate == "breaker" for d in self._decisions()) if hasattr(self, "tick") else 0

    def on_stop(self, call: Callable[[], object]) -> None:
        """Call this when the parts are closed."""
        self._parts.callback(call)

    def stop(self) -> bool:
        """Drain: nothing new is claimed, running tasks get ``run.drain`` seconds, the rest resumes at the
        next start. True = every thread came to its end."""
        drain = self.loaded.settings.run.drain
        self._notify.stopping("draining")
        self._notify.extend(drain + 15)
        clean = True
        if hasattr(self, "tick"):
            self.tick.draining = True
        if hasattr(self, "clock"):
            self.clock.stop()  # all but the beat: a host that drains is not gone
        if hasattr(self, "engine"):
            running = self.runner.working()
            if running:
                self.log.info("daemon.draining", running=running, seconds=drain)
            clean = self.engine.drain(drain)
            self._draining.set()
            self.runner.deaths.let_go()
            self._halt.set()
            clean = self.engine.stop() and clean
            self.store.event("daemon.stopped", clean=clean)
        if hasattr(self, "clock"):
            self.clock.end()
        if hasattr(self, "fleet"):
            self.fleet.leave()
        self._halt.set()
        self._parts.close()
        self.log.info("daemon.stopped", clean=clean)
        return clean

    # ── while it runs ─────────────────────────────────────────────────────────────────────────────

    def wait(self, signals: Signals) -> None:
        """The main thread's whole life: flags, reload, watchdog, and the end of ``--once``."""
        last_ping = 0.0
        self._wake = signals.wake.set
        while not signals.stop:
            if self.fleet.lease.lost.is_set():
                self._start_anew()
            signals.wake.wait(0.1 if self._once else MAIN_LOOP_S)
            self._follow_the_clock()
            if signals.reload or self.loaded.file_changed():
                signals.reload = False
                self.reload()
            if signals.look:
                signals.look = False
                self.clock.look_now()
            every = self._notify.watchdog_interval
            if every is not None and time.monotonic() - last_ping >= every and self._alive():
                last_ping = time.monotonic()
                self._notify.ping()
            if self._once and (self.idle() or self._gives_up()):
                return

    def _follow_the_clock(self) -> None:
        jump = self.clock.follow()
        if jump:
            self.log.warning("clock.stepped", seconds=round(jump, 1))
            self.clock.look_now()

    def _lease_lost(self) -> None:
        """From now on every step boundary parks, and no page is written (``Lease.check``)."""
        self._draining.set()
        killed = kill_children()
        self.log.error("host.fenced", boot=self.fleet.lease.boot, children=killed)
        self._wake()

    def _start_anew(self) -> None:
        """The whole process, in its place: no thread of the old boot may be left."""
        self._notify.extend(60)
        self._lock.release()
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - our own command line

    def _beat(self) -> None:
        at_work = self._works and not self.tick.draining
        if self.fleet.beat(taking=at_work):
            self.clock.look_now()

    def _gives_up(self) -> bool:
        """The board has not answered for ``board.give_up``: who asked for one round is told, not kept."""
        error = self.tick.snapshot.board_error
        if not error:
            self._answered = time.monotonic()
        elif time.monotonic() - self._answered > self.loaded.settings.board.give_up:
            self.log.error("board.gave_up", error=error)
            self.unanswered = error
        return bool(self.unanswered)

    def _alive(self) -> bool:
        """A tick has finished lately: what the watchdog is fed by."""
        return time.monotonic() - self._ticked_at < 3 * self.interval() + 60

    def idle(self) -> bool:
        """Nothing is Ready that could start, running, or due. Handoffs that wait do not count."""
        snapshot = self.tick.snapshot
        if snapshot.ticks == 0 or snapshot.board_error:
            return False
        # What a paused handler holds stays Ready for the next run: a pause may last an hour.
        passing = ("backoff", "capacity", "settle")
        waits = any(d.verdict is Call.DISPATCH or d.gate in passing for d in snapshot.decisions.values())
        # A run whose row is closed is told of a moment later: until then the last tick's word is too old.
        if self.runner.working():
            return False
        if any(r.state is not RunState.WAITING for r in self.store.active_runs()):
            return False
        if waits:
            if self._due(snapshot):
                self.clock.look_now()
            return False
        if not self._ticked_since_end:
            self.clock.look_now()
        return self._ticked_since_end and self._looked_since_end

    def _due(self, snapshot: Snapshot) -> bool:
        """A task may go now: its wait is over, or none of its decisions says when it will be."""
        now = time.time()
        return any(d.next_look is None or d.next_look <= now for d in snapshot.decisions.values())

    _ticked_since_end = False
    _looked_since_end = False

    def _tick(self, part: Callable[[], Snapshot]) -> None:
        began, looked_at = time.monotonic(), self.tick.snapshot.looked_at
        self._ticked_since_end = True
        snapshot = part()
        self._ticked_at = time.monotonic()
        if snapshot.looked_at == looked_at and not snapshot.board_error:
            self._ticked_since_end = False  # no look: what has come to the board meanwhile is not known yet
            return
        self.metrics.observe("poll_duration_seconds", time.monotonic() - began)
        self.metrics.count("poll", result="error" if snapshot.board_error else "ok")
        if not snapshot.board_error:
            self.metrics.set("last_successful_poll_timestamp_seconds", snapshot.at)
        self.metrics.set("tasks_ready", len(snapshot.decisions))

    def _run_ended(self, run: str) -> None:
        """A place is free, and others may have waited for this very task."""
        self._ticked_since_end = self._looked_since_end = False
        snapshot, ended = self.tick.snapshot, self.store.run(run)
        if ended is not None and ended.state.final:
            self._count_end(ended)
            for problem in self.reports.refresh_documents(self.loaded.paths.docs):
                self.log.warning("document.failed", error=problem, run_id=run)
        if ended is not None and any(ended.task in t.after for t in snapshot.tasks):
            self.clock.look_now()
        elif self._once or any(d.gate in ("capacity", "prerequisites") for d in self._decisions()):
            self.clock.fill_now()

    def _decisions(self) -> list[Any]:
        return list(self.tick.snapshot.decisions.values())

    def _count_end(self, run: Run) -> None:
        self.failed += run.state is RunState.FAILED
        self.metrics.count("tasks_finished", handler=run.handler, outcome=run.state.value)
        if run.ended is not None:
            self.metrics.observe("task_duration_seconds", run.ended - run.started, handler=run.handler)

    def _look_for_arrivals(self) -> None:
        if self.arrivals.look() == 0:
            self._looked_since_end = True

    def _look_at_schedules(self) -> None:
        if self.schedules.look():
            self.clock.look_now()

    def _retention(self) -> None:
        before = time.time() - self.loaded.settings.store.retention * 86_400
        gone = self.store.prune(before)
        self.fleet.forget()
        self.engine.forget(gone)
        removed = self.reports.retention(time.time(), self.loaded.settings.reports.retention)
        self.log.info("store.pruned", runs=len(gone), reports=len(removed))

    def reload(self) -> None:
        """Read the settings again; with a mistake in them the last good ones stay, and everyone is told."""
        self._notify.reloading()
        before = self.loaded
        # Before the read: a file that is mended while its mistake is being told has to be read again.
        looked_at = before.stamp_now()
        try:
            fresh = reload(before)
        except HandoffdError as error:
            if self._settings_error != error.one_line():
                self._settings_error = error.one_line()
                self.log.error("config.reload_failed", error=error.one_line())
                self.store.event("config.reload_failed", error=error.one_line())
            self.metrics.set("config_last_reload_successful", 0)
            self.loaded = replace(before, stamp=looked_at)
            self._notify.ready("settings have mistakes: the last good ones are in force")
            return
        keys = changed_keys(before, fresh)
        self._settings_error = ""
        self.loaded = fresh
        self._configured_at = time.time()
        self.clock.retime()
        self.metrics.set("config_last_reload_successful", 1)
        later = [k for k in keys if k.startswith(_NEEDS_RESTART)]
        self.log.info("config.reloaded", keys=keys, need_restart=later)
        self.store.event("config.reloaded", keys=keys, need_restart=later)
        self._notify.ready("reloaded")
        self.clock.look_now()
