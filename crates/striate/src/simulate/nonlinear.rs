//! `klindt-nonlinear`: neurons of a few types that a network of three layers defines, and the presets of figure 5.

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::design::Design;
use super::keys::{require, unknown_key};
use super::leaves::{CHANNELS, paint};
use super::network::{Network, POSITIONS, SEED, SIDE, TYPES};
use super::world::{GroundTruth, Neuron, Options, World};
use crate::error::{Result, in_range, read};
use crate::random::{Draws, permutation};

/// Parameters that can be set by name, and what they mean.
const KEYS: [(&str, &str); 10] = [
    ("neurons", "number of neurons, split evenly over the types"),
    ("types", "number of types, at most 16"),
    ("locations", "places that neurons are chosen from, at most 1024"),
    ("mean_response", "mean noise-free response"),
    ("samples", "training and validation images together"),
    ("validation", "validation images; default: an eighth of the samples, at most 1024"),
    ("test", "test images, which are numbered first"),
    ("test_repeats", "noisy repeats of each test image; 0: one noise-free presentation"),
    ("seed", "seed of the neurons' places, and of the images unless `stimulus_seed` is given"),
    ("stimulus_seed", "seed of images and noise"),
];

/// Nonlinear neurons seeing coloured images with natural statistics.
///
/// Response y = y* + e with y* the response of a unit of a fixed rectified network at the neuron's place, and e normal
/// with variance |y*|. Neurons of a type differ only in their place; every type has the same places. Training images
/// are the first of one endless row, and the test images stand before it, so that both stay the same when `samples`
/// changes.
///
/// # Source
/// Klindt, Ecker, Euler & Bethge 2017, figure 5: numbers of neurons, types, places and images, split, scaling and
/// noise. Differs in images and network. The paper showed natural images to units of VGG; here dead leaves are shown to
/// a fixed network of the same field, 13 × 13 pixels. The paper scaled each neuron by its mean over the images of
/// the experiment; here the mean is that of its type over calibration images, the same in every experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KlindtNonlinear {
    /// Number of neurons over all types.
    pub neurons: usize,
    /// Number of types, the first of 16.
    pub types: usize,
    /// Places that those of the neurons are chosen from, the first of 32 × 32 in a fixed random order.
    pub locations: usize,
    /// Mean noise-free response.
    pub mean_response: f64,
    /// Training and validation images together.
    pub samples: usize,
    /// Validation images; `None` for an eighth of the samples, at most 1024.
    pub validation: Option<usize>,
    /// Test images.
    pub test: usize,
    /// Noisy repeats of each test image; 0 for one noise-free presentation, as in the paper.
    pub test_repeats: usize,
    /// Seed of the neurons' places.
    pub seed: u64,
    /// Seed of images and noise; `None` for `seed`.
    pub stimulus_seed: Option<u64>,
}

impl KlindtNonlinear {
    /// Figure 5d: four types at places out of 250.
    pub fn fig5d(neurons: usize, samples: usize) -> Self {
        Self {
            neurons,
            types: 4,
            locations: 250,
            mean_response: 0.1,
            samples,
            validation: None,
            test: 1024,
            test_repeats: 0,
            seed: 1295,
            stimulus_seed: None,
        }
    }

    /// Figure 5e: `types` types (4, 8 or 16) at the same 64 places, 2¹² images.
    pub fn fig5e(types: usize) -> Self {
        let neurons = types.saturating_mul(64);
        Self { types, locations: 64, validation: Some(512), seed: 1234, ..Self::fig5d(neurons, 1 << 12) }
    }

    /// Row and column of the neurons of each type in the last layer.
    fn places(&self) -> Vec<[usize; 2]> {
        let pool = permutation(&mut Draws::Places.generator(SEED), POSITIONS * POSITIONS);
        let chosen = permutation(&mut Draws::Places.generator(self.seed), self.locations);
        let place = |&index: &usize| [pool[index] / POSITIONS, pool[index] % POSITIONS];
        chosen[..self.neurons / self.types].iter().map(place).collect()
    }
}

