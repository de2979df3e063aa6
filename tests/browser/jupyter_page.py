"""A real JupyterLab and a real browser for tests: notebooks served, opened, run, photographed."""

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest

PROJECT = Path(__file__).resolve().parents[2]
SHOTS = PROJECT / "build" / "screenshots"
CHROMIUM = shutil.which("chromium")
KERNEL_MS = 240_000  # a first run compiles the engine

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed")


def notebook_copy(name: str, folder: Path, **values: object) -> None:
    """A copy of a notebook whose parameters cell is set to these values."""
    book = nbformat.read(PROJECT / "notebooks" / name, as_version=4)
    cell = next(c for c in book.cells if "parameters" in c.metadata.get("tags", ()))
    for key, value in values.items():
        cell.source, count = re.subn(rf"(?m)^{key} = .*$", f"{key} = {value!r}", cell.source)
        assert count == 1
    nbformat.write(book, folder / name)


@contextmanager
def jupyterlab(home: Path):
    """Serve `home`, whose notebooks lie in notebooks/; gives a function from a notebook's name to its address."""
    config = home / "config" / "labconfig"
    config.mkdir(parents=True)
    (config / "page_config.json").write_text(
        json.dumps({"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}})
    )
    (config / "default_setting_overrides.json").write_text(
        json.dumps({"@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"}})
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    environment = {
        **os.environ,
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "JUPYTER_TOKEN": token,
    }
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}", "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={home}", "--ServerApp.ip=127.0.0.1",
    ]  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    with (home / "lab.log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT, cwd=home)
        try:
            wait_for_server(server, f"{address}/api?token={token}", home / "lab.log")
            yield lambda name: f"{address}/lab/workspaces/{name[:2]}/tree/notebooks/{name}?token={token}"
        finally:
            server.terminate()
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def wait_for_server(server: subprocess.Popen, url: str, log: Path) -> None:
    for _ in range(240):
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except (urllib.error.URLError, ConnectionError):
            assert server.poll() is None, log.read_text()
            time.sleep(0.25)
        else:
            return
    pytest.fail("JupyterLab did not answer within a minute")


@contextmanager
def browser_page(width: int = 1500, height: int = 1250):
    """One tab of headless chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        tab = browser.new_page(viewport={"width": width, "height": height})
        try:
            yield tab
        finally:
            browser.close()


def run_all(page, address) -> None:
    """Open a notebook and run all its cells, as a person does from the menu."""
    page.goto(address)
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=60_000)
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=60_000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    wait_until_run(page)


def wait_until_run(page) -> None:
    """Wait until the last code cell has been answered and none waits any more."""
    page.wait_for_function(
        """() => {
            const prompts = [...document.querySelectorAll('.jp-Notebook .jp-CodeCell .jp-InputPrompt')];
            return prompts.length && prompts.every(p => /\\[\\d+\\]/.test(p.textContent));
        }""",
        timeout=KERNEL_MS,
    )
    assert page.locator(".jp-RenderedText[data-mime-type*=error]").count() == 0


def shoot(target, name: str) -> bytes:
    SHOTS.mkdir(parents=True, exist_ok=True)
    return target.screenshot(path=SHOTS / f"{name}.png")
