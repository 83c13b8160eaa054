//! `striate import`: a peer's PyTorch checkpoint becomes a run that every other verb takes.

use std::path::PathBuf;

use striate::error::Error;
use striate::import::{self, Options};

use crate::Common;
use crate::outcome::{DONE, Outcome};

/// Turn a PyTorch checkpoint of another toolkit into a run folder.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  striate import sensorium_ln_model.pth --as sensorium2022-linear --session 26872-17-20 \\
      --image-shape 1,36,64 --image-mean 113.5 --image-sd 64.6 --out runs/published
  striate predict runs/published --data stack.npy --out responses.npy

Kinds: sensorium2022, sensorium2022-linear (the same layers without nonlinearities between them)")]
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
    /// Shape of the images: channels, height, width; behaviour planes are not counted.
    #[arg(long, value_delimiter = ',', required = true, value_name = "C,H,W")]
    image_shape: Vec<usize>,
    /// Mean of the pixels in training.
    #[arg(long, default_value_t = 0.0, value_name = "X")]
    image_mean: f32,
    /// Standard deviation of the pixels in training.
    #[arg(long, default_value_t = 1.0, value_name = "X")]
    image_sd: f32,
    /// The run folder to make.
    #[arg(long, value_name = "RUN")]
    out: PathBuf,
}

pub fn run(args: &Args, common: &Common) -> Outcome {
    let &[channels, height, width] = args.image_shape.as_slice() else {
        return Err(Error::config("needs three numbers: channels, height, width").key("--image-shape").into());
    };
    if !(args.image_sd > 0.0 && args.image_sd.is_finite() && args.image_mean.is_finite()) {
        return Err(Error::config("must be a number above 0").key("--image-sd").into());
    }
    let importer = import::importer(&args.kind)?;
    let options = Options {
        session: args.session.clone(),
        image_shape: [channels, height, width],
        image_mean: args.image_mean,
        image_sd: args.image_sd,
    };
    let arrays = import::read_state_dict(&args.checkpoint)?;
    let imported = (importer.read)(&arrays, &options).map_err(|e| e.file(&args.checkpoint))?;
    let command: Vec<String> = std::env::args().collect();
    imported.write(&args.checkpoint, &args.out, &command.join(" "))?;
    if !common.quiet {
        eprintln!("{} arrays became {} neurons", arrays.len() - imported.unused.len(), imported.card.neurons.len());
        for (name, reason) in &imported.unused {
            eprintln!("not used: {name} ({reason})");
        }
    }
    println!("{}", args.out.display());
    Ok(DONE)
}
