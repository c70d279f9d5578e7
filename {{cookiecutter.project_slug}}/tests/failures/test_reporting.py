"""What Sentry and the admins are told, how often, and that nobody waits while they cannot be told."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from .conftest import Serve, need
from .mails import MailServer
from .servers import free_port, wait_for
from .service import FORMS, PACKAGE, Service, assert_error, new_id

VIEWS = """
import socket
import ssl
import urllib.request

from flask import request
from sqlalchemy import make_url

@both
def bug():
    local = request.args.get("q")
    request.get_data()
    return str(make_url("this is no URL"))

@both
def another_bug():
    raise RuntimeError("boom")

@both
def stream():
    def parts():
        raise RuntimeError("boom")
        yield
    return app.response_class(parts())

@both
def refused():
    return urllib.request.urlopen("http://127.0.0.1:1/").read()

@both
def unknown_host():
    return urllib.request.urlopen("http://name.invalid/").read()

@both
def no_tls():
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as ours, server.accept()[0] as theirs:
            theirs.sendall(b"HTTP/1.1 400 Bad Request\\r\\n\\r\\n")
            ssl.create_default_context().wrap_socket(ours, server_hostname="localhost")

@both
def full():
    with open("/dev/full", "w") as disk:
        disk.write("one byte too many")
"""


@pytest.fixture
def mail_server(tmp_path: Path) -> Iterator[MailServer]:
    server = MailServer(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def sink() -> Iterator[int]:
    """The port of a server that accepts connections, and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        yield server.getsockname()[1]


def told(service: Service, logger: str) -> list[str]:
    """Lines of a logger in the log, of which every line is JSON."""
    return [record["event"] for record in service.log() if record["logger"] == f"{PACKAGE}.{logger}"]


