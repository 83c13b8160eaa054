//! A simulation as a recording folder in the Sensorium 2022 layout, with its truth beside it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Block, Simulation, truth};
use crate::disk;
use crate::error::{Error, Result};
use crate::recording::write::{Plan, TrialValues, refuse_strangers, write_into};
use crate::recording::{Neurons, Trial};

/// Trials computed together: enough for every core, little enough for memory.
const BLOCK: usize = 256;

/// Writes `simulation` as recording folder `path`, with the folder `truth/` inside.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config) when `path` holds anything but an earlier simulation or
/// the simulation is too large to write; otherwise when a file cannot be written.
pub fn write(simulation: &Simulation, path: &Path) -> Result<()> {
    simulation.design().check_writable()?;
    refuse_foreign(path, |_| false, truth::is_file)?;
    disk::renew_folder(path, |folder| {
        let responses = write_recording(simulation, folder)?;
        truth::write(simulation, &responses, folder)
    })
}

/// Nothing but a simulation is ever replaced by one: a recording, or a folder that holds nothing but `part`s of one,
/// each of files that are `known` by their names.
pub(super) fn refuse_foreign(
    path: &Path,
    part: impl Fn(&Path) -> bool,
    known: impl Fn(&str) -> bool,
) -> Result<()> {
    let entries = match fs::read_dir(path) {
        Err(_) if !path.exists() => return Ok(()),
        entries => entries.map_err(|source| Error::io("cannot read", path, source))?,
    };
    let is_system =
        |path: &PathBuf| path.file_name().and_then(OsStr::to_str).is_some_and(disk::is_system_file);
    let inside: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| !is_system(path)).collect();
    if truth::is_simulation(path) {
        return refuse_strangers(path, known);
    }
    if inside.iter().all(|inside| part(inside)) {
        return inside.iter().try_for_each(|part| refuse_strangers(part, &known));
    }
    Err(Error::config("exists and is not a simulation written by striate; it stays as it is")
        .file(path)
        .hint("choose another folder"))
}

/// Writes the recording and returns the noise-free responses, `[trial, neuron]`.
fn write_recording(simulation: &Simulation, folder: &Path) -> Result<Vec<f32>> {
    let (trials, design) = (simulation.trials(), simulation.design());
    let mut truth = Vec::with_capacity(trials * simulation.neurons().len());
    let mut block = Block::default();
    let neurons = Neurons { ids: (0..).take(simulation.neurons().len()).collect(), ..Neurons::default() };
    let table: Vec<Trial> = (0..trials).map(|trial| simulation.row(trial)).collect();
    let plan = Plan { neurons: &neurons, trials: &table, image_shape: design.image_shape, clips: None };
    write_into(folder, &plan, |trial| {
        if trial % BLOCK == 0 {
            block = simulation.block(trial..trials.min(trial + BLOCK));
            truth.extend_from_slice(&block.truth);
        }
        Ok(values(&block, trial % BLOCK, design.pixels(), neurons.len()))
    })?;
    Ok(truth)
}

fn values(block: &Block, at: usize, pixels: usize, neurons: usize) -> TrialValues {
    TrialValues {
        image: block.images[at * pixels..][..pixels].to_vec(),
        responses: block.responses[at * neurons..][..neurons].to_vec(),
        ..TrialValues::default()
    }
}
