"""What ``handoffd doctor`` says of the agents: folders, programs, workspaces. Looks only."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from daemon.sdk import Check
from handlers.handoff.agents import AgentSettings, inbox_root


def look(settings: Mapping[str, AgentSettings], home: Path) -> list[Check]:
    """One line an agent; a warning when there is none."""
    if not settings:
        return [
            Check(
                name="agents",
                state="warn",
                message="no agent is registered: handoffs will be blocked",
                fix="add [agents.<slug>] to handoffd.toml",
            )
        ]
    return [_one(slug, agent, home, settings) for slug, agent in sorted(settings.items())]


def _one(slug: str, agent: AgentSettings, home: Path, known: Mapping[str, AgentSettings]) -> Check:
    problems: list[tuple[str, str]] = []
    root = inbox_root(slug, agent, home)
    if root.is_symlink() or (root.exists() and not root.is_dir()):
        problems.append((f"{root} is not a folder", f"remove what stands at {root}"))
    elif root.exists() and (root.stat().st_uid != os.getuid() or root.stat().st_mode & 0o022):
        problems.append((f"{root} can be written by others", f"chmod go-w {root}"))
    elif agent.inbox and not root.parent.is_dir():
        problems.append((f"{root.parent} does not exist", f"mkdir -p {root.parent}"))
    programs = {"launch": agent.launch[:1], **{f"check {n}": c.argv[:1] for n, c in agent.checks.items()}}
    for what, argv in programs.items():
        if argv and "{" not in argv[0] and not shutil.which(argv[0]):
            problems.append((f"{what}: {argv[0]} is not installed", f"install {argv[0]} or mend its argv"))
    for name, folder in agent.workspaces.items():
        if not Path(folder).expanduser().is_dir():
            problems.append((f"workspace {name}: {folder} is not a folder", f"create {folder}"))
    if agent.workspace and agent.workspace not in agent.workspaces:
        problems.append((f"workspace {agent.workspace} is not among its workspaces", "add it to workspaces"))
    for other in agent.escalation:
        if other not in known:
            problems.append((f"escalation names {other}, which is not registered", f"add [agents.{other}]"))
    way = "started by the daemon" if agent.launch else f"watches {root / '01_inbox'}"
    if not problems:
        return Check(name=f"agent {slug}", state="ok", message=way, data={"inbox": str(root)})
    return Check(
        name=f"agent {slug}",
        state="broken",
        message="; ".join(p for p, _ in problems),
        fix="; ".join(f for _, f in problems),
    )
