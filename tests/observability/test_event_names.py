"""Every event that the daemon logs or records is in the table; every metric that it counts as well."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from daemon.observability.events import NAMES, TABLE
from daemon.observability.metrics import TABLE as METRICS

ROOT = Path(__file__).parents[2]
LOGGED = {"debug", "info", "warning", "error", "exception", "event"}
COUNTED = {"count", "set", "observe", "clear"}


def calls() -> Iterator[tuple[Path, ast.Call, str]]:
    """(file, call, method) of every method call in our code whose first argument is a text."""
    for folder in ("daemon", "handlers"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            if "local_board" in file.parts:  # a stranger by contract: its events are Notion's
                continue
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                    yield file, node, node.func.attr


def texts(node: ast.expr) -> list[str]:
    """The texts that an argument may be: a constant, either side of a condition."""
    if isinstance(node, ast.IfExp):
        return texts(node.body) + texts(node.orelse)
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []


def used_events() -> dict[str, str]:
    found = {}
    for file, call, method in calls():
        for text in texts(call.args[0]) if method in LOGGED else []:
            if "." in text and " " not in text and text.replace(".", "").replace("_", "").isalpha():
                found[text] = f"{file.relative_to(ROOT)}:{call.lineno}"
    return found


def test_every_event_is_in_the_table() -> None:
    used = used_events()
    assert len(used) > 10
    assert {name: where for name, where in used.items() if name not in NAMES} == {}


def test_no_name_is_in_the_table_twice() -> None:
    assert len(NAMES) == len(TABLE)


def test_every_metric_that_is_counted_is_in_the_table() -> None:
    known = {m.name.removeprefix("handoffd_") for m in METRICS}
    wrong = {}
    for file, call, method in calls():
        owner = call.func.value if isinstance(call.func, ast.Attribute) else None
        name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
        if method in COUNTED and name == "metrics":
            wrong |= {t: str(file) for t in texts(call.args[0]) if t not in known}
    assert wrong == {}
