"""Signals that come while the main thread is about to wait: none is lost, none is waited for for ever."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

AT_EVERY_CALL = """
import signal, sys, time
from daemon.process import Signals

def hook(frame, event, argument):  # a signal at every call that the wait is made of
    if event in ("call", "c_call"):
        signal.raise_signal(signal.SIGUSR2)

signals = Signals()
with signals.caught():
    for _ in range(20):
        signals.look = False
        sys.setprofile(hook)
        signals.wake.wait(0.001)
        sys.setprofile(None)
        assert signals.look
"""

BEFORE_THE_WAIT = """
import time
from daemon.process import Wake

wake = Wake()
wake.set()
wake.set()
began = time.monotonic()
wake.wait(30.0)
assert time.monotonic() - began < 10.0, "what came before the wait ends it"
wake.wait(0.05)
assert time.monotonic() - began >= 0.05, "and ends one wait only"
"""


def test_a_signal_inside_the_wait_does_not_wait_for_itself() -> None:
    """A lock that the handler needs too once made the daemon ignore SIGTERM, when it came in that moment."""
    subprocess.run([sys.executable, "-c", AT_EVERY_CALL], cwd=ROOT, check=True, timeout=30)


def test_a_call_before_the_wait_ends_it_at_once() -> None:
    subprocess.run([sys.executable, "-c", BEFORE_THE_WAIT], cwd=ROOT, check=True, timeout=60)
