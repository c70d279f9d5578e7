"""The OpenAPI document: it is valid, and the service does what it says."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from conftest import Serve, user_environment
from openapi_spec_validator import OpenAPIV31SpecValidator
from service import Answer, Service

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
SEED = 20

DOCUMENT = "/api/openapi.json"
UNLIMITED = "1000000/minute"
METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "QUERY", "BREW"})
LARGEST_ID = 2**31 - 1

SUCCESSES = {
    ("GET /api/posts", 200),
    ("POST /api/posts", 201),
    ("GET /api/posts/{post_id}", 200),
    ("GET /api/posts/{post_id}/comments", 200),
    ("PUT /api/posts/{post_id}", 200),
    ("DELETE /api/posts/{post_id}", 204),
}
OTHERS = {
    ("GET /api/posts", 400),
    ("PATCH /api/posts", 405),
    ("GET /api/posts/{post_id}", 304),
    ("GET /api/posts/{post_id}", 404),
    ("GET /api/posts/{post_id}/comments", 404),
    ("PATCH /api/posts/{post_id}", 405),
    *(("POST /api/posts", status) for status in (400, 401, 409, 415, 422)),
    *(("PUT /api/posts/{post_id}", status) for status in (401, 404, 412, 415, 422, 428)),
    *(("DELETE /api/posts/{post_id}", status) for status in (401, 404, 412, 428)),
}
"""What schemathesis has to meet, as operation and status: a run without them has tested little."""

FAULTS = {500, 502, 503, 504, 507}
"""Statuses of the problems that no client can provoke."""

Parts = dict[str, Any]
"""Of a request: its headers, and what :func:`ask` puts elsewhere. A header that is None is not sent."""


@pytest.fixture(scope="module")
def service(serve_all: Serve) -> Service:
    """A body of more than 2,000 bytes is too large for it."""
    return serve_all(RATELIMIT_WRITES=UNLIMITED, MAX_CONTENT_LENGTH="2000")


@pytest.fixture(scope="module")
def valid(service: Service) -> Parts:
    """Of a request about the first of two posts. The second has the slug ``taken``."""
    valid = valid_parts(service)
    for slug in ("first", "taken"):
        assert ask(service, "POST", "/api/posts", {**valid, "body": draft(slug)}).status == 201
    return valid


@pytest.fixture(scope="module")
def document(service: Service) -> dict[str, Any]:
    answer = service.get(DOCUMENT)
    assert answer.status == 200
    return answer.json


def draft(slug: str) -> bytes:
    return json.dumps({"title": "News", "body": "Good *news*.", "slug": slug}).encode()


def valid_parts(service: Service) -> Parts:
    """Of a request that nothing is wrong with."""
    return {
        "Authorization": f"Bearer {service.flask('tokens', 'create', 'writer').strip()}",
        "Content-Type": "application/json",
        "If-Match": '"1"',
        "body": draft("other"),
        "post_id": 1,
        "query": "",
    }


def ask(service: Service, method: str, path: str, parts: Parts) -> Answer:
    """Ask for a path of the document."""
    headers = {name: value for name, value in parts.items() if name[0].isupper() and value is not None}
    body = parts["body"] if method in ("POST", "PUT") else None
    return service.ask(method, path.format(post_id=parts["post_id"]) + parts["query"], body, headers)


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of each operation."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield method.upper(), path, operation


def description(document: dict[str, Any], response: dict[str, Any]) -> str:
    name = response.get("$ref", "").rpartition("/")[2]
    return (document["components"]["responses"][name] if name else response)["description"]


def problems(document: dict[str, Any]) -> dict[tuple[str, str], set[str]]:
    """Return method and path of each operation, with the titles of the problems of a client that it documents."""
    return {
        (method, path): {
            title
            for status, response in operation["responses"].items()
            if int(status) >= 400 and int(status) not in FAULTS
            for title in description(document, response).split("; ")
        }
        for method, path, operation in operations(document)
    }


def test_document_is_valid_openapi(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(document).validate()


class NoComments(BaseHTTPRequestHandler):
    """Another system, that of the comments. There are none."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = b'{"comments": []}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def comments() -> Iterator[str]:
    """The URL of a system that keeps comments."""
    with ThreadingHTTPServer(("127.0.0.1", 0), NoComments) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_schemathesis_finds_nothing_on_sqlite(serve: Serve, comments: str, tmp_path: Path) -> None:
    service = serve(RATELIMIT_WRITES=UNLIMITED, COMMENTS_URL=comments)
    assert_nothing_found(run_schemathesis(service, tmp_path))
    assert_much_was_asked(service)


def run_schemathesis(service: Service, folder: Path) -> dict[str, Any]:
    """Its report. What it prints, the seed and how to reproduce each failure, is shown where the test fails."""
    run = [
        SCHEMATHESIS,
        "--no-color",
        "--config-file",
        CONFIGURATION,
        "run",
        f"http://127.0.0.1:{service.port}{DOCUMENT}",
    ]
    options = ["--checks", "all", "--seed", str(SEED), "--report", "json", "--report-json-path", "report.json"]
    token = service.flask("tokens", "create", "schemathesis").strip()
    done = subprocess.run(
        [*run, *options],
        cwd=folder,
        env=user_environment(API_TOKEN=token),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=250,
    )
    print(done.stdout)
    return json.loads((folder / "report.json").read_text())


