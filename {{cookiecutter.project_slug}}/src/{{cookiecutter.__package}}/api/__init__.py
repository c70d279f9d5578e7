"""JSON API below ``/api``. Errors are problem details (RFC 9457). Requests that write need a token."""

from .views import bp as bp
