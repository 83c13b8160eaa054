//! `striate info`: what this build can do.

use crate::Common;
use crate::outcome::{DONE, Outcome};

/// Show version, devices, instruction set and threads.
#[derive(clap::Args)]
#[command(after_help = "Example:
  striate info --json")]
pub struct Args {
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args, _common: &Common) -> Outcome {
    let simd = format!("{:?}", striate::ops::simd_level()).to_lowercase();
    let (version, threads) = (env!("CARGO_PKG_VERSION"), striate::ops::threads());
    if args.json {
        let info = serde_json::json!({
            "version": version, "devices": ["cpu"], "simd": simd, "threads": threads,
        });
        answer!("{info:#}\n")?;
    } else {
        answer!("striate {version}\ndevices  cpu\nsimd     {simd}\nthreads  {threads}\n")?;
    }
    Ok(DONE)
}
