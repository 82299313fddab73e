"""The ASGI application: /v1/ is the API, /_board/ what tests and simulations need."""

from __future__ import annotations

import asyncio
from email.utils import formatdate

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from daemon.local_board import BoardConfig, admin, errors, http
from daemon.local_board.board import Board
from daemon.local_board.errors import ApiError
from daemon.local_board.faults import HTML, FaultRule
from daemon.local_board.http import Answer, Request
from daemon.local_board.renaming import rename
from daemon.local_board.routes import match

THREADS = 4
"""Requests that are worked on at the same time: SQLite lets go of the interpreter, and each reader costs a
cache.
"""


def build_app(config: BoardConfig) -> Starlette:
    """The app for one board; `app.state.board` is the board."""
    board = Board(config)
    endpoint = Endpoint(board)
    routes = [
        Mount("/v1", app=endpoint.api),
        Mount("/_board", app=endpoint.controls),
        Mount("/", app=endpoint.elsewhere),
    ]
    app = Starlette(routes=routes)
    app.state.board = board
    return app


class Endpoint:
    """ASGI callables of one board."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.limiter: anyio.CapacityLimiter | None = None

    async def api(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Everything below /v1/, with the faults that rules ask for."""
        request = await read_request(scope, receive)
        request_id = self.board.ids.uuid4()
        if request is None:
            await self.respond(send, http.too_large(self.board, request_id))
            return
        faults = self.board.faults
        asked = (request.method, "/v1/" + request.path)
        delay = faults.take("delay", *asked)
        if delay is not None:
            await asyncio.sleep(delay.delay)
        if faults.take("cut", *asked, when="before"):
            await cut(send)
            return
        early = faults.take("error", *asked, when="before")
        if early is not None:
            await self.respond(send, self.faulty(early, request_id))
            return
        answer = await self.in_thread(request, request_id)
        if faults.take("cut", *asked, when="after"):
            await cut(send)
            return
        late = faults.take("error", *asked, when="after")
        await self.respond(send, answer if late is None else self.faulty(late, request_id))

    async def in_thread(self, request: Request, request_id: str) -> Answer:
        """Works on a request in a thread."""
        if self.limiter is None:
            self.limiter = anyio.CapacityLimiter(THREADS)
        return await anyio.to_thread.run_sync(self.answer, request, request_id, limiter=self.limiter)

    def faulty(self, rule: FaultRule, request_id: str) -> Answer:
        """What an "error" rule answers: an API error, or the HTML page of whatever stands before the API."""
        if rule.html:
            body = HTML.format(status=rule.status).encode()
            return Answer(
                status=rule.status, body=body, headers={"content-type": "text/html", **rule.error().headers}
            )
        return http.refuse(self.board, rule.error(), request_id)

    def answer(self, request: Request, request_id: str) -> Answer:
        """The whole of a request, synchronously."""
        board = self.board
        try:
            found = match(request.method, request.path)
            if found is None:
                raise errors.invalid_request_url()
            route, params = found
            body = http.parse_body(request)
            http.authorize(board, route, request.headers)
            board.rate.spend(board.now_ms())
            path = "/v1/" + request.path
            renaming = board.faults.take("rename_property", request.method, path)
            if renaming is not None:
                rename(board, renaming)
            snapshot = board.faults.snapshot(request.method, path)
            out, call = http.perform(board, request, route, params, body, request_id, snapshot)
            if call.events:
                board.webhooks.wake()
            if not route.bare:
                out["request_id"] = request_id
            return http.render_call(call, out)
        except ApiError as error:
            return http.refuse(board, error, request_id)
        except Exception:  # noqa: BLE001  # the one place where a bug ends: logged, and answered as the service's 500
            http.log.exception("request %s %s failed", request.method, request.path)
            surprise = ApiError(500, "internal_server_error", "Unexpected error occurred.")
            return http.refuse(board, surprise, request_id)

    async def controls(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Everything below /_board/."""
        request = await read_request(scope, receive)
        request_id = self.board.ids.uuid4()
        if request is None:
            await self.respond(send, http.refuse(self.board, errors.invalid_json(), request_id))
            return
        await self.respond(
            send, await anyio.to_thread.run_sync(admin.answer, self.board, request, request_id)
        )

    async def elsewhere(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Any other path."""
        if scope["type"] == "http":
            await self.respond(
                send, http.refuse(self.board, errors.invalid_request_url(), self.board.ids.uuid4())
            )

    async def respond(self, send: Send, answer: Answer) -> None:
        """Sends a complete answer; with a clock of its own the board also says what time it is."""
        headers = [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()
        ]
        headers.append((b"content-length", str(len(answer.body)).encode()))
        if self.board.config.now is not None:
            headers.append((b"date", formatdate(self.board.now_ms() / 1000, usegmt=True).encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})


async def read_request(scope: Scope, receive: Receive) -> Request | None:
    """The request with its whole body; None when that is too large."""
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    limit = http.PART_LIMIT if path.endswith("/send") else http.BODY_LIMIT
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= limit:
            chunks.append(chunk)
        if not message.get("more_body", False):
            break
    if size > limit:
        return None
    return Request(
        method=scope["method"],
        path=path.lstrip("/"),
        query_string=scope["query_string"].decode("latin-1"),
        headers=headers,
        body=b"".join(chunks),
        base_url=f"{scope.get('scheme', 'http')}://{headers.get('host', 'localhost')}",
    )


async def cut(send: Send) -> None:
    """Drops the connection without an answer.

    Under uvicorn `send` is a method of the request cycle, which holds the transport.  Under another server
    an answer is begun and left unfinished, which clients see as a broken connection too.
    """
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is not None:
        transport.abort()
        # Lets the server notice before this call ends, or it would try to send a 500.
        await asyncio.sleep(0.01)
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})
    await send({"type": "http.response.body", "body": b"{", "more_body": True})
    raise ConnectionAbortedError("connection cut by a fault rule")
