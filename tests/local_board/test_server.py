"""The server around the board: restarts, threads at once, size limits of memory and time, silence."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from daemon.local_board import BoardConfig
from daemon.local_board.board import Board, Call
from daemon.local_board.server import BoardServer
from tests.local_board.conftest import ROOT, TOKEN, make_client, make_page, make_source, text

HEADERS = {"Authorization": f"Bearer {TOKEN}", "Notion-Version": "2025-09-03"}


def test_a_restart_keeps_everything_and_makes_fresh_ids(tmp_path: Path) -> None:
    config = BoardConfig(db=tmp_path / "board.db", token=TOKEN, seed=1)
    ids: set[str] = set()
    source = ""
    for _ in range(3):
        with BoardServer(config) as server:
            client = make_client(server.url)
            source = source or make_source(client, {"Name": {"title": {}}, "P": {"select": {}}})
            page = make_page(client, source, {"P": {"select": {"name": f"option {len(ids)}"}}})
            assert page["id"] not in ids
            ids.add(page["id"])
            assert {row["id"] for row in client.data_sources.query(source)["results"]} == ids
            client.close()


def test_threads_at_once_lose_nothing(tmp_path: Path) -> None:
    with BoardServer(BoardConfig(db=tmp_path / "board.db", token=TOKEN)) as server:
        client = make_client(server.url)
        source = make_source(client, {"Name": {"title": {}}, "P": {"select": {}}, "ID": {"unique_id": {}}})
        failures: list[str] = []

        def work(name: str) -> None:
            with httpx.Client(base_url=server.url, headers=HEADERS, trust_env=False) as raw:
                for number in range(15):
                    properties = {
                        "Name": {"title": text(name)},
                        "P": {"select": {"name": f"{name}{number % 3}"}},
                    }
                    made = raw.post(
                        "/v1/pages", json={"parent": {"data_source_id": source}, "properties": properties}
                    )
                    asked = raw.post(f"/v1/data_sources/{source}/query", json={"page_size": 5})
                    failures.extend(answer.text for answer in (made, asked) if answer.status_code != 200)

        threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        rows = client.data_sources.query(source)["results"]
        numbers = sorted(row["properties"]["ID"]["unique_id"]["number"] for row in rows)
        assert numbers == list(range(1, 61))
        options = client.data_sources.retrieve(source)["properties"]["P"]["select"]["options"]
        assert len(options) == len({option["name"] for option in options}) == 12
        client.close()


def test_a_refused_write_leaves_nothing(tmp_path: Path) -> None:
    with BoardServer(BoardConfig(db=tmp_path / "board.db", token=TOKEN)) as server:
        client = make_client(server.url)
        source = make_source(client, {"Name": {"title": {}}, "P": {"select": {}}, "S": {"status": {}}})
        body = {"P": {"select": {"name": "made on the way"}}, "S": {"status": {"name": "nope"}}}
        with httpx.Client(base_url=server.url, headers=HEADERS, trust_env=False) as raw:
            given = {"parent": {"data_source_id": source}, "properties": body}
            assert raw.post("/v1/pages", json=given).status_code == 400
        assert client.data_sources.retrieve(source)["properties"]["P"]["select"]["options"] == []
        made = make_page(client, source, {"P": {"select": {"name": "other"}}})
        assert made["properties"]["P"]["select"]["name"] == "other"
        client.close()


@pytest.mark.parametrize("rows", [20_000])
def test_a_filtered_sorted_query_is_quick(rows: int, tmp_path: Path) -> None:
    """A fifth of the promised size, in processor time: what others do on the machine is no finding.

    The promise itself (100,000 pages, 50 ms) is measured by benchmarks/bench_local_board.py.
    """
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    try:
        import bench_local_board as bench
    finally:
        sys.path.pop(0)
    path = tmp_path / "board.db"
    board = Board(BoardConfig(db=path, token=TOKEN, seed=1))
    source = bench.fill(board, rows)
    board.close()
    with (
        BoardServer(BoardConfig(db=path, token=TOKEN)) as server,
        httpx.Client(base_url=server.url, headers=HEADERS, trust_env=False) as raw,
    ):
        body = bench.queries()["query: status, 4 sorts, 100 rows"]
        times = []
        for _ in range(9):
            begin = time.process_time()
            answer = raw.post(f"/v1/data_sources/{source}/query", json=body)
            times.append(time.process_time() - begin)
            assert len(answer.json()["results"]) == 100
        assert sorted(times)[len(times) // 2] < 0.6


def test_option_indexes_hold_what_rows_are_sorted_by(tmp_path: Path) -> None:
    """Through added, retyped and deleted properties: rows of one option are found and ordered in it."""
    path = tmp_path / "board.db"
    with BoardServer(BoardConfig(db=path, token=TOKEN)) as server:
        client = make_client(server.url)
        options = {"options": [{"name": "a"}, {"name": "b"}]}
        source = make_source(client, {"Name": {"title": {}}, "S": {"select": options}, "N": {"number": {}}})

        def held() -> list[str]:
            with closing(sqlite3.connect(path)) as db:
                rows = db.execute(
                    "SELECT sql FROM sqlite_master WHERE type = 'index' AND name GLOB 'rows_*_o'"
                )
                return [row[0].partition("(")[2].rstrip(")") for row in rows]

        assert held() == ["c2_o, c3_n, created, trash"]
        client.data_sources.update(source, properties={"D": {"date": {}}, "P": {"select": options}})
        assert held() == [
            "c2_o, c3_n, c4_a, c4_z, c5_o, created, trash",
            "c5_o, c2_o, c3_n, c4_a, c4_z, created, trash",
        ]
        for number, day in ((1, "2026-03-01"), (2, "2026-01-01"), (3, "2026-02-01")):
            made = {"S": {"select": {"name": "a"}}, "N": {"number": number}, "D": {"date": {"start": day}}}
            make_page(client, source, made)
        by_date = {"property": "S", "select": {"equals": "a"}}
        sorts = [{"property": "D", "direction": "ascending"}]

        def order() -> list[int]:
            found = client.data_sources.query(source, filter=by_date, sorts=sorts)["results"]
            return [row["properties"]["N"]["number"] for row in found]

        assert order() == [2, 3, 1]
        client.data_sources.update(source, properties={"P": None})
        assert held() == ["c2_o, c3_n, c4_a, c4_z, created, trash"]
        assert order() == [2, 3, 1]
        client.data_sources.update(source, properties={"D": {"rich_text": {}}})
        assert held() == ["c2_o, c3_n, created, trash"]
        assert sorted(order()) == [1, 2, 3]
        client.data_sources.update(source, properties={"S": {"number": {}}})
        assert held() == []
        client.close()


def test_importing_the_package_is_cheap() -> None:
    heavy = ("uvicorn", "starlette", "sqlite3")
    code = f"import daemon.local_board, sys; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_nothing_is_printed() -> None:
    code = """
