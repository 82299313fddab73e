"""Who a recording is: artist, core title and version, folded for comparison. Pure.

"Strobe", "Strobe (Club Edit)" and "Strobe (Live)" are three recordings; "Strobe (Official Video)" is the
first one. Every script is kept; accents are taken off Latin letters alone (research/music.md §6.1).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from handlers.music import urls
from handlers.music.model import Audio, Source, Track
from handlers.music.settings import Params

_BRACKETS = re.compile(r"[(\[{（【]([^()\[\]{}（）【】]*)[)\]}）】]")
_DASH_TAIL = re.compile(r"\s+[-–—|]\s+([^-–—|]+)$")
_FEAT = re.compile(r"\b(?:feat|ft|featuring|with)\b\.?\s+(.+)$", re.I)
_PIPE = re.compile(r"\s+[|｜•]\s+.*$")
_NAME_DASH = re.compile(r"\s+[-–—―]\s+")
_SPLIT_ARTISTS = re.compile(
    r"\s*(?:,|;|/|&|\+|\band\b|\bx\b|×|\bvs\b\.?|\bfeat\b\.?|\bft\b\.?|\bfeaturing\b)\s*", re.I
)
_AUTO_NAME = re.compile(
    r"(user[-_ ]?\d+|unknown( artist)?|various( artists)?|tracks|likes|none|null|n/?a)", re.I
)

_NOISE = re.compile(
    r"(official|officiel|lyrics?|lyric video|audio|video|visuali[sz]er|music video|hd|hq|4k|1080p|mv|m/v|"
    r"premiere|free (download|dl)|out now|explicit|clean|original( mix| version)?|album version|full( song)?|"
    r"remaster(ed)?( version)?|stereo|mono|bonus track|topic|single|new|\d{4}|\d{4} remaster(ed)?|"
    r"remaster(ed)? \d{4})"
)
_NOISE_WORD = re.compile(r"\b(official|lyrics?|visuali[sz]er|remaster(ed)?|premiere|free download|out now)\b")

# A version word, and the marker that it stands for. The first that matches decides.
_VERSIONS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), marker)
    for pattern, marker in (
        (r"\b(a ?cc?ap?pella|acapella|vocals? only|isolated vocals?)\b", "acapella"),
        (r"\b(karaoke|backing track|minus one|in the style of|made famous)\b", "karaoke"),
        (r"\b(instrumental|no vocals?)\b", "instrumental"),
        (r"\b(sped ?up|speed ?up|nightcore|fast version)\b", "sped"),
        (r"\b(slowed|slow(ed)? ?(and|\+|&)? ?reverb|reverb|daycore)\b", "slowed"),
        (r"\b(8d|16d|360 audio)\b", "8d"),
        (r"\b(bass ?boost(ed)?)\b", "bass"),
        (
            r"\b(1|one|\d+) ?(hours?|hrs?|h) ?(loop|version|edition|mix)?\b|\bloop(ed)?\b|\bextended loop\b",
            "loop",
        ),
        (r"\b(live|concert|unplugged|mtv|tiny desk|session)\b", "live"),
        (r"\b(acoustic|stripped)\b", "acoustic"),
        (r"\bpiano (version|cover)\b", "piano"),
        (r"\b(tribute|cover(ed)?)\b", "cover"),
        (r"\bmash ?up\b", "mashup"),
        (r"\b(demo|rough mix|work in progress|wip|snippet|preview|teaser)\b", "demo"),
        (r"\b(tutorial|reaction|lesson|how to)\b", "talk"),
    )
)
_MIXES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), marker)
    for pattern, marker in (
        (r"(extended|club|12 ?inch|long)( mix| version| edit)?", "extended"),
        (r"radio( edit| mix| version)?|short (edit|version|mix)", "radio"),
        (r"vip( mix| edit)?", "vip"),
        (r"dub( mix| version)?", "dub"),
        (r"edit(ed)?", "edit"),
    )
)
_REMIX = re.compile(
    r"(?P<who>.*?)\b(?P<what>re-?mix(ed)?|rmx|re-?work(ed)?|flip|bootleg|re-?edit|edit|mix|re-?fix|version|vip|dub)\b(?P<rest>.*)"
)

# What stands without brackets at a title's end, and the marker that it is.
_ENDS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), marker)
    for pattern, marker in (
        (r" (?:extended|club) (?:mix|version|edit)$", "extended"),
        (r" radio edit$", "radio"),
        (r" (?:sped ?up|nightcore)$", "sped"),
        (r" slowed(?: and)?(?: reverb)?$", "slowed"),
        (r" instrumental(?: version)?$", "instrumental"),
        (r" karaoke(?: version)?$", "karaoke"),
        (r" acoustic(?: version)?$", "acoustic"),
        (r" (?:1|one|\d+) ?hours?(?: loop| version)?$", "loop"),
        (r" 8d(?: audio)?$", "8d"),
        (r" bass boosted$", "bass"),
        (r" cover$", "cover"),
        (r" live(?: (?:at|in|from|on) .+)?$", "live"),
        (r" original mix$", ""),
        (r" (?:official )?(?:music |lyrics? )?(?:video|audio|visualizer)$", ""),
        (r" lyrics$", ""),
        (r" (?:hd|hq|4k)$", ""),
    )
)
_ANY_END = re.compile("|".join(f"(?:{pattern.pattern})" for pattern, _ in _ENDS))


_ASCII_WORD = re.compile("[a-z0-9]+")
KEPT = 512
"""Names that are remembered taken apart: a lookup meets the same few often, the next track others."""


@lru_cache(maxsize=KEPT)
def fold(text: str) -> str:
    """For comparison only: compatibility forms joined, case folded, Latin accents and punctuation gone.

    Never empty unless ``text`` is blank: a name of symbols alone stays as it is.
    """
    if text.isascii():  # the same by the quick way
        low = text.lower()
        return " ".join(_ASCII_WORD.findall(low.replace("&", " and ").replace("'", ""))) or " ".join(
            low.split()
        )
    plain = unicodedata.normalize("NFKC", text).casefold()
    out: list[str] = []
    for char in unicodedata.normalize("NFD", plain):
        if unicodedata.combining(char) and out and _latin(out[-1]):
            continue
        out.append(char)
    joined = unicodedata.normalize("NFC", "".join(out)).replace("&", " and ").replace("’", "'")
    joined = joined.replace("'", "")
    words = "".join(c if _wordlike(c) else " " for c in joined).split()
    return " ".join(words) or " ".join(plain.split())


def _latin(char: str) -> bool:
    return "a" <= char <= "z"


def _wordlike(char: str) -> bool:
    return unicodedata.category(char)[0] in "LNM"


@dataclass(frozen=True, slots=True)
class Name:
    """A title taken apart. ``core`` and ``versions`` are folded; ``featured`` as written."""

    core: str
    versions: frozenset[str]
    featured: tuple[str, ...]

    @property
    def version(self) -> str:
        """The markers on one line, in a stable order."""
        return " ".join(sorted(self.versions))


@lru_cache(maxsize=KEPT)
def name_of(title: str) -> Name:
    """Core title, version markers and featured artists of a title as a platform spells it."""
    text = unicodedata.normalize("NFKC", title).strip()
    text = _PIPE.sub("", text) or text
    versions: set[str] = set()
    featured: list[str] = []

    def bracket(match: re.Match[str]) -> str:
        inner = match.group(1).strip()
        return " " if _part(inner, versions, featured) else f" {inner} "

    for _ in range(4):
        text, count = _BRACKETS.subn(bracket, text)
        if not count:
            break
    while tail := _DASH_TAIL.search(text):
        if not _part(tail.group(1).strip(), versions, featured, bare=True):
            break
        text = text[: tail.start()]
    feat = _FEAT.search(text)
    if feat and feat.start() > 0 and not feat.group(0).lower().startswith("with"):
        featured += _artist_names(feat.group(1))
        text = text[: feat.start()]
    core = _bare_versions(fold(text), versions)
    return Name(core or fold(title), frozenset(versions), tuple(featured))


def _part(inner: str, versions: set[str], featured: list[str], *, bare: bool = False) -> bool:
    """Take in a bracketed (or dashed) part: noise, a version, a guest. False = it belongs to the title."""
    feat = _FEAT.match(inner)
    if feat:
        featured += _artist_names(feat.group(1))
        return True
    folded = fold(inner)
    if not folded:
        return True
    if _NOISE.fullmatch(folded) or (not bare and _NOISE_WORD.search(folded) and not markers(folded)):
        return True
    found = markers(folded)
    if not found:
        return False
    versions |= found
    return True


def markers(folded: str) -> set[str]:
    """The version markers of a folded part of a title, as ``live`` or ``rmx:kova``; empty = it names none."""
    found = {marker for pattern, marker in _VERSIONS if pattern.search(folded)}
    if found:
        return found
    for pattern, marker in _MIXES:
        if pattern.fullmatch(folded):
            return {marker}
    remix = _REMIX.fullmatch(folded)
    if remix and remix["who"].strip():
        who = remix["who"].strip()
        if who in ("the", "a", "original", "album", "main", "single", "full"):
            return set()
        extended = re.sub(r"\b(extended|club|radio|vip|dub)\b", "", who).strip()
        extra = {m for p, m in _MIXES if p.fullmatch(re.sub(re.escape(extended), "", who).strip() or "-")}
        return {f"rmx:{extended}", *extra} if extended else extra
    if remix and remix["what"].replace("-", "") in ("remix", "rmx", "bootleg", "rework", "flip", "refix"):
        by = remix["rest"].strip()
        return {f"rmx:{by[3:].strip()}" if by.startswith("by ") else "rmx:"}
    return set()


def _bare_versions(folded: str, versions: set[str]) -> str:
    """Markers that stand without brackets at a title's end: ``song extended mix``, ``song sped up``."""
    text = folded
    for _ in range(3):
        if not _ANY_END.search(text):
            break
        for pattern, marker in _ENDS:
            cut = pattern.sub("", text)
            if cut != text and cut.strip():
                if marker:
                    versions.add(marker)
                text = cut
                break
        else:
            break
    return text.strip()


