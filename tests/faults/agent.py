"""The demo's scripted agent, which also proposes a follow-up in its return."""

import sys
from pathlib import Path
from typing import Any

from handlers.handoff import demo_agent

write = demo_agent.write_whole


def write_with_proposal(path: Path, doc: dict[str, Any]) -> None:
    """As the demo's agent writes it, with one proposal in RETURN.json."""
    if path.name == "RETURN.json":
        doc["follow_ups"] = [{"intent_key": "translate", "title": "Translate the greeting into Swedish"}]
    write(path, doc)


demo_agent.write_whole = write_with_proposal

if __name__ == "__main__":
    sys.exit(demo_agent.main())
