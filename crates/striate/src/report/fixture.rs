//! Run folders made up for tests: every file of a run, deterministic, of any size.

use std::f64::consts::{PI, TAU};
use std::path::Path;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::array::{self, Array};
use crate::disk;
use crate::explain::barcode::Options;
use crate::run::metrics::Row;
use crate::run::{Best, Manifest, MetricsLog, RecordingInfo, RunFolder, Status};

/// Sizes of a made-up run.
pub struct Fixture {
    pub neurons: usize,
    pub channels: usize,
    pub kernel: usize,
    pub mask: [usize; 2],
    pub stimuli: usize,
    pub seed: u64,
}

impl Fixture {
    pub fn small() -> Self {
        Self { neurons: 30, channels: 6, kernel: 5, mask: [6, 9], stimuli: 8, seed: 1 }
    }

    pub fn realistic() -> Self {
        Self { neurons: 1000, channels: 48, kernel: 13, mask: [24, 52], stimuli: 50, seed: 1 }
    }

    /// Writes a complete run to `path`.
    pub fn write(&self, path: &Path) -> RunFolder {
        let run = RunFolder::create(path, CONFIG, &self.manifest()).unwrap();
        self.write_metrics(&run);
        self.write_scores(&run);
        self.write_parts(&run);
        self.write_types(&run);
        run
    }

