//! Where on the image the channels of a stack look.

use super::super::extent::{Extent, alike, before_kernel, convolved, pictures, planes};
use super::{Padding, Stacked};

impl Stacked {
    pub(super) fn looks(&self, channels: usize, seen: usize) -> Vec<Extent> {
        let mut of = match &self.lgn {
            Some(lgn) => pictures(lgn.pictures()),
            None => planes(channels, seen),
        };
        let mut step = 1.0;
        for layer in 0..self.layers.len() {
            of = self.after(layer, step, &of);
            step *= self.config.stride(layer) as f64;
        }
        let side = self.config.pool as f64;
        let (centre, variance) = (step * (side - 1.0) / 2.0, step * step * (side * side - 1.0) / 12.0);
        let pooled = |of: &Extent| Extent {
            centre: of.centre.map(|at| at + centre),
            variance: of.variance.map(|at| at + variance),
            ..*of
        };
        of.iter().map(pooled).collect()
    }

    fn after(&self, layer: usize, step: f64, before: &[Extent]) -> Vec<Extent> {
        let padding = self.config.padding[layer];
        let of = match &self.layers[layer].separable {
            None => convolved(self.kernel(layer), padding, step, before),
            Some(separable) => {
                let mixed = convolved(self.layers[layer].weight.val(), Padding::Valid, step, before);
                let each = pictures(self.kernel(layer));
                let first = before_kernel(self.config.kernels[layer], padding);
                let looked = mixed.iter().zip(each).map(|(mixed, own)| Extent {
                    energy: mixed.energy * own.energy,
                    centre: [0, 1].map(|axis| mixed.centre[axis] + step * (own.centre[axis] - first)),
                    variance: [0, 1].map(|axis| mixed.variance[axis] + step * step * own.variance[axis]),
                });
                convolved(separable.pointwise.val(), Padding::Valid, step, &looked.collect::<Vec<_>>())
            }
        };
        if self.config.batch_norm.is_some() { alike(of) } else { of }
    }
}
