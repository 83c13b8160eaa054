"""Measures one network: agreement first, then rounds in turn, then memory."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from harness.product import Product
from harness.worker import STRIATE, Failure, Worker

# Training from a batch in memory, training that reads it from files each time, and inference.
MODES = ("train", "read", "infer")
TURN_SECONDS = 0.5
MOST_STEPS = 20
# Largest relative difference of each loss.
AGREEMENT = {"first": 1e-4, "after": 1e-3, "evaluation": 1e-3}


@dataclass(frozen=True)
class Task:
    """A network and who takes part."""

    name: str
    family: str
    file: Path
    variants: list[str]
    threads: int
    rounds: int
    product: Product

    @property
    def modes(self) -> tuple[str, ...]:
        """As all, and for the network of still images what its neurons prefer."""
        return (*MODES, "prefer") if self.family == "sensorium" else MODES


@dataclass
class Samples:
    """Seconds per step of each round, and bytes, of one variant in one mode."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    peak: int = 0
    baseline: int = 0


Result = dict[str, dict[str, Samples]]
"""By mode and variant."""


def measure(task: Task) -> Result:
    result: Result = {mode: {variant: Samples() for variant in task.variants} for mode in task.modes}
    with ExitStack() as stack:
        workers = [stack.enter_context(loaded(variant, task)) for variant in task.variants]
        agree(task.name, {worker.variant: losses(worker, task) for worker in workers})
        for mode in task.modes:
            for worker, sample in turns(workers, mode, task.rounds):
                result[mode][worker.variant].wall.append(sample["wall"])
                result[mode][worker.variant].cpu.append(sample["cpu"])
    for mode in task.modes:
        for variant in task.variants:
            memory(task, variant, mode, result[mode][variant])
    return result


def loaded(variant: str, task: Task) -> Worker:
    worker = Worker(variant, task.threads)
    if variant == STRIATE:
        worker.ask(do="load", file=str(task.product.folder))
    else:
        worker.ask(do="load", family=task.family, file=str(task.file), recording=str(task.product.recording))
    return worker


def losses(worker: Worker, task: Task) -> dict[str, float]:
    if worker.variant == STRIATE:
        return task.product.losses
    return worker.ask(do="check")


def agree(name: str, losses: dict[str, dict[str, float]]) -> None:
    """Every variant computes the same function, or nothing is measured."""
    ours = losses[STRIATE]
    for variant, theirs in losses.items():
        for key, tolerance in AGREEMENT.items():
            difference = abs(ours[key] - theirs[key])
            if not difference <= tolerance * abs(theirs[key]):
                raise Failure(
                    f"network {name}: the loss `{key}` of striate is {ours[key]:.7f}, of {variant} {theirs[key]:.7f}; "
                    f"they may differ by {tolerance:g} of it. The two do not compute the same, so nothing is compared."
                )


def turns(workers: list[Worker], mode: str, rounds: int) -> Iterator[tuple[Worker, dict]]:
    """A B C S A B C S …, the same number of steps each; the first round is not counted."""
    warm = [worker.ask(do="step", mode=mode, count=1) for worker in workers]
    fastest = min(sample["wall"] for sample in warm)
    count = max(1, min(MOST_STEPS, round(TURN_SECONDS / fastest)))
    for _ in range(rounds):
        for worker in workers:
            yield worker, worker.ask(do="step", mode=mode, count=count)


def memory(task: Task, variant: str, mode: str, samples: Samples) -> None:
    """In a fresh process that does nothing else."""
    with loaded(variant, task) as worker:
        answer = worker.ask(do="memory", mode=mode, count=3)
    samples.peak, samples.baseline = answer["peak"], answer["baseline"]
