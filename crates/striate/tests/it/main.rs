//! Tests across rooms, one module per room.

mod recording;
mod score;
mod simulate;
