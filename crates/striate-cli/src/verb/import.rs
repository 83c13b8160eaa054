//! `striate import`: a peer's PyTorch checkpoint becomes a run that every other verb takes.

use std::path::PathBuf;

use striate::error::{Error, Result};
use striate::import::{self, Data, Imported, Options};
use striate::recording;

use super::{command_line, session_of};
use crate::Common;
use crate::outcome::{DONE, Outcome};

/// Turn a PyTorch checkpoint of another toolkit into a run folder.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  striate import model.pth --as sensorium2022 --data static27204-5-13.zip --out runs/published
  striate score runs/published --data static27204-5-13.zip
  striate import model.pth --as sensorium2022-linear --session 26872-17-20 \\
      --image-shape 1,36,64 --image-mean 113.5 --image-sd 64.6 --out runs/published
  striate predict runs/published --data stack.npy --out responses.npy
  striate import val_070921_J553RT_all_prod_seq_4.pth --as xu2023 --steps 4 \\
      --data mouse-data-10-segment-split-70-30-48ms/070921_J553RT --out runs/published

Kinds: sensorium2022, sensorium2022-linear (the same layers without nonlinearities between them), xu2023 (freely moving
mice), xu2023-unshifted (the same, trained without gaze correction)")]
pub struct Args {
    /// The checkpoint: what `torch.save(model.state_dict(), …)` wrote.
    #[arg(value_name = "CHECKPOINT")]
    checkpoint: PathBuf,
    /// The toolkit it comes from.
    #[arg(long = "as", value_name = "KIND")]
    kind: String,
    /// Which session's readout, where the checkpoint holds several.
    #[arg(long, default_value = "", value_name = "ID")]
    session: String,
    /// The recording it was trained on: shape and scaling of images, responses, behaviour and pupil.
    #[arg(long, value_name = "DATA", conflicts_with_all = ["image_shape", "image_mean", "image_sd"])]
    data: Option<PathBuf>,
    /// Without a recording, the shape of the images: channels, height, width; behaviour planes are not counted.
    #[arg(long, value_delimiter = ',', required_unless_present = "data", value_name = "C,H,W")]
    image_shape: Vec<usize>,
    /// Mean of the pixels in training.
    #[arg(long, default_value_t = 0.0, value_name = "X")]
    image_mean: f32,
    /// Standard deviation of the pixels in training.
    #[arg(long, default_value_t = 1.0, value_name = "X")]
    image_sd: f32,
    /// Height in pixels to which higher images are made smaller before the model sees them; 0: not.
    #[arg(long, default_value_t = 0, value_name = "PIXELS")]
    image_height: usize,
    /// Behaviour that a model of xu2023 takes in, where the number of features does not tell (orig or velo).
    #[arg(long, default_value = "", value_name = "SET")]
    behaviour: String,
    /// Bins that each prediction of a recurrent model of xu2023 looks at.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024), value_name = "BINS")]
    steps: u16,
    /// Import a checkpoint although it holds arrays of unknown meaning: the twin may predict something else.
    #[arg(long)]
    partial: bool,
    /// The run folder to make.
    #[arg(long, value_name = "RUN")]
    out: PathBuf,
}

pub fn run(args: &Args, common: &Common) -> Outcome {
    let recording = args.data.as_deref().map(recording::open).transpose()?;
    let data = match (&recording, &args.data) {
        (Some(recording), Some(path)) => Data::Recording { session: session_of(recording, "")?, path },
        _ => numbers(args)?,
    };
    let options = Options {
        session: args.session.clone(),
        data,
        image_height: args.image_height,
        behaviour: args.behaviour.clone(),
        steps: usize::from(args.steps),
        partial: args.partial,
    };
    let imported = read(args, &options)?;
    imported.write(&args.checkpoint, &args.out, &command_line())?;
    if !common.quiet {
        tell!("{} arrays of {} neurons", imported.weights.len(), imported.card.neurons.len());
        imported.assumed.iter().for_each(|said| tell!("{said}"));
        for (name, reason) in &imported.unused {
            tell!("not used: {name} ({reason})");
        }
    }
    say!("{}\n", args.out.display());
    Ok(DONE)
}

fn read(args: &Args, options: &Options<'_>) -> Result<Imported> {
    let importer = import::importer(&args.kind)?;
    let arrays = import::read_state_dict(&args.checkpoint, importer)?;
    (importer.read)(&arrays, options).map_err(|e| match e.place().file {
        Some(_) => e,
        None => e.file(&args.checkpoint),
    })
}

fn numbers(args: &Args) -> Result<Data<'static>> {
    let &[channels, height, width] = args.image_shape.as_slice() else {
        return Err(Error::config("needs three numbers: channels, height, width").key("--image-shape"));
    };
    if !(args.image_sd > 0.0 && args.image_sd.is_finite() && args.image_mean.is_finite()) {
        return Err(Error::config("must be a number above 0").key("--image-sd"));
    }
    Ok(Data::Numbers { shape: [channels, height, width], mean: args.image_mean, sd: args.image_sd })
}
