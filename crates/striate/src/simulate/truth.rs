//! The right answers of a simulated recording: the folder `truth/` beside its data.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{DogNeuron, KlindtLinear, Simulation};
use crate::disk;
use crate::error::{Error, Result};
use crate::recording::npy;

const FORMAT: u64 = 1;
const GENERATOR: &str = "klindt-linear";

/// What is known about a simulated recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    /// What it was made from.
    pub parameters: KlindtLinear,
    /// Type of each neuron.
    pub types: Vec<usize>,
    /// Centre of each neuron, row and column of a mask after a valid convolution.
    pub locations: Vec<[f32; 2]>,
    /// Kernels, `[neuron, row, column]`.
    pub kernels: Vec<f32>,
    /// Noise-free responses, `[trial, neuron]`, trials in the order of the recording.
    pub responses: Vec<f32>,
}

/// `truth.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    format: u64,
    generator: String,
    striate: String,
    parameters: KlindtLinear,
    #[serde(default)]
    notes: Vec<String>,
}

impl Truth {
    /// Truth of the recording folder `recording`; `None` when it is not a simulation.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) naming the file that is damaged, or written by a newer
    /// striate.
    pub fn open(recording: &Path) -> Result<Option<Self>> {
        if !is_simulation(recording) {
            return Ok(None);
        }
        let folder = recording.join("truth");
        let parameters = read_parameters(&folder)?;
        let (neurons, kernel) = (parameters.neurons, parameters.kernel);
        let types = read(&folder, "type.npy", &[neurons])?.iter().map(|&kind| kind as usize).collect();
        let locations = read(&folder, "locations.npy", &[neurons, 2])?;
        Ok(Some(Self {
            types,
            locations: locations.chunks_exact(2).map(|at| [at[0], at[1]]).collect(),
            kernels: read(&folder, "kernels.npy", &[neurons, kernel, kernel])?,
            responses: read(&folder, "responses.npy", &[parameters.trials(), neurons])?,
            parameters,
        }))
    }
}

/// Whether `path` is a recording that striate simulated.
pub(super) fn is_simulation(path: &Path) -> bool {
    path.join("truth/truth.json").is_file()
}

/// Writes `folder/truth`; `responses` are noise-free, `[trial, neuron]`.
pub(super) fn write(simulation: &Simulation, responses: &[f32], folder: &Path) -> Result<()> {
    let (neurons, parameters) = (simulation.neurons(), simulation.parameters());
    let (n, side, kernel) = (neurons.len(), parameters.side, parameters.kernel);
    let array = |of: &dyn Fn(&DogNeuron) -> Vec<f64>| -> Vec<f32> {
        neurons.iter().flat_map(of).map(|value| value as f32).collect()
    };
    let types: Vec<i64> = neurons.iter().map(|neuron| neuron.kind as i64).collect();
    let put = |name: &str, bytes: Vec<u8>| disk::write_bytes(&folder.join("truth").join(name), &bytes);
    put("type.npy", npy::write_i64(&[n], &types))?;
    put("locations.npy", npy::write_f32(&[n, 2], &array(&|neuron| neuron.location().to_vec())))?;
    put("kernels.npy", npy::write_f32(&[n, kernel, kernel], &array(&|neuron| neuron.kernel.clone())))?;
    put("rf.npy", npy::write_f32(&[n, side, side], &array(&|neuron| neuron.receptive_field(side))))?;
    put("responses.npy", npy::write_f32(&[simulation.trials(), n], responses))?;
    put("truth.json", header(parameters))
}

fn header(parameters: &KlindtLinear) -> Vec<u8> {
    let header = Header {
        format: FORMAT,
        generator: GENERATOR.into(),
        striate: env!("CARGO_PKG_VERSION").into(),
        parameters: parameters.clone(),
        notes: NOTES.map(Into::into).to_vec(),
    };
    serde_json::to_vec_pretty(&header).expect("plain data")
}

const NOTES: [&str; 6] = [
    "images: independent standard normal pixels",
    "y* = <rf, image>; responses = y* + e, e normal with variance |y*|; without test repeats the test tier is y*",
    "rf.npy [neuron, row, column]: kernels.npy [neuron, row, column] in an image of zeros",
    "locations.npy [neuron, (row, column)]: centre of the kernel in a mask after a valid convolution",
    "responses.npy [trial, neuron]: y* of every trial, in the order of the recording",
    "type.npy [neuron]: index into parameters.types",
];

fn read_parameters(folder: &Path) -> Result<KlindtLinear> {
    let path = folder.join("truth.json");
    let text = fs::read_to_string(&path).map_err(|source| Error::io("cannot read", &path, source))?;
    let damaged = |error: &dyn std::fmt::Display| Error::data(format!("is damaged: {error}")).file(&path);
    // The format first: what follows it may look different in a newer one.
    let value: serde_json::Value = serde_json::from_str(&text).map_err(|error| damaged(&error))?;
    if value["format"].as_u64() > Some(FORMAT) || value["generator"] != GENERATOR {
        let message = format!("is a {} simulation of format {}", value["generator"], value["format"]);
        return Err(Error::data(message).file(&path).hint("was it written by a newer striate?"));
    }
    let header: Header = serde_json::from_value(value).map_err(|error| damaged(&error))?;
    let parameters = header.parameters;
    parameters.check().and_then(|()| parameters.check_writable()).map_err(|error| damaged(&error))?;
    Ok(parameters)
}

fn read(folder: &Path, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
    let path = folder.join(name);
    let bytes = fs::read(&path).map_err(|source| Error::io("cannot read", &path, source))?;
    let values = npy::parse(bytes).and_then(|array| array.expect(shape)?.to_f32());
    values.map_err(|error| error.file(&path))
}
