//! Sound inputs of every kind, small, and the verbs that take them.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use striate::recording::npy;
use zip::write::SimpleFileOptions;

use crate::bench::Bench;

/// A verb, and the input that is changed before it runs; none where a setting is.
pub struct Case {
    pub subject: Option<&'static str>,
    pub args: &'static [&'static str],
}

const fn on(subject: &'static str, args: &'static [&'static str]) -> Case {
    Case { subject: Some(subject), args }
}

const fn set(args: &'static [&'static str]) -> Case {
    Case { subject: None, args }
}

/// Where every case that predicts writes to.
const PREDICTIONS: &str = "o.npy";

/// Every verb with every kind of file it reads.
pub const CASES: &[Case] = &[
    on("recording", &["inspect", "recording"]),
    on("recording", &["inspect", "recording", "--json"]),
    on("recording", &["fit", "first.toml", "--data", "recording", "--out", "new"]),
    on("recording", &["fit", "--out", "run", "schedule.max_steps=12"]),
    on("recording", &["score", "run"]),
    on("recording", &["predict", "run", "--data", "recording", "--out", "o.npy"]),
    on("recording", &["explain", "run", "barcode", "seeds=2", "most=3"]),
    on("recording", &["submit", "run", "--data", "recording", "--tier", "test", "--out", "s.csv"]),
    on("recording", &["submit", "--check", "submission.csv", "--data", "recording"]),
    on("recording", &["convert", "recording", "--out", "new"]),
    on("recording.zip", &["convert", "recording.zip", "--out", "new"]),
    on("store", &["inspect", "store"]),
    on("store", &["inspect", "store", "--verify"]),
    on("store", &["convert", "store", "--out", "new"]),
    on("store", &["predict", "run", "--data", "store", "--out", "o.npy"]),
    on("recording/truth", &["score", "run"]),
    on("recording/truth", &["explain", "run", "barcode", "seeds=2", "most=3"]),
    on("recording/truth", &["fit", "first.toml", "--data", "recording", "--out", "new"]),
    on("recording.zip", &["inspect", "recording.zip"]),
    on("recording.zip", &["fit", "first.toml", "--data", "recording.zip", "--out", "new"]),
    on("recording.zip", &["predict", "run", "--data", "recording.zip", "--out", "o.npy"]),
    on("run", &["score", "run"]),
    on("run", &["predict", "run", "--data", "stack.npy", "--out", "o.npy"]),
    on("run", &["report", "run"]),
    on("run", &["report", "run", "second"]),
    on("run", &["explain", "run", "barcode", "seeds=2", "most=3", "with=second"]),
    on("run", &["ensemble", "run", "second", "--out", "new"]),
    on("run", &["fit", "--out", "run", "schedule.max_steps=12"]),
    on("run", &["submit", "run", "--data", "recording", "--tier", "test", "--out", "s.csv"]),
    on("both", &["predict", "both", "--data", "stack.npy", "--out", "o.npy"]),
    on("both", &["score", "both"]),
    on("stack.npy", &["predict", "run", "--data", "stack.npy", "--out", "o.npy"]),
    on("image.png", &["predict", "run", "--data", "image.png", "--out", "o.npy"]),
    on(
        "model.pth",
        &["import", "model.pth", "--as", "sensorium2022", "--image-shape", "1,12,12", "--out", "new"],
    ),
    on("sweep.toml", &["sweep", "sweep.toml", "--data", "recording", "--out", "new"]),
    on("first.toml", &["fit", "first.toml", "--data", "recording", "--out", "new"]),
    on("first.toml", &["config", "first.toml"]),
    on("submission.csv", &["submit", "--check", "submission.csv", "--data", "recording"]),
    on(
        "types.csv",
        &[
            "fit",
            "first.toml",
            "--data",
            "recording",
            "model.readout.shared_features=true",
            "data.types=types.csv",
            "--out",
            "new",
        ],
    ),
    set(&["fit", "first.toml", "--data", "recording", "--out", "new"]),
    set(&["fit", "first.toml", "--data", "recording", "--out", "new"]),
    set(&[
        "simulate",
        "klindt-linear",
        "neurons=3",
        "side=8",
        "kernel=3",
        "samples=9",
        "test=2",
        "--out",
        "new",
    ]),
    set(&["explain", "run", "barcode", "most=3"]),
];

/// A folder with sound inputs, copied for each attempt.
pub struct World {
    bench: Bench,
    /// Predictions of each case that makes some, by its command.
    predictions: BTreeMap<Vec<&'static str>, Vec<u8>>,
}

