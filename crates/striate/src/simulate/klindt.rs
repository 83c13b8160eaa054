//! `klindt-linear`: populations of linear neurons of a few types, and the presets of the paper.

use std::fmt::Display;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::dog::{DogNeuron, DogType};
use crate::error::{Error, Result, nearest};

/// Names of the simulations on the command line.
pub const NAMES: [&str; 3] = ["klindt-linear", "klindt-fig3", "klindt-fig4"];

/// Parameters that can be set by name, and what they mean.
pub const KEYS: [(&str, &str); 13] = [
    ("neurons", "number of neurons, split evenly over the types"),
    ("types", "kernel size of each type, e.g. 0.6,1.0"),
    ("variation", "jitter of shape and weight between neurons of a type"),
    ("centred", "true: kernels sit exactly on the pixel grid"),
    ("side", "side of the square images in pixels"),
    ("kernel", "side of the square kernels in pixels, odd"),
    ("mean_response", "mean absolute noise-free response"),
    ("samples", "training and validation images together"),
    ("validation", "validation images; default: a fifth of the samples, at most 10000"),
    ("test", "test images"),
    ("test_repeats", "noisy repeats of each test image; 0: one noise-free presentation"),
    ("seed", "seed of the neurons, and of the images unless `stimulus_seed` is given"),
    ("stimulus_seed", "seed of images and noise"),
];

/// Largest number of values that one array of a simulation may have (2 GiB of `f64`).
const MOST_VALUES: usize = 1 << 28;

/// Linear difference-of-Gaussians neurons seeing white noise.
///
/// Response y = y* + e with y* = ⟨receptive field, image⟩ and e normal with variance |y*|; images
/// are independent standard normal pixels. Neuron i of every type shares position and jitter draws.
///
/// # Source
/// Klindt, Ecker, Euler & Bethge 2017, figures 3 and 4. Differs in drawing fresh images for every
/// sample; the authors' generator repeats its images every 10⁵ samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KlindtLinear {
    /// Number of neurons over all types.
    pub neurons: usize,
    /// Kernel size of each type.
    pub types: Vec<f64>,
    /// Jitter between neurons of a type, 0 to below 1.
    pub variation: f64,
    /// Whether kernels sit exactly on the pixel grid.
    pub centred: bool,
    /// Side of the square images in pixels.
    pub side: usize,
    /// Side of the square kernels in pixels, odd.
    pub kernel: usize,
    /// Mean absolute noise-free response.
    pub mean_response: f64,
    /// Training and validation images together.
    pub samples: usize,
    /// Validation images; `None` for a fifth of the samples, at most 10⁴.
    pub validation: Option<usize>,
    /// Test images.
    pub test: usize,
    /// Noisy repeats of each test image; 0 for one noise-free presentation, as in the paper.
    pub test_repeats: usize,
    /// Seed of the neurons.
    pub seed: u32,
    /// Seed of images and noise; `None` for `seed`.
    pub stimulus_seed: Option<u64>,
}

impl KlindtLinear {
    /// Figure 3: identical neurons on the grid, of the seed-1 pool of 1000 the first `neurons`.
    pub fn fig3(neurons: usize, samples: usize) -> Self {
        Self {
            neurons,
            types: vec![1.0],
            variation: 0.0,
            centred: true,
            side: 48,
            kernel: 17,
            mean_response: 0.1,
            samples,
            validation: None,
            test: 10_000,
            test_repeats: 0,
            seed: 1,
            stimulus_seed: None,
        }
    }

    /// Figure 4: 500 small and 500 large neurons with jitter, 2¹³ images.
    pub fn fig4() -> Self {
        Self {
            types: vec![0.6, 1.0],
            variation: 0.05,
            centred: false,
            seed: 2452,
            ..Self::fig3(1000, 1 << 13)
        }
    }

