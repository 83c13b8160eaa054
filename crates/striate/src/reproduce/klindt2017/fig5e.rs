//! Figure 5e: with more cell types and the same images, ours stays and the fully connected readout falls.

use super::population::{Grid, Model, Rules, shortened};
use crate::error::Result;
use crate::reproduce::work::{World, average, spread};
use crate::reproduce::{Curve, Data, Item, Reproduction, Row, Work};
use crate::simulate::KlindtNonlinear;

/// Figure 5e.
pub const ITEM: Item = Item {
    id: "klindt2017/fig5e",
    about: "FEV over the number of nonlinear cell types",
    keys: &[
        ("types", "numbers of types; 4, 8, 16 by default"),
        ("repetitions", "repetitions, 5 by default"),
        ("max_steps", "steps after which a fit stops; the paper's by default"),
        ("full", "1: the paper's whole grid of penalties, 0: one of it (default)"),
        ("fixed_mask", "1: the fixed mask too (default), 0: not"),
    ],
    data: Data::None,
    run,
};

/// Published means for 4, 8 and 16 types (`papers/klindt2017.md#figure-5e`).
const PUBLISHED: [(Model, [f64; 3]); 3] = [
    (Model::Factorised, [0.850, 0.856, 0.833]),
    (Model::FixedMask, [0.577, 0.623, 0.542]),
    (Model::FullyConnected, [0.622, 0.428, 0.270]),
];

/// How much ours may fall from the fewest to the most types, three times the published fall.
const FLAT: f64 = 0.05;

fn published(model: Model, types: usize) -> Option<f64> {
    let at = [4, 8, 16].iter().position(|&known| known == types)?;
    PUBLISHED.iter().find(|(known, _)| *known == model).map(|(_, values)| values[at])
}

pub(super) fn grid(model: Model, types: usize, full: bool, max_steps: u64) -> Grid {
    let strengths = match (model, full) {
        (Model::Factorised, true) => vec![[0.0003, 0.03], [0.0003, 0.1], [0.003, 0.03], [0.003, 0.1]],
        // Those that won in the paper.
        (Model::Factorised, false) => vec![[0.003, if types <= 4 { 0.03 } else { 0.1 }]],
        (Model::FixedMask, true) => [1e-5, 1e-4, 1e-3, 1e-2, 1e-1].map(|l1| [0.0, l1]).to_vec(),
        (Model::FixedMask, false) => vec![[0.0, 1e-3]],
        (Model::FullyConnected, true) => vec![[1.0, 0.1], [3.0, 0.1], [1.0, 0.3], [3.0, 0.3]],
        (Model::FullyConnected, false) => vec![[1.0, 0.1]],
    };
    Grid { model, strengths, max_steps, rules: Rules::Figure5e }
}

fn run(work: &mut Work<'_>) -> Result<Reproduction> {
    let mut types = if work.quick() { vec![4] } else { work.counts("types", &[4, 8, 16])? };
    types.sort_unstable();
    types.dedup();
    let mut models = vec![Model::Factorised, Model::FullyConnected];
    if work.flag("fixed_mask", true)? {
        models.insert(1, Model::FixedMask);
    }
    let mut found = Reproduction {
        notes: vec![
            "64 neurons of each type, 4096 images. Dead leaves shown to a fixed random network stand in for the paper's \
             photographs and VGG units: published numbers stand beside ours to compare courses, not heights."
                .into(),
            "FEV is the mean over neurons: of our model with a neuron's mean response in place of the fit where that validates \
             better, of the baselines with 0 where a neuron's is below."
                .into(),
        ],
        axes: ["types", "FEV"],
        ..Reproduction::default()
    };
    found.notes.extend(shortened(work)?);
    for model in models {
        let mut curve = Curve { name: model.name().into(), ..Curve::default() };
        for &types in &types {
            let values = repetitions(work, model, types)?;
            let (mean, known) = (average(&values), published(model, types));
            let name = format!("{}, {types} types (s.d. {:.3})", model.name(), spread(&values));
            found.rows.push(Row::shown(name, known.filter(|_| !work.quick()), mean));
            curve.ours.push((types as f64, mean));
            curve.published.extend(known.map(|value| (types as f64, value)));
        }
        found.rows.extend(course(model, &curve));
        found.curves.push(curve);
    }
    Ok(found)
}

fn repetitions(work: &mut Work<'_>, model: Model, types: usize) -> Result<Vec<f64>> {
    let full = work.flag("full", false)?;
    let default = if model == Model::Factorised { 100_000 } else { 150_000 };
    let max_steps = if work.quick() { 10 } else { work.count("max_steps", default)? as u64 };
    let count = if work.quick() { 1 } else { work.count("repetitions", 5)? };
    let one = |seed: u64| {
        let parameters = KlindtNonlinear { seed, ..KlindtNonlinear::fig5e(types) };
        let small = KlindtNonlinear {
            neurons: 4 * types,
            samples: 160,
            validation: Some(32),
            test: 64,
            ..parameters.clone()
        };
        let world = World::new(if work.quick() { small } else { parameters })?;
        let name = format!("{}-{types}-{seed}", model.name().replace(' ', "-"));
        grid(model, types, full, max_steps).fev(work, &world, &name, seed)
    };
    (1..=count as u64).map(one).collect()
}

/// Ours stays flat from the fewest to the most types, the fully connected readout falls by more than that.
fn course(model: Model, curve: &Curve) -> Option<Row> {
    let fall = |points: &[(f64, f64)]| Some(points.first()?.1 - points.last()?.1);
    let (ours, known) = (fall(&curve.ours)?, fall(&curve.published).filter(|_| curve.published.len() > 1));
    match model {
        _ if curve.ours.len() < 2 => None,
        Model::Factorised => Some(Row {
            name: format!("fall of ours, at most {FLAT}"),
            published: known,
            ours,
            tolerance: None,
            ok: Some(ours < FLAT),
        }),
        Model::FullyConnected => {
            Some(Row::above(format!("fall of fully connected, above {FLAT}"), known, ours, FLAT))
        }
        Model::FixedMask => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn courses_are_judged_from_first_to_last() {
        let curve = |last: f64| Curve { ours: vec![(4.0, 0.8), (16.0, last)], ..Curve::default() };
        let ok = |model, last| course(model, &curve(last)).unwrap().ok.unwrap();
        assert!(ok(Model::Factorised, 0.79) && !ok(Model::Factorised, 0.6));
        assert!(ok(Model::FullyConnected, 0.3) && !ok(Model::FullyConnected, 0.79));
    }
}
