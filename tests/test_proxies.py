"""nginx and Caddy send the exported error pages while the service is down.

Their configurations are those in docs/operations.md of the generated project.
"""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from http.client import HTTPResponse
from pathlib import Path
from typing import cast

import pytest
from conftest import Serve, need
from servers import CADDY, NGINX, Caddy, Nginx, Proxy
from service import TIMEOUT, Answer, Client, Service, free_port, raw

VIEWS = """
import os
import time
from flask import abort
from my_service import errors

class Fails(errors.InvalidAPIUsage):
    headers = {"Retry-After": "30"}

def slow():
    app.logger.warning("at work in %s", os.getpid())
    time.sleep(60)

def stalled(): time.sleep(4)
def fails(status): raise Fails(status_code=status)
def busy(): abort(503, "Words of the service.")

for prefix in ("", "/blog", "/api"):
    name = prefix.strip("/")
    app.add_url_rule(f"{prefix}/slow", f"extra-slow{name}", slow, methods=["POST"])
    app.add_url_rule(f"{prefix}/stalled", f"extra-stalled{name}", stalled)
    app.add_url_rule(f"{prefix}/fails/<int:status>", f"extra-fails{name}", fails)
    app.add_url_rule(f"{prefix}/busy", f"extra-busy{name}", busy)
"""

CADDY_STALLED = """
	@stalled path */stalled
	reverse_proxy @stalled 127.0.0.1:%s {
		transport http {
			response_header_timeout 1s
		}
	}
"""

NGINX_LOCATIONS = """
    location ~ ^/(api/|blog/|)refused { return 403; }
    location ~ ^/(api/|blog/|)limited { limit_req zone=once; limit_req_status 503; }
    location ~ ^/(api/|blog/|)private { auth_basic "Private"; auth_basic_user_file nobody; }
    location ~ /stalled { proxy_pass http://127.0.0.1:%(port)s; proxy_read_timeout 1s; }
    location /files/ { root nowhere; }
    location / {"""

PAGE, PROBLEM = "text/html", "application/problem+json"
FORMS = {"": PAGE, "/blog": PAGE, "/api": PROBLEM}
"""URL prefix to the form of its errors."""

SENT_BY_THE_SERVER = {"server", "date", "connection", "content-length", "transfer-encoding", "vary"}

ACCEPT_LANGUAGE = """
*
fa
fa-IR,fa;q=0.9,en;q=0.8
FA
zh-CN,zh;q=0.9
zh
zh-Hans-CN
zh-Hant-TW
xx,ja;q=0.5
xx
far
x-fa
de-AT, fa;q=0.5
en;q=0.9, de;q=0.8
,;=q,,
""".splitlines()

ACCEPT = """
*/*
text/html
text/*
text/html,application/xml;q=0.9,*/*;q=0.8
image/avif,*/*;q=0.8
application/json
APPLICATION/JSON
application/problem+json
application/json, text/plain, */*
application/json, text/html
text/html;q=0.5, application/json
application/json;q=0.5, text/html
application/json;q=0.5
application/json;q=0.5, */*
application/json;q=0
application/jsonp
application/vnd.api+json
""".splitlines()


