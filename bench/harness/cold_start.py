"""From nothing to the first prediction: a fresh process each time, program start included."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from harness.measure import Samples
from harness.worker import STRIATE, Failure, binary

TOLERANCE = 1e-4


def measure(folder: Path, rounds: int, threads: int) -> dict[str, Samples]:
    """`striate predict` and the same network in PyTorch, in turn."""
    commands = prepare(folder, threads)
    for command in commands.values():
        once(command, threads)
    agree(folder)
    samples = {variant: Samples() for variant in commands}
    for _ in range(rounds):
        for variant, command in commands.items():
            wall, cpu, peak = once(command, threads)
            samples[variant].wall.append(wall)
            samples[variant].cpu.append(cpu)
            samples[variant].peak = max(samples[variant].peak, peak)
    return samples


def prepare(folder: Path, threads: int) -> dict[str, list[str]]:
    """Makes a run and an image; the command of each side."""
    demo, stack = folder / "demo", folder / "stack.npy"
    once([str(binary("striate")), "demo", "--quiet", "--out", str(demo)], threads)
    np.save(stack, np.random.default_rng(1).standard_normal((1, 1, 24, 24)).astype(np.float32))
    run, out = str(demo / "run"), lambda variant: str(folder / f"{variant}.npy")
    predict = [str(binary("striate")), "predict", run, "--data", str(stack), "--out", out(STRIATE), "--quiet"]
    return {
        "eager": [sys.executable, "-m", "peer.cold", run, str(stack), out("eager")],
        STRIATE: [*predict, "--threads", str(threads)],
    }


def once(command: list[str], threads: int) -> tuple[float, float, int]:
    """Wall seconds, CPU seconds and peak bytes of one process."""
    start = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": str(threads)}
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise Failure(f"`{' '.join(command[:3])}` ended with exit code {process.returncode}; its message is above")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def agree(folder: Path) -> None:
    ours, theirs = (np.load(folder / f"{variant}.npy") for variant in (STRIATE, "eager"))
    if ours.shape != theirs.shape or np.abs(ours - theirs).max() > TOLERANCE * np.abs(theirs).max():
        raise Failure("cold start: striate and PyTorch predict different responses, so nothing is compared")
