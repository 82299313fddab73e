"""Music: the files of a track from a 4-minute source, beside plain ffmpeg, beets and spotDL.

Sources are generated. CPU is that of this process and every child; medians of runs taken in turn, so that a
busy minute falls on all. Wall times mean something only on a quiet machine; the limits are on CPU.
"""

from __future__ import annotations

import contextlib
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.peers import NoPeer, Peers
from daemon.sdk import RunInfo
from daemon.testing import DirectContext
from handlers.music import (
    Params,
    Settings,
    covers,
    flow_url,
    measure,
    place,
    proof,
    render,
    tags,
    urls,
    verify,
)
from handlers.music.ffmpeg import PACKET_SAMPLES, find_ffmpeg
from handlers.music.identity import track_of
from handlers.music.model import Audio, Made, Rendered, Tool, Track

SECONDS = 240
MOST = 1.15
"""Ratio of CPU to the best single pass that must hold."""
CODECS = {"aac.m4a": ("aac", "128k"), "opus.webm": ("libopus", "128k"), "mp3.mp3": ("libmp3lame", "128k")}


Row = dict[str, object]
"""One line of the table, as benchmarks.__main__ shows it."""


Cost = tuple[float, float]
"""CPU seconds of this process and its children, wall seconds."""


def cost(act: Callable[[], object]) -> Cost:
    """What one call used."""
    before, began = cpu_s(), time.perf_counter()
    act()
    return cpu_s() - before, time.perf_counter() - began


def cpu_s() -> float:
    """CPU seconds of this process and its ended children so far."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def sources(tool: Tool, root: Path) -> dict[str, Path]:
    """A generated stereo track: noise, chords, a beat; in the codecs that downloads come in."""
    master = root / "master.wav"
    sound = (
        f"anoisesrc=d={SECONDS}:c=pink:r=44100:a=0.15:seed=7[n];"
        f"aevalsrc='0.2*sin(2*PI*220*t)+0.1*sin(2*PI*331*t)|0.2*sin(2*PI*222*t)+0.1*sin(2*PI*440*t)'"
        f":s=44100:d={SECONDS}[c];[n]aformat=channel_layouts=stereo[m];[m][c]amix=inputs=2"
    )
    call(tool, "-filter_complex", sound, "-c:a", "pcm_s16le", str(master))
    out = {}
    for name, (codec, rate) in CODECS.items():
        out[name] = root / name
        call(tool, "-i", str(master), "-c:a", codec, "-b:a", rate, str(out[name]))
    return out


def call(tool: Tool, *args: str) -> None:
    """One plain ffmpeg call."""
    subprocess.run([tool.path, "-y", "-v", "error", "-nostdin", *args], check=True, capture_output=True)


class Ours:
    """Our own steps on one source, as a run of the daemon makes them."""

    def __init__(self, tool: Tool, root: Path, source: Path) -> None:
        self.tool, self.root, self.source = tool, root, source
        when = datetime(2026, 1, 1, tzinfo=UTC)
        info = RunInfo(id="bench", task_id="bench", generation=1, attempt=1, started=when, host="b")
        self.settings = Settings()
        self.ctx = DirectContext(run=info, settings=self.settings, home=root / "home", workdir=root)
        self.audio: Audio = measure.measure(self.ctx, tool, str(source))
        parsed = urls.parse("http://127.0.0.1/x", ["127.0.0.1"])
        self.track: Track = track_of(parsed, {"title": "Bench", "artist": "Mark"}, self.audio, Params())
        self.picture = root / "picture.png"
        call(tool, "-f", "lavfi", "-i", "mandelbrot=s=1000x1000", "-frames:v", "1", str(self.picture))
        self.cover = self.make_cover()

    def make_cover(self) -> covers.Cover:
        """A bounded JPEG of a picture as platforms serve it."""
        folder, picture = self.root / "cover", str(self.picture)
        pixels = self.settings.cover_pixels
        return covers.make_cover(self.ctx, self.tool, picture, self.audio, "", folder, pixels)

    def render(self) -> Rendered:
        """Transcode and tag: three files with tags and cover."""
        folder, source = self.root / "ours", str(self.source)
        return render.render(
            self.ctx, self.tool, source, self.audio, self.track, self.cover, folder, self.settings
        )

    def render_all(self) -> None:
        """The same, and the backup's copy."""
        self.render()
        shutil.copyfile(self.root / "ours" / "track.m4a", self.root / "ours" / "backup.m4a")

    def everything(self) -> None:
        """All that a run does after a download: measured with loudness and fingerprint, looked up, cover,
        rendered, tagged, every file decoded and hashed, placed, recorded, hashed and read where they lie."""
        shutil.rmtree(self.ctx.home, ignore_errors=True)
        prints, loud = self.root / "sound.fp", self.settings.replaygain
        audio = measure.measure(self.ctx, self.tool, str(self.source), loud, prints=prints)
        index = self.settings.index_file(self.ctx.home)
        flow_url.find_match(index, self.track, self.settings.same_seconds)
        self.cover = self.make_cover()
        checked = verify.check_rendered(self.ctx, self.tool, self.render(), audio)
        placed = place.place(self.ctx, checked, self.track, self.settings, self.ctx.home)
        flow_url._record(index, self.track, audio, placed, [self.track.key])
        paths = tuple(f.path for f in placed.files)
        hashes = proof.final_hashes(list(paths))
        found = verify.read_back(self.ctx, paths, self.track, bool(self.cover.path))
        assert len(hashes) == len(paths) == 4 and not any(f["problems"] for f in found), found

    def same_packets(self) -> bool:
        """Whether the M4A holds the very packets of the source."""
        made = next(f for f in self.render().files if f.format == "m4a")
        return measure.measure(self.ctx, self.tool, made.path).packets == self.audio.packets != ""

    def tagging(self) -> None:
        """The tags and the cover alone, written again."""
        files = [Made(format=f, path=str(self.root / "ours" / f"track.{f}"), how="") for f in SUFFIXES]
        tags.write(self.ctx, files, self.track, self.audio, self.cover)


