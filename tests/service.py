"""A real gunicorn of a baked project, and a client that can misbehave."""

import http.client
import json
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TIMEOUT = 30
"""Seconds after which something hangs. A bound, never a measure."""


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


class Service:
    """gunicorn on a free port of 127.0.0.1, started as the project's README says.

    :param extra: lines of Python run after ``create_app()``, with its result as ``app``.
    :param environment: of the process, PORT excepted.
    """

    def __init__(self, project: Path, folder: Path, extra: str, environment: dict[str, str]) -> None:
        self.port = free_port()
        self.errors = folder / f"log-{self.port}"
        command = [str(project / ".venv/bin/gunicorn")]
        if extra:
            (folder / f"extra_{self.port}.py").write_text(f"from my_service.wsgi import app\n\n{extra}\n")
            command += ["--pythonpath", str(folder), f"extra_{self.port}:app"]
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                command, cwd=project, env={**environment, "PORT": str(self.port)}, stdout=errors, stderr=errors
            )
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"gunicorn ended with {self.process.returncode}: {self.errors.read_text()}")
            try:
                self.get("/healthz")
            except OSError:
                time.sleep(0.05)
            else:
                return
        self.stop()
        raise RuntimeError(f"gunicorn did not start: {self.errors.read_text()}")

    def get(self, path: str, **headers: str) -> Answer:
        """A GET; header names are written with _ for -."""
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
        """A TCP connection, for what a well-behaved client does not do."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT)

    def log(self) -> list[dict[str, Any]]:
        """The log so far. Every line of it is JSON."""
        return [json.loads(line) for line in self.errors.read_text().splitlines()]

    def records(self, request_id: str, logger: str = "") -> list[dict[str, Any]]:
        """The lines of a request, once its access line is there."""
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            found = [record for record in self.log() if record.get("request_id") == request_id]
            if any(record["logger"] == "gunicorn.access" for record in found):
                return [record for record in found if record["logger"].startswith(logger)]
            time.sleep(0.05)
        raise RuntimeError(f"no access line of {request_id}")

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


def read_answer(connection: socket.socket, method: str = "GET") -> Answer:
    """The next answer on a connection, which stays open."""
    response = http.client.HTTPResponse(connection, method=method)
    response.begin()
    return Answer(response.status, response.headers, response.read())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
