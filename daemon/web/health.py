"""Liveness, readiness, metrics."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from daemon.web import room
from daemon.web.attention import LATE, stale


def live(request: Request) -> Response:
    """200 while ticks finish in time, else 503 (research/style.md §4.8)."""
    parts = room.of(request).parts
    snapshot, now = parts.snapshot(), parts.clock()
    late = stale(snapshot, parts.interval, now)
    body = {
        "status": "ok" if late is None else "stuck",
        "tick_age_s": round(now - snapshot.at, 3),
        "ticks": snapshot.ticks,
        "late_after_intervals": LATE,
    }
    return JSONResponse(body, 200 if late is None else 503)


def ready(request: Request) -> Response:
    """200 when everything that work needs is in order, else 503 with the reasons."""
    checks = room.of(request).parts.readiness()
    fine = all(ok for _, ok, _ in checks)
    body = {
        "status": "ready" if fine else "not_ready",
        "checks": [{"name": n, "ok": ok, "message": m} for n, ok, m in checks],
    }
    return JSONResponse(body, 200 if fine else 503)


def metrics(request: Request) -> Response:
    """Prometheus text."""
    return Response(room.of(request).parts.metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")
