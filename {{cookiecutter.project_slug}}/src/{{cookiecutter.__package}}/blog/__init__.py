"""HTML pages below ``/blog``. Errors are HTML pages too."""

from .views import bp as bp