impl Options for KlindtNonlinear {
    fn keys(&self) -> &'static [(&'static str, &'static str)] {
        &KEYS
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "neurons" => self.neurons = read(key, value)?,
            "types" => self.types = read(key, value)?,
            "locations" => self.locations = read(key, value)?,
            "mean_response" => self.mean_response = read(key, value)?,
            "samples" => self.samples = read(key, value)?,
            "validation" => self.validation = Some(read(key, value)?),
            "test" => self.test = read(key, value)?,
            "test_repeats" => self.test_repeats = read(key, value)?,
            "seed" => self.seed = read(key, value)?,
            "stimulus_seed" => self.stimulus_seed = Some(read(key, value)?),
            _ => return Err(unknown_key(key, &KEYS)),
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        let Self { neurons, types, locations, mean_response, .. } = *self;
        let (all, positions) = (1..=TYPES, 1..=POSITIONS * POSITIONS);
        require(all.contains(&types), "types", format!("must be from 1 to {TYPES}"))?;
        let places = format!("must be from 1 to {}", positions.end());
        require(positions.contains(&locations), "locations", places)?;
        let split = neurons > 0 && neurons.is_multiple_of(types);
        require(split, "neurons", format!("must be a positive multiple of the {types} types"))?;
        let most = format!("must be at most {types} types × {locations} locations");
        require(neurons / types <= locations, "neurons", most)?;
        in_range("mean_response", mean_response, 1e-6..=1e6)
    }

    fn words(&self) -> [String; 2] {
        let Self { neurons, types, locations, .. } = self;
        [
            format!("{neurons} of {types} types, nonlinear, at places out of {locations}"),
            format!("{SIDE} × {SIDE} pixels, {CHANNELS} colours, dead leaves"),
        ]
    }

    fn notes(&self) -> &'static [&'static str] {
        &NOTES
    }
}

impl GroundTruth for KlindtNonlinear {
    fn resolve(&mut self) {
        let Design { validation, stimulus_seed, .. } = self.design();
        (self.validation, self.stimulus_seed) = (Some(validation), Some(stimulus_seed));
    }

    fn design(&self) -> Design {
        Design {
            neurons: self.neurons,
            image_shape: [CHANNELS, SIDE, SIDE],
            samples: self.samples,
            validation: self.validation.unwrap_or((self.samples / 8).min(1024)),
            test: self.test,
            test_repeats: self.test_repeats,
            test_first: true,
            stimulus_seed: self.stimulus_seed.unwrap_or(self.seed),
        }
    }

    fn build(&self) -> Box<dyn World> {
        Box::new(Nonlinear {
            places: self.places(),
            types: self.types,
            gain: self.mean_response,
            network: Network::fixed(),
        })
    }
}

const NOTES: [&str; 5] = [
    "images: dead leaves, discs with radii of density r^-3; red, green, blue normal with variance 1, correlation 0.9",
    "y*: unit `type` of a fixed network at the location, scaled by the mean over calibration images to mean_response; \
     responses = y* + e, e normal with variance |y*|; without test repeats the test tier is y*",
    "locations.npy [neuron, (row, column)]: place in the 32 x 32 outputs of three valid 5 x 5 convolutions",
    "responses.npy [trial, neuron]: y* of every trial, in the order of the recording",
    "type.npy [neuron]: unit of the last layer",
];

/// Units of the network at chosen places.
#[derive(Debug)]
struct Nonlinear {
    places: Vec<[usize; 2]>,
    types: usize,
    gain: f64,
    network: &'static Network,
}

impl Nonlinear {
    /// Type and place of each neuron, type after type.
    fn each(&self) -> impl Iterator<Item = (usize, [usize; 2])> {
        (0..self.types).flat_map(|kind| self.places.iter().map(move |&place| (kind, place)))
    }
}

impl World for Nonlinear {
    fn neurons(&self) -> Vec<Neuron> {
        let neuron =
            |(kind, place): (usize, [usize; 2])| Neuron { kind, location: place.map(|at| at as f64) };
        self.each().map(neuron).collect()
    }

    fn show(&self, random: &mut ChaCha8Rng, image: &mut [f32]) {
        paint(random, SIDE, image);
    }

