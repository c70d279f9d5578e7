"""Good, bad and broken requests, mixed, for a while: each gets the answer that it has to get, and no memory is kept.

SOAK_SECONDS says for how long, 30 where it is left out.
"""

import http.client
import json
import os
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from .conftest import Serve, need
from .servers import wait_for
from .service import FORMS, Answer, Service, assert_error, new_id, raw, reset

SECONDS = float(os.environ.get("SOAK_SECONDS", "30"))
SEED = int(os.environ.get("SOAK_SEED", "0")) or random.randrange(1, 2**32)
CLIENTS = 4
WORKERS = 2

VIEWS = """
import urllib.request
from flask import Response

@both
def bug():
    raise RuntimeError("boom")

@both
def recursion():
    return recursion()

@both
def unreachable():
    return urllib.request.urlopen("http://127.0.0.1:1/").read()

@both
def out_of_memory():
    return str(len(bytearray(2**62)))

@both
def full_disk():
    with open("/dev/full", "w") as disk:
        disk.write("one byte too many")

@both
def broken_stream():
    def parts():
        yield "x" * 1000
        raise RuntimeError("boom")
    return Response(parts())
"""
BROKEN = {"bug": 500, "recursion": 500, "unreachable": 502, "out_of_memory": 503, "full_disk": 507}
GOOD = ["/", "/blog/", "/api/posts", "/api/posts?limit=1", "/api/openapi.json", "/problems/", "/healthz", "/readyz"]


class Client:
    """Asks for whatever the dice say."""

    def __init__(self, service: Service, token: str, seed: int) -> None:
        self.service = service
        self.authorization = {"Authorization": f"Bearer {token}"}
        self.dice = random.Random(seed)
        self.failed: list[Answer] = []
        """what was answered with a 5xx"""
        self.cut: list[str] = []
        """what was cut off, by its reference"""

    def ask_until(self, moment: float) -> None:
        kinds = [self.good, self.write, self.bad, self.refused, self.hang_up, self.broken, self.broken_stream]
        while time.monotonic() < moment:
            self.dice.choice(kinds)()

    def good(self) -> None:
        self._expect(200, "GET", self.dice.choice(GOOD))

    def write(self) -> None:
        """A post comes and goes."""
        created = self._write("POST", "/api/posts", 201, title=new_id(), body="*soak*")
        path = created.headers["Location"]
        changed = self._write("PUT", path, 200, created, title=new_id(), body="x" * self.dice.randrange(1, 10_000))
        self._expect(200, "GET", path)
        self._write("DELETE", path, 204, changed)
        self._expect(404, "GET", path)

    def _write(self, method: str, path: str, status: int, seen: Answer | None = None, **post: str) -> Answer:
        match = {"If-Match": seen.headers["ETag"]} if seen else {}
        headers = {"Content-Type": "application/json", **self.authorization, **match}
        return self._expect(status, method, path, json.dumps(post) if post else None, headers)

    def bad(self) -> None:
        path = self.dice.choice([*FORMS])
        self._expect(404, "GET", f"{path}/{new_id()}")
        self._expect(405, "DELETE", "/api/posts")
        self._expect(401, "POST", "/api/posts", "{}")
        self._expect(415, "POST", "/api/posts", "{}", self.authorization)
        self._expect(400, "POST", "/api/posts", "{", {"Content-Type": "application/json", **self.authorization})
        assert self.service.send(raw("POST", "/api/posts", "Content-Length: 2000000")).status == 413

    def refused(self) -> None:
        """By gunicorn, before there is a request."""
        assert self.service.send(raw("GET", "/", "no header")).status == 400
        assert self.service.send(raw("GET", "/" + "x" * 5000)).status == 414

    def hang_up(self) -> None:
        with self.service.connect() as connection:
            connection.sendall(raw("POST", "/api/posts", "Content-Length: 1000", body=b"x" * self.dice.randrange(999)))
            if self.dice.random() < 0.5:
                reset(connection)

    def broken(self) -> None:
        """Page and problem."""
        view, status = self.dice.choice([*BROKEN.items()])
        for path, form in FORMS.items():
            answer = self._expect(status, "GET", f"{path}/{view}")
            assert_error(answer, status, form)
            self.failed.append(answer)

    def broken_stream(self) -> None:
        reference = new_id()
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            self.service.get("/broken_stream", X_Request_ID=reference)
        self.cut.append(reference)

    def _expect(self, status: int, method: str, path: str, body: Any = None, headers: Any = None) -> Answer:
        answer = self.service.ask(method, path, body, headers)
        assert answer.status == status, (SEED, method, path, answer)
        return answer


def resident(service: Service) -> int:
    """Memory of the workers, in kilobytes."""
    statuses = [Path(f"/proc/{worker}/status").read_text().splitlines() for worker in service.workers()]
    return sum(int(line.split()[1]) for status in statuses for line in status if line.startswith("VmRSS"))


def ask(clients: list[Client], seconds: float) -> None:
    moment = time.monotonic() + seconds
    with ThreadPoolExecutor(len(clients)) as threads:
        asking = [threads.submit(client.ask_until, moment) for client in clients]
    for future in asking:
        future.result()


def test_soak(serve: Serve) -> None:
    need(Path("/proc/self/status").exists(), "/proc is missing: run this on Linux")
    print(f"SOAK_SEED={SEED}")
    service = serve(VIEWS, WEB_CONCURRENCY=str(WORKERS), RATELIMIT_WRITES="1000000/minute")
    workers = wait_for(lambda: len(service.workers()) == WORKERS and service.workers(), "the workers")
    token = service.flask("tokens", "create", "soak").strip()
    clients = [Client(service, token, SEED + number) for number in range(CLIENTS)]
    ask(clients, SECONDS / 2)
    warm = resident(service)
    ask(clients, SECONDS / 2)
    grown = resident(service) / warm
    print(f"Memory: {warm} kB, and {grown - 1:.1%} more after as long again")
    assert (grown < 1.02, service.workers()) == (True, workers), grown
    assert service.stop() == 0
    assert_logged(service, clients)
    assert_reported(service)


def assert_logged(service: Service, clients: list[Client]) -> None:
    """Each failure is one record besides its access line, and there are no others."""
    failed = [answer.request_id for client in clients for answer in client.failed]
    cut = [reference for client in clients for reference in client.cut]
    records = [record for record in service.log() if record["level"] != "info"]
    assert Counter(record.get("request_id") for record in records) == Counter(failed + cut)
    accesses = Counter(record["request_id"] for record in service.log() if record["logger"] == "gunicorn.access")
    assert {accesses[reference] for reference in failed} == {1}
    assert Counter(record["level"] for record in records)["critical"] == WORKERS  # the disk, once for each
    passing = [record for record in records if "unreachable" in record["event"]]
    start = moment(passing[0])
    assert {record["level"] for record in passing if moment(record) - start < 60} == {"warning"}
    assert {record["level"] for record in passing if moment(record) - start > 80} <= {"error"}  # it has lasted


def moment(record: dict[str, Any]) -> float:
    return datetime.fromisoformat(record["timestamp"]).timestamp()


def assert_reported(service: Service) -> None:
    """Each cause once a minute from each worker."""
    types = [event["exception"]["values"][-1]["type"] for event in service.kent.events(service.port)]
    expected = {"RuntimeError", "RecursionError", "URLError", "MemoryError", "OSError"}
    assert {*types} == expected
    causes = len(BROKEN) + 1
    assert len(types) <= causes * WORKERS * (SECONDS // 60 + 1)
