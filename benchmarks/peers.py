"""The peers and all that they need, pinned in ``peers.txt``, in an environment of their own.

``peers.in`` names the peers themselves; ``make lock`` makes the one from the other. The bench alone needs it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from types import TracebackType
from typing import Any

HERE = Path(__file__).parent
PINS = HERE / "peers.txt"
HOME = HERE.parent / ".venv-peers"
INSTALL_S = 300.0


class NoPeer(Exception):
    """A peer can't be run here; the message says why."""


def python() -> Path:
    """The peers' interpreter; the environment is made on the first call and again when a pin changes.

    Raises NoPeer when it can't be installed.
    """
    interpreter, stamp = HOME / "bin" / "python", HOME / "pins"
    if not (stamp.is_file() and stamp.read_text() == PINS.read_text()):
        venv.EnvBuilder(with_pip=True, clear=True).create(HOME)
        argv = [
            str(interpreter),
            "-m",
            "pip",
            "-q",
            "--disable-pip-version-check",
            "install",
            "-r",
            str(PINS),
        ]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=INSTALL_S)
        except subprocess.TimeoutExpired:
            raise NoPeer(f"pip was not done after {INSTALL_S:.0f} s") from None
        if done.returncode:
            raise NoPeer(f"pip could not install it: {done.stderr.strip().splitlines()[-1:]}")
        stamp.write_text(PINS.read_text())
    return interpreter


class Peers:
    """The worker process; a context manager. Raises NoPeer at the start when there is none."""

    def __init__(self) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="handoffd-peers-")
        env = {"PATH": os.environ["PATH"], "HOME": self._home.name, "BEETSDIR": self._home.name}
        self._process = subprocess.Popen(
            [str(python()), str(HERE / "peer_worker.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=env,
        )
        self.versions: dict[str, str] = self._answer()

    def __enter__(self) -> Peers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()
        self._home.cleanup()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise NoPeer(f"the worker ended with code {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, act: str, **order: Any) -> dict[str, Any]:
        """``cpu`` and ``wall`` in seconds, ``answers`` of a query. Raises NoPeer with the peer's words."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"act": act, **order}) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        if "error" in answer:
            raise NoPeer(answer["error"])
        return answer


if __name__ == "__main__":
    print(python(), file=sys.stderr)
