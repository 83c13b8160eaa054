//! Tests across rooms, one module per room.

mod architecture;
mod clips;
mod documents;
mod fit;
mod import;
mod linear;
mod model;
mod ops;
mod recording;
mod run;
mod score;
mod settings;
mod simulate;
mod simulated;
