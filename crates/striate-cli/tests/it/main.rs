//! End-to-end tests through the `striate` binary, one module per verb.

#![allow(clippy::disallowed_methods, reason = "tests make the files that users have")]

mod bench;
mod choice;
mod competition;
mod config;
mod convert;
mod deaths;
mod earlier;
mod demo;
mod ensemble;
mod explain;
mod files;
mod fit;
mod hints;
mod hostile;
mod import;
mod inspect;
mod linear;
mod predict;
mod provenance;
mod report;
mod reproduce;
mod run_folder;
mod score;
mod sessions;
mod simulate;
mod submit;
mod surroundings;
mod video;
mod sweep;
