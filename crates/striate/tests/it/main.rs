//! Tests across rooms, one module per room.

#![allow(clippy::disallowed_methods, reason = "tests make the files that users have")]

mod architecture;
mod clips;
mod clocks;
mod conv_gru;
mod documents;
mod fit;
mod import;
mod import_xu2023;
mod linear;
mod mei;
mod model;
mod ops;
mod recording;
mod run;
mod score;
mod sensorium2023;
mod settings;
mod simulate;
mod simulated;
mod store;
mod xu2023;
