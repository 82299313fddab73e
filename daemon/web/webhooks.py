"""/webhooks: signed events of Notion, and links for the music sync. Both are only ever a reason to look."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from daemon.web import room, signed
from daemon.web.answers import Refusal
from daemon.web.render import web_url

PAIRING = 600.0
"""Seconds that a pairing stays open."""
RECALL = 5000
"""Events of the log that are read at the start to know deliveries of before."""
EVENT = "webhook.notion"

_TRACKING = ("utm_", "si", "fbclid", "gclid", "igshid", "feature")


@dataclass(slots=True)
class Desk:
    """The state of the webhook endpoints: ids seen, and a pairing that is open. One for a server."""

    secret: str | None
    seen: signed.Remembered
    lock: threading.Lock = field(default_factory=threading.Lock)
    open_until: float = 0.0
    received: str = ""
    """First six characters of the token that a pairing received, for comparison; "" = none yet."""
    kept: str = ""
    """Where the whole token is."""


def notion(request: Request) -> Response:
    """Verify, keep, answer, look. A delivery that could not be kept gets 503 and comes again."""
    here = room.of(request)
    desk = here.desk
    body = room.sent(request).body
    _json_only(request)
    if desk.secret is None:
        return _pair(request, body)
    if not signed.genuine(desk.secret, body, request.headers.getlist("x-notion-signature")):
        raise Refusal(401, "signature", "The signature is missing or wrong.")
    try:
        event = signed.parse(body)
        if "verification_token" in event:
            # Signed with the very token it brings: proves nothing, and we have one (finding 5).
            raise Refusal(409, "paired", "A webhook secret is set already.", "remove it to pair again")
        news = signed.delivery(event)
    except signed.NotJson as error:
        raise Refusal(400, "json", f"The body is not an event: {error}") from error
    now = here.parts.clock()
    if news.old(now):
        return JSONResponse({"event": "old"})
    with desk.lock:
        if news.id in desk.seen:
            return JSONResponse({"event": "known"})
        # Raises TransientError, answered by 503, when it can't be kept; Notion sends it again.
        here.parts.store.event(EVENT, task=news.page, event_id=news.id, type=news.kind, sent=news.at)
        desk.seen.add(news.id, now)
    if here.parts.on_webhook is not None:
        here.parts.on_webhook(event)
    here.parts.refresh()
    return JSONResponse({"event": "kept"})


def _pair(request: Request, body: bytes) -> Response:
    here = room.of(request)
    desk, keep = here.desk, here.parts.keep_webhook_secret
    with desk.lock:
        if keep is None or here.parts.clock() > desk.open_until:
            hint = "open a pairing on the Health page, or set the secret notion_webhook_secret"
            raise Refusal(503, "not_paired", "No webhook secret is set and no pairing is open.", hint)
        try:
            token = signed.parse(body).get("verification_token")
        except signed.NotJson as error:
            raise Refusal(400, "json", f"The body is not a verification: {error}") from error
        if not isinstance(token, str) or not 16 <= len(token) <= 200 or not token.isascii():
            raise Refusal(400, "token", "The body brings no verification token.")
        desk.kept = keep(token)
        desk.received, desk.secret, desk.open_until = token[:6], token, 0.0
    here.parts.store.event("webhook.paired", begins=token[:6])
    return JSONResponse({"pairing": "done"})


def music(request: Request) -> Response:
    """``{"url"}`` with the bearer token → a task, created once for each key."""
    here = room.of(request)
    if not here.access.has_token:
        hint = "set the secret web_token"
        raise Refusal(503, "no_token", "This webhook needs a token and none is set.", hint)
    if not here.access.bearer(request.headers):
        raise Refusal(401, "token_needed", "The bearer token is missing or wrong.")
    if here.parts.music_webhook is None:
        hint = "enable the handler music-sync on this host"
        raise Refusal(503, "no_music", "No music handler is loaded here.", hint)
    _json_only(request)
    try:
        url = signed.parse(room.sent(request).body).get("url")
    except signed.NotJson as error:
        raise Refusal(400, "json", f"The body is not JSON: {error}") from error
    if not isinstance(url, str) or not web_url(url):
        raise Refusal(422, "url", "The body needs an http or https address.", '{"url": "https://…"}')
    given = request.headers.get("idempotency-key", "")
    if len(given) > 200 or not given.isprintable():
        raise Refusal(422, "key", "The Idempotency-Key is longer than 200 characters or not printable.")
    key = key_of(url, given, here.parts.clock())
    task = here.parts.music_webhook(url.strip(), key)
    here.parts.refresh()
    return JSONResponse({"id": task, "key": key, "url": f"/tasks/{task}"})


def key_of(url: str, given: str, now: float) -> str:
    """The task's key: of the caller's own key, else of the canonical address and the day (UTC)."""
    day = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d")
    basis = f"key {given}" if given else f"url {canonical(url)} {day}"
    return f"webhook:music:{hashlib.sha256(basis.encode()).hexdigest()[:32]}"


def canonical(url: str) -> str:
    """``url`` without what does not name a track: fragment, default port, tracking fields, final slash."""
    parts = urlsplit(url.strip())
    host = (parts.hostname or "").lower()
    port = parts.port
    if port is not None and port != {"http": 80, "https": 443}[parts.scheme]:
        host = f"{host}:{port}"
    fields = [(k, v) for k, v in parse_qsl(parts.query) if k not in _TRACKING and not k.startswith("utm_")]
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), urlencode(sorted(fields)), ""))


def _json_only(request: Request) -> None:
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "application/json":
        raise Refusal(415, "type", "Only application/json is read here.")


def open_desk(secret: str | None, events: list[tuple[str, float]]) -> Desk:
    """A desk that knows the deliveries in ``events`` (id, epoch seconds)."""
    return Desk(secret=secret, seen=signed.Remembered(events))
