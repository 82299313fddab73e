"""DBOS, and nothing but: workflows whose id is ours, steps, one named queue. Rules from research/engines.md:
executor id unique to the host and locked before the launch; application version fixed; JSON, never pickle;
always a named queue; a workflow's id is the compare-and-set.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from dbos import DBOS, DBOSPortableJSONSerializer, SetWorkflowID, _workflow_commands
from dbos import error as dbos_error

from daemon.engine.conclusion import Engineering
from daemon.engine.context import StepsChanged
from daemon.engine.runner import Runner

APPLICATION_VERSION = "handoffd-1"
"""Never changed by a release: DBOS strands running workflows of another version without an error."""

QUEUE = "handoffd."
"""Each host has a queue of its own, this and its executor id: it works on what it claimed itself."""

POLL_S = 1.0
"""How often DBOS looks into the queue: the longest wait between a claim and its first step."""

HURRY_S = 0.2
"""The same while work is under way here, in a store that no other host reads: a look costs 2 ms of CPU."""

REST_AFTER_S = 10.0
"""Without work for so long, DBOS looks every ``POLL_S`` again."""

LISTEN_S = 2.0
"""DBOS looks for messages between workflows this often; we send none, but a stop waits for this sleep."""

OWN_QUEUE_S = 60.0
"""How often DBOS looks into a queue of its own, which holds nothing of ours: recovered work keeps its queue.
At DBOS's second this took a quarter of the CPU time of an idle daemon."""

OWN_JOBS_S = 60.0
"""How often DBOS looks, on SQLite, for workflows whose delay or time limit is over: ours have neither. At its
own second this took a quarter of the CPU time of an idle daemon. On PostgreSQL a look holds a transaction
until the next one, and the server ends it when that takes long."""

_JOBS_S = _workflow_commands._BACKGROUND_JOBS_INTERVAL_SEC

ELSEWHERE = "ELSEWHERE"

_carry_out: Callable[[str, str], str] | None = None


# DBOS would give up after 100 restarts of any kind; daemon.engine.deaths counts those that are a run's fault.
@DBOS.workflow(name="handoffd.attempt", max_recovery_attempts=None)
def _attempt(run: str, arrival: str) -> str:
    if _carry_out is None:
        raise RuntimeError("the engine is not started")
    return _carry_out(run, arrival)


class Engine:
    """Starts, resumes and finds durable runs. One for a process, as DBOS is."""

    def __init__(
        self,
        *,
        database: sa.Engine,
        runner: Runner,
        executor: str,
        poll: float = POLL_S,
        listen: float = LISTEN_S,
    ) -> None:
        self._database = database
        self._runner = runner
        self._executor = executor
        self._queue = f"{QUEUE}{executor}"
        self._poll = poll
        self._listen = listen
        self._started = False
        self._submitted = time.monotonic()
        self._pace = poll

    def start(self) -> None:
        """Launch: unfinished workflows of this executor go on after their last finished step."""
        global _carry_out
        engineering = Engineering(step=_step, sleep=DBOS.sleep)
        _carry_out = lambda run, arrival: self._runner.execute(run, arrival, engineering)  # noqa: E731
        dbos = DBOS(
            config={
                "name": "handoffd",
                "system_database_url": self._database.url.render_as_string(hide_password=False),
                "system_database_engine": self._database,
                "application_version": APPLICATION_VERSION,
                "executor_id": self._executor,
                "serializer": DBOSPortableJSONSerializer(),
                "log_level": "WARNING",
                # Neither messages between workflows nor DBOS's own schedules are used.
                "notification_listener_polling_interval_sec": self._listen,
                "scheduler_polling_interval_sec": 300.0,
            }
        )
        # There are no settings for these two in the version that we pin.
        dbos._registry.get_internal_queue()._polling_interval_sec = OWN_QUEUE_S
        alone = self._database.dialect.name == "sqlite"
        _workflow_commands._BACKGROUND_JOBS_INTERVAL_SEC = OWN_JOBS_S if alone else _JOBS_S
        DBOS.listen_queues([self._queue])
        DBOS.launch()
        self._waiting = DBOS.register_queue(self._queue, polling_interval_sec=self._poll)
        self._started = True

    def drain(self, seconds: float) -> bool:
        """Wait for what runs. True = nothing runs any more."""
        end = time.monotonic() + seconds
        while self._runner.working() and time.monotonic() < end:
            time.sleep(0.05)
        return not self._runner.working()

    def stop(self) -> bool:
        """Let go of everything; what is left resumes at the next start. True = all threads came to their
        end; False = the process should end now."""
        if not self._started:
            return True
        self._started = False
        # destroy() joins DBOS's threads, one of which may be in its polling sleep.
        ending = threading.Thread(target=lambda: DBOS.destroy(workflow_completion_timeout_sec=0), daemon=True)
        ending.start()
        ending.join(self._listen + 3.0)
        return not ending.is_alive() and not self._runner.working()

    def submit(self, workflow: str, run: str, arrival: str = "") -> None:
        """Enqueue a stretch of work; a second time with the same id is a no-op."""
        with SetWorkflowID(workflow):
            DBOS.enqueue_workflow(self._queue, _attempt, run, arrival)
        self._submitted = time.monotonic()

    def pace(self) -> None:
        """Let DBOS look often while there is work, and seldom when there has been none for a while; to be
        called every few seconds. A poll is all that DBOS has: the first stretch after a rest waits up to
        ``POLL_S``, those that follow it up to ``HURRY_S``.
        """
        if not self._started or self._database.dialect.name != "sqlite":
            return
        idle = time.monotonic() - self._submitted > REST_AFTER_S and not self._runner.working()
        wanted = self._poll if idle else min(HURRY_S, self._poll)
        if wanted != self._pace:
            self._waiting.set_polling_interval_sec(wanted)
            self._pace = wanted

    def state(self, workflow: str) -> str:
        """ "" = unknown, else DBOS's word: ENQUEUED, PENDING, SUCCESS, ERROR, CANCELLED …; ELSEWHERE = it
        waits for, or was last worked on by, another executor: nobody here goes on before ``adopt``."""
        found = DBOS.get_workflow_status(workflow)
        if found is None:
            return ""
        strange = (found.status == "ENQUEUED" and found.queue_name != self._queue) or (
            found.status == "PENDING" and found.executor_id != self._executor
        )
        return ELSEWHERE if strange else str(found.status)

    def adopt(self, workflow: str) -> None:
        """Go on with it here, behind its last finished step. What the other executor may still finish of it
        is refused from now on (DBOS's owner token)."""
        DBOS.resume_workflow(workflow, queue_name=self._queue)

    def abandon(self, workflow: str) -> None:
        """Nobody goes on with it, wherever it was."""
        DBOS.cancel_workflow(workflow)

    def forget(self, runs: list[str]) -> None:
        """Delete the workflows of ended runs, those of their arrivals too, with their steps (retention is
        ours: DBOS keeps everything)."""
        for i in range(0, len(runs), 50):
            part = runs[i : i + 50]
            found = DBOS.list_workflows(workflow_id_prefix=part, load_input=False, load_output=False)
            # "….g1" begins "….g10" as well.
            ours = [w.workflow_id for w in found if w.workflow_id.startswith(tuple(f"{r}." for r in part))]
            DBOS.delete_workflows(list({*part, *ours}))


def _step(name: str, fn: Callable[[], Any]) -> Any:
    try:
        return DBOS.run_step({"name": name}, fn)
    except dbos_error.DBOSUnexpectedStepError as error:
        _, _, wanted, recorded = error.inputs
        raise StepsChanged(recorded, wanted) from error
