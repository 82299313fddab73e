"""docs/board.md names tests for what it says: each of them exists, and each known pain has one."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "board.md").read_text(encoding="utf-8")
PAINS = 45


def written() -> set[str]:
    """Names of all test functions."""
    found: set[str] = set()
    for file in (ROOT / "tests").rglob("test_*.py"):
        found.update(
            re.findall(r"^(?:async )?def (test_\w+)\(", file.read_text(encoding="utf-8"), re.MULTILINE)
        )
    return found


def pain(name: str) -> int:
    """The number of the pain that a test is about; 0 = none."""
    number = re.match(r"test_pain_(\d+)_", name)
    return int(number[1]) if number else 0


def test_every_test_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+?)(?:\[[^`]*\])?`", PAGE))
    assert len(named) > 80
    assert named - written() - {path.stem for path in (ROOT / "tests").rglob("test_*.py")} == set()
    assert not re.findall(r"`test_[^`]*…", PAGE)


def test_each_pain_has_a_row_with_its_own_tests_and_all_of_them() -> None:
    rows = {
        int(n): set(re.findall(r"`(test_\w+)`", rest))
        for n, rest in re.findall(r"^\| (\d{1,2}) \|(.*)$", PAGE, re.M)
    }
    assert list(rows) == list(range(1, PAINS + 1))
    known = {n: {name for name in written() if pain(name) == n} for n in rows}
    assert rows == known
    assert all(known.values())