    /// Two types on small images, with repeated test images: fitted in seconds.
    pub fn demo() -> Self {
        Self { neurons: 60, side: 24, kernel: 13, samples: 1500, test: 60, test_repeats: 10, ..Self::fig4() }
    }

    /// The preset called `name`, one of [`NAMES`].
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) when there is none.
    pub fn named(name: &str) -> Result<Self> {
        match name {
            "klindt-linear" => Ok(Self::demo()),
            "klindt-fig3" => Ok(Self::fig3(100, 1 << 12)),
            "klindt-fig4" => Ok(Self::fig4()),
            _ => Err(unknown("simulation", name, &NAMES)),
        }
    }

    /// Sets one of [`KEYS`] from text.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) for an unknown key, with the nearest one as hint,
    /// and for a value that cannot be read.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "neurons" => self.neurons = read(key, value)?,
            "types" => self.types = read_list(key, value)?,
            "variation" => self.variation = read(key, value)?,
            "centred" => self.centred = read(key, value)?,
            "side" => self.side = read(key, value)?,
            "kernel" => self.kernel = read(key, value)?,
            "mean_response" => self.mean_response = read(key, value)?,
            "samples" => self.samples = read(key, value)?,
            "validation" => self.validation = Some(read(key, value)?),
            "test" => self.test = read(key, value)?,
            "test_repeats" => self.test_repeats = read(key, value)?,
            "seed" => self.seed = read(key, value)?,
            "stimulus_seed" => self.stimulus_seed = Some(read(key, value)?),
            _ => return Err(unknown("parameter", key, &KEYS.map(|(name, _)| name))),
        }
        Ok(())
    }

    /// Number of validation images.
    pub fn validation_images(&self) -> usize {
        self.validation.unwrap_or((self.samples / 5).min(10_000))
    }

    /// Number of test trials: images times presentations.
    pub fn test_trials(&self) -> usize {
        self.test.saturating_mul(self.test_repeats.max(1))
    }

    /// Number of trials of all tiers.
    pub fn trials(&self) -> usize {
        self.samples.saturating_add(self.test_trials())
    }

    /// Refuses what cannot be simulated.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) naming the parameter.
    pub fn check(&self) -> Result<()> {
        let (types, validation) = (self.types.len(), self.validation_images());
        let positive = |value: &f64| value.is_finite() && *value > 0.0;
        require(
            !self.types.is_empty() && self.types.iter().all(positive),
            "types",
            "must be positive numbers",
        )?;
        let split = self.neurons > 0 && self.neurons.is_multiple_of(types);
        require(split, "neurons", format!("must be a positive multiple of the {types} types"))?;
        require((0.0..1.0).contains(&self.variation), "variation", "must be at least 0 and below 1")?;
        require(positive(&self.mean_response), "mean_response", "must be positive")?;
        let fits = self.kernel % 2 == 1 && self.kernel <= self.side;
        require(fits, "kernel", format!("must be odd and at most the side of the images, {}", self.side))?;
        require(self.samples > 0, "samples", "must be positive")?;
        require(validation < self.samples, "validation", format!("must be below samples, {}", self.samples))?;
        bounded("side", &[self.side, self.side])?;
        bounded("neurons", &[self.neurons, self.kernel, self.kernel])?;
        bounded("samples", &[self.samples])?;
        bounded("test", &[self.trials()])
    }

    /// Whether all noise-free responses and receptive fields fit in memory, as writing them needs.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) naming the parameter.
    pub fn check_writable(&self) -> Result<()> {
        bounded("samples", &[self.trials(), self.neurons])?;
        bounded("neurons", &[self.neurons, self.side, self.side])
    }

    /// With every default filled in, so that it can be written down.
    pub(super) fn resolved(self) -> Self {
        let validation = Some(self.validation_images());
        let stimulus_seed = self.stimulus_seed.or(Some(self.seed.into()));
        Self { validation, stimulus_seed, ..self }
    }

    pub(super) fn draw_neurons(&self) -> Vec<DogNeuron> {
        let of_type = |(kind, &scale): (usize, &f64)| {
            self.dog_type(scale).neurons(kind, self.neurons / self.types.len(), self.seed)
        };
        self.types.iter().enumerate().flat_map(of_type).collect()
    }

    fn dog_type(&self, scale: f64) -> DogType {
        DogType {
            scale,
            variation: self.variation,
            centred: self.centred,
            kernel: self.kernel,
            positions: self.side - self.kernel + 1,
            mean_response: self.mean_response,
        }
    }
}