from daemon.local_board import BoardConfig
from daemon.local_board.server import BoardServer
import urllib.request, urllib.error
with BoardServer(BoardConfig(db=":memory:", token="x" * 20)) as server:
    for path in ("/v1/users/me", "/v1/nope", "/"):
        try:
            urllib.request.urlopen(server.url + path)
        except urllib.error.HTTPError as error:
            assert error.code in (400, 401), error.code
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (out.stdout, out.stderr) == ("", "")


def test_a_bad_root_page_or_token_fails_early() -> None:
    for wrong in ({"token": "x", "root_page": "nope"}, {"token": ""}):
        with pytest.raises(ValueError, match=r"root_page|token"):
            Board(BoardConfig(db=":memory:", **wrong))


def test_recorded_request_with_served_members(tmp_path: Path) -> None:
    """ultimate-notion sends blocks with the members that answers carry; the service takes them (recorded)."""
    run: dict[str, Any] = {
        "type": "text",
        "plain_text": "x",
        "annotations": {"bold": False},
        "text": {"content": "x"},
    }
    body = {"rich_text": [run], "color": "default", "children": []}
    block = {
        "object": "block",
        "has_children": False,
        "in_trash": False,
        "archived": False,
        "type": "paragraph",
    }
    with BoardServer(BoardConfig(db=":memory:", token=TOKEN)) as server:
        client = make_client(server.url)
        made = client.blocks.children.append(ROOT, children=[{**block, "paragraph": body}])["results"][0]
        assert list(made["paragraph"]) == ["rich_text", "icon", "color"]
        client.close()


def test_calls_can_be_made_without_http() -> None:
    """The simulator may use a board in its own process."""
    from daemon.local_board import users

    board = Board(BoardConfig(db=":memory:", token=TOKEN))
    with board.store.read() as db:
        call = Call(board=board, db=db, version="2026-03-11", now=0, actor=board.bot_id, base_url="")
        assert users.me(call)["type"] == "bot"
    board.close()


def test_a_taken_port_is_told(tmp_path: Path) -> None:
    with BoardServer(BoardConfig(db=":memory:", token=TOKEN)) as server:
        second = BoardServer(BoardConfig(db=tmp_path / "b.db", token=TOKEN), port=server.port)
        with pytest.raises(OSError, match="in use"):
            second.start()
        second.stop()
