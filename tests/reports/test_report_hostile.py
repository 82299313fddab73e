"""Text from pages, downloads and agents is data: it is shown, and it changes nothing else."""

from __future__ import annotations

import os
import random
import re
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from daemon.core.evidence import Evidence, Judged
from daemon.core.ports import Bundle
from daemon.core.text import visible
from daemon.reports import ReportRoom, folders, safe_text
from daemon.reports.environment import Templates
from daemon.reports.samples import samples

SAMPLES = samples()

SSTI = [
    "{{ 1337*7331 }}",
    "{% for i in range(9) %}{{ i*1337*7331 }}{% endfor %}",
    "{{ config }}",
    "{{ self }}",
    "{{ self.__init__.__globals__ }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''.__class__.__base__.__subclasses__()[104].__init__.__globals__['sys'] }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ joiner.__init__.__globals__.os.popen('id').read() }}",
    "{{ namespace.__init__.__globals__.os.popen('id').read() }}",
    "{{ lipsum.__globals__['os'].popen('id').read() }}",
    "{{ lipsum.__globals__.__builtins__.open('/etc/passwd').read() }}",
    "{{ request.application.__globals__.__builtins__.__import__('os').popen('id').read() }}",
    "{{ get_flashed_messages.__globals__.__builtins__ }}",
    "{{ url_for.__globals__ }}",
    "{{ ()|attr('__class__')|attr('__base__') }}",
    "{{ ''|attr(['_'*2,'class','_'*2]|join) }}",
    "{{ 'abc'.format_map({}.__class__) }}",
    "{{ '%s'|format(7*7) }}",
    "{{ '{0.__class__}'.format(42) }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}{{ os }}",
    "{% extends 'task/report.md.j2' %}",
    "{% set x = 1337*7331 %}{{ x }}",
    "{% raw %}{{ 1337*7331 }}{% endraw %}",
    "{# comment that would vanish #}",
    "{%- if 1 -%}yes{%- endif -%}",
    "{% macro m() %}{{ caller() }}{% endmacro %}",
    "${1337*7331}",
    "#{1337*7331}",
    "<%= 1337*7331 %>",
    "{{= 1337*7331 }}",
    "{{ report.bundle.task.__class__ }}",
    "{{ report.__class__.__init__.__globals__ }}",
    "{{ bundle.data.clear() }}",
    "{{ figures.gates.__globals__ }}",
    "{{ dict(a=1).__class__ }}",
    "{{ range(1000000000)|list }}",
    "{{ 'x' * 1000000000 }}",
    "{{ 9**9**9 }}",
]

XSS = [
    "<script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    '" onfocus="alert(1)" autofocus="',
    "<svg/onload=alert(1)>",
    "</svg><script>alert(1)</script>",
    "<desc><script>alert(1)</script></desc>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<a href=javascript:alert(1)>x</a>",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "java\tscript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:msgbox(1)",
    "<body onload=alert(1)>",
    "<base href=//evil.example/>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<form action=//evil.example><button>go</button></form>",
    "<!--><script>alert(1)</script-->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "\u003cscript\u003ealert(1)",
    "<math><mi//xlink:href='data:x,<script>alert(1)</script>'>",
    "x\x00<script>alert(1)</script>",
    "\u202e<script>\u2066alert(1)",
    'https://ok.example/" onclick="alert(1)',
    "https://user:pass@evil.example/",
    "{{ '<script>alert(1)</script>'|safe }}",
]

MARKDOWN = [
    "# ✅ ALL GATES PASSED",
    "x\n\n# ✅ ALL GATES PASSED\n\n",
    "x\n===\n",
    "---\nverdict: Success\n---",
    "```\n# out of the fence\n```",
    "````\n``` nested",
    "![beacon](https://evil.example/p.png)",
    "[click](javascript:alert(1))",
    "[ref]: https://evil.example",
    "<!-- handoffd:end music -->",
    "| a | b |\n|---|---|\n| c | d |",
    "a | b | c",
    "1. one\n2. two",
    "> quote\n> # heading",
    "`` ` ``",
    "**Status:** ✅ Success",
    "<h1>ALL GATES PASSED</h1>",
    "&#x3c;h1&#x3e;",
    "\\",
    "$$x$$",
]


