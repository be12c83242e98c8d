"""A notebook in JupyterLab, in a real browser, as a student opens it."""

import json
import os
import socket
import subprocess
import sys
import time

import psutil
import pytest
import requests

from helpers.files import notebooks_dir


@pytest.fixture
def lab(tmp_path, warm_kernels):
    """Start JupyterLab on a copy of notebook 01 with a little data."""
    name = "01_load_data.ipynb"
    content = json.loads((notebooks_dir() / name).read_text(encoding="utf-8"))
    for cell in content["cells"]:
        if "parameters" in cell["metadata"].get("tags", []):
            source = "".join(cell["source"])
            cell["source"] = source.replace('"mnist"', '"digits"')
        if cell["cell_type"] == "code":
            cell.update(outputs=[], execution_count=None)
    own_plot = "import matplotlib.pyplot as plt\nplt.plot([1, 3, 2]);"
    content["cells"].append(
        {"cell_type": "code", "source": own_plot, "metadata": {}, "outputs": [],
         "execution_count": None, "id": "own-plot"}
    )  # fmt: skip
    (tmp_path / name).write_text(json.dumps(content), encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", f"--port={port}", "--allow-root",
        "--IdentityProvider.token=", "--LabApp.expose_app_in_browser=True",
        f"--ServerApp.root_dir={tmp_path}", "--ServerApp.disable_check_xsrf=True",
    ]  # fmt: skip
    log = (tmp_path / "lab.log").open("w")
    own = {f"JUPYTER_{kind}_DIR": str(tmp_path / kind) for kind in ("CONFIG", "DATA", "RUNTIME")}
    server = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **own})
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        wait_until_warm(server.pid, f"http://127.0.0.1:{port}/api/kernels")
        yield f"http://127.0.0.1:{port}/lab/tree/{name}?reset"
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


def test_run_all_cells(browser, lab, tmp_path):
    browser.get(lab)
    # A headless browser has no focus, so the notebook has to be looked up and activated.
    panel = (
        "const lab = window.jupyterapp; if (!lab) return false;"
        " const p = [...lab.shell.widgets('main')].find(w => w.sessionContext);"
    )
    wait_for(browser, panel + "return p?.sessionContext?.session?.kernel?.status === 'idle'", 90)
    browser.find_element("css selector", ".jp-Notebook .jp-MarkdownOutput").click()
    browser.execute_script(panel + "lab.shell.activateById(p.id)")
    wait_for(browser, panel + "return lab.commands.isEnabled('notebook:run-all-cells')", 10)
    browser.execute_script("window.jupyterapp.commands.execute('notebook:run-all-cells')")
    last = (
        panel + "const c = p.content.model.toJSON().cells; return c.length > 0 &&"
        " c[c.length - 1].outputs.length > 0 && c"
    )
    cells = wait_for(browser, last, 120)
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    assert [o for o in outputs if o["output_type"] == "error"] == []
    text = "\n".join("".join(o.get("text", "")) for o in outputs)
    assert text.count("✓") >= 5
    assert "✗" not in text
    assert any("image/png" in o.get("data", {}) for o in cells[-1]["outputs"])
    wait_for(
        browser,
        "const i = document.querySelector('.jp-OutputArea-output img');"
        " return i && i.complete && i.naturalWidth > 100",
        20,
    )
    browser.save_screenshot(str(tmp_path / "lab.png"))
