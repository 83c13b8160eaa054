"""Named float32 arrays in one safetensors file, which both sides of the benchmark read."""

import json
from pathlib import Path

import numpy as np

Arrays = dict[str, np.ndarray]


def save(path: Path, arrays: Arrays) -> None:
    """Writes `arrays`: the length of the header, the header, the values in its order."""
    header: dict[str, object] = {}
    end = 0
    for name, array in arrays.items():
        start, end = end, end + array.nbytes
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays.values():
            file.write(np.ascontiguousarray(array, "<f4").tobytes())


def load(path: Path) -> Arrays:
    """Reads what `save` wrote, or any safetensors file of float32."""
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        return {name: _read(file, entry) for name, entry in header.items() if name != "__metadata__"}


def by_animal(all_arrays: dict) -> dict[str, dict]:
    """What each animal has of its own, behind its name and a slash; of an only one, without a name, everything."""
    own: dict[str, dict] = {}
    for name, array in all_arrays.items():
        animal, _, rest = name.rpartition("/")
        own.setdefault(animal, {})[rest] = array
    return {animal: arrays for animal, arrays in own.items() if animal or len(own) == 1}


def _read(file, entry: dict) -> np.ndarray:
    count = entry["data_offsets"][1] - entry["data_offsets"][0]
    return np.frombuffer(file.read(count), "<f4").reshape(entry["shape"]).copy()
