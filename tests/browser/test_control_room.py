"""The control room in a real browser on a real rehearsal: exchange, session, JupyterLab, and two clicks on KILL."""

import datetime as dt
import os
import re
import signal
import time
from pathlib import Path

import pytest
from jupyter_page import (
    browser_page,
    jupyterlab,
    needs_chromium,
    notebook_copy,
    run_all,
    shoot,
    wait_until_run,
)

from engine.cli.rehearsal import find_day
from engine.cli.rehearsal_processes import exchange_state, log_in, practice_exchange
from engine.history.lake import Lake
from engine.live.control.processes import find_all, session_commands
from engine.live.control.starting import start_session
from engine.live.log.reader import StoreReader
from engine.live.spec import load_session_params, make_spec
from engine.params import load_params

pytestmark = [needs_chromium, pytest.mark.timeout(600)]

DAY = dt.date(2026, 10, 26)  # simulated: a short from 10:02 to 14:10
SPEED = "60"
OPEN_MS = 240_000


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("room")
    (folder / "notebooks").mkdir()
    notebook_copy(
        "11_control_room.ipynb", folder / "notebooks", data_folder=str(folder / "data"), account="practice"
    )
    return folder


@pytest.fixture(scope="module")
def lab(home):
    with jupyterlab(home) as address:
        yield address


@pytest.fixture
def session(home, lab, monkeypatch):
    """A rehearsal that runs: the exchange's own words and the session's spec."""
    lake, params = Lake(home / "data"), load_params()
    entry = find_day(lake, params.underlying, DAY, None)
    folder = home / "exchange"
    folder.mkdir()
    with practice_exchange(lake, entry, params, SPEED, 0, (), 0, folder) as told:
        monkeypatch.setenv("KITE_API_KEY", told["api_key"])
        monkeypatch.setenv("KITE_ACCESS_TOKEN", log_in(told))
        spec = make_spec(
            load_session_params("practice"), date=DAY, data_folder=home / "data", broker_root=told["rest_url"],
            feed_options={"rest_url": told["rest_url"], "ticker_url": told["ticker_url"], "speed": float(SPEED)},
        )  # fmt: skip
        start_session(spec)
        try:
            yield told, spec
        finally:
            alive = find_all(session_commands(spec.places.spec))
            for name in ("supervisor", *(set(alive) - {"supervisor"})):
                if name in alive:
                    alive[name].end(20)


def runner_of(spec):
    return find_all(session_commands(spec.places.spec))["runner"].pid


def test_numbers_move_the_kernel_may_die_and_two_clicks_on_kill_prove_flat(session, lab, home):
    told, spec = session
    with browser_page(1600, 1500) as page:
        run_all(page, lab("11_control_room.ipynb"))
        room = page.locator(".cr-room")
        room.wait_for(timeout=60_000)
        banner = page.locator(".cr-banner[data-mode=practice]")
        banner.wait_for(timeout=60_000)
        assert "SIMULATED PRICES" in banner.inner_text()
        room.scroll_into_view_if_needed()

        # numbers move by themselves
        clock = page.locator(".cr-banner .clock")
        before = clock.inner_text()
        page.wait_for_function(
            "old => document.querySelector('.cr-banner .clock').textContent !== old",
            arg=before,
            timeout=30_000,
        )
        page.get_by_role("button", name=re.compile("^Flatten #")).first.wait_for(timeout=OPEN_MS)
        money = page.locator(".cr-big").first
        before = money.inner_text()
        page.wait_for_function(
            "old => document.querySelector('.cr-big').textContent !== old", arg=before, timeout=30_000
        )
        page.locator(".cr-room .js-plotly-plot").first.wait_for(timeout=30_000)
        page.wait_for_timeout(5000)
        shoot(room, "11_control_room")
        plot = page.locator(".cr-room .js-plotly-plot").last
        assert plot.evaluate("node => node.data.find(t => t.name === 'price').x.length") > 10
        assert plot.evaluate("node => node.data.find(t => t.name === 'sold').x.length") >= 1

        # the kernel dies: the page itself says that its numbers are old; the session does not notice
        runner = runner_of(spec)
        os.kill(kernel_in(home / "notebooks"), signal.SIGKILL)
        page.wait_for_function(
            "() => { const cover = document.querySelector('.cr-silent'); return cover && getComputedStyle(cover).opacity > 0.9 && cover.offsetHeight > 500; }",
            timeout=40_000,
        )
        dismiss(page)
        shoot(room, "11_control_room_kernel_dead")
        assert runner_of(spec) == runner

        # run the cells again and the room is back
        restart(page)
        assert runner_of(spec) == runner
        room.wait_for(timeout=60_000)
        page.get_by_role("button", name=re.compile("^Flatten #")).first.wait_for(timeout=60_000)

        # KILL
        assert not exchange_state(told["rest_url"])["flat"]
        page.get_by_role("button", name="KILL", exact=True).click()
        confirm = page.get_by_role("button", name=re.compile("CONFIRM KILL"))
        confirm.wait_for(timeout=5000)
        shoot(room, "11_control_room_armed")
        confirm.click()
        began = time.monotonic()
        page.locator("[data-kill=done]").wait_for(timeout=120_000)
        seconds = time.monotonic() - began
        assert exchange_state(told["rest_url"])["flat"]
        page.wait_for_timeout(2500)
        shoot(room, "11_control_room_flat")
        bar = page.locator("[data-kill=done]").inner_text()
        assert re.search(r"FLAT, proved in \d+\.\d s", bar), bar
        print(f"KILL to proved flat: {seconds:.1f} s; {bar}")
        with StoreReader(spec.places.database) as reader:
            assert reader.latch().state == "HALTED"
            assert reader.positions() == ()

        # refused with its reason
        page.get_by_role("button", name="Pause entries").click()
        refused = page.locator("[data-answer]", has_text="REFUSED")
        refused.wait_for(timeout=30_000)
        assert "HALTED" in refused.inner_text()
        shoot(page, "11_control_room_page")


def kernel_in(folder) -> int:
    """Process of the kernel that works in a folder."""
    for each in Path("/proc").iterdir():
        try:
            if (
                b"ipykernel" in (each / "cmdline").read_bytes()
                and (each / "cwd").readlink() == folder.resolve()
            ):
                return int(each.name)
        except (OSError, ValueError):
            continue
    pytest.fail(f"no kernel works in {folder}")


def dismiss(page) -> None:
    """Close the box that tells of the kernel's death, if it is there."""
    box = page.locator(".jp-Dialog .jp-mod-accept")
    if box.count():
        box.first.click()


def restart(page) -> None:
    """Restart the kernel and run all cells, as a person does from the menu."""
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.get_by_role("menuitem", name="Restart Kernel and Run All Cells…", exact=True).click()
    page.locator(".jp-Dialog .jp-mod-accept").click()
    page.wait_for_timeout(3000)
    wait_until_run(page)
