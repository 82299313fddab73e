"""The rig of rig.py, as a fixture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.rig import CALLS, GO, Rig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    CALLS.clear()
    GO.clear()
    made = Rig(tmp_path)
    made.engine.start()
    yield made
    GO.set()
    made.engine.drain(5)
    made.engine.stop()
    made.database.dispose()
