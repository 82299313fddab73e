"""Runs in the peers' own environment: carries out orders with the peers' own code and says what they cost.

One JSON order a line on stdin, one JSON answer a line on stdout. Imports and set-up are paid before the clock
starts: what is compared is the work, not the start of a process.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Order = dict[str, Any]


def cpu_s() -> float:
    """CPU seconds of this process and of its ended children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def spotdl(order: Order) -> Callable[[], None]:
    """spotDL's conversion to M4A and WAV; AIFF, which it does not make, by a plain ffmpeg call."""
    import subprocess

    from spotdl.utils.ffmpeg import convert

    source, folder, ffmpeg = Path(order["source"]), Path(order["folder"]), order["ffmpeg"]

    def act() -> None:
        for kind in ("m4a", "wav"):
            rate = order["bitrate"] if kind == "m4a" else None
            done, error = convert(source, folder / f"spotdl.{kind}", ffmpeg, kind, rate)
            if not done:
                raise RuntimeError(str(error))
        aiff = [ffmpeg, "-y", "-v", "error", "-nostdin", "-i", str(source), "-c:a", "pcm_s16be"]
        subprocess.run([*aiff, str(folder / "spotdl.aiff")], check=True)

    return act


CONFIG = """
directory: {folder}/library
library: {folder}/beets.db
plugins: [convert]
convert:
  threads: 1
  copy_album_art: no
  formats:
    aac: {{command: "{ffmpeg} -i $source -y -vn -acodec aac -b:a 256k $dest", extension: m4a}}
    aiff: {{command: "{ffmpeg} -i $source -y -vn -acodec pcm_s16be $dest", extension: aiff}}
    wav: {{command: "{ffmpeg} -i $source -y -vn -acodec pcm_s16le $dest", extension: wav}}
"""


def beets(order: Order) -> Callable[[], None]:
    """beets' convert plugin, once a format; what has the wanted format already is copied, as beets does."""
    folder = Path(order["folder"]) / "beets"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "config.yaml").write_text(CONFIG.format(folder=folder, ffmpeg=order["ffmpeg"]))
    from beets import config
    from beets.library import Item, Library
    from beetsplug.convert import ConvertPlugin

    config.clear()
    config.read(user=False)
    config.set_file(str(folder / "config.yaml"))
    library = Library(str(folder / "beets.db"), str(folder / "library"))
    library.add(Item.from_path(order["source"].encode()))

    def act() -> None:
        for kind in ("aac", "aiff", "wav"):
            command = ConvertPlugin().commands()[0]  # a plugin remembers its first format
            target = folder / kind
            shutil.rmtree(target, ignore_errors=True)
            options, rest = command.parser.parse_args(["-y", "-f", kind, "-d", str(target)])
            command.func(library, options, rest)
            if not any(p.is_file() for p in target.rglob("*")):
                raise RuntimeError(f"beets made no {kind}")

    return act


def beets_query(order: Order) -> Callable[[], None]:
    """beets' question before an import: items of equal artist and title, in a real library of given rows."""
    from beets.dbcore import AndQuery, MatchQuery
    from beets.library import Library

    path = Path(order["db"])
    library = Library(str(path), str(path.parent))
    if order.get("rows"):
        with library.transaction() as tx, Path(order["rows"]).open() as lines:
            for line in lines:
                artist, title, length = json.loads(line)
                tx.mutate(
                    "INSERT INTO items (path, artist, title, length) VALUES (?, ?, ?, ?)",
                    (f"{artist}/{title}.m4a".encode(), artist, title, length),
                )

    def act() -> None:
        answers = []
        for artist, title in order["asked"]:
            began = time.process_time()
            query = AndQuery([MatchQuery("artist", artist), MatchQuery("title", title)])
            found = [(i.artist, i.title) for i in library.items(query)]
            answers.append(((time.process_time() - began) * 1000, found))
        order["answers"] = answers

    return act


def spotdl_match(order: Order) -> Callable[[], None]:
    """spotDL's own scores of given hits: the URL with the best of each case, "" where it drops all of them.

    An official hit is told as a verified one with its artist, as YouTube Music gives it. The tie-break by
    views is left out: there are none.
    """
    from spotdl.types.result import Result
    from spotdl.types.song import Song
    from spotdl.utils.matching import order_results

    def hit(url: str, title: str, artist: str, seconds: float | None, official: bool) -> Result:
        name = artist.removesuffix(" - Topic")
        return Result(
            source="YouTubeMusic" if official else "YouTube",
            url=url,
            verified=official,
            name=title,
            duration=seconds or 0.0,
            author=name,
            result_id=url,
            artists=(name,) if official else None,
            views=0,
        )

    asked = []
    for case in order["cases"]:
        artists = case["artist"].split(", ")
        song = Song.from_missing_data(
            name=case["title"], artists=artists, artist=artists[0], duration=case["seconds"] or 0, song_id="x"
        )
        asked.append((song, [hit(*h) for h in case["hits"]]))

    def act() -> None:
        scores = [order_results(hits, song) for song, hits in asked]
        order["answers"] = [max(s, key=lambda r: s[r]).url if s else "" for s in scores]

    return act


ACTS = {"spotdl": spotdl, "beets": beets, "beets_query": beets_query, "spotdl_match": spotdl_match}


def main() -> int:
    """Until stdin ends."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a peer prints must not look like an answer
    versions = {name: importlib.metadata.version(name) for name in ("beets", "spotdl")}
    out.write(json.dumps(versions) + "\n")
    out.flush()
    for line in sys.stdin:
        order = json.loads(line)
        try:
            act = ACTS[order["act"]](order)
            cpu, began = cpu_s(), time.perf_counter()
            act()
            answer = {"wall": time.perf_counter() - began, "cpu": cpu_s() - cpu}
            answer |= {"answers": order.get("answers")}
        # The other side says it in its table: a peer that fails must not end the run.
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
        out.write(json.dumps(answer) + "\n")
        out.flush()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
