"""Striate against PyTorch: the same networks, weights and data, in turn, on this machine."""

import argparse
import json
import os
import platform
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import arrays
from harness import cold_start, table
from harness.definitions import DEFINITIONS, network_arrays
from harness.measure import Task, measure
from harness.product import Product
from harness.ratios import Row, row
from harness.worker import PEERS, STRIATE, Failure

COLD_START = "cold_start"
QUICK_NETWORKS = ["a", "b95", "c", "d1", "e16", "e16x4", COLD_START]
QUICK_PEERS = ["eager", "channels-last", "sparse"]

Rows = dict[str, dict[str, Row]]


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/compare", description=__doc__)
    everything = [*DEFINITIONS, COLD_START]
    parser.add_argument("--networks", type=names(everything), help=f"of {','.join(everything)}; default: all")
    parser.add_argument("--peers", type=names(list(PEERS)), help=f"of {','.join(PEERS)}; default: all")
    parser.add_argument("--rounds", type=int, help="turns of every variant (default 9)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="default: all cores")
    parser.add_argument("--quick", action="store_true", help="miniatures: does it work? Its ratios mean nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the ratios here")
    chosen = parser.parse_args()
    chosen.networks = chosen.networks or (QUICK_NETWORKS if chosen.quick else everything)
    chosen.peers = chosen.peers or (QUICK_PEERS if chosen.quick else list(PEERS))
    chosen.rounds = chosen.rounds or (3 if chosen.quick else 9)
    return chosen


def names(known: list[str]):
    def parse(text: str) -> list[str]:
        chosen = text.split(",")
        for name in chosen:
            if name not in known:
                raise argparse.ArgumentTypeError(f"there is no `{name}`; known are {','.join(known)}")
        return chosen

    return parse


def compare(network: str, chosen: argparse.Namespace, folder: Path) -> dict[str, Row]:
    if network == COLD_START:
        return {"infer": row(cold_start.measure(folder, chosen.rounds, chosen.threads))}
    file = folder / f"{network}.safetensors"
    drawn = network_arrays(network, chosen.quick)
    arrays.save(file, drawn)
    definition = DEFINITIONS[network]
    product = Product.made(folder / network, definition, drawn, chosen.threads)
    variants = [peer for peer in chosen.peers if peer != "sparse" or definition.zeros] + [STRIATE]
    task = Task(network, definition.family, file, variants, chosen.threads, chosen.rounds, product)
    result = measure(task)
    file.unlink()
    return {mode: row(samples) for mode, samples in result.items()}


def write(path: Path, rows: Rows) -> None:
    values = {network: {mode: row.as_json() for mode, row in modes.items()} for network, modes in rows.items()}
    path.write_text(json.dumps(values, indent=2) + "\n")


def main() -> None:
    chosen = options()
    rows: Rows = {}
    print(f"{platform.platform()}, {chosen.threads} threads, PyTorch {version('torch')}, {chosen.rounds} rounds")
    if chosen.quick:
        print("Miniatures: these numbers only show that the comparison works.")
    print(table.HEADER, flush=True)
    with tempfile.TemporaryDirectory(prefix="striate-bench-") as folder:
        for network in chosen.networks:
            rows[network] = compare(network, chosen, Path(folder))
            for mode, measured in rows[network].items():
                print(table.line(network, mode, measured), flush=True)
            if chosen.json:
                write(chosen.json, rows)


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(f"error: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
