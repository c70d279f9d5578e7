# make new        ask the questions and write a project into OUTPUT (default: beside this folder)
# make demo       start the default project on http://127.0.0.1:8000 (PORT changes it), with a post and a token
# make check      format, lint and the quick tests: up to 3 minutes
# make test       the same, and the tests of an installed project: up to 10 minutes
# make nightly    the other tests: all Pythons, databases, browser, proxies, faults: up to 35 minutes
# make bench      time and memory against bare Flask, and reading posts against a minimal app, as ratios
# make pictures   take the pictures of the README in Chromium

export PORT ?= 8000
OUTPUT ?= ..
DEMO := build/my-service
UV := $(shell command -v uv || echo $(CURDIR)/.tools/bin/uv)
PYTEST := $(UV) run pytest --numprocesses 2 --dist loadfile

.PHONY: new demo lint check test nightly bench pictures
new: $(UV)
	@$(UV) tool run --quiet cookiecutter --output-dir "$(OUTPUT)" .

demo: $(UV)
	@python3 -c "import socket; socket.create_server(('127.0.0.1', $(PORT)))" 2>/dev/null \
		|| { echo "Port $(PORT) is in use. Choose another: make demo PORT=8001"; exit 1; }
	@echo "Creating and installing build/my-service ..."
	@rm -rf $(DEMO)
	@$(UV) tool run --quiet cookiecutter --no-input --output-dir build . >/dev/null
	@cd $(DEMO) && $(UV) sync --quiet --no-dev
	@cd $(DEMO) && export SECRET_KEY=$$(python3 -c 'import secrets; print(secrets.token_hex())') PATH=.venv/bin:$$PATH \
		&& flask db upgrade && export TOKEN=$$(flask tokens create demo) \
		&& python -c "$$PUBLISH" \
		&& echo "Open http://127.0.0.1:$(PORT)/ in a browser, or run in another terminal:" \
		&& echo "  a page error    curl -i http://127.0.0.1:$(PORT)/no-such-page" \
		&& echo "  an API error    curl -i http://127.0.0.1:$(PORT)/api/posts/0" \
		&& echo "  a 405           curl -i -X DELETE http://127.0.0.1:$(PORT)/api/posts" \
		&& echo "  a new post      curl -i http://127.0.0.1:$(PORT)/api/posts -H 'Authorization: Bearer $$TOKEN' --json '{\"title\": \"News\", \"body\": \"Good *news*.\"}'" \
		&& echo "Ctrl-C stops the service. Its log:" \
		&& exec gunicorn

define PUBLISH
import os
from my_service import create_app
post = {"title": "Hello", "body": "The *first* post."}
headers = {"Authorization": "Bearer " + os.environ["TOKEN"]}
assert create_app().test_client().post("/api/posts", json=post, headers=headers).status_code == 201
endef
export PUBLISH

lint: $(UV)
	$(UV) run ruff format --check
	$(UV) run ruff check

check: lint
	$(PYTEST) -m "not slow and not nightly"

test: lint
	$(PYTEST) -m "not nightly"

nightly: $(UV)
	$(PYTEST) -m nightly

bench: $(UV)
	$(UV) run python benchmarks/errors.py
	$(UV) run python benchmarks/posts.py

pictures: $(UV)
	$(UV) run python tests/pictures.py

$(CURDIR)/.tools/bin/uv:
	@echo "uv is not installed: installing it into .tools"
	@PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --target .tools uv
