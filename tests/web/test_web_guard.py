"""Attacks on the dashboard (the threat numbers are those of the reliability study, T70 and T74–T80)."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

import httpx
import pytest

from daemon.core.errors import ConfigError
from daemon.core.status import Status
from daemon.local_board import BoardConfig, create_app
from daemon.web import WebServer
from daemon.web.access import SESSION, Access
from daemon.web.app import ROUTES
from daemon.web.connection import CONNECTIONS
from daemon.web.guard import BODY, CSP

TOKEN = "correct-horse-battery-staple"
OPEN_FORMS = ("/login", "/theme")


def port_of(site: WebServer) -> int:
    return int(site.url.rsplit(":", 1)[1])


# ── binding ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "studio-mini"])
def test_T74_a_bind_that_others_reach_needs_a_token(world, host: str) -> None:
    with pytest.raises(ConfigError, match="no token guards it") as refused:
        WebServer(world.parts(), host, 0)
    assert "web_token" in refused.value.hint
    with pytest.raises(ConfigError, match="only 5 characters"):
        WebServer(world.parts(token="short"), host, 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.8.8"])
def test_loopback_needs_none(world, host: str) -> None:
    assert not world.parts().token
    server = WebServer(world.parts(), host, 0)
    server.start()
    try:
        assert httpx.get(f"{server.url}/healthz", trust_env=False).status_code == 200
    finally:
        server.stop()


def test_a_taken_port_is_refused_and_the_holder_named(world, site: WebServer) -> None:
    with pytest.raises(ConfigError, match=r"handoffd 0\.1\.0 of host studio-mini listens there") as refused:
        WebServer(world.parts(), "127.0.0.1", port_of(site)).start()
    assert "web.port" in refused.value.hint
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        pytest.raises(ConfigError, match="another program listens there"),
    ):
        WebServer(world.parts(), "127.0.0.1", other.getsockname()[1]).start()


def test_an_address_that_is_not_ours_is_refused(world) -> None:
    with pytest.raises(ConfigError, match="can't listen on"):
        WebServer(world.parts(token=TOKEN), "192.0.2.77", 0).start()


# ── Host, Origin, CSRF ────────────────────────────────────────────────────────────────────────────


HOSTS = (
    "evil.example",
    "evil.example:{port}",
    "127.0.0.1:1",
    "localhost",
    "0.0.0.0:{port}",
    "127.0.0.1.evil.example:{port}",
    "user@127.0.0.1:{port}",
    "localhost:{port}/x",
    "[::1",
    "192.168.1.5:{port}",
    "LOCALHOST.:{port}",
    "",
)


def test_T76_a_foreign_host_is_misdirected(http: httpx.Client) -> None:
    for host in HOSTS:
        for path in ("/", "/api/v1/state", "/healthz", "/v1/users/me", "/static/app.css"):
            answer = http.get(path, headers={"host": host.format(port=http.base_url.port)})
            assert answer.status_code in (400, 421), (host, path)


def test_T76_our_own_names_are_served(site: WebServer) -> None:
    for name in ("127.0.0.1", "localhost", "LocalHost", "[::1]"):
        assert httpx.get(site.url, headers={"host": f"{name}:{port_of(site)}"}).status_code == 200


def test_two_hosts_or_none_are_refused(raw: Callable[[bytes], bytes], site: WebServer) -> None:
    good = f"127.0.0.1:{port_of(site)}"
    answer = raw(
        f"GET / HTTP/1.1\r\nHost: {good}\r\nHost: evil.example\r\nConnection: close\r\n\r\n".encode()
    )
    assert answer.split()[1] in (b"400", b"421")
    assert raw(b"GET / HTTP/1.0\r\n\r\n").split()[1] in (b"400", b"421")


FOREIGN = (
    {"origin": "http://evil.example"},
    {"origin": "null"},
    {"origin": "https://127.0.0.1:{port}"},
    {"origin": "http://localhost:{port}"},
    {"origin": "http://127.0.0.1:1"},
    {"origin": "http://127.0.0.1:{port}.evil.example"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"origin": "http://127.0.0.1:{port}", "sec-fetch-site": "cross-site"},
)


def test_T77_a_request_from_another_site_changes_nothing(world, http: httpx.Client, csrf: str) -> None:
    before = dict(world.board.pages)
    ready = next(t for t in before.values() if t.status is Status.FAILED)
    forms = (
        (f"/tasks/{ready.id}/status", {"to": "ready"}),
        ("/tasks/add", {"title": "x"}),
        ("/refresh", {}),
        ("/theme", {"theme": "dark"}),
        ("/login", {"token": "x"}),
        ("/api/v1/refresh", {}),
    )
    for foreign in FOREIGN:
        headers = {k: v.format(port=http.base_url.port) for k, v in foreign.items()}
        for path, form in forms:
            answer = http.post(path, data={**form, "csrf": csrf}, headers=headers)
            assert answer.status_code == 403, (foreign, path)
    assert world.board.pages == before
    assert not world.refreshed


def test_T77_every_form_needs_the_token(world, http: httpx.Client) -> None:
    paths = [r.path for r in ROUTES if "POST" in (r.methods or ()) and not r.path.startswith("/webhooks/")]
    assert len(paths) >= 8
    for path in paths:
        path = path.replace("{task}", "a" * 32)
        for form in ({}, {"csrf": ""}, {"csrf": "wrong"}, {"csrf": "ü"}):
            answer = http.post(path, data=form)
            assert answer.status_code in ((303, 401) if path in OPEN_FORMS else (403,)), path
    assert not world.refreshed


def test_T77_looking_changes_nothing(world, http: httpx.Client) -> None:
    before, events = dict(world.board.pages), world.store.last_events(10_000)
    for route in ROUTES:
        path = (
            route.path.replace("{task}", "a" * 32).replace("{run}", "a" * 32 + ".g1").replace("{name}", "x")
        )
        if path != "/api/v1/events":
            for method in ("GET", "HEAD", "OPTIONS"):
                http.request(method, path + "?to=ready&title=x&theme=dark")
    assert world.board.pages == before
    assert world.store.last_events(10_000) == events
    assert not world.refreshed


# ── the token ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def guarded(world, serve) -> WebServer:
    return serve(world.parts(token=TOKEN), host="0.0.0.0")


def test_T75_where_others_reach_it_nothing_is_read_without_the_token(guarded: WebServer) -> None:
    wrong = (
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": "Bearer"},
        {"cookie": "handoffd_session=9999999999.00"},
    )
    with httpx.Client(base_url=guarded.url, verify=False) as client:
        for route in ROUTES:
            if route.path in ("/login", "/static/{name}") or "GET" not in (route.methods or ()):
                continue
            path = (
                route.path.replace("{task}", "a" * 32)
                .replace("{run}", "a" * 32 + ".g1")
                .replace("{name}", "x")
            )
            for headers in wrong:
                answer = client.get(path, headers=headers)
                assert answer.status_code == 401, (path, headers)
                assert "studio-mini" not in answer.text
                assert "Angel" not in answer.text
        assert client.get("/", headers={"accept": "text/html"}).headers["location"] == "/login"
        assert client.get(f"/?token={TOKEN}").status_code == 401, "never by the address"


def test_T75_the_bearer_token_reads_and_acts(world, guarded: WebServer) -> None:
    headers = {"authorization": f"Bearer {TOKEN}"}
    assert httpx.get(guarded.url + "/api/v1/state", headers=headers).status_code == 200
    assert httpx.post(guarded.url + "/api/v1/refresh", headers=headers).status_code == 202
    assert world.refreshed


def test_T75_signing_in_gives_a_cookie_that_no_script_reads(world, guarded: WebServer) -> None:
    with httpx.Client(base_url=guarded.url, verify=False) as client:
        assert client.post("/login", data={"token": "wrong"}).status_code == 401
        answer = client.post("/login", data={"token": TOKEN})
        cookie = answer.headers["set-cookie"].lower()
        assert answer.status_code == 303
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert TOKEN not in cookie
        page = client.get("/")
        assert page.status_code == 200
        assert client.post("/refresh", data={}).status_code == 403, "the cookie alone is not enough"
        form = {"csrf": page.text.split('name="csrf" value="')[1].split('"')[0]}
        assert client.post("/refresh", data=form).status_code == 303
        assert world.refreshed
        world.clock.now += SESSION + 1
        assert client.get("/", headers={"accept": "text/html"}).status_code == 303, "a session ends"


def test_T75_guessing_is_slowed_down(guarded: WebServer, world) -> None:
    with httpx.Client(base_url=guarded.url, verify=False) as client:
        for _ in range(10):
            assert client.post("/login", data={"token": "guess"}).status_code == 401
        assert client.post("/login", data={"token": TOKEN}).status_code == 401
        world.clock.now += 61
        assert client.post("/login", data={"token": TOKEN}).status_code == 303


def test_with_a_token_on_loopback_reading_is_free_and_acting_is_not(world, serve, http: httpx.Client) -> None:
    site = serve(world.parts(token=TOKEN))
    page = httpx.get(site.url)
    assert page.status_code == 200
    assert "Sign in to act" in page.text
    assert "Set Ready" not in page.text
    form = {"csrf": page.text.split('name="csrf" value="')[1].split('"')[0]}
    assert httpx.post(site.url + "/refresh", data=form).status_code == 401
    headers = {"authorization": f"Bearer {TOKEN}"}
    assert httpx.post(site.url + "/api/v1/refresh", headers=headers).status_code == 202


def test_session_cookies_of_others_are_not_ours() -> None:
    one, two = (Access("0.0.0.0", TOKEN, "h", lambda: 1000.0) for _ in range(2))
    cookie = one.sign_in(TOKEN)
    assert cookie is not None
    assert one.signed_in({"cookie": f"handoffd_session={cookie}"})
    assert not two.signed_in({"cookie": f"handoffd_session={cookie}"})
    late = str(int(cookie.split(".")[0]) + 9)
    for forged in (
        cookie.replace(cookie[:4], late[:4], 1)[:-1] + "0",
        f"{late}.{cookie.split('.')[1]}",
        "",
        ".",
        "x.y",
        f"{'9' * 30}.{cookie.split('.')[1]}",
    ):
        assert forged == cookie or not one.signed_in({"cookie": f"handoffd_session={forged}"})


# ── headers, paths, bodies ────────────────────────────────────────────────────────────────────────


def test_T22_every_answer_carries_the_security_headers(http: httpx.Client, csrf: str) -> None:
    for answer in (
        http.get("/"),
        http.get("/nope"),
        http.get("/api/v1/state"),
        http.post("/refresh"),
        http.get("/", headers={"host": "evil"}),
        http.get("/static/app.js"),
    ):
        assert answer.headers["content-security-policy"] == CSP
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "access-control-allow-origin" not in answer.headers
        assert "server" not in answer.headers
    assert "unsafe" not in CSP


PATHS = (
    "/static/../base.html.j2",
    "/static/%2e%2e/base.html.j2",
    "/static/..%2fbase.html.j2",
    "/static//etc/passwd",
    "/static/app.css%00.html",
    "/reports/../../state.db",
    "/reports/%2e%2e%2f%2e%2e%2fstate.db",
    "/reports/{run}/../../../state.db",
    "/reports/{run}/..%2f..%2f..%2fstate.db",
    "/reports/{run}/%2fetc%2fpasswd",
    "/reports/{run}/report.html/../../x",
    "/reports/{run}/.report.md.tmp",
    "/reports/{run}/report.html%00",
    "/runs/..%2f..%2fstate.db",
    "/tasks/..%2f..%2fstate.db",
    "//etc/passwd",
    "/\\..\\state.db",
    "/reports/{run}.bak",
)


def test_T78_no_address_becomes_a_path(world, raw: Callable[[bytes], bytes], site: WebServer) -> None:
    run = next(r.run for r in world.store.runs() if r.report)
    host = f"127.0.0.1:{port_of(site)}"
    for path in PATHS:
        line = path.replace("{run}", run)
        answer = raw(f"GET {line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        assert answer.split()[1] in (b"404", b"400"), (line, answer[:200])
        assert b"root:" not in answer
        assert b"SQLite" not in answer


def test_T78_a_report_row_that_points_elsewhere_is_not_followed(world, http: httpx.Client) -> None:
    run = next(r for r in world.store.runs() if r.report)
    outside = world.home / f"secrets--{run.run}"
    outside.mkdir()
    (outside / "report.html").write_text("secret")
    link = world.reports / f"link--{run.run}"
    link.symlink_to(outside)
    inside = world.reports / f"inside--{run.run}"
    inside.mkdir()
    (inside / "report.html").symlink_to(outside / "report.html")
    (inside / "report.md").mkdir()
    for folder in (
        outside,
        link,
        inside,
        world.home,
        world.reports / "nothing",
        f"{world.reports}/../secrets--{run.run}",
    ):
        world.store.change_run(run.run, report=str(folder))
        for name in ("report.html", "report.md", "evidence.json"):
            answer = http.get(f"/reports/{run.run}/{name}")
            assert answer.status_code == 404, folder
            assert "secret" not in answer.text.replace("secrets", "")


def test_T69_bodies_are_bounded_before_they_are_read(raw: Callable[[bytes], bytes], site: WebServer) -> None:
    head = f"POST /refresh HTTP/1.1\r\nHost: 127.0.0.1:{port_of(site)}\r\n"
    began = time.monotonic()
    for length, status in (("10737418240", b"413"), (str(BODY + 1), b"413"), ("-1", b"400"), ("1e3", b"400")):
        assert raw(f"{head}Content-Length: {length}\r\n\r\n".encode()).split()[1] == status, length
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    answer = raw(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunk * 5)
    # What is still on its way when the server hangs up may cost the client the answer.
    assert answer == b"" or answer.split()[1] == b"413"
    zipped = f"{head}Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nxx"
    assert raw(zipped.encode()).split()[1] == b"415"
    assert time.monotonic() - began < 5


def test_broken_forms_are_refused(http: httpx.Client) -> None:
    kind = {"content-type": "application/x-www-form-urlencoded"}
    for body in (b"csrf=%ff", b"\xff=1", b"&".join(b"a%d=1" % i for i in range(100))):
        assert http.post("/refresh", content=body, headers=kind).status_code == 400


def test_T70_half_open_connections_do_not_keep_a_request_waiting(
    site: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.web.connection.HEAD_SECONDS", 1.0)
    half = [socket.create_connection(("127.0.0.1", port_of(site))) for _ in range(CONNECTIONS + 20)]
    try:
        for s in half:
            s.sendall(b"GET / HTTP/1.1\r\nHost: 127.")
        began = time.monotonic()
        assert httpx.get(site.url + "/healthz").status_code == 200
        assert time.monotonic() - began < 3
        half[-1].settimeout(5)
        try:
            rest = half[-1].recv(100)
        except ConnectionResetError:
            rest = b""
        assert rest == b"", "a head that never ends is cut off"
    finally:
        for s in half:
            s.close()


def test_T80_a_reader_that_reads_nothing_is_cut_off(world, serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.web.connection.STALL_SECONDS", 0.5)
    site = serve(world.parts())
    for _ in range(600):
        world.store.event("flood", text="x" * 20_000)
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect(("127.0.0.1", port_of(site)))
        s.sendall(f"GET /api/v1/events?after=0 HTTP/1.1\r\nHost: 127.0.0.1:{port_of(site)}\r\n\r\n".encode())
        until = time.monotonic() + 10
        while site._room.stream.listening == 0 and time.monotonic() < until:
            time.sleep(0.02)
        assert site._room.stream.listening == 1
        while site._room.stream.listening and time.monotonic() < until:
            time.sleep(0.05)
        assert site._room.stream.listening == 0


def test_a_server_stops_with_open_streams_and_frees_its_port(world, serve) -> None:
    site = serve(world.parts())
    ended = threading.Event()

    def read() -> None:
        try:
            with httpx.stream("GET", site.url + "/api/v1/events", timeout=20) as stream:
                for _ in stream.iter_lines():
                    pass
        except httpx.HTTPError:
            pass
        ended.set()

    threading.Thread(target=read, daemon=True).start()
    while site._room.stream.listening == 0:
        time.sleep(0.02)
    began = time.monotonic()
    site.stop()
    assert time.monotonic() - began < 4
    assert ended.wait(3)
    with socket.create_server(("127.0.0.1", port_of(site))):
        pass


def test_the_local_board_is_served_beside_the_dashboard(world, serve) -> None:
    async def board(scope, receive, send) -> None:
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
        )
        await send({"type": "http.response.body", "body": f"{scope['method']} {scope['path']}".encode()})

    site = serve(world.parts(local_board=board))
    assert httpx.get(site.url + "/v1/users/me").text == "GET /v1/users/me"
    assert httpx.post(site.url + "/v1/pages", content=b"x" * (BODY + 9)).text == "POST /v1/pages"
    assert httpx.post(site.url + "/_board/faults").text == "POST /_board/faults"
    assert httpx.post(site.url + "/v1/pages", headers={"origin": "http://evil.example"}).status_code == 403
    assert httpx.get(site.url + "/v1/users/me", headers={"host": "evil.example"}).status_code == 421
    open_site = serve(world.parts(local_board=board, token=TOKEN), host="0.0.0.0")
    assert httpx.get(open_site.url + "/_board/faults").status_code == 404


def test_the_real_local_board_answers_through_the_dashboard_s_port(world, serve) -> None:
    app = create_app(BoardConfig(db=":memory:", token="local-token"))
    site = serve(world.parts(local_board=app))
    good = {"authorization": "Bearer local-token", "notion-version": "2025-09-03"}
    assert httpx.get(site.url + "/v1/users/me", headers=good).json()["object"] == "user"
    assert (
        httpx.get(site.url + "/v1/users/me", headers=good | {"authorization": "Bearer x"}).status_code == 401
    )
    assert httpx.get(site.url, headers=good).status_code == 200
