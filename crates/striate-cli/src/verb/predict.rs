//! `striate predict`: what a twin says about any images.

use std::path::PathBuf;

use striate::error::{Error, Result};
use striate::recording::{self, Tier, npy};
use striate::twin::{Ensemble, State};
use striate::{disk, ops, scoring, stimulus};

use super::{check_out, one_part, opened, same_session, warn_of_another};
use crate::Common;
use crate::outcome::{DONE, Outcome};

/// Predict the response of every neuron of a run to any images.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  striate predict runs/first --data stack.npy --out responses.npy
  striate predict runs/first --data a.png b.png --out responses.npy
  striate predict runs/first --data stack.npy --behavior running.npy --pupil eye.npy --out responses.npy
  striate predict runs/first --data mouse.zip --tier test --out responses.npy

Rows are in the order of the images given. A model of videos takes a stack as one movie, frame after frame, and has no rows for
the first frames, which it only looks back at. Rows of a recording are its trials, in its own order (of a
Sensorium recording 0.npy, 1.npy, …): all of them, or with --tier those of one tier. Columns are the
neurons of the run, in the order of `unit_ids` in its twin.json.")]
pub struct Args {
    /// The run folder.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// A recording, a stack `.npy` of shape [image, channel, height, width], or PNGs, in raw pixel values; for a model of videos
    /// the frames of one movie.
    #[arg(long, required = true, num_args = 1.., value_name = "DATA")]
    data: Vec<PathBuf>,
    /// The session whose neurons are predicted, of a run on several.
    #[arg(long, value_name = "SESSION")]
    session: Option<String>,
    /// The tier of a recording to predict; all trials when not given.
    #[arg(long, value_name = "TIER")]
    tier: Option<String>,
    /// Behaviour for a stack, `.npy` of shape [image, variable] in recorded units; the training mean when not given.
    #[arg(long, value_name = "FILE")]
    behavior: Option<PathBuf>,
    /// Pupil centre for a stack, `.npy` of shape [image, 2] in recorded units; the training mean when not given.
    #[arg(long, value_name = "FILE")]
    pupil: Option<PathBuf>,
    /// Where to write responses, `.npy` of shape [image, neuron], in the recording's units; of videos [sample, neuron], trial after
    /// trial, without the first samples of each that the model only looks back at.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub fn run(args: &Args, common: &Common) -> Outcome {
    let inputs = args.data.iter().chain(&args.behavior).chain(&args.pupil);
    check_out(&args.out, "npy", &inputs.map(PathBuf::as_path).collect::<Vec<_>>())?;
    let device = ops::device(&common.device)?;
    let run = one_part(&opened(&args.run)?, args.session.as_deref())?;
    let twin = Ensemble::load(&run, &device)?;
    let responses = if args.data.iter().all(|path| stimulus::is_images(path)) {
        if args.tier.is_some() {
            return Err(Error::config("is not used: only recordings have tiers").key("--tier").into());
        }
        let images = stimulus::read(&args.data, twin.image_shape())?;
        twin.warn_of_other_units(&images);
        let count = images.len() / twin.image_shape().iter().product::<usize>().max(1);
        // What looks back in time is shown a stack as one clip.
        let samples = if twin.sees_clips() { count } else { 1 };
        twin.respond(&images, samples, &state(args, &twin, count)?, &device)?
    } else {
        if let Some(key) = args.given_state() {
            let error = Error::config("is for stacks of images: a recording has its own").key(key);
            return Err(error.into());
        }
        let [data] = args.data.as_slice() else {
            return Err(Error::config("several files must all be PNGs").key("--data").into());
        };
        let recording = recording::open(data).map_err(|e| e.hint(TAKEN))?;
        let session = same_session(&recording, &run, data)?;
        warn_of_another(&run, session)?;
        let trials = match &args.tier {
            Some(tier) => session.require_tier(&Tier::from(tier.as_str()))?,
            None => (0..session.trials.len()).collect(),
        };
        scoring::predict(&twin, session, &trials, &device)?
    };
    let neurons = twin.neurons().len();
    disk::write_bytes(&args.out, &npy::write_f32(&[responses.len() / neurons, neurons], &responses))?;
    say!("{}\n", args.out.display());
    Ok(DONE)
}

impl Args {
    /// The first option that says what the animal did.
    fn given_state(&self) -> Option<&'static str> {
        let given = [("--behavior", &self.behavior), ("--pupil", &self.pupil)];
        given.into_iter().find(|(_, file)| file.is_some()).map(|(key, _)| key)
    }
}

/// What the animal did while it saw each of `images` images: the mean of the training trials where no file says.
fn state(args: &Args, twin: &Ensemble, images: usize) -> Result<State> {
    let read = |file: &Option<PathBuf>, key, what, variables| match (file, variables) {
        (None, _) => Ok(Vec::new()),
        (Some(_), 0) => Err(Error::config(format!("is not used: this model takes in no {what}")).key(key)),
        (Some(file), variables) => {
            stimulus::read_variables(file, images, variables).map_err(|error| error.key(key))
        }
    };
    let [behaviour, pupil] = twin.variables();
    Ok(State {
        behaviour: read(&args.behavior, "--behavior", "behaviour", behaviour)?,
        pupil: read(&args.pupil, "--pupil", "pupil centre", pupil)?,
    })
}

const TAKEN: &str = "--data takes a stack .npy, PNGs, or a recording: a folder or a .zip";
