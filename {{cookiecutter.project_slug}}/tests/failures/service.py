"""A real gunicorn of this project, a client that can misbehave, and what was logged and reported."""

import http.client
import json
import os
import secrets
import signal
import socket
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .servers import TIMEOUT, Kent, free_port, wait_for
from .table import note

PACKAGE = "{{ cookiecutter.__package }}"
PROJECT = Path(__file__).parents[2]
PROGRAMS = Path(sys.executable).parent
WORKERS = {"gthread": "", "sync": f"--worker-class={PACKAGE}.workers.Sync --threads=1"}
"""For GUNICORN_CMD_ARGS: the worker of gunicorn.conf.py, and the other one that it may have."""
PAGE = "text/html"
PROBLEM = "application/problem+json"
FORMS = {"": PAGE, "/api": PROBLEM}
"""In which form errors are answered below which path. See ``both`` in views.py."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def __post_init__(self) -> None:
        if self.status >= 400:
            note("client", self.status, {PAGE: "page", PROBLEM: "problem"}.get(self.form, self.form))
            note("client", self.status, "Retry-After" if "Retry-After" in self.headers else "")

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def form(self) -> str:
        return self.headers.get_content_type()

    @property
    def request_id(self) -> str:
        return self.headers["X-Request-ID"] or "none"


class Service:
    """``gunicorn`` with the project's gunicorn.conf.py, in a folder and on a port of 127.0.0.1 of its own.

    :param extra: lines of Python that views.py in this folder is continued with: ``app`` is the application.
    :param settings: the environment. SENTRY_DSN leads to kent where it is left out.
    :param options: more of :class:`subprocess.Popen`, such as ``preexec_fn`` to limit it, or where its output goes.
    """

    def __init__(self, folder: Path, kent: Kent, extra: str, settings: dict[str, str], **options: Any) -> None:
        self.folder, self.kent, self.port = folder, kent, free_port()
        (folder / "migrations").symlink_to(PROJECT / "migrations")
        (folder / "extra.py").write_text(Path(__file__).with_name("views.py").read_text() + extra)
        kept = {name: value for name, value in os.environ.items() if name in ("HOME", "LANG", "PATH", "TMPDIR")}
        self.environment = kept | {
            "SECRET_KEY": "test",
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "WEB_CONCURRENCY": "1",  # what one worker has in memory, such as limits, is then the same for all
            "SENTRY_DSN": kent.dsn(self.port),
            **settings,
        }
        options_of_gunicorn = [f"--config={PROJECT}/gunicorn.conf.py", f"--pythonpath={folder}"]
        command = [f"{PROGRAMS}/gunicorn", *options_of_gunicorn, "extra:app"]
        self._logs_elsewhere = not options.keys().isdisjoint({"stdout", "stderr"})
        with self.log_file.open("wb") as log:
            options = {"stdout": log, "stderr": log, **options}
            self.process = subprocess.Popen(command, cwd=folder, env=self.environment, **options)
        try:
            wait_for(self._is_up, "the start")
        except BaseException:
            self.stop()
            raise

    @property
    def log_file(self) -> Path:
        return self.folder / "log"

    def _is_up(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError(f"gunicorn ended with {self.process.returncode}: {self.log_file.read_text()}")
        try:
            return self.get("/healthz").status == 200
        except OSError:
            return False

    # Asking

    def get(self, path: str, **headers: str) -> Answer:
        """A GET; header names are written with _ for -."""
        return self.ask("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """
        :raises OSError: there is no answer.
        :raises http.client.IncompleteRead: it is cut off.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        """A TCP connection, for what a well-behaved client does not do."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT)

    def send(self, data: bytes, method: str = "GET", end: bool = False) -> Answer:
        """Bytes as they are, and the answer to them.

        :param method: what the answer is an answer to: one to HEAD has no body.
        :param end: say that nothing will follow (FIN).
        """
        with self.connect() as connection:
            connection.sendall(data)
            if end:
                connection.shutdown(socket.SHUT_WR)
            return read_answer(connection, method)

    # Running

    def flask(self, *command: str) -> str:
        """What a command prints that runs with the settings of the service: ``service.flask("tokens", "list")``."""
        return flask(*command, folder=self.folder, environment=self.environment)

    def workers(self) -> list[int]:
        """Process ids of the workers, in the order of their start. Linux only."""
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    # What was told

    @property
    def text(self) -> str:
        """What the processes have written so far, whole lines of it."""
        written = self.log_file.read_text()
        return written[: written.rfind("\n") + 1]

    def log(self, request_id: str = "") -> list[dict[str, Any]]:
        """The log so far, or of it what belongs to a request. Every line of it is JSON."""
        records = [json.loads(line) for line in self.text.split("\n")[:-1]]
        found = [record for record in records if request_id in ("", record.get("request_id"))]
        for record in found:
            note("log", record["level"])
        return found

    def access(self, request_id: str) -> dict[str, Any]:
        """The access line of a request, once it is there."""
        return wait_for(lambda: self._lines(request_id, True), f"the access line of {request_id} in {self.text}")[0]

    def records(self, request_id: str) -> list[dict[str, Any]]:
        """What is logged of a request besides its access line, once that is there."""
        self.access(request_id)
        return self._lines(request_id, False)

    def note(self) -> None:
        """All that it told by its end, for the table of failures."""
        if not self._logs_elsewhere:
            self.log()
        self.kent.events(self.port)

    def _lines(self, request_id: str, access: bool) -> list[dict[str, Any]]:
        return [record for record in self.log(request_id) if (record["logger"] == "gunicorn.access") is access]

    def events(self, request_id: str = "") -> list[dict[str, Any]]:
        """What Sentry has got from the service so far, or of it what belongs to a request. For one worker."""
        self.get("/-flush")
        events = self.kent.events(self.port)
        return [event for event in events if request_id in ("", (event.get("tags") or {}).get("request_id"))]


def flask(*command: str, folder: Path, environment: dict[str, str]) -> str:
    """What a command of the project prints. It has to succeed."""
    run = [f"{PROGRAMS}/flask", "--app", PACKAGE, *command]
    done = subprocess.run(run, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT * 2)
    assert done.returncode == 0, done.stderr
    return done.stdout


def read_answer(connection: socket.socket, method: str = "GET") -> Answer:
    """The answer on a connection, which stays open. For one request at a time: what follows may be read with it.

    :raises http.client.IncompleteRead: it is cut off.
    """
    response = http.client.HTTPResponse(connection, method=method)
    response.begin()
    try:
        return Answer(response.status, response.headers, response.read())
    except (http.client.IncompleteRead, ConnectionResetError):
        note("client", "cut off")
        raise


def raw(method: str, target: str, *headers: str, body: bytes = b"", host: str = "127.0.0.1") -> bytes:
    """A request as bytes, to be sent as it is or in parts. Characters stand for the bytes of Latin-1."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body, RFC 9112 section 7.1."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def reset(connection: socket.socket) -> None:
    """End a connection at once, with RST instead of FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def new_id() -> str:
    """For the header X-Request-ID."""
    return f"test-{secrets.token_hex(8)}"


def assert_error(answer: Answer, status: int, form: str) -> None:
    """What every error has, whoever asked for whatever."""
    assert (answer.status, answer.form) == (status, form), answer
    assert answer.request_id
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Robots-Tag"] == "noindex"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "strict-origin-when-cross-origin"
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    if form == PROBLEM:
        assert (answer.json["status"], answer.json["reference"]) == (status, answer.request_id)
    else:
        assert f">{answer.request_id}</code>".encode() in answer.body
