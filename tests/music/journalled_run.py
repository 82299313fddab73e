"""Runs the handler with a Context that keeps finished steps in files, as the engine keeps them in its store.

``python journalled_run.py HOME URL``: may be killed at any moment and started again; prints the outcome.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))


def main() -> int:
    from daemon.engine import codec
    from daemon.testing import DirectContext, run_handler, sample_task
    from handlers.music import MusicSync, Settings
    from tests.music.conftest import context

    home, url = Path(sys.argv[1]), sys.argv[2]
    work = home.parent / "work"
    work.mkdir(exist_ok=True)
    journal = home.parent / "journal"
    journal.mkdir(exist_ok=True)

    class Journalled(DirectContext):
        def step(self, name: str, fn: Callable[..., Any], *args: Any, retry: Any = None) -> Any:
            kept = journal / f"{len(self.steps):02d}-{name}.json"
            if kept.exists():
                self.steps.append(name)
                return codec.load(json.loads(kept.read_text()), codec.result_type(fn))
            value = super().step(name, fn, *args, retry=retry)
            temporary = kept.with_suffix(".tmp")
            temporary.write_text(json.dumps(codec.dump(value)))
            os.replace(temporary, kept)
            return value

    plain = context(Settings(allow_hosts=("127.0.0.1",)), home, work)
    ctx = Journalled(run=plain.run, settings=plain.settings, home=home, workdir=work)
    run = run_handler(MusicSync, sample_task(url=url), home, context=ctx)
    print(json.dumps({"kind": type(run.outcome).__name__, "data": run.outcome.data}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
