"""Sentry. The SDK changes the whole process, so the application runs in another one."""

import json
import subprocess
import sys
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from {{ cookiecutter.__package }}.config import load

PROGRAM = """
import sys
from {{ cookiecutter.__package }} import create_app
from {{ cookiecutter.__package }}.config import Settings

create_app(Settings(SECRET_KEY="test"))
assert "sentry_sdk" not in sys.modules

app = create_app(Settings(SECRET_KEY="test", SENTRY_DSN=sys.argv[1]), {"WTF_CSRF_ENABLED": False})

HIDDEN = sys.argv[2]  # not in the source, because Sentry shows the lines around an exception

@app.route("/fail", methods=["POST"])
def fail():
    password = HIDDEN + " variable"
    raise RuntimeError("boom")

headers = {"X-Request-ID": "abc", "Cookie": f"name={HIDDEN}-cookie"}
for _ in range(2):
    app.test_client().post(f"/fail?token={HIDDEN}-query", data=f"{HIDDEN} body", headers=headers)
app.test_client().get("/unknown")
sys.modules["sentry_sdk"].flush(10)
"""


@pytest.fixture
def sentry() -> Iterator[tuple[str, list[bytes]]]:
    """A server in place of Sentry: its DSN, and the lines that it receives."""
    received: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            body = zlib.decompress(body, 47) if self.headers["Content-Encoding"] == "gzip" else body
            received.extend(body.splitlines())
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://key@127.0.0.1:{server.server_port}/1", received
        server.shutdown()
        thread.join()


def test_unhandled_exception_is_reported_once_a_minute_and_without_user_data(sentry: tuple[str, list[bytes]]) -> None:
    """The program also checks that the SDK is not imported without a DSN."""
    dsn, lines = sentry
    subprocess.run([sys.executable, "-c", PROGRAM, dsn, "hidden"], capture_output=True, check=True, timeout=60)
    [event] = [json.loads(line) for line in lines if b'"exception"' in line]
    assert event["tags"]["request_id"] == "abc"
    assert event["level"] == "error"
    [exception] = event["exception"]["values"]
    assert (exception["type"], exception["value"]) == ("RuntimeError", "boom")
    for hidden in ("hidden-cookie", "hidden-query", "hidden body", "hidden variable"):
        assert hidden not in json.dumps(event)


def test_malformed_dsn_stops_the_start_without_showing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "test")
    monkeypatch.setenv("SENTRY_DSN", "https://hidden@nonsense")
    with pytest.raises(SystemExit, match="SENTRY_DSN: ") as stop:
        load()
    assert "hidden" not in str(stop.value)
