"""A tasks database on a real local board over HTTP, behind a relay that breaks calls by rule."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from daemon.board import NotionBoard, transport
from daemon.board.pins import PinFile
from daemon.board.setup import create_tasks_database
from daemon.cli.app import run
from daemon.core import ids
from daemon.core.claim import Claim
from daemon.local_board import DEFAULT_ROOT_PAGE, BoardConfig
from daemon.local_board.server import BoardServer
from daemon.settings.model import BoardSettings
from tests.board.relay import Relay

TOKEN = "ntn_local_test_token"

Words = Callable[..., tuple[int, str, str]]
"""A command line → exit code, output, errors."""


@pytest.fixture(scope="module")
def local_board() -> Iterator[BoardServer]:
    """One server for the tests of a file; each makes a database of its own."""
    with BoardServer(BoardConfig(db=":memory:", token=TOKEN)) as server:
        yield server


@dataclass
class Hand:
    """A person with the same API: edits behind the daemon's back, without the daemon's client."""

    url: str
    http: httpx.Client

    def __call__(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        response = self.http.request(method, f"{self.url}/v1/{path}", json=body)
        response.raise_for_status()
        answer: dict[str, Any] = response.json()
        return answer

    def edit(self, task_id: str, **properties: Any) -> None:
        """Set properties by name (underscores are spaces): ``Status="Cancelled"`` or a whole value."""
        made = {}
        for name, value in properties.items():
            made[name.replace("_", " ")] = {"status": {"name": value}} if name == "Status" else value
        self("PATCH", f"pages/{task_id}", {"properties": made})


@dataclass
class Bench:
    """A fresh tasks database and what is needed to work on it."""

    relay: Relay
    hand: Hand
    database: str
    source: str
    stop: threading.Event = field(default_factory=threading.Event)
    clock: list[float] = field(default_factory=lambda: [time.time()])
    made: list[NotionBoard] = field(default_factory=list)
    oncalls: list[tuple[str, str, float]] = field(default_factory=list)

    def board(self, *, on_drift: Any = None, pins: PinFile | None = None, **settings: Any) -> NotionBoard:
        """A client whose calls go through the relay."""
        options: dict[str, Any] = {
            "base_url": self.relay.url,
            "database_id": self.database,
            "timeout": 3.0,
            "give_up": 6.0,
            "rate_limit": 10_000,
            **settings,
        }
        made = NotionBoard(
            BoardSettings(**options),
            TOKEN,
            clock=lambda: self.clock[0],
            stop=self.stop,
            log=structlog.get_logger(),
            on_call=lambda *call: self.oncalls.append(call),
            on_drift=on_drift,
            pins=pins,
        )
        self.made.append(made)
        return made

    def row(self, title: str = "A task", status: str = "Ready", **properties: Any) -> str:
        """A row made by a person; returns its id."""
        body = {
            "Task Name": {"title": [{"text": {"content": title}}]},
            "Status": {"status": {"name": status}},
            **{name.replace("_", " "): value for name, value in properties.items()},
        }
        parent = {"type": "data_source_id", "data_source_id": ids.dashed(self.source)}
        return ids.normalise(self.hand("POST", "pages", {"parent": parent, "properties": body})["id"])

    def schema(self, **properties: Any) -> None:
        """Change the schema as a person would."""
        self.hand(
            "PATCH",
            f"data_sources/{self.source}",
            {"properties": {k.replace("_", " "): v for k, v in properties.items()}},
        )

    def pass_time(self, seconds: int) -> None:
        """Let the board's clock go on."""
        body = {"advance_ms": seconds * 1000}
        self.hand.http.post(f"{self.hand.url}/_board/clock", json=body).raise_for_status()

    def fault(self, kind: str, **rule: Any) -> int:
        """A fault of the board's own: what it does to the calls that match (daemon/local_board/faults.py)."""
        made = self.hand.http.post(f"{self.hand.url}/_board/faults", json={"kind": kind, **rule})
        made.raise_for_status()
        return int(made.json()["id"])

    def later(self, seconds: float = 60.0) -> None:
        """Let the client's clock go on, so that what it saw is old."""
        self.clock[0] += seconds


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same policy with shorter first waits."""
    monkeypatch.setattr(transport, "FIRST_WAIT_S", 0.05)


@pytest.fixture
def bench(local_board: BoardServer) -> Iterator[Bench]:
    http = httpx.Client(
        trust_env=False,
        timeout=20,
        verify=False,  # plain http: no CA bundle to load
        headers={"Authorization": f"Bearer {TOKEN}", "Notion-Version": "2025-09-03"},
    )
    hand = Hand(local_board.url, http)
    parent = hand(
        "POST",
        "pages",
        {
            "parent": {"page_id": DEFAULT_ROOT_PAGE},
            "properties": {"title": {"title": [{"text": {"content": "A test"}}]}},
        },
    )
    relay = Relay(local_board.url)
    made = Bench(relay=relay, hand=hand, database="", source="")
    made.database, made.source = create_tasks_database(made.board().transport, parent["id"])
    relay.forget()
    yield made
    http.request("DELETE", f"{local_board.url}/_board/faults").raise_for_status()
    for board in made.made:
        board.close()
    relay.close()
    http.close()


def text(value: str) -> dict[str, Any]:
    """A rich-text value as a person writes it."""
    return {"rich_text": [{"text": {"content": value}}]}


def claim(generation: int = 1, owner: str = "store1/host", nonce: str = "abcd1234", lease: int = 1) -> Claim:
    """A claim as the tick makes it."""
    return Claim(owner=owner, generation=generation, nonce=nonce, lease_until_ms=lease)


@pytest.fixture
def cli(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Words:
    """handoffd on a home folder of its own, with a token, against the board behind the relay."""
    for name in ("HANDOFFD_CONFIG", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HANDOFFD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NOTION_TOKEN", TOKEN)
    monkeypatch.setenv("HANDOFFD_BOARD__BASE_URL", bench.relay.url)
    monkeypatch.setenv("HANDOFFD_WEB__PORT", "0")

    def call(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run(list(words))
        out, err = capsys.readouterr()
        return code, out, err

    return call
