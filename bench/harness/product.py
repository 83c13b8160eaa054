"""A network as users have it: a recording on disk, a configuration, starting weights, and `striate fit`."""

import csv
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import arrays
from arrays import Arrays
from harness.definitions import Definition
from harness.worker import Failure, binary

# What every network has in common: the batch as it was drawn, plain Adam, and no end.
COMMON = [
    "data.image_height=0",
    "data.images=none",
    "data.responses=none",
    "fit.over_neurons=mean",
    "fit.over_trials=mean",
    "fit.learning_rate=1e-3",
    "fit.mask_rate=1",
    "schedule.monitor=loss",
    "schedule.check_every=1000000000",
    "schedule.max_steps=0",
]
POINTS = ["model.readout.predictor=none", "model.core.batch_norm.decay=0.9"]


def _what_where(definition: Definition) -> list[str]:
    softplus = [f"model.core.{key}=softplus" for key in ("nonlinearity", "final_nonlinearity")]
    layers = len(definition.kernels)
    plain = ["model.core.pool=1", "model.readout.mask=none", "model.readout.mask_init.kind=noise"]
    # Masks stand still, since a fit begins with a dense step, which would fill the zeros.
    sparse = ["fit.mask_dense_every=1000000000", "model.penalty.mask_l1=1e-12", "fit.mask_rate=0"]
    return [f"model.core.padding={['same'] * layers}", *softplus, *plain, *(sparse if definition.zeros else [])]


def _sensorium(definition: Definition) -> list[str]:
    return [f"model.core.kernels={list(definition.kernels)}", *POINTS]


def _video(definition: Definition) -> list[str]:
    time = f"model.core.temporal_kernels={list(definition.temporal)}"
    alone = ["model.behaviour_planes=false", "model.shifter=none", "data.frames=0"]
    return [f"model.core.spatial_kernels={list(definition.kernels)}", time, *alone, *POINTS]


def _xu(definition: Definition) -> list[str]:
    steps = definition.full.frames
    bins = [f"model.modulator.steps={steps}", f"data.frames={steps + 1}", "data.windows=drawn", "data.validation_tier=oracle"]
    all_of_it = ["data.behaviour=[]", "data.pupil=[]", "fit.loss=poisson", "model.shifter=none"]
    return [*bins, *all_of_it, "model.core.dropout=0", "model.readout.dropout=0"]


# Of each family the preset, and what is changed in it.
PRESETS = {
    "whatwhere": ("whatwhere", _what_where),
    "sensorium": ("sensorium2022", _sensorium),
    "video": ("sensorium2023", _video),
    "xu": ("xu2023", _xu),
}
NAMES = {
    "position": "readout.mean",
    "spread": "readout.sigma",
    "mask": "readout.mask",
    "features": "readout.features",
    "bias": "readout.bias",
    "visual.weight": "readout.weight",
    "visual.bias": "readout.bias",
}
# Parts of the modulator by their first name.
MODULATOR = {"behaviour": "behaviour", "fusion": "fusion", "gru": "unit", "out": "out"}
# Families of clips, and those whose readouts draw a place.
CLIPS = ("video", "xu")
DRAWS = ("sensorium", "video")
LAYERS = {"conv": "weight", "first": "weight", "depthwise": "separable.depthwise", "second": "separable.pointwise"}


@dataclass(frozen=True)
class Product:
    """The folder with all of it, and the losses of a first, short fit."""

    folder: Path
    losses: dict[str, float]

    @property
    def recording(self) -> Path:
        return self.folder / "recording"

    @staticmethod
    def made(folder: Path, definition: Definition, drawn: Arrays, threads: int) -> "Product":
        folder.mkdir()
        write_recording(folder / "recording", definition, drawn)
        arrays.save(folder / "weights.safetensors", starting_weights(drawn))
        config = configuration(folder, definition, drawn)
        (folder / "config.toml").write_text(config)
        # The first steps are compared at mean positions: every side has draws of its own.
        still = ["model.readout.spread=none"] if definition.family in DRAWS else []
        few = ["schedule.check_every=1", "schedule.max_steps=4", "schedule.patience=1000"]
        striate("fit", str(folder / "config.toml"), *still, *few, "--out", str(folder / "run"), "--threads", str(threads))
        return Product(folder, losses(folder / "run"))


def striate(*command: str) -> str:
    done = subprocess.run([str(binary("striate")), *command, "--quiet"], capture_output=True, text=True)
    if done.returncode:
        raise Failure(f"`striate {command[0]}` ended with exit code {done.returncode}:\n{done.stderr}")
    return done.stdout


def losses(run: Path) -> dict[str, float]:
    """Of the first step and after three more, and in evaluation after that."""
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {
        "first": float(rows[0]["train_loss"]),
        "after": float(rows[-1]["train_loss"]),
        "evaluation": float(rows[-1]["val_loss"]),
    }


