"""docs/board-conformance.md against the code: no endpoint left out or made up, no named test missing."""

from __future__ import annotations

import re
from pathlib import Path

from daemon.local_board.routes import ROUTES

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "docs" / "board-conformance.md").read_text(encoding="utf-8")
ENDPOINT = re.compile(r"`((?:GET|POST|PATCH|DELETE) /v1/[^`]+)`")
TEST = re.compile(r"`(test_\w+)(?:::(test_\w+))?`")


def rows() -> list[list[str]]:
    """The cells of the table of endpoints."""
    table = PAGE.partition("## Endpoints")[2].partition("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_every_endpoint_is_told_and_no_other() -> None:
    served = sorted(f"{route.method} /v1/" + re.sub(r"\{\w+\}", "{id}", route.template) for route in ROUTES)
    assert sorted(name for row in rows() for name in ENDPOINT.findall(row[0])) == served


def test_every_endpoint_has_a_test() -> None:
    assert [row[0] for row in rows() if not TEST.search(row[-1])] == []


def test_every_named_test_is_there() -> None:
    named = set(TEST.findall(PAGE))
    assert len(named) > 20
    for module, function in sorted(named):
        file = HERE / f"{module}.py"
        assert file.is_file(), module
        if function:
            assert f"def {function}(" in file.read_text(encoding="utf-8"), f"{module}::{function}"
