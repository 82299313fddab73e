"""``handoffd simulate``: a user's settings some days ahead, and named scenarios."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from daemon.cli.app import run
from daemon.core.status import Status
from daemon.engine.registry import Registry
from daemon.settings.model import RunSettings, Settings
from daemon.simulate.forecast import because, forecast
from daemon.testing import sample_task

SETTINGS = """
[run]
concurrency = 1

[schedules.digest]
cron = "0 * * * *"
timezone = "UTC"
[schedules.digest.task]
title = "Hourly digest"
handler = "report"
"""


def _simulate(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run(["simulate", *arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_days_ahead_of_ones_own_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "handoffd.toml"
    config.write_text(SETTINGS)
    where = ("--home", str(tmp_path / "home"), "--config", str(config))
    code, out, _ = _simulate(capsys, *where, "--days", "2", "--json")
    made = json.loads(out)
    assert code == 0
    assert made["schedule_tasks"] in (47, 48)
    left_running = made["schedule_tasks"] - made["ends"].pop("Completed")
    assert not made["ends"]
    assert left_running in (0, 1), "the days begin now, so the last hour's task may be cut off at work"
    assert 250 <= made["board_calls_per_hour"] <= 420
    assert made["waits"][0]["title"] == "Hourly digest"
    assert _simulate(capsys, *where, "--days", "0.1")[1].startswith("0.1 days, seed 1:")


def test_the_same_seed_and_start_say_the_same() -> None:
    def ahead() -> object:
        return forecast(
            Settings(run=RunSettings(concurrency=1)),
            Registry(),
            host="here",
            interval=30.0,
            start=1_767_571_200.0,
            days=0.5,
            seed=7,
            tasks=[
                sample_task(id=f"{n:032x}", title=f"task {n}", handler="report", number=n)
                for n in range(1, 11)
            ],
        )

    assert ahead() == ahead()


def test_a_task_says_what_it_would_wait_for() -> None:
    """One place, ten tasks of a minute each: the last one waits for the nine before it."""
    tasks = [sample_task(id=f"{n:032x}", title=f"task {n}", handler="report", number=n) for n in range(1, 11)]
    tasks.append(sample_task(id="f" * 32, title="held", handler="report", after=("e" * 32,)))
    tasks.append(sample_task(id="e" * 32, title="draft", status=Status.DRAFT))
    made = forecast(
        Settings(run=RunSettings(concurrency=1)),
        Registry(),
        host="here",
        interval=30.0,
        start=1_767_571_200.0,
        days=0.5,
        seed=1,
        tasks=tasks,
    )
    waits = {w.title: w for w in made.waits}
    assert made.waits[0].title == "held"
    assert "prerequisites" in because(waits["held"], str)
    assert waits["task 10"].seconds > 300
    assert "the only place is taken" in because(waits["task 10"], str)
    assert made.status == {"Completed": 10, "Draft": 1, "Ready": 1}


def test_a_scenario_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _simulate(capsys, "--scenario", "crash-loop", "--seed", "3", "--json")
    made = json.loads(out)
    assert code == 0
    assert (made["scenario"], made["seed"]) == ("crash-loop", 3)
    assert made["ends"] == {"Completed": 20}
    assert sum(made["checks"].values()) > 500


def test_the_list_and_a_wrong_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert "vib-head-of-line-56" in _simulate(capsys, "--scenario", "list")[1]
    code, _, err = _simulate(capsys, "--scenario", "nope")
    assert code == 2
    assert "“nope” is none" in err
