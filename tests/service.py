"""A server of a baked project, and a client that can send malformed requests."""

import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

TIMEOUT = 30
"""Seconds after which a test fails because something hangs."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def media_type(self) -> str:
        return self.headers.get_content_type()


class Client:
    """Client of a server on a port of 127.0.0.1."""

    port: int

    def get(self, path: str, **headers: str) -> Answer:
        """Send a GET request. In header names, _ stands for -."""
        return self.ask("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        """Open a TCP connection, to send what HTTP clients do not send."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT)

    def send(self, data: bytes, method: str = "GET", end: bool = False) -> Answer:
        """Send bytes and return the response.

        :param method: method of the request. A response to HEAD has no body.
        :param end: close the connection for writing (FIN).
        """
        with self.connect() as connection:
            connection.sendall(data)
            if end:
                connection.shutdown(socket.SHUT_WR)
            return read_answer(connection, method)


class Service(Client):
    """A server process of a project on a free port of 127.0.0.1.

    :param extra: lines of Python to run after ``create_app()``, with the application as ``app``. For Gunicorn.
    :param environment: environment of the process without the port.
    :param command: program of the project's virtual environment, and arguments.
    :param cwd: working directory; by default the project.
    """

    flask: Callable[..., str]
    """Runs a command with the settings of the service: ``service.flask("tokens", "list")``. Only of ``serve``."""

    def __init__(
        self,
        project: Path,
        folder: Path,
        extra: str,
        environment: dict[str, str],
        command: Sequence[str] = ("gunicorn",),
        cwd: Path | None = None,
    ) -> None:
        self.port = free_port()
        self.errors = folder / f"log-{self.port}"
        command = [str(project / ".venv/bin" / command[0]), *command[1:]]
        if extra:
            (folder / f"extra_{self.port}.py").write_text(f"from my_service.wsgi import app\n\n{extra}\n")
            command += ["--pythonpath", str(folder), f"extra_{self.port}:app"]
        ports = {"PORT": str(self.port), "FLASK_RUN_PORT": str(self.port)}
        started = {"cwd": cwd or project, "env": {**environment, **ports}, "process_group": 0}
        self._popen = partial(subprocess.Popen, command, **started)
        self.start()

    def start(self) -> None:
        """Start the server on the same port as before, and wait until it responds."""
        with self.errors.open("ab") as errors:
            self.process = self._popen(stdout=errors, stderr=errors)
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended with {self.process.returncode}: {self.errors.read_text()}")
            try:
                self.get("/healthz")
            except OSError:
                time.sleep(0.05)
            else:
                return
        self.stop()
        raise RuntimeError(f"the server did not start: {self.errors.read_text()}")

    def break_off(self, method: str, target: str, *headers: str, body: bytes) -> None:
        """Send a request with a part of its body, then reset the connection."""
        with self.connect() as connection:
            connection.sendall(raw(method, target, "Expect: 100-continue", *headers))
            if connection.recv(100) != b"HTTP/1.1 100 Continue\r\n\r\n":
                raise ConnectionError("the service does not want the body")
            connection.sendall(body)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    @property
    def text(self) -> str:
        """The complete lines of the log so far."""
        written = self.errors.read_text()
        return written[: written.rfind("\n") + 1]

    def log(self) -> list[dict[str, Any]]:
        """Return the log so far, with levels in lower case, as Sentry writes them. Every line is JSON."""
        records = [json.loads(line) for line in self.text.split("\n")[:-1]]
        return [{**record, "level": record["level"].lower()} for record in records]

    def records(self, request_id: str, logger: str = "") -> list[dict[str, Any]]:
        """Wait for the access log line of a request, and return all log records with its ID."""
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            found = [record for record in self.log() if record.get("request_id") == request_id]
            if any(record["logger"] == "gunicorn.access" for record in found):
                return [record for record in found if record["logger"].startswith(logger)]
            time.sleep(0.05)
        raise RuntimeError(f"no access line of {request_id}")

    def stop(self) -> int:
        """Send SIGTERM and return the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise


def read_answer(connection: socket.socket, method: str = "GET") -> Answer:
    """Read the next response on a connection, which stays open."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += _receive(connection, 1)
    status_line, _, fields = head.partition(b"\r\n")
    status = int(status_line.split()[1])
    if status == 100:
        return read_answer(connection, method)
    headers = http.client.parse_headers(BytesIO(fields))
    return Answer(status, headers, _receive(connection, 0 if method == "HEAD" else int(headers["Content-Length"])))


def _receive(connection: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        part = connection.recv(size - len(received))
        if not part:
            raise ConnectionError(f"the connection ended {size - len(received)} bytes early")
        received += part
    return received


def raw(method: str, target: str, *headers: str, body: bytes = b"", host: str = "127.0.0.1") -> bytes:
    """Return a request as bytes, in Latin-1."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def chunk(data: bytes) -> bytes:
    """Return one chunk of a chunked body, RFC 9112 section 7.1."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
