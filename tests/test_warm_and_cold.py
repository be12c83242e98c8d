"""The same small notebooks show the same, whether their kernels start warm or cold."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbclient.exceptions
import nbformat
import pytest
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

from helpers.warm_kernels.provisioner import ForkedProcess

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only")

PLT = "import matplotlib.pyplot as plt"
NOTEBOOKS = {
    # plots
    "pyplot": (f"{PLT}\nplt.plot([1, 3, 2])\nplt.show()", "plt.hist([1, 1, 2])"),
    "figure": (f"{PLT}\nfig, ax = plt.subplots()\nax.bar([1, 2], [3, 1])", "fig"),
    "two figures": (f"{PLT}\nplt.imshow([[1, 2]])\nplt.figure()\nplt.scatter([1], [2])",),
    "seaborn": ("import seaborn as sns\nsns.set_theme()\nsns.histplot(x=[1, 1, 2]);",),
    "pandas": ("import pandas as pd\npd.DataFrame({'a': [1, 2]}).plot.bar();",),
    "inline": (
        f"%matplotlib inline\n%config InlineBackend.figure_format = 'jpeg'\n{PLT}",
        "plt.plot([2, 1]); print(plt.get_backend(), plt.rcParams['figure.dpi'])",
    ),
    "plot by the course": (
        "from helpers.datasets import load_dataset\nfrom helpers import plots\n"
        "plots.show_images(load_dataset('digits').x_train[:3]);",
    ),
    # environment
    "backend of matplotlib": (
        "import os\nos.environ['MPLBACKEND'] = 'agg'",
        f"{PLT}\nplt.plot([1, 2])\nplt.show()\nprint(plt.get_backend())",
    ),
    "configuration of matplotlib": (
        "%%writefile matplotlibrc\nlines.linewidth: 7\nfigure.figsize: 2, 2\n",
        f"{PLT}\nplt.plot([1, 2])\nprint(plt.rcParams['lines.linewidth'])",
    ),
    "backend of Keras": (
        "%env KERAS_BACKEND=no_such_backend",
        "try:\n    import keras\nexcept Exception as error:\n    print(error)",
    ),
    "a dependency before Keras": (
        "import h5py, sys\nprint([n in sys.modules for n in ('tensorflow', 'keras')])",
        "%env KERAS_BACKEND=no_such_backend",
        "try:\n    import keras\nexcept Exception as error:\n    print(error)",
    ),
    "configuration of Keras": (
        "import json, os\nos.environ['KERAS_HOME'] = os.getcwd()",
        "settings = {'floatx': 'float64', 'backend': 'tensorflow', 'epsilon': 1e-5,\n"
        "            'image_data_format': 'channels_last'}\n"
        "open('keras.json', 'w').write(json.dumps(settings))",
        "import keras, numpy as np\nprint(keras.config.floatx(), keras.config.epsilon())",
        "keras.utils.set_random_seed(0)\n"
        "m = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])\n"
        "m.compile('sgd', 'mse')\nm.fit(np.ones((8, 2)), np.ones(8), verbose=0).history",
    ),
    "oneDNN": (
        "import os\nos.environ['TF_ENABLE_ONEDNN_OPTS'] = '0'",
        "from tensorflow.python.util import _pywrap_util_port\n"
        "print(_pywrap_util_port.IsMklEnabled())",
    ),
    "threads": (
        "import os\nos.environ['OMP_NUM_THREADS'] = '1'",
        "import numpy, sklearn.cluster, threadpoolctl\n"
        "print(sorted((i['user_api'], i['num_threads']) for i in threadpoolctl.threadpool_info()))",
    ),
    "hash seed": ("print(hash('course'))",),
    "umask": ("open('new', 'w').close()\nimport os\nprint(oct(os.stat('new').st_mode))",),
    # Python and IPython
    "modules": (
        "import sys\nprint([n in sys.modules for n in ('numpy', 'matplotlib', 'tensorflow')])",
        "import seaborn\nprint('tensorflow' in sys.modules, __name__, sys.argv[1:0], sys.flags)",
        "import importlib.util\nimport tensorflow as tf\n"
        "print(importlib.util.find_spec('tensorflow').origin == tf.__file__, tf.__spec__.name)\n"
        "print(sorted(n for n in sys.modules if n.startswith('keras'))[:3])",
    ),
    "asyncio": (
        "import asyncio\nawait asyncio.sleep(0)\nprint(type(asyncio.get_running_loop()).__name__)",
    ),
    "multiprocessing": (
        "import multiprocessing as mp\nprint(mp.current_process().name, mp.parent_process())\n"
        "print(mp.get_start_method(allow_none=True))",
        "with mp.get_context('fork').Pool(2) as pool:\n    print(pool.map(abs, [-1, -2]))",
        "import time\nwith mp.get_context('spawn').Pool(1) as pool:\n"
        "    print(pool.apply(pow, (2, 3)))",
    ),
    "magics": (
        "%env A=1\n!echo $A\n%time x = 1\n%timeit -n1 -r1 pass\n%who",
        "%%bash\necho from bash",
        "%history -n",
    ),
    "input": ("try:\n    input('name? ')\nexcept Exception as error:\n    print(repr(error))",),
    "progress": ("from tqdm.auto import tqdm\nfor i in tqdm(range(3)):\n    pass",),
    "widgets": (
        "try:\n    import ipywidgets\n    display(ipywidgets.IntSlider(3))\n"
        "except ImportError as error:\n    print(error)",
    ),
    "warnings": (
        "import warnings\nwarnings.warn('careful')\nwarnings.warn('old', DeprecationWarning)",
        "import numpy as np\nnp.log(np.zeros(1)), np.array([1]) / 0",
        "import sklearn.linear_model, seaborn, logging\nprint(len(logging.root.handlers))",
    ),
    "random numbers": (
        "import random, numpy as np\nrandom.seed(1)\nnp.random.seed(2)\n"
        "print(random.random(), np.random.rand(), np.random.default_rng(3).random())",
        "import keras, tensorflow as tf\nkeras.utils.set_random_seed(4)\n"
        "print(keras.random.normal((2,)).numpy(), tf.random.normal((2,)).numpy())",
    ),
    "an exit": ("import sys\nsys.exit(3)", "print('not reached')"),
    "a dying kernel": ("print('alive', flush=True)", "import os\nos._exit(7)"),
    "an error": ("import numpy as np\nnp.ones((2, 3)) @ np.ones(2)",),
}
STARTED_WITH = {  # by who starts the kernel
    "hash seed": {"PYTHONHASHSEED": "1"},
    "threads": {"OPENBLAS_NUM_THREADS": "1"},
}
STARTS_COLD = {"oneDNN", "hash seed"}


def executed(folder: Path, name: str, warm: bool) -> tuple[list, type]:
    """Return what a notebook shows, and what kind of process its kernel was."""
    folder.mkdir()
    cells = [nbformat.v4.new_code_cell(code) for code in NOTEBOOKS[name]]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbformat.write(notebook, folder / "notebook.ipynb")
    kinds = []

    class Manager(AsyncKernelManager):
        async def start_kernel(self, **options):
            env = os.environ | STARTED_WITH.get(name, {}) | {"COURSE_WARM": str(int(warm))}
            env["JPY_SESSION_NAME"] = str(folder / "notebook.ipynb")
            await super().start_kernel(env=env, cwd=str(folder), **options)
            kinds.append(type(self.provisioner.process))

    client = NotebookClient(
        notebook, kernel_manager_class=Manager, timeout=120, allow_errors=True,
        coalesce_streams=True,  # a line may come in two parts
    )  # fmt: skip
    died = []
    try:
        client.execute()
    except nbclient.exceptions.DeadKernelError as error:
        died = [str(error)]
    return [cell.outputs for cell in notebook.cells] + died, kinds[0]


def alike(outputs: list, folder: Path) -> str:
    """Return outputs as text, without what differs from run to run of the same kernel."""
    text = json.dumps(outputs, indent=1).replace(str(folder), "FOLDER")
    text = re.sub(r'"model_id": "\w+"', '"model_id"', text)
    text = re.sub(r"ipykernel_\d+", "ipykernel", text)
    text = re.sub(r"0x[0-9a-f]+", "ADDRESS", text)
    text = re.sub(r"(?<=/)\d{6,}(?=\.py)", "", text)
    text = re.sub(r"CPU times.*?Wall time: .*?s\b", "TIME", text)
    # Seconds, and rates of iterations.
    return re.sub(r"[\d.?]+ ?(\\u0[03]b[5c]s|[nm]s|s\b|it/s)|\d\d:\d\d", "TIME", text)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_warm_kernel_shows_what_a_cold_one_shows(name, tmp_path, warm_kernels, monkeypatch):
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
    warm, kind = executed(tmp_path / "warm", name, warm=True)
    assert kind is (subprocess.Popen if name in STARTS_COLD else ForkedProcess)
    monkeypatch.setenv("COURSE_WARM", "0")
    cold, kind = executed(tmp_path / "cold", name, warm=False)
    assert kind is subprocess.Popen
    assert alike(warm, tmp_path / "warm") == alike(cold, tmp_path / "cold")
    if name in list(NOTEBOOKS)[:6]:
        assert "image/" in json.dumps(warm)