    fn respond(&self, image: &[f32]) -> Vec<f64> {
        let maps = self.network.respond(image);
        let at = |(kind, [row, column]): (usize, [usize; 2])| maps[(row * POSITIONS + column) * TYPES + kind];
        self.each().map(|neuron| self.gain * f64::from(at(neuron))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::Tier;
    use crate::simulate::{Parameters, Simulation};

    fn small() -> KlindtNonlinear {
        KlindtNonlinear { test: 8, ..KlindtNonlinear::fig5d(12, 64) }
    }

    fn simulation(parameters: KlindtNonlinear) -> Simulation {
        Simulation::new(parameters).unwrap()
    }

    #[test]
    fn the_papers_counts() {
        let counts = |parameters: KlindtNonlinear| {
            let design = parameters.design();
            [design.neurons, design.train(), design.validation, design.test_trials()]
        };
        assert_eq!(counts(KlindtNonlinear::fig5d(12, 1 << 9)), [12, 448, 64, 1024]);
        assert_eq!(counts(KlindtNonlinear::fig5d(1000, 1 << 16)), [1000, 64_512, 1024, 1024]);
        for types in [4, 8, 16] {
            assert_eq!(counts(KlindtNonlinear::fig5e(types)), [64 * types, 3584, 512, 1024]);
        }
        for parameters in [KlindtNonlinear::fig5d(1000, 1 << 16), KlindtNonlinear::fig5e(16)] {
            Parameters::from(parameters).check().unwrap();
        }
    }

    #[test]
    fn every_type_has_the_same_places_each_once() {
        let neurons = KlindtNonlinear::fig5e(4).build().neurons();
        let (first, second) = (&neurons[..64], &neurons[64..128]);
        assert!(
            first.iter().zip(second).all(|(a, b)| a.location == b.location && (a.kind, b.kind) == (0, 1))
        );
        let mut places = KlindtNonlinear::fig5d(1000, 512).places();
        let other = KlindtNonlinear { seed: 3, ..KlindtNonlinear::fig5d(1000, 512) };
        let mut others = other.places();
        assert_ne!(places, others);
        places.sort_unstable();
        others.sort_unstable();
        assert_eq!(places, others);
        places.dedup();
        assert_eq!(places.len(), 250);
    }

    #[test]
    fn smaller_training_sets_begin_larger_ones_and_the_test_set_stays() {
        let (short, long) = (simulation(small()), simulation(KlindtNonlinear { samples: 128, ..small() }));
        assert_eq!(short.block(0..64), long.block(0..64));
        assert_eq!(short.trials_of(&Tier::Train), 0..56);
        assert_eq!(short.block(64..72), long.block(128..136));
        assert_eq!([0, 63, 64, 71].map(|trial| short.stimulus(trial)), [8, 71, 0, 7]);
    }

    #[test]
    fn a_trial_depends_on_seed_and_number_alone() {
        let (a, b) = (simulation(small()), simulation(small()));
        assert_eq!(a.block(3..6).responses[12..24], b.responses(4));
        assert_eq!(a.image(4).len(), 3 * 44 * 44);
        let other = simulation(KlindtNonlinear { stimulus_seed: Some(7), ..small() });
        assert_eq!(a.neurons(), other.neurons());
        assert_ne!(a.image(4), other.image(4));
        // More types and neurons leave the first as they are.
        let more = simulation(KlindtNonlinear { types: 16, neurons: 48, ..small() });
        assert_eq!(a.truth(4), more.truth(4)[..12]);
    }

    #[test]
    fn responses_have_the_mean_and_the_noise_of_the_paper() {
        let simulation = simulation(KlindtNonlinear::fig5d(1000, 1 << 11));
        let block = simulation.block(0..1 << 11);
        let n = block.truth.len() as f64;
        let mean = block.truth.iter().map(|&y| f64::from(y)).sum::<f64>() / n;
        assert!((mean - 0.1).abs() < 0.01, "mean {mean}");
        let noise = block.truth.iter().zip(&block.responses).map(|(&y, &noisy)| f64::from(noisy - y).powi(2));
        let noise = noise.sum::<f64>() / n;
        assert!((noise - mean).abs() < 0.005, "noise variance {noise}");
        let signal = block.truth.iter().map(|&y| f64::from(y).powi(2)).sum::<f64>() / n - mean * mean;
        assert!((0.05..0.15).contains(&signal), "signal variance {signal}");
        let test = simulation.trials_of(&Tier::Test).start;
        assert_eq!(simulation.responses(test), simulation.truth(test));
    }

    #[test]
    fn impossible_and_absurd_parameters_are_refused_by_name() {
        let bad = [
            ("neurons", "0"),
            ("neurons", "7"),
            ("neurons", "1004"),
            ("neurons", "18446744073709551612"),
            ("types", "0"),
            ("types", "17"),
            ("locations", "0"),
            ("locations", "1025"),
            ("mean_response", "nan"),
            ("samples", "0"),
            ("samples", "18446744073709551615"),
            ("validation", "64"),
            ("test", "18446744073709551615"),
        ];
        for (key, value) in bad {
            let mut parameters = Parameters::from(small());
            let error = parameters.set(key, value).and_then(|()| parameters.check()).unwrap_err();
            assert_eq!(error.place().key.as_deref(), Some(key), "{key}={value}");
        }
    }
}
