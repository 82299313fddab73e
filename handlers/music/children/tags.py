"""One-shot process: write or read tags by mutagen.

It is a child for three reasons: malformed files make mutagen raise anything from IndexError to MemoryError
(reliability.md T50), so it runs under a memory limit; a crash in the middle of a write harms a work copy
only; and the daemon keeps neither its modules nor its buffers.

Reads one JSON order on stdin: ``{"op": "write", "items": [{"path", "kind", "fields", "custom"}], "cover"}``
or ``{"op": "read", "items": [{"path"}]}``; ``kind`` is m4a | aiff | wav. Writes one JSON list with a result
for each item: ``{"path"}`` when written, ``{"path", "fields", "custom", "cover"}`` when read, or ``{"path",
"error"}``. It starts for every track, so nothing is imported that can be done without (pathlib: 4 ms of CPU).
"""
# mypy: disable-error-code="no-untyped-call"
# mutagen ships annotations for a part of its calls only.

from __future__ import annotations

import json
import sys
from typing import Any

MEAN = "com.apple.iTunes"
ATOMS = {
    "title": "\xa9nam",
    "artist": "\xa9ART",
    "album": "\xa9alb",
    "albumartist": "aART",
    "date": "\xa9day",
    "genre": "\xa9gen",
    "comment": "\xa9cmt",
}
FRAMES = {
    "title": "TIT2",
    "artist": "TPE1",
    "album": "TALB",
    "albumartist": "TPE2",
    "date": "TDRC",
    "genre": "TCON",
    "isrc": "TSRC",
    "bpm": "TBPM",
    "tonality": "TKEY",
}
FREE = {"isrc": "ISRC", "tonality": "initialkey"}
"""Fields without an MP4 atom: the name of the freeform atom that other programs read."""
INFO = {
    "title": b"INAM",
    "artist": b"IART",
    "album": b"IPRD",
    "date": b"ICRD",
    "genre": b"IGNR",
    "comment": b"ICMT",
    "isrc": b"ISRC",
}


def write_m4a(path: str, fields: dict[str, str], custom: dict[str, str], cover: bytes) -> None:
    """MP4 atoms; what has no atom of its own goes into freeform atoms that other programs know."""
    from mutagen.mp4 import MP4, MP4Cover, MP4FreeForm

    file: Any = MP4(path)
    if file.tags is None:
        file.add_tags()
    for name, value in fields.items():
        if name in ATOMS:
            file.tags[ATOMS[name]] = [value]
    if "bpm" in fields:
        file.tags["tmpo"] = [int(fields["bpm"])]
    free = {**custom, **{atom: fields[name] for name, atom in FREE.items() if name in fields}}
    for name, value in free.items():
        file.tags[f"----:{MEAN}:{name}"] = [MP4FreeForm(value.encode())]
    if cover:
        file.tags["covr"] = [MP4Cover(cover, MP4Cover.FORMAT_JPEG)]
    file.save()


def write_id3(path: str, kind: str, fields: dict[str, str], custom: dict[str, str], cover: bytes) -> None:
    """ID3v2.3 in AIFF's ``ID3 `` or WAV's ``id3 `` chunk: the version that players in hardware read."""
    from mutagen import id3
    from mutagen.aiff import AIFF
    from mutagen.wave import WAVE

    if kind == "wav":
        add_info(path, fields)
    file: Any = (AIFF if kind == "aiff" else WAVE)(path)
    if file.tags is None:
        file.add_tags()
    for name, value in fields.items():
        if name in FRAMES:
            file.tags.setall(FRAMES[name], [getattr(id3, FRAMES[name])(encoding=1, text=[value])])
    if "comment" in fields:
        # "eng" and an empty description: what Apple Music and rekordbox show (research/music.md §2.7)
        file.tags.setall("COMM", [id3.COMM(encoding=1, lang="eng", desc="", text=[fields["comment"]])])
    for name, value in custom.items():
        file.tags.setall(f"TXXX:{name}", [id3.TXXX(encoding=1, desc=name, text=[value])])
    if cover:
        file.tags.setall("APIC", [id3.APIC(encoding=0, mime="image/jpeg", type=3, desc="", data=cover)])
    file.tags.update_to_v23()
    file.save(v2_version=3, v23_sep=None)


def info_chunk(fields: dict[str, str]) -> bytes:
    """A RIFF ``LIST INFO`` chunk: the only tags that Windows reads in a WAV."""
    body = b"INFO"
    for name, code in INFO.items():
        if name in fields:
            value = fields[name].encode() + b"\0"
            body += code + len(value).to_bytes(4, "little") + value + b"\0" * (len(value) & 1)
    return b"LIST" + len(body).to_bytes(4, "little") + body


def add_info(path: str, fields: dict[str, str]) -> None:
    """Append ``LIST INFO`` to a WAV that has none, and correct the RIFF size."""
    chunk = info_chunk(fields)
    with open(path, "r+b") as file:  # noqa: PTH123 - no pathlib here
        if b"INFO" in riff_lists(path):
            return
        end = file.seek(0, 2)
        if end & 1:
            end += file.write(b"\0")
        file.write(chunk)
        file.seek(4)
        file.write((end + len(chunk) - 8).to_bytes(4, "little"))


