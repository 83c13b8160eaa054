//! Figure 4: two linear cell types are told apart by their feature weights.

use crate::error::Result;
use crate::fit::FitConfig;
use crate::reproduce::work::{World, average};
use crate::reproduce::{Curve, Data, Item, Reproduction, Row, Work};
use crate::simulate::KlindtLinear;

/// Figure 4.
pub const ITEM: Item = Item {
    id: "klindt2017/fig4",
    about: "two linear cell types in feature-weight space",
    keys: &[("neurons", "number of neurons, 1000 by default")],
    data: Data::None,
    run,
};

/// Mean FEV of the published fit (`papers/klindt2017.md#figure-4`).
const PUBLISHED: f64 = 0.885951;

fn run(work: &mut Work<'_>) -> Result<Reproduction> {
    let (parameters, config, floor) = match work.quick() {
        true => (KlindtLinear { test_repeats: 0, ..KlindtLinear::demo() }, FitConfig::preset("demo")?, 0.6),
        false => {
            let neurons = work.count("neurons", 1000)?;
            (KlindtLinear { neurons, ..KlindtLinear::fig4() }, FitConfig::preset("klindt2017-fig4")?, 0.0)
        }
    };
    let mut config = config;
    if work.quick() {
        config.model.stack().kernels = vec![parameters.kernel];
    }
    let world = World::new(parameters)?;
    let run = work.fit("fit", &config, &world.session)?;
    let fev = average(&work.fev(&run, &world)?);
    let twin = run.twin.single().expect("a fit gives one twin");
    let features = twin.parts().remove("features").expect("a factorised readout has feature weights");
    let pairs: Vec<(f64, f64)> =
        features.values.chunks(2).map(|pair| (f64::from(pair[0].abs()), f64::from(pair[1].abs()))).collect();
    let apart = separated(&pairs, &world.types);
    let of_type = |kind: usize| -> Vec<(f64, f64)> {
        pairs.iter().zip(&world.types).filter(|(_, other)| **other == kind).map(|(pair, _)| *pair).collect()
    };
    Ok(Reproduction {
        notes: vec![
            "A neuron counts as told apart when its larger feature weight is that of most neurons of its type and of few \
             of the other type."
                .into(),
        ],
        rows: vec![
            match work.quick() {
                true => Row::above("mean FEV", None, fev, floor),
                false => Row::near("mean FEV", PUBLISHED, fev, 0.05),
            },
            Row::near("share of neurons told apart", 1.0, apart, if work.quick() { 0.1 } else { 0.01 }),
        ],
        axes: ["weight of the first feature", "weight of the second feature"],
        curves: (0..2)
            .map(|kind| Curve { name: format!("type {kind}"), dots: of_type(kind), ..Curve::default() })
            .collect(),
        ..Reproduction::default()
    })
}

/// Share of neurons whose larger weight is that of their type, under the better of both namings of the features.
fn separated(pairs: &[(f64, f64)], types: &[usize]) -> f64 {
    let agrees =
        pairs.iter().zip(types).filter(|((first, second), kind)| usize::from(second > first) == **kind);
    let share = agrees.count() as f64 / pairs.len() as f64;
    share.max(1.0 - share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_may_have_either_order() {
        let pairs = [(1.0, 0.1), (0.9, 0.0), (0.0, 1.0), (0.2, 0.1)];
        assert_eq!(separated(&pairs, &[0, 0, 1, 1]), 0.75);
        assert_eq!(separated(&pairs, &[1, 1, 0, 0]), 0.75);
    }
}
