"""A further database of the board, used by a handler: found by strong ids, made once, changed, read back."""

from __future__ import annotations

import pytest

from daemon.board.rows import BoardRows
from daemon.core.errors import ConfigError, NotFound
from tests.board import tracks
from tests.board.conftest import Bench
from tests.board.relay import Rule, error
from tests.board.tracks import STAGES


@pytest.fixture
def rows(bench: Bench) -> tuple[BoardRows, str]:
    database, source = tracks.create(bench.hand)
    made = bench.board(tracks_database_id=database).rows("tracks")
    assert made is not None
    return made, source


def test_properties_are_found_by_their_usual_names(rows: tuple[BoardRows, str]) -> None:
    found, _ = rows
    assert found.title == "Tracks"
    assert {"title", "isrc", "downloaded", "key", "tempo", "m4a_path", "aiff_path", "wav_path"} <= found.keys
    assert "eagle_id" not in found.keys


def test_a_row_is_found_by_any_strong_id(bench: Bench, rows: tuple[BoardRows, str]) -> None:
    found, source = rows
    one = tracks.row(bench.hand, source, "One", Track_ISRC="BEA012345678")
    two = tracks.row(bench.hand, source, "Two", SoundCloud_URL="https://soundcloud.com/a/b?si=x")
    seen = found.find({"isrc": "BEA012345678", "soundcloud_url": "soundcloud.com/a/b", "eagle_id": "x"})
    assert {r.id for r in seen} == {one, two}
    assert found.find({"eagle_id": "x", "isrc": ""}) == []


def test_a_row_is_made_once_even_when_the_answer_is_lost(bench: Bench, rows: tuple[BoardRows, str]) -> None:
    found, source = rows
    bench.relay.rules.append(Rule("POST", r"/pages$", cut=True, after=True))
    values = {"title": "Night Drive", "own_id": "abc", "downloaded": True, "tempo": 128.0, "loudness": -9.0}
    made = found.create("own_id", values)
    assert found.create("own_id", values).id == made.id
    assert tracks.count(bench.hand, source) == 1
    assert found.read(made.id).values | values == found.read(made.id).values | {"loudness": -9.0}
    assert "loudness" not in made.values


def test_only_what_differs_is_written_and_a_lost_write_is_looked_at(
    bench: Bench, rows: tuple[BoardRows, str]
) -> None:
    found, source = rows
    row = tracks.row(bench.hand, source, "One", Error="SC_404", Audio_Processing=["SC_404", "My own mark"])
    bench.relay.rules.append(Rule("PATCH", r"/pages/", status=502, after=True))
    bench.relay.forget()
    after = found.update(row, {"error": "", "stage": ["My own mark"], "downloaded": True})
    assert (after.values["error"], after.values["stage"]) == ("", ["My own mark"])
    assert sum(c.method == "PATCH" for c in bench.relay.calls) == 1
    again = found.update(row, {"error": "", "downloaded": True})
    assert again == after and sum(c.method == "PATCH" for c in bench.relay.calls) == 1


def test_AT_17_an_option_that_is_not_there_is_left_out(bench: Bench, rows: tuple[BoardRows, str]) -> None:
    found, source = rows
    row = tracks.row(bench.hand, source, "One", Genre={"name": "House"})
    after = found.update(row, {"genre": "Gabber", "stage": ["Gabber", "SC_404"]})
    assert after.values["genre"] == "House" and after.values["stage"] == ["SC_404"]


def test_an_option_newer_than_our_reading_of_the_schema_stays(
    bench: Bench, rows: tuple[BoardRows, str]
) -> None:
    """A list of options is replaced whole: a mark that a person just made up must not fall out of it."""
    found, source = rows
    row = tracks.row(bench.hand, source, "One", Audio_Processing=["SC_404"])
    shown = found.read(row).values["stage"]
    mine = {"multi_select": [{"name": "SC_404"}, {"name": "Only for the club"}]}
    bench.hand("PATCH", f"pages/{row}", {"properties": {"Audio Processing": mine}})
    shown = found.read(row).values["stage"]
    after = found.update(row, {"stage": [*shown, STAGES[0]]})
    assert after.values["stage"] == ["SC_404", "Only for the club", STAGES[0]]
    untouched = found.update(row, {"stage": ["Gabber"]})
    assert untouched.values["stage"] == after.values["stage"]


@pytest.mark.parametrize("cap", [7, 20])
def test_pain_33_a_walk_goes_on_beyond_the_cap(
    bench: Bench, rows: tuple[BoardRows, str], monkeypatch: pytest.MonkeyPatch, cap: int
) -> None:
    """The service ends a query at its cap and says so in one member of the answer only."""
    found, source = rows
    monkeypatch.setattr("daemon.local_board.query.RESULT_LIMIT", cap)
    monkeypatch.setattr("daemon.board.query.PAGE_SIZE", 3)
    made = []
    for n in range(12):
        bench.pass_time(60)
        made.append(tracks.row(bench.hand, source, f"T{n}", DL=False))
    seen = found.first({"downloaded": False}, 99, lambda _: False)
    assert [r.id for r in seen] == made