def assert_nothing_found(report: dict[str, Any]) -> None:
    assert (report["failures"], report["errors"]) == ([], [])
    assert {phase: told["status"] for phase, told in report["phases"].items()} == dict.fromkeys(
        ("examples", "coverage", "fuzzing", "stateful"), "success"
    )
    assert report["operations"]["tested"] == report["operations"]["total"] == len(SUCCESSES)
    assert not any(report["warnings"].values())
    assert report["complete"]
    assert report["exit_code"] == 0


def assert_much_was_asked(service: Service) -> None:
    """As the log of the service tells: every operation has done its work, and has met what is to be refused."""
    log = service.log()
    assert [record for record in log if record["level"] in ("error", "critical")] == []
    asked = Counter(map(operation_and_status, (record for record in log if record["logger"] == "gunicorn.access")))
    print(*sorted(asked.items()), sep="\n")
    assert [asking for asking in asked if asking[1] >= 500] == []
    assert [asking for asking in SUCCESSES if asked[asking] < 5] == []
    assert OTHERS - asked.keys() == set()


def operation_and_status(record: dict[str, Any]) -> tuple[str, int]:
    head, separator, rest = record["path"].partition("/api/posts/")
    post_id, slash, below = rest.partition("/")
    known = (head, separator) == ("", "/api/posts/") and post_id
    path = "/api/posts/{post_id}" + slash + below if known else record["path"]
    return f"{record['method']} {path}", record["status"]


def test_wrong_method_is_told_the_documented_ones(service: Service, document: dict[str, Any]) -> None:
    for path, item in document["paths"].items():
        methods = {method.upper() for method in item.keys() - {"parameters"}}
        allowed = methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
        for method in METHODS - allowed:
            answer = service.ask(method, path.format(post_id=1))
            assert (method, path, answer.status) == (method, path, 405)
            assert set(answer.headers["Allow"].split(", ")) == allowed
        assert set(service.ask("OPTIONS", path.format(post_id=1)).headers["Allow"].split(", ")) == allowed


@pytest.mark.parametrize("post_id", [LARGEST_ID + 1, -1, "x"])
def test_documented_method_is_never_wrong(
    service: Service, document: dict[str, Any], valid: Parts, post_id: int | str
) -> None:
    """Whatever the id, what is missing is the post, not the method."""
    answers = {
        method: ask(service, method, path, {**valid, "post_id": post_id}).status
        for method, path, _ in operations(document)
        if "{post_id}" in path
    }
    assert answers == {"GET": 404, "PUT": 404, "DELETE": 404}


@pytest.fixture
def provocations(service: Service, valid: Parts) -> dict[str, Parts]:
    """The title of a problem, and the parts of a request that provoke it."""
    wrong: dict[str, Parts] = {
        "Bad Request": {"body": b"{"},
        "Precondition failed": {"If-Match": '"0"'},
        "Precondition required": {"If-Match": None},
        "Invalid body": {"body": b"{}"},
        "Invalid query": {"query": "?limit=0"},
        "Invalid token": {"Authorization": "Bearer x"},
        "Not Found": {"post_id": LARGEST_ID},
        "Upstream service not configured": {},
        "Request Entity Too Large": {"body": b" " * 2001},
        "Slug taken": {"body": draft("taken")},
        "Token required": {"Authorization": None},
        "Unsupported Media Type": {"Content-Type": "text/plain"},
    }
    return {title: {**valid, **parts} for title, parts in wrong.items()}


def test_documented_problems_are_answered_and_have_pages(
    service: Service, document: dict[str, Any], provocations: dict[str, Parts]
) -> None:
    documented = problems(document)
    assert set().union(*documented.values()) == provocations.keys() | {"Rate limited"}
    for (method, path), titles in documented.items():
        for title in titles - {"Rate limited"}:
            answer = ask(service, method, path, provocations[title])
            assert (method, path, answer.json["title"]) == (method, path, title)
            described = document["paths"][path][method.lower()]["responses"][str(answer.status)]
            assert title in description(document, described).split("; ")
            assert answer.json["status"] == answer.status
            if answer.json["type"] != "about:blank":
                assert f"<h1>{title}</h1>" in service.get(answer.json["type"]).body.decode()


def test_rate_limit_is_documented_where_it_is_answered(serve: Serve) -> None:
    service = serve(RATELIMIT_WRITES="1/day", WEB_CONCURRENCY="1")
    valid = valid_parts(service)
    assert ask(service, "POST", "/api/posts", valid).status == 201
    for (method, path), titles in problems(service.get(DOCUMENT).json).items():
        limited = ask(service, method, path, valid).status == 429
        assert (method, path, limited) == (method, path, "Rate limited" in titles)


def test_mount_point_is_part_of_servers_and_types(serve: Serve) -> None:
    service = serve(PROXY_HOPS="1")
    document = service.get(DOCUMENT, X_Forwarded_Prefix="/mounted").json
    assert document["servers"] == [{"url": "/mounted"}]
    refused = service.ask("POST", "/api/posts", headers={"X-Forwarded-Prefix": "/mounted"})
    assert refused.json["type"] == "/mounted/problems/token-required"
    page = service.get("/problems/", X_Forwarded_Prefix="/mounted").body.decode()
    assert 'href="/mounted/problems/token-required"' in page
