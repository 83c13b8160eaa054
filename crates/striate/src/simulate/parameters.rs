//! Kinds of ground truth by name: their presets, and what can be set.

use serde::{Deserialize, Serialize};

use super::linear::KlindtLinear;
use super::movies::cell::Population;
use super::movies::{Kind, Movies};
use super::moving::FreelyMoving;
use super::nonlinear::KlindtNonlinear;
use super::world::{GroundTruth, Options};
use crate::error::{Result, unknown};

/// What a simulation is made from, one variant per kind of ground truth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "generator", content = "parameters", rename_all = "kebab-case")]
pub enum Parameters {
    /// Linear neurons seeing white noise.
    KlindtLinear(KlindtLinear),
    /// Units of a nonlinear network seeing coloured images.
    KlindtNonlinear(KlindtNonlinear),
    /// Animals with space-time filters seeing movies.
    Movies(Movies),
    /// Animals with such filters that see through a camera on their head.
    FreelyMoving(FreelyMoving),
}

/// A simulation that has a name on the command line.
#[derive(Debug, Clone, Copy)]
pub struct Preset {
    /// Its name.
    pub name: &'static str,
    /// What it is, in a few words.
    pub meaning: &'static str,
    make: fn() -> Parameters,
}

/// Everything that can be simulated by name.
pub const PRESETS: [Preset; 9] = [
    preset("klindt-linear", "60 linear neurons of two types, small images of white noise", || {
        KlindtLinear::demo().into()
    }),
    preset("klindt-fig3", "identical linear neurons, white noise", || {
        KlindtLinear::fig3(100, 1 << 12).into()
    }),
    preset("klindt-fig4", "1000 linear neurons of two types, white noise", || KlindtLinear::fig4().into()),
    preset("klindt-fig5d", "nonlinear neurons of 4 types, coloured images", || {
        KlindtNonlinear::fig5d(100, 1 << 12).into()
    }),
    preset("klindt-fig5e", "64 nonlinear neurons of each of 4, 8 or 16 types, coloured images", || {
        KlindtNonlinear::fig5e(4).into()
    }),
    preset("movies", "animals with space-time filters that share movies in pairs, small", || {
        Movies::small().into()
    }),
    preset("movies-full", "10 animals of 7800 neurons, movies of 36 × 64 pixels: 15 GB", || {
        Movies::full().into()
    }),
    preset("freely-moving", "a freely moving mouse: head camera, gaze, mixed selectivity, small", || {
        FreelyMoving::small().into()
    }),
    preset(
        "freely-moving-full",
        "as large as a recording of Xu et al. 2023: 68 neurons, 43 minutes, 0.3 GB",
        || FreelyMoving::full().into(),
    ),
];

const fn preset(name: &'static str, meaning: &'static str, make: fn() -> Parameters) -> Preset {
    Preset { name, meaning, make }
}

impl From<KlindtLinear> for Parameters {
    fn from(parameters: KlindtLinear) -> Self {
        Self::KlindtLinear(parameters)
    }
}

impl From<KlindtNonlinear> for Parameters {
    fn from(parameters: KlindtNonlinear) -> Self {
        Self::KlindtNonlinear(parameters)
    }
}

impl From<Movies> for Parameters {
    fn from(parameters: Movies) -> Self {
        Self::Movies(parameters)
    }
}

impl From<FreelyMoving> for Parameters {
    fn from(parameters: FreelyMoving) -> Self {
        Self::FreelyMoving(parameters)
    }
}