SUFFIXES = ("m4a", "aiff", "wav")


def backed_up(folder: Path) -> None:
    """The second M4A, which no side encodes again."""
    shutil.copyfile(folder / "s.m4a", folder / "b.m4a")


def single_pass(tool: Tool, source: Path, out: Path, copy: bool) -> None:
    """The single ffmpeg pass that a person writes down: one process, every output, no tags."""
    m4a = ("-c:a", "copy") if copy else ("-c:a", "aac", "-b:a", "256k")
    one = ("-map", "0:a:0")
    pcm = [*one, "-c:a", "pcm_s16be", str(out / "s.aiff"), *one, "-c:a", "pcm_s16le", str(out / "s.wav")]
    call(tool, "-i", str(source), *one, *m4a, str(out / "s.m4a"), *pcm)
    backed_up(out)


def best_pass(ours: Ours, out: Path) -> None:
    """The cheapest that we know: the very graph that we use, called by itself, no limits and no tags."""
    command = render.command(
        ours.tool, str(ours.source), ours.audio, SUFFIXES, out, ours.settings.aac_bitrate
    )
    subprocess.run(command, check=True, capture_output=True)
    shutil.copyfile(out / "track.m4a", out / "b.m4a")


def call_each(tool: Tool, source: Path, out: Path) -> None:
    """One ffmpeg call a format with re-encoding and tags: M4A, AIFF, WAV; the backup is copied."""
    said = ("-metadata", "title=Bench", "-metadata", "artist=Mark")
    for name, codec in (("s.m4a", "aac"), ("s.aiff", "pcm_s16be"), ("s.wav", "pcm_s16le")):
        rate = ("-b:a", "256k") if codec == "aac" else ()
        call(tool, "-i", str(source), "-vn", "-c:a", codec, *rate, *said, str(out / name))
    backed_up(out)


def least(tool: Tool, source: Path, folder: Path, copy: bool) -> None:
    """What nobody is spared: one decode, one encode where the source is no AAC, the bytes written."""
    out = ("-c:a", "pcm_s16le") if copy else ("-c:a", "aac", "-b:a", "256k")
    large = ("-af", f"asetnsamples=n={PACKET_SAMPLES}:p=0") if copy else ()
    call(tool, "-i", str(source), "-map", "0:a:0", *large, *out, "-f", "null", "-")
    for name in ("s.m4a", "s.aiff", "s.wav", "b.m4a"):
        (folder / "floor").write_bytes((folder / name).read_bytes())


Costs = dict[str, list[Cost]]
"""What each way used, turn by turn."""


def rounds(kinds: dict[str, Callable[[], Cost]], times: dict[str, int]) -> Costs:
    """CPU and wall of each, taken in turn so that a busy minute falls on all of them."""
    taken: Costs = {name: [] for name in kinds}
    for turn in range(max(times.values())):
        for name, act in kinds.items():
            if turn < times[name]:
                taken[name].append(act())
    return taken


def median(costs: list[Cost]) -> Cost:
    """Of CPU and of wall, each by itself."""
    return statistics.median(c for c, _ in costs), statistics.median(w for _, w in costs)


def paired(ours: list[Cost], peer: list[Cost]) -> float:
    """Median of the ratios of CPU within a turn: what slowed both of a turn down is in neither."""
    return statistics.median(a / b for (a, _), (b, _) in zip(ours, peer, strict=False))


PASSES = {
    "plain": "(a) one ffmpeg pass as one writes it, no tags",
    "best": "(a) the best we know: our pass alone, no tags",
}
PEERS = {
    "beets": "(c) beets convert",
    "spotdl": "(d) spotDL convert, 256k",
    "spotdl copy": "(d) spotDL convert, its copy option",
}


