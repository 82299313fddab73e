"""Who may read and who may act.

- On a loopback bind everybody on this machine may read. Where others can reach the port, reading needs the
  token too (contract.md §5).
- Acting needs the token whenever one is set: as a bearer token (programs), or by having signed in with it
  (a cookie) plus the form's CSRF token (people). On loopback without a token the CSRF token alone does it.
- A request that a browser marks as coming from elsewhere is refused before any of this.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import socket
import threading
from collections import deque
from collections.abc import Callable, Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from daemon.web.parts import is_loopback

COOKIE = "handoffd_session"
SESSION = 12 * 3600.0
"""Seconds that a sign-in lasts; a restart ends it as well."""
TRIES = 10
"""Wrong tokens a minute before signing in pauses."""


class Access:
    """The rules above for one bind. ``clock`` gives epoch seconds. Keys live as long as the process."""

    def __init__(self, host: str, token: str | None, host_name: str, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._token = token.encode() if token else b""
        self._key = secrets.token_bytes(32)
        self._wrong: deque[float] = deque(maxlen=TRIES)
        self._lock = threading.Lock()
        self.loopback = is_loopback(host)
        self._host = host.lower()
        self.has_token = bool(token)
        self.csrf = secrets.token_urlsafe(32)
        own = (host_name, f"{host_name}.local", socket.gethostname(), socket.getfqdn(), host)
        self._names = {n.lower() for n in own}

    # ── where it comes from ───────────────────────────────────────────────────────────────────────

    def host_ok(self, host: str, port: int) -> bool:
        """True when a ``Host`` header names this server and not a name that an attacker's DNS points here.

        Loopback: the three loopback names, or the address that it is bound to, with our port. Otherwise an IP
        address or a name of this host: rebinding needs a name that is neither.
        """
        try:
            parts = urlsplit(f"//{host}")
            name, given = parts.hostname or "", parts.port or 80
        except ValueError:
            return False
        if parts.path or parts.query or parts.username is not None or given != port:
            return False
        if self.loopback:
            return name in ("127.0.0.1", "localhost", "::1", self._host)
        try:
            return not ipaddress.ip_address(name).is_unspecified
        except ValueError:
            return name in self._names or name == "localhost"

    @staticmethod
    def foreign(headers: Mapping[str, str]) -> bool:
        """True when a browser says that another site made this request."""
        origin = headers.get("origin")
        if origin is not None and origin.lower() != f"http://{headers.get('host', '')}".lower():
            return True
        return headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")

    # ── who it is ─────────────────────────────────────────────────────────────────────────────────

    def bearer(self, headers: Mapping[str, str]) -> bool:
        """True when the request carries the token as ``Authorization: Bearer``."""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        # Both branches compare, so that a missing header takes the way of a wrong one.
        same = hmac.compare_digest(_digest(given.strip().encode()), _digest(self._token))
        return self.has_token and scheme.lower() == "bearer" and same

    def signed_in(self, headers: Mapping[str, str]) -> bool:
        """True when the request carries a session cookie that this process made and that has not ended."""
        try:
            jar = SimpleCookie(headers.get("cookie", ""))
        except CookieError:
            return False
        value = jar[COOKIE].value if COOKIE in jar else ""
        until, _, mac = value.partition(".")
        if not until.isdecimal() or len(until) > 12 or not self.has_token:
            return False
        good = hmac.compare_digest(mac.encode(), self._mac(until).encode())
        return good and int(until) > self._clock()

    def may_read(self, headers: Mapping[str, str]) -> bool:
        """Loopback, or whoever has the token."""
        return self.loopback or self.bearer(headers) or self.signed_in(headers)

    def may_act(self, headers: Mapping[str, str], csrf: str) -> bool:
        """See the module's text. ``csrf`` comes from the form or the ``X-CSRF-Token`` header."""
        if self.bearer(headers):
            return True
        known = hmac.compare_digest(_digest(csrf.encode()), _digest(self.csrf.encode()))
        return known and (self.signed_in(headers) if self.has_token else self.loopback)

    def sign_in(self, given: str) -> str | None:
        """The cookie's value for the right token; None for a wrong one, and after too many wrong ones."""
        now = self._clock()
        with self._lock:
            if len(self._wrong) == TRIES and now - self._wrong[0] < 60.0:
                return None
            if not self.has_token or not hmac.compare_digest(_digest(given.encode()), _digest(self._token)):
                self._wrong.append(now)
                return None
        until = str(int(now + SESSION))
        return f"{until}.{self._mac(until)}"

    def _mac(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()


def _digest(value: bytes) -> bytes:
    # Equal lengths: compare_digest may tell the length of what it compares.
    return hashlib.sha256(value).digest()
