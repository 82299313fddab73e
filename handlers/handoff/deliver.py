"""The first stretch of a handoff: compile, lint, publish, and start the agent where the settings say so."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from daemon.core.text import one_line
from daemon.sdk import BlockedError, Context, Task
from handlers.handoff import agents, packets, render
from handlers.handoff.agents import AgentSettings
from handlers.handoff.compile import Drawn, folder_name, own_workspace, packet, untrusted
from handlers.handoff.criteria import bind, complete_argv
from handlers.handoff.disk import pretty, read_json, sha256, sha256_file, write_over
from handlers.handoff.lint import Lint, lint
from handlers.handoff.model import Packet, Workspace
from handlers.handoff.params import Params
from handlers.handoff.workspace import relative, take

LAUNCH_KEEP = 65536
OPEN_STATES = ("claiming", "running", "waiting")


class Compiled(msgspec.Struct, frozen=True, kw_only=True):
    """Either a packet that may be delivered, or why not and what to do."""

    reason: str = ""
    unblock: str = ""
    packet: Packet | None = None
    asked: str = ""
    delivery: int = 1
    lint: Lint | None = None


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """A packet in its inbox."""

    name: str
    place: str
    """Path below the agent's folder."""
    path: str
    files: int
    bytes: int
    handoff_sha256: str
    whole: bool
    """Every file that MANIFEST.json lists was read back with its hash."""


class Launched(msgspec.Struct, frozen=True, kw_only=True):
    """How a started agent ended. ``answered``: it left a return, a question or a refusal."""

    ended: str
    returncode: int
    seconds: float
    answered: bool
    tail: str


def compile_packet(task: Task, params: Params, ctx: Context, now: float) -> Compiled:
    """Find the agent, bind the criteria, write the document and judge it. Inside a step."""
    known: Mapping[str, AgentSettings] = ctx.settings
    try:
        asked = agents.find([params.agent] if params.agent else task.agents, known)
        slug, delivery = _ladder_choice(asked, task.id, ctx, known)
        settings = known[slug]
        root = agents.inbox_root(slug, settings, ctx.home)
        workspace = _workspace(task.id, params, settings, root)
    except BlockedError as err:
        return Compiled(reason=err.message, unblock=err.hint)
    binding = bind(task.acceptance, params.check, params.optional, settings)
    history = ctx.history(task.created)
    because = "the Parameters name it" if params.agent else "Assigned-Agent names it"
    if slug != asked:
        because = f"{asked} did not answer; the settings name this agent next"
    raw = untrusted(task, binding, params)
    nonce = secrets.token_hex(16)
    while nonce in raw:
        nonce = secrets.token_hex(16)
    drawn = Drawn(handoff_id=secrets.token_hex(16), claim_token=secrets.token_hex(16), nonce=nonce, now=now)
    doc = packet(task, ctx.run, params, (slug, settings), binding, workspace, history, drawn, because)
    open_titles = [r.title for r in history if r.task != task.id and r.state in OPEN_STATES]
    judged = lint(
        doc, [*binding.problems, *_programs(doc)], now, len(raw.encode("utf-8", "replace")), open_titles
    )
    if judged.hard:
        reason = "the handoff can't be delivered: " + "; ".join(judged.hard[:8])
        return Compiled(reason=reason, unblock="complete the task on its page", lint=judged)
    doc = msgspec.structs.replace(doc, lint_score=judged.score, lint_notes=judged.soft)
    return Compiled(packet=doc, asked=asked, delivery=delivery, lint=judged)


def _ladder_choice(
    asked: str, task_id: str, ctx: Context, known: Mapping[str, AgentSettings]
) -> tuple[str, int]:
    """Agent and delivery number: the ladder's, when the last delivery ended on one of its rungs."""
    before = packets.previous_ledger(ctx.home, task_id, ctx.run.generation)
    if before is None or before.asked != asked:
        return asked, 1
    mark = read_json(packets.overdue_path(ctx.home, task_id, before.packet.claim_generation))
    if mark.get("rung") not in ("redeliver", "reassign"):
        return asked, 1
    slug = str(mark.get("to") or before.packet.agent)
    return (slug if slug in known else asked), before.delivery + 1


def _workspace(task_id: str, params: Params, agent: AgentSettings, root: Path) -> Workspace:
    """The folder to work in: chosen by name from the settings, else one of the task's own."""
    name = params.workspace or agent.workspace
    if name and name not in agent.workspaces:
        known = ", ".join(sorted(agent.workspaces)) or "none"
        raise BlockedError(
            f"unknown workspace “{one_line(name, 60)}”",
            hint=f"set workspace in Parameters to one of: {known}",
        )
    path = Path(agent.workspaces[name]).expanduser() if name else own_workspace(root, task_id)
    if name and not path.is_dir():
        raise BlockedError(
            f"the workspace {name} ({path}) is not a folder", hint="create it or mend the settings"
        )
    try:
        allowed = tuple(relative(p) for p in params.allowed) or (".",)
        forbidden = tuple(relative(p) for p in params.forbidden)
    except ValueError as err:
        raise BlockedError(
            f"allowed or forbidden: a path {err}", hint="write paths relative to the workspace"
        ) from err
    branch, commit = _git_head(path)
    return Workspace(
        path=str(path), name=name, allowed=allowed, forbidden=forbidden, branch=branch, base_commit=commit
    )