    fn random(&self) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(self.seed)
    }

    fn manifest(&self) -> Manifest {
        let trials = [("train", 4472), ("validation", 522), ("test", 999)];
        let readout = self.neurons * (self.mask[0] * self.mask[1] + self.channels + 1);
        let parameters = [("core", self.channels * (169 + 18 * self.channels)), ("readout", readout)];
        let mut manifest =
            Manifest::start(self.seed, "striate fit klindt2017 data=mouse.zip --out runs/mouse")
                .with_parameters(parameters.map(|(part, n)| (part.to_owned(), n)).into());
        manifest.recording = RecordingInfo {
            path: "data/mouse.zip".into(),
            session: "simulated-mouse-12".into(),
            format: "sensorium2022".into(),
            fingerprint: "c0ffee".into(),
            content: Default::default(),
            stamp: None,
            shared_images: Default::default(),
            shared_with_others: Default::default(),
            licence: "CC BY-NC-ND (LICENSE)".into(),
            rate_hz: None,
            neurons: self.neurons,
            trials: trials.map(|(tier, n)| (tier.to_owned(), n)).into(),
            withheld: Vec::new(),
        };
        manifest.created = "2026-11-21T06:00:00Z".into();
        manifest.status = Status::Finished;
        manifest.wall_seconds = 754.0;
        manifest.peak_memory_mib = Some(1312.0);
        manifest.best = Some(Best {
            step: 2380,
            epoch: 34.0,
            value: curve(2380).1,
            metric: "val_correlation".into(),
            alpha: None,
        });
        manifest
    }

    fn write_metrics(&self, run: &RunFolder) {
        let mut log = MetricsLog::open(&run.metrics()).unwrap();
        let mut random = self.random();
        for step in (0..=2800_u64).step_by(70) {
            let (loss, correlation) = curve(step);
            let mut noisy = |scale: f64| scale * random.random_range(-1.0..1.0);
            let row = Row {
                step,
                epoch: step as f64 / 70.0,
                learning_rate: Some(2e-3 * 0.3_f64.powi((step / 1000) as i32)),
                train_loss: (step > 0).then(|| loss - step as f64 * 5e-5 + noisy(0.01)),
                penalty: Some(0.1),
                val_loss: Some(loss + noisy(0.008)),
                val_correlation: Some(if step == 2380 {
                    correlation
                } else {
                    correlation - 0.004 + noisy(0.003)
                }),
                seconds: Some(step as f64 * 0.27),
            };
            log.append(&row).unwrap();
        }
    }

    fn write_scores(&self, run: &RunFolder) {
        let mut random = self.random();
        let oracle: Vec<f64> = (0..self.neurons).map(|_| 0.02 + bump(&mut random) * 0.8).collect();
        let score: Vec<f64> =
            oracle.iter().map(|o| 0.56 * o + 0.08 * random.random_range(-1.0..1.0)).collect();
        let unit_id: Vec<usize> = (0..self.neurons).map(|i| 1000 + i).collect();
        let summary = |values: &[f64], definition: &str| summary(values, definition);
        let metrics = json!({
            "single_trial_correlation": summary(&score, "Pearson correlation of prediction and single trials, over trials"),
            "correlation_to_average": summary(&oracle.iter().map(|o| o * 0.8).collect::<Vec<_>>(), "Pearson correlation of prediction and mean over repeats, over stimuli"),
            "fraction_oracle": {"mean": 0.553, "ci95": [0.541, 0.566], "n": self.neurons, "excluded": 0,
                "definition": "least-squares slope through 0 of single-trial on oracle correlation"},
            "feve": {"mean": 0.412, "median": 0.43, "sd": 0.2, "n": self.neurons * 7 / 10, "ci95": [0.40, 0.425],
                "excluded": self.neurons * 3 / 10, "threshold": 0.15,
                "reasons": {"its explainable variance is below the threshold": self.neurons * 3 / 10},
                "definition": "1 − (MSE − noise variance) / (total − noise variance)"},
            "oracle_jackknife": summary(&oracle, "correlation of each trial with the mean of the other repeats"),
            "poisson_loss": summary(&[0.91, 0.95, 1.0], "prediction − response · ln(prediction + 1e-8), mean over trials"),
        });
        let shuffled = json!({"shuffled_trials": {
            "single_trial_correlation": {"mean": 0.0004}, "correlation_to_average": {"mean": -0.001},
            "fraction_oracle": {"mean": 0.001}, "feve": {"mean": -0.31}, "poisson_loss": {"mean": 1.31}}});
        let scores = json!({"run": "mouse", "recording": "simulated-mouse-12", "tier": "test",
            "neurons": self.neurons, "trials": 999, "metrics": metrics, "null": shuffled});
        save(&run.scores("test"), &scores);
        let columns = json!({"single_trial_correlation": score, "oracle_jackknife": oracle});
        save(&run.per_neuron("test"), &json!({"unit_id": unit_id, "metrics": columns}));
        save(&run.traces("test"), &self.traces(&score, &oracle));
    }

    fn traces(&self, score: &[f64], oracle: &[f64]) -> Value {
        let mut random = self.random();
        let mut best: Vec<usize> = (0..self.neurons).collect();
        best.sort_by(|&a, &b| score[b].total_cmp(&score[a]));
        let mut trace = |(rank, i): (&str, usize)| {
            let recorded: Vec<f64> =
                (0..self.stimuli).map(|_| 0.2 + 4.0 * bump(&mut random).powi(2)).collect();
            let sem: Vec<f64> = recorded.iter().map(|r| 0.1 + 0.08 * r).collect();
            let predicted: Vec<f64> =
                recorded.iter().map(|r| 0.3 + 0.8 * r * random.random_range(0.7..1.2)).collect();
            let stimulus: Vec<String> = (0..self.stimuli).map(|s| s.to_string()).collect();
            json!({"neuron": i, "unit_id": 1000 + i, "rank": rank, "single_trial_correlation": score[i], "oracle": oracle[i],
                "stimulus": stimulus, "recorded": recorded, "recorded_sem": sem, "predicted": predicted})
        };
        let (middle, end) = (self.neurons / 2, self.neurons - 3);
        let ranks = [("best", &best[..6]), ("median", &best[middle..middle + 3]), ("worst", &best[end..])];
        let chosen = ranks.into_iter().flat_map(|(rank, neurons)| neurons.iter().map(move |&i| (rank, i)));
        json!({"neurons": chosen.map(&mut trace).collect::<Vec<_>>()})
    }

    fn write_parts(&self, run: &RunFolder) {
        let mut random = self.random();
        let side = self.kernel;
        let kernels: Vec<f32> = (0..self.channels).flat_map(|_| gabor(side, &mut random)).collect();
        let shown = self.neurons.min(24);
        let masks: Vec<f32> = (0..shown).flat_map(|_| spot(self.mask, &mut random)).collect();
        let kinds: Vec<usize> = (0..self.neurons).map(|_| random.random_range(0..4)).collect();
        let features: Vec<f32> =
            kinds.iter().flat_map(|kind| barcode(self.channels, *kind, &mut random)).collect();
        let places: Vec<f32> = (0..2 * self.neurons)
            .map(|i| (bump(&mut random) * if i % 2 == 0 { 36.0 } else { 64.0 }) as f32)
            .collect();
        let indices = |values: Vec<usize>| values.into_iter().map(|v| v as f32).collect::<Vec<f32>>();
        let arrays = [
            ("kernels", vec![self.channels, 1, side, side], kernels),
            ("masks", vec![shown, self.mask[0], self.mask[1]], masks),
            ("masks_neuron", vec![shown], indices((0..shown).collect())),
            ("features", vec![self.neurons, self.channels], features),
            ("image_shape", vec![3], vec![1.0, 36.0, 64.0]),
            ("centres", vec![self.neurons, 2], places.iter().map(|at| at + 0.4).collect()),
            ("truth_centres", vec![self.neurons, 2], places),
            ("truth_type", vec![self.neurons], indices(kinds)),
        ];
        save_arrays(&run.explain("parts").join("parts.safetensors"), &arrays);
    }

    fn write_types(&self, run: &RunFolder) {
        let mut random = self.random();
        let kinds: Vec<usize> = (0..self.neurons).map(|_| random.random_range(0..4)).collect();
        let mut point = |kind: usize| {
            let (sin, cos) = f64::sin_cos(TAU * (kind as f64 + random.random_range(-0.15..0.15)) / 4.0);
            json!([0.7 * cos, 0.5 * sin])
        };
        let points: Vec<Value> = kinds.iter().map(|&kind| point(kind)).collect();
        let sizes: Vec<usize> =
            (0..4).map(|kind| kinds.iter().filter(|other| **other == kind).count()).collect();
        let count = json!({"answer": {"types": 4}, "resamples": [4, 4, 5], "null": [2, 3, 2], "one_way": 0.4,
            "spread_deg": 50.0, "null_spread_deg": [40.0, 41.0, 39.0]});
        let spread = |mean: f64| json!({"mean": mean, "sd": 0.02});
        let result = json!({"run": "mouse", "neurons": self.neurons, "silent": 0, "channels": self.channels,
            "copies": [[1, 0], [2]], "types": 4, "sizes": sizes, "count": count, "stability": spread(0.97), "ari_truth": 0.98,
            "null": {"stability": spread(0.4), "ari_found": spread(0.0), "ari_truth": spread(0.0)}});
        let neurons = json!({"unit_id": (0..self.neurons).collect::<Vec<_>>(), "type": kinds,
            "agreement": vec![1.0; self.neurons], "points": points});
        let found = json!({"format": 2, "striate": "0.1.0", "options": Options::default(), "criterion": "",
            "runs": [result], "across": null, "variance_shares": [0.41, 0.32], "neurons": neurons});
        save(&run.explain("barcode").join("barcode.json"), &found);
    }
}

