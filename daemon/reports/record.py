"""A bundle as a document: evidence.json, schema ``report/1`` (docs/reports.md), and back.

The document holds everything that the report was rendered from, so ``report render`` can make the same
report again without the store. Its head is small and comes first: the index reads only that.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from daemon.core import ids
from daemon.core.errors import NotFound, PermanentError
from daemon.core.evidence import Evidence, GateResult, Judged, verdict
from daemon.core.ports import Bundle
from daemon.core.task import Task
from daemon.reports.amounts import iso
from daemon.reports.compare import Baseline
from daemon.reports.view import View

SCHEMA = "report/1"


def document(shown: View, baseline: Baseline) -> dict[str, Any]:
    """The JSON document of a report. The claim is left out: its nonce is the board's business alone."""
    bundle = shown.bundle
    task = msgspec.to_builtins(bundle.task)
    task["claim"] = None
    raw: dict[str, Any] = {
        "schema": SCHEMA,
        "run": bundle.run,
        "kind": bundle.kind,
        "handler": bundle.handler,
        "outcome": bundle.outcome,
        "status": bundle.status,
        "verdict": verdict(bundle.judged).value,
        "headline": {"word": shown.status.word, "tone": shown.status.tone, "sentence": shown.status.sentence},
        "started": bundle.started,
        "ended": bundle.ended,
        "times": {"started": iso(bundle.started), "ended": iso(bundle.ended), "seconds": shown.seconds},
        "versions": {"handoffd": bundle.version, "report": SCHEMA},
        "host": bundle.host,
        "generation": bundle.generation,
        "attempt": bundle.attempt,
        "summary": bundle.summary,
        "why": bundle.why,
        "task": task,
        "gates": [_gate(j) for j in bundle.judged],
        "evidence": [_evidence(e) for e in bundle.evidence],
        "steps": list(bundle.steps),
        "files": list(bundle.files),
        "formats": [{"format": n, "files": c, "bytes": b} for n, c, b in shown.formats],
        "follow_ups": list(bundle.follow_ups),
        "notices": [msgspec.to_builtins(n) for n in shown.notices],
        "previous": list(bundle.previous),
        "baseline": msgspec.to_builtins(baseline),
        "data": bundle.data,
    }
    plain: dict[str, Any] = _plain(raw)
    return plain


def dump(doc: Mapping[str, Any]) -> bytes:
    """``doc`` as bytes: ASCII only, so that no invisible character hides in it; keys in documented order."""
    try:
        return (json.dumps(doc, ensure_ascii=True, allow_nan=False, indent=1) + "\n").encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise PermanentError(
            f"run {doc.get('run')} recorded something that is not JSON: {error}",
            hint="evidence and outcome data must be strings, numbers, booleans, lists and objects",
        ) from error


def read(path: Path) -> dict[str, Any]:
    """The document at ``path``. NotFound when it is gone, PermanentError when it is no ``report/1``."""
    try:
        doc = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise NotFound(f"no evidence at {path}", hint="see `handoffd report list`") from error
    except (ValueError, RecursionError) as error:
        raise PermanentError(f"{path} is not JSON: {error}") from error
    if not isinstance(doc, dict) or doc.get("schema") != SCHEMA:
        raise PermanentError(f"{path} is not a {SCHEMA} document")
    return doc


def load(doc: Mapping[str, Any]) -> tuple[Bundle, Baseline]:
    """The bundle and baseline that ``doc`` was made from. PermanentError when a part is missing or wrong."""
    try:
        ids.split_run_id(doc["run"])
        bundle = Bundle(
            kind=str(doc["kind"]),
            run=str(doc["run"]),
            task=msgspec.convert(doc["task"], Task),
            handler=str(doc["handler"]),
            host=str(doc["host"]),
            version=str(doc["versions"]["handoffd"]),
            generation=int(doc["generation"]),
            attempt=int(doc["attempt"]),
            started=float(doc["started"]),
            ended=float(doc["ended"]),
            outcome=str(doc["outcome"]),
            status=str(doc["status"]),
            summary=str(doc["summary"]),
            why=str(doc["why"]),
            data=doc["data"],
            judged=[_judged(g) for g in doc["gates"]],
            evidence=msgspec.convert(doc["evidence"], list[Evidence]),
            steps=doc["steps"],
            files=doc["files"],
            follow_ups=doc["follow_ups"],
            previous=doc["previous"],
        )
        return bundle, msgspec.convert(doc["baseline"], Baseline)
    except (KeyError, TypeError, ValueError, msgspec.ValidationError) as error:
        raise PermanentError(f"evidence of run {doc.get('run')} is incomplete: {error!r}") from error


def _gate(judged: Judged) -> dict[str, Any]:
    return {
        "name": judged.name,
        "title": judged.title,
        "group": judged.group,
        "required": judged.required,
        "result": judged.result.value,
        "why": judged.why,
        "evidence": list(judged.evidence),
    }


def _judged(gate: Mapping[str, Any]) -> Judged:
    return Judged(
        name=gate["name"],
        title=gate["title"],
        group=gate["group"],
        required=bool(gate["required"]),
        result=GateResult(gate["result"]),
        why=gate["why"],
        evidence=tuple(gate["evidence"]),
    )


def _evidence(item: Evidence) -> dict[str, Any]:
    return {
        "gate": item.gate,
        "kind": item.kind,
        "subject": item.subject,
        "ok": item.ok,
        "at": item.at,
        "data": item.data,
    }


def _plain(value: Any) -> Any:
    """JSON knows no NaN and no infinity: they are kept as words rather than lost."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(v) for v in value]
    return value
