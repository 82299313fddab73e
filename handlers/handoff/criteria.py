"""Criterion lines of a page → criteria with ids, each bound to a daemon's check or to a person's question.

A page names a check; what the check runs stands in the settings. ``check.AC1 = "file:out.txt"``,
``check.AC2 = "tests"`` and ``check.AC3 = {use = "tests", path = "unit"}`` are the forms (docs/handoffs.md).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from daemon.core.text import one_line, visible
from handlers.handoff.agents import PLACEHOLDERS, AgentSettings, CheckTemplate
from handlers.handoff.model import BoundCheck, Criterion
from handlers.handoff.workspace import relative

MAX_CRITERIA = 100
_BULLET = re.compile(r"^\s*(?:[-*•]\s+)?(?:\[[ xX]\]\s*)?")
_NAMED = re.compile(r"(AC[1-9][0-9]{0,2})\s*[:.)\-–]?\s+(.*)", re.DOTALL)
_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/@+-]{0,199}")
_NUMBER = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,9})?")


class Binding(msgspec.Struct, frozen=True, kw_only=True):
    """Result: the criteria, and every problem found on the way, in words for the page."""

    criteria: tuple[Criterion, ...] = ()
    problems: tuple[str, ...] = ()


def bind(
    lines: Sequence[str],
    checks: Mapping[str, object],
    optional: Sequence[str],
    agent: AgentSettings,
) -> Binding:
    """Number the lines, bind ``checks`` (criterion id → check, from Parameters), collect problems."""
    named, problems = _number(lines)
    out: list[Criterion] = []
    for cid, text in named.items():
        spec = checks.get(cid)
        bound, problem = _bound(cid, spec, agent) if spec is not None else (None, "")
        if problem:
            problems.append(problem)
        out.append(_criterion(cid, text, cid not in optional, bound, spec))
    for cid in [*checks, *optional]:
        if cid not in named:
            problems.append(f"Parameters name the criterion {one_line(cid, 40)}, but there is none")
    return Binding(criteria=tuple(out), problems=tuple(problems))


def _number(lines: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    named: dict[str, str] = {}
    problems: list[str] = []
    for line in lines:
        text = _BULLET.sub("", line[:4000], count=1).strip()
        if not text:
            continue
        match = _NAMED.fullmatch(text)
        cid = match.group(1) if match else _free(named)
        if cid in named:
            problems.append(f"the criterion id {cid} is used twice")
            continue
        named[cid] = visible(match.group(2) if match else text).strip()
    if len(named) > MAX_CRITERIA:
        problems.append(f"{len(named)} criteria: at most {MAX_CRITERIA}")
    return named, problems


def _free(named: Mapping[str, str]) -> str:
    number = len(named) + 1
    while f"AC{number}" in named:
        number += 1
    return f"AC{number}"


def _criterion(cid: str, text: str, required: bool, bound: BoundCheck | None, spec: object) -> Criterion:
    if bound is None:
        asked = spec.partition(":")[2].strip() if isinstance(spec, str) else ""
        question = visible(asked) or f"Is this met? {text}"
        return Criterion(
            id=cid, text=text, required=required, kind="human", who_verifies="human", question=question
        )
    kind = "file" if bound.use == "file" else "command"
    return Criterion(
        id=cid,
        text=text,
        required=required,
        kind="file" if kind == "file" else "command",
        who_verifies="daemon",
        check=bound,
    )


def _bound(cid: str, spec: object, agent: AgentSettings) -> tuple[BoundCheck | None, str]:
    """The check, or None for a person's; and a problem or ""."""
    if isinstance(spec, str):
        use, _, rest = spec.partition(":")
        args: dict[str, object] = {"path": rest.strip()} if use == "file" else {}
        if use == "human":
            return None, ""
        if rest and use != "file":
            return None, f"check.{cid}: write file:<path>, human:<question> or the name of a check"
    elif isinstance(spec, Mapping):
        args = {str(k): v for k, v in spec.items()}
        use = str(args.pop("use", ""))
    else:
        return None, f"check.{cid}: expected text or a table"
    use = use.strip()
    if use == "file":
        return _file(cid, args, agent)
    template = agent.checks.get(use)
    if template is None:
        known = ", ".join(["file", "human", *sorted(agent.checks)])
        return None, f"check.{cid}: no check “{one_line(use, 60)}”; known: {known}"
    return _command(cid, use, template, args)


def _file(cid: str, args: dict[str, object], agent: AgentSettings) -> tuple[BoundCheck | None, str]:
    unknown = sorted(args.keys() - {"path", "contains", "min_bytes", "read_only"})
    if unknown:
        return None, f"check.{cid}: file has no option {', '.join(one_line(u, 40) for u in unknown)}"
    size = args.get("min_bytes", agent.min_evidence_bytes)
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        return None, f"check.{cid}: min_bytes must be a whole number ≥ 0"
    try:
        path = relative(str(args.get("path", "")))
    except ValueError as err:
        return None, f"check.{cid}: the path {err}; write one relative to the workspace"
    return BoundCheck(
        use="file",
        path=path,
        contains=str(args.get("contains", ""))[:1000],
        min_bytes=size,
        read_only=args.get("read_only") is True,
    ), ""


def _command(
    cid: str, use: str, template: CheckTemplate, args: dict[str, object]
) -> tuple[BoundCheck | None, str]:
    if args.keys() != template.args.keys():
        wanted = ", ".join(sorted(template.args)) or "none"
        return None, f"check.{cid}: the check “{use}” takes these values: {wanted}"
    values: dict[str, str] = {}
    for name, kind in template.args.items():
        try:
            values[name] = argument(kind, args[name])
        except ValueError as err:
            return None, f"check.{cid}: {name} {err}"
    return BoundCheck(
        use=use,
        argv=tuple(_fill(part, values) for part in template.argv),
        cwd=template.cwd,
        timeout=template.timeout,
        exit=template.exit,
        regex=template.regex,
        env=template.env,
        read_only=template.read_only,
    ), ""


def argument(kind: str, value: object) -> str:
    """A page's value as one argv element that can't be an option. Raises ValueError saying what is wrong."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"must be a {kind}")
    text = str(value)
    if kind == "path":
        clean = relative(text)
        if "{" in clean or "}" in clean:
            raise ValueError("must have no braces")
        return clean if not clean.startswith("-") else f"./{clean}"
    pattern = _NUMBER if kind == "number" else _WORD
    if not pattern.fullmatch(text):
        raise ValueError(f"must be a {kind}")
    return text


def _fill(part: str, values: Mapping[str, str]) -> str:
    """Replace ``{name}`` once, left to right; the daemon's own placeholders stay for later."""
    return re.sub(r"\{([a-z_]+)\}", lambda m: values.get(m.group(1), m.group(0)), part)


def complete_argv(argv: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """The argv that is run: the daemon's own placeholders filled in."""
    own = {name: values[name] for name in PLACEHOLDERS if name in values}
    return [_fill(part, own) for part in argv]
