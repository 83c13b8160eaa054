//! Linear models in closed form: the baselines that every network has to beat.
//!
//! Images are read once into second moments ([`Sums`]), from which [`Spectral`] and [`Lasso`] find the weights of all
//! neurons for one alpha after another. The solvers know no tensors; what they find becomes a twin like any other.

mod config;
mod problem;
mod spectral;
mod lasso;

pub use config::{LinearConfig, Solver};
pub use lasso::{Lasso, TOLERANCE};
pub use problem::{Problem, Solution, Sums};
pub use spectral::Spectral;

use crate::error::{Error, Result};

/// Pixels of an image beyond which the work, cubic in them, and the memory (several matrices of half a GiB) are
/// no longer those of a baseline.
const MOST_PIXELS: usize = 8192;

/// Refuses images that a linear model cannot take in.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config) with what to do instead.
pub(super) fn check_image([channels, height, width]: [usize; 3]) -> Result<()> {
    let refuse = |why: String| {
        Err(Error::config(why)
            .key("fit.solver")
            .hint("make large ones smaller with `data.image_height`, or fit with Adam"))
    };
    match (channels, height * width) {
        (1, ..=MOST_PIXELS) => Ok(()),
        (1, pixels) => refuse(format!("images of {pixels} pixels are too large, the most are {MOST_PIXELS}")),
        _ => refuse(format!("images of {channels} channels, where a mask can read only one")),
    }
}
