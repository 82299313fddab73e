"""Pinned ids outlive the process, and a person's settings go before them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from daemon.board import NotionBoard
from daemon.board.pins import PinFile
from daemon.core.errors import ConfigError, PermanentError
from daemon.core.ports import PageWrite
from daemon.core.status import Status
from daemon.settings.model import BoardSettings
from tests.board.conftest import TOKEN, Bench, claim, text


def started(bench: Bench, file: Path, **settings: object) -> NotionBoard:
    """A daemon's client after a start, with the pins of the one before."""
    options: dict[str, object] = {"base_url": bench.relay.url, "database_id": bench.database, **settings}
    made = NotionBoard(
        BoardSettings(rate_limit=10_000, **options),  # type: ignore[arg-type]  # keywords of many types
        TOKEN,
        clock=lambda: bench.clock[0],
        stop=bench.stop,
        log=structlog.get_logger(),
        pins=PinFile(file),
    )
    bench.made.append(made)
    return made


def test_AT_5_a_property_renamed_while_no_daemon_ran_is_still_ours(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "home" / "pins.json"
    started(bench, file).open()
    bench.schema(Why={"name": "Reason"}, Status={"name": "State"}, Result={"name": "Outcome"})
    bench.schema(Why={"rich_text": {}})  # and another one takes the old name
    task_id = str(bench.hand("POST", "pages", row(bench))["id"]).replace("-", "")
    board = started(bench, file)
    with capture_logs() as logs:
        info = board.open()
    assert (info.bound["why"], info.bound["status"], info.bound["result"]) == ("Reason", "State", "Outcome")
    (said,) = [line for line in logs if line["event"] == "board.schema_changed"]
    assert "property “Why” is now “Reason”" in said["renamed"]
    (task,) = board.look()
    board.claim(task, claim(), 1)
    board.write(task_id, claim(), PageWrite(status=Status.COMPLETED, why="w", claim=claim(lease=0)))
    page = bench.hand("GET", f"pages/{task_id}")["properties"]
    assert page["Reason"]["rich_text"][0]["plain_text"] == "w"
    assert page["Why"]["rich_text"] == []
    with capture_logs() as again:
        started(bench, file).open()
    assert [line for line in again if line["event"] == "board.schema_changed"] == []


def row(bench: Bench) -> dict[str, object]:
    return {
        "parent": {"type": "data_source_id", "data_source_id": bench.source},
        "properties": {
            "Task Name": {"title": [{"text": {"content": "t"}}]},
            "State": {"status": {"name": "Ready"}},
        },
    }


def test_without_pins_the_same_renames_stop_the_start(bench: Bench) -> None:
    """What the pins are for: the counter-check of the test above."""
    bench.board().open()
    bench.schema(Status={"name": "State"})
    with pytest.raises(ConfigError, match="no property “Status”"):
        bench.board().open()


def test_a_changed_setting_goes_before_the_pin(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "pins.json"
    started(bench, file).open()
    bench.schema(**{"Blocking Reason": {"rich_text": {}}})
    board = started(bench, file, properties={"why": "Blocking Reason"})
    assert board.open().bound["why"] == "Blocking Reason"
    bench.schema(**{"Blocking Reason": {"name": "Because"}})
    assert started(bench, file, properties={"why": "Blocking Reason"}).open().bound["why"] == "Because"


def test_a_pinned_option_is_followed_by_its_id_over_a_restart(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "pins.json"
    started(bench, file).open()

    def renamed(answer: dict[str, object]) -> dict[str, object]:
        return json.loads(json.dumps(answer).replace('"name": "Ready"', '"name": "Bereit"'))  # type: ignore[no-any-return]  # JSON in, JSON out

    bench.relay.rule("GET", "/v1/data_sources/", edit=renamed)
    board = started(bench, file)
    board.open()
    board.look()
    assert bench.relay.calls[-1].body["filter"]["or"][0]["status"]["equals"] == "Bereit"


def test_drift_is_in_the_doctors_proposal(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "pins.json"
    board = started(bench, file)
    board.open()
    bench.schema(Why={"name": "Reason"}, Result=None)
    _, found = started(bench, file).proposal()
    assert found.drift == (
        "property “Why” (why) is now “Reason”",
        "property “Result” (result) is gone, and with it the result on the page",
    )
    assert found.properties["why"].confidence == 1.0
    assert 'why = "Reason"' in found.settings()


def test_one_file_serves_several_boards_and_is_written_only_for_news(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "pins.json"
    board = started(bench, file)
    board.open()
    before = file.stat()
    assert before.st_mode & 0o777 == 0o600
    board.open()
    assert file.stat().st_ino == before.st_ino
    other = json.loads(file.read_text())
    other["sources"]["f" * 32] = other["sources"][bench.source]
    file.write_text(json.dumps(other))
    bench.schema(Why={"name": "Reason"})
    started(bench, file).open()
    assert set(json.loads(file.read_text())["sources"]) == {"f" * 32, bench.source}
    assert [p.name for p in tmp_path.iterdir()] == ["pins.json"]


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 2, "sources": {}}', "\udc80"])
def test_a_file_that_is_not_ours_is_told_and_not_guessed_at(
    bench: Bench, tmp_path: Path, content: str
) -> None:
    file = tmp_path / "pins.json"
    file.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError, match="pinned property ids") as caught:
        started(bench, file).open()
    assert "remove it" in caught.value.hint


def test_an_entry_with_holes_is_told(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "pins.json"
    file.write_text(json.dumps({"format": 1, "sources": {bench.source: {"properties": {"why": {}}}}}))
    with pytest.raises(ConfigError, match="KeyError"):
        started(bench, file).open()


def test_a_folder_that_is_a_file_is_told(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises((ConfigError, PermanentError)):
        started(bench, tmp_path / "file" / "pins.json").open()


def test_a_new_option_with_an_old_name_is_found_by_name(bench: Bench, tmp_path: Path) -> None:
    """The pinned id is gone: the name decides again."""
    file = tmp_path / "pins.json"
    started(bench, file).open()
    known = json.loads(file.read_text())
    known["sources"][bench.source]["statuses"]["Ready"]["id"] = "gone"
    file.write_text(json.dumps(known))
    board = started(bench, file)
    board.open()
    bench.row(Why=text("x"))
    assert board.look()[0].status is Status.READY
