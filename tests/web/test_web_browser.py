"""The dashboard in a real Chromium: nothing runs that should not, nothing leaves, and it can be used.

Skipped where there is no Chromium, unless HANDOFFD_REQUIRE_BROWSER=1. HANDOFFD_SHOTS=DIR keeps a picture of
every page, wide and narrow, light and dark.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from daemon.core.status import Status
from daemon.store import Run
from daemon.web import WebServer

pytestmark = pytest.mark.browser

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PAGES = (
    "/",
    "/tasks",
    "/tasks?add=1",
    "/runs",
    "/handoffs",
    "/reports",
    "/schedules",
    "/handlers",
    "/health",
    "/login",
    "/nope",
)

# Text whose contrast with what is behind it is below WCAG AA, as [text, ratio].
CONTRAST = """
(() => {
  const parse = (c) => {
    const m = c.match(/[\\d.]+/g).map(Number);
    const unit = c.startsWith("color(") ? 255 : 1;
    return [m[0] * unit, m[1] * unit, m[2] * unit, m[3] ?? 1];
  };
  const over = (a, b) => [0, 1, 2].map((i) => a[i] * a[3] + b[i] * (1 - a[3]));
  const light = (c) => {
    const [r, g, b] = c.map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const low = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walk.nextNode()); ) {
    const element = node.parentElement;
    if (!node.textContent.trim() || !element.checkVisibility() || element.closest(".unseen, .skip")) continue;
    const style = getComputedStyle(element);
    if (!parseFloat(style.fontSize)) continue;
    const chain = [];
    for (let e = element; e; e = e.parentElement) chain.unshift(e);
    let back = [255, 255, 255], fade = 1;
    for (const e of chain) {
      const s = getComputedStyle(e);
      back = over(parse(s.backgroundColor), back);
      if (!s.animationName || s.animationName === "none") fade *= Number(s.opacity);
    }
    const ink = parse(style.color);
    const front = over([ink[0], ink[1], ink[2], ink[3] * fade], back);
    const [x, y] = [light(front), light(back)].sort((a, b) => b - a);
    const ratio = (x + 0.05) / (y + 0.05);
    const points = parseFloat(style.fontSize);
    const large = points >= 24 || (points >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) low.push([node.textContent.trim().slice(0, 40), Number(ratio.toFixed(2))]);
  }
  return low;
})()
"""


class Browser:
    """One headless Chromium with one tab, driven over its debugging pipe."""

    def __init__(self, program: str, home: Path) -> None:
        down_r, down_w = os.pipe()
        up_r, up_w = os.pipe()
        flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            "--remote-debugging-pipe",
        ]
        # The pipe must be on descriptors 3 and 4.
        script = f'exec "$@" 3<&{down_r} 4>&{up_w} {down_r}<&- {up_w}>&-'
        self._process = subprocess.Popen(
            ["bash", "-c", script, "bash", program, *flags, f"--user-data-dir={home}", "about:blank"],
            pass_fds=(down_r, up_w),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(down_r)
        os.close(up_w)
        self._down, self._up = down_w, up_r
        os.set_blocking(self._up, False)
        self._rest, self._number = b"", 0
        self.seen: list[dict[str, Any]] = []
        target = next(t for t in self.send("Target.getTargets")["targetInfos"] if t["type"] == "page")
        self._session = ""
        self._session = self.send("Target.attachToTarget", targetId=target["targetId"], flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command and its answer; what happens meanwhile is in ``seen``."""
        self._number += 1
        number = self._number
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if getattr(self, "_session", ""):
            message["sessionId"] = self._session
        os.write(self._down, json.dumps(message).encode() + b"\0")
        return self._until(lambda m: m.get("id") == number)["result"]

    def _until(self, wanted: Callable[[dict[str, Any]], bool], seconds: float = 20.0) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            head, cut, rest = self._rest.partition(b"\0")
            if not cut:
                try:
                    self._rest += os.read(self._up, 1 << 20)
                except BlockingIOError:
                    time.sleep(0.005)
                continue
            self._rest = rest
            message = json.loads(head)
            if "id" in message:
                assert "error" not in message, message["error"]
            else:
                self.seen.append(message)
            if wanted(message):
                return message
        raise AssertionError("Chromium did not answer")

    def open(self, address: str) -> None:
        """Load a page and wait for its load event."""
        self.send("Page.navigate", url=address)
        self._until(lambda m: m.get("method") == "Page.loadEventFired")
        self.run("document.readyState")

    def run(self, script: str) -> Any:
        """What ``script`` gives in the page."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, script: str, seconds: float = 8.0) -> None:
        """Until ``script`` gives something true."""
        end = time.monotonic() + seconds
        while not self.run(script):
            assert time.monotonic() < end, f"never true: {script}"
            time.sleep(0.05)

    def look(self, width: int, *, dark: bool = False) -> None:
        """Take the form of a screen of ``width`` CSS pixels."""
        metrics = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
        self.send("Emulation.setDeviceMetricsOverride", **metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])

    def press(self, key: str, code: int) -> None:
        """One key, down and up."""
        for kind in ("rawKeyDown", "char", "keyUp") if key == "Enter" else ("rawKeyDown", "keyUp"):
            self.send(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                windowsVirtualKeyCode=code,
                text="\r" if kind == "char" else "",
            )

    def picture(self, name: str) -> None:
        """Keep a picture of the whole page, when somebody wants to look."""
        folder = os.environ.get("HANDOFFD_SHOTS")
        if folder:
            data = self.send("Page.captureScreenshot", captureBeyondViewport=True)["data"]
            Path(folder, f"{name}.png").write_bytes(base64.b64decode(data))

    def complaints(self) -> list[str]:
        """Exceptions, dialogs, refusals by the content policy, and requests that left for anywhere else."""
        out, left = [], {}
        for message in self.seen:
            method, told = message["method"], message["params"]
            if method in ("Runtime.exceptionThrown", "Page.javascriptDialogOpening"):
                out.append(f"{method}: {told}")
            elif method == "Log.entryAdded" and "Failed to load resource" not in told["entry"]["text"]:
                out.append(told["entry"]["text"])
            elif method == "Network.requestWillBeSent":
                left[told["requestId"]] = told["request"]["url"]
            elif method == "Network.loadingFailed" and told.get("blockedReason") == "csp":
                left.pop(told["requestId"], None)
        here = ("http://127.0.0.1:", "about:", "data:")
        return out + [f"left: {url}" for url in left.values() if not url.startswith(here)]

    def close(self) -> None:
        """End it."""
        os.close(self._down)
        os.close(self._up)
        self._process.terminate()
        self._process.wait(10)


@pytest.fixture(scope="module")
def chromium() -> str:
    found = next((p for p in map(shutil.which, NAMES) if p), None)
    if found is None:
        assert os.environ.get("HANDOFFD_REQUIRE_BROWSER") != "1", "Chromium is required and not installed"
        pytest.skip("no Chromium here: apt-get install chromium")
    return found


@pytest.fixture(scope="module")
def shared(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(chromium, tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def tab(shared: Browser) -> Iterator[Browser]:
    shared.look(1280)
    shared.seen.clear()
    yield shared
    shared.open("about:blank")


def every_page(world) -> list[str]:
    run = next(r for r in world.store.runs() if r.report and r.generation == 2)
    failed = next(t for t in world.board.pages.values() if t.status is Status.FAILED)
    waiting = next(t for t in world.board.pages.values() if t.status is Status.WAITING)
    return [
        *PAGES,
        f"/tasks/{run.task}",
        f"/tasks/{failed.id}",
        f"/tasks/{waiting.id}",
        f"/runs/{run.run}",
        f"/reports/{run.run}",
    ]


CURRENT_IN_VIEW = """(() => {
  const now = document.querySelector("nav [aria-current]")?.getBoundingClientRect();
  return !now || (now.left >= 0 && now.right <= document.documentElement.clientWidth);
})()"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_page_is_readable_wide_and_narrow(world, site: WebServer, tab: Browser, dark: bool) -> None:
    for number, path in enumerate(every_page(world)):
        for width in (1280, 390):
            tab.look(width, dark=dark)
            tab.open(site.url + path)
            spill = tab.run("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert spill <= 0, f"{path} is {spill} px wider than a screen of {width}"
            assert tab.run(CONTRAST) == [], (path, width)
            assert tab.run(CURRENT_IN_VIEW), (path, width)
            tab.picture(
                f"{number:02}-{path.split('?')[0].strip('/').split('/')[0] or 'overview'}-{width}"
                f"-{'dark' if dark else 'light'}"
            )
    assert tab.complaints() == []


def test_the_first_day_is_readable(empty_world, serve, tab: Browser) -> None:
    site = serve(empty_world.parts())
    for path in PAGES[:-2]:
        tab.open(site.url + path)
        assert tab.run(CONTRAST) == [], path
        tab.picture(f"first-{path.split('?')[0].strip('/') or 'overview'}")
    assert tab.complaints() == []


OWNED = "document.documentElement.dataset.owned=1"


HOSTILE = (
    f"<script>{OWNED}</script>",
    f'"><img src=x onerror="{OWNED}">',
    f"<svg onload={OWNED}>",
    f"javascript:{OWNED}",
    f"</title></bdi></main><iframe srcdoc='<script>parent.{OWNED}</script>'>",
    "<img src=http://beacon.example/x><link rel=stylesheet href=//beacon.example/y>"
    "<meta http-equiv=refresh content='0;//beacon.example'>",
)


def test_hostile_titles_do_nothing_in_a_browser(world, site: WebServer, tab: Browser) -> None:
    runs = [poison(world, number, text) for number, text in enumerate(HOSTILE)]
    ours = ["/", "/tasks", "/runs", "/handoffs", "/reports"]
    ours += [path for run in runs for path in (f"/tasks/{run.task}", f"/runs/{run.run}")]
    for path in ours:
        tab.open(site.url + path)
        unhurt(tab, path)
    assert tab.complaints() == []
    for run in runs:
        for path in (f"/reports/{run.run}", f"/reports/{run.run}/report.html"):
            tab.open(site.url + path)
            unhurt(tab, path)
    # A refusal by the content policy is what should happen to a hostile report; anything else is not.
    assert not [c for c in tab.complaints() if "Content Security Policy" not in c and "sandboxed" not in c]


def poison(world, number: int, text: str) -> Run:
    """A task, a run and a report that carry ``text`` wherever somebody else can write."""
    waiting = next(t for t in world.snapshot.tasks if t.status is Status.WAITING)
    bad = replace(
        waiting, id=f"{number:x}" * 32, title=text, description=text, url=text, why=text, page_url=text
    )
    failed = f"{number + 8:x}" * 32
    world.board.pages |= {bad.id: bad, failed: replace(bad, id=failed, status=Status.FAILED)}
    sample = world.store.runs(limit=1)[0]
    run = replace(sample, run=f"{bad.id}.g1", task=bad.id, title=text, why=text, summary=text)
    world.store.begin_run(run)
    folder = world.reports / f"x--{run.run}"
    folder.mkdir()
    html = f"<!doctype html><title>x</title>{text}<script>parent.{OWNED}</script>"
    (folder / "report.html").write_text(html)
    world.store.change_run(run.run, report=str(folder))
    world.snapshot = replace(world.snapshot, tasks=(*world.snapshot.tasks, bad), board_error=text)
    return run


def unhurt(tab: Browser, path: str) -> None:
    """No script of a text has run, and no address of it can."""
    assert tab.run("document.documentElement.dataset.owned") is None, path
    for attribute in ("href", "src", "action"):
        found = tab.run(f"[...document.querySelectorAll('[{attribute}]')].map(e => e.{attribute})")
        assert not [u for u in found if str(u).startswith("javascript:")], path


def test_news_of_the_daemon_appears_without_a_reload(world, site: WebServer, tab: Browser) -> None:
    tab.open(site.url)
    tab.run("window.marker = 'same page'")
    end = time.monotonic() + 5
    while site._room.stream.listening == 0 and time.monotonic() < end:
        time.sleep(0.05)
    assert site._room.stream.listening == 1
    world.snapshot = replace(world.snapshot, settings_error="web.port: expected a number", at=world.clock.now)
    tab.wait("document.body.innerText.includes('web.port: expected a number')")
    assert tab.run("document.title").startswith("(6) ")
    world.store.change_run(
        world.snapshot.running[0], progress={"done": 9, "total": 10, "note": "tagging", "at": 9.0}
    )
    tab.wait("document.body.innerText.includes('tagging')")
    assert tab.run("window.marker") == "same page"
    assert tab.complaints() == []


def test_an_open_gate_stays_open_when_news_come(world, site: WebServer, tab: Browser) -> None:
    run = next(r for r in world.store.runs() if r.generation == 2)
    tab.open(f"{site.url}/runs/{run.run}")
    tab.run("document.querySelector('details').open = true")
    world.store.event("task.noted", task=run.task, run=run.run, text="fresh news")
    tab.wait("document.body.innerText.includes('fresh news')")
    assert tab.run("document.querySelector('details').open") is True


def test_what_is_typed_survives_news(world, site: WebServer, tab: Browser) -> None:
    tab.open(site.url + "/tasks?add=1")
    tab.run("document.querySelector('#f-title').focus(); document.querySelector('#f-title').value = 'half a'")
    world.snapshot = replace(world.snapshot, tasks=world.snapshot.tasks[:2], at=world.clock.now + 1)
    tab.wait("!document.querySelector('#board').innerText.includes('Publish the release notes')")
    assert tab.run("document.querySelector('#f-title').value") == "half a"


def test_a_button_press_changes_the_board(world, site: WebServer, tab: Browser) -> None:
    failed = next(t for t in world.board.pages.values() if t.status is Status.FAILED)
    tab.open(f"{site.url}/tasks/{failed.id}")
    tab.run("document.querySelector('button[value=ready]').click()")
    tab.wait("document.querySelector('.metas')?.innerText.includes('ready')")
    assert world.board.pages[failed.id].status is Status.READY


def test_a_cancel_asks_first(world, site: WebServer, tab: Browser) -> None:
    held = next(t for t in world.snapshot.tasks if t.title.startswith("Publish"))
    tab.open(f"{site.url}/tasks/{held.id}")
    tab.run(
        "window.confirm = (text) => { window.asked = text; return false; };"
        "document.querySelector('button[value=cancelled]').click()"
    )
    assert tab.run("window.asked") == "Cancel this task?"
    assert world.board.pages[held.id].status is Status.READY


def test_a_card_can_be_dragged_to_ready(world, site: WebServer, tab: Browser) -> None:
    draft = next(t for t in world.board.pages.values() if t.status is Status.DRAFT)
    tab.open(site.url + "/tasks")
    tab.wait(f"document.querySelector('[data-task=\"{draft.id}\"]') !== null")
    tab.run(f"""(() => {{
      const card = document.querySelector('[data-task="{draft.id}"]');
      const column = document.querySelector('[data-drop]');
      const fire = (on, type) => on.dispatchEvent(new DragEvent(type, {{ bubbles: true, cancelable: true }}));
      fire(card, 'dragstart'); fire(column, 'dragover'); fire(column, 'drop');
    }})()""")
    tab.wait("document.querySelector('#ready')?.innerText.includes('Tidy the sample library')")
    assert world.board.pages[draft.id].status is Status.READY


def test_it_can_be_used_from_the_keyboard(site: WebServer, tab: Browser) -> None:
    tab.open(site.url)
    tab.press("Tab", 9)
    assert tab.run("document.activeElement.textContent") == "Skip to content"
    tab.press("Enter", 13)
    assert tab.run("document.activeElement.id") == "main"
    tab.press("Tab", 9)
    assert tab.run("document.activeElement.closest('main') !== null")
    outline = tab.run("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none", "what has the focus can be seen"


def test_everything_can_be_read_without_javascript(world, site: WebServer, tab: Browser) -> None:
    tab.send("Emulation.setScriptExecutionDisabled", value=True)
    try:
        for path, said in (
            ("/", "Sync “Unfinished Sympathy”"),
            ("/tasks", "Publish the release notes"),
            (f"/runs/{world.snapshot.running[0]}", "encode"),
        ):
            tab.open(site.url + path)
            assert said in tab.run("document.body.innerText")
    finally:
        tab.send("Emulation.setScriptExecutionDisabled", value=False)


def test_a_lost_connection_is_said(world, serve, tab: Browser) -> None:
    site = serve(world.parts())
    tab.open(site.url)
    site.stop()
    tab.run("document.dispatchEvent(new Event('visibilitychange'))")
    tab.wait("'lost' in document.body.dataset")


def test_one_command_takes_a_picture(site: WebServer, chromium: str, tmp_path: Path) -> None:
    """The plain way of others: a live page must not keep a headless browser waiting for its stream."""
    made = tmp_path / "overview.png"
    argv = [
        chromium,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--virtual-time-budget=3000",
        "--window-size=1280,900",
        f"--user-data-dir={tmp_path / 'profile'}",
        f"--screenshot={made}",
        site.url,
    ]
    subprocess.run(argv, timeout=30, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert made.stat().st_size > 20_000
