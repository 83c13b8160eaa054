//! `explain/saliency/` of a run.

use std::fmt::Write;

use super::{Effect, Explanation};
use crate::array::{self, Array, Arrays};
use crate::disk;
use crate::error::{Error, Result};
use crate::run::RunFolder;

impl Explanation {
    /// Writes `saliency.json`, `saliency.csv`, `gradients.safetensors` and `pixels.safetensors`, all or none.
    ///
    /// # Errors
    /// [`Kind::Io`](crate::error::Kind::Io) when they cannot be written.
    pub fn write(&self, run: &RunFolder) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).map_err(|e| Error::data(e.to_string()))?;
        disk::replace_folder(&run.explain("saliency"), |folder| {
            disk::write_bytes(&folder.join("saliency.csv"), self.table().as_bytes())?;
            array::save(&folder.join("gradients.safetensors"), &self.arrays())?;
            let names = ["frame", "gradient", "integrated"].map(str::to_owned);
            array::save(
                &folder.join("pixels.safetensors"),
                &names.into_iter().zip(self.pixels.clone()).collect(),
            )?;
            disk::write_bytes(&folder.join("saliency.json"), &text)
        })
    }

    /// `factors`, `features` and `pupil`, `[neuron, …]`: mean gradients per s.d.
    fn arrays(&self) -> Arrays {
        let neurons = self.neurons.len();
        let parts = [
            ("factors", &self.gradients.factors),
            ("features", &self.gradients.features),
            ("pupil", &self.gradients.pupil),
        ];
        let array = |(name, values): (&str, &Vec<f64>)| {
            let shape = vec![neurons, values.len() / neurons.max(1)];
            (name.to_owned(), Array { shape, values: values.iter().map(|&value| value as f32).collect() })
        };
        parts.into_iter().filter(|(_, values)| !values.is_empty()).map(array).collect()
    }

    /// A row per neuron, with columns for each signal.
    fn table(&self) -> String {
        const COLUMNS: [&str; 9] =
            ["value", "change", "gaze", "integrated_sd", "slope", "p", "found", "strong", "truth"];
        let of_signal =
            |signal: &super::Signal| COLUMNS.map(|column| format!("{}_{column}", signal.name)).join(",");
        let columns: String = self.signals.iter().map(|signal| format!(",{}", of_signal(signal))).collect();
        let mut text = format!("unit_id,class,correlation{columns}\n");
        for row in &self.neurons {
            let effects: String = row.effects.iter().map(cells).collect();
            let _ = writeln!(text, "{},{},{}{effects}", row.unit_id, row.class, number(row.correlation));
        }
        text
    }
}

fn cells(effect: &Effect) -> String {
    let Effect { value, change, gaze, integrated_sd, slope, p, found, strong, truth } = effect;
    let [value, change, gaze, slope, truth] = [value, change, gaze, slope, truth].map(|of| number(*of));
    format!(
        ",{value},{change},{gaze},{integrated_sd},{slope},{p},{},{},{truth}",
        u8::from(*found),
        u8::from(*strong)
    )
}

fn number(value: Option<f64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}
