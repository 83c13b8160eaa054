//! The right answers of a simulated recording: the folder `truth/` beside its data.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::network::POSITIONS;
use super::{Design, DogNeuron, Neuron, Parameters, Simulation};
use crate::disk;
use crate::error::{Error, Result};
use crate::recording::{Session, npy};

const FORMAT: u64 = 1;

/// What is known about a simulated recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    /// What it was made from.
    pub parameters: Parameters,
    /// Type of each neuron.
    pub types: Vec<usize>,
    /// Centre of each neuron, row and column of a mask after a valid convolution.
    pub locations: Vec<[f32; 2]>,
    /// Kernels of linear neurons, `[neuron, row, column]`.
    pub kernels: Option<Vec<f32>>,
    /// Noise-free responses, `[trial, neuron]`, trials in the order of the recording.
    pub responses: Vec<f32>,
}

/// `truth.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    format: u64,
    striate: String,
    /// With the name of their generator.
    #[serde(flatten)]
    parameters: Parameters,
    #[serde(default)]
    notes: Vec<String>,
}

impl Truth {
    /// Truth of `session` in the recording folder `recording`; `None` when it is not a simulation.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) naming the file that is damaged, written by a newer striate, or speaks of
    /// other neurons or trials than those of `session`.
    pub fn open(recording: &Path, session: &Session) -> Result<Option<Self>> {
        if !is_simulation(recording) {
            return Ok(None);
        }
        let folder = recording.join("truth");
        let parameters = read_parameters(&folder)?;
        let design = parameters.design();
        check_session(&design, session).map_err(|e| e.file(&folder))?;
        let neurons = design.neurons;
        let kernels = |side| read(&folder, "kernels.npy", &[neurons, side, side]);
        let types = read(&folder, "type.npy", &[neurons])?.iter().map(|&kind| kind as usize).collect();
        let locations = read(&folder, "locations.npy", &[neurons, 2])?;
        Ok(Some(Self {
            types,
            locations: locations.chunks_exact(2).map(|at| [at[0], at[1]]).collect(),
            kernels: parameters.kernel().map(kernels).transpose()?,
            responses: read(&folder, "responses.npy", &[design.trials(), neurons])?,
            parameters,
        }))
    }
}

impl Truth {
    /// Centre of each neuron, row and column in pixels of the image.
    pub fn centres(&self) -> Vec<[f64; 2]> {
        let [_, side, _] = self.parameters.design().image_shape;
        let map = self.parameters.kernel().map_or(POSITIONS, |kernel| side - kernel + 1);
        // A map after valid convolutions lies in the middle of the image.
        let edge = (side - map) as f64 / 2.0;
        self.locations.iter().map(|at| at.map(|value| f64::from(value) + edge)).collect()
    }
}

/// Rows and columns of the truth are those of the recording.
fn check_session(design: &Design, session: &Session) -> Result<()> {
    let (truth, here) = ([design.neurons, design.trials()], [session.neurons.len(), session.trials.len()]);
    if truth == here {
        return Ok(());
    }
    let counts = |[neurons, trials]: [usize; 2]| format!("{neurons} neurons in {trials} trials");
    Err(Error::data(format!("speaks of {}, the recording holds {}", counts(truth), counts(here)))
        .hint("restore the one that was changed; a recording without `truth/` is scored like any other"))
}

/// Whether `path` is a recording that striate simulated.
pub(super) fn is_simulation(path: &Path) -> bool {
    path.join("truth/truth.json").is_file()
}

/// Whether [`write`] gives a file of a recording this name.
pub(super) fn is_file(name: &str) -> bool {
    let known = ["truth.json", "type.npy", "locations.npy", "responses.npy", "kernels.npy", "rf.npy"];
    name.strip_prefix("truth/").is_some_and(|name| known.contains(&name))
}

/// Writes `folder/truth`; `responses` are noise-free, `[trial, neuron]`.
pub(super) fn write(simulation: &Simulation, responses: &[f32], folder: &Path) -> Result<()> {
    let (neurons, folder) = (simulation.neurons(), folder.join("truth"));
    let n = neurons.len();
    let types: Vec<i64> = neurons.iter().map(|neuron| neuron.kind as i64).collect();
    let location = |neuron: &Neuron| neuron.location.map(|value| value as f32);
    let locations: Vec<f32> = neurons.iter().flat_map(location).collect();
    put(&folder, "type.npy", &npy::write_i64(&[n], &types))?;
    put(&folder, "locations.npy", &npy::write_f32(&[n, 2], &locations))?;
    put(&folder, "responses.npy", &npy::write_f32(&[simulation.trials(), n], responses))?;
    if let Some(kernel) = simulation.parameters().kernel() {
        write_receptive_fields(simulation, kernel, &folder)?;
    }
    put(&folder, "truth.json", &header(simulation.parameters()))
}

fn write_receptive_fields(simulation: &Simulation, kernel: usize, folder: &Path) -> Result<()> {
    let (neurons, [_, height, width]) = (simulation.linear(), simulation.design().image_shape);
    let array = |of: &dyn Fn(&DogNeuron) -> Vec<f64>| -> Vec<f32> {
        neurons.iter().flat_map(of).map(|value| value as f32).collect()
    };
    let kernels = array(&|neuron| neuron.kernel.clone());
    let fields = array(&|neuron| neuron.receptive_field(width));
    put(folder, "kernels.npy", &npy::write_f32(&[neurons.len(), kernel, kernel], &kernels))?;
    put(folder, "rf.npy", &npy::write_f32(&[neurons.len(), height, width], &fields))
}

fn put(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    disk::write_bytes(&folder.join(name), bytes)
}

fn header(parameters: &Parameters) -> Vec<u8> {
    let header = Header {
        format: FORMAT,
        striate: env!("CARGO_PKG_VERSION").into(),
        parameters: parameters.clone(),
        notes: parameters.notes().iter().copied().map(Into::into).collect(),
    };
    serde_json::to_vec_pretty(&header).expect("plain data")
}

fn read_parameters(folder: &Path) -> Result<Parameters> {
    let path = folder.join("truth.json");
    let text = disk::read_text(&path, disk::TEXT)?;
    let damaged = |error: &dyn std::fmt::Display| Error::data(format!("is damaged: {error}")).file(&path);
    // The format first: what follows it may look different in a newer one.
    let value: serde_json::Value = serde_json::from_str(&text).map_err(|error| damaged(&error))?;
    let newer = "was it written by a newer striate?";
    if value["format"].as_u64() > Some(FORMAT) {
        let message =
            format!("is a simulation of format {}, known are those up to {FORMAT}", value["format"]);
        return Err(Error::data(message).file(&path).hint(newer));
    }
    let header: Header = serde_json::from_value(value).map_err(|error| damaged(&error).hint(newer))?;
    let parameters = header.parameters;
    let writable = parameters.check().and_then(|()| parameters.design().check_writable());
    writable.map_err(|error| damaged(&error))?;
    Ok(parameters)
}

fn read(folder: &Path, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
    let path = folder.join(name);
    let bytes = disk::read(&path, disk::ARRAYS)?;
    let values = npy::parse(bytes).and_then(|array| array.expect(shape)?.to_f32());
    values.map_err(|error| error.file(&path))
}
