//! `striate predict`: what a twin says about any images.

use std::path::{Path, PathBuf};

use striate::error::{Error, Result};
use striate::recording::{self, npy};
use striate::run::RunFolder;
use striate::twin::Twin;
use striate::{batch, disk, ops, scoring};

use crate::Common;
use crate::outcome::{DONE, Outcome};

/// Predict the response of every neuron of a run to any images.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  striate predict runs/first --data stack.npy --out responses.npy
  striate predict runs/first --data mouse.zip --out responses.npy")]
pub struct Args {
    /// The run folder.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// A recording, or a stack `.npy` of shape [image, channel, height, width], in raw pixel values.
    #[arg(long, value_name = "DATA")]
    data: PathBuf,
    /// Where to write responses, `.npy` of shape [image, neuron], in the recording's units.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub fn run(args: &Args, common: &Common) -> Outcome {
    let device = ops::device(&common.device)?;
    let twin = Twin::load(&RunFolder::open(&args.run)?, &device)?;
    let responses = if args.data.extension().is_some_and(|e| e == "npy") {
        twin.respond(&stack(&args.data, twin.card.image_shape)?, &device)?
    } else {
        let recording = recording::open(&args.data)?;
        let session = batch::session_of(&recording, "")?;
        let trials: Vec<usize> = (0..session.trials.len()).collect();
        scoring::predict(&twin, session, &trials, &device)?
    };
    let neurons = twin.card.neurons.len();
    disk::write_bytes(&args.out, &npy::write_f32(&[responses.len() / neurons, neurons], &responses))?;
    println!("{}", args.out.display());
    Ok(DONE)
}

fn stack(path: &Path, shape: [usize; 3]) -> Result<Vec<f32>> {
    let bytes = std::fs::read(path).map_err(|e| Error::io("cannot read", path, e))?;
    let array = npy::parse(bytes).map_err(|e| e.file(path))?;
    if array.shape.len() != 4 || array.shape[1..] != shape {
        let message = format!(
            "has shape {:?}, expected [images, {}, {}, {}]",
            array.shape, shape[0], shape[1], shape[2]
        );
        return Err(Error::data(message).file(path));
    }
    array.to_f32().map_err(|e| e.file(path))
}
