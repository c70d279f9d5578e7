"""``make pictures``: the pictures of the README, taken of the running service in Debian's Chromium."""

import html
import shutil
import tempfile
from base64 import b64encode
from http import HTTPStatus
from pathlib import Path

from conftest import TEMPLATE, bake_into, install, user_environment
from playwright.sync_api import Browser, sync_playwright
from service import Answer, Service

OUT = TEMPLATE / "docs" / "pictures"
FRAME = """
<style>
  body { margin: 0; padding: 28px; display: flex; gap: 28px; background: #e8ebef; font-family: system-ui, sans-serif; }
  figure { margin: 0; flex: 1; background: #fff; border-radius: 10px; overflow: hidden; box-shadow: 0 1px 4px #0003; }
  figcaption { padding: 10px 16px; background: #f6f7f9; border-bottom: 1px solid #d9dee4; }
  figcaption, pre { font: 14px/1.5 ui-monospace, monospace; }
  img { display: block; width: 100%%; }
  pre { margin: 0; padding: 16px; white-space: pre-wrap; overflow-wrap: anywhere; }
</style>
<figure><figcaption>GET /no-such-page</figcaption><img src="data:image/png;base64,%s"></figure>
<figure><figcaption>curl -i -X DELETE /api/posts</figcaption><pre>%s</pre></figure>
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        project = bake_into(Path(folder))
        install(project, "--no-dev")
        service = Service(project, Path(folder), "", user_environment(SECRET_KEY="pictures"))
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        try:
            errors_side_by_side(browser, service)
        finally:
            browser.close()
            service.stop()


def errors_side_by_side(browser: Browser, service: Service) -> None:
    page = browser.new_page(viewport={"width": 560, "height": 440}, device_scale_factor=2)
    page.goto(f"http://127.0.0.1:{service.port}/no-such-page")
    people = b64encode(page.screenshot()).decode()
    programs = html.escape(as_curl_prints(service.ask("DELETE", "/api/posts")))

    page = browser.new_page(viewport={"width": 1200, "height": 540})
    page.set_content(FRAME % (people, programs))
    OUT.mkdir(exist_ok=True)
    page.screenshot(path=OUT / "errors.png", full_page=True)


def as_curl_prints(answer: Answer) -> str:
    headers = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
    return f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase.upper()}\n{headers}\n\n{answer.body.decode()}"


if __name__ == "__main__":
    main()