def block(project: Path, language: str) -> str:
    """Return the configuration that docs/operations.md shows."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", (project / "docs/operations.md").read_text(), re.DOTALL)
    return found


def configure_nginx(project: Path, service: Service, port: int, folder: Path, listen: str) -> str:
    service.flask("errors", "export", str(folder / "errors"))
    (folder / "nobody").write_text("")
    configuration = replaced(
        block(project, "nginx"),
        {
            "/srv/my-service": str(folder),
            "listen 80;": f"listen {listen};",
            "/var/log/nginx/my-service.log": "access.log",
            "127.0.0.1:8000": f"127.0.0.1:{port}",
            "\n    location / {": NGINX_LOCATIONS % {"port": port},
        },
    )
    return f"limit_req_zone $server_port zone=once:1m rate=1r/m;\n{configuration}"


def configure_caddy(project: Path, service: Service, port: int, folder: Path, listen: str) -> str:
    service.flask("errors", "export", str(folder / "errors"))
    configuration = block(project, "caddy")
    if caddy_version() < (2, 7):  # Debian 12
        configuration = replaced(configuration, {"\t\trequest_buffers 1MiB\n": ""})
    return replaced(
        configuration,
        {
            "/srv/my-service": str(folder),
            "example.org {": f"http://{listen} {{\n\tlog{CADDY_STALLED % port}",
            "127.0.0.1:8000 {": f"127.0.0.1:{port} {{",
        },
    )


def caddy_version() -> tuple[int, ...]:
    version = subprocess.run([CADDY, "version"], check=True, capture_output=True, text=True).stdout
    return tuple(map(int, re.findall(r"\d+", version)[:2]))


def replaced(text: str, changes: dict[str, str]) -> str:
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return text


@pytest.fixture(scope="module")
def service(serve_all: Serve) -> Service:
    return serve_all(VIEWS, PROXY_HOPS="1", WEB_CONCURRENCY="1")


@pytest.fixture(scope="module")
def nginx(project: Path, service: Service) -> Iterator[Nginx]:
    need(NGINX, "nginx is missing. Install it: apt-get install nginx")
    with Nginx(partial(configure_nginx, project, service, service.port)) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def caddy(project: Path, service: Service) -> Iterator[Caddy]:
    need(CADDY, "Caddy is missing. Install it: apt-get install caddy")
    with Caddy(partial(configure_caddy, project, service, service.port)) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def lonely_nginx(project: Path, service: Service) -> Iterator[Nginx]:
    need(NGINX, "nginx is missing. Install it: apt-get install nginx")
    with Nginx(partial(configure_nginx, project, service, free_port())) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def lonely_caddy(project: Path, service: Service) -> Iterator[Caddy]:
    need(CADDY, "Caddy is missing. Install it: apt-get install caddy")
    with Caddy(partial(configure_caddy, project, service, free_port())) as proxy:
        yield proxy


@pytest.fixture(params=["nginx", "caddy"])
def proxy(request: pytest.FixtureRequest) -> Proxy:
    """Each proxy in turn, in front of the service."""
    return cast(Proxy, request.getfixturevalue(request.param))


@pytest.fixture(params=["lonely_nginx", "lonely_caddy"])
def lonely(request: pytest.FixtureRequest) -> Proxy:
    """Each proxy in turn, in front of a port without a service."""
    return cast(Proxy, request.getfixturevalue(request.param))


@contextmanager
def down(service: Service) -> Iterator[None]:
    service.stop()
    try:
        yield
    finally:
        service.start()


def request_id(answer: Answer) -> str:
    (found,) = answer.headers.get_all("X-Request-ID") or []
    return found


def error_headers(answer: Answer) -> dict[str, str]:
    """Return the headers except those of a server and the request ID. None occurs twice."""
    names = [name.lower() for name in answer.headers if name.lower() not in SENT_BY_THE_SERVER]
    assert len(names) == len(set(names))
    return {name: answer.headers[name] for name in names if name != "x-request-id"}


def assert_error(answer: Answer, status: int, form: str) -> None:
    assert (answer.status, answer.media_type) == (status, form)
    assert len(request_id(answer)) in (32, 36)
    assert answer.headers["Cache-Control"] == "no-store"
    if form == PROBLEM:
        assert (answer.json["status"], answer.json["request_id"]) == (status, request_id(answer))
        assert answer.headers["Content-Language"] is None
    else:
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.body.count(request_id(answer).encode()) == 1
        assert f'<html lang="{answer.headers["Content-Language"]}"'.encode() in answer.body
    assert b"<!--" not in answer.body


def send(client: Client, data: bytes, method: str = "GET") -> Answer:
    """Send bytes and return the response, chunked or not."""
    with client.connect() as connection:
        connection.sendall(data)
        response = HTTPResponse(connection, method=method)
        response.begin()
        return Answer(response.status, response.headers, response.read())


def wait_for(found: Callable[[], re.Match[str] | None]) -> re.Match[str]:
    """Return the match, once there is one."""
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        if match := found():
            return match
        time.sleep(0.05)
    raise TimeoutError


def test_configuration_is_valid(proxy: Proxy) -> None:
    said = proxy.check().lower()
    assert "successful" in said or "valid configuration" in said
    assert "[warn]" not in said


@pytest.mark.parametrize("prefix", FORMS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
def test_service_is_down(lonely: Proxy, prefix: str, method: str) -> None:
    answer = lonely.ask(method, f"{prefix}/anything?x=1", b"x" * 100 if method in ("POST", "PUT") else None)
    assert answer.headers["Retry-After"] == "30"
    if method != "HEAD":
        assert_error(answer, 502, FORMS[prefix])
        return
    assert (answer.status, answer.media_type, answer.body) == (502, FORMS[prefix], b"")
    assert answer.headers["Content-Length"] != "0"


@pytest.mark.parametrize("prefix", FORMS)
@pytest.mark.parametrize("language", ["en", "fa", "zh-Hans"])
def test_proxy_sends_what_the_service_would_send(lonely: Proxy, service: Service, prefix: str, language: str) -> None:
    """The same bytes except the request ID, and the same headers."""
    own, answer = (asked.get(f"{prefix}/fails/502", Accept_Language=language) for asked in (service, lonely))
    assert answer.status == own.status == 502
    assert answer.body.replace(request_id(answer).encode(), request_id(own).encode()) == own.body
    if FORMS[prefix] == PAGE:
        assert error_headers(answer) == error_headers(own)
    else:  # the policy of the pages is stricter
        policy = "content-security-policy"
        assert error_headers(answer) | {policy: ""} == error_headers(own) | {policy: ""}
    assert answer.headers["Vary"] == "Accept, Accept-Language"


def test_proxy_chooses_the_same_language(lonely: Proxy, service: Service) -> None:
    for accept_language in ACCEPT_LANGUAGE:
        own, answer = (asked.get("/fails/502", Accept_Language=accept_language) for asked in (service, lonely))
        assert_error(answer, 502, PAGE)
        assert answer.headers["Content-Language"] == own.headers["Content-Language"], accept_language


def test_huge_accept_language(lonely: Proxy) -> None:
    for accept_language in ("a" * 4000, "xx," * 1000 + "fr", "," * 4000, "-" * 4000, "fa-" * 1000):
        assert_error(lonely.get("/", Accept_Language=accept_language), 502, PAGE)


@pytest.mark.parametrize("prefix", FORMS)
def test_proxy_chooses_the_same_form(lonely: Proxy, service: Service, prefix: str) -> None:
    """A prefix of pages sends JSON to a client that prefers it. A prefix of JSON always sends JSON."""
    forms = set()
    for accept in ACCEPT:
        own, answer = (asked.get(f"{prefix}/fails/502", Accept=accept) for asked in (service, lonely))
        assert_error(answer, 502, own.media_type)
        forms.add(own.media_type)
    assert forms == {FORMS[prefix], PROBLEM}


@pytest.mark.parametrize(
    ("path", "form"),
    [
        *(
            ("/api", PROBLEM),
            ("/%61pi/x", PROBLEM),
            ("/api/%20/%2e", PROBLEM),
            ("/api?x", PROBLEM),
            ("/api/x.html", PROBLEM),
        ),
        *(
            ("/apix", PAGE),
            ("/api.json", PAGE),
            ("/API/x", PAGE),
            ("/x/api/x", PAGE),
            ("/?/api/", PAGE),
            ("/blog", PAGE),
        ),
    ],
)
def test_prefix_is_matched_in_the_decoded_path(lonely: Proxy, path: str, form: str) -> None:
    assert_error(lonely.get(path, Accept="text/html"), 502, form)


def test_service_restarts(proxy: Proxy, service: Service) -> None:
    for _ in range(2):
        assert proxy.get("/").status == 200
        with down(service):
            assert_error(proxy.get("/"), 502, PAGE)
    assert proxy.get("/").status == 200


@pytest.mark.parametrize("prefix", FORMS)
def test_worker_is_killed_during_a_request(proxy: Proxy, service: Service, prefix: str) -> None:
    """Gunicorn starts another worker."""
    with busy_worker(proxy, service, prefix) as (answer, worker):
        os.kill(worker, signal.SIGKILL)
        assert_error(answer(), 502, FORMS[prefix])
    wait_for(lambda: re.match("200", str(proxy.get("/").status)))


@pytest.mark.parametrize("prefix", FORMS)
def test_service_is_killed_during_a_request(proxy: Proxy, service: Service, prefix: str) -> None:
    try:
        with busy_worker(proxy, service, prefix) as (answer, worker):
            service.process.kill()
            os.kill(worker, signal.SIGKILL)
            assert_error(answer(), 502, FORMS[prefix])
        service.process.wait(TIMEOUT)
        assert_error(proxy.get(prefix or "/"), 502, FORMS[prefix])
    finally:
        service.stop()
        service.start()
    assert proxy.get("/").status == 200


@contextmanager
def busy_worker(proxy: Proxy, service: Service, prefix: str) -> Iterator[tuple[Callable[[], Answer], int]]:
    """Start a request and yield a function that waits for its response, and the process ID of its worker.

    The request is a POST, because Caddy retries a GET.
    """
    size = len(service.text)
    with ThreadPoolExecutor() as threads:
        asked = threads.submit(proxy.ask, "POST", f"{prefix}/slow")
        worker = wait_for(lambda: re.search(r"at work in (\d+)", service.text[size:]))
        yield lambda: asked.result(TIMEOUT), int(worker[1])


@pytest.mark.parametrize("prefix", FORMS)
def test_service_does_not_answer_in_time(proxy: Proxy, prefix: str) -> None:
    answer = proxy.get(f"{prefix}/stalled")
    assert_error(answer, 504, FORMS[prefix])
    assert answer.headers["Retry-After"] == "30"


@pytest.mark.parametrize("prefix", FORMS)
def test_responses_of_the_service_are_not_changed(proxy: Proxy, service: Service, prefix: str) -> None:
    for path in (f"{prefix}/busy", f"{prefix}/unknown"):
        own, answer = service.get(path), proxy.get(path)
        assert_error(answer, own.status, FORMS[prefix])
        assert answer.body.replace(request_id(answer).encode(), request_id(own).encode()) == own.body
        assert answer.headers["Vary"] == own.headers["Vary"]
        assert error_headers(answer) == error_headers(own)
    assert b"Words of the service." in proxy.get(f"{prefix}/busy").body


def test_request_id_of_nginx_is_used_by_the_service(nginx: Nginx, service: Service) -> None:
    answer = nginx.get("/unknown", X_Request_ID="of-the-client")
    assert_error(answer, 404, PAGE)
    assert [record["status"] for record in service.records(request_id(answer), "gunicorn.access")] == [404]
    line = f" 404 {len(answer.body)} {request_id(answer)}\n"
    wait_for(lambda: re.search(line, (nginx.folder / "access.log").read_text()))


def test_request_id_of_caddy_is_used_by_the_service(caddy: Caddy, service: Service) -> None:
    answer = caddy.get("/unknown", X_Request_ID="of-the-client")
    assert_error(answer, 404, PAGE)
    assert [record["status"] for record in service.records(request_id(answer), "gunicorn.access")] == [404]
    wait_for(lambda: re.search(f'"X-Request-Id":\\["{request_id(answer)}"]', caddy.log))


@pytest.mark.parametrize("path", ["/x", "/api/x"])
def test_nginx_logs_the_request_id_while_the_service_is_down(lonely_nginx: Nginx, path: str) -> None:
    line = request_id(lonely_nginx.get(path, X_Request_ID="of-the-client")) + "\n"
    match = wait_for(lambda: re.search(f".* {line}", (lonely_nginx.folder / "access.log").read_text()))
    assert f'"GET {path} HTTP/1.1" 502 ' in match[0]


def test_caddy_logs_the_request_id_while_the_service_is_down(lonely_caddy: Caddy) -> None:
    answer = lonely_caddy.get("/x", X_Request_ID="of-the-client")
    wait_for(lambda: re.search(f'"status":502.*{request_id(answer)}', lonely_caddy.log))


def test_each_response_has_its_own_request_id(lonely: Proxy) -> None:
    assert len({request_id(lonely.get("/")) for _ in range(10)}) == 10


@pytest.mark.parametrize("prefix", FORMS)
def test_nginx_rejects_a_request_by_its_configuration(nginx: Nginx, prefix: str) -> None:
    form = FORMS[prefix]
    assert_error(nginx.get(f"{prefix}/refused"), 403, form)
    assert_error(nginx.ask("POST", f"{prefix}/x", b"x" * 2_000_000), 413, form)
    assert_error(nginx.ask("POST", f"{prefix}/refused", b"x" * 1000), 403, form)
    private = nginx.get(f"{prefix}/private")
    assert_error(private, 401, form)
    assert private.headers["WWW-Authenticate"] == 'Basic realm="Private"'
    limited = [nginx.get(f"{prefix}/limited") for _ in range(2)][-1]
    assert_error(limited, 503, form)
    assert limited.headers["Retry-After"] == "30"
    assert nginx.get(f"{prefix}/refused").headers["Retry-After"] is None


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (raw("GET", "/" + "x" * 40_000), 414),
        (raw("GET", "/", "Cookie: " + "x" * 40_000), 431),
        (raw("POST", "/", "Transfer-Encoding: unheard-of"), 501),
        (b"GET / HTTP/3.0\r\nHost: x\r\n\r\n", 505),
        (raw("TRACE", "/"), 405),
    ],
)
def test_nginx_rejects_an_invalid_request(nginx: Nginx, request_: bytes, status: int) -> None:
    assert_error(send(nginx, request_), status, PAGE)


def test_nginx_does_not_find_a_file(nginx: Nginx, service: Service) -> None:
    assert_error(nginx.get("/files/x"), 404, PAGE)
    assert_error(nginx.get("/files/x", Accept="application/json"), 404, PROBLEM)


def test_exported_files_have_no_urls(nginx: Nginx) -> None:
    assert_error(nginx.get("/.errors/errors/en/502.html"), 404, PAGE)


def test_conditional_and_range_headers_are_ignored(lonely: Proxy) -> None:
    for header in (
        {"Range": "bytes=0-9"},
        {"If-None-Match": "*"},
        {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"},
    ):
        assert_error(lonely.ask("GET", "/", headers=header), 502, PAGE)


def test_http_1_0(lonely: Proxy) -> None:
    assert_error(send(lonely, b"GET /api/x HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n"), 502, PROBLEM)


def test_export_into_the_folder_of_a_running_proxy(lonely: Proxy, service: Service) -> None:
    """No response is half a file meanwhile."""
    with ThreadPoolExecutor() as threads:
        export = threads.submit(service.flask, "errors", "export", str(lonely.folder / "errors"))
        asked = 0
        while not export.done():
            assert_error(lonely.get("/"), 502, PAGE)
            assert_error(lonely.get("/api"), 502, PROBLEM)
            asked += 1
        export.result()
    assert asked > 10
