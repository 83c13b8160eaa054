//! What was found, for people: recordings as a summary, run folders as one HTML page that opens offline.
//!
//! [`render`] reads the plain files of each run ([`results`]), says in sentences what was fitted to what, how good it is
//! and what to do next, turns every file it finds into a figure with a caption that says how to read it, puts a note in the
//! place of a damaged one, and names once what is not there. The page
//! holds its own style and figures (inline SVG, small embedded PNGs), follows the reader's light or
//! dark setting, and prints.

use crate::error::Result;
use crate::run::RunFolder;

mod barcode;
mod clock;
mod types;
mod compare;
mod contradictions;
mod curves;
mod extent;
mod field;
mod fields;
mod gaze;
mod preferred;
mod header;
pub mod inspect;
mod maps;
mod markup;
mod metric;
mod neurons;
mod page;
mod paired;
mod palette;
mod plot;
mod probe;
mod saliency;
pub mod reproduction;
pub mod results;
mod table;
mod traces;
mod verdict;

#[cfg(test)]
mod fixture;

/// The page about one run, or about several, or about one of several sessions, with a comparison in front.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when a manifest cannot be read. Other files may be
/// missing or damaged: the page says so in the place of their figure.
pub fn render(runs: &[RunFolder]) -> Result<String> {
    let mut results = Vec::new();
    for run in runs {
        let sessions = run.sessions()?;
        // A run of several is shown as a whole first, then as each of its sessions sees it.
        let whole = (sessions.len() > 1).then_some(run);
        for part in whole.into_iter().chain(&sessions) {
            results.push(results::Results::read(part)?);
        }
    }
    Ok(page::page(&results))
}

#[cfg(test)]
mod tests;
