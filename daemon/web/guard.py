"""The outermost layer: every request passes here before a route sees it.

Host allow-list, cross-site refusal, bounded body, sign-in, permission to act, security headers. Nothing
behind it has to remember any of this: a new POST route is refused by default.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from daemon.web.access import Access
from daemon.web.answers import Refusal, for_programs

BODY = 256 * 1024
"""Bytes of a request body (research/reliability.md T69)."""
BODY_SECONDS = 10.0
"""Seconds in which a body must have come (T70)."""

CSP = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "frame-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}
_READS = ("GET", "HEAD", "OPTIONS")
_OPEN = ("/login", "/theme")
"""Forms that anybody may send from our own pages: they ask for the token, or set a colour."""


@dataclass(frozen=True, slots=True)
class Sent:
    """The request's body, read and bounded, and its form fields when it is a form. In ``scope["sent"]``."""

    body: bytes = b""
    form: Mapping[str, str] = field(default_factory=dict)


class Guard:
    """ASGI middleware around ``app``. ``port`` is the one that is bound; ``board``: the local board's app;
    ``answer`` gives a refusal its form."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        access: Access,
        port: int,
        board: ASGIApp | None,
        answer: Callable[[Scope, Refusal], Response],
    ) -> None:
        self._app = app
        self._answer = answer
        self._access = access
        self._port = port
        self._board = board

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, then pass on; a refusal is answered here."""
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        scope["access"] = self._access
        try:
            onward = self._route(scope, headers)
            if onward is self._board is not None:
                await onward(scope, receive, send)
                return
            scope["sent"] = await self._read(scope, headers, receive)
            self._permit(scope, headers)
        except Refusal as refusal:
            await self._refuse(scope, receive, send, headers, refusal)
            return
        await self._app(scope, receive, _with_headers(send))

    def _route(self, scope: Scope, headers: Headers) -> ASGIApp:
        path, method = scope["path"], scope["method"]
        hook = path.startswith("/webhooks/")
        # A webhook comes through a tunnel under any name and proves itself by signature or token; nothing
        # else of the dashboard is served under that name.
        if not hook and not self._host_ok(headers):
            raise Refusal(421, "misdirected", "This server does not answer to that Host.", _HOST_HINT)
        if method not in _READS and self._access.foreign(headers):
            raise Refusal(403, "cross_site", "The request comes from another site.", _SITE_HINT)
        if self._board is not None and path.startswith(("/v1/", "/_board/")):
            if path.startswith("/_board/") and not self._access.loopback:
                raise Refusal(404, "not_found", "The board's controls are served on loopback only.")
            return self._board
        return self._app

    def _host_ok(self, headers: Headers) -> bool:
        return len(headers.getlist("host")) == 1 and self._access.host_ok(headers["host"], self._port)

    async def _read(self, scope: Scope, headers: Headers, receive: Receive) -> Sent:
        if scope["method"] in _READS:
            return Sent()
        if headers.get("content-encoding", "identity") != "identity":
            raise Refusal(415, "encoding", "Compressed bodies are not read.", "send it plain")
        if int(headers.get("content-length", "0")) > BODY:
            raise _too_large()
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Refusal(400, "cut", "The connection ended within the body.")
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
                    if len(body) > BODY:
                        raise _too_large()
        except TimeoutError as error:
            raise Refusal(408, "slow", f"The body did not come within {BODY_SECONDS:.0f} s.") from error
        if headers.get("content-type", "").split(";")[0].strip() != "application/x-www-form-urlencoded":
            return Sent(bytes(body))
        return Sent(bytes(body), _form(bytes(body)))

    def _permit(self, scope: Scope, headers: Headers) -> None:
        path, access = scope["path"], self._access
        if path.startswith(("/webhooks/", "/static/")) or path in _OPEN:
            return
        if scope["method"] in _READS:
            if not access.may_read(headers):
                raise Refusal(401, "token_needed", "The token is needed here.", _TOKEN_HINT, _ASK)
            return
        csrf = scope["sent"].form.get("csrf", "") or headers.get("x-csrf-token", "")
        if access.may_act(headers, csrf):
            return
        if access.has_token and not access.signed_in(headers):
            raise Refusal(401, "token_needed", "Changing something needs the token.", _TOKEN_HINT, _ASK)
        hint = "open the page again and send its form"
        if for_programs(path):
            hint = "set the secret web_token and send it as a bearer token"
        raise Refusal(403, "csrf", "The form's token is missing or from an earlier start.", hint)

    async def _refuse(
        self, scope: Scope, receive: Receive, send: Send, headers: Headers, refusal: Refusal
    ) -> None:
        if scope["method"] not in _READS:
            # Unread bytes may follow: without this the connection would go on swallowing them.
            refusal.headers["connection"] = "close"
        person = not for_programs(scope["path"]) and refusal.code == "token_needed"
        answer: Response
        if person and scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
            answer = RedirectResponse("/login", 303)
        else:
            answer = self._answer(scope, refusal)
        await answer(scope, receive, _with_headers(send))


_HOST_HINT = "use 127.0.0.1 or localhost with the port it listens on; docs/http.md, “Host”"
_SITE_HINT = "send it from the dashboard itself, or from a program without an Origin header"
_TOKEN_HINT = "sign in at /login, or send the secret web_token as Authorization: Bearer"  # noqa: S105  a sentence
_ASK = {"www-authenticate": 'Bearer realm="handoffd"'}


def _too_large() -> Refusal:
    return Refusal(413, "too_large", f"The body is larger than {BODY // 1024} KiB.")


def _form(body: bytes) -> dict[str, str]:
    try:
        fields = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=40, errors="strict")
    except ValueError as error:
        raise Refusal(400, "form", "The form can't be read.", "send UTF-8, percent-encoded") from error
    return dict(fields)


def _with_headers(send: Send) -> Send:
    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sender