def poisoned(bundle: Bundle, text: str) -> Bundle:
    """``text`` in every place where a bundle carries words from outside."""
    task = replace(
        bundle.task,
        title=text,
        description=text,
        next_step=text,
        acceptance=(text, text),
        agents=(text,),
        page_url=text,
        url=text,
    )
    evidence = [
        Evidence(
            gate=e.gate,
            kind=e.kind,
            subject=f"{e.subject} {text}",
            ok=e.ok,
            data={"note": text, text: 1},
            at=e.at,
        )
        for e in bundle.evidence
    ]
    judged = [
        Judged(
            name=j.name,
            title=text,
            group=j.group,
            required=j.required,
            result=j.result,
            why=text,
            evidence=tuple(f"{s} {text}" for s in j.evidence),
        )
        for j in bundle.judged
    ]
    return replace(
        bundle,
        task=task,
        host=text,
        summary=text,
        why=text,
        evidence=evidence,
        judged=judged,
        steps=[{**s, "name": f"{i} {text}", "error": text} for i, s in enumerate(bundle.steps)],
        files=[{"path": f"music/{text}", "sha256": text, "bytes": 3}],
        follow_ups=[
            {"task": text, "title": text, "key": text, "priority": text, "handler": text, "created": True}
        ],
        data={
            "findings": [text, {"text": text}],
            "track": {"artist": text, text: text},
            "mode": text,
            "agent": text,
            "packet": text,
            "criteria": [
                {
                    "id": text,
                    "text": text,
                    "claim": text,
                    "tier": text,
                    "result": text,
                    "check": text,
                    "why": text,
                }
            ],
            "phases": [
                {"name": f"Phase 0: {text}", "findings": [{"title": text, "state": text, "text": text}]}
            ],
            "source": {"url": text, text: text},
            "dedup": {"why": text},
            "understood": text,
            "acknowledged_at": text,
            "ack_by": text,
            "receipt": text,
            "delta": {"added": [text], "changed": [text, text], "removed": []},
            "rejections": [{"code": text, "field": text, "expected": text, "got": text}],
            "not_done": [text],
            "residual_risk": [text],
            "warnings": [{"text": text}],
            "failures": [{"title": text, "handler": text, "state": text, "reason": text}],
            "waiting": [{"title": text, "handler": text, "state": text, "reason": text}],
            "handlers": [{"handler": text, "runs": [text], "median_s": text, "files": text, "bytes": text}],
            "runs": [
                {
                    "title": text,
                    "state": text,
                    "handler": text,
                    "run": text,
                    "result": text,
                    "report": text,
                    "gates": [],
                }
            ],
            "since": text,
            "until": text,
        },
    )