impl World {
    pub fn new() -> Self {
        let bench = Bench::with_recording_of(&["neurons=6", "samples=40", "test=4", "test_repeats=3"]);
        let write = |name: &str, bytes: &[u8]| fs::write(bench.path(name), bytes).unwrap();
        let changes = [
            "model.core.kernels=[5]",
            "fit.batch=16",
            "schedule.check_every=5",
            "schedule.max_steps=10",
            "model.output=softplus",
        ];
        let config = bench.run(&[&["config", "demo"], &changes[..]].concat()).succeeds().out;
        write("first.toml", config.as_bytes());
        let fit = |out, seed| {
            bench.run(&["fit", "first.toml", "--data", "recording", seed, "--out", out]).succeeds();
        };
        fit("run", "seed=1");
        fit("second", "seed=2");
        for args in [
            &["ensemble", "run", "second", "--out", "both"][..],
            &["submit", "run", "--data", "recording", "--tier", "test", "--out", "submission.csv"],
            &["score", "run"],
            &["explain", "run", "barcode", "seeds=2", "most=3"],
            &["report", "run"],
            &["convert", "recording", "--out", "store"],
        ] {
            bench.run(args).succeeds();
        }
        fs::copy(bench.path("run/explain/barcode/types.csv"), bench.path("types.csv")).unwrap();
        fs::copy(bench.path("recording/data/images/0.npy"), bench.path("stack.npy")).unwrap();
        let stack = striate::recording::npy::write_f32(&[2, 1, 12, 12], &[0.5; 288]);
        write("stack.npy", &stack);
        write("image.png", &png());
        write("sweep.toml", b"base = \"first.toml\"\n[[grid]]\n\"seed\" = [1, 2]\n");
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/import/tiny.pth");
        fs::copy(golden, bench.path("model.pth")).unwrap();
        pack(&bench.path("recording"), &bench.path("recording.zip"));
        let mut predictions = BTreeMap::new();
        for case in CASES.iter().filter(|case| case.args.contains(&PREDICTIONS)) {
            bench.run(case.args).succeeds();
            predictions.insert(case.args.to_vec(), bench.read(PREDICTIONS));
            fs::remove_file(bench.path(PREDICTIONS)).unwrap();
        }
        Self { bench, predictions }
    }

    /// What is wrong with the predictions in `bench`, made of inputs of which the file `changed` is another: they must be
    /// the same bits, but for images that were changed themselves.
    pub fn other_predictions(&self, case: &Case, changed: &str, bench: &Bench) -> Option<String> {
        let before = self.predictions.get(case.args)?;
        let image = changed.strip_prefix("recording/data/images/").and_then(|name| name.strip_suffix(".npy"));
        match image.map(str::parse::<usize>) {
            // Other images of one's own are another question.
            _ if matches!(changed, "stack.npy" | "image.png") => return None,
            Some(Ok(trial)) => {
                let others = |bytes: &[u8]| {
                    let array = npy::parse(bytes.to_vec()).unwrap();
                    let (width, mut values) = (array.shape[1], array.to_f32().unwrap());
                    values.drain(trial * width..(trial + 1) * width);
                    values.into_iter().map(f32::to_bits).collect::<Vec<_>>()
                };
                (others(before) != others(&bench.read(PREDICTIONS))).then_some(())
            }
            _ => (*before != bench.read(PREDICTIONS)).then_some(()),
        }
        .map(|()| "the predictions are others, and nothing was said".into())
    }

    pub fn copy(&self) -> Bench {
        let copy = Bench::new();
        copy_folder(&self.bench.path(""), &copy.path(""));
        copy
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        match source.is_dir() {
            true => copy_folder(&source, &target),
            false => drop(fs::copy(&source, &target).unwrap()),
        }
    }
}

/// Every file below `folder`, sorted.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    if !folder.is_dir() {
        return vec![folder.to_path_buf()];
    }
    let mut inside: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()).collect();
    inside.sort();
    inside.iter().flat_map(|path| files(path)).collect()
}

fn pack(folder: &Path, archive: &Path) {
    let mut zip = zip::ZipWriter::new(fs::File::create(archive).unwrap());
    for path in files(folder) {
        let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
        zip.start_file(format!("session/{name}"), SimpleFileOptions::default()).unwrap();
        zip.write_all(&fs::read(path).unwrap()).unwrap();
    }
    zip.finish().unwrap();
}

/// A grey image of 12×12 pixels.
fn png() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 12, 12);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&[90; 144]).unwrap();
    bytes
}
