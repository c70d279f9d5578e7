"""Debugging: an external debugger gets the crash of a view, mistakes are waited for, debug mode stays here."""

import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import Develop, need, user_environment
from debugger import DEBUGPY, Editor
from service import TIMEOUT, Answer, Service, free_port
from test_settings import assert_refused

MODULE = ("my_service",)
FLASK = ("flask", "--debug", "run")
SERVERS = pytest.mark.parametrize("server", [MODULE, FLASK], ids=" ".join)

DebugOf = Callable[..., tuple[Service, int]]


@pytest.fixture
def debug(develop: Develop) -> DebugOf:
    """``debug("flask", "--debug", "run")`` starts a development server under debugpy: itself, and debugpy's port."""
    need(DEBUGPY, "debugpy is missing. Install the dev group: uv sync")

    def debug(*module: str, **settings: str) -> tuple[Service, int]:
        port = free_port()
        command = ("python", "-Xfrozen_modules=off", str(DEBUGPY), "--listen", f"127.0.0.1:{port}", "-m", *module)
        return develop(*command, PYDEVD_DISABLE_FILE_VALIDATION="1", **settings), port

    return debug


@SERVERS
@pytest.mark.parametrize("just_my_code", [True, False])
def test_external_debugger_stops_at_the_crash_of_a_view(
    debug: DebugOf, server: tuple[str, ...], just_my_code: bool
) -> None:
    service, port = debug(*server, EXTERNAL_DEBUGGER="1")
    with ThreadPoolExecutor() as threads, Editor(port, "uncaught", just_my_code) as editor:
        request = threads.submit(service.get, "/crash")
        stopped = editor.event("stopped")
        assert (stopped["reason"], stopped["text"]) == ("exception", "RuntimeError")
        (frame, *_) = editor.ask("stackTrace", threadId=stopped["threadId"])["stackFrames"]
        assert (Path(frame["source"]["path"]).name, frame["name"]) == ("site.py", "crash")
        (local, *_) = editor.ask("scopes", frameId=frame["id"])["scopes"]
        variables = editor.ask("variables", variablesReference=local["variablesReference"])["variables"]
        assert "sys" in [variable["name"] for variable in variables]

        editor.ask("continue", threadId=stopped["threadId"])
        with pytest.raises(ConnectionError):
            request.result(TIMEOUT)
        assert service.get("/healthz").status == 200
    assert "RuntimeError: boom" in service.text


@SERVERS
def test_without_the_setting_the_debugger_in_the_browser_has_it(debug: DebugOf, server: tuple[str, ...]) -> None:
    service, port = debug(*server, *(["--no-reload"] if server == FLASK else []))
    with Editor(port, "uncaught", just_my_code=True) as editor:
        assert b"EVALEX = true" in service.get("/crash").body
        assert "stopped" not in [message.get("event") for message in editor.waiting]


@SERVERS
def test_with_the_setting_there_is_one_process_and_no_debugger_in_the_browser(
    develop: Develop, server: tuple[str, ...]
) -> None:
    service = develop("python", "-m", *server, EXTERNAL_DEBUGGER="1")
    pid = service.process.pid
    assert Path(f"/proc/{pid}/task/{pid}/children").read_text() == ""
    assert service.get("/console").status == 404
    assert service.get("/unknown").status == 404
    with pytest.raises(ConnectionError):
        service.get("/crash")
    assert service.get("/healthz").status == 200


@SERVERS
def test_setting_means_nothing_in_production(develop: Develop, server: tuple[str, ...]) -> None:
    command = [part for part in server if part != "--debug"]
    service = develop("python", "-m", *command, EXTERNAL_DEBUGGER="1", FLASK_DEBUG="0", SECRET_KEY="secret")
    answer = service.get("/crash")
    assert answer.status == 500
    assert b"Sorry, there is a problem with this service" in answer.body


# A mistake that is saved while the server reloads


@pytest.mark.parametrize("module", ["health.py", "config.py"])
def test_mistake_is_shown_until_it_is_mended(develop: Develop, tmp_path: Path, module: str) -> None:
    service, path = develop(*FLASK), tmp_path / "my-service/src/my_service" / module
    right = path.read_text()
    path.write_text(f"{right}\n\ndef mistake(:\n")
    assert b"SyntaxError" in wait_for(500, service).body
    path.write_text(right)
    wait_for(200, service)


