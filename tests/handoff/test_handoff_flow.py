"""The main way: deliver, acknowledge, return, Done."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from typing import Any

from daemon.core.evidence import GateResult
from daemon.core.outcome import Delivered, Done, Retry
from handlers.handoff import demo_agent, doors

WORDS = "This file says at length what was found, so that it is no placeholder at all.\n"


def test_deliver_ack_return_done(desk: Any) -> None:
    d = desk()
    outcome = d.run()
    assert isinstance(outcome, Delivered)
    assert outcome.wait_for.startswith("cursor's acknowledgement (by 2026-11-23T04:04:05Z")
    assert d.packet.parent.name == "01_inbox"
    assert d.token() is None

    outcome = d.acknowledge()
    assert isinstance(outcome, Delivered) and "sign of life" in outcome.wait_for
    assert outcome.data["understood"] == "write the file that was asked for"
    assert d.token() is None

    d.write("out.txt", WORDS)
    doors.return_(d.packet, summary="Wrote the findings.", files=["out.txt"])
    d.age("RETURN.json")
    outcome = d.resume()
    assert isinstance(outcome, Done), outcome
    assert outcome.data["tier"] == "verified"
    assert outcome.data["delta"]["added"] == ["out.txt"]
    assert d.packet.parent.name == "02_processed"
    judged = d.judged()
    assert {n: j.result for n, j in judged.items() if j.result is not GateResult.PASSED} == {}
    assert set(judged) == {g.name for g in d.handler.gates}
    assert doors.verify_receipt(d.packet / "receipt.json").ok
    told = next(e for e in d.context.recorded if e.gate == "receipt.written").data
    written = (d.packet / "receipt.json").read_bytes()
    assert (told["sha256"], told["bytes"]) == (hashlib.sha256(written).hexdigest(), len(written))
    assert d.token() is None


def test_scripted_agent_end_to_end(desk: Any) -> None:
    d = desk()
    d.now = time.time()
    assert isinstance(d.run(), Delivered)
    root = d.packet.parent.parent
    agent = subprocess.Popen([sys.executable, demo_agent.__file__, str(root), "20"])
    try:
        seen = []
        outcome: Any = None
        until = time.monotonic() + 20
        while time.monotonic() < until and not isinstance(outcome, Done):
            d.now = time.time()
            token = d.token()
            if token is None:
                time.sleep(0.1)
                continue
            seen.append(token.split(":")[0])
            outcome = d.resume()
        assert isinstance(outcome, Done), outcome
        assert seen == ["ack", "return"]
        assert agent.wait(timeout=10) == 0
    finally:
        agent.kill()
        agent.wait()


def test_launched_agent_answers_within_the_run(desk: Any) -> None:
    launch = [sys.executable, demo_agent.__file__, "--packet", "{packet}"]
    d = desk(agents={"cursor": {"launch": launch, "time_limit": 20, "silence_limit": 20}})
    d.now = time.time()
    assert isinstance(d.run(), Delivered)
    assert "returned" in (d.packet / "launch.log.json").read_text()
    d.later(3)
    assert isinstance(d.resume(), Delivered)
    assert isinstance(d.resume(), Done)


def test_launched_agent_that_leaves_nothing_is_a_retry(desk: Any) -> None:
    launch = [sys.executable, "-c", "import sys; print('no idea', file=sys.stderr); sys.exit(3)"]
    d = desk(agents={"cursor": {"launch": launch}})
    outcome = d.run()
    assert isinstance(outcome, Retry)
    assert "exit code 3" in outcome.reason and "no idea" in outcome.reason
    first = d.packet
    d.again()
    old = first.parent.parent / "03_failed" / first.name
    assert json.loads((old / "CANCEL").read_text())["replacement"] == d.packet.name
    assert [p.name for p in first.parent.iterdir()] == [d.packet.name]
