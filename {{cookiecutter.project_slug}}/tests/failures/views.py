"""What a service of these tests has besides the project's own views. The lines of a test are added to it."""

from collections.abc import Callable
from typing import Any

from {{ cookiecutter.__package }}.wsgi import app


def both(view: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """Decorate a view: it is there below ``/``, for people, and below ``/api``, for programs, under its name."""
    for path in ("", "/api"):
        app.add_url_rule(f"{path}/{view.__name__}", f"failures{path}-{view.__name__}", view, **options)
    return view


@app.get("/-flush")
def flush() -> str:
    """Wait until Sentry has got what this process has for it."""
    import sentry_sdk

    sentry_sdk.flush(30)
    return "flushed"
