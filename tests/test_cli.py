"""The course command: one line for an expected error, an exit status that can be trusted."""

import hashlib
import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from stand_in import write_weights

from helpers import environment, hardware
from helpers.cli import main
from helpers.files import notebooks_dir
from helpers.vision import weights


def course(*arguments, **options):
    return CliRunner().invoke(main, list(map(str, arguments)), **options)


def refusal(*arguments, status=1) -> str:
    result = course(*arguments)
    assert result.exit_code == status
    assert result.output.startswith("Error: ")
    assert result.output.count("\n") == 1
    return result.output


def test_help_lists_the_commands():
    output = course("--help").output
    assert all(command in output for command in ("check", "data", "run"))


@pytest.mark.parametrize(
    "wrong", [["rum"], ["--rum"], ["run", "--jobs", "none"], ["data", "fetch"]]
)
def test_a_wrong_command_is_told_in_a_line(wrong):
    assert "--help)" in refusal(*wrong, status=2)


def test_a_long_value_is_cut_short_but_not_what_was_expected():
    said = refusal("run", "05", "-p", f"epochs={'A' * 9999}")
    assert len(said) < 700
    assert said.startswith("Error: 05_convolutional_networks.ipynb: epochs='AAA")
    assert said.endswith("expected int, such as 4\n")


def test_a_group_shows_its_commands():
    output = course("data").output
    assert output.startswith("Usage: ")
    assert "fetch" in output


def test_check_passes_here():
    result = course("check")
    assert result.exit_code == 0, result.output
    for subject in (
        "Python",
        "tensorflow",
        "kernel",
        "processor",
        "GPU",
        "memory",
        "disk",
        "mnist",
    ):
        assert f"[OK]   {subject}" in result.output or f"[OK]   data {subject}" in result.output


def test_check_as_json():
    findings = json.loads(course("check", "--json").output)
    assert {"subject", "ok", "found", "fix"} == set(findings[0])


def test_check_fails_with_a_fix(monkeypatch):
    monkeypatch.setenv("COURSE_REQUIRE_GPU", "1")
    monkeypatch.setattr(hardware, "_gpus", lambda: ())
    result = course("check")
    assert result.exit_code == 1
    assert "[FAIL] GPU: none" in result.output
    assert "fix: COURSE_REQUIRE_GPU is set" in result.output


def test_gpu_without_cuda_packages_is_told(monkeypatch):
    monkeypatch.setattr(hardware, "_gpus", lambda: ("NVIDIA T4",))
    finding = next(f for f in environment.check_environment() if f.subject == "GPU")
    assert not finding.ok
    assert "[gpu]" in finding.fix


def test_missing_package_is_told(monkeypatch):
    needed = ["no-such-package>=2", "numpy>=99"]
    monkeypatch.setattr(environment.importlib.metadata, "requires", lambda _: needed)
    findings = {f.subject: f for f in environment.check_environment()}
    assert (findings["no-such-package"].ok, findings["no-such-package"].found) == (False, "missing")
    assert not findings["numpy"].ok
    assert ">=99 is needed" in findings["numpy"].fix


def test_damaged_data_is_told(tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "mnist.npz").write_bytes(b"not a zip")
    result = course("check")
    assert result.exit_code == 1
    assert (
        "[FAIL] data mnist: $COURSE_CACHE: mnist.npz: the archive is corrupt or truncated"
        in result.output
    )
    assert "course data fetch mnist" in result.output


def test_data_list():
    output = course("data", "list").output
    assert "mnist" in output
    assert "not here (170 MB to download)" in output
    assert "iris" in output
    (languages,) = (line for line in output.splitlines() if line.startswith("languages"))
    assert languages.endswith("comes with Babel")


def test_data_fetch(course_data):
    result = course("data", "fetch", "mnist", "iris")
    assert result.exit_code == 0
    assert result.output == ("mnist: $COURSE_DATA/mnist.npz\niris: comes with scikit-learn\n")


def test_data_fetch_refusals():
    assert "Did you mean 'cifar10'?" in refusal("data", "fetch", "cifar")
    assert "COURSE_OFFLINE" in refusal("data", "fetch", "mnist", status=3)


