//! Tests across rooms, one module per room.

mod recording;
mod run;
mod score;
mod simulate;
