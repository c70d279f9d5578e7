"""The log of gunicorn: requests as fields instead of a line that a path or a User-Agent could forge."""

from datetime import timedelta
from typing import Any
from urllib.parse import quote, unquote

from gunicorn.glogging import Logger  # type: ignore[import-untyped]

_KILLED = "Worker (pid:%s) was sent"
"""So begins what gunicorn says of it, as an error or, of a SIGSEGV, a warning."""


class AccessLog(Logger):  # type: ignore[misc]
    """``logger_class`` of ``gunicorn.conf.py``."""

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        self.lost: list[str] = []
        """What befell workers that could not say so. The master has no Sentry: the next worker tells it."""

    def error(self, msg: str, *args: Any, **kwargs: Any) -> None:
        (self._lose if msg.startswith(_KILLED) else super().error)(msg, *args, **kwargs)

    def warning(self, msg: str, *args: Any, **kwargs: Any) -> None:
        (self._lose if msg.startswith(_KILLED) else super().warning)(msg, *args, **kwargs)

    def _lose(self, msg: str, *args: Any) -> None:
        """A worker was killed. What was under way there is lost, while gunicorn makes little of it."""
        self.critical(msg, *args)
        self.lost.append(msg % args)

    def access(self, response: Any, request: Any, environ: dict[str, Any], request_time: timedelta) -> None:
        """Log a request. One that the application never answered has no environment to speak of."""
        sent = dict(request.headers)
        path = environ.get("PATH_INFO") or unquote(request.path or "", "latin-1")
        octets = path.encode("latin-1", "replace")
        fields = {
            "method": environ.get("REQUEST_METHOD"),
            "path": octets.decode(errors="replace"),
            "status": int((response.status or "500").split()[0]),
            "bytes": response.sent,
            "duration_ms": request_time // timedelta(milliseconds=1),
            "remote_addr": environ.get("REMOTE_ADDR"),
            "user_agent": sent.get("USER-AGENT"),
            "request_id": environ.get("HTTP_X_REQUEST_ID") or sent.get("X-REQUEST-ID"),
        }
        self.access_log.info("%s %s %s", fields["method"], quote(octets), fields["status"], extra=fields)
