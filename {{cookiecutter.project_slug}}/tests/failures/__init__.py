"""Real faults against a real gunicorn: sockets, files, databases and processes. Run by ``make failures``."""
