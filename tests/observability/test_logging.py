"""What a log line looks like, and what never gets into one. Each case is a process of its own: logging is
global state."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from daemon.observability.events import TABLE

CANARY = "canary-4711-value"


def run(body: str, *, format: str = "json", env: dict[str, str] | None = None) -> str:  # noqa: A002 - the setting
    program = f"""
import logging as std, sys
from daemon.observability import logging
from daemon.settings import Redactor
counted = []
logging.configure(format={format!r}, redactor=Redactor([{CANARY!r}]), on_level=counted.append)
log = logging.get_logger()
{body}
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **(env or {})},
        cwd=Path(__file__).parents[2],
    )
    assert done.stderr == ""
    return done.stdout


def lines(body: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run(body).splitlines()]


def test_one_json_line_an_event_with_the_ids_that_are_bound() -> None:
    (line,) = lines("""
with logging.bind(run_id="r1", handler="report"):
    log.info("task.finished", outcome="done", seconds=1.5)
""")
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "info",
        "event": "task.finished",
        "run_id": "r1",
        "handler": "report",
        "outcome": "done",
        "seconds": 1.5,
    }


def test_secrets_are_out_by_value_by_key_and_by_pattern_in_every_kind_of_line() -> None:
    out = run(f"""
log.info("a.b", text="x {CANARY} y", nested={{"l": ["{CANARY}"]}}, web_token="hunter2")
log.info("a.b", auth="Bearer abcdefgh")
std.getLogger("httpx").warning("GET https://x/?access_token=abcdefgh %s", "{CANARY}")
try:
    password = "{CANARY}"
    raise ValueError("bad {CANARY}")
except ValueError:
    log.exception("task.raised")
import warnings; warnings.warn("{CANARY}")
""")
    assert CANARY not in out
    assert "hunter2" not in out
    assert "abcdefgh" not in out
    assert out.count("***") >= 7
    assert "Traceback (most recent call last)" in out


def test_a_title_can_not_forge_a_line_or_turn_the_text_around() -> None:
    out = run('log.info("a.b", title="x\\n{\\"event\\": \\"fake\\"}\\x1b[31m\\u202e end")')
    assert len(out.splitlines()) == 1
    assert "\x1b" not in out
    assert "\u202e" not in json.loads(out)["title"]
    assert "\\u202e end" in json.loads(out)["title"]


def test_libraries_are_heard_from_warning_on_and_once() -> None:
    found = lines("""
for name in ("httpx", "apscheduler.scheduler", "dbos", "uvicorn.error"):
    std.getLogger(name).info("chatter")
    std.getLogger(name).warning("trouble")
""")
    assert [(line["logger"], line["event"]) for line in found] == [
        (name, "trouble") for name in ("httpx", "apscheduler.scheduler", "dbos", "uvicorn.error")
    ]


def test_dbos_adds_no_handler_of_its_own_whichever_comes_first() -> None:
    found = lines("""
from dbos._logger import init_logger
init_logger()
std.getLogger("dbos").warning("one")
logging.configure(format="json")
init_logger()
std.getLogger("dbos").warning("two")
""")
    assert [line["event"] for line in found] == ["one", "two"]


def test_levels_are_filtered_and_counted() -> None:
    out = run('log.debug("a.b"); log.info("c.d"); log.error("e.f"); print(counted)')
    assert out.splitlines()[-1] == "['info', 'error']"


def test_the_journals_prefix_stands_before_each_line_only_below_the_journal(tmp_path: Path) -> None:
    program = """
import logging as std
from daemon.observability import logging
logging.configure()
log = logging.get_logger()
log.error("a.b")
log.info("c.d")
"""
    file = tmp_path / "out"
    for prefixed in (True, False):
        with file.open("wb") as out:
            stat = os.fstat(out.fileno())
            name = f"{stat.st_dev}:{stat.st_ino}" if prefixed else f"{stat.st_dev}:1"
            subprocess.run(
                [sys.executable, "-c", program],
                stdout=out,
                check=True,
                env={**os.environ, "JOURNAL_STREAM": name},
                cwd=Path(__file__).parents[2],
            )
        first, second = file.read_text().splitlines()
        assert (first.startswith("<3>{"), second.startswith("<6>{")) == (prefixed, prefixed)
        json.loads(first.removeprefix("<3>"))


def test_console_text_has_no_colour_off_a_terminal_and_no_values_of_variables() -> None:
    out = run(
        f"""
try:
    local = "{CANARY[:4]}" + "local-value"
    1 / 0
except ZeroDivisionError:
    log.exception("task.raised", run_id="r")
""",
        format="console",
    )
    assert "task.raised" in out
    assert "ZeroDivisionError" in out
    assert "\x1b" not in out
    assert "canalocal-value" not in out


def test_a_terminal_has_the_gates_in_short_and_a_program_has_them_all() -> None:
    line = 'log.info("task.finished", gates={"a": "passed", "b": "unknown", "c": "not_applicable"})'
    assert "gates=1 of 2 passed, b unknown" in run(line, format="console").replace("'", "")
    assert '"gates":{"a":"passed","b":"unknown","c":"not_applicable"}' in run(line, format="json")


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_event_names_have_one_form(row: Any) -> None:
    what, dot, happened = row.name.partition(".")
    assert dot and what.isalpha() and happened.replace("_", "").isalpha() and row.name.islower()
    assert row.level in ("debug", "info", "warning", "error")