def test_data_verify(course_data, tmp_path):
    assert course("data", "verify", "mnist").exit_code == 0
    (tmp_path / "cache").mkdir()
    content = (course_data / "mnist.npz").read_bytes()
    (tmp_path / "cache" / "mnist.npz").write_bytes(content[:-1000])
    result = course("data", "verify")
    assert result.exit_code == 1
    assert "mnist: $COURSE_CACHE: mnist.npz" in result.output
    assert "$COURSE_DATA/mnist.npz is good" in result.output


def test_data_verify_of_what_is_not_here():
    assert course("data", "verify").exit_code == 0
    assert course("data", "verify", "mnist").exit_code == 1


def test_weights_are_data(server, monkeypatch, tmp_path):
    """They are fetched (resumed), listed, verified, and found by ``course check``."""
    server.content = b"numbers" * 50_000
    entry = weights.known()["vgg16"] | {
        "file": "own.h5", "bytes": len(server.content), "title": "A network",
        "digest": hashlib.md5(server.content).hexdigest(), "network": "Own",
    }  # fmt: skip
    monkeypatch.setattr(weights, "known", lambda: {"own": entry})
    assert "own: not here" in course("data", "verify").output
    said = refusal("data", "fetch", "own", status=3)
    assert "The weights of Own are not on this machine" in said
    assert "(0 MB to download)" in course("data", "list").output

    monkeypatch.delenv("COURSE_OFFLINE")
    monkeypatch.setenv("COURSE_MIRROR", server.url)
    server.drop_after = 200_000
    assert course("data", "fetch", "own").stdout == "own: $COURSE_CACHE/models/own.h5\n"
    assert server.requests[0] == ""
    assert server.requests[1].startswith("bytes=")
    for command in (("data", "list"), ("data", "verify", "own"), ("check",)):
        assert "$COURSE_CACHE/models/own.h5" in course(*command).output
    assert course("data", "verify", "own").exit_code == 0
    (tmp_path / "cache" / "models" / "own.h5").write_bytes(b"half")
    damaged = course("data", "verify")
    assert damaged.exit_code == 1
    assert "own: $COURSE_CACHE/models/own.h5: own.h5" in damaged.output


def test_check_says_where_weights_were_looked_for():
    output = course("check").output
    assert "weights vgg16: not here; 'course data fetch vgg16' downloads 553 MB" in output
    assert "$COURSE_CACHE/models (no such folder), $KERAS_HOME/models (no such folder)" in output


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["01", "-p", "n_sample=5"], ["not a parameter of 01_load_data.ipynb", "'n_samples'"]),
        (["-p", "nonsense=5"], ["not a parameter of the chosen notebooks"]),
        (["01", "-p", "n_samples=many"], ["n_samples='many'", "expected Optional[int]"]),
        (["01", "-p", "n_samples"], ["expected -p NAME=VALUE"]),
        (["01", "-p", "seed=1", "-p", "seed=2"], ["given twice"]),
        (["99"], ["is no notebook", "01_load_data"]),
        (["0"], ["fits", "notebooks"]),
        (["absent.ipynb"], ["is no notebook"]),
        (["01", "01"], ["given twice"]),
    ],
)
def test_run_refuses_before_anything_starts(tmp_path, arguments, parts):
    message = refusal("run", *arguments, "--out", tmp_path / "out")
    for part in parts:
        assert part in message
    assert not (tmp_path / "out").exists()


def test_debug_shows_the_traceback():
    result = course("--debug", "run", "99")
    assert result.exception is not None
    assert type(result.exception).__name__ == "CourseError"