class Tags(HTMLParser):
    """The skeleton of a page: every tag with its attributes' names, and the text apart."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.urls: list[str] = []
        self.texts: list[str] = []
        self.comments: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))
        self.urls += [value or "" for name, value in attrs if name in ("href", "src", "action", "xlink:href")]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)


def parsed(html: str) -> Tags:
    page = Tags()
    page.feed(html)
    page.close()
    return page


def squeezed(text: str) -> str:
    return " ".join(visible(text).split())


@pytest.mark.parametrize("kind", ["task", "music", "handoff", "digest"])
def test_t16_template_code_in_text_is_never_evaluated(kind: str, room: ReportRoom) -> None:
    for payload in SSTI:
        made = room.render(poisoned(SAMPLES[kind], payload))
        html = made.html.read_text()
        text = squeezed(" ".join(parsed(html).texts))
        assert squeezed(payload) in text
        for page in (html, made.markdown.read_text(), made.section):
            assert "9801547" not in page, payload
            assert "uid=" not in page, payload
            assert "root:x:" not in page, payload
            assert "<class" not in page.replace("&lt;", "<"), payload


@pytest.mark.parametrize("kind", ["task", "music", "handoff", "digest"])
def test_t20_no_text_adds_an_element_an_attribute_or_a_url(kind: str, room: ReportRoom) -> None:
    plain = parsed(room.render(poisoned(SAMPLES[kind], "harmless")).html.read_text())
    for payload in XSS:
        html = room.render(poisoned(SAMPLES[kind], payload)).html.read_text()
        page = parsed(html)
        assert [t for t in page.tags if t[0] != "br"] == plain.tags, payload
        assert page.comments == plain.comments
        for tag, names in page.tags:
            assert tag not in ("script", "iframe", "object", "embed", "form", "base", "link", "img")
            assert not [n for n in names if n.startswith("on") or n == "style"]
        for url in page.urls:
            assert re.match(r"(https?://|#|evidence\.json$|report\.md$)", url), (payload, url)
        assert "Content-Security-Policy" in html


def test_the_index_is_inert_too(room: ReportRoom, tmp_path: Path) -> None:
    for i, payload in enumerate([*XSS, *SSTI]):
        hostile = poisoned(SAMPLES["task"], payload)
        room.render(
            replace(hostile, run=f"{i:032x}.g1", handler=payload, task=replace(hostile.task, id=f"{i:032x}"))
        )
    html = (tmp_path / "reports" / "index.html").read_text()
    page = parsed(html)
    assert [t for t, _ in page.tags].count("script") == 1
    assert not [n for _, names in page.tags for n in names if n.startswith("on")]
    links = [u for u in page.urls if u.startswith("20")]
    assert len(links) == len(XSS) + len(SSTI)
    assert all(folders.NAME.fullmatch(u.split("/")[2]) for u in links)


@pytest.mark.parametrize("kind", ["task", "music", "handoff", "digest"])
def test_t21_no_text_adds_a_heading_a_link_or_a_table_row(kind: str, room: ReportRoom) -> None:
    reader = MarkdownIt("commonmark").enable("table")

    def shape(text: str) -> list[str]:
        tokens = reader.parse(text)
        inner = [c.type for t in tokens for c in t.children or []]
        blocks = [t.type + t.tag for t in tokens if not t.type.startswith(("paragraph", "inline"))]
        wanted = ("link_open", "image", "html_inline")
        return blocks + [t for t in inner if t in wanted]

    plain = shape(room.render(poisoned(SAMPLES[kind], "harmless")).markdown.read_text())
    for payload in [*MARKDOWN, *XSS]:
        made = room.render(poisoned(SAMPLES[kind], payload))
        # A summary of several lines becomes several paragraphs; paragraphs are left out of the shape.
        assert shape(made.markdown.read_text()) == plain, payload
        headings = [t for t in reader.parse(made.section) if t.type == "heading_open"]
        assert headings == []
        assert "html_block" not in [t.type for t in reader.parse(made.section)]


def hostile_titles(count: int) -> list[str]:
    """Titles with everything that has ever broken a path, mixed by a fixed seed."""
    pieces = [
        "../", "..\\", "/etc/cron.d/x", "C:\\", "%2e%2e/", "\x00", "\n", "\r", "\x1b[31m", "\x7f", "\u0085",
        "\u2028", "\u202e", "\u2066", "\u200b", "\ufeff", "\U000e0041", "CON", "NUL", "COM1",
        "AGENTS.md", ".git",
        "-rf",
        ".", "..", "~", "$HOME", "`id`", "$(id)", ";rm", "|", "*", "?", "<>", '"', "'", "é" * 128,
        "😀" * 64,
        "e\u0301" * 60, "ﬁ", "\u212a", "İ", "ß", "Ω", "漢字", "עברית",
        "\ud800", "a" * 300, "index.html", "evidence.json",
        "--" + "0" * 32 + ".g1", ".tmp-", " ", "\t", "://", "#", "Implementation:",
    ]  # fmt: skip
    rng = random.Random(20260108)  # a fixed seed, nothing secret
    titles = ["".join(rng.choices(pieces, k=rng.randint(1, 9))) for _ in range(count - 3)]
    return [*titles, "x/" * 5000, "", "\u202e" * 10_000]


def test_t01_a_thousand_hostile_titles_never_leave_the_folder(tmp_path: Path, room: ReportRoom) -> None:
    """Full render for every tenth; the name, which is all that a title can reach, for every one."""
    root = tmp_path / "reports"
    (tmp_path / "outside").mkdir()
    name = re.compile(r"20260108T113739Z--[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?--[0-9a-f]{32}\.g1")
    bundle = SAMPLES["task"]
    for i, title in enumerate(hostile_titles(1000)):
        run = f"{i:032x}.g1"
        home = folders.home_of(root, run=run, title=title, started=bundle.started)
        assert home.parent == root / "2026" / "01"
        assert name.fullmatch(home.name), repr(title)
        assert len(home.name) <= 143
        if i % 10 == 0 or i > 990:
            made = room.render(replace(bundle, run=run, task=replace(bundle.task, title=title)))
            assert made.folder == home
            for path in (made.markdown, made.html, made.evidence):
                bad = [
                    c
                    for c in path.read_text()
                    if unicodedata.category(c) in ("Cc", "Cf", "Cs") and c not in "\n\t"
                ]
                assert bad == [], (title, path.name)
    assert sorted(os.listdir(tmp_path)) == ["outside", "reports"]
    assert os.listdir(tmp_path / "outside") == []
    assert all(re.fullmatch(r"index(-2026-01)?\.html|index\.jsonl|\.lock|2026", n) for n in os.listdir(root))


@pytest.mark.parametrize(
    "run", ["", "../x", "a" * 32, "A" * 32 + ".g1", "a" * 32 + ".g0", "a" * 32 + ".g1/.."]
)
def test_a_run_id_is_checked_before_it_becomes_a_path(run: str, room: ReportRoom) -> None:
    from daemon.core.errors import PermanentError

    with pytest.raises(PermanentError):
        room.render(replace(SAMPLES["task"], run=run))


@pytest.mark.parametrize(
    "template",
    [
        "{{ missing }}",
        "{{ report.missing }}",
        "{{ data.missing.deeper }}",
        "{{ ''.__class__ }}",
        "{{ report.__class__ }}",
        "{{ report.title.__class__.__mro__ }}",
        "{{ data.update({'x': 1}) }}",
        "{{ 'x' * 2000000 }}",
        "{{ 2 ** 1000000 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ [1] * 3000000 }}",
        "{{ range(100000000) | list }}",
        "{{ report.title | safe }}",
        "{% include '../../../etc/passwd' %}",
        "{% include '/etc/passwd' %}",
        "{{ 1 / 0 }}",
        "{% broken",
    ],
)
def test_a_template_that_asks_for_more_fails_by_name(template: str, tmp_path: Path) -> None:
    from daemon.core.errors import ConfigError

    (tmp_path / "task").mkdir()
    for form in ("md", "html"):
        (tmp_path / "task" / f"report.{form}.j2").write_text(template)
        found = Templates(tmp_path)
        with pytest.raises(ConfigError, match=f"task/report.{form}.j2"):
            found.render(f"task/report.{form}.j2", report=SAMPLES["task"], data={"a": 1})


@pytest.mark.parametrize("name", ["report.html.j2", "report.html", "odd.name.html.j2"])
def test_t19_html_is_escaped_whatever_the_file_is_called(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text('<p title="{{ x }}">{{ x }}</p>')
    made = Templates(tmp_path).render(name, x='<b>&"').decode()
    assert made == '<p title="&lt;b&gt;&amp;&#34;">&lt;b&gt;&amp;&#34;</p>\n'


def test_markdown_is_escaped_without_being_asked(tmp_path: Path) -> None:
    (tmp_path / "x.md.j2").write_text("{{ x }}{% macro m(v) %}[{{ v }}]{% endmacro %}{{ m(x) }}")
    assert (
        Templates(tmp_path).render("x.md.j2", x="*a*<b>").decode() == r"\*a\*&lt;b&gt;[\*a\*&lt;b&gt;]" + "\n"
    )


@settings(deadline=None)
@given(st.text(max_size=300))
def test_any_text_stays_one_paragraph_of_plain_text(text: str) -> None:
    tokens = MarkdownIt("commonmark").enable("table").parse(f"{safe_text.inline(text)}\n")
    assert {t.type for t in tokens} <= {"paragraph_open", "inline", "paragraph_close"}
    kinds = {c.type for t in tokens for c in t.children or []}
    assert kinds <= {"text", "text_special"}


@settings(deadline=None)
@given(st.text(max_size=300))
def test_any_text_stays_inside_its_code_span_and_fence(text: str) -> None:
    reader = MarkdownIt("commonmark")
    span = [c.type for t in reader.parse(f"x {safe_text.code(text)} y") for c in t.children or []]
    assert span in (["text", "code_inline", "text"], ["text"])
    assert [
        t.type for t in reader.parse(str(safe_text.fence(text)).replace(safe_text.KEPT_NEWLINE, "\n"))
    ] == ["fence"]


@pytest.mark.parametrize(
    "make",
    [
        lambda: "javascript:alert(1)",
        lambda: "JAVASCRIPT:alert(1)",
        lambda: "data:text/html,x",
        lambda: "file:///etc/passwd",
        lambda: "//evil.example",
        lambda: "/local",
        lambda: "https://user@evil.example/",
        lambda: "https://a b.example/",
        lambda: "https://a\u202e.example/",
        lambda: 'https://a.example/"x',
        lambda: "https://[::1",
        lambda: "http://",
        lambda: "https://a.example/" + "x" * 3000,
        lambda: "java\nscript:alert(1)",
    ],
)
def test_only_web_addresses_become_links(make: Callable[[], str]) -> None:
    assert safe_text.web_url(make()) == ""


def test_a_web_address_stays_what_it_is() -> None:
    assert safe_text.web_url(" https://www.notion.so/x?v=1&p=2#a ") == "https://www.notion.so/x?v=1&p=2#a"
    assert safe_text.link("a", "https://x.example/a_(b)") == "[a](<https://x.example/a_%28b%29>)"
