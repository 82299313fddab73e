"""Names from untrusted text, titles taken apart, URLs read strictly: the pure parts."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from daemon.sdk import BlockedError, ConfigError, PermanentError
from handlers.music import names, urls
from handlers.music.identity import artists_of, believable_artist, fold, name_of, split_title
from handlers.music.model import Track

TRACK = Track(
    id="0123456789abcdef0123",
    key="url:x",
    artist="A",
    title="B",
    version="",
    album="",
    date="",
    genre="",
    isrc="",
    playlist="",
    url="",
    duration_s=1.0,
)
NASTY = st.text(alphabet=st.characters(), max_size=400)


@given(NASTY)
@example("../" * 90)
@example("CON.")
@example("e" + "\u0301" * 400)
@example("_backup")
def test_a_component_is_always_one_safe_name(text: str) -> None:
    name = names.component(text)
    assert name and name not in (".", "..") and name[0] not in ".-" and name[-1] not in ". "
    assert len(name.encode()) <= names.COMPONENT
    assert not set(name) & set('/\\:*?"<>|') and name.isprintable()
    assert unicodedata.is_normalized("NFC", name)
    assert name.casefold() not in ("_backup", "_trash", "con", "nul")
    assert names.component(name) == name  # and stays what it is


@given(NASTY, NASTY, NASTY, st.sampled_from(("m4a", "aiff", "wav", "backup")))
def test_a_path_stays_below_its_root_and_its_suffix_is_never_cut(
    artist: str, title: str, playlist: str, kind: str
) -> None:
    track = replace(TRACK, artist=artist, title=title, playlist=playlist)
    for suffix in names.suffixes(track):
        path = names.relative_path("{playlist}/{artist} - {title}", track, kind, suffix)
        assert not path.is_absolute() and len(path.parts) == 2 and ".." not in path.parts
        assert path.stem.endswith(suffix) and all(len(p.encode()) <= 240 for p in path.parts)


@pytest.mark.parametrize(
    "layout", ["", "/x/{title}", "../{title}", "{title}/", "{nope}", "{title!r}", "{title.x}", "plain", "{0}"]
)
def test_a_layout_that_could_leave_its_folder_is_refused(layout: str) -> None:
    with pytest.raises(ConfigError):
        names.check_layout(layout)


@given(st.text(max_size=60))
def test_folding_is_idempotent_and_never_loses_a_name(text: str) -> None:
    folded = fold(text)
    assert fold(folded) == folded
    assert bool(folded) == bool(" ".join(text.split()))


@pytest.mark.parametrize(
    ("title", "core", "version"),
    [
        ("Strobe", "strobe", ""),
        ("Strobe (Official Video)", "strobe", ""),
        ("Strobe (Original Mix) [HD]", "strobe", ""),
        ("Strobe (Remastered 2011)", "strobe", ""),
        ("Strobe feat. Somebody", "strobe", ""),
        ("Strobe (feat. Somebody) [Official Audio]", "strobe", ""),
        ("Strobe (Club Edit)", "strobe", "extended"),
        ("Strobe - Radio Edit", "strobe", "radio"),
        ("Strobe (Extended Mix)", "strobe", "extended"),
        ("Strobe (Live at Wembley)", "strobe", "live"),
        ("Strobe (Feed Me Remix)", "strobe", "rmx:feed me"),
        ("Strobe (Other Man Remix)", "strobe", "rmx:other man"),
        ("Strobe sped up", "strobe", "sped"),
        ("Strobe (slowed + reverb)", "strobe", "slowed"),
        ("Strobe 1 hour loop", "strobe", "loop"),
        ("Strobe karaoke version", "strobe", "karaoke"),
        ("Strobe (Instrumental)", "strobe", "instrumental"),
        ("Strobe (VIP Mix)", "strobe", "vip"),
        ("Strobe (Acoustic Cover)", "strobe", "acoustic cover"),
        ("Дорога домой", "дорога домой", ""),
        ("夜に駆ける (Live)", "夜に駆ける", "live"),
        ("Ünïcode", "unicode", ""),
        ("!!!", "!!!", ""),
        ("Live Your Life", "live your life", ""),
        ("Sunset", "sunset", ""),
        ("Remix", "remix", ""),
        ("Love (is a losing game)", "love is a losing game", ""),
        ("1999", "1999", ""),
    ],
)
def test_a_title_is_taken_apart(title: str, core: str, version: str) -> None:
    name = name_of(title)
    assert (name.core, name.version) == (core, version)


@given(st.text(min_size=1, max_size=80))
def test_a_title_never_becomes_empty(title: str) -> None:
    if title.strip():
        assert name_of(title).core or not fold(title)


def test_artists_are_a_set_and_auto_names_are_none() -> None:
    assert artists_of("A & B feat. C") == artists_of("A, B, C") == ("a", "b", "c")
    assert artists_of("Lost Frequencies - Topic") == ("lost frequencies",)
    assert believable_artist("Lost Frequencies") and not believable_artist("user-123456")  # MU-30
    assert split_title("Lost Frequencies, Calum Scott - Where Are You Now") == (
        "Lost Frequencies, Calum Scott",
        "Where Are You Now",
    )
    assert split_title("Song - Radio Edit") == ("", "Song - Radio Edit")


@pytest.mark.parametrize(
    ("given_url", "canonical", "key"),
    [
        (
            "https://youtu.be/dQw4w9WgXcQ?si=abc",
            "https://www.youtube.com/watch?v=dQw4w9WgXcQ",
            "youtube:dQw4w9WgXcQ",
        ),
        (
            "https://music.youtube.com/watch?v=dQw4w9WgXcQ&list=RD",
            "https://www.youtube.com/watch?v=dQw4w9WgXcQ",
            "youtube:dQw4w9WgXcQ",
        ),
        ("http://www.soundcloud.com/A/b/?utm_source=x#t", "https://soundcloud.com/A/b", "soundcloud:a/b"),
        (
            "http://files.test:8000/a%20b.mp3?x=1",
            "http://files.test:8000/a%20b.mp3?x=1",
            "url:http://files.test:8000/a%20b.mp3?x=1",
        ),
    ],
)
def test_one_address_has_one_form(given_url: str, canonical: str, key: str) -> None:
    source = urls.parse(given_url, ["files.test"])
    assert (source.url, source.key) == (canonical, key)
    assert urls.parse(source.url, ["files.test"]).key == source.key


@pytest.mark.parametrize(
    "url",
    [
        "https://youtube.com.evil.test/watch?v=dQw4w9WgXcQ",
        "https://evil.test/youtube.com",
        "https://10.0.0.1/x",
        "https://soundcloud.com:22/x",
    ],
)
def test_a_host_that_only_looks_like_a_platform_is_not_one(url: str) -> None:
    with pytest.raises(BlockedError):
        urls.parse(url)


@given(st.text(max_size=100))
def test_any_text_is_a_source_or_a_typed_error(text: str) -> None:
    try:
        source = urls.parse(text, ["127.0.0.1"])
    except (PermanentError, BlockedError):
        return
    assert source.url.startswith(("http://", "https://"))
    assert urls.parse(source.url, ["127.0.0.1"]).key == source.key
