"""Every event name in one table: in the log, and (``recorded``) in the store's append-only log.

Names are ``<what>.<past tense>``, lower case, and stay: alerts and scripts match on them. Levels: info = a
state changed; warning = will be tried again; error = a person should look; debug = detail. A lasting outage
is said when it begins and when it ends, not at each try.
"""

from __future__ import annotations

from dataclasses import dataclass

from daemon.core.errors import ConfigError, HandoffdError, TransientError


@dataclass(frozen=True, slots=True)
class EventName:
    """One row of the table."""

    name: str
    level: str
    meaning: str
    recorded: bool = False


TABLE = (
    EventName("daemon.started", "info", "Settings are valid, the store is open, the parts run.", True),
    EventName("daemon.draining", "info", "A stop began: nothing new is claimed."),
    EventName("clock.stepped", "warning", "The machine's clock was put by so many seconds."),
    EventName("daemon.stopped", "info", "The process ends now.", True),
    EventName("config.reloaded", "info", "New settings are in force; `keys` names what changed.", True),
    EventName("config.reload_failed", "error", "The file has mistakes: the last good settings stay.", True),
    EventName("handler.unusable", "warning", "A handler could not be loaded or set up; the rest runs on."),
    EventName(
        "handler.paused", "warning", "Too many of its attempts failed: it is left alone a while.", True
    ),
    EventName("handler.resumed", "info", "An attempt went well: the handler is used again.", True),
    EventName("host.joined", "info", "This host's lease on the store begins; `boot` names it.", True),
    EventName("host.taken_over", "warning", "Another host is gone; its `runs` go on here.", True),
    EventName("host.fenced", "error", "This host was silent too long: it stops all work and starts anew."),
    EventName("host.unsure", "debug", "The store does not answer: work waits until the lease is sure."),
    EventName("board.opened", "info", "The board is connected and its schema bound."),
    EventName("board.share", "info", "This host's part of the board's calls a minute changed."),
    EventName("board.unreachable", "warning", "The board stopped answering; said once an outage.", True),
    EventName("board.misfit", "warning", "The board does not fit the settings any more; says the fix.", True),
    EventName("board.refused", "warning", "The board answers and refuses us: token, rights, address.", True),
    EventName("board.editor_unknown", "debug", "Who edited a row could not be asked; taken for a person."),
    EventName("board.gave_up", "error", "`run --once` ends because the board does not answer."),
    EventName("board.back", "info", "The board answers again.", True),
    EventName("board.call_failed", "info", "A call brought no answer, or a refusal; with its request id."),
    EventName("board.retry", "debug", "One call is tried again."),
    EventName("board.duplicate_key", "warning", "Two pages carry one source key; the older one is used."),
    EventName(
        "board.schema_changed", "warning", "A property that we use was renamed, retyped or is gone.", True
    ),
    EventName("board.agent_unreadable", "warning", "A related agent page can't be read."),
    EventName("board.read_back_waits", "warning", "A claim can't be read back yet: the run has not begun."),
    EventName("board.write_waits", "warning", "A last write waits until the board takes it."),
    EventName("store.waits", "warning", "The store can't be written now: a run waits where it stands."),
    EventName("store.failed", "error", "A tick could not be kept; said once until it can. No work is lost."),
    EventName("store.back", "info", "The store can be written again.", True),
    EventName("store.pruned", "info", "Old attempts and reports were removed, as the settings say."),
    EventName("tick.finished", "debug", "One tick, with counts and seconds."),
    EventName("tick.failed", "error", "A tick broke off; the next one starts afresh."),
    EventName("job.failed", "error", "A job of the clock broke off; it runs again at its next time."),
    EventName("reconcile.failed", "warning", "One run could not be compared with its page this time."),
    EventName("claim.upheld", "warning", "A void claim came to light late: ours was written back.", True),
    EventName("claim.not_upheld", "warning", "That could not be done yet; the next look tries again."),
    EventName("claim.failed", "warning", "One task could not be claimed this time."),
    EventName("note.failed", "warning", "A Why line could not be written this time."),
    EventName("task.created", "info", "The daemon made a task.", True),
    EventName("task.breeding_stopped", "warning", "A follow-up was refused: too deep or too many.", True),
    EventName("gap.not_made", "warning", "A gap of a run did not become a task this time."),
    EventName("task.claimed", "info", "The task is ours; an attempt begins.", True),
    EventName("task.settling", "debug", "The claim is on the page and waits for its read-back.", True),
    EventName("task.released", "info", "A claim was given back before any work was done.", True),
    EventName("task.refused", "info", "A person has to change something; the page says what.", True),
    EventName("task.held", "info", "Something holds a Ready task; the page says what.", True),
    EventName("task.added", "info", "A person added a task by the dashboard.", True),
    EventName("task.status_set", "info", "A person set a status by the dashboard.", True),
    EventName("task.progress", "debug", "How far an attempt is."),
    EventName("task.raised", "warning", "A handler raised what nobody classified."),
    EventName("task.resumed", "info", "What a waiting task waited for has come.", True),
    EventName("task.adopted", "info", "An attempt of another host goes on here.", True),
    EventName("task.cancelled", "info", "A person cancelled the task, or took it back.", True),
    EventName("task.reassigned", "info", "It has another agent or handler now: it starts anew.", True),
    EventName("task.stalled", "warning", "An attempt showed no sign of life and is stopped.", True),
    EventName("task.finished", "info", "The canonical line of an attempt: outcome, gates, seconds.", True),
    EventName("step.failed", "warning", "A step of a run failed."),
    EventName(
        "task.outdated", "warning", "An upgrade changed the steps of a run: it starts as a new attempt.", True
    ),
    EventName("task.parked", "error", "The daemon died over a run too often: it is ended as Failed.", True),
    EventName("engine.broke", "error", "A run ended in the engine without an outcome."),
    EventName("report.failed", "error", "A report could not be rendered."),
    EventName("document.failed", "warning", "A status document could not be brought up to date."),
    EventName("arrival.repeated", "warning", "The same arrival again: it is not resumed twice."),
    EventName("arrival.look_failed", "warning", "A waiting task could not be looked at this time."),
    EventName("handoff.comment_failed", "warning", "A comment could not be put on the page."),
    EventName("schedule.failed", "warning", "One schedule could not be looked at this time."),
    EventName("schedule.slot_filled", "info", "A schedule's slot became a task.", True),
    EventName("schedule.slot_skipped", "info", "A slot was skipped, with the reason.", True),
    EventName("web.started", "info", "The dashboard listens."),
    EventName("webhook.notion", "info", "A signed event of Notion was kept.", True),
    EventName("webhook.pairing_opened", "info", "A webhook may be paired for a while.", True),
    EventName("webhook.paired", "info", "A verification token was kept.", True),
)

NAMES = frozenset(row.name for row in TABLE)


BOARD_TROUBLE = ("board.unreachable", "board.refused", "board.misfit")
"""Events that say that the board can't be read; ``board.back`` ends each."""


def board_trouble(error: HandoffdError) -> str:
    """The event that says what kind of trouble it is: with the settings or the schema, with the way to the
    board, or with what the board lets us do."""
    if isinstance(error, ConfigError):
        return "board.misfit"
    return "board.unreachable" if isinstance(error, TransientError) else "board.refused"
