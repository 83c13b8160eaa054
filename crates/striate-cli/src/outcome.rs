//! How a verb ends: exit codes, and errors written for people.

use std::process::ExitCode;

use striate::error::{Error, Kind};

use crate::print::{Label, Log, is_plain, labelled};
use crate::{Common, signals};

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

/// What a verb returns: an exit code, or an error to show.
pub type Outcome = Result<u8, anyhow::Error>;

/// Prints the error, if any, and turns the outcome into the exit code of the process.
pub fn exit(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            show(&error);
            ExitCode::from(code_of(&error))
        }
    }
}

/// Shows what cannot be used of a command line, or the help that it asks for, and ends.
pub fn refuse(error: &clap::Error) -> ! {
    let text = error.to_string();
    if is_plain(&text) {
        // With its colours.
        error.exit();
    }
    tell!("{text}");
    std::process::exit(error.exit_code())
}

fn code_of(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<Error>().map(Error::kind) {
        Some(Kind::Data | Kind::Io) => DATA,
        Some(Kind::Diverged) => NO,
        Some(Kind::Device) => DEVICE,
        Some(Kind::Interrupted) => signals::code(),
        Some(Kind::Config | Kind::Busy) | None => USAGE,
    }
}

fn show(error: &anyhow::Error) {
    if let Some(stopped) = error.downcast_ref::<Error>().filter(|error| error.kind() == Kind::Interrupted) {
        // What the user asked for is no error.
        let hint = stopped.advice().map_or(String::new(), |hint| format!("; {hint}"));
        tell!("{}{hint}", stopped.message());
        return;
    }
    labelled(Label::Error, &error.to_string());
    if let Some(hint) = error.downcast_ref::<Error>().and_then(Error::advice) {
        labelled(Label::Hint, hint);
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
        .with_writer(|| Log)
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .init();
}