def crash(service: Service, times: int, path: str = "/bug") -> None:
    """At the same time. All are answered, and the log has each of them."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(service.get, [path] * times))
    assert {answer.status for answer in answers} == {500}
    crashes = [record["request_id"] for record in service.log() if record["event"] == f"Exception on {path} [GET]"]
    assert sorted(crashes) == sorted(answer.request_id for answer in answers)


def assert_stops_soon(service: Service) -> None:
    """Within 3 seconds, where the machine has nothing else to do."""
    start = time.monotonic()
    assert service.stop() == 0
    assert time.monotonic() - start < 10


# What is told


@pytest.mark.failure("a bug in a library")
@pytest.mark.parametrize("path", FORMS)
def test_bug_in_a_library_is_one_error_with_its_traceback_and_one_event(serve: Serve, path: str) -> None:
    service = serve(VIEWS)
    answer = service.get(f"{path}/bug")
    assert_error(answer, 500, FORMS[path])
    (record,) = service.records(answer.request_id)
    assert (record["level"], record["event"]) == ("error", f"Exception on {path}/bug [GET]")
    assert record["exception"].startswith("Traceback (most recent call last):\n")
    assert "sqlalchemy.exc.ArgumentError: " in record["exception"]
    (event,) = service.events()
    assert (event["level"], event["tags"]) == ("error", {"request_id": answer.request_id})
    (exception,) = event["exception"]["values"]
    assert exception["type"] == "ArgumentError"
    assert exception["stacktrace"]["frames"][-1]["module"].startswith("sqlalchemy.")
    assert service.get("/healthz").status == 200


LEVELS = {
    "refused": (502, ["warning", "warning"], ["warning"]),
    "unknown_host": (502, ["error", "error"], ["error"]),
    "no_tls": (502, ["error", "error"], ["error"]),
    "full": (507, ["critical", "error"], ["fatal"]),
    "bug": (500, ["error", "error"], ["error"]),
}


@pytest.mark.parametrize(("view", "status", "logged", "reported"), [(view, *levels) for view, levels in LEVELS.items()])
def test_level_says_what_a_crash_means_and_sentry_gets_the_first_one(
    serve: Serve, view: str, status: int, logged: list[str], reported: list[str]
) -> None:
    service = serve(VIEWS)
    answers = [service.get(f"/{view}"), service.get(f"/{view}")]
    assert [answer.status for answer in answers] == [status, status]
    records = [record for answer in answers for record in service.records(answer.request_id)]
    assert [record["level"] for record in records] == logged
    events = service.events()
    assert [event["level"] for event in events] == reported
    assert events[0]["tags"]["request_id"] == answers[0].request_id


def test_two_bugs_are_two_events_however_often_they_happen(serve: Serve) -> None:
    service = serve(VIEWS)
    for _ in range(3):
        service.get("/bug")
        service.get("/another_bug")
    types = [event["exception"]["values"][-1]["type"] for event in service.events()]
    assert types == ["ArgumentError", "RuntimeError"]


# Mail


def mailing(server: MailServer, **settings: str) -> dict[str, Any]:
    return {"SENTRY_DSN": "", "MAIL_ADMINS": "me@example.org", "MAIL_URL": server.url, **settings}


def test_bug_is_one_mail(serve: Serve, mail_server: MailServer) -> None:
    admins = "me@example.org, you@example.org"
    service = serve(VIEWS, **mailing(mail_server, MAIL_SENDER="service@example.org", MAIL_ADMINS=admins))
    assert service.get("/bug", X_Request_ID="the-reference").status == 500
    assert service.stop() == 0
    mail, copy = mail_server.mails()
    assert mail.as_string() == copy.as_string()
    assert mail["From"] == "service@example.org"
    assert mail["To"] == admins
    assert mail["Subject"] == f"{PACKAGE}: ERROR ArgumentError"
    text = mail.get_content()
    assert text.startswith("Exception on /bug [GET]\n\nReference: the-reference\n\nTraceback (most recent call last):")
    assert "sqlalchemy.exc.ArgumentError: " in text


def test_failure_of_a_stream_is_mailed_with_its_reference(serve: Serve, mail_server: MailServer) -> None:
    service = serve(VIEWS, **mailing(mail_server))
    assert service.get("/stream", X_Request_ID="the-reference").status == 500
    assert service.stop() == 0
    (mail,) = mail_server.mails()
    assert "\n\nReference: the-reference\n\nTraceback" in mail.get_content()


def test_overload_is_no_mail_and_a_full_disk_is_one(serve: Serve, mail_server: MailServer) -> None:
    service = serve(VIEWS, **mailing(mail_server))
    for path in ("/refused", "/full", "/full", "/unknown"):
        service.get(path)
    assert service.stop() == 0
    assert [mail["Subject"] for mail in mail_server.mails()] == [f"{PACKAGE}: CRITICAL OSError"]


def test_mail_holds_nothing_that_a_user_sent(serve: Serve, mail_server: MailServer) -> None:
    service = serve(VIEWS, **mailing(mail_server))
    headers = {"Cookie": "a=secret", "Authorization": "Bearer secret", "User-Agent": "secret", "Referer": "secret"}
    assert service.ask("POST", "/api/bug", b"secret", headers).status == 405
    assert service.ask("GET", "/bug?q=secret", b'{"password": "secret"}', headers).status == 500
    assert service.stop() == 0
    (mail,) = mail_server.mails()
    assert "secret" not in mail.as_string()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of localhost, signed by itself; and its key."""
    need(shutil.which("openssl"), "openssl is missing: apt-get install openssl")
    made = tmp_path_factory.mktemp("certificate") / "localhost.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    key = ["-newkey", "rsa:2048", "-nodes", "-keyout", str(made)]
    made_of = ["openssl", "req", "-x509", "-days", "1", *names, *key, "-out", f"{made}.part"]
    subprocess.run(made_of, check=True, capture_output=True)
    made.write_text(made.read_text() + Path(f"{made}.part").read_text())
    return made


@pytest.fixture
def strict_mail_server(tmp_path: Path, certificate: Path) -> Iterator[MailServer]:
    """Wants TLS and a password."""
    server = MailServer(tmp_path, certificate)
    yield server
    server.stop()


def test_password_is_sent_through_tls(serve: Serve, strict_mail_server: MailServer, certificate: Path) -> None:
    url = strict_mail_server.login_url
    service = serve(VIEWS, **mailing(strict_mail_server, MAIL_URL=url, SSL_CERT_FILE=str(certificate)))
    service.get("/bug")
    wait_for(strict_mail_server.mails, "the mail")
    (mail,) = strict_mail_server.mails()
    assert mail["Received"] == "by localhost with ESMTPSA"
    assert told(service, "mail") == []


def test_mail_server_whose_certificate_is_not_trusted_gets_nothing(
    serve: Serve, strict_mail_server: MailServer
) -> None:
    service = serve(VIEWS, **mailing(strict_mail_server, MAIL_URL=strict_mail_server.login_url))
    service.get("/bug")
    (line,) = wait_for(lambda: told(service, "mail"), "the line in the log")
    assert "CERTIFICATE_VERIFY_FAILED" in line
    assert "p@ss" not in service.text
    assert strict_mail_server.mails() == []


