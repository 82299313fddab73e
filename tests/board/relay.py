"""A real HTTP server between the client and a board: it passes calls on, and breaks those that a rule names.

Without an upstream it answers from its rules alone (a scripted server).
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx


@dataclass
class Rule:
    """For the first ``times`` calls of ``method`` whose path (with query) matches ``path``.

    ``after``: the upstream carries the call out first. ``cut``: close the connection without an answer, or in
    the middle of ``body``. ``drip``: seconds between two bytes of the body, with ``drip_head`` of the
    headers. ``then`` runs before anything else, for an edit by a person at that very moment.
    """

    method: str = "*"
    path: str = ""
    times: int = 1
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | bytes | dict[str, Any] = ""
    after: bool = False
    cut: bool = False
    pass_on: bool = False
    delay: float = 0.0
    drip: float = 0.0
    drip_head: bool = False
    then: Callable[[], None] | None = None
    edit: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    """Changes the upstream's JSON answer."""


@dataclass
class Call:
    method: str
    path: str
    body: Any
    headers: dict[str, str]
    at: float
    peer: tuple[str, int]


class Relay:
    """``url`` is what the client gets as board.base_url; ``calls`` is what came in."""

    def __init__(self, upstream: str = "", *, tls: tuple[Path, Path] | None = None) -> None:
        """``tls``: files of a certificate for ``localhost`` and of its key; without it plain HTTP."""
        self.upstream = upstream.rstrip("/")
        self.rules: list[Rule] = []
        self.calls: list[Call] = []
        self._lock = threading.Lock()
        self._out = httpx.Client(trust_env=False, timeout=20, verify=False)
        relay = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except (ConnectionError, TimeoutError):
                    self.close_connection = True

            def _do(self) -> None:
                relay._serve(self)

            do_GET = do_POST = do_PATCH = do_DELETE = _do  # noqa: N815  names that http.server asks for

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the name that http.server has
                """Quiet."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 64

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that went away is part of these tests."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        if tls:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(*tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self.url = f"https://localhost:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
        self._out.close()

    def rule(self, method: str = "*", path: str = "", **what: Any) -> Rule:
        """Add a rule; the first that matches and has times left is applied."""
        made = Rule(method=method, path=path, **what)
        with self._lock:
            self.rules.append(made)
        return made

    def paths(self) -> list[str]:
        """``METHOD /path`` without the query, ids shortened to ``*``."""
        return [
            f"{c.method} "
            + re.sub(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", "*", c.path.split("?")[0])
            for c in self.calls
        ]

    def forget(self) -> None:
        with self._lock:
            self.calls.clear()

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("content-length") or 0)
        raw = handler.rfile.read(length) if length else b""
        method, path = handler.command, handler.path
        with self._lock:
            body = json.loads(raw) if raw else None
            headers, peer = dict(handler.headers.items()), handler.client_address
            self.calls.append(Call(method, path, body, headers, time.monotonic(), peer))
            rule = next(
                (
                    r
                    for r in self.rules
                    if r.times > 0 and r.method in ("*", method) and re.search(r.path, path)
                ),
                None,
            )
            if rule:
                rule.times -= 1
        if rule is None:
            self._pass_on(handler, method, path, raw)
            return
        if rule.then:
            rule.then()
        if rule.delay:
            time.sleep(rule.delay)
        if rule.pass_on or rule.edit:
            self._pass_on(handler, method, path, raw, rule.edit)
            return
        if rule.after:
            self._upstream(handler, method, path, raw)
        self._break(handler, rule)

    def _break(self, handler: BaseHTTPRequestHandler, rule: Rule) -> None:
        body = rule.body
        if isinstance(body, dict):
            body = json.dumps(body)
        data = body.encode() if isinstance(body, str) else body
        if rule.cut and not data:
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)
            return
        if rule.drip_head:
            self._drip(handler, b"HTTP/1.1 200 OK\r\nx-slow: " + b"x" * 1000, rule.drip)
            handler.close_connection = True
            return
        handler.send_response(rule.status)
        headers = {"content-type": "application/json", **rule.headers}
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("content-length", str(len(data) + (100 if rule.cut else 0)))
        handler.end_headers()
        if rule.drip:
            self._drip(handler, data, rule.drip)
        else:
            handler.wfile.write(data)
        if rule.cut:
            handler.wfile.flush()
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)

    def _drip(self, handler: BaseHTTPRequestHandler, data: bytes, pause: float) -> None:
        for i in range(len(data)):
            handler.wfile.write(data[i : i + 1])
            handler.wfile.flush()
            time.sleep(pause)

    def _upstream(
        self, handler: BaseHTTPRequestHandler, method: str, path: str, raw: bytes
    ) -> httpx.Response:
        keep = {"authorization", "notion-version", "content-type", "user-agent"}
        headers = {k: v for k, v in handler.headers.items() if k.lower() in keep}
        return self._out.request(method, self.upstream + path, content=raw or None, headers=headers)

    def _pass_on(
        self,
        handler: BaseHTTPRequestHandler,
        method: str,
        path: str,
        raw: bytes,
        edit: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    ) -> None:
        if not self.upstream:
            answer = json.dumps({"object": "error", "status": 599, "code": "unscripted", "message": path})
            status, data = 599, answer.encode()
        else:
            response = self._upstream(handler, method, path, raw)
            status, data = response.status_code, response.content
            if edit:
                data = json.dumps(edit(response.json())).encode()
        handler.send_response(status)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)


def error(status: int, code: str, message: str = "no", **additional: Any) -> dict[str, Any]:
    """The body of an API error."""
    body: dict[str, Any] = {"object": "error", "status": status, "code": code, "message": message}
    if additional:
        body["additional_data"] = additional
    return body