def test_run_of_a_notebook(tmp_path, warm_kernels):
    """The first notebook on its smallest data, through the installed command."""
    out = tmp_path / "out with spaces"
    done = subprocess.run(
        [sys.executable, "-m", "helpers", "run", "01", "--fast", "-p", "dataset=digits",
         "-p", "n_samples=200", "--out", str(out)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"Report: {out / 'index.html'}" in done.stdout
    assert "Traceback" not in done.stderr
    (row,) = json.loads((out / "results.json").read_text())
    assert (row["status"], row["dataset"]) == ("succeeded", "digits")
    assert row["parameters"] == {"n_samples": 200, "dataset": "digits"}
    assert row["metrics"]["n_train"] == 200
    page = (out / "index.html").read_text(encoding="utf-8")
    assert (
        page.index("<h1>") < page.index('alt="Ten images and their labels') < page.index("<table")
    )
    html = (out / "01_load_data.html").read_text(encoding="utf-8")
    assert 'alt="Ten images and their labels' in html


def test_student_edition(tmp_path):
    out = tmp_path / "class"
    result = course("student", out)
    assert result.exit_code == 0, result.output
    assert f"begin with {out / 'index.ipynb'}" in result.output
    assert (out / "exercises" / "01_exercises.ipynb").is_file()
    assert not (out / "solutions").exists()
    assert "is not empty; expected the name of a new folder" in refusal("student", out)


def test_a_new_experiment_is_a_copy_that_is_never_written_over(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = course("new", "mine")
    assert first.exit_code == 0
    assert "course sweep mine.ipynb" in first.output
    text = (tmp_path / "mine.ipynb").read_text(encoding="utf-8")
    assert not any(cell.get("outputs") for cell in json.loads(text)["cells"])
    again = course("new", "mine.ipynb")
    assert again.exit_code == 1
    assert "is there already" in again.output
    assert (tmp_path / "mine.ipynb").read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    ("dataset", "network", "extra"),
    [("digits", "cnn", ["-p", "augment=true"]), ("digits", "rnn", ["-p", "layers=[12]"]),
     ("iris", "mlp", ["-p", "layers=[9,8]", "-p", "l2=0.001"])],
)  # fmt: skip
def test_the_experiment_takes_images_sequences_and_tables(
    tmp_path, warm_kernels, dataset, network, extra
):
    result = course("run", "train_classifier", "-p", f"dataset={dataset}", "-p", "n_samples=150",
                    "-p", f"network={network}", *extra, "--out", str(tmp_path))  # fmt: skip
    assert result.exit_code == 0, result.output
    (row,) = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert {"val_accuracy", "val_loss", "test_accuracy", "test_loss"} <= set(row["metrics"])
    assert row["dataset"] == dataset


def test_run_on_your_own_data(tmp_path, warm_kernels):
    rng = np.random.default_rng(0)
    y = np.arange(120) % 3
    x = (rng.integers(0, 60, (120, 9, 9)) + 80 * y[:, None, None]).astype(np.uint8)
    np.savez(tmp_path / "own.npz", x_train=x, y_train=y, x_test=x[:30], y_test=y[:30])
    own = f"dataset={tmp_path / 'own.npz'}"
    result = course(
        "run",
        "train_classifier",
        "-p",
        own,
        "-p",
        "epochs=40",
        "-p",
        "batch_size=8",
        "--out",
        tmp_path / "out",
    )
    assert result.exit_code == 0, result.output
    (row,) = json.loads((tmp_path / "out" / "results.json").read_text())
    assert row["dataset"] == "own"
    assert row["metrics"]["test_accuracy"] > 0.6


def test_own_photos_with_own_weights(tmp_path, warm_kernels):
    """Lesson 07 on two folders of photos, one of them broken, with weights from a file."""
    rng = np.random.default_rng(0)
    for level, name in ((40, "dark"), (180, "bright")):
        (tmp_path / "own" / name).mkdir(parents=True)
        for number in range(4):
            pixels = rng.integers(level - 40, level + 40, (80, 100, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "own" / name / f"{number}.png")
    (tmp_path / "own" / "dark" / "text.png").write_text("no photo")
    weights = write_weights(tmp_path / "mine.h5", keras.applications.MobileNet(weights=None))
    result = course(
        "run", "07", "--fast", "-p", f"images={tmp_path / 'own'}", "-p", f"weights={weights}",
        "-p", "architecture=MobileNet", "-p", "batch_size=4", "--out", tmp_path / "out",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    (row,) = json.loads((tmp_path / "out" / "results.json").read_text())
    assert row["dataset"] == "own"
    assert (row["metrics"]["weights"], row["metrics"]["n_photos"]) == ("mine.h5", 8)
    page = (tmp_path / "out" / "07_pretrained_networks.html").read_text(encoding="utf-8")
    assert "1 of 9 photos skipped" in page


def test_notebooks_are_found():
    assert (notebooks_dir() / "01_load_data.ipynb").is_file()
