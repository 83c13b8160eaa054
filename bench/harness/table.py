"""The table for people: Markdown, as docs/BENCHMARKS.md has it."""

from harness.ratios import Ratio, Row

HEADER = """\
| network | mode | CPU ratio | wall ratio | memory ratio | best peer | CPU ms (peer / striate) | wall ms (peer / striate) \
| MiB above start (peer / striate) | MiB in all (peer / striate) |
|---|---|---|---|---|---|---|---|---|---|"""

MIB = 2.0**20


def line(network: str, mode: str, row: Row) -> str:
    cells = [
        network,
        mode,
        spread(row.cpu),
        spread(row.wall),
        f"{row.memory.value:.2f}",
        row.cpu.peer,
        pair(row.cpu, 1e3),
        pair(row.wall, 1e3),
        pair(row.memory, 1 / MIB),
        pair(row.total_memory, 1 / MIB),
    ]
    return f"| {' | '.join(cells)} |"


def spread(ratio: Ratio) -> str:
    low, high = ratio.quartiles
    return f"{ratio.value:.2f} ({low:.2f}–{high:.2f})"


def pair(ratio: Ratio, unit: float) -> str:
    return f"{ratio.theirs * unit:.1f} / {ratio.ours * unit:.1f}"
