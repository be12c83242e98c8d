"""Nothing that does not compute imports what is slow to import."""

import os
import signal
import subprocess
import sys

import pytest

SLOW = ("tensorflow", "keras", "sklearn", "pandas", "matplotlib", "papermill", "nbconvert")


def modules_after(code: str) -> set[str]:
    report = f"import sys\n{code}\nprint('\\n'.join(sys.modules), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", report], capture_output=True, text=True, check=True
    )
    return {line.partition(".")[0] for line in done.stderr.splitlines()}


@pytest.mark.parametrize(
    "code",
    [
        "import helpers",
        "import helpers.runs",
        "import helpers.classroom",
        "from helpers.cli import main; main(['--help'], standalone_mode=False)",
        "from helpers.cli import main; main(['run', '--help'], standalone_mode=False)",
    ],
)
def test_light_imports(code):
    assert not modules_after(code) & set(SLOW)


@pytest.mark.parametrize(
    "module",
    ["datasets", "preprocessing", "plots", "hardware", "environment", "runs.execute"],
)
def test_modules_do_not_import_tensorflow(module):
    assert not modules_after(f"import helpers.{module}") & {"tensorflow", "keras"}


def test_tensorflow_starts_without_notices_and_compiles_anew_without_warnings():
    code = (
        "import helpers, keras, tensorflow as tf; same = tf.function(lambda x: x)\n"
        "for number in range(10): same(number)\n"
        "print(keras.backend.backend())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "tensorflow"
    assert done.stderr == ""


def test_an_import_that_aborts_says_why(tmp_path):
    """As TensorFlow's does on a processor without AVX."""
    (tmp_path / "tensorflow.py").write_text(
        "import os\nos.write(2, b'I0000 a notice\\nThis processor lacks AVX.\\n')\nos.abort()"
    )
    done = subprocess.run(
        [sys.executable, "-c", "import helpers, tensorflow"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == -signal.SIGABRT
    assert done.stderr.strip() == "This processor lacks AVX."
