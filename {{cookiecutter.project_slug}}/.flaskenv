FLASK_APP={{ cookiecutter.__package }}
FLASK_RUN_PORT=8000
