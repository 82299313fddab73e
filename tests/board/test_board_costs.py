"""What the board costs in calls, measured; docs/board.md has these numbers in its table."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import structlog

from daemon.board import NotionBoard
from daemon.board.budget import Budget
from daemon.board.setup import create_tasks_database
from daemon.core.ports import PageWrite
from daemon.core.status import Status
from daemon.local_board import DEFAULT_ROOT_PAGE, BoardConfig
from daemon.local_board.server import BoardServer
from daemon.settings.model import BoardSettings
from tests.board.conftest import TOKEN, Bench, claim, text

LIMIT = 180
BULK = 1_000
STUCK_S = 5.0
"""Real seconds; far more than a call takes on a busy machine. A call that the time ran away from would count
in a later window of the service than it was meant for."""
SHARED = 270
"""Tasks that four threads work off together: four windows of the service."""


def test_an_idle_hour_costs_no_more_than_130_calls(bench: Bench) -> None:
    """A look each 30 s, as the default has it, on a board where nothing is to be done."""
    board = bench.board()
    board.open()
    for _ in range(120):
        assert board.look() == []
        bench.later(30)
    calls = board.calls()
    assert calls["look"] == 120
    assert sum(calls.values()) == len(bench.relay.calls) == 126
    assert Counter(purpose for purpose, _, _ in bench.oncalls)["look"] == 120
    assert board.waited() < 1.0


def test_a_short_task_costs_two_calls_and_a_long_one_three(bench: Bench) -> None:
    for title in ("short", "long"):
        bench.row(title=title)
    board = bench.board()
    short, long = board.look()
    for task, pause, wanted in ((short, 0.0, 2), (long, 600.0, 3)):
        bench.relay.forget()
        board.claim(task, claim(), 1)
        bench.later(pause)
        board.write(task.id, claim(), PageWrite(status=Status.COMPLETED, result="r", claim=claim(lease=0)))
        assert len(bench.relay.calls) == wanted


def test_a_task_with_a_report_costs_three_calls(bench: Bench) -> None:
    """Claim, section, finish: nobody looks for an older section on a page that no attempt has touched."""
    bench.row()
    board = bench.board()
    (task,) = board.look()
    bench.relay.forget()
    held = claim(lease=int((bench.clock[0] + 900) * 1000))
    board.claim(task, held, 1)
    board.section(task.id, f"{task.id}.g1", "## Report\n\ntext")
    end = PageWrite(status=Status.COMPLETED, result="r", claim=claim(lease=0))
    board.write(task.id, held, end)
    assert bench.relay.paths() == ["PATCH /v1/pages/*", "PATCH /v1/blocks/*/children", "PATCH /v1/pages/*"]
    assert Counter(purpose for purpose, _, _ in bench.oncalls[-3:]) == {"claim": 1, "section": 1, "finish": 1}


def test_an_older_section_is_looked_for_wherever_one_could_be(bench: Bench) -> None:
    """A lost answer, a second call, an ended lease, an earlier attempt, another claim: one call more."""
    lease = int((bench.clock[0] + 900) * 1000)
    other = claim(2, owner="store2/b", nonce="theirs12", lease=lease)
    for case in ("lost", "twice", "lapsed", "worked on before", "taken over"):
        row = bench.row(title=case)
        if case == "worked on before":
            bench.hand.edit(row, Attempts={"number": 1})
        board = bench.board()
        (task,) = (t for t in board.look() if t.id == row)
        board.claim(task, claim(lease=lease), 1)
        if case == "lost":
            bench.relay.rule("PATCH", "/children", after=True, status=504)
        if case == "twice":
            board.section(row, f"{row}.g1", "text")
        if case == "lapsed":
            bench.later(901)
        if case == "taken over":
            bench.hand.edit(row, Claim=text(other.text()))
            bench.later(1)
            board.look()
        bench.relay.forget()
        board.section(row, f"{row}.g1", "text")
        assert "GET /v1/blocks/*/children" in bench.relay.paths(), case
        shown = bench.hand("GET", f"blocks/{row}/children")["results"]
        assert [b["type"] for b in shown] == ["callout"], case


class Virtual:
    """One time for both sides: the client's waits move the service's window too. It moves only when every
    thread that takes part waits, to the moment when the first of them wakes: no call takes any time."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0
        self._change = threading.Condition()
        self._parts = 1
        self._wakes: list[float] = []

    def read(self) -> float:
        with self._change:
            return self.now

    def pause(self, seconds: float) -> None:
        with self._change:
            wake = self.now + seconds
            self._wakes.append(wake)
            self._move()
            while not self._change.wait_for(lambda: self.now >= wake, timeout=STUCK_S):
                # One thread waits for another's page lock, which is no wait of this clock.
                self._move(among=1)
            self._wakes.remove(wake)

    def join(self, parts: int) -> None:
        """That many threads more (or less) take part."""
        with self._change:
            self._parts += parts
            self._move()

    def _move(self, among: int = 0) -> None:
        ahead = [wake for wake in self._wakes if wake > self.now]
        if ahead and len(ahead) >= (among or self._parts):
            self.now = min(ahead)
            self._change.notify_all()

    def aware(self) -> datetime:
        return datetime.fromtimestamp(self.read(), UTC)


