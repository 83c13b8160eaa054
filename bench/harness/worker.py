"""The processes that are measured, and how to talk to them."""

import json
import os
import subprocess
import sys
from pathlib import Path

STRIATE = "striate"
# What `bench/loader` reads from: two sources of striate, and the worker processes of a DataLoader.
STORE, FOLDER = "striate-store", "striate-folder"
DATA_LOADERS = {f"data-loader-{workers}": workers for workers in (0, 1, 2)}

PEERS = {
    "eager": [],
    "channels-last": ["--channels-last"],
    "compile": ["--compile"],
    "compile-channels-last": ["--compile", "--channels-last"],
    "sparse": ["--channels-last", "--sparse"],
}


class Failure(Exception):
    """Something to tell the person at the terminal, without a traceback."""


def binary(name: str) -> Path:
    return Path(os.environ["STRIATE_BENCH_BINARIES"]).resolve() / name


def command(variant: str, threads: int) -> list[str]:
    """How the worker of a variant is started."""
    options = ["--threads", str(threads)]
    if variant in (STRIATE, STORE, FOLDER):
        return [str(binary("striate-bench")), *options]
    if variant in DATA_LOADERS:
        return [sys.executable, "-m", "peer.loader", *options, "--workers", str(DATA_LOADERS[variant])]
    return [sys.executable, "-m", "peer.worker", *options, *PEERS[variant]]


class Worker:
    """One variant in a process of its own; idle except while it answers."""

    def __init__(self, variant: str, threads: int) -> None:
        self.variant = variant
        self.process = subprocess.Popen(
            command(variant, threads),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        )

    def ask(self, **request: object) -> dict:
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise Failure(f"the worker `{self.variant}` ended while asked to {request['do']}; its message is above")
        return json.loads(line)

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()
        self.process.terminate()
        self.process.wait()
