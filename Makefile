# make demo       bake the default project into build/my-service and start it on http://127.0.0.1:8000 (PORT changes it)
# make test       everything that has to pass, the generated project's own tests among it
# make bench      time and memory against bare Flask, and reading posts against a minimal app, as ratios
# make pictures   the pictures of the README, taken in Chromium

export PORT ?= 8000
DEMO := build/my-service
UV := $(shell command -v uv || echo $(CURDIR)/.tools/bin/uv)

.PHONY: demo test bench pictures
demo: $(UV)
	@python3 -c "import socket; socket.create_server(('127.0.0.1', $(PORT)))" 2>/dev/null \
		|| { echo "Port $(PORT) cannot be had. Choose another: make demo PORT=8001"; exit 1; }
	@echo "Baking and installing build/my-service ..."
	@rm -rf $(DEMO)
	@$(UV) tool run --quiet cookiecutter --no-input --output-dir build . >/dev/null
	@cd $(DEMO) && $(UV) sync --quiet --no-dev
	@cd $(DEMO) && export SECRET_KEY=$$(python3 -c 'import secrets; print(secrets.token_hex())') LOG_FORMAT=text PATH=.venv/bin:$$PATH \
		&& flask db upgrade && flask posts import posts/hello.md && TOKEN=$$(flask tokens create demo) \
		&& echo "Open http://127.0.0.1:$(PORT)/ in a browser, or ask in another terminal for" \
		&& echo "  a page error    curl -i http://127.0.0.1:$(PORT)/no-such-page" \
		&& echo "  an API error    curl -i http://127.0.0.1:$(PORT)/api/posts/0" \
		&& echo "  a 405           curl -i -X DELETE http://127.0.0.1:$(PORT)/api/posts" \
		&& echo "  a new post      curl -i http://127.0.0.1:$(PORT)/api/posts -H 'Authorization: Bearer $$TOKEN' --json '{\"title\": \"News\", \"body\": \"Good *news*.\"}'" \
		&& echo "Ctrl-C stops the service. Its log:" \
		&& exec gunicorn

test: $(UV)
	$(UV) run ruff format --check
	$(UV) run ruff check
	$(UV) run pytest

bench: $(UV)
	$(UV) run python benchmarks/errors.py
	$(UV) run python benchmarks/posts.py

pictures: $(UV)
	$(UV) run python tests/pictures.py

$(CURDIR)/.tools/bin/uv:
	@echo "uv is not installed: bringing it into .tools"
	@PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --target .tools uv
