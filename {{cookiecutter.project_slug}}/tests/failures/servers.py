"""What servers in tests share, and a Sentry server: kent, https://github.com/mozilla-services/kent."""

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from .table import note

TIMEOUT = 30.0
"""Seconds after which something hangs. A bound, never a measure."""

T = TypeVar("T")


def wait_for(look: Callable[[], T], what: str = "something") -> T:
    """What this returns, as soon as it is true."""
    deadline = time.monotonic() + TIMEOUT
    while not (found := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited in vain for {what}")
        time.sleep(0.02)
    return found


_given: set[int] = set()


def free_port() -> int:
    """Another one each time: kent knows a service by its port, and keeps the events of those before."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in _given:
            _given.add(port)
            return port


class Kent:
    """kent on a free port of 127.0.0.1. Each service is a project of it, named by a number."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        gunicorn = str(Path(sys.executable).with_name("gunicorn"))
        # Not kent-server: it takes the command run of this project for its own.
        command = [gunicorn, f"--bind=127.0.0.1:{self.port}", "--threads=4", "kent.app:create_app()"]
        with (folder / "kent").open("wb") as log:
            self.process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        try:
            wait_for(self._is_up, "kent")
        except TimeoutError:
            self.stop()
            raise

    def dsn(self, project: int) -> str:
        return f"http://public@127.0.0.1:{self.port}/{project}"

    def events(self, project: int) -> list[dict[str, Any]]:
        """The events of a project so far, the oldest first."""
        listed = self._get("/api/eventlist/")["events"]
        mine = [event["event_id"] for event in listed if str(event["project_id"]) == str(project)]
        payloads = [self._get(f"/api/event/{event_id}")["payload"] for event_id in mine]
        events = [payload["body"] for payload in payloads if payload["header"]["type"] == "event"]
        for event in events:
            note("Sentry", event["level"])
        return events

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(TIMEOUT)

    def _is_up(self) -> bool:
        try:
            self._get("/api/eventlist/")
        except OSError:
            return False
        return True

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=TIMEOUT) as response:
            return json.load(response)
