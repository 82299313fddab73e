"""What a run found, phase by phase: the ``data`` of its outcome, which the report's template shows.

Shape: ``{"mode", "source", "track", "files", "phases": [{"name", "findings": [{"title", "state", "text"}]}],
"dedup", "cpu_s", "wall_s"}``. Everything in it is JSON and was measured or said by a named source.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from daemon.sdk import Row
from handlers.music.model import Audio, Finding, Source, Track

PHASES = {
    "0": "Phase 0: Pre-Execution Intelligence Gathering",
    "0.5": "Phase 0.5: Detect & Resolve Source",
    "1": "Phase 1: Production Workflow Execution",
    "2": "Phase 2: Post-Execution Automation Advancement",
}


@dataclass
class Sheet:
    """Collects while the run goes on; it is rebuilt from the steps' results when the run is replayed."""

    mode: str
    source: dict[str, Any] = field(default_factory=dict)
    track: dict[str, Any] = field(default_factory=dict)
    files: list[dict[str, Any]] = field(default_factory=list)
    dedup: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    cpu_s: float = 0.0
    wall_s: float = 0.0
    stage: str = "preflight.tools"
    """The gate that the work under way will answer: a failure is recorded there."""
    keys: list[str] = field(default_factory=list)
    """Strong keys of the track: of its source, and as what it was detected."""
    row: Row | None = None
    """Its row in the Tracks database, once found."""
    _findings: dict[str, list[dict[str, str]]] = field(default_factory=dict)

    def find(self, phase: str, title: str, text: str, state: str = "ok") -> None:
        """One finding of a phase. ``state``: ok | warn | missing | failed."""
        self._findings.setdefault(phase, []).append({"title": title, "state": state, "text": text})

    def found(self, phase: str, findings: tuple[Finding, ...]) -> None:
        """Several findings."""
        for item in findings:
            self.find(phase, item.title, item.text, item.state)

    def gaps(self) -> list[str]:
        """What was found and is not as it should be, by phase."""
        return [
            f"{key} {item['title']}: {item['text']}"
            for key, items in self._findings.items()
            for item in items
            if item["state"] != "ok"
        ]

    def spent(self, cpu_s: float = 0.0, wall_s: float = 0.0) -> None:
        """Add processor and wall time of a child."""
        self.cpu_s += cpu_s
        self.wall_s += wall_s

    def set_source(self, source: Source, audio: Audio | None = None) -> None:
        """Where the track comes from and, once measured, what it is."""
        self.source = {"url": source.url, "host": source.host, "platform": source.platform, "key": source.key}
        if audio is not None:
            self.source |= {
                "codec": audio.codec,
                "profile": audio.profile,
                "container": audio.container,
                "rate": audio.rate,
                "channels": audio.channels,
                "bitrate": f"{audio.bitrate} kbit/s" if audio.bitrate else "not said",
                "seconds": audio.seconds,
                "lossy": audio.lossy,
                "loudness": f"{audio.loudness} LUFS" if audio.loudness is not None else "not measured",
            }

    def set_track(self, track: Track) -> None:
        """Which track it is."""
        self.track = asdict(track)
        self.track |= {"tempo": track.tempo.line(" BPM"), "tonality": track.tonality.line()}

    def data(self) -> dict[str, Any]:
        """The whole, as JSON values."""
        return {
            "mode": self.mode,
            "source": self.source,
            "track": self.track,
            "files": self.files,
            "dedup": self.dedup,
            "phases": [{"name": PHASES[key], "findings": self._findings.get(key, [])} for key in PHASES],
            "cpu_s": round(self.cpu_s, 3),
            "wall_s": round(self.wall_s, 3),
            **self.extra,
        }
