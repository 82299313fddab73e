"""The templates: no verdict is a constant in them, the user's win, a broken one is named and survived."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from daemon import resources
from daemon.core.errors import ConfigError, NotFound
from daemon.core.evidence import judge
from daemon.reports import ReportRoom
from daemon.reports.check import check_templates
from daemon.reports.samples import samples

SAMPLES = samples()
OURS = resources.templates()
FILES = sorted([*(OURS / "reports").rglob("*.j2"), *(OURS / "status_docs").rglob("*.j2")])


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(OURS)))
def test_no_template_holds_a_verdict(path: Path) -> None:
    """Words and marks that judge come out of daemon.reports.view; 'Success Criteria' is a heading."""
    text = re.sub(r"\{#.*?#\}", "", path.read_text(), flags=re.S).replace("Success Criteria", "")
    found = re.findall(
        r"\bsuccess\w*|\ball gates passed\b|\bverified\b|\bcomplete[d]?\b|[✅✔☑🎉]", text, flags=re.I
    )
    allowed = {"verified"} if path.name == "sections.j2" else set()
    assert set(found) <= allowed


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(OURS)))
def test_no_template_leaves_the_page_or_the_escaping(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"\|\s*safe\b|autoescape\s+false", text)
    assert not re.search(r"(?:src|href|url\()\s*=?\s*[\"']?(?:https?:)?//", text)
    assert not re.search(r"=\{\{", text), "an attribute's value stands in quotes"
    assert "@import" not in text


def test_every_shipped_template_renders_with_every_sample() -> None:
    assert check_templates() == []


@pytest.mark.parametrize("kind", sorted({b.kind for b in SAMPLES.values()}))
def test_every_kind_has_both_forms(kind: str) -> None:
    assert (OURS / "reports" / kind / "report.md.j2").is_file()
    assert (OURS / "reports" / kind / "report.html.j2").is_file()


def test_the_users_template_wins_and_may_extend_ours(
    tmp_path: Path, make_room: Callable[..., ReportRoom]
) -> None:
    mine = tmp_path / "mine"
    (mine / "task").mkdir(parents=True)
    (mine / "task" / "report.md.j2").write_text(
        '{% extends "builtin/task/report.md.j2" %}{% block heading %}Mine: {{ report.title }}{% endblock %}'
    )
    made = make_room(user_templates=mine).render(SAMPLES["task"])
    text = made.markdown.read_text()
    assert text.startswith("# Mine: Export the storeroom's inventory\n")
    assert "## Completion Gates" in text
    assert check_templates(user_templates=mine) == []


def test_a_users_kind_of_their_own(tmp_path: Path, make_room: Callable[..., ReportRoom]) -> None:
    from dataclasses import replace

    mine = tmp_path / "mine"
    (mine / "inventory").mkdir(parents=True)
    for form in ("md", "html"):
        (mine / "inventory" / f"report.{form}.j2").write_text("{{ report.title }}: {{ report.status.word }}")
    made = make_room(user_templates=mine).render(replace(SAMPLES["task"], kind="inventory"))
    assert made.markdown.read_text() == "Export the storeroom's inventory: Success\n"
    assert check_templates(user_templates=mine) == []


@pytest.mark.parametrize("broken", ["{{ no_such_thing }}", "{% if %}", "{{ report.title | safe }}"])
def test_a_broken_template_of_the_user_is_named_and_does_not_hold_the_task(
    broken: str, tmp_path: Path, make_room: Callable[..., ReportRoom]
) -> None:
    mine = tmp_path / "mine"
    (mine / "task").mkdir(parents=True)
    (mine / "task" / "report.html.j2").write_text("\n" + broken)
    made = make_room(user_templates=mine).render(SAMPLES["task"])
    for text in (made.markdown.read_text(), made.html.read_text()):
        assert "A template of yours failed" in text
    assert "task/report.html.j2:2" in made.html.read_text()
    problems = check_templates(user_templates=mine)
    assert len(problems) == 2  # one for each sample of the kind
    assert all("task/report.html.j2:2" in p for p in problems)


def test_a_folder_of_templates_that_is_not_there(
    tmp_path: Path, make_room: Callable[..., ReportRoom]
) -> None:
    with pytest.raises(ConfigError, match=r"reports\.templates"):
        make_room(user_templates=tmp_path / "missing")
    assert len(check_templates(user_templates=tmp_path / "missing")) == 1


def test_doctor_notices_a_kind_without_one_form(tmp_path: Path) -> None:
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory" / "report.md.j2").write_text("{{ report.title }}")
    problems = check_templates(user_templates=tmp_path)
    assert len(problems) == 1
    assert "inventory/report.html.j2" in problems[0]


def test_html_is_one_file_with_landmarks_and_described_figures(make_room: Callable[..., ReportRoom]) -> None:
    html = make_room().render(SAMPLES["music"]).html.read_text()
    assert "default-src 'none'" in html
    assert '<html lang="en">' in html
    for landmark in ("<header>", '<main id="content">', "<footer>"):
        assert html.count(landmark) == 1
    assert html.count("<h1>") == 1
    figures = re.findall(r'<svg [^>]*role="img" aria-labelledby="([\w-]+) ([\w-]+)"', html)
    assert len(figures) == 4
    for title, told in figures:
        assert re.search(rf'<title id="{title}">[^<]+</title><desc id="{told}">[^<]+</desc>', html)
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    levels = [int(n) for n in re.findall(r"<h([1-6])", html)]
    assert all(b <= a + 1 for a, b in pairwise(levels))
    assert "prefers-color-scheme:dark" in html
    assert "width=device-width" in html


def test_the_reference_reports_sections_are_all_there(make_room: Callable[..., ReportRoom]) -> None:
    text = make_room().render(SAMPLES["music"]).markdown.read_text()
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == [
        "## Executive Summary",
        "## Phase 0: Pre-Execution Intelligence Gathering",
        "## Phase 0.5: Detect & Resolve Source",
        "## Phase 1: Workflow Execution",
        "## Phase 2: Post-Execution Automation Advancement",
        "## Completion Gates",
        "## Success Criteria",
        "## Findings",
        "## Next Steps",
        "## Files Modified/Created",
    ]


def test_a_gate_that_no_section_names_is_shown_in_its_groups_phase(
    make_room: Callable[..., ReportRoom],
) -> None:
    from dataclasses import replace

    bundle = SAMPLES["music"]
    extra = [
        replace(bundle.judged[0], name="moon-phase", title="The moon was looked at", group="execution"),
        replace(bundle.judged[0], name="odd", title="Something else was looked at", group="Elsewhere"),
    ]
    text = make_room().render(replace(bundle, judged=[*bundle.judged, *extra])).markdown.read_text()
    assert "### 1.5 The moon was looked at" in text
    assert "## Phase 4: Other Gates" in text


def test_the_music_handlers_own_gates_all_have_their_section(make_room: Callable[..., ReportRoom]) -> None:
    from dataclasses import replace

    from handlers.music import GATES

    bundle = SAMPLES["music"]
    judged = judge(GATES, [], started=bundle.started)
    text = make_room().render(replace(bundle, judged=judged, evidence=[])).markdown.read_text()
    numbered = [line for line in text.splitlines() if re.match(r"### \d", line)]
    assert len(numbered) == 14, "a gate without a section of its own makes a new one at the phase's end"
    phases = text[: text.index("## Completion Gates")]
    assert [g.name for g in GATES if f"(`{g.name}`" not in phases] == []


def test_what_a_handler_noted_stands_in_its_phase_and_gets_no_mark_of_proof(
    make_room: Callable[..., ReportRoom],
) -> None:
    text = make_room().render(SAMPLES["music"]).markdown.read_text()
    phase = text[text.index("## Phase 0:") : text.index("### 0.1")]
    assert "- **ffmpeg**: 7.1" in phase
    assert "- ❓ **Eagle**: does not answer" in phase
    findings = text[text.index("## Findings") :]
    assert "**Eagle**" in findings
    assert "**ffmpeg**" not in findings


def test_resources_are_found_in_a_checkout_and_in_a_wheel(tmp_path: Path) -> None:
    assert (resources.templates() / "reports" / "task").is_dir()
    assert resources.systemd().name == "systemd"
    assert resources.launchd().name == "launchd"
    package = tmp_path / "daemon"
    (package / "_data" / "templates").mkdir(parents=True)
    (tmp_path / "templates").mkdir()
    assert resources._find("templates", package) == package / "_data" / "templates"
    with pytest.raises(NotFound, match="systemd"):
        resources._find("systemd", package)


def test_importing_resources_costs_nothing() -> None:
    code = "import sys, daemon.resources; print('jinja2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
