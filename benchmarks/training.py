"""The training loop on MNIST, beside Keras's ``fit`` and PyTorch.

Three tables: images a second and test accuracy after equal epochs; the time from the start of a
process to 99% test accuracy; how time grows with the data, and memory with a stream.
"""

import argparse
import importlib.util
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from loading import make_folder
from side_by_side import run_python, save, take_turns

CONTENDERS = Path(__file__).with_name("contenders.py")
NETWORKS = ("cnn", "lstm", "dense")
LOOPS = (
    *("train", "fit", "fit, tf.data", "fit, tf.data, XLA", "fit, tf.data, bfloat16", "fit, oneDNN"),
    *("PyTorch float32", "PyTorch bfloat16"),
)
HAS_TORCH = importlib.util.find_spec("torch") is not None
MULTIPLES = (1, 2, 4, 8)


def speed(rounds: int, loops: Sequence[str] = LOOPS) -> list[dict[str, object]]:
    """Measure loops, ``train`` among them, on every network."""
    loops = [name for name in loops if HAS_TORCH or not name.startswith("PyTorch")]
    rows = []
    for network in NETWORKS:
        # XLA compiles a convolution for the CPU to something ten times slower.
        sensible = [name for name in loops if network != "cnn" or "XLA" not in name]
        by = lambda loop, network=network: run_python(str(CONTENDERS), network, loop)  # noqa: E731
        medians = take_turns(sensible, by, rounds)
        own = medians["train"]["images_per_second"]
        for loop, median in medians.items():
            ratio = own / median["images_per_second"]
            rows.append(
                {
                    "network": network,
                    "loop": loop,
                    "images_per_second": round(median["images_per_second"]),
                    "range": [round(v) for v in median["images_per_second range"]],
                    "train_is_faster": round(ratio, 2),
                    "test_accuracy": round(median["accuracy"], 4),
                }
            )
            print(
                f"{network:6} {loop:17} {median['images_per_second']:9,.0f} images/s   "
                f"train ×{ratio:5.2f}   accuracy {median['accuracy']:.4f}",
                flush=True,
            )
    return rows


def time_to_accuracy(rounds: int) -> list[dict[str, object]]:
    """Measure the seconds from the start of a process to 99% on the test set."""
    medians = take_turns(
        ("train", "fit"), lambda loop: run_python(str(CONTENDERS), "to 99%", loop), rounds
    )
    rows = []
    for loop, median in medians.items():
        ratio = median["seconds"] / medians["train"]["seconds"]
        row = {"loop": loop, "times_train": round(ratio, 2)}
        own = {key: value for key, value in median.items() if "range" not in key}
        rows.append(row | {key: round(value, 4) for key, value in own.items()})
        print(
            f"to 99%  {loop:6} {median['seconds']:6.1f} s  ×{ratio:5.2f}   "
            f"{median['epochs']:.0f} epochs, accuracy {median['accuracy']:.4f}",
            flush=True,
        )
    return rows


def growth(rounds: int) -> list[dict[str, object]]:
    """Measure an epoch of 1, 2, 4 and 8 times the data; and the memory of streams as long."""
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        for multiple in MULTIPLES:
            make_folder(Path(temporary) / str(multiple), 2000 * multiple)
        steps = [f"arrays {m}" for m in MULTIPLES] + [f"stream {m}" for m in MULTIPLES]
        medians = take_turns(
            steps, lambda step: run_python(str(CONTENDERS), "growth", step, temporary), rounds
        )
    for step, median in medians.items():
        kind, multiple = step.split()
        first = medians[f"{kind} 1"]
        linear = median["seconds"] / first["seconds"] / int(multiple)
        rows.append(
            {
                "data": kind,
                "multiple": int(multiple),
                "seconds": round(median["seconds"], 2),
                "of_linear": round(linear, 2),
                "peak_mb": round(median["peak_mb"]),
            }
        )
        print(
            f"{kind} ×{multiple}  {median['seconds']:6.2f} s an epoch, {linear:4.2f} of linear   "
            f"{median['peak_mb']:6.0f} MB",
            flush=True,
        )
    return rows


TABLES = {"speed": speed, "time_to_99": time_to_accuracy, "growth": growth}


def main() -> None:
    """Measure, print the tables and write them to ``benchmarks/results.json``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--loops", nargs="+", choices=LOOPS, default=LOOPS, help="of 'speed'")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    arguments = parser.parse_args()
    if not HAS_TORCH:
        print("PyTorch is not installed: its rows are skipped ('pip install torch' brings them)")
    for name in arguments.tables:
        more = {"loops": arguments.loops} if name == "speed" else {}
        save("training", {name: TABLES[name](arguments.rounds, **more)})


if __name__ == "__main__":
    sys.exit(main())