def _artist_names(text: str) -> list[str]:
    return [p.strip() for p in _SPLIT_ARTISTS.split(text) if p and p.strip()]


def artists_of(text: str) -> tuple[str, ...]:
    """The single artists of a credit, folded, in order: ``A, B & C feat. D``."""
    cleaned = re.sub(r"\s+-\s+topic$", "", text.strip(), flags=re.I)
    cleaned = re.sub(r"(?<=\w)vevo$", "", cleaned, flags=re.I)
    return tuple(dict.fromkeys(f for p in _artist_names(cleaned) if (f := fold(p))))


def believable_artist(text: str) -> bool:
    """False for what platforms put where no artist is known: ``user-123456``, ``Unknown Artist`` (MU-30)."""
    return bool(text.strip()) and _AUTO_NAME.fullmatch(text.strip()) is None


def split_title(title: str) -> tuple[str, str]:
    """``("Artist", "Title")`` of ``Artist - Title``; ``("", title)`` when it is not of that form."""
    head, *rest = _NAME_DASH.split(title.strip(), maxsplit=1)
    if not rest or not head.strip() or not rest[0].strip():
        return "", title.strip()
    tail = rest[0].strip()
    plain = not _BRACKETS.search(tail) and not _NAME_DASH.search(tail)
    if plain and _part(tail, set(), [], bare=True):  # "Song - Radio Edit" is no artist and title
        return "", title.strip()
    return head.strip(), rest[0].strip()