def test_password_is_not_sent_without_tls(serve: Serve, mail_server: MailServer) -> None:
    service = serve(VIEWS, **mailing(mail_server, MAIL_URL=mail_server.login_url))
    service.get("/bug")
    (line,) = wait_for(lambda: told(service, "mail"), "the line in the log")
    assert "STARTTLS" in line
    assert mail_server.mails() == []


def test_flood_of_500_crashes_is_one_mail_and_one_event(serve: Serve, mail_server: MailServer) -> None:
    service = serve(VIEWS, MAIL_ADMINS="me@example.org", MAIL_URL=mail_server.url)
    crash(service, 500)
    assert len(service.events()) == 1
    assert service.stop() == 0
    assert len(mail_server.mails()) == 1


def test_application_that_is_loaded_before_the_fork_mails_too(serve: Serve, mail_server: MailServer) -> None:
    """Also where a thread has mailed already then: it is not in the worker."""
    before = "app.logger.error('before the fork')\nfor handler in logging.getLogger().handlers: handler.flush()\n"
    service = serve(f"{VIEWS}\nimport logging\n{before}", **mailing(mail_server), GUNICORN_CMD_ARGS="--preload")
    service.get("/bug")
    assert service.stop() == 0
    first, second = mail_server.mails()
    assert first.get_content().startswith("before the fork")
    assert second.get_content().startswith("Exception on /bug")


# Those who are to be told are not there


def test_mail_server_that_is_down_is_one_line(serve: Serve) -> None:
    service = serve(VIEWS, SENTRY_DSN="", MAIL_ADMINS="me@example.org", MAIL_URL=f"smtp://127.0.0.1:{free_port()}")
    crash(service, 500)
    wait_for(lambda: told(service, "mail"), "the line in the log")
    assert_stops_soon(service)
    (line,) = told(service, "mail")
    assert line.startswith("An error was not mailed to MAIL_ADMINS: ConnectionRefusedError(")


def test_mail_server_that_hangs_slows_nothing(serve: Serve, sink: int) -> None:
    service = serve(VIEWS, SENTRY_DSN="", MAIL_ADMINS="me@example.org", MAIL_URL=f"smtp://127.0.0.1:{sink}")
    start = time.monotonic()
    crash(service, 500)
    crash(service, 1, "/another_bug")
    assert time.monotonic() - start < 30
    assert_stops_soon(service)
    assert told(service, "mail")[-1].startswith("The mail server is too slow: ")


@contextmanager
def answering(status: int) -> Iterator[int]:
    """The port of a server that answers everything with this status."""

    class Refusal(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.end_headers()

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusal) as server:
        Thread(target=server.serve_forever).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture(params=["hangs", "refuses", "has no name", "says 500", "says 403"])
def gone(request: pytest.FixtureRequest, sink: int) -> Iterator[str]:
    """The DSN of a Sentry that takes nothing."""
    if request.param.startswith("says"):
        with answering(int(request.param.split()[1])) as port:
            yield f"http://public@127.0.0.1:{port}/1"
    else:
        port = sink if request.param == "hangs" else free_port()
        yield f"http://public@{'sentry.invalid' if request.param == 'has no name' else '127.0.0.1'}:{port}/1"


@pytest.mark.failure("Sentry is down")
def test_sentry_that_takes_nothing_slows_nothing_and_is_one_line(serve: Serve, gone: str) -> None:
    service = serve(VIEWS, SENTRY_DSN=gone)
    start = time.monotonic()
    crash(service, 100)
    crash(service, 100, "/another_bug")
    assert service.get("/", X_Request_ID=new_id()).status == 200
    assert time.monotonic() - start < 30
    assert_stops_soon(service)
    assert len(told(service, "reporting")) == 1, service.text
    assert told(service, "reporting")[0].startswith("Sentry does not take reports: ")
    kinds = {record["logger"] for record in service.log() if record["level"] != "info"}
    assert kinds == {PACKAGE, f"{PACKAGE}.reporting"}


def test_sentry_and_mail_server_that_hang_let_the_service_stop(serve: Serve, sink: int) -> None:
    mail = {"MAIL_ADMINS": "me@example.org", "MAIL_URL": f"smtp://127.0.0.1:{sink}"}
    service = serve(VIEWS, SENTRY_DSN=f"http://public@127.0.0.1:{sink}/1", **mail)
    crash(service, 10)
    assert_stops_soon(service)
