//! A linear model in closed form, found by the solvers of [`linear`](super::linear) in place of steps.

use std::sync::atomic::{AtomicBool, Ordering};

use super::animal::Animal;
use super::linear::{Lasso, LinearConfig, Problem, Solution, Solver, Spectral, Sums};
use super::{Event, Fit, LoopState};
use crate::array::{Array, Arrays};
use crate::batch::Trials;
use crate::error::Result;
use crate::model::Encoder;
use crate::model::weights::{export, import, to_host};
use crate::run::Checkpoint;

/// Trials that are in memory at once.
const AT_ONCE: usize = 512;

/// A solver with what it keeps from one alpha to the next.
enum Search<'a> {
    Spectral(Spectral<'a>, Solver),
    Lasso(Lasso<'a>),
}

impl<'a> Search<'a> {
    fn new(problem: &'a Problem, solver: Solver) -> Self {
        match solver {
            Solver::Lasso => Self::Lasso(Lasso::new(problem)),
            Solver::Ols | Solver::Ridge => Self::Spectral(Spectral::new(problem), solver),
        }
    }

    fn solve(&mut self, alpha: f64) -> Solution {
        match self {
            Self::Spectral(spectral, Solver::Ols) => spectral.ols(),
            Self::Spectral(spectral, _) => spectral.ridge(alpha),
            Self::Lasso(lasso) => lasso.solve(alpha),
        }
    }
}

/// The weights of `model`, of which the readout reads the image itself, with those of `solution` in their place.
fn weights_of(solution: &Solution, model: &Encoder) -> Arrays {
    let mut weights = export(model);
    let neurons = solution.intercepts.len();
    let pixels = solution.weights.len() / neurons;
    let mask = (0..pixels).flat_map(|p| (0..neurons).map(move |n| solution.weights[n * pixels + p] as f32));
    let bias = solution.intercepts.iter().map(|intercept| *intercept as f32);
    let mut set = |name: &str, shape: Vec<usize>, values: Vec<f32>| {
        weights.insert(name.into(), Array { shape, values });
    };
    set("readout.mask", vec![pixels, neurons], mask.collect());
    set("readout.bias", vec![neurons], bias.collect());
    weights
}

impl Fit<'_, Encoder> {
    /// One step for each alpha: solve, look at the validation trials, keep the best.
    pub(super) fn solve(
        &mut self,
        linear: &LinearConfig,
        stop: &AtomicBool,
        observe: &mut dyn FnMut(&Event),
        clock: &mut dyn FnMut(&mut LoopState),
    ) -> Result<()> {
        if self.state.finished {
            return Ok(());
        }
        let problem = self.sums(linear)?.problem(linear.intercept);
        let mut search = Search::new(&problem, linear.solver);
        for (step, &alpha) in (1..).zip(linear.alphas()) {
            if stop.load(Ordering::Relaxed) {
                return self.save(Checkpoint::Last);
            }
            // Alphas of before a break are solved again: the lasso goes on from its last weights.
            let solution = search.solve(alpha);
            if step > self.state.step {
                self.take(&solution, step)?;
                observe(&Event::Solved { alpha, unconverged: solution.unconverged });
                clock(&mut self.state);
                self.check(observe)?;
            }
        }
        self.state.finished = true;
        self.save(Checkpoint::Last)
    }

    fn sums(&self, linear: &LinearConfig) -> Result<Sums> {
        // More than one was refused.
        let Animal { split, card, trials: source, .. } = &self.animals[0];
        let validation = if linear.with_validation { split.validation.as_slice() } else { &[] };
        let whole = split.train.iter().chain(validation).map(|&trial| source.whole(trial));
        let mut sums = Sums::new(card.seen_shape().iter().product(), source.neurons());
        for clips in Trials::in_batches(whole, AT_ONCE) {
            let batch = source.batch(&clips, &self.device)?;
            sums.add(&to_host(batch.inputs.images).values, &to_host(batch.responses).values);
        }
        Ok(sums)
    }

    /// Makes `solution` the model, after `step` steps.
    fn take(&mut self, solution: &Solution, step: u64) -> Result<()> {
        let model = &mut self.animals[0].model;
        *model = import(model.clone(), &weights_of(solution, model))?;
        self.state.step = step;
        (self.state.loss_sum, self.state.penalty_sum) = (solution.error, solution.penalty);
        self.state.summed_steps = 1;
        Ok(())
    }
}