def configuration(folder: Path, definition: Definition, drawn: Arrays) -> str:
    preset, changes = PRESETS[definition.family]
    penalty = tomllib.loads(striate("config", preset))["model"]["penalty"]
    none = {float: "0", int: "0", list: "[]"}
    penalties = [f"model.penalty.{key}={none[type(x)]}" for key, x in penalty.items() if type(x) in none]
    channels = [len(offset) for name, offset in drawn.items() if name.startswith("weight.offset")]
    batch = next(len(responses) for name, responses in drawn.items() if name.endswith("responses"))
    sizes = [f"model.core.channels={channels}", f"fit.batch={batch}"]
    paths = [f"data.path={folder / 'recording'}", f"fit.start_from={folder / 'weights.safetensors'}"]
    return striate("config", preset, *penalties, *COMMON, *sizes, *paths, *changes(definition))


def starting_weights(drawn: Arrays) -> Arrays:
    """The weights by the names and in the shapes of striate."""
    weights = {name.removeprefix("weight."): array for name, array in drawn.items() if name.startswith("weight.")}
    if "visual.weight" in weights:
        # Channels of a pixel stand side by side.
        last = max(name for name in weights if name.startswith("conv"))
        by_channel = weights["visual.weight"].reshape(len(weights["visual.bias"]), len(weights[last]), -1)
        weights["visual.weight"] = by_channel.transpose(0, 2, 1).reshape(len(by_channel), -1)
    return dict(_renamed(name, array) for name, array in weights.items())


def _renamed(name: str, array: np.ndarray) -> tuple[str, np.ndarray]:
    part, _, rest = name.partition(".")
    if part in MODULATOR:
        return f"modulator.{MODULATOR[part]}.{rest}", array
    animal, slash, own = name.rpartition("/")
    if own in NAMES:
        return animal + slash + NAMES[own], array.reshape(len(array), -1) if own == "spread" else array
    kind, layer = name.rstrip("0123456789"), name[len(name.rstrip("0123456789")) :]
    # Kernels in space have one frame, those in time one pixel, and one channel makes each of a depthwise layer.
    if kind in ("space", "time", "depthwise"):
        array = array.reshape([n for at, n in enumerate(array.shape) if n > 1 or at < 1 or (kind == "space" and at == 1)])
    return f"core.layers.{layer}.{LAYERS.get(kind, kind)}", array


def write_recording(folder: Path, definition: Definition, drawn: Arrays) -> None:
    batches = {name.removeprefix("batch."): array for name, array in drawn.items() if name.startswith("batch.")}
    for animal, batch in arrays.by_animal(batches).items():
        _write_session(folder / animal, definition, batch)


def _write_session(folder: Path, definition: Definition, batch: Arrays) -> None:
    """The batch twice: as the training tier, and to be validated on."""
    clips = definition.family in CLIPS
    trials = _clips(batch) if definition.family == "xu" else batch
    images, responses = trials["images"], trials["responses"]
    kinds = ["data/videos" if clips else "data/images", "data/responses"]
    kinds += ["data/behavior"] if "behaviour" in trials else []
    for kind in (*kinds, "meta/trials", "meta/neurons"):
        (folder / kind).mkdir(parents=True)
    for trial in range(2 * len(images)):
        image, response = images[trial % len(images)], responses[trial % len(images)]
        if clips:
            # Time last; samples without a prediction have any response.
            lost = image.shape[1] - len(response)
            image, response = np.moveaxis(image[0], 0, -1), np.pad(response, ((lost, 0), (0, 0))).T
        values = [image, response]
        values += [trials["behaviour"][trial % len(images)].T] if "behaviour" in trials else []
        for kind, value in zip(kinds, values):
            np.save(folder / kind / f"{trial}.npy", np.ascontiguousarray(value))
    validation = "oracle" if clips else "validation"
    np.save(folder / "meta/trials/tiers.npy", np.array(["train"] * len(images) + [validation] * len(images)))
    np.save(folder / "meta/neurons/unit_ids.npy", np.arange(responses.shape[-1]))
    if clips:
        np.save(folder / "meta/trials/target_fps.npy", np.full(2 * len(images), 30))


def _clips(batch: Arrays) -> Arrays:
    """Clips of steps and one sample more, whose response is that of the last step, and which nobody looks at."""
    images, behaviour = batch["images"].swapaxes(0, 1), batch["behaviour"].swapaxes(0, 1)
    longer = lambda steps: np.concatenate([steps, steps[:, -1:]], 1)
    return {
        "images": longer(images).swapaxes(1, 2),
        "behaviour": longer(behaviour),
        "responses": batch["responses"][:, None],
    }
