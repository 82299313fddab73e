"""kill -9 at random moments of the demo's three runs, and a start after each: nothing half, nothing twice."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))  # rounds.py is shared by the short and the long campaign

from rounds import campaign  # noqa: E402 - the path above makes it importable

sys.path.remove(str(HERE))


@pytest.mark.timeout(600)
def test_fifty_kills_at_random_moments(tmp_path: Path) -> None:
    counted = campaign(tmp_path, kills=50, seed=20261123)
    assert counted["kills"] >= 50
    print(counted)


@pytest.mark.faults
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_many_kills_at_random_moments(tmp_path: Path, seed: int) -> None:
    assert campaign(tmp_path, kills=200, seed=seed)["kills"] >= 200
