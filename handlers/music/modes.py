"""From a task to the flow of its mode, and from errors to outcomes that still carry what was found."""

from __future__ import annotations

from dataclasses import replace

from daemon.sdk import (
    AuthError,
    Blocked,
    BlockedError,
    CancelledRun,
    ConfigError,
    Context,
    Failed,
    HandoffdError,
    NotFound,
    Outcome,
    PermanentError,
    Retry,
    Task,
    TransientError,
)
from handlers.music import (
    flow_dry,
    flow_eagle,
    flow_library,
    flow_many,
    flow_reject,
    flow_single,
    flow_tracks,
    flow_url,
    proof,
)
from handlers.music.settings import Params
from handlers.music.sheet import Sheet

GAPS = 20
"""Findings that the evidence lists; the rest is counted."""


def run(task: Task, params: Params, ctx: Context) -> Outcome:
    """Carry out the task's mode. A typed error becomes the outcome that the engine's policy would make of
    it, with the phases so far as its data; anything else leaves as it is."""
    url = params.url or task.url
    mode = params.mode or ("url" if url else "single")
    sheet = Sheet(mode=mode)
    try:
        if params.dry_run and mode != "reject":
            track = flow_many.spotify_track(url)
            mode, params = ("single", replace(params, spotify=track)) if track else (mode, params)
            return flow_dry.run(mode, url, params, ctx, sheet)
        for gate in _other_gates(mode):
            ctx.skip_gate(gate)
        if mode == "reject":
            return flow_reject.run(params, ctx, sheet)
        if mode in flow_library.MODES:
            return flow_library.run(mode, params, ctx, sheet)
        if mode in ("playlist", "batch"):
            return flow_many.run(task, url, params, ctx, sheet)
        spotify = flow_many.spotify_track(url)
        if spotify:
            params = replace(params, spotify=spotify)
        if mode == "url" and flow_many.is_playlist(url):
            raise PermanentError("it is a playlist, not a track", hint='set mode = "playlist" in Parameters')
        if mode == "url" and not spotify:
            outcome = flow_url.run(url, params, ctx, sheet)
        else:
            outcome = flow_single.run(task, "" if spotify else url, params, ctx, sheet)
        outcome = flow_tracks.after(flow_eagle.after(outcome, task, ctx, sheet), ctx, sheet)
        gaps = sheet.gaps()
        data = {"open": len(gaps), "gaps": gaps[:GAPS]}
        ctx.evidence("gaps", "check", proof.subject(ctx, "findings of all phases"), True, data)
        return outcome
    except CancelledRun:
        raise
    except HandoffdError as error:
        if not isinstance(error, TransientError):
            # A passing fault proves nothing about the next attempt, whose evidence this would spoil.
            data = {"error": error.code, "reason": error.one_line()}
            ctx.evidence(sheet.stage, "check", "ended early", False, data)
        return failed(error, sheet)


def _other_gates(mode: str) -> list[str]:
    """Gates of the handler that say nothing about this mode."""
    from handlers.music import GATES, LIBRARY_GATES

    own = {**flow_library.MODES, "reject": (flow_reject.GATE,)}
    if mode in own:
        return [g.name for g in (*GATES, *LIBRARY_GATES) if g.name not in own[mode]]
    return [g.name for g in LIBRARY_GATES]


def failed(error: HandoffdError, sheet: Sheet) -> Outcome:
    """The outcome of a typed error; the same meaning as ``daemon.engine.policy`` gives it."""
    reason = "; ".join([error.message, *error.problems])
    sheet.find("1", "Ended early", reason, "failed")
    data = sheet.data()
    match error:
        case TransientError():
            return Retry(reason=reason, after=error.retry_after, data=data)
        case BlockedError() | ConfigError() | AuthError():
            return Blocked(reason=reason, unblock=error.hint or "correct it", data=data)
        case PermanentError() | NotFound():
            return Failed(reason=reason, hint=error.hint, data=data)
    raise error
