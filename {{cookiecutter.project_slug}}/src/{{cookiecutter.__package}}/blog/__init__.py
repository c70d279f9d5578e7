"""Pages for people, under ``/blog``. What goes wrong here is answered with a page."""

from .views import bp

__all__ = ["bp"]
