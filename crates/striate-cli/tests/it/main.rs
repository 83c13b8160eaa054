//! End-to-end tests through the `striate` binary, one module per verb.

mod bench;
mod choice;
mod config;
mod demo;
mod ensemble;
mod explain;
mod fit;
mod inspect;
mod linear;
mod predict;
mod report;
mod reproduce;
mod run_folder;
mod score;
mod simulate;
mod submit;
mod surroundings;
mod sweep;
