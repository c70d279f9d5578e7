"""Debugging: an external debugger, or the one in the browser, stops at the exception of a view."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import Develop, need
from debugger import DEBUGPY, Editor
from service import TIMEOUT, Service, free_port

MODULE = ("my_service",)
FLASK = ("flask", "--debug", "run")

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


@pytest.mark.parametrize("just_my_code", [True, False])
def test_external_debugger_stops_at_the_crash_of_a_view(debug: DebugOf, just_my_code: bool) -> None:
    service, port = debug(*MODULE, EXTERNAL_DEBUGGER="1")
    with ThreadPoolExecutor() as threads, Editor(port, "uncaught", just_my_code) as editor:
        request = threads.submit(service.get, "/crash")
        stopped = editor.event("stopped")
        assert (stopped["reason"], stopped["text"]) == ("exception", "RuntimeError")
        (frame, *_) = editor.ask("stackTrace", threadId=stopped["threadId"])["stackFrames"]
        assert (Path(frame["source"]["path"]).name, frame["name"]) == ("home.py", "crash")
        (local, *_) = editor.ask("scopes", frameId=frame["id"])["scopes"]
        variables = editor.ask("variables", variablesReference=local["variablesReference"])["variables"]
        assert "sys" in [variable["name"] for variable in variables]

        editor.ask("continue", threadId=stopped["threadId"])
        with pytest.raises(ConnectionError):
            request.result(TIMEOUT)
        assert service.get("/healthz").status == 200
    assert "RuntimeError: boom" in service.text


@pytest.mark.parametrize("server", [MODULE, FLASK], ids=" ".join)
def test_without_the_setting_the_debugger_in_the_browser_has_it(debug: DebugOf, server: tuple[str, ...]) -> None:
    service, port = debug(*server, *(["--no-reload"] if server == FLASK else []))
    with Editor(port, "uncaught", just_my_code=True) as editor:
        assert b"EVALEX = true" in service.get("/crash").body
        assert "stopped" not in [message.get("event") for message in editor.waiting]


def test_with_the_setting_there_is_one_process_and_no_debugger_in_the_browser(develop: Develop) -> None:
    service = develop("python", "-m", *MODULE, EXTERNAL_DEBUGGER="1")
    pid = service.process.pid
    assert Path(f"/proc/{pid}/task/{pid}/children").read_text() == ""
    assert service.get("/console").status == 404
    assert service.get("/unknown").status == 404
    with pytest.raises(ConnectionError):
        service.get("/crash")
    assert service.get("/healthz").status == 200


def test_setting_means_nothing_in_production(develop: Develop) -> None:
    service = develop("python", "-m", *MODULE, EXTERNAL_DEBUGGER="1", FLASK_DEBUG="0", SECRET_KEY="secret")
    answer = service.get("/crash")
    assert answer.status == 500
    assert b"Sorry, there is a problem with this service" in answer.body
