//! How a twin turns and moves what the camera sees by where head and eyes point.

use burn::prelude::*;

use super::{State, Twin, rows};
use crate::array::Array;
use crate::error::{Error, Result};
use crate::model::weights::to_host;

impl Twin {
    /// Refuses a twin that does not correct gaze.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) saying which do.
    pub fn require_gaze(&self) -> Result<()> {
        if self.model.corrects_gaze() {
            return Ok(());
        }
        Err(Error::config("its model does not turn and move the image by where head and eyes point")
            .key("model.shifter.kind")
            .hint("`model.shifter.kind=image` does, as in the presets `xu2023` and `xu2023-cnn`"))
    }

    /// How the frames of one stretch are turned and moved, by where head and eyes point `[sample, variable]`, as recorded: right and
    /// down in pixels of the recorded frame, clockwise in degrees.
    ///
    /// # Errors
    /// As [`Twin::require_gaze`]; [`Kind::Data`](crate::error::Kind::Data) when the length is no whole number of samples.
    pub fn motions(&self, pupil: &[f32], device: &Device) -> Result<Vec<[f32; 3]>> {
        self.require_gaze()?;
        let scaling = &self.card.normalisation.pupil;
        let count = scaling.as_ref().map_or(0, |scaling| pupil.len() / scaling.recorded().max(1));
        let pointed = rows(scaling, pupil, [count; 2], "pupil_center")?.unwrap_or_default();
        let ([_, height, width], [_, tall, _]) = (self.card.seen_shape(), self.card.image_shape);
        let shape = [count, self.card.normalisation.pupils()];
        let pointed = Tensor::from_data(TensorData::new(pointed.concat(), shape), device);
        let moved = self.model.motions(pointed, [height, width]).map(|motions| to_host(motions).values);
        // What was made smaller moves less.
        let larger = tall as f32 / height as f32;
        let in_units = |of: &[f32]| [of[0] * larger, of[1] * larger, of[2].to_degrees()];
        Ok(moved.unwrap_or_default().chunks_exact(3).map(in_units).collect())
    }

    /// The frames of one stretch as the model sees them before and after they are turned and moved, `[sample, channel, height, width]` in
    /// the units of the model.
    ///
    /// # Errors
    /// As [`Twin::respond`].
    pub fn corrected(&self, frames: &[f32], pupil: &[f32], device: &Device) -> Result<[Array; 2]> {
        let samples = frames.len() / self.card.image_shape.iter().product::<usize>().max(1);
        let state = State { behaviour: Vec::new(), pupil: pupil.to_vec() };
        let mut both = [(); 2].map(|()| Array { shape: vec![0; 4], values: Vec::new() });
        for inputs in self.shown(frames, (samples, None), &state, device)? {
            let seen = [inputs.images.clone(), self.model.corrected(inputs).images].map(to_host);
            for (all, seen) in both.iter_mut().zip(seen) {
                let count = all.shape[0] + seen.shape[0];
                all.shape = [&[count], &seen.shape[1..]].concat();
                all.values.extend(seen.values);
            }
        }
        Ok(both)
    }
}
