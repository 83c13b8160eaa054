//! How a verb ends: exit codes, and errors written for people.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use striate::error::{Error, Kind};

use crate::Common;

/// Done.
pub const DONE: u8 = 0;
/// The verb ran, and the answer is no.
pub const NO: u8 = 1;
/// Wrong usage or configuration.
pub const USAGE: u8 = 2;
/// A recording or run folder that cannot be used, or a disk that failed.
pub const DATA: u8 = 3;
/// A device that is missing or failed.
pub const DEVICE: u8 = 4;
/// Stopped by Ctrl-C; the work so far is saved.
pub const INTERRUPTED: u8 = 130;

/// What a verb returns: an exit code, or an error to show.
pub type Outcome = Result<u8, anyhow::Error>;

/// Prints the error, if any, and turns the outcome into the exit code of the process.
pub fn exit(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) if is_broken_pipe(&error) => ExitCode::from(DONE),
        Err(error) => {
            show(&error);
            ExitCode::from(code_of(&error))
        }
    }
}

/// Prints to stdout. That nobody reads on is an error here, which [`exit`] takes for done.
pub fn say(text: std::fmt::Arguments<'_>) -> std::io::Result<()> {
    std::io::stdout().write_fmt(text)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}

fn code_of(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<Error>().map(Error::kind) {
        Some(Kind::Data | Kind::Io) => DATA,
        Some(Kind::Diverged) => NO,
        Some(Kind::Device) => DEVICE,
        Some(Kind::Interrupted) => INTERRUPTED,
        Some(Kind::Config | Kind::Busy) | None => USAGE,
    }
}

fn show(error: &anyhow::Error) {
    let (red, cyan, plain) =
        if std::io::stderr().is_terminal() { ("\x1b[1;31m", "\x1b[36m", "\x1b[0m") } else { ("", "", "") };
    eprintln!("{red}error{plain}: {error}");
    if let Some(hint) = error.downcast_ref::<Error>().and_then(Error::advice) {
        eprintln!("{cyan}hint{plain}: {hint}");
    }
}

/// Sends the log to stderr, as loud as the flags ask.
pub fn start_log(common: &Common) {
    let level = match (common.quiet, common.verbose) {
        (true, _) => "warn",
        (false, 0) => "info",
        (false, 1) => "debug",
        (false, _) => "trace",
    };
    tracing_subscriber::fmt()
        .with_env_filter(format!("warn,striate={level},striate_cli={level}"))
        .with_writer(std::io::stderr)
        .with_target(false)
        .without_time()
        .init();
}
