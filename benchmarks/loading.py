"""Loading and describing data, beside what a student would otherwise write.

Each contender runs in a process of its own, the contenders take turns, and medians are compared:
timings on a shared machine are noisy, ratios within one run are less so. Memory is the peak of the
process. Run it with ``make bench``; nothing else should compute meanwhile.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from helpers.files import ROOT, write_atomically
from helpers.hardware import detect

RESULTS = ROOT / "benchmarks" / "results.json"

MEASURE = """
import json, resource, sys, time
folder = sys.argv[1]
{setup}
start = time.perf_counter()
{code}
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({{"seconds": seconds, "peak_mb": peak}}))
"""

IMAGES = """
import numpy as np
x = np.random.default_rng(0).integers(0, 256, (60_000, 28, 28)).astype(np.uint8)
"""

CASES = {
    "describe 60,000 images": {
        "helpers": (
            IMAGES + "from helpers.statistics import describe, find_duplicates\n"
            "from helpers.preprocessing import moments",
            "describe(x); moments(x); find_duplicates(x)",
        ),
        "NumPy in float64": (
            IMAGES,
            "f = x.astype(float); f.mean(), f.std(), f.min(), f.max(), "
            "np.quantile(f, [.25, .5, .75]); f.mean(axis=0), f.std(axis=0); "
            "np.unique(x.reshape(len(x), -1), axis=0)",
        ),
    },
    "load a folder of images": {
        "helpers": (
            "from helpers.datasets import load_dataset",
            "data = load_dataset(folder, progress=False)",
        ),
        "Pillow in a loop": (
            "import numpy as np\nfrom pathlib import Path\nfrom PIL import Image",
            "paths = sorted(Path(folder).rglob('*.jpg'))\n"
            "x = np.array([np.asarray(Image.open(p).convert('RGB')) for p in paths])",
        ),
        "helpers, streaming": (
            "from helpers.datasets import load_dataset\nimport tensorflow",
            "stream = load_dataset(folder, streaming=True, batch_size=128)\n"
            "for batch in stream.train: pass",
        ),
    },
}


def make_folder(folder: Path, count: int) -> None:
    """Write ``count`` photos of 64×64 pixels: some hundred real files, linked many times."""
    rng = np.random.default_rng(0)
    for label in range(10):
        (folder / f"class {label}").mkdir(parents=True)
        originals = []
        for index in range(20):
            smooth = rng.integers(0, 256, (8, 8, 3)).astype(np.uint8)
            original = folder / f".{label}-{index}.jpg"
            Image.fromarray(smooth).resize((64, 64)).save(original, quality=90)
            originals.append(original)
        for index in range(count // 10):
            os.link(originals[index % 20], folder / f"class {label}" / f"{index}.jpg")


def measure(setup: str, code: str, folder: Path) -> dict[str, float]:
    """Run one contender in a new process."""
    script = MEASURE.format(setup=setup, code=code)
    command = [sys.executable, "-c", script, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure every case and write the table to ``benchmarks/results.json``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=50_000, help="size of the folder")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "photos"
        make_folder(folder, arguments.images)
        for case, contenders in CASES.items():
            runs: dict[str, list[dict[str, float]]] = {name: [] for name in contenders}
            for _ in range(arguments.rounds):
                for name, (setup, code) in contenders.items():
                    runs[name].append(measure(setup, code, folder))
            own = statistics.median(run["seconds"] for run in runs["helpers"])
            for name, measured in runs.items():
                seconds = statistics.median(run["seconds"] for run in measured)
                peak = statistics.median(run["peak_mb"] for run in measured)
                rows.append(
                    {
                        "case": case,
                        "contender": name,
                        "seconds": round(seconds, 2),
                        "times_helpers": round(seconds / own, 2),
                        "peak_mb": round(peak),
                    }
                )
                print(
                    f"{case:26} {name:20} {seconds:7.2f} s  ×{seconds / own:5.2f}  {peak:6.0f} MB"
                )
    machine = detect()
    report = {"cpu": machine.cpu, "cores": machine.cores, "images": arguments.images, "rows": rows}
    write_atomically(RESULTS, json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