def riff_lists(path: str) -> dict[bytes, bytes]:
    """Type → body of each LIST chunk of a RIFF file."""
    out: dict[bytes, bytes] = {}
    with open(path, "rb") as file:  # noqa: PTH123 - no pathlib here
        file.seek(12)
        while len(head := file.read(8)) == 8:
            size = int.from_bytes(head[4:], "little")
            if head[:4] == b"LIST" and size <= 1 << 20:
                body = file.read(size)
                out[body[:4]] = body[4:]
                file.seek(size & 1, 1)
            else:
                file.seek(size + (size & 1), 1)
    return out


def info_fields(path: str) -> dict[str, str]:
    """What a WAV's ``LIST INFO`` says."""
    body, at, names, out = riff_lists(path).get(b"INFO", b""), 0, {v: k for k, v in INFO.items()}, {}
    while at + 8 <= len(body):
        size = int.from_bytes(body[at + 4 : at + 8], "little")
        name = names.get(body[at : at + 4])
        if name:
            out[name] = body[at + 8 : at + 8 + size].rstrip(b"\0").decode("utf-8", "replace")
        at += 8 + size + (size & 1)
    return out


def read(path: str) -> dict[str, Any]:
    """Fields, custom fields and cover (bytes, MIME type) of a file of ours or a stranger's."""
    file = opened(path)
    tags = file.tags or {}
    out: dict[str, Any] = {"path": path, "length": float(getattr(file.info, "length", 0.0) or 0.0)}
    out |= read_m4a(tags) if path.lower().endswith((".m4a", ".mp4")) else read_id3(tags)
    if path.lower().endswith(".wav"):
        out["info"] = info_fields(path)
    return out


def opened(path: str) -> Any:
    """The file as mutagen sees it. By its ending where we know it: mutagen's own guess loads every format."""
    ending = path.lower().rsplit(".", 1)[-1]
    if ending in ("m4a", "mp4"):
        from mutagen.mp4 import MP4

        return MP4(path)
    if ending in ("aiff", "aif"):
        from mutagen.aiff import AIFF

        return AIFF(path)
    if ending == "wav":
        from mutagen.wave import WAVE

        return WAVE(path)
    raise ValueError(f"tags of .{ending[:8]} files are not read")


def read_m4a(tags: Any) -> dict[str, Any]:
    """From MP4 atoms."""
    fields = {n: str(tags[a][0]) for n, a in ATOMS.items() if tags.get(a)}
    custom = {
        key.split(":", 2)[2]: bytes(value[0]).decode("utf-8", "replace")
        for key, value in tags.items()
        if key.startswith("----:") and value
    }
    fields |= {name: custom.pop(atom) for name, atom in FREE.items() if atom in custom}
    if tags.get("tmpo"):
        fields["bpm"] = str(tags["tmpo"][0])
    covers = tags.get("covr") or []
    mime = {13: "image/jpeg", 14: "image/png"}
    found = (len(covers[0]), mime.get(int(covers[0].imageformat), "?")) if covers else None
    return {"fields": fields, "custom": custom, "cover": found}


def read_id3(tags: Any) -> dict[str, Any]:
    """From ID3 frames."""
    fields = {n: str(tags[f].text[0]) for n, f in FRAMES.items() if f in tags and tags[f].text}
    for frame in getattr(tags, "getall", lambda _: [])("COMM"):
        if frame.desc == "" and frame.text:
            fields["comment"] = str(frame.text[0])
    custom = {f.desc: str(f.text[0]) for f in getattr(tags, "getall", lambda _: [])("TXXX") if f.text}
    pictures: list[Any] = getattr(tags, "getall", lambda _: [])("APIC")
    found = (len(pictures[0].data), pictures[0].mime) if pictures else None
    return {"fields": fields, "custom": custom, "cover": found}


def main() -> int:
    """One order, one answer."""
    order = json.loads(sys.stdin.read())
    cover = b""
    if order.get("cover"):
        with open(order["cover"], "rb") as file:  # noqa: PTH123 - no pathlib here
            cover = file.read()
    results: list[dict[str, Any]] = []
    for item in order["items"]:
        try:
            if order["op"] == "write":
                fields, custom = item["fields"], item["custom"]
                if item["kind"] == "m4a":
                    write_m4a(item["path"], fields, custom, cover)
                else:
                    write_id3(item["path"], item["kind"], fields, custom, cover)
                results.append({"path": item["path"]})
            else:
                results.append(read(item["path"]))
        # mutagen raises whatever a malformed file leads it to; each file answers for itself (T50).
        except Exception as error:  # noqa: BLE001
            results.append({"path": item["path"], "error": f"{type(error).__name__}: {error}"[:300]})
    json.dump(results, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