def track_of(source: Source, info: Mapping[str, object], audio: Audio, params: Params) -> Track:
    """The track that a download is: what the task says, else the platform, else the file's own tags.

    A file served directly knows itself better than its address does, so there its tags go first.
    """
    tags = audio.tags
    said = {k: str(info.get(k) or "").strip() for k in ("track", "title", "artist", "album", "genre", "isrc")}
    listed = info.get("artists") or info.get("creators") or ()
    joined = (
        ", ".join(str(a) for a in listed)
        if isinstance(listed, Sequence) and not isinstance(listed, str)
        else ""
    )
    title, artist = said["track"] or said["title"], joined or said["artist"] or str(info.get("creator") or "")
    if source.direct:
        title, artist = tags.get("title") or title, tags.get("artist") or tags.get("album_artist") or artist
    if not artist or not said["track"]:
        left, right = split_title(title)
        if left and (not artist or fold(artist) == fold(left)):
            artist, title = left, right
    if not believable_artist(artist):
        channel = re.sub(r"\s+-\s+Topic$", "", str(info.get("channel") or info.get("uploader") or ""))
        artist = channel if believable_artist(channel) else ""
    title = params.title or title or "Untitled"
    date = str(info.get("release_date") or info.get("release_year") or tags.get("date") or "")
    genres = info.get("genres")
    genre = (
        said["genre"]
        or (str(genres[0]) if isinstance(genres, list) and genres else "")
        or tags.get("genre", "")
    )
    return Track(
        id=urls.track_id(source.key),
        key=source.key,
        artist=_text(params.artist or artist or "Unknown Artist"),
        title=_text(title),
        version=name_of(title).version,
        album=_text(params.album or said["album"] or tags.get("album", "")),
        date=_date(date),
        genre=_text(genre),
        isrc=_isrc(said["isrc"] or tags.get("isrc") or tags.get("tsrc") or ""),
        playlist=_text(params.playlist),
        url=urls.shown(source.url),
        duration_s=audio.seconds,
    )


def _text(text: str) -> str:
    """Page or platform text for a tag: composed, one line, no control or direction characters, bounded."""
    plain = unicodedata.normalize("NFC", text)
    kept = "".join(" " if c.isspace() else c for c in plain)
    return " ".join("".join(c for c in kept if unicodedata.category(c) not in ("Cc", "Cf", "Cs")).split())[
        :300
    ]


def _date(text: str) -> str:
    match = re.match(r"(\d{4})(?:-?(\d{2})-?(\d{2}))?", text)
    if not match:
        return ""
    return "-".join(p for p in match.groups() if p)


def _isrc(text: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9]", "", text).upper()
    return plain if re.fullmatch(r"[A-Z]{2}[A-Z0-9]{3}\d{7}", plain) else ""
