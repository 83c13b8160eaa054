//! One file per verb.

pub mod config;
pub mod demo;
pub mod ensemble;
pub mod fit;
pub mod import;
pub mod info;
pub mod inspect;
pub mod predict;
pub mod report;
pub mod reproduce;
pub mod score;
pub mod simulate;
pub mod submit;
pub mod sweep;
