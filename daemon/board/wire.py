"""The HTTP transport below notion-client: one TLS context, long keepalive, and bounds on each call.

On httpcore instead of httpx's own transport: httpx bounds each read of a socket and never their sum, so an
answer whose headers come byte by byte would hold a thread for ever. Here every read and write of a call draws
on the one time that the call has.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpcore
import httpx

KEEPALIVE_S = 120.0
"""Longer than a poll interval, so that an idle daemon does not shake hands anew at each look."""

IN_FLIGHT = 4
"""Calls at the same time; research/notion.md §6.2: 2–4 fill the budget."""

CONNECT_S = 10.0
"""To connect: no answer to a handshake in this time means that none comes."""

ANSWER_BYTES = 64 * 1024 * 1024
"""A page of 100 rows is below 3 MB; more than this is not an answer of the API."""

_PIECE_BYTES = 64 * 1024
"""Sent at once, so that a body that is taken in drips is noticed before its end."""


class _Time(threading.local):
    """The present call's end on this thread, in monotonic seconds."""

    until: float = 0.0

    def left(self, timeout: float | None, late: type[httpcore.TimeoutException]) -> float:
        left = self.until - time.monotonic()
        if left <= 0:
            raise late("the call took longer than it may (board.timeout)")
        return left if timeout is None else min(left, timeout)


class _Stream(httpcore.NetworkStream):
    """A connection on which nothing waits longer than the call that uses it may take."""

    def __init__(self, inner: httpcore.NetworkStream, clock: _Time) -> None:
        self._inner = inner
        self._clock = clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._clock.left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for at in range(0, len(buffer), _PIECE_BYTES):
            piece = buffer[at : at + _PIECE_BYTES]
            self._inner.write(piece, self._clock.left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = self._clock.left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, left), self._clock)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Backend(httpcore.SyncBackend):
    def __init__(self, clock: _Time) -> None:
        self._clock = clock

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        left = self._clock.left(timeout, httpcore.ConnectTimeout)
        return _Stream(super().connect_tcp(host, port, left, local_address, socket_options), self._clock)


class _Bounded(httpx.SyncByteStream):
    """An answer's body, bounded in size."""

    def __init__(self, answer: httpcore.Response, request: httpx.Request) -> None:
        self._answer = answer
        self._request = request

    def __iter__(self) -> Iterator[bytes]:
        total = 0
        with _in_words_of_httpx(self._request):
            for chunk in self._answer.iter_stream():
                total += len(chunk)
                if total > ANSWER_BYTES:
                    raise httpx.ReadError(f"the answer is over {ANSWER_BYTES} bytes", request=self._request)
                yield chunk

    def close(self) -> None:
        with _in_words_of_httpx(self._request):
            self._answer.close()


class _Transport(httpx.BaseTransport):
    """``timeout``: seconds for a whole call; a request's own read timeout goes before it."""

    def __init__(self, pool: httpcore.ConnectionPool, clock: _Time, timeout: float) -> None:
        self._pool = pool
        self._clock = clock
        self._timeout = timeout

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        named = (request.extensions.get("timeout") or {}).get("read")
        self._clock.until = time.monotonic() + (self._timeout if named is None else named)
        made = httpcore.Request(
            method=request.method,
            url=_core_url(request.url),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with _in_words_of_httpx(request):
            response = self._pool.handle_request(made)
        return httpx.Response(
            status_code=response.status,
            headers=response.headers,
            stream=_Bounded(response, request),
            extensions=response.extensions,
        )

    def close(self) -> None:
        self._pool.close()


def http_client(base_url: str, timeout: float, proxy: str = "") -> httpx.Client:
    """A client for one board. ``timeout``: seconds for a call, answer included. ``proxy``: "" = none.

    Proxies of the environment are not used: they would take the loopback board's traffic out of the machine.
    For plain http no CA bundle is loaded (40–110 ms, research/notion.md §1.1).
    """
    secure = base_url.startswith("https:") or proxy.startswith("https:")
    tls = httpx.create_ssl_context() if secure else None
    clock = _Time()
    bounds: dict[str, Any] = {
        "ssl_context": tls,
        "max_connections": IN_FLIGHT,
        "max_keepalive_connections": IN_FLIGHT,
        "keepalive_expiry": KEEPALIVE_S,
        "network_backend": _Backend(clock),
    }
    if proxy:
        by_tls = tls if proxy.startswith("https:") else None
        pool: httpcore.ConnectionPool = httpcore.HTTPProxy(
            _core_url(httpx.URL(proxy)), proxy_ssl_context=by_tls, **bounds
        )
    else:
        pool = httpcore.ConnectionPool(**bounds)
    return httpx.Client(transport=_Transport(pool, clock, timeout), trust_env=False, verify=tls or False)


def _core_url(url: httpx.URL) -> httpcore.URL:
    return httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)


@contextmanager
def _in_words_of_httpx(request: httpx.Request) -> Iterator[None]:
    """httpcore's errors as those of the same name in httpx, which notion-client and we know."""
    try:
        yield
    except (
        httpcore.TimeoutException,
        httpcore.NetworkError,
        httpcore.ProtocolError,
        httpcore.ProxyError,
        httpcore.UnsupportedProtocol,
    ) as error:
        known = getattr(httpx, type(error).__name__)
        raise known(str(error), request=request) from error
