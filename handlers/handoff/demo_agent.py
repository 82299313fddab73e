"""A small scripted agent, for the demo and for tests: ``python demo_agent.py FOLDER 60``.

It uses the standard library only and knows nothing but what a packet says. For one packet in
``FOLDER/01_inbox`` it acknowledges, writes each file that a criterion asks for, returns with hashes, and
waits for the receipt. With ``--packet DIR`` it answers that packet (so the daemon launches it). Exit codes:
0 the return was accepted (or, with --packet, written), 1 it was refused or never answered, 2 no packet came.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

FIELDS = ("handoff_id", "task_id", "claim_token", "claim_generation")
PAUSE_S = 0.2


def write_whole(path: Path, doc: dict[str, Any]) -> None:
    """Write to another name, then rename: a reader never sees half a file."""
    temp = path.with_name(f".{path.name}.{os.getpid()}")
    with temp.open("w", encoding="utf-8") as file:
        json.dump(doc, file, indent=2, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    temp.replace(path)


def find(inbox: Path, name: str) -> Path | None:
    """The oldest packet without a return that is free, or that we took before we were stopped."""
    for folder in sorted(p for p in inbox.iterdir() if p.is_dir() and not p.name.startswith(".")):
        if (folder / "RETURN.json").exists() or (folder / "CANCEL").exists():
            continue
        if not (folder / "ACK.json").exists() or taken_by(folder) == name:
            return folder
    return None


def taken_by(folder: Path) -> str:
    """Who acknowledged a packet."""
    return str(json.loads((folder / "ACK.json").read_text(encoding="utf-8")).get("agent"))


def work(handoff: dict[str, Any]) -> list[dict[str, str]]:
    """Write the file of every criterion that asks for one; what was written, with hashes."""
    root = Path(handoff["workspace"]["path"])
    made = []
    for criterion in handoff["acceptance"]:
        check = criterion.get("check") or {}
        if check.get("use") != "file":
            continue
        path = root / check["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        text = (
            f"# {handoff['title']}\n\n"
            f"Written by the demo agent for criterion {criterion['id']} of task {handoff['task_id']}.\n\n"
            f"Asked for: {criterion['text']}\n\n{check.get('contains', '')}\n"
        )
        path.write_text(text, encoding="utf-8")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        made.append({"criterion": criterion["id"], "path": check["path"], "sha256": digest})
    return made


def answer(folder: Path, name: str) -> None:
    """Acknowledge, work, return."""
    handoff = json.loads((folder / "handoff.json").read_text(encoding="utf-8"))
    ids = {key: handoff[key] for key in FIELDS}
    understood = f"Write what the criteria ask for: {handoff['title']}"[:600]
    if not (folder / "ACK.json").exists():
        write_whole(folder / "ACK.json", {"schema": "ack/1", **ids, "agent": name, "understood": understood})
    print(f"acknowledged {folder.name}", flush=True)  # noqa: T201 - its output is captured by the daemon
    made = work(handoff)
    by_criterion = {m["criterion"]: m for m in made}
    criteria = []
    for criterion in handoff["acceptance"]:
        proof = by_criterion.get(criterion["id"])
        found = [{"kind": "file", "ref": proof["path"], "sha256": proof["sha256"]}] if proof else []
        criteria.append(
            {"id": criterion["id"], "claim": "met" if proof else "not_attempted", "evidence": found}
        )
    whole = len(made) == len(criteria)
    write_whole(
        folder / "RETURN.json",
        {
            "schema": "return/1",
            **ids,
            "status": "completed" if whole else "partial",
            "summary": f"Wrote {', '.join(m['path'] for m in made) or 'nothing'}."[:600],
            "criteria": criteria,
            "changes": {"files": [{"path": m["path"], "sha256_after": m["sha256"]} for m in made]},
            "not_done": [] if whole else ["criteria that do not ask for a file"],
            "agent": {"name": name},
        },
    )
    print(f"returned {folder.name}", flush=True)  # noqa: T201 - see above


def verdict(folder: Path, until: float) -> int:
    """Wait for the daemon's answer to the return."""
    states = [folder.parent.parent / state / folder.name for state in ("02_processed", "03_failed")]
    while time.monotonic() < until:
        if any((place / "receipt.json").exists() for place in states):
            return 0
        if (folder / "RETURN.rejected-1.json").exists() or any(place.exists() for place in states):
            return 1
        time.sleep(PAUSE_S)
    return 1


def main(argv: list[str] | None = None) -> int:
    """Watch an inbox, or answer one packet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("inbox", nargs="?", type=Path, help="the agent's folder (holds 01_inbox)")
    parser.add_argument("--packet", type=Path, help="answer this packet and exit")
    parser.add_argument("seconds", nargs="?", type=float, default=60.0, help="how long to watch")
    parser.add_argument("--name", default="demo", help="name in the acknowledgement")
    options = parser.parse_args(argv)
    if options.packet is not None:
        answer(options.packet, options.name)
        return 0
    if options.inbox is None:
        parser.error("give the agent's folder or --packet")
    until = time.monotonic() + options.seconds
    inbox = options.inbox / "01_inbox"
    while time.monotonic() < until:
        folder = find(inbox, options.name) if inbox.is_dir() else None
        if folder is not None:
            answer(folder, options.name)
            return verdict(folder, until)
        time.sleep(PAUSE_S)
    return 2


if __name__ == "__main__":
    sys.exit(main())
