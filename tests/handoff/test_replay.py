"""Killed after an effect and before its step is recorded: every step done twice leaves what one leaves."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from daemon.core.evidence import GateResult
from daemon.core.outcome import Delivered, Done, Retry
from daemon.testing import DirectContext
from handlers.handoff import doors, receipts

WORDS = "This file says at length what was found, so that it is no placeholder at all.\n"


class TwiceContext(DirectContext):
    """Each step runs, is forgotten, and runs again, as after a kill before the checkpoint."""

    def step(self, name: str, fn: Callable[..., Any], *args: Any, retry: Any = None) -> Any:
        fn(*args)
        return super().step(name, fn, *args, retry=retry)


@pytest.fixture
def twice(desk: Callable[..., Any]) -> Any:
    def make(**fields: Any) -> Any:
        d = desk(**fields)
        plain = d._context

        def context() -> TwiceContext:
            base = plain()
            return TwiceContext(run=base.run, settings=base.settings, home=base.home, workdir=base.workdir)

        d._context = context
        d.context = context()
        return d

    return make


def test_every_step_twice_from_delivery_to_done(twice: Callable[..., Any]) -> None:
    d = twice()
    assert isinstance(d.run(), Delivered)
    assert isinstance(d.acknowledge(), Delivered)
    assert isinstance(d.hand_in("not json"), Delivered)
    assert len(list(d.packet.glob("RETURN.rejected-*"))) == 1
    d.write("out.txt", WORDS)
    ups = [{"intent_key": "next", "title": "Rotate the log", "criteria": ["It rotates"]}]
    outcome = d.hand_in({**d.template(), "follow_ups": ups})
    assert isinstance(outcome, Done)
    assert len(list(d.home.rglob("handoff.json"))) == 1
    assert len(receipts.listed(d.packet.parent.parent / "receipts")) == 1
    assert len(d.context.made) == 1
    assert doors.verify_receipt(d.packet).ok
    assert all(j.result is GateResult.PASSED for n, j in d.judged().items() if n != "return.first_time")


def test_every_step_twice_down_the_ladder(twice: Callable[..., Any]) -> None:
    d = twice()
    d.run()
    d.later(3601)
    d.resume()
    assert len(list(d.packet.glob("NUDGE-*"))) == 1
    d.later(3601)
    assert isinstance(d.resume(), Retry)
    d.again()
    assert sorted(p.parent.name for p in d.home.glob("agents/*/0*/*--g?")) == ["01_inbox", "03_failed"]


def test_every_step_twice_for_questions_and_refusals(twice: Callable[..., Any]) -> None:
    d = twice()
    d.run()
    d.acknowledge()
    doors.ask(d.packet, need="Which log?")
    d.age("QUESTION-1.json")
    d.resume()
    d.change(next_step="app.log")
    d.resume()
    assert json.loads((d.packet / "ANSWER-1.json").read_text())["answer"] == "app.log"
    doors.refuse(d.packet, code="unsafe", reason="It is not safe at all.")
    d.age("REFUSE.json")
    d.resume()
    assert d.packet.parent.name == "03_failed"


def test_a_launched_agent_that_has_answered_is_not_started_again(twice: Callable[..., Any]) -> None:
    import sys

    from handlers.handoff import demo_agent

    count = "import sys, runpy; open(sys.argv[1] + '/../../started', 'a').write('x'); "
    count += "sys.argv = ['a', '--packet', sys.argv[1]]; "
    count += f"runpy.run_path({demo_agent.__file__!r}, run_name='__main__')"
    d = twice(agents={"cursor": {"launch": [sys.executable, "-c", count, "{packet}"]}})
    d.now = time.time()
    assert isinstance(d.run(), Delivered)
    assert (d.packet.parent.parent / "started").read_text() == "x"


def test_a_board_that_is_away_does_not_undo_an_acknowledgement(desk: Callable[..., Any]) -> None:
    from daemon.sdk import Unreachable

    d = desk()
    d.run()

    class Away(DirectContext):
        def comment(self, key: str, text: str) -> None:
            raise Unreachable("the board does not answer")

    base = d.context
    d.context = Away(run=base.run, settings=base.settings, home=base.home, workdir=base.workdir)
    assert isinstance(d.acknowledge(), Delivered)
    assert (d.packet / "ACK.accepted.json").exists()
    assert any(e[1] == "handoff.comment_failed" for e in d.context.log.lines)
