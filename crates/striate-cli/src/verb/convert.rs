//! `striate convert`: recordings as a store that is read fast and can be verified.

use std::path::PathBuf;

use striate::recording::store::{Converted, Outcome as Became, convert};
use striate::recording::{self, Session};

use crate::Common;
use crate::outcome::{DONE, Outcome};

/// Write recordings as a store: one array per stream, read fast, with the checksum of every file.
///
/// Values stay as they are, to the last bit. Each session is written whole or not at all; after a kill the same command goes
/// on with the sessions that are missing. `striate inspect STORE --verify` holds a store against its checksums.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  striate convert mouse1.zip mouse2.zip --out store\n  \
                        striate inspect store --verify")]
pub struct Args {
    /// Recordings: folders or .zips of one session or several.
    #[arg(required = true, value_name = "DATA")]
    data: Vec<PathBuf>,
    /// Folder of the store; sessions are added to an earlier one, anything else is refused.
    #[arg(long, value_name = "STORE")]
    out: PathBuf,
}

pub fn run(args: &Args, _common: &Common) -> Outcome {
    let recordings = args.data.iter().map(|path| recording::open(path)).collect::<Result<Vec<_>, _>>()?;
    let sessions: Vec<&Session> = recordings.iter().flat_map(|recording| &recording.sessions).collect();
    for (session, warning) in sessions.iter().flat_map(|of| of.warnings.iter().map(move |text| (of, text))) {
        tracing::warn!("{}: {warning}", session.path.display());
    }
    let mut before = |session: &Session| {
        tracing::info!("{}: {} trials", session.id, session.trials.len());
    };
    let converted = convert(&recordings, &args.out, &mut before)?;
    say!("wrote {}\n{}", args.out.display(), converted.iter().map(line).collect::<String>());
    Ok(DONE)
}

fn line(Converted { id, outcome, bytes }: &Converted) -> String {
    let was = if *outcome == Became::Kept { ", was there already" } else { "" };
    format!("  {id}   {:.1} MB{was}\n", *bytes as f64 / 1e6)
}
