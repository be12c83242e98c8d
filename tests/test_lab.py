"""Notebooks in JupyterLab, in a real browser, as a student opens them."""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time

import psutil
import pytest
import requests
from selenium.webdriver import ActionChains, Keys

from helpers.files import notebooks_dir
from helpers.runs.plan import fast_profile

PANEL = (
    "const lab = window.jupyterapp; if (!lab) return false;"
    " const p = [...lab.shell.widgets('main')].find(w => w.sessionContext);"
)


def prepared(name, parameters):
    """Return a lesson without outputs, with other parameters, and a plot of plain matplotlib."""
    content = json.loads((notebooks_dir() / f"{name}.ipynb").read_text(encoding="utf-8"))
    for cell in content["cells"]:
        source = "".join(cell["source"])
        if "parameters" in cell["metadata"].get("tags", []):
            for parameter, value in parameters.items():
                line = rf"^({parameter}: .+? = )\S+"
                source = re.sub(line, rf"\g<1>{value!r}", source, flags=re.MULTILINE)
            cell["source"] = source
        if cell["cell_type"] == "code":
            cell.update(outputs=[], execution_count=None)
    own_plot = "import matplotlib.pyplot as plt\nplt.plot([1, 3, 2]);"
    content["cells"].append(
        {"cell_type": "code", "source": own_plot, "metadata": {}, "outputs": [],
         "execution_count": None, "id": "own-plot"}
    )  # fmt: skip
    return json.dumps(content)


@contextlib.contextmanager
def jupyterlab(folder):
    """Start JupyterLab on a folder, and wait until its kernels are warm."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", f"--port={port}", "--allow-root",
        "--IdentityProvider.token=", "--LabApp.expose_app_in_browser=True",
        f"--ServerApp.root_dir={folder}", "--ServerApp.disable_check_xsrf=True",
    ]  # fmt: skip
    log = (folder / "lab.log").open("w")
    own = {f"JUPYTER_{kind}_DIR": str(folder / kind) for kind in ("CONFIG", "DATA", "RUNTIME")}
    server = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **own})
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        wait_until_warm(server.pid, f"http://127.0.0.1:{port}/api/kernels")
        yield f"http://127.0.0.1:{port}/lab/tree/"
    finally:
        server.terminate()
        server.wait(30)
        log.close()


def wait_until_warm(server: int, kernels: str) -> None:
    """Start kernels until one of them is no child of the server."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        kernel = requests.post(kernels, json={"name": "python3"}, timeout=60).json()
        forked = [p for c in psutil.Process(server).children() for p in c.children()]
        requests.delete(f"{kernels}/{kernel['id']}", timeout=60)
        if forked:
            return
        time.sleep(1)
    raise AssertionError("no kernel of the server was forked")


def wait_for(browser, script: str, seconds: float):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (found := browser.execute_script(script)) not in (None, False):
            return found
        time.sleep(0.2)
    raise AssertionError(f"not within {seconds} s: {script}")


def run_all_cells(browser, url, seconds):
    """Open a notebook, run all its cells, and return them."""
    browser.get(url)
    # A headless browser has no focus, so the notebook has to be looked up and activated.
    wait_for(browser, PANEL + "return p?.sessionContext?.session?.kernel?.status === 'idle'", 90)
    browser.find_element("css selector", ".jp-Notebook .jp-MarkdownOutput").click()
    browser.execute_script(PANEL + "lab.shell.activateById(p.id)")
    wait_for(browser, PANEL + "return lab.commands.isEnabled('notebook:run-all-cells')", 10)
    browser.execute_script("window.jupyterapp.commands.execute('notebook:run-all-cells')")
    last = (
        PANEL + "const c = p.content.model.toJSON().cells; return c.length > 0 &&"
        " c[c.length - 1].outputs.length > 0 && c"
    )
    return wait_for(browser, last, seconds)


def in_cell(browser, text, selector, seconds=60):
    """Scroll to the first code cell with this text; return what a CSS selector names in it.

    JupyterLab makes cells anew as they come into sight, so they are looked up each time.
    """
    cell = (
        PANEL + "const i = p.content.widgets.findIndex(w => w.model.type === 'code' &&"
        f" w.model.sharedModel.source.includes({text!r}));"
    )
    find = cell + f"return p.content.widgets[i].node.querySelector({selector!r})"
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        browser.execute_script(cell + "p.content.activeCellIndex = i; p.content.scrollToItem(i)")
        time.sleep(1)  # it scrolls
        with contextlib.suppress(AssertionError):
            return wait_for(browser, find, 5)
    raise AssertionError(f"no {selector} in the cell with {text}")


LESSONS = {
    "01_load_data": {"dataset": "digits"},
    "05_convolutional_networks": {"dataset": "digits"},
    "06_recurrent_networks": {"dataset": "digits"},
}


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_in_jupyterlab(browser, name, tmp_path, warm_kernels):
    parameters = fast_profile()[name] | LESSONS[name]
    (tmp_path / f"{name}.ipynb").write_text(prepared(name, parameters), encoding="utf-8")
    with jupyterlab(tmp_path) as lab:
        cells = run_all_cells(browser, f"{lab}{name}.ipynb?reset", 300)
        outputs = [output for cell in cells for output in cell.get("outputs", [])]
        assert [o for o in outputs if o["output_type"] == "error"] == []
        text = "\n".join("".join(o.get("text", "")) for o in outputs)
        assert text.count("✓") >= 5
        assert "✗" not in text
        assert any("image/png" in o.get("data", {}) for o in cells[-1]["outputs"])
        if name.startswith("05"):
            draw_on_the_pad(browser)
            move_a_slider(browser, "@interact(place=")
        elif name.startswith("06"):
            move_a_slider(browser, "@interact(word=")
        else:
            wait_for(
                browser,
                "const i = document.querySelector('.jp-OutputArea-output img');"
                " return i && i.complete && i.naturalWidth > 100",
                20,
            )
        browser.save_screenshot(str(tmp_path / "lab.png"))


def draw_on_the_pad(browser):
    """Draw a one with the mouse, and wait for the network's answer."""
    pad = "DrawingPad(lambda"
    assert "Draw a digit here" in in_cell(browser, pad, ".jp-OutputArea").text
    hand = ActionChains(browser, duration=30)
    hand.move_to_element_with_offset(in_cell(browser, pad, "canvas"), 0, -90).click_and_hold()
    for _ in range(9):
        hand.move_by_offset(0, 20)
    hand.release().perform()
    deadline = time.monotonic() + 30
    while "%" not in (answer := in_cell(browser, pad, ".jp-OutputArea").text):
        assert time.monotonic() < deadline, answer
    assert re.search(r"\d: \d+%, \d: \d+%, \d: \d+%", answer)
    seen = in_cell(browser, pad, ".jp-OutputArea img")
    assert browser.execute_script("return arguments[0].naturalWidth", seen) == 140


def move_a_slider(browser, text):
    """Press a key on the first slider of a cell: its picture changes."""
    image = ".jp-OutputArea-output img"
    picture = in_cell(browser, text, image).get_attribute("src")
    in_cell(browser, text, ".noUi-handle").send_keys(Keys.ARROW_RIGHT)
    deadline = time.monotonic() + 20
    while in_cell(browser, text, image).get_attribute("src") == picture:
        assert time.monotonic() < deadline, "the picture did not change"
