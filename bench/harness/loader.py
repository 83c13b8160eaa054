"""Random clips of videos with all that a fit reads of them, scaled and in batches, with a warm page cache: from the store of
`striate convert`, from the recording folder it was made of, and from a PyTorch DataLoader over that folder, in turn."""

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np

import arrays
from harness.product import striate
from harness.ratios import paired
from harness.worker import DATA_LOADERS, FOLDER, STORE, Failure, Worker

SAMPLES, BATCH, BATCHES = 80, 8, 12
HEIGHT, WIDTH, LENGTH = 36, 64, 300
TRIALS, ORACLE = 24, 4
AGREEMENT = 1e-6
OURS = [STORE, FOLDER]

Rounds = dict[str, list[float]]
"""By variant, seconds per batch of each round."""


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/loader", description=__doc__)
    parser.add_argument("--neurons", type=int, default=7800, help="default 7800, as of one mouse of 2023")
    parser.add_argument("--rounds", type=int, default=7, help="turns of every variant (default 7)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="default: all cores")
    return parser.parse_args()


def write_recording(folder: Path, neurons: int) -> None:
    """Noise in the Sensorium 2023 layout: float32, time last."""
    shapes = {"videos": (HEIGHT, WIDTH), "responses": (neurons,), "behavior": (2,), "pupil_center": (2,)}
    random = np.random.default_rng(1)
    for kind, shape in shapes.items():
        (folder / "data" / kind).mkdir(parents=True)
        for trial in range(TRIALS + ORACLE):
            values = random.random((*shape, LENGTH), np.float32)
            np.save(folder / f"data/{kind}/{trial}.npy", values * 255 if kind == "videos" else values)
    for table in ("trials", "neurons"):
        (folder / "meta" / table).mkdir(parents=True)
    np.save(folder / "meta/trials/tiers.npy", np.array(["train"] * TRIALS + ["oracle"] * ORACLE))
    np.save(folder / "meta/trials/target_fps.npy", np.full(TRIALS + ORACLE, 30))
    np.save(folder / "meta/neurons/unit_ids.npy", np.arange(neurons))


def drawn_batches() -> list[list[list[int]]]:
    """Trial and first sample of each clip."""
    random = np.random.default_rng(2)
    starts = random.integers([TRIALS, LENGTH - SAMPLES + 1], size=(BATCHES, BATCH, 2))
    return starts.tolist()


def agree(workers: list[Worker], batches: list, folder: Path) -> None:
    """Every variant makes the same first batch, or nothing is measured."""
    made = {}
    for worker in workers:
        file = folder / f"{worker.variant}.safetensors"
        worker.ask(do="save", clips=batches[0], samples=SAMPLES, file=str(file))
        made[worker.variant] = arrays.load(file)
    expected = made[STORE]
    for variant, streams in made.items():
        for name, values in expected.items():
            theirs = streams[name].reshape(values.shape)
            if not np.allclose(values, theirs, rtol=AGREEMENT, atol=AGREEMENT):
                raise Failure(f"`{name}` of {variant} and of {STORE} differ by {np.abs(values - theirs).max():g}")


def turns(workers: list[Worker], batches: list, rounds: int) -> Iterator[tuple[str, float]]:
    """A B C A B C …; the first round is not counted."""
    for at in range(rounds + 1):
        for worker in workers:
            wall = worker.ask(do="clips", batches=batches, samples=SAMPLES)["wall"]
            if at:
                yield worker.variant, wall


def measure(folder: Path, chosen: argparse.Namespace) -> Rounds:
    recordings = {STORE: folder / "store", FOLDER: folder / "mouse"}
    write_recording(recordings[FOLDER], chosen.neurons)
    striate("convert", str(recordings[FOLDER]), "--out", str(recordings[STORE]))
    batches, rounds = drawn_batches(), {}
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(variant, chosen.threads)) for variant in (*OURS, *DATA_LOADERS)]
        normalisation = None
        for worker in workers:
            path = str(recordings.get(worker.variant, recordings[FOLDER]))
            asked = {"recording": path, "normalisation": normalisation, "batches": batches, "samples": SAMPLES}
            normalisation = worker.ask(do="open", **asked) or normalisation
        agree(workers, batches, folder)
        for variant, wall in turns(workers, batches, chosen.rounds):
            rounds.setdefault(variant, []).append(wall)
    return rounds


def table(rounds: Rounds) -> str:
    peers = {variant: rounds[variant] for variant in DATA_LOADERS}
    lines = ["| source | clips per second | times the best of PyTorch |", "|---|---|---|"]
    for variant, walls in rounds.items():
        cell = ""
        if variant in OURS:
            ratio = paired(walls, peers)
            cell = f"{ratio.value:.1f} ({ratio.quartiles[0]:.1f}–{ratio.quartiles[1]:.1f})"
        lines.append(f"| {variant} | {BATCH / median(walls):.0f} | {cell} |")
    return "\n".join(lines)


def main() -> None:
    chosen = options()
    print(f"{platform.platform()}, {chosen.threads} threads, PyTorch {version('torch')}, {chosen.rounds} rounds")
    size = f"{TRIALS + ORACLE} trials of {LENGTH} samples, {HEIGHT}×{WIDTH} pixels, {chosen.neurons} neurons, float32"
    print(f"{size}; batches of {BATCH} clips of {SAMPLES} samples", flush=True)
    with tempfile.TemporaryDirectory(prefix="striate-loader-") as folder:
        print(table(measure(Path(folder), chosen)))


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(f"error: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
