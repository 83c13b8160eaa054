//! Animals as recording folders in the Sensorium 2023 layout, each with its truth beside it.

use std::path::Path;

use rayon::prelude::*;

use super::animal::{Animal, Shown};
use super::cell::{Cell, Kind, Population};
use super::{Movies, RATE_HZ};
use crate::disk;
use crate::error::Result;
use crate::recording::npy;
use crate::recording::write::{Clips, Plan, write_into};
use crate::simulate::world::Options;
use crate::simulate::{Parameters, truth, write as folders};

/// What the folder of an animal is called, before its number.
const ANIMAL: &str = "animal";

/// Writes each animal as recording folder `path/animalN`, with the folder `truth/` inside. Only some trials are in memory at a
/// time.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config) for parameters that cannot be simulated, or when `path` holds anything but an
/// earlier simulation; otherwise when a file cannot be written.
pub fn write(movies: &Movies, path: &Path) -> Result<()> {
    movies.check()?;
    folders::refuse_foreign(path, is_animal, truth::is_file)?;
    disk::renew_folder(path, |folder| {
        (0..movies.animals).try_for_each(|animal| {
            write_animal(movies, &Animal::new(movies, animal), &folder.join(format!("{ANIMAL}{animal}")))
        })
    })
}

/// Whether [`write`] made the folder `path`, and no other command.
fn is_animal(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()?.strip_prefix(ANIMAL));
    name.is_some_and(|index| index.parse::<usize>().is_ok())
        && matches!(truth::parameters_of(path), Some(Parameters::Movies(_)))
}

fn write_animal(movies: &Movies, animal: &Animal<'_>, folder: &Path) -> Result<()> {
    let (neurons, trials) = (animal.neurons(), animal.trials());
    let clips = Clips { stored: movies.stored(), rate_hz: RATE_HZ };
    let plan = Plan {
        neurons: &neurons,
        trials: &trials,
        image_shape: [1, movies.height, movies.width],
        clips: Some(clips),
    };
    let at_once = rayon::current_num_threads();
    let mut shown: Vec<Shown> = Vec::new();
    write_into(folder, &plan, |trial| {
        if shown.is_empty() {
            let block = trial..trials.len().min(trial + at_once);
            shown = block.into_par_iter().map(|trial| animal.trial(trial)).rev().collect();
        }
        let Shown { values, truth } = shown.pop().expect("a block has a trial");
        let shape = [neurons.len(), truth.len() / neurons.len()];
        put(folder, &format!("responses/{trial}.npy"), &npy::write_f32(&shape, &truth))?;
        Ok(values)
    })?;
    write_cells(&movies.population(), &movies.kinds, &animal.cells, folder)?;
    put(folder, "truth.json", &truth::header(&movies.clone().into()))
}

/// What is known of each neuron, in the folder `truth/` of its recording.
pub(in crate::simulate) fn write_cells(
    of: &Population,
    kinds: &[Kind],
    cells: &[Cell],
    folder: &Path,
) -> Result<()> {
    let (n, side, lags) = (cells.len(), of.patch(), of.lags());
    let array = |name: &str, shape: &[usize], of: &dyn Fn(&Cell) -> Vec<f32>| {
        let values: Vec<f32> = cells.iter().flat_map(of).collect();
        put(folder, &format!("{name}.npy"), &npy::write_f32(&[&[n], shape].concat(), &values))
    };
    let kind =
        |cell: &Cell| kinds.iter().position(|kind| *kind == cell.kind).expect("of a kind asked for") as i64;
    let kinds: Vec<i64> = cells.iter().map(kind).collect();
    put(folder, "type.npy", &npy::write_i64(&[n], &kinds))?;
    array("locations", &[2], &|cell| cell.centre.map(|at| at as f32).to_vec())?;
    array("corner", &[2], &|cell| cell.corner.map(|at| at as f32).to_vec())?;
    array("space", &[2, side, side], &|cell| cell.space.concat())?;
    array("time", &[2, 2, lags], &|cell| cell.time.as_flattened().concat())?;
    array("latency_ms", &[], &|cell| vec![cell.latency_ms as f32])?;
    array("gain", &[], &|cell| vec![cell.gain as f32])
}

/// A file of the truth of a recording.
pub(in crate::simulate) fn put(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    disk::write_bytes(&folder.join("truth").join(name), bytes)
}
