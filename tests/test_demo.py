"""``make demo`` and ``make new`` in a fresh clone, on a machine that has python3, pip, git and make, but not uv."""

import os
import shlex
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from baking import template_files
from conftest import TEMPLATE, user_environment
from service import TIMEOUT, free_port

PATH = "/usr/bin:/bin"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The files of the template without anything else."""
    for path in template_files():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(TEMPLATE / path, tmp_path / path)
    return tmp_path


class Demo:
    """``make demo`` in its own process group, as in a terminal."""

    def __init__(self, clone: Path, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.output = clone / "output"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                ["make", "demo", f"PORT={port}"],
                cwd=clone,
                env=user_environment(PATH=PATH),
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self.process.poll() is None:
            if self.status("/healthz") == 200:
                return
            time.sleep(0.1)
        raise RuntimeError(self.output.read_text())

    def status(self, path: str, method: str = "GET") -> int | None:
        """Return the status of a response, or None if nothing listens on the port."""
        try:
            with urllib.request.urlopen(urllib.request.Request(self.url + path, method=method), timeout=TIMEOUT) as ok:
                return int(ok.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code
        except OSError:
            return None

    def publish(self) -> int:
        """Run the command shown for ``a new post`` as a shell would. Return the status."""
        (line,) = [line for line in self.output.read_text().splitlines() if " a new post " in line]
        curl, _, url, _, header, _, body = shlex.split(line.removeprefix("  a new post "))
        assert curl == "curl"
        headers = {"Content-Type": "application/json", **dict([header.split(": ")])}
        request = urllib.request.Request(url, body.encode(), headers)
        with urllib.request.urlopen(request, timeout=TIMEOUT) as created:
            return int(created.status)

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        os.killpg(self.process.pid, signal.SIGINT)
        self.process.wait(TIMEOUT)


@pytest.fixture
def demo(clone: Path) -> Iterator[Demo]:
    old = clone / "build/my-service/old"
    old.parent.mkdir(parents=True)
    old.touch()
    demo = Demo(clone, free_port())
    yield demo
    if demo.process.poll() is None:
        demo.interrupt()


@pytest.mark.slow
def test_demo_starts_shows_errors_and_stops(clone: Path, demo: Demo) -> None:
    demo.wait_until_ready()
    assert not (clone / "build/my-service/old").exists()
    printed = demo.output.read_text()
    for line, path, method, status in (
        (f"curl -i {demo.url}/no-such-page", "/no-such-page", "GET", 404),
        (f"curl -i {demo.url}/api/posts/0", "/api/posts/0", "GET", 404),
        (f"curl -i -X DELETE {demo.url}/api/posts", "/api/posts", "DELETE", 405),
    ):
        assert line in printed
        assert demo.status(path, method) == status
    assert demo.status("/blog/hello") == 200
    assert demo.status("/blog/news") == 404
    assert demo.publish() == 201
    assert demo.status("/blog/news") == 200

    port = demo.url.rpartition(":")[2]
    second = subprocess.run(
        ["make", "demo", f"PORT={port}"], cwd=clone, env=user_environment(PATH=PATH), capture_output=True, text=True
    )
    assert second.returncode != 0
    assert second.stdout == f"Port {port} is in use. Choose another: make demo PORT=8001\n"
    assert demo.status("/") == 200

    demo.interrupt()
    assert demo.status("/healthz") is None


@pytest.mark.slow
def test_new_asks_the_questions_and_its_project_runs(clone: Path) -> None:
    """The closing message says ``make test``; the project's own Makefile installs uv too."""
    environment = user_environment(PATH=PATH)
    options = {"cwd": clone, "env": environment, "capture_output": True, "text": True, "timeout": 250}
    made = subprocess.run(["make", "new", "OUTPUT=out"], input="Shop\n" + "\n" * 6, **options)
    assert made.returncode == 0, made.stderr
    assert "shop is ready" in made.stdout
    assert (clone / "out/shop/src/shop/__init__.py").exists()
    tested = subprocess.run(["make", "test"], **options | {"cwd": clone / "out/shop"})
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert " passed in " in tested.stdout
