"""The notebooks in a real JupyterLab in a real browser: widgets move, pictures follow, edited cells answer."""

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
from pathlib import Path

import nbformat
import pytest

PROJECT = Path(__file__).resolve().parents[2]
SHOTS = PROJECT / "build" / "screenshots"
CHROMIUM = shutil.which("chromium")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed")

KERNEL_MS = 240_000  # a first run compiles the engine


def notebook_copy(name: str, folder: Path, **values: object) -> None:
    """A copy of a notebook whose parameters cell is set to these values."""
    book = nbformat.read(PROJECT / "notebooks" / name, as_version=4)
    cell = next(c for c in book.cells if "parameters" in c.metadata.get("tags", ()))
    for key, value in values.items():
        cell.source, count = re.subn(rf"(?m)^{key} = .*$", f"{key} = {value!r}", cell.source)
        assert count == 1
    nbformat.write(book, folder / name)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Address of a JupyterLab whose root holds copies of the notebooks."""
    home = tmp_path_factory.mktemp("lab")
    books = home / "notebooks"
    books.mkdir()
    data = str(home / "data")
    notebook_copy("02_swings.ipynb", books, data_folder=data, start="2026-10-30")
    notebook_copy("03_filters.ipynb", books, data_folder=data, start="2026-10-12")
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


@pytest.fixture
def page():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        tab = browser.new_page(viewport={"width": 1500, "height": 1250})
        yield tab
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


def test_slider_of_the_swing_panel_moves_picture_and_verdicts(lab, page):
    run_all(page, lab("02_swings.ipynb"))
    panel = page.locator(".jp-CodeCell").filter(has=page.locator(".widget-slider")).last
    plot = panel.locator(".js-plotly-plot")
    plot.wait_for(timeout=60_000)
    plot.scroll_into_view_if_needed()
    assert "SIMULATED PRICES" in plot.inner_text()
    page.wait_for_timeout(1000)
    shoot(panel, "02_swings_panel")
    before, verdicts = plot.screenshot(), panel.locator(".explained").inner_text()

    handle = panel.locator(".widget-inline-hbox").filter(has_text="decided at").locator(".noUi-handle")
    handle.focus()
    for _ in range(12):
        page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "([node, old]) => node.innerText !== old",
        arg=[panel.locator(".explained").element_handle(), verdicts],
    )
    page.wait_for_timeout(500)
    assert plot.screenshot() != before, "the line of the minute did not move"

    rings = "node => node.data.find(t => t.name === 'passes price range and premium').x.length"
    passed = plot.evaluate(rings)
    premium = panel.locator(".widget-inline-hbox").filter(has_text="min premium").locator(".noUi-handle")
    premium.focus()
    for _ in range(16):
        page.keyboard.press("ArrowLeft")
    page.wait_for_function(
        "([node, old]) => node.data.find(t => t.name === 'passes price range and premium').x.length > old",
        arg=[plot.element_handle(), passed],
    )
    page.wait_for_timeout(500)
    shoot(panel, "02_swings_panel_moved")
    shoot(page, "02_swings_page")


def test_edited_filter_gives_another_year(lab, page):
    run_all(page, lab("03_filters.ipynb"))
    cell = page.locator(".jp-CodeCell").filter(has_text="def near_stop(c)").first
    output = cell.locator(".jp-OutputArea")
    before = output.inner_text()
    cell.locator(".js-plotly-plot").wait_for(timeout=60_000)
    cell.scroll_into_view_if_needed()
    shoot(cell, "03_filters_cell")

    cell.locator(".cm-line", has_text="return c.stop_percent").click()
    page.keyboard.press("End")
    page.keyboard.type(" and c.is_call")
    page.keyboard.press("Control+Enter")
    page.wait_for_function(
        "([node, old]) => { const now = node.querySelector('.jp-OutputArea')?.innerText ?? ''; "
        "return now.includes(' R, net') && now !== old; }",
        arg=[cell.element_handle(), before],
        timeout=KERNEL_MS,
    )
    cell.locator(".js-plotly-plot").wait_for(timeout=60_000)
    page.wait_for_timeout(1000)
    shoot(cell, "03_filters_cell_edited")
    trades = re.compile(r"(\d+) trades")
    assert trades.search(output.inner_text())[1] != trades.search(before)[1]
    assert "SIMULATED PRICES" in output.inner_text()
