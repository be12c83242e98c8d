"""Loading data, beside what a student would otherwise write.

Memory is the peak of the process.
"""

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from side_by_side import run_python, save, take_turns

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

CASES = {
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

            def measure(name: str, contenders: dict = contenders) -> dict[str, float]:
                setup, code = contenders[name]
                return run_python("-c", MEASURE.format(setup=setup, code=code), str(folder))

            medians = take_turns(contenders, measure, arguments.rounds)
            own = medians["helpers"]["seconds"]
            for name, median in medians.items():
                seconds, peak = median["seconds"], median["peak_mb"]
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
    save("loading", {"images": arguments.images, "rows": rows})


if __name__ == "__main__":
    main()
