//! Tests across rooms, one module per room.

mod score;
mod simulate;
