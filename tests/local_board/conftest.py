"""Real servers over real HTTP; nothing of the board is mocked."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from notion_client import Client

from daemon.local_board import DEFAULT_ROOT_PAGE, BoardConfig
from daemon.local_board.server import BoardServer

TOKEN = "secret-of-the-tests"
ROOT = DEFAULT_ROOT_PAGE
NOW = datetime(2026, 6, 27, 17, 1, 15, 377000, tzinfo=UTC)
"""The moment at which most of the recorded queries were made."""


def make_client(url: str, version: str = "2025-09-03", token: str = TOKEN) -> Client:
    """The official client with its own retry off."""
    logger = logging.getLogger("tests.local_board")
    logger.setLevel(logging.CRITICAL)
    return Client(auth=token, base_url=url, retry=False, logger=logger, notion_version=version)


@pytest.fixture
def server() -> Iterator[BoardServer]:
    """A board of its own in memory, with the machine's clock."""
    with BoardServer(BoardConfig(db=":memory:", token=TOKEN, seed=7)) as running:
        yield running


@pytest.fixture
def client(server: BoardServer) -> Iterator[Client]:
    """notion-client on that board."""
    made = make_client(server.url)
    yield made
    made.close()


@pytest.fixture
def raw(server: BoardServer) -> Iterator[httpx.Client]:
    """Plain HTTP with the right headers, for what the client would not send."""
    headers = {"Authorization": f"Bearer {TOKEN}", "Notion-Version": "2025-09-03"}
    with httpx.Client(base_url=server.url, headers=headers, trust_env=False) as plain:
        yield plain


def text(content: str) -> list[dict[str, Any]]:
    """Rich text with one run."""
    return [{"text": {"content": content}}]


def make_source(client: Client, properties: dict[str, Any], title: str = "Things") -> str:
    """A database with one data source; returns the data source's id."""
    database = client.databases.create(
        parent={"type": "page_id", "page_id": ROOT},
        title=text(title),
        initial_data_source={"properties": properties},
    )
    source: str = database["data_sources"][0]["id"]
    return source


def make_page(client: Client, source: str, properties: dict[str, Any]) -> dict[str, Any]:
    """A row."""
    page: dict[str, Any] = client.pages.create(
        parent={"type": "data_source_id", "data_source_id": source}, properties=properties
    )
    return page