def _git_head(path: Path) -> tuple[str, str]:
    """Branch and commit of a Git checkout, read from its files; empty when it is none or packed away."""
    head = path / ".git" / "HEAD"
    if not head.is_file():
        return "", ""
    text = head.read_text("utf-8", "replace").strip()
    if not text.startswith("ref: refs/"):
        return "", text[:40] if len(text) == 40 else ""
    ref = text.removeprefix("ref: ")
    try:
        file = path / ".git" / relative(ref)
    except ValueError:
        return "", ""
    commit = file.read_text("utf-8", "replace").strip()[:40] if file.is_file() else ""
    return one_line(ref.removeprefix("refs/heads/"), 100), commit


def _programs(doc: Packet) -> list[str]:
    """Checks whose program is not on this machine: better told now than after the work."""
    missing = {
        (c.check.use, c.check.argv[0])
        for c in doc.acceptance
        if c.check is not None
        and c.check.argv
        and "{" not in c.check.argv[0]
        and not shutil.which(c.check.argv[0])
    }
    return [
        f"the check {use} needs {program}, which is not installed here" for use, program in sorted(missing)
    ]


def publish(compiled: Compiled, ctx: Context, now: float) -> Published:
    """Manifest, ledger, CANCEL for older deliveries, then the packet itself. Looks first; inside a step."""
    doc = compiled.packet
    if doc is None:
        raise ValueError("nothing to publish")
    known: Mapping[str, AgentSettings] = ctx.settings
    root = agents.inbox_root(doc.agent, known[doc.agent], ctx.home)
    packets.prepare(root)
    there = packets.locate(root, doc.task_id, doc.claim_generation)
    if there is None:
        work = Path(doc.workspace.path)
        if not doc.workspace.name:
            packets.make_private(work, root)
        full, context = render.with_context(doc, _earlier_replies(doc, known, ctx.home))
        sealed = render.sealed(full)
        files = render.packet_files(sealed, context)
        ledger = packets.Ledger(
            packet=sealed,
            name=folder_name(sealed),
            root=str(root),
            handoff_sha256=sha256(files["handoff.json"]),
            asked=compiled.asked,
            delivery=compiled.delivery,
        )
        packets.save_ledger(ctx.home, ledger, take(work, doc.workspace.allowed))
        for old in packets.older(agents.roots(known, ctx.home), doc.task_id, doc.claim_generation):
            packets.put_cancel(old, "handed over again", now, ledger.name)
        there = packets.publish(root, sealed, files)
    written = [p for p in there.rglob("*") if p.is_file() and not p.is_symlink()]
    return Published(
        name=there.name,
        place=str(there.relative_to(root)),
        path=str(there),
        files=len(written),
        bytes=sum(p.stat().st_size for p in written),
        handoff_sha256=sha256_file(there / "handoff.json"),
        whole=_whole(there),
    )


def _whole(packet: Path) -> bool:
    manifest = packets.marker(packet, "MANIFEST.json")
    try:
        return bool(manifest) and all(sha256_file(packet / n) == m["sha256"] for n, m in manifest.items())
    except OSError:
        return False


def _earlier_replies(doc: Packet, known: Mapping[str, AgentSettings], home: Path) -> dict[str, bytes]:
    """Receipt and refusals of the latest earlier delivery, for context/."""
    before = packets.previous_ledger(home, doc.task_id, doc.claim_generation)
    if before is None:
        return {}
    folder = packets.locate(Path(before.root), doc.task_id, before.packet.claim_generation)
    if folder is None:
        return {}
    out = {}
    for path in [folder / "receipt.json", *packets.numbered(folder, "RETURN.rejected-")]:
        if path.is_file() and not path.is_symlink():
            out[f"g{before.packet.claim_generation}-{path.name}"] = path.read_bytes()
    return out


def launch(doc: Packet, published: Published, ctx: Context, progress: Callable[[str], None]) -> Launched:
    """Start the agent with the packet and wait for its end. Not again when it has answered; inside a step."""
    settings: AgentSettings = ctx.settings[doc.agent]
    folder = Path(published.path)
    if _answered(folder):
        return Launched(ended="exit", returncode=0, seconds=0.0, answered=True, tail="")
    values = {"packet": published.path, "workspace": doc.workspace.path, "task": doc.task_id, "run": doc.run}
    result = ctx.child(
        complete_argv(settings.launch, values),
        timeout=settings.time_limit,
        silence=settings.silence_limit,
        env={"HANDOFFD_PACKET": published.path, **settings.env},
        cwd=Path(doc.workspace.path),
        on_line=progress,
        keep=LAUNCH_KEEP,
    )
    log = {
        "argv": list(result.argv),
        "ended": result.ended,
        "returncode": result.returncode,
        "wall_s": round(result.wall_s, 3),
        "cpu_s": round(result.cpu_s, 3),
        "stdout": result.stdout,
        "stderr": result.stderr,
    }
    write_over(folder / "launch.log.json", pretty(log))
    tail = one_line((result.stderr or result.stdout)[-400:], 300)
    return Launched(
        ended=result.ended,
        returncode=result.returncode,
        seconds=round(result.wall_s, 3),
        answered=_answered(folder),
        tail=tail,
    )


def _answered(folder: Path) -> bool:
    names = ("RETURN.json", "REFUSE.json", "QUESTION-1.json")
    return any((folder / name).exists() for name in names)
