"""One room in a process of its own: ``python -m benchmarks.room NAME FILE`` writes its rows as JSON."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path


def main() -> int:
    """Exit code 0 when the rows were written; an error leaves as a traceback."""
    name, target = sys.argv[1:]
    module = importlib.import_module(f"benchmarks.{name}")
    title = (module.__doc__ or name).splitlines()[0]
    Path(target).write_text(json.dumps({"title": title, "rows": module.rows()}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