fn require(holds: bool, key: &str, message: impl Into<String>) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::config(message).key(key)) }
}

fn bounded(key: &str, factors: &[usize]) -> Result<()> {
    let size = factors.iter().try_fold(1_usize, |product, &factor| product.checked_mul(factor));
    let fits = size.is_some_and(|size| size <= MOST_VALUES);
    require(fits, key, format!("is too large: an array would have more than {MOST_VALUES} values"))
}

fn read<T: FromStr<Err: Display>>(key: &str, value: &str) -> Result<T> {
    let refused = |error: T::Err| Error::config(format!("cannot use `{value}`: {error}")).key(key);
    value.trim().parse().map_err(refused)
}

fn read_list(key: &str, value: &str) -> Result<Vec<f64>> {
    let inner = value.trim().trim_start_matches('[').trim_end_matches(']');
    inner.split(',').map(|item| read(key, item)).collect()
}

fn unknown(what: &str, name: &str, known: &[&str]) -> Error {
    let hint = match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are: {}", known.join(", ")),
    };
    Error::config(format!("no {what} is called `{name}`")).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_can_be_set_and_every_name_is_valid() {
        for name in NAMES {
            KlindtLinear::named(name).unwrap().check().unwrap();
        }
        for (key, _) in KEYS {
            let value = if key == "centred" { "true" } else { "1" };
            KlindtLinear::demo().set(key, value).unwrap();
        }
        let mut demo = KlindtLinear::demo();
        demo.set("types", "[0.6, 1, 1.5]").unwrap();
        assert_eq!(demo.types, [0.6, 1.0, 1.5]);
    }

    #[test]
    fn slips_of_the_keyboard_get_a_hint() {
        let error = KlindtLinear::demo().set("nuerons", "3").unwrap_err();
        assert_eq!(error.advice(), Some("did you mean `neurons`?"));
        assert_eq!(
            KlindtLinear::named("klindt_linear").unwrap_err().advice(),
            Some("did you mean `klindt-linear`?")
        );
        let error = KlindtLinear::demo().set("side", "-3").unwrap_err();
        assert_eq!(error.to_string(), "`side`: cannot use `-3`: invalid digit found in string");
    }

    #[test]
    fn impossible_and_absurd_parameters_are_refused_by_name() {
        let bad = [
            ("neurons", "7"),
            ("neurons", "0"),
            ("neurons", "1000000000000"),
            ("types", "0.6,nan"),
            ("variation", "1"),
            ("mean_response", "inf"),
            ("kernel", "25"),
            ("kernel", "4"),
            ("side", "18446744073709551615"),
            ("samples", "0"),
            ("validation", "1500"),
            ("test", "18446744073709551615"),
        ];
        for (key, value) in bad {
            let mut demo = KlindtLinear::demo();
            demo.set(key, value).unwrap();
            assert_eq!(demo.check().unwrap_err().place().key.as_deref(), Some(key), "{key}={value}");
        }
    }

    #[test]
    fn the_papers_counts() {
        assert_eq!(KlindtLinear::fig4().validation_images(), 1638);
        assert_eq!(KlindtLinear::fig3(100, 1 << 18).validation_images(), 10_000);
        let neurons = KlindtLinear::fig4().draw_neurons();
        assert_eq!((neurons.len(), neurons[3].corner), (1000, neurons[503].corner));
        assert_eq!((neurons[499].kind, neurons[500].kind), (0, 1));
    }
}
