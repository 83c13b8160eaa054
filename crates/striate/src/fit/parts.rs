//! Tables of a configuration that come in several kinds, or can be left out: what they hold unless it is said.

use serde::Serialize;
use toml::{Table, Value};

use crate::model::core::stacked::BatchNormConfig;
use crate::model::core::{CoreConfig, LgnConfig};
use crate::model::modulator::ModulatorConfig;
use crate::model::readout::ReadoutConfig;
use crate::model::readout::factorised::MaskInit;
use crate::model::readout::gaussian::PredictorConfig;
use crate::model::shifter::ShifterConfig;

/// Tables that can be left out.
pub const OPTIONAL: [&str; 5] = [
    "model.shifter",
    "model.modulator",
    "model.readout.predictor",
    "model.core.batch_norm",
    "model.core.lgn",
];

/// The table at `path`, one of [`OPTIONAL`].
pub fn optional(path: &str) -> Option<Table> {
    match path {
        "model.shifter" => Some(table(&ShifterConfig::default())),
        "model.modulator" => Some(table(&ModulatorConfig::default())),
        "model.readout.predictor" => Some(table(&PredictorConfig::default())),
        "model.core.batch_norm" => Some(table(&BatchNormConfig::default())),
        "model.core.lgn" => Some(table(&LgnConfig::default())),
        _ => None,
    }
}

/// The table at `path` of the given kind.
pub fn of_kind(path: &str, kind: &str) -> Option<Table> {
    kinds(path).into_iter().find(|table| table["kind"].as_str() == Some(kind))
}

/// Every kind of the table at `path`.
pub fn kinds(path: &str) -> Vec<Table> {
    match path {
        "model.core" => CoreConfig::kinds().iter().map(table).collect(),
        "model.shifter" => ShifterConfig::kinds().iter().map(table).collect(),
        "model.modulator" => ModulatorConfig::kinds().iter().map(table).collect(),
        "model.readout" => ReadoutConfig::kinds().iter().map(table).collect(),
        "model.readout.mask_init" => MaskInit::kinds().iter().map(table).collect(),
        _ => Vec::new(),
    }
}

fn table(part: &impl Serialize) -> Table {
    match Value::try_from(part) {
        Ok(Value::Table(table)) => table,
        _ => unreachable!("options are plain data"),
    }
}
