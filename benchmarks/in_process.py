"""Run one contestant in this process, controlled over a pipe: ``python in_process.py NAME``.

It writes its startup, the seconds of CPU time from the first import to the first response, and then its memory in kB.
For each :class:`Case` that it reads it repeats the request for a fixed time and writes the seconds per request. All as
JSON, one value a line.
"""

import io
import json
import os
import sys
import time
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

SECONDS = 0.02
"""Length of a round: many requests, but short enough that all contestants run under the same load of the machine."""

HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
JSON = "application/json"
LANGUAGE = "fa-IR,fa;q=0.9,en-US;q=0.8,en;q=0.7"
"""As browsers send it. The service responds with an error page in Persian."""


class Case(NamedTuple):
    """A request without a body, and the status of its response."""

    name: str
    method: str
    path: str
    accept: str
    status: int

    def message(self) -> bytes:
        """Return the request as HTTP/1.1 (RFC 9112)."""
        lines = [f"{self.method} {self.path} HTTP/1.1", "Host: 127.0.0.1:8000"]
        lines += [f"Accept: {self.accept}", f"Accept-Language: {LANGUAGE}"]
        if self.method == "POST":
            lines.append("Content-Length: 0")
        return "\r\n".join([*lines, "", ""]).encode()

    def environ(self) -> "WSGIEnvironment":
        """Return the request as Gunicorn passes it to an application (PEP 3333)."""
        environ = {
            "wsgi.errors": sys.stderr,
            "wsgi.version": (1, 0),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "wsgi.input": io.BytesIO(),
            "wsgi.input_terminated": True,
            "wsgi.url_scheme": "http",
            "SERVER_SOFTWARE": "gunicorn",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "8000",
            "REMOTE_ADDR": "127.0.0.1",
            "REMOTE_PORT": "40000",
            "REQUEST_METHOD": self.method,
            "RAW_URI": self.path,
            "SCRIPT_NAME": "",
            "PATH_INFO": self.path,
            "QUERY_STRING": "",
            "HTTP_HOST": "127.0.0.1:8000",
            "HTTP_ACCEPT": self.accept,
            "HTTP_ACCEPT_LANGUAGE": LANGUAGE,
        }
        if self.method == "POST":
            environ["CONTENT_LENGTH"] = "0"
        return environ


HEALTHY = Case("healthy page", "GET", "/", HTML, 200)
CASES = (
    Case("page 404", "GET", "/nothing-here", HTML, 404),
    Case("API 404", "GET", "/api/nothing-here", JSON, 404),
    Case("page 405", "POST", "/", HTML, 405),
    Case("crash, 500", "GET", "/crash", HTML, 500),
    HEALTHY,
)


def main() -> None:
    start = time.process_time()
    app = getattr(import_module("contestants"), sys.argv[1])()
    respond(app, HEALTHY.environ())
    print(time.process_time() - start)
    print(memory(), flush=True)

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())  # records are formatted and written, but not kept
    for line in sys.stdin:
        print(seconds_per_request(app, Case(*json.loads(line))), flush=True)


def seconds_per_request(app: "WSGIApplication", case: Case) -> float:
    """Return the mean CPU time of a request in one round. Other processes do not add to it.

    :raises SystemExit: if a response has another status. The status is written in place of the number.
    """
    environ = case.environ()
    requests, start = 0, time.process_time()
    while (elapsed := time.process_time() - start) < SECONDS:
        status = respond(app, dict(environ))
        if status != case.status:
            print(f"{case.name} has the status {status}")
            raise SystemExit(1)
        requests += 1
    return elapsed / requests


def respond(app: "WSGIApplication", environ: "WSGIEnvironment") -> int:
    """Run one request, from the call to the close of its body. Return its status."""
    started: list[str] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        started.append(status)

    body: Iterable[bytes] = app(environ, start_response)
    try:
        b"".join(body)
    finally:
        if hasattr(body, "close"):
            body.close()
    return int(started[-1][:3])


def memory() -> int:
    """Return the resident set of this process in kB (proc_pid_smaps(5))."""
    return int(Path("/proc/self/smaps_rollup").read_text().partition("Rss:")[2].split()[0])


if __name__ == "__main__":
    main()
