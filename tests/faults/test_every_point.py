"""The daemon is killed at every point of each handler's work, one point a round: enumerated, not sampled.

A first round without a fault lists the points; then each has its round, with a start after the death and the
whole check (worlds.py). The short version takes every n-th point of each kind.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest


def _sibling(name: str) -> ModuleType:
    # Under importmode=importlib a test's neighbours can't be imported by name.
    spec = importlib.util.spec_from_file_location(f"faults_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


worlds = _sibling("worlds")
World = Callable[[str], "worlds.World"]
LEASE_PASSES = ("step", "board", "store", "engine")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with worlds.around(tmp_path_factory.mktemp("worlds")) as made:
        yield made


def campaign(world: World, name: str, fault: str, chosen: Callable[[list[str]], list[str]]) -> dict[str, int]:
    """One round for each chosen point; all failures are told at the end."""
    here = world(name)
    clean = here.round()
    points = chosen(clean.points)
    assert points, clean.points
    wrong: list[str] = []
    passed = 0
    for point in points:
        try:
            result = here.round(point, fault)
            assert result.evidence == clean.evidence, f"{point}: the evidence differs"
            passed += result.hit
        except AssertionError as error:
            wrong.append(f"{point}: {error}")
    counts = {"points": len(points), "hit": passed, "wrong": len(wrong)}
    print(name, fault, counts)
    assert not wrong, f"{counts}\n" + "\n\n".join(wrong)
    # A point is missed when threads meet in another order than in the first round, or a round beat its lease
    # less often: never many of them.
    assert passed >= 0.8 * len(points) or len(points) - passed <= 2, counts
    return counts


def all_of(points: list[str]) -> list[str]:
    return points


SHORT = {"music": ("file", "child"), "report": ("step", "board", "store")}


def sampled(points: list[str], wanted: tuple[str, ...]) -> list[str]:
    """One point of each kind that is wanted, from another place in each handler."""
    kinds: dict[str, list[str]] = {}
    for point in points:
        kinds.setdefault(point.split()[0], []).append(point)
    return [of[len(points) % len(of)] for kind, of in kinds.items() if kind in wanted]


def writes(points: list[str]) -> list[str]:
    """The calls that change the board, as the points before them."""
    return [p.replace(": applied#", ": before#") for p in points if ": applied#" in p]


def third(points: list[str]) -> list[str]:
    return [p for p in points if p.startswith(LEASE_PASSES)][::3]


@pytest.mark.parametrize("name", ["music", "report"])
def test_killed_at_one_point_of_each_kind(world: World, name: str) -> None:
    campaign(world, name, "kill", lambda points: sampled(points, SHORT[name]))


def test_a_lost_answer_to_each_kind_of_write(world: World) -> None:
    campaign(world, "report", "502 after", writes)


@pytest.mark.faults
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", ["report", "music", "handoff", "launched"])
def test_killed_at_every_point(world: World, name: str) -> None:
    campaign(world, name, "kill", all_of)


@pytest.mark.faults
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("fault", ["502 after", "cut after"])
@pytest.mark.parametrize("name", ["report", "music", "handoff"])
def test_every_write_applied_and_answered_badly(world: World, name: str, fault: str) -> None:
    campaign(world, name, fault, writes)


@pytest.mark.parametrize("fault", ["clock -3600", "clock 3600"])
def test_the_clock_is_put_in_the_middle_of_a_run(world: World, fault: str) -> None:
    campaign(world, "report", fault, lambda points: sampled(points, ("step", "store")))


@pytest.mark.faults
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("fault", ["clock -3600", "clock 3600"])
@pytest.mark.parametrize("name", ["report", "music", "handoff", "launched"])
def test_the_clock_is_put_anywhere(world: World, name: str, fault: str) -> None:
    campaign(world, name, fault, third)


@pytest.mark.faults
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("fault", ["term", "stop"])
@pytest.mark.parametrize("name", ["report", "music", "handoff"])
def test_stopped_or_frozen_beyond_its_lease(world: World, name: str, fault: str) -> None:
    """``term``: a drain begins at the point. ``stop``: frozen there for longer than the lease, then woken."""
    campaign(world, name, fault, third)