impl Parameters {
    /// The preset called `name`, one of [`PRESETS`].
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) when there is none.
    pub fn named(name: &str) -> Result<Self> {
        match PRESETS.iter().find(|preset| preset.name == name) {
            Some(preset) => Ok((preset.make)()),
            None => Err(unknown("simulation", name, &PRESETS.map(|preset| preset.name))),
        }
    }

    /// Names of the parameters that can be set, and what they mean.
    pub fn keys(&self) -> &'static [(&'static str, &'static str)] {
        self.options().keys()
    }

    /// Sets one of [`Parameters::keys`] from text.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) for an unknown key, with the nearest one as hint,
    /// and for a value that cannot be read.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let options: &mut dyn Options = match self {
            Self::KlindtLinear(parameters) => parameters,
            Self::KlindtNonlinear(parameters) => parameters,
            Self::Movies(parameters) => parameters,
            Self::FreelyMoving(parameters) => parameters,
        };
        options.set(key, value)
    }

    /// Neurons, and images or movies, in words.
    pub fn words(&self) -> [String; 2] {
        self.options().words()
    }

    /// Refuses what cannot be simulated.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) naming the parameter.
    pub fn check(&self) -> Result<()> {
        self.options().check()?;
        self.images().map_or(Ok(()), |images| images.design().check())
    }

    pub(super) fn notes(&self) -> &'static [&'static str] {
        self.options().notes()
    }

    /// With every default filled in, so that it can be written down.
    pub(super) fn resolved(mut self) -> Self {
        match &mut self {
            Self::KlindtLinear(parameters) => parameters.resolve(),
            Self::KlindtNonlinear(parameters) => parameters.resolve(),
            Self::Movies(_) | Self::FreelyMoving(_) => (),
        }
        self
    }

    /// The ground truth of a simulation whose trials are images.
    pub(super) fn images(&self) -> Option<&dyn GroundTruth> {
        match self {
            Self::KlindtLinear(parameters) => Some(parameters),
            Self::KlindtNonlinear(parameters) => Some(parameters),
            Self::Movies(_) | Self::FreelyMoving(_) => None,
        }
    }

    /// What the neurons of an animal are drawn from, and their kinds, of animals with filters in space and time.
    pub(super) fn cells(&self) -> Option<(Population, &[Kind])> {
        match self {
            Self::Movies(of) => Some((of.population(), &of.kinds)),
            Self::FreelyMoving(of) => Some((of.population(), &of.kinds)),
            _ => None,
        }
    }

    fn options(&self) -> &dyn Options {
        match self {
            Self::KlindtLinear(parameters) => parameters,
            Self::KlindtNonlinear(parameters) => parameters,
            Self::Movies(parameters) => parameters,
            Self::FreelyMoving(parameters) => parameters,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_valid_and_every_key_can_be_set() {
        for preset in PRESETS {
            let mut parameters = Parameters::named(preset.name).unwrap();
            parameters.check().unwrap();
            for (key, _) in parameters.keys() {
                let value = match *key {
                    "centred" | "conjunctions" => "true",
                    "kinds" => "energy",
                    "delayed" => "pupil_center",
                    "latency_ms" => "30,60",
                    _ => "1",
                };
                parameters.set(key, value).unwrap();
            }
        }
    }

    #[test]
    fn slips_of_the_keyboard_get_a_hint() {
        for name in ["klindt-linear", "klindt-fig5d"] {
            let mut parameters = Parameters::named(name).unwrap();
            let error = parameters.set("nuerons", "3").unwrap_err();
            assert_eq!(error.advice(), Some("did you mean `neurons`?"));
            let error = parameters.set("test", "-3").unwrap_err();
            assert_eq!(error.to_string(), "`test`: cannot use `-3`: invalid digit found in string");
        }
        let error = Parameters::named("klindt_linear").unwrap_err();
        assert_eq!(error.advice(), Some("did you mean `klindt-linear`?"));
    }

    #[test]
    fn written_parameters_name_their_generator() {
        for preset in PRESETS {
            let parameters = (preset.make)().resolved();
            let value = serde_json::to_value(&parameters).unwrap();
            let generator = match parameters {
                Parameters::KlindtLinear(_) => "klindt-linear",
                Parameters::KlindtNonlinear(_) => "klindt-nonlinear",
                Parameters::Movies(_) => "movies",
                Parameters::FreelyMoving(_) => "freely-moving",
            };
            assert_eq!(value["generator"], generator);
            assert_eq!(serde_json::from_value::<Parameters>(value).unwrap(), parameters);
        }
    }
}
