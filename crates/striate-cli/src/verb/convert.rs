//! `striate convert`: recordings as a store that is read fast and can be verified.

use std::path::PathBuf;

use striate::recording::clocks::EXAMPLE;
use striate::recording::store::{Converted, Outcome as Became, convert};
use striate::recording::{self, Session};

use crate::Common;
use crate::outcome::{DONE, Outcome};

/// Write recordings as a store: one array per stream, read fast, with the checksum of every file.
///
/// Recorded values stay as they are, to the last bit; stored statistics are of 32 bits. Each session is written whole or not at all; after a kill the same command goes
/// on with the sessions that are missing. `striate inspect STORE --verify` holds a store against its checksums.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  striate convert mouse1.zip mouse2.zip --out store\n  \
                        striate convert --example > my.toml\n  \
                        striate convert my.toml --out store\n  \
                        striate inspect store --verify")]
pub struct Args {
    /// Recordings: folders or .zips of one session or several.
    ///
    /// Or a .toml that names the files of a session, each with its own clock.
    #[arg(required_unless_present = "example", value_name = "DATA")]
    data: Vec<PathBuf>,
    /// Folder of the store; sessions are added to an earlier one, anything else is refused.
    #[arg(long, value_name = "STORE", required_unless_present = "example")]
    out: Option<PathBuf>,
    /// Print a commented .toml for signals of your own on their own clocks.
    #[arg(long, conflicts_with_all = ["data", "out"])]
    example: bool,
}

pub fn run(args: &Args, _common: &Common) -> Outcome {
    let Some(out) = args.out.as_ref().filter(|_| !args.example) else {
        answer!("{EXAMPLE}")?;
        return Ok(DONE);
    };
    let recordings = args.data.iter().map(|path| recording::open(path)).collect::<Result<Vec<_>, _>>()?;
    let sessions: Vec<&Session> = recordings.iter().flat_map(|recording| &recording.sessions).collect();
    for (session, warning) in sessions.iter().flat_map(|of| of.warnings.iter().map(move |text| (of, text))) {
        tracing::warn!("{}: {warning}", session.path.display());
    }
    let mut before = |session: &Session| {
        tracing::info!("{}: {} trials", session.id, session.trials.len());
    };
    let converted = convert(&recordings, out, &mut before)?;
    say!("wrote {}\n{}", out.display(), converted.iter().map(line).collect::<String>());
    Ok(DONE)
}

fn line(Converted { id, outcome, bytes }: &Converted) -> String {
    let was = if *outcome == Became::Kept { ", was there already" } else { "" };
    format!("  {id}   {:.1} MB{was}\n", *bytes as f64 / 1e6)
}
