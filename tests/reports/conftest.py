"""A room on a temporary folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.reports import ReportRoom


def link(run: str, folder: Path) -> str:
    return f"http://127.0.0.1:8787/runs/{run}/report"


@pytest.fixture
def make_room(tmp_path: Path) -> Callable[..., ReportRoom]:
    def make(**more: Path) -> ReportRoom:
        return ReportRoom(tmp_path / "reports", link_for=link, **more)

    return make


@pytest.fixture
def room(make_room: Callable[..., ReportRoom]) -> ReportRoom:
    return make_room()
