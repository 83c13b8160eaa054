//! Where on the recorded image each neuron of a twin looks.

use super::Twin;
use crate::array::Array;
use crate::batch::in_recorded_pixels;
use crate::model::core::Extent;
use crate::model::readout::ReadoutConfig;
use crate::model::weights::to_host;

/// Centre and size of a receptive field, in pixels of the image as recorded; pixel 0 is the first one's centre.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Field {
    /// Centre along the width.
    pub x_px: f64,
    /// Centre down the height.
    pub y_px: f64,
    /// Standard deviation of the Gaussian that is spread as wide, the mean of both axes.
    pub size_px: f64,
}

impl Field {
    const NONE: Self = Self { x_px: f64::NAN, y_px: f64::NAN, size_px: f64::NAN };
}

impl Twin {
    /// The receptive field of each neuron: where its mask lies on the map, and where the channels it weighs look from
    /// there. NaN for a neuron without weights, and for all where masks depend on the image.
    ///
    /// A stack of layers counts as linear, so the size is that of all that a neuron can be reached from, weighed by the
    /// square of its weights.
    pub fn receptive_fields(&self) -> Vec<Field> {
        let (card, model) = (&self.card, &self.card.model);
        let image = card.seen_shape();
        let seen = model.core_shape(image, card.normalisation.behaviours());
        let [_, height, width] = model.core.out_shape(seen);
        let Some(masks) = self.model.readout().location([height, width]) else {
            return vec![Field::NONE; card.neurons.len()];
        };
        let masks = to_host(masks.transpose());
        let channels = self.model.core().extents(image[0], seen[0]);
        let features = self.model.readout().features().map(|features| to_host(features.transpose()));
        let field = |(neuron, mask): (usize, &[f32])| {
            let looks = looks(features.as_ref(), neuron, &channels);
            self.field(mask, width, looks)
        };
        masks.values.chunks(height * width).enumerate().map(field).collect()
    }

    /// The field of a neuron with a mask of `width` columns, whose channels look as `looks` says.
    fn field(&self, mask: &[f32], width: usize, looks: Extent) -> Field {
        let model = &self.card.model;
        // A bump is what it is; a mask of weights that are free, or a kernel, may change its sign and is taken squared,
        // which makes a Gaussian narrower by √2.
        let free = matches!(model.readout, ReadoutConfig::Factorised(_) | ReadoutConfig::FullyConnected(_));
        let place = match free {
            true => Extent::of_image(mask, width),
            false => {
                Extent::of_image(&mask.iter().map(|weight| weight.abs().sqrt()).collect::<Vec<_>>(), width)
            }
        };
        if !(place.energy > 0.0 && looks.energy > 0.0) {
            return Field::NONE;
        }
        let (step, widened) = (model.core.step() as f64, if free { 2.0 } else { 1.0 });
        let centre = [0, 1].map(|axis| step * place.centre[axis] + looks.centre[axis]);
        let variance =
            [0, 1].map(|axis| step * step * widened * place.variance[axis] + 2.0 * looks.variance[axis]);
        let (recorded, seen) = (self.card.image_shape, self.card.seen_shape());
        let [y, x] = [0, 1].map(|axis| in_recorded_pixels(centre[axis], recorded[axis + 1], seen[axis + 1]));
        let scale = [0, 1].map(|axis| recorded[axis + 1] as f64 / seen[axis + 1] as f64);
        let mean = (variance[0] * scale[0].powi(2) + variance[1] * scale[1].powi(2)) / 2.0;
        Field { x_px: x, y_px: y, size_px: mean.sqrt() }
    }
}

/// Where the channels look that a neuron weighs with `features` `[neuron, channel]`, which may repeat the channels at
/// several scales; where it has no such weights, where all of them look.
fn looks(features: Option<&Array>, neuron: usize, channels: &[Extent]) -> Extent {
    let Some(features) = features else { return Extent::of(channels.iter().copied()) };
    let weights = &features.values[neuron * features.shape[1]..][..features.shape[1]];
    let weighed = |(at, &weight): (usize, &f32)| {
        channels[at % channels.len()].moved(f64::from(weight).powi(2), [0.0; 2])
    };
    Extent::of(weights.iter().enumerate().map(weighed))
}
