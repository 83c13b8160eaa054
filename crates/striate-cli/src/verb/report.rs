//! `striate report`: runs as one page.

use std::path::PathBuf;

use striate::run::RunFolder;
use striate::{disk, error, report};

use super::check_out;
use crate::Common;
use crate::outcome::{DONE, Outcome};

/// Show one or several runs as one HTML page that opens offline.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  striate report runs/first
  striate report runs/first runs/second --out comparison.html")]
pub struct Args {
    /// Run folders, made by `striate fit`, `import` or `ensemble`.
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Where to write the page; `report.html` in the (first) run folder when not given.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub fn run(args: &Args, _common: &Common) -> Outcome {
    let runs = args.runs.iter().map(|path| RunFolder::open(path)).collect::<error::Result<Vec<_>>>()?;
    let out = args.out.clone().unwrap_or_else(|| runs[0].report());
    check_out(&out, "html", &[])?;
    disk::write_bytes(&out, report::render(&runs)?.as_bytes())?;
    say!("{}\n", out.display());
    Ok(DONE)
}
