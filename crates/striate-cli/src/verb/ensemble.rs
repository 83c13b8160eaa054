//! `striate ensemble`: several runs as one that predicts their mean.

use std::path::PathBuf;

use striate::error;
use striate::run::Member;
use striate::twin;

use super::{command_line, opened};
use crate::Common;
use crate::outcome::{DONE, Outcome};

/// Make a run that predicts the mean of what several runs predict.
#[derive(clap::Args)]
#[command(after_help = "Example:
  striate ensemble runs/seed1 runs/seed2 runs/seed3 --out runs/mean
  striate score runs/mean

The members must predict the same neurons from images of the same shape; models and scaling may differ.
The new run holds copies of their models and needs none of the old ones.")]
pub struct Args {
    /// The run folders.
    #[arg(required = true, num_args = 2.., value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// The run folder to make.
    #[arg(long, value_name = "RUN")]
    out: PathBuf,
}

pub fn run(args: &Args, common: &Common) -> Outcome {
    let runs = args.runs.iter().map(|path| opened(path)).collect::<error::Result<Vec<_>>>()?;
    let made = twin::combine(&runs, &args.out, &command_line())?;
    if !common.quiet {
        made.read_manifest()?.members.iter().for_each(|member| tell!("{}", line(member)));
    }
    say!("{}\n", args.out.display());
    Ok(DONE)
}

fn line(member: &Member) -> String {
    match &member.best {
        Some(best) => {
            format!("{}  best {} {:.4} at step {}", member.name, best.metric, best.value, best.step)
        }
        None => member.name.clone(),
    }
}
