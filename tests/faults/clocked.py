"""The real daemon with a clock that is put from outside: ``python clocked.py OFFSET_FILE ARGS…``.

The file holds the seconds by which its wall clock differs from the machine's, and is read at each look at it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from killable import Clock

from daemon import parts, service
from daemon.cli.app import run as run_command_line


class Put(Clock):
    """A clock that a file puts."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file

    def __call__(self) -> float:
        return self._real() + float(self._file.read_text() or 0.0)


if __name__ == "__main__":
    Put(Path(sys.argv[1])).take_over()
    # The pauses between two looks would be most of the test's time.
    parts.ARRIVALS_S = parts.SCHEDULES_S = service.MAIN_LOOP_S = 0.2
    sys.exit(run_command_line(sys.argv[2:]))
