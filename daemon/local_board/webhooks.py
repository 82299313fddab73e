"""Webhooks: a handshake, then signed events with up to eight attempts.

Deliveries are written in the transaction of the change they tell of, so a change that is kept is told even
when the process dies in between.  The service gathers events for up to minutes; here each change is told
at once.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import logging
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from daemon.local_board.errors import validation
from daemon.local_board.texts import WORKSPACE_NAME, dumps, loads
from daemon.local_board.times import precise

if TYPE_CHECKING:
    from daemon.local_board.board import Board, Call

ATTEMPTS = 8
"""Deliveries of one event before it is given up (documented)."""

RETRY_BASE_S = 30.0
"""Wait behind the first failure; it doubles each time.  The service spreads its eight over about 24 hours."""

DELIVERIES_KEPT = 5_000
"""Finished deliveries that are remembered, at least."""

TIMEOUT_S = 10.0
IDLE_S = 0.5
API_VERSION = "2026-03-11"

log = logging.getLogger("daemon.local_board.webhooks")


def sign(secret: str, body: bytes) -> str:
    """X-Notion-Signature: HMAC-SHA256 of the raw body, keyed with the verification token."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def post(url: str, body: bytes, headers: dict[str, str]) -> int:
    """POSTs and returns the status; OSError or HTTPException where there is no answer."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", target, body, {"content-type": "application/json", **headers})
        return connection.getresponse().status
    finally:
        connection.close()


class Webhooks:
    """Subscriptions of one board and the thread that delivers to them (started with the first
    subscription).
    """

    def __init__(self, board: Board) -> None:
        self.board = board
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        with board.store.read() as db:
            self._subscriptions = db.execute("SELECT * FROM subscription").fetchall()
        if self._subscriptions:
            self._run()

    def subscribe(self, url: str, events: list[str], retry_base: float) -> dict[str, Any]:
        """Makes a subscription: sends the verification token to the URL and, once that was taken, counts as
        verified.

        On the service a person pastes the token into a form; here the answer holds it.
        """
        if urlsplit(url).scheme not in ("http", "https"):
            raise validation("url should be an http or https URL.")
        secret = "secret_" + hashlib.sha256(self.board.ids.uuid4().encode()).hexdigest()[:43]
        identifier = self.board.ids.uuid4()
        body = dumps({"verification_token": secret}).encode()
        try:
            status = post(url, body, {})
        except (OSError, http.client.HTTPException) as error:
            raise validation(f"The handshake with {url} failed: {error}.") from None
        if not 200 <= status < 300:
            raise validation(f"The handshake with {url} failed: status {status}.")
        with self.board.store.write() as db:
            db.execute(
                "INSERT INTO subscription VALUES (?, ?, ?, 1, ?, ?)",
                (identifier, url, secret, dumps(events), retry_base),
            )
            self._subscriptions = db.execute("SELECT * FROM subscription").fetchall()
        self._run()
        return {"id": identifier, "url": url, "verification_token": secret, "events": events}

    def unsubscribe(self, identifier: str) -> int:
        """Removes a subscription with what was still to be delivered."""
        with self.board.store.write() as db:
            gone = db.execute("DELETE FROM subscription WHERE id = ?", (identifier,)).rowcount
            db.execute("DELETE FROM delivery WHERE subscription = ?", (identifier,))
            self._subscriptions = db.execute("SELECT * FROM subscription").fetchall()
        return gone

    def enqueue(self, call: Call, event: dict[str, Any]) -> None:
        """Writes the deliveries of an event, in the transaction of the change."""
        for subscription in self._subscriptions:
            wanted = loads(subscription["events"])
            if wanted and event["type"] not in wanted:
                continue
            if self.board.faults.take("lost_webhook", "POST", event["type"]):
                continue
            twice = self.board.faults.take("duplicate_webhook", "POST", event["type"]) is not None
            payload = self._payload(call, subscription["id"], event)
            for _ in range(2 if twice else 1):
                call.db.execute(
                    "INSERT INTO delivery(subscription, due, attempt, state, payload)"
                    " VALUES (?, ?, 1, 'due', ?)",
                    (subscription["id"], time.time(), dumps(payload)),
                )

    def _payload(self, call: Call, subscription: str, event: dict[str, Any]) -> dict[str, Any]:
        kind = "bot" if call.actor == self.board.bot_id else "person"
        return {
            "id": self.board.ids.uuid4(),
            "timestamp": precise(call.now).replace("+00:00", "Z"),
            "workspace_id": self.board.workspace_id,
            "workspace_name": WORKSPACE_NAME,
            "subscription_id": subscription,
            "integration_id": self.board.bot_id,
            "type": event["type"],
            "authors": [{"id": call.actor, "type": kind}],
            "attempt_number": 1,
            "api_version": API_VERSION,
            "entity": event["entity"],
            "data": event["data"],
        }

    def wake(self) -> None:
        """Looks at the queue now."""
        self._wake.set()

    def _run(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._deliver_forever, name="board-webhooks", daemon=True)
            self._thread.start()

    def _deliver_forever(self) -> None:
        while not self._stop.is_set():
            with self.board.store.read() as db:
                rows = db.execute(
                    "SELECT d.*, s.url, s.secret, s.retry_base FROM delivery d"
                    " JOIN subscription s ON s.id = d.subscription WHERE d.state = 'due' AND d.due <= ?"
                    " ORDER BY d.due, d.key LIMIT 50",
                    (time.time(),),
                ).fetchall()
            for row in rows:
                if self._stop.is_set():
                    return
                self._deliver(row)
            if not rows:
                self._wake.wait(IDLE_S)
                self._wake.clear()

    def _deliver(self, row: sqlite3.Row) -> None:
        payload = {**loads(row["payload"]), "attempt_number": row["attempt"]}
        body = dumps(payload).encode()
        try:
            status = post(row["url"], body, {"X-Notion-Signature": sign(row["secret"], body)})
            note, good = f"status {status}", 200 <= status < 300
        except (OSError, http.client.HTTPException) as error:
            note, good = f"{type(error).__name__}: {error}", False
        state, due, attempt = "done", row["due"], row["attempt"]
        if not good:
            log.info("webhook delivery failed: %s", note)
            state = "due" if attempt < ATTEMPTS else "failed"
            due = time.time() + row["retry_base"] * 2 ** (attempt - 1)
            attempt += int(attempt < ATTEMPTS)
        with self.board.store.write() as db:
            db.execute(
                "UPDATE delivery SET state = ?, due = ?, attempt = ?, note = ? WHERE key = ?",
                (state, due, attempt, note, row["key"]),
            )
            if row["key"] % DELIVERIES_KEPT == 0:
                db.execute(
                    "DELETE FROM delivery WHERE state <> 'due' AND key <= ?", (row["key"] - DELIVERIES_KEPT,)
                )

    def deliveries(self) -> list[dict[str, Any]]:
        """Every delivery with its state: due, done or failed."""
        with self.board.store.read() as db:
            rows = db.execute("SELECT * FROM delivery ORDER BY key").fetchall()
        return [
            {
                "event": loads(row["payload"])["id"],
                "type": loads(row["payload"])["type"],
                "subscription": row["subscription"],
                "attempt": row["attempt"],
                "state": row["state"],
                "note": row["note"],
            }
            for row in rows
        ]

    def subscriptions(self) -> list[dict[str, Any]]:
        """Every subscription, without its secret."""
        return [
            {"id": row["id"], "url": row["url"], "events": loads(row["events"])}
            for row in self._subscriptions
        ]

    def close(self) -> None:
        """Stops the thread."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=TIMEOUT_S + 1)
