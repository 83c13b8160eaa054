//! Tests across rooms, one module per room.

mod run;
mod score;
mod simulate;
