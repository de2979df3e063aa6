"""The notebooks in a real JupyterLab in a real browser: widgets move, pictures follow, edited cells answer."""

import re

import pytest
from jupyter_page import KERNEL_MS, browser_page, jupyterlab, needs_chromium, notebook_copy, run_all, shoot

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Address of a JupyterLab whose root holds copies of the notebooks."""
    home = tmp_path_factory.mktemp("lab")
    books = home / "notebooks"
    books.mkdir()
    data = str(home / "data")
    notebook_copy("02_swings.ipynb", books, data_folder=data, start="2026-10-30")
    notebook_copy("03_filters.ipynb", books, data_folder=data, start="2026-10-12")
    with jupyterlab(home) as address:
        yield address


@pytest.fixture
def page():
    with browser_page() as tab:
        yield tab


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
