"""Pages in a real browser, with all that they ask for and complain of."""

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from urllib.parse import urlparse

from playwright.sync_api import Browser, ConsoleMessage, Page, Route

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]

AXE = "axe-core@4.10.3"  # npm; finds what keeps people out of a page
AXE_CHECKSUM = "880970c081707360e64f34cea25ff91892f5bc95675b0776925b9709dd8a68bb"  # sha256 of its axe.min.js


def fetch_axe(folder: Path) -> str:
    """The source of axe-core, kept in ``folder`` from then on.

    Raises:
        RuntimeError: it cannot be fetched.
        ValueError: what was fetched is not the pinned file.
    """
    path = folder / f"{AXE_CHECKSUM}.js"
    if not path.exists():
        content = _pack_axe()
        if hashlib.sha256(content).hexdigest() != AXE_CHECKSUM:
            raise ValueError(f"{AXE} is not the version that was pinned")
        path.write_bytes(content)
    return path.read_text("utf-8")


def _pack_axe() -> bytes:
    if shutil.which("npm") is None:
        raise RuntimeError("npm is not installed")
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", AXE]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            raise RuntimeError(f"npm pack {AXE} failed: {done.stderr.strip().splitlines()[-1:]}")
        with tarfile.open(next(Path(folder).glob("*.tgz"))) as archive:
            return archive.extractfile("package/axe.min.js").read()


class Visit:
    """One page opened in the browser; leave it as a context manager, which closes it."""

    def __init__(self, browser: Browser, address: str, **options: object) -> None:
        self.outside: list[str] = []
        self.errors: list[str] = []
        self.context = browser.new_context(**options)
        self.page: Page = self.context.new_page()
        self.page.route("**/*", self._route)
        self.page.on("console", self._listen)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("requestfailed", lambda request: self.errors.append(f"failed: {request.url}"))
        self.page.on("response", lambda r: self.errors.append(f"{r.status}: {r.url}") if r.status >= 400 else None)
        self.page.goto(address, wait_until="load")
        self.page.wait_for_timeout(300)

    def __enter__(self) -> "Visit":
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()

    def _route(self, route: Route) -> None:
        if urlparse(route.request.url).hostname in ("127.0.0.1", None):
            route.continue_()
        else:
            self.outside.append(route.request.url)
            route.abort()

    def _listen(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)