def transcode_rows(tool: Tool, root: Path, name: str, source: Path, peers: Peers | None) -> list[Row]:
    """Making the files of one track beside single passes, a call a format, beets and spotDL."""
    ours = Ours(tool, root, source)
    copy, bare = render.copies(ours.audio), root / "bare"
    bare.mkdir(exist_ok=True)
    acts: dict[str, Callable[[], object]] = {
        "ours": ours.render_all,
        "best": lambda: best_pass(ours, bare),
        "plain": lambda: single_pass(tool, source, root, copy),
        "floor": lambda: least(tool, source, root, copy),
        "each": lambda: call_each(tool, source, root),
        "whole": ours.everything,
        "tags": ours.tagging,
    }
    kinds: dict[str, Callable[[], Cost]] = {k: (lambda act=act: cost(act)) for k, act in acts.items()}  # type: ignore[misc]
    if peers is not None:
        kinds |= peer_kinds(peers, tool, root, source)
    often = ("ours", "plain", "best", "tags")
    times = {k: (11 if copy else 3) if k in often else (3 if copy else 1) for k in kinds}
    got = rounds(kinds, times)
    label = f"{name.split('.')[0]} {SECONDS} s"
    out = ratio_rows(f"{label}: transcode + tag", got, copy, peers)
    if copy:
        equal = ours.same_packets()
        fact: Row = {
            "name": f"{label}: packets of the M4A are the source's",
            "ours": "yes" if equal else "no",
        }
        out.append(fact | {"limit": "yes", "held": equal})
    return out + whole_rows(label, got)


def ratio_rows(label: str, got: Costs, copy: bool, peers: Peers | None) -> list[Row]:
    """CPU and wall beside each other way; the limits are on CPU, and on the ratios within each turn."""
    cpu, wall = median(got["ours"])
    ways = PASSES | {"each": "(b) one ffmpeg call a format"}
    for kind in (k for k in PEERS if k in got and peers is not None):
        ways[kind] = f"{PEERS[kind]} [{peers.versions[PEERS[kind].split()[1].lower()]}]" if peers else ""
    out: list[Row] = []
    for kind, way in ways.items():
        (theirs, their_wall), ratio = median(got[kind]), paired(got["ours"], got[kind])
        used: Row = {"name": f"{label}, CPU", "ours": cpu, "peer": theirs, "peer_name": way, "unit": "s"}
        used["note"] = f"median of {min(len(got['ours']), len(got[kind]))} ratios {ratio:.3f}"
        most = MOST if kind in PASSES else 0.1 if kind == "each" and copy else None
        if most is not None:
            used |= {"limit": f"≤ {most:g} ×", "held": ratio <= most}
        if kind == "plain":
            floor, _ = median(got["floor"])
            used |= {"floor": floor, "floor_name": "decode, encode what must be, write the bytes"}
        lasted: Row = {"name": f"{label}, wall", "ours": wall, "peer": their_wall, "peer_name": way}
        out += [used, lasted | {"unit": "s"}]
    return out


def whole_rows(label: str, got: Costs) -> list[Row]:
    """All that a run does to the files, which no other way does, beside the ways that make files alone."""
    (whole, _), (made, _), (tagged, _) = (median(got[k]) for k in ("whole", "ours", "tags"))
    name = f"{label}: measure, loudness, cover, render, tag, decode each file, place, read back, CPU"
    first: Row = {"name": name, "ours": whole, "unit": "s"}
    first |= {"peer": median(got["plain"])[0], "peer_name": PASSES["plain"]}
    second = first | {
        "peer": median(got["each"])[0],
        "peer_name": "(b) one ffmpeg call a format, none proved",
    }
    parts = f"of it render and tag {made:.2f}, tags {tagged:.3f} s"
    return [first | {"note": parts}, second]


def peer_kinds(peers: Peers, tool: Tool, root: Path, source: Path) -> dict[str, Callable[[], Cost]]:
    """The peers' converters on one source. beets can't read WebM: it gets the same packets in Ogg."""
    theirs = source
    if source.suffix == ".webm":
        theirs = source.with_suffix(".opus")
        call(tool, "-i", str(source), "-c:a", "copy", str(theirs))

    def asked(act: str, path: Path, **more: object) -> Cost:
        answer = peers.ask(act, source=str(path), folder=str(root), ffmpeg=tool.path, **more)
        return answer["cpu"], answer["wall"]

    out: dict[str, Callable[[], Cost]] = {
        "beets": lambda: asked("beets", theirs),
        "spotdl": lambda: asked("spotdl", source, bitrate="256k"),
    }
    if source.suffix == ".m4a":
        out["spotdl copy"] = lambda: asked("spotdl", source, bitrate=None)
    return out


def rows() -> list[Row]:
    """The table of this room."""
    out: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="handoffd-bench-") as folder, contextlib.ExitStack() as stack:
        root, tool = Path(folder), find_ffmpeg()
        peers = None
        try:
            peers = stack.enter_context(Peers())
        except NoPeer as error:
            out.append({"name": "beets and spotDL", "ours": "not measured", "note": str(error)})
        for name, source in sources(tool, root).items():
            out += transcode_rows(tool, root, name, source, peers)
    fact: Row = {"name": "ffmpeg that all of them call", "ours": tool.version}
    return [fact, *out]
