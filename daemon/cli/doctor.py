"""``handoffd doctor``: everything that a run needs, and the exact fix of what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

import click

from daemon.cli.frame import Command, Invocation, json_option, log_to_stderr
from daemon.cli.output import emit_json, talk
from daemon.core.errors import ConfigError, ExitCode

if TYPE_CHECKING:
    from daemon.board import NotionBoard
    from daemon.board.proposal import Proposal
    from daemon.sdk import Check
    from daemon.settings import Loaded
    from daemon.store import Event

GLYPHS = {"ok": "✓", "warn": "!", "broken": "✗"}
COLORS = {"ok": "green", "warn": "yellow", "broken": "red"}
PATIENCE_S = 8.0
"""How long a board that does not answer is asked, twice in a run: a person waits for this."""
SERVICE_TIMEOUT_S = 5.0
EVENTS = 1000
"""How far back the record is read for what happened to the schema."""


@click.command(cls=Command)
@click.option("--apply", "apply_fixes", is_flag=True, help="Add to the board's schema what is marked so.")
@json_option
@click.pass_obj
def command(call: Invocation, apply_fixes: bool, as_json: bool) -> int:
    """Check everything that a run needs. Exit 0 only if nothing is broken.

    For a board with a schema of its own it proposes a mapping. It never changes the board without --apply,
    and with it only adds properties and options.
    """
    found: list[Check] = []
    room = SchemaRoom(apply_fixes)
    for check in _all(call, room):
        found.append(check)
        if not as_json:
            _tell(check)
    broken = sum(c.state == "broken" for c in found)
    if as_json:
        names = ("name", "state", "message", "fix", "data")
        checks = [{n: getattr(c, n) for n in names} for c in found]
        emit_json({"ok": not broken, "checks": checks, "proposal": room.as_json(), "applied": room.applied})
    else:
        room.tell()
        talk(f"{broken} broken" if broken else "nothing is broken")
    return ExitCode.FAILED if broken else ExitCode.OK


def _all(call: Invocation, room: SchemaRoom) -> Iterator[Check]:
    import time

    from daemon.cli import checks
    from daemon.engine.registry import Registry

    yield from checks.python()
    try:
        loaded = call.load({"board.give_up": PATIENCE_S}, handlers=True)
    except ConfigError as error:
        yield from checks.of_error("settings", error)
        return
    log_to_stderr(loaded, level="error")
    yield from checks.settings(loaded)
    yield from _values(loaded)
    yield from checks.folders(loaded)
    yield from checks.store(loaded)
    # The additions come first, so that the board is judged as they leave it.
    schema = list(room.look(loaded))
    yield from checks.board(loaded)
    yield from schema
    yield from checks.clock(loaded, time.time)
    yield from checks.handlers(loaded, Registry())
    yield from _services(loaded)
    yield from checks.templates(loaded)
    yield from checks.service()


def _tell(check: Check) -> None:
    from daemon.core.text import visible

    glyph = click.style(GLYPHS[check.state], fg=COLORS[check.state])
    click.echo(f"{glyph} {check.name}: {visible(check.message)}")
    if check.fix:
        click.echo(f"    fix: {visible(check.fix)}")


def _values(loaded: Loaded) -> Iterator[Check]:
    """Each setting that somebody set, with where; secrets are masked."""
    import json

    from daemon.sdk import Check
    from daemon.settings.sources import COMMAND_LINE, DEFAULT

    hide = loaded.redactor()
    for key, value, origin in loaded.entries():
        if origin not in (DEFAULT, COMMAND_LINE):
            shown = json.dumps(hide.value(value), ensure_ascii=False, default=str)
            yield Check(name="setting", state="ok", message=f"{key} = {shown} from {origin}")


class SchemaRoom:
    """The board's schema against what handoffd uses: the doctor's proposal, and its additions on request."""

    def __init__(self, apply_fixes: bool) -> None:
        """``apply_fixes``: make the additions; otherwise nothing on the board is touched."""
        self._apply = apply_fixes
        self._proposal: Proposal | None = None
        self.applied: list[str] = []
        """The additions that were made, in the words in which they were proposed."""

    def look(self, loaded: Loaded) -> Iterator[Check]:
        """Propose, apply if asked to, and say what is left. A board that does not answer is not told again:
        the check of the board has said so."""
        from daemon.board.repair import apply
        from daemon.cli import checks
        from daemon.core.errors import HandoffdError
        from daemon.sdk import Check
        from daemon.session import session

        try:
            with session(loaded) as parts:
                board = cast("NotionBoard", parts.board)  # the only kind that a session opens
                source, self._proposal = board.proposal()
                events = parts.store.last_events(EVENTS)
                if self._apply and self._proposal.additions:
                    made = apply(board.transport, source.id, self._proposal.additions)
                    self.applied = [addition.text for addition in made]
                    source, self._proposal = board.proposal()
        except HandoffdError as error:
            if self._apply:
                yield from checks.of_error("schema", error)
            return
        found = self._proposal
        additive = {addition.text for addition in found.additions}
        for text in self.applied:
            yield Check(name="schema", state="ok", message=f"done: {text}")
        yield from self._gone(events, found)
        for drift in found.drift:
            yield Check(name="schema", state="warn", message=drift, fix="nothing, if it was meant")
        for fix in found.fixes:
            how = "handoffd doctor --apply adds it" if fix in additive else "by hand, in Notion"
            yield Check(name="schema", state="warn", message=fix, fix=how)
        if not found.fixes:
            yield Check(name="schema", state="ok", message="nothing to fix")

    def _gone(self, events: Sequence[Event], found: Proposal) -> Iterator[Check]:
        """Keys whose property a daemon saw go, and that have none now either."""
        from datetime import UTC, datetime

        from daemon.sdk import Check

        told: set[str] = set()
        for event in events:
            for key in event.data.get("gone", ()) if event.name == "board.schema_changed" else ():
                if key in found.off and key not in told:
                    told.add(key)
                    when = f"{datetime.fromtimestamp(event.at, UTC):%Y-%m-%d %H:%M} UTC"
                    message = (
                        f"the property for “{key}” went missing, seen {when}; off since: {found.off[key]}"
                    )
                    yield Check(
                        name="schema", state="warn", message=message, fix="restore it, or name another"
                    )

    def tell(self) -> None:
        """The mapping as lines for the settings file, when the settings do not say it already."""
        if self._proposal is None or self._proposal.asked:
            return
        talk("proposed for the settings file (confidence 0 to 1, and why):")
        click.echo(self._proposal.settings(notes=True))

    def as_json(self) -> Any:
        """The proposal; None when the board could not be read."""
        found = self._proposal
        if found is None:
            return None

        def choices(of: Any) -> dict[str, Any]:
            names = ("name", "type", "confidence", "because", "others")
            return {key: {n: getattr(choice, n) for n in names} for key, choice in of.items()}

        return {
            "properties": choices(found.properties),
            "status": choices(found.statuses),
            "toml": found.settings(),
            "fixes": list(found.fixes),
            "additions": [addition.text for addition in found.additions],
            "drift": list(found.drift),
        }


def _services(loaded: Loaded) -> Iterator[Check]:
    """Spotify and Eagle, each only when it is configured: does anything answer there?"""
    from daemon.settings.sources import DEFAULT

    settings, music = loaded.settings, loaded.sections.get("music")
    spotify = getattr(music, "spotify_base_url", "") or settings.spotify.base_url
    if spotify or "spotify_refresh_token" in loaded.secrets:
        address = spotify or "https://api.spotify.com"
        yield _answers("Spotify", address, "check the network, or the base_url that is set for Spotify")
    eagle = getattr(music, "eagle_base_url", "")
    if eagle or "eagle_token" in loaded.secrets or loaded.origin("eagle.base_url") != DEFAULT:
        fix = "start Eagle, or correct the base_url that is set for it"
        yield _answers("Eagle", eagle or settings.eagle.base_url, fix)


def _answers(name: str, address: str, fix: str) -> Check:
    import http.client
    from urllib.parse import urlsplit

    from daemon.sdk import Check

    try:
        parts = urlsplit(address)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=SERVICE_TIMEOUT_S)
        try:
            connection.request("GET", "/")
            status = connection.getresponse().status
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        return Check(name=name, state="broken", message=f"{address} does not answer: {error}", fix=fix)
    # Any status shows that it is there; whether the credentials hold only a sync can tell.
    return Check(name=name, state="ok", message=f"{address} answers ({status})")
