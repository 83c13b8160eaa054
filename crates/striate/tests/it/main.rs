//! Tests across rooms, one module per room.

mod architecture;
mod documents;
mod recording;
mod run;
mod score;
mod simulate;
