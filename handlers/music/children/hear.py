"""One-shot process: tempo and key of a file of raw mono samples, by numpy under a memory limit.

Order: ``{"pcm": path}``, 16-bit samples at ``hearing.RATE``. Answer: ``{"tempo": {"bpm", "confidence",
"why"}, "tonality": {"name", "confidence", "why"}, "numpy": version}``.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

SEARCH_PATH = str(Path(__file__).resolve().parents[3])


def main() -> int:
    """One order, one answer."""
    order = json.loads(sys.stdin.read())
    sys.path.append(SEARCH_PATH)
    import numpy as np

    from handlers.music.hearing import FULL
    from handlers.music.hearing.tempo import tempo
    from handlers.music.hearing.tonality import tonality

    sound = np.fromfile(order["pcm"], dtype="<i2").astype(np.float64) / FULL
    said = {"tempo": asdict(tempo(sound)), "tonality": asdict(tonality(sound)), "numpy": np.__version__}
    json.dump(said, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
