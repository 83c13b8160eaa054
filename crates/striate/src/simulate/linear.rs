//! `klindt-linear`: populations of linear neurons of a few types, and the presets of the paper.

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::design::Design;
use super::dog::{DogNeuron, DogType};
use super::keys::{bounded, read_list, require, unknown_key};
use super::world::{GroundTruth, Neuron, Options, World, normal};
use crate::error::{Result, in_range, read};

/// Parameters that can be set by name, and what they mean.
const KEYS: [(&str, &str); 13] = [
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

    fn draw_neurons(&self) -> Vec<DogNeuron> {
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

impl Options for KlindtLinear {
    fn keys(&self) -> &'static [(&'static str, &'static str)] {
        &KEYS
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
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
            _ => return Err(unknown_key(key, &KEYS)),
        }
        Ok(())
    }

    fn check(&self) -> Result<()> {
        let types = self.types.len();
        require(types > 0, "types", "must be positive numbers")?;
        self.types.iter().try_for_each(|&size| in_range("types", size, 0.01..=1e4))?;
        let split = self.neurons > 0 && self.neurons.is_multiple_of(types);
        require(split, "neurons", format!("must be a positive multiple of the {types} types"))?;
        require((0.0..1.0).contains(&self.variation), "variation", "must be at least 0 and below 1")?;
        in_range("mean_response", self.mean_response, 1e-6..=1e6)?;
        let fits = self.kernel % 2 == 1 && self.kernel <= self.side;
        require(fits, "kernel", format!("must be odd and at most the side of the images, {}", self.side))?;
        bounded("side", &[self.side, self.side])?;
        bounded("neurons", &[self.neurons, self.side, self.side])
    }

    fn words(&self) -> [String; 2] {
        let types: Vec<String> = self.types.iter().map(f64::to_string).collect();
        let Self { neurons, kernel, side, .. } = self;
        let sizes = types.join(", ");
        [
            format!("{neurons} of kernel size {sizes}, kernels {kernel} × {kernel}"),
            format!("{side} × {side} pixels of white noise"),
        ]
    }

    fn notes(&self) -> &'static [&'static str] {
        &NOTES
    }
}

impl GroundTruth for KlindtLinear {
    fn resolve(&mut self) {
        let Design { validation, stimulus_seed, .. } = self.design();
        (self.validation, self.stimulus_seed) = (Some(validation), Some(stimulus_seed));
    }

    fn design(&self) -> Design {
        Design {
            neurons: self.neurons,
            image_shape: [1, self.side, self.side],
            samples: self.samples,
            validation: self.validation.unwrap_or((self.samples / 5).min(10_000)),
            test: self.test,
            test_repeats: self.test_repeats,
            test_first: false,
            stimulus_seed: self.stimulus_seed.unwrap_or(self.seed.into()),
        }
    }

    fn kernel(&self) -> Option<usize> {
        Some(self.kernel)
    }

    fn build(&self) -> Box<dyn World> {
        Box::new(Linear { neurons: self.draw_neurons(), side: self.side })
    }
}

const NOTES: [&str; 6] = [
    "images: independent standard normal pixels",
    "y* = <rf, image>; responses = y* + e, e normal with variance |y*|; without test repeats the test tier is y*",
    "rf.npy [neuron, row, column]: kernels.npy [neuron, row, column] in an image of zeros",
    "locations.npy [neuron, (row, column)]: centre of the kernel in a mask after a valid convolution",
    "responses.npy [trial, neuron]: y* of every trial, in the order of the recording",
    "type.npy [neuron]: index into parameters.types",
];

/// Linear neurons seeing standard normal pixels.
#[derive(Debug)]
struct Linear {
    neurons: Vec<DogNeuron>,
    side: usize,
}

impl World for Linear {
    fn neurons(&self) -> Vec<Neuron> {
        let neuron = |dog: &DogNeuron| Neuron { kind: dog.kind, location: dog.location() };
        self.neurons.iter().map(neuron).collect()
    }

    fn linear(&self) -> &[DogNeuron] {
        &self.neurons
    }

    fn show(&self, random: &mut ChaCha8Rng, image: &mut [f32]) {
        image.iter_mut().zip(normal(random)).for_each(|(pixel, z)| *pixel = z);
    }

    fn respond(&self, image: &[f32]) -> Vec<f64> {
        self.neurons.iter().map(|neuron| neuron.respond(image, self.side)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::Parameters;

    #[test]
    fn lists_may_stand_in_brackets() {
        let mut demo = KlindtLinear::demo();
        demo.set("types", "[0.6, 1, 1.5]").unwrap();
        assert_eq!(demo.types, [0.6, 1.0, 1.5]);
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
            let checked = demo.set(key, value).and_then(|()| Parameters::from(demo).check());
            let error = checked.unwrap_err();
            assert_eq!(error.place().key.as_deref(), Some(key), "{key}={value}");
        }
    }

    #[test]
    fn the_papers_counts() {
        assert_eq!(KlindtLinear::fig4().design().validation, 1638);
        assert_eq!(KlindtLinear::fig3(100, 1 << 18).design().validation, 10_000);
        let neurons = KlindtLinear::fig4().draw_neurons();
        assert_eq!((neurons.len(), neurons[3].corner), (1000, neurons[503].corner));
        assert_eq!((neurons[499].kind, neurons[500].kind), (0, 1));
    }
}
