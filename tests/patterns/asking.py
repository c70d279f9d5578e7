"""Short ways to ask the service."""

from collections.abc import Callable
from typing import Any, NoReturn

import pytest
from flask import Flask
from flask.typing import ResponseReturnValue
from werkzeug.test import TestResponse

PAGE, PROBLEM = "text/html", "application/problem+json"

as_page_and_problem = pytest.mark.parametrize(
    ("url", "form"), [("/ask", PAGE), ("/api/ask", PROBLEM)], ids=["page", "problem"]
)

View = Callable[[], ResponseReturnValue]


def raising(error: BaseException) -> Callable[[], NoReturn]:
    """A view that raises this."""

    def view() -> NoReturn:
        raise error

    return view


def ask(app: Flask, view: View, url: str = "/api/ask", **headers: str) -> TestResponse:
    """What a client gets from this view, which is added to the application at this URL."""
    app.add_url_rule(url, endpoint="ask", view_func=view)
    return app.test_client().get(url, headers=headers)


def kind(response: TestResponse) -> tuple[int, str | None]:
    return response.status_code, response.mimetype


def plain_problem(response: TestResponse, status: int, title: str) -> dict[str, Any]:
    """The whole of a problem that says no more than its status does."""
    return {"type": "about:blank", "title": title, "status": status, "request_id": response.headers["X-Request-ID"]}
