"""Wanted recordings and confusable uploads, made by rules; labels come from the rule, not from a matcher."""

from __future__ import annotations

import random
from dataclasses import dataclass

from handlers.music.resolve import Candidate, Wanted

ARTISTS = (
    "Lost Frequencies",
    "Wren Hollow",
    "Björk",
    "AC/DC",
    "Сплин",
    "宇多田ヒカル",
    "Beyoncé",
    "Oda Vale",
    "M83",
    "Sigur Rós",
    "The Midnight",
    "Земфира",
    "방탄소년단",
    "فيروز",
    "Nils Frahm",
    "deadmau5",
    "Tomás Ruiz",
    "Ane Brun",
)
FIRST = (
    "Night",
    "Silver",
    "Paper",
    "Golden",
    "Broken",
    "Quiet",
    "Electric",
    "Hollow",
    "Winter",
    "Crimson",
    "Дорога",
    "夜の",
    "Ünder",
    "Último",
    "Velvet",
    "Distant",
)
SECOND = (
    "Drive",
    "River",
    "Hearts",
    "Signals",
    "Harbour",
    "Garden",
    "Echoes",
    "Machines",
    "Letters",
    "домой",
    "空",
    "Fires",
    "Mirrors",
    "Static",
    "Horizon",
    "Roads",
)
WANTED_VERSIONS = (
    "",
    "",
    "",
    "",
    "",
    "(Extended Mix)",
    "(Kova Remix)",
    "(Live)",
    "(Acoustic)",
    "- Radio Edit",
)
OTHERS = (
    "(Live at Wembley)",
    "(Karaoke Version)",
    "(Sped Up)",
    "(slowed + reverb)",
    "(8D Audio)",
    "(Acoustic)",
    "(Instrumental)",
    "(Nightcore)",
    "(Someone Else Remix)",
    "(Extended Mix)",
    "(Cover by Ana)",
    "(1 Hour Loop)",
    "(Bass Boosted)",
    "(Demo)",
    "(VIP Mix)",
    "[Mashup]",
    "(Piano Version)",
    "(A Cappella)",
    "(Reaction)",
)
DRESS = (
    "{a} - {t}",
    "{a} - {t} (Official Video)",
    "{a} – {t} [Official Audio]",
    "{t}",
    "{a} - {t} (Lyrics)",
    "{a} - {t} HD",
)


@dataclass(frozen=True)
class Case:
    """``right``: URLs of the uploads that are the wanted recording; empty = none is there."""

    wanted: Wanted
    candidates: tuple[Candidate, ...]
    right: frozenset[str]


def cases(many: int, seed: int) -> list[Case]:
    """``many`` cases; a fifth have no acceptable upload."""
    rng = random.Random(seed)
    return [_case(rng, n) for n in range(many)]


def _case(rng: random.Random, number: int) -> Case:
    artist = rng.choice(ARTISTS)
    base = f"{rng.choice(FIRST)} {rng.choice(SECOND)}"
    version = rng.choice(WANTED_VERSIONS)
    title, length = f"{base} {version}".strip(), rng.uniform(120, 420)
    wanted = Wanted(artist=artist, title=title, duration_s=round(length, 1))
    found: list[tuple[Candidate, bool]] = []

    def add(title: str, by: str, seconds: float | None, right: bool, official: bool = False) -> None:
        url = f"https://x.test/{number}/{len(found)}"
        found.append(
            (
                Candidate(
                    url=url,
                    platform=rng.choice(("youtube", "soundcloud")),
                    title=title,
                    artist=by,
                    duration_s=seconds,
                    official=official,
                ),
                right,
            )
        )

    if rng.random() < 0.8:
        dress = rng.choice(DRESS)
        by = (
            f"{artist} - Topic" if "{a}" not in dress else rng.choice((artist, "Some Label", f"{artist}VEVO"))
        )
        add(dress.format(a=artist, t=title), by, round(length + rng.uniform(-2, 2), 0), True, "Topic" in by)
    for other in rng.sample(OTHERS, rng.randint(3, 7)):
        if any(word in other and word in title for word in ("Acoustic", "Live", "Extended")):
            continue  # the wanted version by another name and of its length is the wanted one
        near = rng.random() < 0.5
        seconds = length if near else length * rng.uniform(0.7, 1.6)
        add(f"{artist} - {base} {other}", rng.choice((artist, "Fan Uploads")), round(seconds), False)
    add(title, rng.choice([a for a in ARTISTS if a != artist]), round(length), False)
    add(f"{artist} - {rng.choice(FIRST)} {rng.choice(SECOND)} Blues", artist, round(length), False)
    if rng.random() < 0.3:
        add(f"{artist} - {base} {version}".strip(), artist, 3600.0, False)
    if rng.random() < 0.2:
        add(f"{artist} - {title}", artist, None, False)  # unmeasured: not to be taken unseen
    rng.shuffle(found)
    return Case(
        wanted=wanted,
        candidates=tuple(c for c, _ in found),
        right=frozenset(c.url for c, right in found if right),
    )
