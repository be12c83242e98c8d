"""VGG16 on photos, beside Keras's ``predict``, PyTorch and OpenVINO; big folders.

Weights are random: they cost as much time as trained ones.
"""

import argparse
import importlib.util
import sys
import tempfile
from pathlib import Path

from side_by_side import run_python, save, take_turns

from helpers.vision import sample_photos
from helpers.vision.photos import list_photos

CONTENDERS = Path(__file__).with_name("vision_contenders.py")
LOOPS = (
    "classifier",
    "predict",
    "predict, photo by photo",
    "PyTorch float32",
    "PyTorch bfloat16",
    "PyTorch bfloat16, channels last",
    "OpenVINO float32",
    "OpenVINO bfloat16",
)
# What a loop needs, by its first word; neither comes with the course.
PACKAGES = {"PyTorch": "torch", "OpenVINO": "openvino"}


def missing(loop: str) -> str | None:
    """Return the package that a loop needs, if it is not installed."""
    needed = PACKAGES.get(loop.split()[0])
    return needed if needed and importlib.util.find_spec(needed) is None else None


def speed(rounds: int) -> list[dict[str, object]]:
    """Measure photos a second in batches of 32, and the time for a single photo."""
    loops = [loop for loop in LOOPS if not missing(loop)]
    for loop in LOOPS:
        if absent := missing(loop):
            print(f"{loop} is skipped: 'pip install {absent}' brings it")
    medians = take_turns(loops, lambda loop: run_python(str(CONTENDERS), "speed", loop), rounds)
    own = medians["classifier"]
    rows = []
    for loop, median in medians.items():
        rows.append(
            {
                "loop": loop,
                "photos_per_second": round(median["photos_per_second"], 1),
                "classifier_is_faster": round(
                    own["photos_per_second"] / median["photos_per_second"], 2
                ),
                "single_photo_ms": round(median["single_ms"], 1),
            }
        )
        print(
            f"{loop:32} {median['photos_per_second']:6.1f} photos/s   "
            f"classifier ×{rows[-1]['classifier_is_faster']:5.2f}   "
            f"a single photo {median['single_ms']:6.1f} ms",
            flush=True,
        )
    return rows


def agreement(rounds: int) -> list[dict[str, object]]:
    """Measure how often the planned precision has the same first class as float32."""
    del rounds  # it is the same every time
    row = run_python(str(CONTENDERS), "agreement")
    print(
        f"same first class as float32: {row['same']:.1%} of {row['pieces']:.0f} pieces of photos "
        f"({row['classes']:.0f} classes, {row['accuracy']:.1%} of them right)"
    )
    return [{key: round(value, 4) for key, value in row.items()}]


def folders(rounds: int) -> list[dict[str, object]]:
    """Measure time and memory for folders of 1,000 and 10,000 photos, decoded from disk."""
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        for count in (1_000, 10_000):
            folder = Path(temporary) / str(count)
            folder.mkdir()
            sources = [Path(str(photo.source)) for photo in list_photos(sample_photos())]
            for number in range(count):
                source = sources[number % len(sources)]
                (folder / f"{number:05}{source.suffix}").symlink_to(source.resolve())
            medians = take_turns(
                [folder.name],
                lambda _, folder=folder: run_python(str(CONTENDERS), "folder", str(folder)),
                min(rounds, 2),
            )
            median = medians[folder.name]
            rows.append({"photos": count} | {key: round(v, 2) for key, v in median.items()})
            print(
                f"{count:6,} photos: {median['seconds']:6.1f} s "
                f"({count / median['seconds']:4.0f} photos/s; decoding alone "
                f"{median['decoding_seconds']:.1f} s, computing alone "
                f"{median['computing_seconds']:.1f} s), {median['peak_mb']:.0f} MB at the most",
                flush=True,
            )
    return rows


TABLES = {"speed": speed, "agreement": agreement, "folders": folders}


def main() -> None:
    """Measure, print the tables and write them to ``benchmarks/results.json``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    arguments = parser.parse_args()
    for name in arguments.tables:
        save("vision", {name: TABLES[name](arguments.rounds)})


if __name__ == "__main__":
    sys.exit(main())
