"""A PostgreSQL server of one's own, to be stopped, restarted and broken."""

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .servers import TIMEOUT, free_port, wait_for


def find_programs() -> list[Path]:
    """The folders of initdb, postgres and psql: that on the PATH, and Debian's, the newest first."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: -float(path.parts[-3]))
    return [Path(path).resolve().parent for path in (shutil.which("initdb"), *debian) if path]


class Postgres:
    """A server on a free port of 127.0.0.1, with its data in an empty folder. As root it runs as nobody.

    Its role ``postgres`` may do everything, and needs no password.
    """

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs = programs
        self.folder = folder
        self.port = free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        self.process: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            shutil.chown(folder, "nobody")
        self._run("initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync", "data")
        self.start()

    def start(self) -> None:
        """Start it, on the port and the data that it had before."""
        # No Unix socket: its path may be too long.
        options = ["-D", "data", "-h", "127.0.0.1", "-p", str(self.port), "-k", "", "-F"]
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [self.programs / "postgres", *options], stdout=log, stderr=log, **self._options()
            )
        wait_for(self._is_up, "the start of PostgreSQL")

    def stop(self) -> None:
        """End it, and the connections to it: a fast shutdown."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(TIMEOUT)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        self.stop()
        try:
            yield
        finally:
            self.start()

    def sql(self, statement: str, url: str = "") -> str:
        """What it answers: a line for each row."""
        options = ["--no-psqlrc", "--no-align", "--tuples-only", "--quiet", "--set=ON_ERROR_STOP=1"]
        return self._run("psql", *options, f"--command={statement}", url or self.url)

    def _is_up(self) -> bool:
        log = (self.folder / "log").read_text()
        if self.process and self.process.poll() is not None:
            raise RuntimeError(f"PostgreSQL did not start: {log}")
        return "ready to accept connections" in log

    def _run(self, program: str, *arguments: str) -> str:
        command = [str(self.programs / program), *arguments]
        options = {"check": True, "timeout": TIMEOUT, "stdout": subprocess.PIPE, "text": True, **self._options()}
        return str(subprocess.run(command, **options).stdout)

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {"cwd": self.folder, "env": {"LC_ALL": "C"}}
        if os.geteuid() == 0:
            options |= {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []}
        return options
