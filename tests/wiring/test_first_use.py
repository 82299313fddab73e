"""A home folder that several processes open at once for the first time."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_all_who_come_first_at_once_get_the_same_board_and_store(tmp_path: Path) -> None:
    """A command beside a daemon that was just starting made a second one, which the daemon never saw; or
    failed, because another made the store's tables in the same moment."""
    argv = [sys.executable, "-m", "daemon", "--home", str(tmp_path / "home"), "task", "add"]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    (tmp_path / "home").mkdir()
    adding = [
        subprocess.Popen([*argv, f"task {n}"], env=env, cwd=tmp_path, stderr=subprocess.PIPE)
        for n in range(4)
    ]
    for one in adding:
        _, said = one.communicate(timeout=60)
        assert one.returncode == 0, said.decode()
    with sqlite3.connect(tmp_path / "home" / "board.db") as board:
        (databases,) = board.execute("SELECT count(*) FROM database").fetchone()
    board.close()
    assert databases == 1
