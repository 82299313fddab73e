"""The ``music-sync`` handler: a track from where it is heard to four proved files in the library.

Only this module, its settings and the SDK are loaded when the daemon starts; the rest, and the heavy tools,
when a task runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from daemon.sdk import Gate, handler
from handlers.music.settings import Params, Settings

if TYPE_CHECKING:
    from daemon.sdk import Check, Context, Outcome, Task

__all__ = ["MusicSync", "Params", "Settings"]

PRE, RUN, POST = "Pre-Execution", "Execution", "Post-Execution"

GATES = (
    Gate(name="preflight.tools", title="Tools, folders and space were there", group=PRE),
    Gate(name="defaults", title="What the settings leave to defaults was listed", required=False, group=PRE),
    Gate(name="related-items", title="Open tasks of this kind were looked for", required=False, group=PRE),
    Gate(name="earlier-gaps", title="Gaps of earlier runs were looked for", required=False, group=PRE),
    Gate(name="source.resolved", title="The source was resolved", group=PRE),
    Gate(name="dedup.checked", title="The library was searched for duplicates", group=RUN),
    Gate(name="download.decodes", title="The download decodes from end to end", group=RUN),
    Gate(name="files.m4a", title="The M4A file is there and decodes", group=RUN),
    Gate(name="files.aiff", title="The AIFF file is there and decodes", group=RUN),
    Gate(name="files.wav", title="The WAV file is there and decodes", group=RUN),
    Gate(name="files.backup", title="The M4A backup is there and decodes", group=RUN),
    Gate(name="files.durations", title="Every file lasts as long as the source, ± 50 ms", group=RUN),
    Gate(name="files.same_audio", title="Samples and packets are the source's own", group=RUN),
    Gate(name="placed.atomically", title="All files were placed, each whole, none over another", group=RUN),
    Gate(name="tags.read_back", title="Tags read back as written", group=POST),
    Gate(name="identity.kept", title="What was detected is what was processed", group=POST),
    Gate(name="tracks.row", title="The row in the Tracks database says so, read back", group=RUN),
    Gate(name="eagle.imported", title="The files are in Eagle", group=RUN),
    Gate(
        name="analysis",
        title="Tempo and key were measured or told, or it is said why not",
        required=False,
        group=RUN,
    ),
    Gate(name="gaps", title="What stands open after the run was listed", required=False, group=POST),
    Gate(name="cover.embedded", title="A cover is embedded", required=False, group=POST),
)
LIBRARY_GATES = (
    Gate(name="library.online", title="The library's folders are the ones that were known", group=PRE),
    Gate(name="library.scanned", title="Every file's tags were read", group=RUN),
    Gate(name="library.whole", title="Every track's set is whole and decodes", group=RUN),
    Gate(name="dedup.planned", title="The plan lists proved duplicates only, within the cap", group=RUN),
    Gate(name="dedup.applied", title="The plan was applied as reviewed, and is reversible", group=RUN),
    Gate(name="match.rejected", title="The address is ruled out, read back", group=RUN),
)


@handler
class MusicSync:
    """Handler ``music-sync``."""

    name: ClassVar[str] = "music-sync"
    section: ClassVar[str] = "music"
    Params: ClassVar[type] = Params
    Settings: ClassVar[type] = Settings
    gates: ClassVar[tuple[Gate, ...]] = (*GATES, *LIBRARY_GATES)
    report: ClassVar[str] = "music"
    time_limit: ClassVar[float] = 3600.0
    takeover: ClassVar[str] = "anew"

    def run(self, task: Task, params: Any, ctx: Context) -> Outcome:
        """Carry out the mode that the task asks for."""
        from handlers.music import modes

        return modes.run(task, params, ctx)

    def checks(self, settings: Any, home: Path) -> list[Check]:
        """Lines of ``handoffd doctor``."""
        from handlers.music import preflight

        return preflight.checks(settings, home)
