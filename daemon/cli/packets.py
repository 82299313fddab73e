"""Which handoff is meant: for ``handoffd handoff`` and ``handoffd mcp``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from daemon.core.errors import NotFound

if TYPE_CHECKING:
    from daemon.cli.frame import Invocation
    from handlers.handoff.doors import PacketView


def packets(call: Invocation, agent: str = "") -> list[PacketView]:
    """The packets in the inboxes of the settings, newest first. NotFound for an unregistered agent."""
    from handlers.handoff import doors
    from handlers.handoff.agents import roots

    loaded = call.load(handlers=True)
    agents = loaded.sections.get("agents") or {}
    if agent and agent not in agents:
        raise NotFound(
            f"no agent is called “{agent}”", hint=f"registered: {', '.join(sorted(agents)) or 'none'}"
        )
    chosen = {slug: known for slug, known in agents.items() if agent in ("", slug)}
    found = [p for root in roots(chosen, loaded.home).values() for p in doors.list_packets(root)]
    return sorted(found, key=lambda p: p.delivered_at, reverse=True)


def find(call: Invocation, text: str) -> Path:
    """The packet's folder. A path wins; then name, run id, task id (its newest packet).

    A path from before the packet moved (to 02_processed, say) still finds it, by its name.
    """
    from daemon.core.ids import normalise, run_id

    path = Path(text).expanduser()
    if path.exists():
        return (path if path.is_dir() else path.parent).absolute()
    try:
        task = normalise(text)
    except ValueError:
        task = ""
    for packet in packets(call):
        known = (path.name == packet.name, text == run_id(packet.task_id, packet.generation))
        if any(known) or packet.task_id == task:
            return Path(packet.path)
    raise NotFound(
        f"there is no handoff “{text}”",
        hint="give its folder, or a name, run id or task id from `handoffd handoff list`",
    )
