"""Calls to the API: budget, deadlines, retries, counters. The only module that knows notion-client."""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx
import notion_client
import tenacity
from notion_client.errors import HTTPResponseError, NotionClientErrorBase, RequestTimeoutError

from daemon.board import answers, wire
from daemon.board.budget import Budget
from daemon.core.errors import Ambiguous, AuthError, ConfigError, HandoffdError, TransientError
from daemon.sdk import Log
from daemon.settings.model import BoardSettings

T = TypeVar("T")

OnCall = Callable[[str, str, float], None]
"""``on_call(purpose, status, seconds)``: after each call; status is the HTTP status or
``lost``/``unsent``."""

OnWait = Callable[[float], None]
"""``on_wait(seconds)``: after each wait for a place in the rate budget."""

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0
"""Between two tries: random, exponential, capped."""

_A_WAIT_S = 0.001
"""Below this it is the time to take a lock and no wait."""

_URGENT = frozenset({"claim", "finish", "note", "status", "section", "create", "comment", "readback"})
"""What has been decided goes before what is only read: the reads that belong to a write. Writes themselves
are urgent whatever they are for."""


class Patience:
    """What is left of the time that one operation may spend on tries that fail and on the waits between them
    (``board.give_up``, seconds)."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds left; negative when it is over."""
        return self._until - time.monotonic()

    def extend(self, seconds: float) -> None:
        """Time spent waiting for a place in the budget, or on a try that led to an answer, is not lost."""
        self._until += seconds


