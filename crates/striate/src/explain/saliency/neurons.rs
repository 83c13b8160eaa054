//! What is said of each neuron: by held-out responses, by the published rule, and by the truth of a simulation.

use rand_chacha::ChaCha8Rng;

use super::attribution::{Attribution, Gradients};
use super::evidence::{Evidence, Samples, evidence};
use super::names::Names;
use super::{Agreement, Effect, Known, NONE, Options, Panels, Row, Rule, Truth, selectivity};
use crate::explain::statistics::discoveries;
use crate::twin::Twin;

/// What held-out responses say, `[neuron · signal]`.
#[derive(Debug, Clone)]
pub struct Tested {
    pub evidence: Vec<Evidence>,
    pub found: Vec<bool>,
}

impl Tested {
    pub fn of(
        attribution: &Attribution,
        names: &Names,
        samples: &Samples<'_>,
        options: &Options,
        random: &mut ChaCha8Rng,
    ) -> Self {
        let evidence = evidence(attribution, &names.factors, samples, options.shifts, random).concat();
        let p: Vec<f64> = evidence.iter().map(|of| of.p).collect();
        // With samples enough anything is told from nothing; what is small is told apart.
        let means = attribution.means();
        let signals = names.signals.len();
        let is_large = |(at, of): (usize, &Evidence)| of.slope * of.sd >= options.least * means[at / signals];
        let found = discoveries(&p, options.rate).into_iter().zip(evidence.iter().enumerate().map(is_large));
        Self { found: found.map(|(told, large)| told && large).collect(), evidence }
    }

    pub fn classes(&self, names: &Names) -> Vec<String> {
        let groups = names.groups();
        let class = |found: &[bool]| selectivity::class(&selectivity::groups_of(&groups, found)).to_owned();
        self.found.chunks_exact(groups.len().max(1)).map(class).collect()
    }
}

/// What the published rule says: gradients of signals and their changes, those of where the animal looks by both ways, standardised over
/// the neurons.
pub struct Published {
    /// `[neuron · signal]`.
    pub strong: Vec<bool>,
    pub classes: Vec<String>,
    pub panels: Panels,
    pub null: Panels,
}

impl Published {
    pub fn of(
        gradients: &Gradients,
        names: &Names,
        smoothed: &[Option<f64>],
        random: &mut ChaCha8Rng,
    ) -> Self {
        let single: Vec<(usize, usize)> = names
            .features
            .iter()
            .enumerate()
            .filter_map(|(feature, name)| {
                let factor = names.factor_names.iter().position(|factor| factor == name)?;
                Some((feature, names.factors.iter().position(|of| of.contains(&factor))?))
            })
            .collect();
        let (neurons, looks) = (smoothed.len(), gradients.pupil.len() / smoothed.len().max(1));
        let value = |neuron: usize, (feature, signal): (usize, usize)| {
            let own = gradients.features[neuron * names.features.len() + feature];
            let is_value = names.features[feature] == names.signals[signal];
            let gaze = names.gaze[signal].filter(|_| is_value);
            own + gaze.map_or(0.0, |at| gradients.pupil[neuron * looks + at])
        };
        let values: Vec<f64> =
            (0..neurons).flat_map(|neuron| single.iter().map(move |&of| value(neuron, of))).collect();
        let strong = selectivity::strong(&values, single.len());
        let groups: Vec<&str> = single.iter().map(|(_, signal)| names.groups[*signal].as_str()).collect();
        // Products alone leave nothing that is of one signal.
        let rows = || (0..neurons).map(|neuron| &strong[neuron * single.len()..][..single.len()]);
        let by_signal = rows().flat_map(|found| {
            let of =
                |signal: usize| found.iter().zip(&single).any(|(found, (_, of))| *found && *of == signal);
            (0..names.signals.len()).map(of).collect::<Vec<bool>>()
        });
        let class = |found: &[bool]| selectivity::class(&selectivity::groups_of(&groups, found)).to_owned();
        Self {
            classes: rows().map(class).collect(),
            panels: selectivity::panels(&strong, &groups, smoothed),
            null: selectivity::shuffled_panels(&strong, &groups, smoothed, random),
            strong: by_signal.collect(),
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "a row joins what was found of a neuron")]
pub fn rows(
    twin: &Twin,
    names: &Names,
    gradients: &Gradients,
    tested: &Tested,
    published: &Published,
    correlations: &[Option<f64>],
    truth: Option<Truth<'_>>,
    options: &Options,
) -> Vec<Row> {
    let (signals, factors) = (names.signals.len(), names.factor_names.len());
    let looks = gradients.pupil.len() / correlations.len().max(1);
    let classes =
        if options.rule == Rule::Published { published.classes.clone() } else { tested.classes(names) };
    let effect = |neuron: usize, signal: usize| {
        let at = neuron * signals + signal;
        let Evidence { p, slope, sd } = tested.evidence[at];
        let slope_of =
            |factor: Option<usize>| factor.map(|factor| gradients.factors[neuron * factors + factor]);
        let sign = |truth: Truth<'_>| {
            let at = truth.signals.iter().position(|name| *name == names.signals[signal])?;
            Some(f64::from(truth.signs[twin.card.neurons[neuron]][at]))
        };
        Effect {
            value: slope_of(names.value(signal)),
            change: slope_of(names.change(signal)),
            gaze: names.gaze[signal].map(|at| gradients.pupil[neuron * looks + at]),
            integrated_sd: sd,
            slope: Some(slope).filter(|slope| slope.is_finite()),
            p,
            found: tested.found[at],
            strong: published.strong[at],
            truth: truth.and_then(sign),
        }
    };
    let row = |neuron: usize| Row {
        unit_id: twin.card.unit_ids[neuron],
        class: classes.get(neuron).cloned().unwrap_or_else(|| NONE.to_owned()),
        correlation: correlations[neuron],
        effects: (0..signals).map(|signal| effect(neuron, signal)).collect(),
    };
    (0..correlations.len()).map(row).collect()
}

/// How rows agree with the truth that stands in them.
pub fn known(names: &Names, rows: &[Row]) -> Known {
    let groups = names.groups();
    let pairs = |of: fn(&Effect) -> bool| {
        Agreement::of(
            rows.iter()
                .flat_map(|row| &row.effects)
                .filter_map(|effect| Some((of(effect), effect.truth? != 0.0))),
        )
    };
    let mixed =
        |of: fn(&Effect) -> bool| {
            let is_mixed = |row: &Row, of: &dyn Fn(&Effect) -> bool| {
                let found: Vec<bool> = row.effects.iter().map(of).collect();
                selectivity::groups_of(&groups, &found).len() > 1
            };
            Agreement::of(rows.iter().map(|row| {
                (is_mixed(row, &of), is_mixed(row, &|of| of.truth.is_some_and(|sign| sign != 0.0)))
            }))
        };
    let signs: Vec<f64> = rows
        .iter()
        .flat_map(|row| &row.effects)
        .filter(|effect| effect.found && effect.truth.is_some_and(|sign| sign != 0.0))
        .filter_map(|effect| Some(f64::from(u8::from(effect.value? * effect.truth? > 0.0))))
        .collect();
    Known {
        pairs: pairs(|of| of.found),
        mixed: mixed(|of| of.found),
        signs: (!signs.is_empty()).then(|| signs.iter().sum::<f64>() / signs.len() as f64),
        published_pairs: pairs(|of| of.strong),
        published_mixed: mixed(|of| of.strong),
    }
}
