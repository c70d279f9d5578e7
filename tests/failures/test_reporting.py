"""Sentry, the mail server or the disk of the log fail: requests are served all the same."""

import os
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import Serve, need
from helpers import VIEWS, assert_error, wait_for
from service import free_port

BUG = """
@both
def bug(): raise RuntimeError("secret")
"""


@pytest.mark.parametrize("kind", ["refuses", "does not answer"])
@pytest.mark.parametrize("channel", ["Sentry", "mail"])
def test_no_request_waits_for_a_report(serve: Serve, channel: str, kind: str) -> None:
    """The log says once that reports are lost, and the service stops in time."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as silent:
        address = f"127.0.0.1:{free_port() if kind == 'refuses' else silent.getsockname()[1]}"
        sentry = {"SENTRY_DSN": f"http://public@{address}/1"}
        mail = {"MAIL_ADMINS": "me@example.org", "MAIL_URL": f"smtp://{address}"}
        service = serve(VIEWS + BUG, WEB_CONCURRENCY="1", **(sentry if channel == "Sentry" else mail))
        begun = time.monotonic()
        with ThreadPoolExecutor(4) as clients:
            assert {answer.status for answer in clients.map(service.get, ["/bug"] * 12)} == {500}
        assert_error(service.get("/bug"), 500, "")
        assert time.monotonic() - begun < 10
        if kind == "refuses":
            lost = "Sentry events were dropped" if channel == "Sentry" else "Email about an error was not sent"
            wait_for(lambda: lost in service.text)
            assert service.text.count(lost) == 1
        begun = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - begun < 15


def test_full_disk_of_the_log(serve: Serve, tmp_path: Path) -> None:
    """Lines are lost while the disk is full, and written again afterwards."""
    need(os.geteuid() == 0, "A small disk is missing. Mounting one needs root.")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=True)
    try:
        service = serve(VIEWS, WEB_CONCURRENCY="1")
        assert service.stop() == 0
        service.errors = disk / "log"
        service.start()
        ballast = disk / "ballast"
        with pytest.raises(OSError, match="No space left"):
            ballast.write_bytes(bytes(2_000_000))
        for _ in range(50):
            assert service.get("/healthy").status == 200
            assert service.get("/unknown").status == 404
        ballast.unlink()
        assert service.get("/healthy", X_Request_ID="after").status == 200
        wait_for(lambda: "after" in service.errors.read_text())
        assert service.stop() == 0
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)