pub fn save_arrays(path: &Path, arrays: &[(&str, Vec<usize>, Vec<f32>)]) {
    let named =
        arrays.iter().cloned().map(|(name, shape, values)| (name.to_owned(), Array { shape, values }));
    array::save(path, &named.collect()).unwrap();
}

pub fn save(path: &Path, value: &Value) {
    disk::write_bytes(path, value.to_string().as_bytes()).unwrap();
}

fn summary(values: &[f64], definition: &str) -> Value {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let sd = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
    let half = 1.96 * sd / n.sqrt();
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    json!({"mean": mean, "median": sorted[sorted.len() / 2], "sd": sd, "n": values.len(), "excluded": 0,
        "ci95": [mean - half, mean + half], "definition": definition})
}

/// Validation loss and correlation of a fit that goes well.
fn curve(step: u64) -> (f64, f64) {
    let time = step as f64;
    let start = if step == 0 { 3.0 } else { 0.0 };
    (start + 0.92 + 0.5 * (-time / 250.0).exp() + 1e-8 * time * time, 0.21 * (1.0 - (-time / 500.0).exp()))
}

/// A number in 0..1, most often near a half.
fn bump(random: &mut ChaCha8Rng) -> f64 {
    (0..3).map(|_| random.random_range(0.0..1.0)).sum::<f64>() / 3.0
}

fn gabor(side: usize, random: &mut ChaCha8Rng) -> Vec<f32> {
    let (angle, phase) = (random.random_range(0.0..PI), random.random_range(0.0..TAU));
    let (sin, cos) = f64::sin_cos(angle);
    let half = (side / 2) as f64;
    let at = |i: usize| {
        let (x, y) = ((i % side) as f64 - half, (i / side) as f64 - half);
        let (along, across) = (x * cos + y * sin, y * cos - x * sin);
        (-(across * across / 14.0 + along * along / 6.0)).exp() * (along * 1.1 + phase).cos()
    };
    (0..side * side).map(|i| (at(i) + 0.04 * random.random_range(-1.0..1.0)) as f32).collect()
}

fn spot([height, width]: [usize; 2], random: &mut ChaCha8Rng) -> Vec<f32> {
    let (row, column) =
        (random.random_range(0.2..0.8) * height as f64, random.random_range(0.2..0.8) * width as f64);
    let at = |i: usize| {
        let (x, y) = ((i % width) as f64 - column, (i / width) as f64 - row);
        (-(x * x + y * y) / 5.0).exp() - 0.25 * (-((x - 3.0).powi(2) + y * y) / 6.0).exp()
    };
    let speckle = |random: &mut ChaCha8Rng| if random.random_range(0..30) == 0 { 0.12 } else { 0.0 };
    (0..height * width)
        .map(|i| at(i) as f32)
        .map(|v| if v.abs() < 0.03 { speckle(random) } else { v })
        .collect()
}

fn barcode(channels: usize, kind: usize, random: &mut ChaCha8Rng) -> Vec<f32> {
    let preferred = (kind * channels / 4 + random.random_range(0..channels.div_ceil(4))) % channels;
    let noise = |random: &mut ChaCha8Rng| random.random_range(0.0..0.25_f32).powi(2) * 4.0;
    let weight = |c: usize| {
        if c == preferred {
            1.0
        } else if c % 7 == kind {
            0.45
        } else {
            0.0
        }
    };
    (0..channels).map(|c| weight(c) + noise(random)).collect()
}

const CONFIG: &str = r#"# resolved by striate
name = "klindt2017"
seed = 1

[model]
paper = "klindt2017"

[model.core]
layers = [
  { kernel = 13, channels = 48, padding = "valid" },
  { kernel = 3, channels = 48, padding = "same" },
  { kernel = 3, channels = 48, padding = "same" },
]

[model.readout]
kind = "factorised"
sparsity = 0.03

[fit]
optimiser = "adam"
learning_rate = 0.002
batch = 64
"#;