def test_pain_32_a_walk_begins_anew_when_its_cursor_became_invalid(
    bench: Bench, rows: tuple[BoardRows, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, source = rows
    monkeypatch.setattr("daemon.board.query.PAGE_SIZE", 2)
    made = {tracks.row(bench.hand, source, f"T{n}", DL=False) for n in range(5)}
    assert found.keys
    bench.relay.rule("POST", "/query", pass_on=True)
    refusal = error(400, "validation_error", "The start_cursor provided is invalid: s:1:2")
    bench.relay.rule("POST", "/query", status=400, body=refusal)
    seen = [r.id for r in found.first({"downloaded": False}, 99, lambda _: False)]
    assert len(seen) == 5 and set(seen) == made


def test_a_write_to_a_row_goes_before_looks_and_does_not_wait_between_read_and_write(
    bench: Bench, rows: tuple[BoardRows, str]
) -> None:
    found, source = rows
    row = tracks.row(bench.hand, source, "One")
    board = bench.made[-1]
    taken: list[tuple[int, bool]] = []
    hold = board.transport.budget.hold

    def noted(places: int, *, urgent: bool, patience: float) -> float:
        taken.append((places, urgent))
        return hold(places, urgent=urgent, patience=patience)

    assert found.keys
    board.transport.budget.hold = noted  # type: ignore[method-assign]
    found.update(row, {"artist": "A"})
    assert [c.method for c in bench.relay.calls[-3:]] == ["GET", "PATCH", "GET"]
    assert taken == [(3, True)]
    found.create("title", {"title": "Two"})
    assert taken[1:] == [(1, False), (1, True)]  # looked for, then made


def test_P4_what_a_person_adds_while_a_write_has_to_wait_stays(
    bench: Bench, rows: tuple[BoardRows, str]
) -> None:
    found, source = rows
    row = tracks.row(bench.hand, source, "One", Audio_Processing=["SC_404"])
    shown = found.read(row).values["stage"]

    def edit() -> None:
        mine = {"multi_select": [{"name": "SC_404"}, {"name": "My own mark"}]}
        bench.hand(
            "PATCH", f"pages/{row}", {"properties": {"Audio Processing": mine, "DL": {"checkbox": True}}}
        )

    wait = {"status": 429, "headers": {"Retry-After": "1"}, "body": error(429, "rate_limited")}
    bench.relay.rule("PATCH", "/v1/pages/", then=edit, **wait)
    after = found.update(row, {"artist": "A"})
    assert after.values["stage"] == [*shown, "My own mark"] and after.values["downloaded"] is True
    assert [c.method for c in bench.relay.calls[-5:]] == ["GET", "PATCH", "GET", "PATCH", "GET"]


def test_skipped_rows_do_not_stand_in_the_way_of_the_next_ones(
    bench: Bench, rows: tuple[BoardRows, str]
) -> None:
    found, source = rows
    made = [tracks.row(bench.hand, source, f"T{n}", DL=n == 2) for n in range(6)]
    # Times on the board are whole minutes, so the order within this test is the board's.
    wanted = found.first({"downloaded": False}, 9, lambda r: r.id == made[0])
    assert {r.id for r in wanted} == {made[n] for n in (1, 3, 4, 5)}
    assert len(found.first({"downloaded": False}, 2, lambda r: r.id == made[0])) == 2
    with pytest.raises(ConfigError, match="eagle_id"):
        found.first({"eagle_id": False}, 2, lambda r: False)


def test_AT_15_a_renamed_property_goes_on_working(bench: Bench, rows: tuple[BoardRows, str]) -> None:
    found, source = rows
    row = tracks.row(bench.hand, source, "One")
    assert found.update(row, {"error": "x"}).values["error"] == "x"
    bench.hand("PATCH", f"data_sources/{source}", {"properties": {"Error": {"name": "What went wrong"}}})
    assert found.update(row, {"error": "y"}).values["error"] == "y"


def test_a_database_that_is_not_there_is_said_with_its_setting(bench: Bench) -> None:
    missing = bench.board(tracks_database_id="1" * 32).rows("tracks")
    assert missing is not None
    with pytest.raises(ConfigError, match="tracks_database_id"):
        missing.keys  # noqa: B018  asking is the act
    assert bench.board().rows("tracks") is None and bench.board().rows("other") is None


def test_a_wrong_name_in_the_settings_is_said(bench: Bench) -> None:
    database, _ = tracks.create(bench.hand)
    names = {"tempo": "Speed", "nonsense": "X", "key": ""}
    found = bench.board(tracks_database_id=database, tracks_properties=names).rows("tracks")
    assert found is not None
    with pytest.raises(ConfigError) as caught:
        found.find({"isrc": "X"})
    assert len(caught.value.problems) == 2


def test_a_row_in_the_trash_is_not_found(bench: Bench, rows: tuple[BoardRows, str]) -> None:
    found, source = rows
    row = tracks.row(bench.hand, source, "One")
    bench.hand("PATCH", f"pages/{row}", {"in_trash": True})
    with pytest.raises(NotFound):
        found.read(row)
    with pytest.raises(NotFound):
        found.update(row, {"error": "x"})
