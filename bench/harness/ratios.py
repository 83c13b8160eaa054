"""From samples to ratios: how many times striate's number goes into that of the best peer."""

from dataclasses import asdict, dataclass
from statistics import median, quantiles

from harness.measure import Samples
from harness.worker import STRIATE


@dataclass(frozen=True)
class Ratio:
    """Median over rounds of peer ÷ striate, with quartiles, against the peer that is best in this number."""

    value: float
    quartiles: tuple[float, float]
    peer: str
    theirs: float
    ours: float


def paired(ours: list[float], peers: dict[str, list[float]]) -> Ratio:
    peer = min(peers, key=lambda variant: median(peers[variant]))
    each = [b / a for a, b in zip(ours, peers[peer])]
    low, _, high = quantiles(each, n=4, method="inclusive") if len(each) > 1 else (each[0],) * 3
    return Ratio(median(each), (low, high), peer, median(peers[peer]), median(ours))


@dataclass(frozen=True)
class Row:
    """One network in one mode."""

    cpu: Ratio
    wall: Ratio
    memory: Ratio
    total_memory: Ratio

    def as_json(self) -> dict:
        names = ("cpu", "wall", "memory", "total_memory")
        ratios = {f"{name}_ratio": getattr(self, name).value for name in names}
        return ratios | {"best_peer": self.cpu.peer, "detail": asdict(self)}


def row(samples: dict[str, Samples]) -> Row:
    peers = {variant: s for variant, s in samples.items() if variant != STRIATE}
    ours = samples[STRIATE]
    ratio = lambda of: paired(of(ours), {variant: of(s) for variant, s in peers.items()})
    return Row(
        cpu=ratio(lambda s: s.cpu),
        wall=ratio(lambda s: s.wall),
        memory=ratio(lambda s: [float(s.peak - s.baseline)]),
        total_memory=ratio(lambda s: [float(s.peak)]),
    )