class Transport:
    """One token's way to the board. Safe for all threads."""

    def __init__(
        self,
        settings: BoardSettings,
        token: str,
        *,
        clock: Callable[[], float],
        stop: threading.Event,
        log: Log,
        on_call: OnCall | None = None,
        on_wait: OnWait | None = None,
        proxy: str = "",
    ) -> None:
        """``clock``: epoch seconds. Once ``stop`` is set nothing waits any more; a first try is still
        made."""
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise AuthError("the Notion token is empty or has characters that no token has")
        self._settings = settings
        self._clock = clock
        self._stop = stop
        self._log = log
        self._on_call = on_call
        self._on_wait = on_wait
        self._waited = 0.0
        self._inside = threading.local()
        self._count: Counter[str] = Counter()
        self._count_lock = threading.Lock()
        self.budget = Budget(settings.rate_limit, monotonic=time.monotonic, pause=self.pause)
        base = settings.base_url.rstrip("/").removesuffix("/v1")
        if not base.startswith(("http://", "https://")):
            raise ConfigError(f"board.base_url is not an http address: {settings.base_url!r}")
        self._http = wire.http_client(base, settings.timeout, proxy or settings.proxy)
        quiet = logging.getLogger("daemon.board.notion_client")
        quiet.addHandler(logging.NullHandler())
        self._client = notion_client.Client(
            client=self._http,
            auth=token,
            base_url=base,
            timeout_ms=int(settings.timeout * 1000),
            notion_version=settings.version,
            logger=quiet,
            log_level=logging.CRITICAL,
            retry=False,
        )
        self._http.timeout = httpx.Timeout(settings.timeout, connect=min(wire.CONNECT_S, settings.timeout))
        self._http.event_hooks["request"].append(self._limited)

    @property
    def version(self) -> str:
        """The Notion-Version that is sent."""
        return self._settings.version

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def calls(self) -> Mapping[str, int]:
        """Calls made since the start, by purpose."""
        with self._count_lock:
            return dict(self._count)

    def waited(self) -> float:
        """Seconds spent waiting for the rate budget since the start."""
        with self._count_lock:
            return self._waited

    def patience(self) -> Patience:
        """The allowance of the operation that this thread is in; a fresh one outside of any."""
        current: Patience | None = getattr(self._inside, "patience", None)
        return current or Patience(self._settings.give_up)

    @contextmanager
    def operation(self) -> Iterator[None]:
        """One allowance for the retries of all calls that this thread makes inside; within another
        operation, that one's."""
        before = getattr(self._inside, "patience", None)
        self._inside.patience = before or Patience(self._settings.give_up)
        try:
            yield
        finally:
            self._inside.patience = before

    def pause(self, seconds: float) -> None:
        """Wait; TransientError at once when the daemon stops."""
        if self._stop.wait(seconds):
            raise TransientError("the daemon is stopping", hint="it goes on after the next start")

    def call(
        self,
        purpose: str,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        write: bool | None = None,
        repeat: bool = True,
    ) -> dict[str, Any]:
        """One answer, after as many tries as the policy in ``answers`` and the operation's allowance permit.

        ``path`` below /v1/, made of ids and words of ours only. ``write``: may it change something (default:
        all but GET). Raises Ambiguous when a write may have landed; the caller looks, then decides.
        ``repeat`` False: one try, for a write that rests on what was read before it: after a wait it must be
        read again.
        """
        left = self.patience() if repeat else Patience(0.0)
        changes = method != "GET" if write is None else write

        def once() -> dict[str, Any]:
            left.extend(self._place(changes or purpose in _URGENT, left.left))
            begun = time.monotonic()
            answer = self._send(purpose, method, path, query, body, changes)
            left.extend(time.monotonic() - begun)
            return answer

        return self.insist(once, lambda e: answers.passes(e) and not isinstance(e, Ambiguous), left)

    @contextmanager
    def places(self, count: int, patience: Patience) -> Iterator[None]:
        """Hold places for the next ``count`` calls of this thread; what is not used is given back."""
        held, waited = self.budget.hold(count, urgent=True, patience=patience.left)
        patience.extend(self._noted(waited))
        self._inside.places = held
        try:
            yield
        finally:
            self.budget.release(self._inside.places)
            self._inside.places = 0

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Calls of this thread wait no longer than so for the connection and for each part of the answer."""
        self._inside.limit = seconds
        try:
            yield
        finally:
            self._inside.limit = None

    def _limited(self, request: httpx.Request) -> None:
        limit: float | None = getattr(self._inside, "limit", None)
        if limit is not None:
            request.extensions["timeout"] = httpx.Timeout(limit).as_dict()

    def _place(self, urgent: bool, patience: float) -> float:
        if getattr(self._inside, "places", 0) > 0 and not self.budget.closed_for():
            self._inside.places -= 1
            self.budget.use()
            return 0.0
        return self._noted(self.budget.take(urgent=urgent, patience=patience))

    def _noted(self, seconds: float) -> float:
        if seconds >= _A_WAIT_S:
            with self._count_lock:
                self._waited += seconds
            if self._on_wait is not None:
                self._on_wait(seconds)
        return seconds

    def insist(self, act: Callable[[], T], again: Callable[[BaseException], bool], patience: Patience) -> T:
        """Do ``act`` until it raises nothing that ``again`` accepts, or the patience is over.

        All calls below ``act`` share the same patience: one operation, one deadline.
        """

        def delay(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            named = error.retry_after if isinstance(error, TransientError) else None
            if named is not None:
                return named + random.random()  # noqa: S311  spreads threads, no secret
            top = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** (state.attempt_number - 1))
            return top * (0.5 + random.random() / 2)  # noqa: S311  the same

        def over(state: tenacity.RetryCallState) -> bool:
            return state.upcoming_sleep > patience.left

        policy = tenacity.Retrying(
            retry=tenacity.retry_if_exception(again),
            wait=delay,
            stop=over,
            sleep=self.pause,
            reraise=True,
            before_sleep=self._say,
        )
        before = getattr(self._inside, "patience", None)
        self._inside.patience = patience
        try:
            return policy(act)
        finally:
            self._inside.patience = before

    def _say(self, state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        self._log.debug(
            "board.retry",
            attempt=state.attempt_number,
            wait_s=round(state.upcoming_sleep, 1),
            error=str(error),
        )

    def _send(
        self,
        purpose: str,
        method: str,
        path: str,
        query: Mapping[str, Any] | None,
        body: Mapping[str, Any] | None,
        write: bool,
    ) -> dict[str, Any]:
        what = f"{method} /v1/{path}"
        begun = time.monotonic()
        status, seen = "lost", ""
        try:
            answer = self._client.request(
                path,
                method,
                query=dict(query) if query else None,
                body=dict(body) if body is not None else None,
            )
            status = "200"
        except HTTPResponseError as error:
            status, seen = str(error.status), answers.request_id(error.headers, error.body)
            raise self._refusal(what, write, error) from error
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            status = "unsent"
            raise answers.not_sent(what, error) from error
        except RequestTimeoutError as error:
            if isinstance(error.__context__, httpx.ConnectTimeout | httpx.PoolTimeout):
                status = "unsent"
                raise answers.not_sent(what, error) from error
            raise answers.lost(what, write, error) from error
        except (httpx.HTTPError, NotionClientErrorBase) as error:
            raise answers.lost(what, write, error) from error
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise answers.no_json(what, write, 200, getattr(error, "doc", "")) from error
        finally:
            self._note(purpose, what, status, time.monotonic() - begun, seen)
        if not isinstance(answer, dict):
            raise answers.no_json(what, write, 200, str(answer))
        return answer

    def _refusal(self, what: str, write: bool, error: HTTPResponseError) -> HandoffdError:
        found = answers.meaning(
            what=what,
            write=write,
            status=error.status,
            headers=error.headers,
            body=error.body,
            now=self._clock(),
        )
        if error.status in (429, 529) and isinstance(found, TransientError) and found.retry_after:
            self.budget.close_for(found.retry_after)
        return found

    def _note(self, purpose: str, what: str, status: str, seconds: float, request_id: str) -> None:
        with self._count_lock:
            self._count[purpose] += 1
        if status != "200":
            self._log.info(
                "board.call_failed",
                call=what,
                purpose=purpose,
                status=status,
                request_id=request_id,
                seconds=round(seconds, 3),
            )
        if self._on_call is not None:
            self._on_call(purpose, status, seconds)