def wait_for(status: int, service: Service) -> Answer:
    """The first answer of ``/healthz`` with this status. While the server starts again there is none."""
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline and service.process.poll() is None:
        with suppress(OSError):
            if (answer := service.get("/healthz")).status == status:
                return answer
        time.sleep(0.1)
    raise RuntimeError(f"no answer with {status}, exit status {service.process.poll()}: {service.text}")


# Debug mode stays on this machine


OTHERS_REACH = ("0.0.0.0", "::", "", "example.org", "10.0.0.1")


@pytest.fixture
def run(project: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    def run(*command: str, **settings: str) -> "subprocess.CompletedProcess[str]":
        port = str(free_port())
        environment = user_environment(PORT=port, FLASK_RUN_PORT=port, **settings)
        program = project / ".venv/bin" / command[0]
        ended = [program, *command[1:]]
        return subprocess.run(ended, cwd=project, env=environment, capture_output=True, text=True, timeout=TIMEOUT)

    return run


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.parametrize("host", OTHERS_REACH)
def test_debug_mode_of_flask_run_is_refused_where_others_reach_it(run: Run, host: str) -> None:
    sentence = f"Debug mode lets whoever reaches {host!r} run code here: listen on 127.0.0.1, or leave debug mode with "
    assert_refused(run("flask", "--debug", "run", "--host", host), sentence)
    assert_refused(run("flask", "run", "--debug", "--reload", f"--host={host}", EXTERNAL_DEBUGGER="1"), sentence)


def test_debug_mode_is_refused_however_the_address_is_said(run: Run) -> None:
    sentence = "Debug mode lets whoever reaches '0.0.0.0' run code here"
    assert_refused(run("flask", "run", FLASK_RUN_HOST="0.0.0.0", FLASK_DEBUG="1"), sentence)
    assert_refused(run("flask", "run", "--debugger", "--host=0.0.0.0", SECRET_KEY="secret"), sentence)
    assert_refused(run("python", "-m", "my_service", HOST="0.0.0.0"), sentence)
    assert_refused(run("python", "-m", "my_service", HOST="0.0.0.0", EXTERNAL_DEBUGGER="1"), sentence)


@pytest.mark.parametrize("arguments", [(), ("--check-config",), ("--bind", "127.0.0.1:0")], ids=" ".join)
def test_debug_mode_is_refused_under_gunicorn(run: Run, arguments: tuple[str, ...]) -> None:
    sentence = "FLASK_DEBUG: gunicorn is for production; leave it out, or run: flask --debug run"
    assert_refused(run("gunicorn", *arguments, FLASK_DEBUG="1"), sentence)


def test_debug_mode_is_refused_without_gunicorns_configuration_too(run: Run) -> None:
    ended = run("gunicorn", "--config=/dev/null", "--no-control-socket", "my_service.wsgi:app", FLASK_DEBUG="1")
    sentence = "FLASK_DEBUG: a WSGI server is for production; leave it out, or run: flask --debug run"
    assert f"RuntimeError: {sentence}" in ended.stderr.splitlines()
    assert ended.stderr.count("Booting worker") == 1
    assert ended.returncode == 3


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_debug_mode_listens_on_this_machine(develop: Develop, host: str) -> None:
    for service in (
        develop("flask", "--debug", "run", "--host", host, "--no-reload"),
        develop("python", "-m", "my_service", HOST=host),
    ):
        assert service.get("/healthz").status == 200


def test_production_mode_may_listen_elsewhere(develop: Develop) -> None:
    """As in a container, where commands such as migrations in debug mode are none of this either."""
    production = {"FLASK_DEBUG": "0", "SECRET_KEY": "secret", "HOST": "0.0.0.0"}
    assert develop("python", "-m", "my_service", **production).get("/healthz").status == 200
    assert develop("flask", "run", "--host=0.0.0.0", **production).get("/healthz").status == 200


def test_command_in_debug_mode_is_no_server(run: Run) -> None:
    ended = run("flask", "--debug", "db", "current", HOST="0.0.0.0")
    assert ended.returncode == 0, ended.stderr
