//! `striate predict`: what a twin says about any images.

use std::path::PathBuf;

use striate::error::Error;
use striate::recording::{self, npy};
use striate::run::RunFolder;
use striate::twin::{Ensemble, State};
use striate::{batch, disk, ops, scoring, stimulus};

use crate::Common;
use crate::outcome::{DONE, Outcome, say};

/// Predict the response of every neuron of a run to any images.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  striate predict runs/first --data stack.npy --out responses.npy
  striate predict runs/first --data a.png b.png --out responses.npy
  striate predict runs/first --data mouse.zip --out responses.npy")]
pub struct Args {
    /// The run folder.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// A recording, a stack `.npy` of shape [image, channel, height, width], or PNGs, in raw pixel values.
    #[arg(long, required = true, num_args = 1.., value_name = "DATA")]
    data: Vec<PathBuf>,
    /// Where to write responses, `.npy` of shape [image, neuron], in the recording's units.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub fn run(args: &Args, common: &Common) -> Outcome {
    let device = ops::device(&common.device)?;
    let twin = Ensemble::load(&RunFolder::open(&args.run)?, &device)?;
    let responses = if args.data.iter().all(|path| stimulus::is_images(path)) {
        let images = stimulus::read(&args.data, twin.image_shape())?;
        // Files hold no behaviour or pupil: the images are seen in the mean state.
        twin.respond(&images, &State::default(), &device)?
    } else {
        let [data] = args.data.as_slice() else {
            return Err(Error::config("several files must all be PNGs").key("--data").into());
        };
        let recording = recording::open(data)?;
        let session = batch::session_of(&recording, "")?;
        let trials: Vec<usize> = (0..session.trials.len()).collect();
        scoring::predict(&twin, session, &trials, &device)?
    };
    let neurons = twin.neurons().len();
    disk::write_bytes(&args.out, &npy::write_f32(&[responses.len() / neurons, neurons], &responses))?;
    say(format_args!("{}\n", args.out.display()))?;
    Ok(DONE)
}
