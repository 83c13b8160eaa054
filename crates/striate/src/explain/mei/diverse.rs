//! Images that drive a neuron about as well as the best one and differ from each other as much as they can.

use burn::prelude::*;

use super::search::{Search, across, length};
use crate::model::Pass;
use crate::twin::Toward;

impl Search<'_> {
    /// For each of `neurons`, `options.diverse` stimuli `[neuron · image, value]` that reach `options.share` of the response to its
    /// best, `[neuron, 1]`, and differ most in their mean distance; and their responses.
    ///
    /// They climb first, each from a start of its own, then go apart: along the difference to the mean of the others while the
    /// response is above its mark, up again while it is below.
    pub fn diverse(&self, neurons: &[usize], best: &Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        /// Starts from here on are of diverse images.
        const FIRST: u64 = 1 << 15;
        let images = self.options.diverse;
        let of =
            |neuron: &usize| (0..images as u64).map(|image| (*neuron, FIRST + image)).collect::<Vec<_>>();
        let starts: Vec<(usize, u64)> = neurons.iter().flat_map(of).collect();
        let asked: Vec<usize> = starts.iter().map(|start| start.0).collect();
        let weights = self.twin.one_each(&asked, self.device);
        let mark =
            best.clone().repeat_dim(1, images).reshape([asked.len(), 1]).mul_scalar(self.options.share);
        let mut stimuli = self.climb(self.starts(&starts), &asked).stimuli;
        let rows = asked.len() * self.shape()[0];
        let last = self.options.steps * 9 / 10;
        for step in 0..self.options.steps {
            let inputs = self.inputs(&stimuli, self.states.at_mean(rows));
            let found = self.twin.gradients(&inputs, weights.clone(), Toward::IMAGES, Pass::Evaluate);
            let responses = (found.responses * weights.clone()).sum_dim(1);
            let up = self.direction(found.images.expect("it was asked for"), &stimuli);
            let up = up.clone() / length(&up).clamp_min(1e-30);
            let apart = across(self.beyond_others(&stimuli, neurons.len()), &stimuli);
            let apart = across(apart, &up);
            let apart = apart.clone() / length(&apart).clamp_min(1e-30);
            // All of the way up below the mark, none 5 % above it; at the end the mark alone counts.
            let above = (responses - mark.clone()) / mark.clone().abs().mul_scalar(0.05).clamp_min(1e-30);
            let below = above.mul_scalar(-1.0).add_scalar(1.0).clamp(0.0, 1.0);
            let rest = below.clone().mul_scalar(-1.0).add_scalar(1.0);
            let rest = if step < last { rest } else { rest.zeros_like() };
            stimuli = self.stepped(stimuli, up * below + apart * rest, self.rate(step) / 2.0);
        }
        let responses = self.responses(&stimuli, &asked, None);
        (stimuli, responses)
    }

    /// Of each stimulus the difference to the mean of the others of its neuron.
    fn beyond_others(&self, stimuli: &Tensor<2>, neurons: usize) -> Tensor<2> {
        let [rows, size] = stimuli.dims();
        let images = rows / neurons;
        let sum = stimuli.clone().reshape([neurons, images, size]).sum_dim(1);
        let sum = sum.repeat_dim(1, images).reshape([rows, size]);
        let others = (sum - stimuli.clone()).div_scalar((images.max(2) - 1) as f64);
        stimuli.clone() - others
    }
}
