"""The log cannot be written: its pipe is closed, or its disk full. Requests go on."""

import os
from pathlib import Path

import pytest

from .conftest import Serve, need
from .service import FORMS, Service, assert_error

pytestmark = pytest.mark.failure("the log is closed or full")
VIEWS = """
@both
def crash(): raise RuntimeError("boom")
@both
def healthy():
    print("said to stdout", flush=True)
    return "well"
"""


def assert_served(service: Service) -> None:
    for _ in range(50):
        for path, form in FORMS.items():
            assert_error(service.get(f"{path}/crash"), 500, form)
            assert_error(service.get(f"{path}/unknown"), 404, form)
    assert len(service.events()) == 1
    assert len(service.workers()) == 1
    service.stop()  # Python says 120: it cannot flush stderr


def test_full_disk_stops_no_request(serve: Serve) -> None:
    need(Path("/dev/full").exists(), "/dev/full is missing: run this on Linux")
    with open("/dev/full", "wb") as full:
        service = serve(VIEWS, stdout=full, stderr=full)
    assert_served(service)


@pytest.mark.parametrize("closed", ["stdout", "stderr", "both"])
def test_closed_pipe_stops_no_request(serve: Serve, closed: str) -> None:
    reading, writing = os.pipe()
    names = ["stdout", "stderr"] if closed == "both" else [closed]
    service = serve(VIEWS, **dict.fromkeys(names, writing))
    os.close(reading)
    os.close(writing)
    assert_served(service)
