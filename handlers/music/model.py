"""What the steps of a music sync hand to each other: plain data that goes through JSON and back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

LOSSLESS = frozenset({"alac", "flac", "wavpack", "ape", "tta", "truehd", "mlp", "shorten"})
"""Codecs that keep every sample; PCM is told by its ``pcm_`` prefix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of a report's phase. ``state``: ok | warn | missing."""

    title: str
    state: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a track comes from. ``key`` is the strong identity: ``youtube:<id>`` or ``url:<canonical>``."""

    url: str
    host: str
    platform: str
    """youtube | soundcloud | bandcamp | direct"""
    key: str

    @property
    def direct(self) -> bool:
        """A file or page of a host that the settings name, not a known platform."""
        return self.platform == "direct"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A found ffmpeg. ``version``: "9.0.2", major number 0 when it could not be read."""

    path: str
    version: str
    major: int
    encoders: tuple[str, ...]
    muxers: tuple[str, ...]
    filters: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A finished download in the work folder. ``info``: what the extractor said, cut to what is used."""

    path: str
    bytes: int
    sha256: str
    info: dict[str, Any]
    cover: str
    """Path of the thumbnail as it came, unchecked; "" = none."""
    url: str
    """Where the bytes came from in the end, after redirects, without its query."""
    wall_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Audio:
    """A file, measured: decoded from end to end with errors fatal.

    ``seconds`` and ``samples`` (per channel) were counted while decoding; ``claimed_s`` is what the
    container says. ``pcm`` is a hash of the decoded 16-bit samples; equal hashes, equal sound.
    """

    codec: str
    profile: str
    container: str
    rate: int
    channels: int
    sample_format: str
    bitrate: int | None
    """kbit/s as the container says, None = not said."""
    claimed_s: float | None
    seconds: float
    samples: int
    pcm: str
    lossy: bool
    loudness: float | None = None
    """Integrated loudness, LUFS (EBU R128); None = not measured, or silence."""
    peak: float | None = None
    """Highest sample, dBFS."""
    packets: str = ""
    """Hash of the encoded packets, for AAC; "" = not taken."""
    fingerprint: str = ""
    """Chromaprint of its first two minutes, packed (sound.py); "" = nothing here can, or it is too short."""
    tags: dict[str, str] = field(default_factory=dict)
    cover_stream: bool = False
    warnings: tuple[str, ...] = ()
    cpu_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Tempo or key, by whom. ``value`` "" = there is none, and ``why`` says why; nothing is ever made up."""

    value: str = ""
    """BPM ("120", "174.02") or a key as TKEY spells it ("Am", "F#")."""
    by: str = ""
    """Tool and version, or where it was said: ``tag TBPM of the source``."""
    confidence: float | None = None
    """0–1 of a measurement; None = it was told, not measured."""
    why: str = ""

    def line(self, unit: str = "") -> str:
        """For a tag and for a report."""
        if not self.value:
            return f"not measured: {self.why}" if self.why else "not measured"
        sure = "as told" if self.confidence is None else f"confidence {self.confidence:.2f}"
        return f"{self.value}{unit}; {sure}; {self.by}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """What is being made. ``id``: 20 hex digits, from ``key``; every file carries it (tags.py)."""

    id: str
    key: str
    artist: str
    title: str
    """With its version: "Strobe (Club Edit)"."""
    version: str
    """The version markers alone, sorted and joined; "" = the plain one."""
    album: str
    date: str
    genre: str
    isrc: str
    playlist: str
    url: str
    duration_s: float
    tempo: Reading = Reading()
    tonality: Reading = Reading()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cover:
    """A checked and re-encoded cover, or why there is none (``path`` "")."""

    path: str
    mime: str
    width: int
    height: int
    bytes: int
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """One rendered and tagged file in the work folder."""

    format: str
    path: str
    how: str
    """copied | encoded | decoded"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """The result of one ffmpeg pass and the tagging of its files."""

    files: tuple[Made, ...]
    cpu_s: float
    wall_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One rendered file after its full decode. ``problems`` empty = it is what it should be."""

    format: str
    path: str
    bytes: int
    sha256: str
    codec: str
    seconds: float
    samples: int
    pcm: str
    difference_s: float
    problems: tuple[str, ...]
    packets: str = ""
    """Hash of the AAC packets; "" = it is no AAC."""
    cpu_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A file of the library. ``how``: new | there | replaced."""

    format: str
    path: str
    how: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """All files of a set, and what the folders held before and after."""

    files: tuple[Placed, ...]
    suffix: str
    """"" or the part of the name that tells it from another track of the same name."""
    before: dict[str, int]
    after: dict[str, int]