@pytest.fixture
def closing() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def limited() -> Iterator[tuple[BoardServer, Virtual]]:
    time = Virtual()
    config = BoardConfig(db=":memory:", token=TOKEN, rate_limit=LIMIT, now=time.aware)
    with BoardServer(config) as server:
        yield server, time


def client(server: BoardServer, time: Virtual, database: str, seen: list[str], **hooks: Any) -> NotionBoard:
    made = NotionBoard(
        BoardSettings(base_url=server.url, database_id=database, rate_limit=LIMIT),
        TOKEN,
        clock=time.read,
        stop=threading.Event(),
        log=structlog.get_logger(),
        on_call=lambda _purpose, status, _seconds: seen.append(status),
        **hooks,
    )
    made.transport.budget = Budget(LIMIT, monotonic=time.read, pause=time.pause)
    return made


def filled(server: BoardServer, time: Virtual, rows: int = BULK) -> str:
    """A tasks database with Ready rows, made by a person who minds the limit."""
    maker = client(server, time, "", [])
    database, source = create_tasks_database(maker.transport, DEFAULT_ROOT_PAGE)
    maker.close()
    headers = {"Authorization": f"Bearer {TOKEN}", "Notion-Version": "2025-09-03"}
    with httpx.Client(trust_env=False, verify=False, headers=headers, timeout=20) as http:
        for number in range(rows):
            if number % 150 == 0:
                time.pause(120.0)
            body = {
                "parent": {"type": "data_source_id", "data_source_id": source},
                "properties": {
                    "Task Name": {"title": [{"text": {"content": f"task {number}"}}]},
                    "Status": {"status": {"name": "Ready"}},
                },
            }
            http.post(f"{server.url}/v1/pages", json=body).raise_for_status()
    time.pause(120.0)
    return database


def test_a_bulk_of_1000_is_read_in_10_calls_and_worked_off_at_the_limits_pace(
    limited: tuple[BoardServer, Virtual], closing: ExitStack
) -> None:
    server, time = limited
    seen: list[str] = []
    waits: list[float] = []
    board = client(server, time, filled(server, time), seen, on_wait=waits.append)
    closing.callback(board.close)
    board.open()
    seen.clear()
    tasks = board.look()
    assert len({task.id for task in tasks}) == BULK
    assert seen == ["200"] * 10
    begun = time.read()
    for task in tasks:
        board.claim(task, claim(), 1)
        board.write(task.id, claim(), PageWrite(status=Status.COMPLETED, claim=claim(lease=0)))
    seconds = time.read() - begun
    assert set(seen) == {"200"}  # not one 429
    calls = len(seen) - 10
    # What the look showed is old after the first window: those pages are read before they are claimed.
    assert 2 * BULK <= calls <= 3 * BULK
    windows = (calls + 12) / LIMIT  # 12 calls had gone into the first window
    assert (windows - 1) * 60 <= seconds <= (windows + 1) * 62
    assert board.waited() == pytest.approx(sum(waits))
    assert board.waited() == pytest.approx(seconds, abs=2)


def test_four_threads_and_the_looks_share_the_limit(
    limited: tuple[BoardServer, Virtual], closing: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bulk is worked off by four at once, as fast as the limit lets them, with a look every 30 s between:
    no 429, each thread gets its part, and no look waits longer than a window and a half."""
    server, time = limited
    seen: list[str] = []
    monkeypatch.setattr("daemon.board.session.PAGE_LOCKS", 4096)  # two tasks share one less often
    board = client(server, time, filled(server, time, SHARED), seen)
    closing.callback(board.close)
    board.open()
    tasks = deque(board.look())
    shares: Counter[str] = Counter()
    failed: list[BaseException] = []
    begun = time.read()

    def work() -> None:
        try:
            while True:
                try:
                    task = tasks.popleft()
                except IndexError:
                    return
                board.claim(task, claim(), 1)
                board.write(task.id, claim(), PageWrite(status=Status.COMPLETED, claim=claim(lease=0)))
                shares[threading.current_thread().name] += 1
        except BaseException as error:
            failed.append(error)
        finally:
            time.join(-1)

    threads = [threading.Thread(target=work, name=f"run {n}") for n in range(4)]
    time.join(len(threads))
    for thread in threads:
        thread.start()
    waits: list[float] = []
    while any(thread.is_alive() for thread in threads):
        time.pause(30.0)
        asked = time.read()
        board.look()
        waits.append(time.read() - asked)
    assert failed == []
    assert set(seen) == {"200"}  # not one 429
    assert sum(shares.values()) == SHARED
    assert max(shares.values()) <= 2 * min(shares.values())
    assert len(waits) >= 3
    assert max(waits) <= 92.0, waits
    windows = len(seen) / LIMIT
    assert time.read() - begun <= (windows + 1) * 62
