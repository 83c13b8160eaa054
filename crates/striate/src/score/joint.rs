//! Metrics of several sessions over all their neurons.

use super::{Compute, METRICS, Metric, Scored, Settings, Summary};

impl Scored {
    /// The metrics that all `parts` have, over the neurons of all, one part after another; of the others `omitted` says
    /// that a part lacks them.
    pub fn joint(parts: &[&Self], settings: &Settings) -> Self {
        let mut all = Self::default();
        for metric in &METRICS {
            for id in [Some(metric.id), metric.held].into_iter().flatten() {
                all.add_joint(metric, id, parts, settings);
            }
        }
        for (id, why) in parts.iter().flat_map(|part| &part.omitted) {
            all.omitted.entry(id.clone()).or_insert_with(|| why.clone());
        }
        all
    }

    fn add_joint(&mut self, metric: &'static Metric, id: &'static str, parts: &[&Self], settings: &Settings) {
        let Some(first) = parts.first().and_then(|part| part.summaries.get(id)) else { return };
        let mut summary = match metric.compute {
            Compute::PerNeuron(_) => {
                let Some(values) = gathered(parts, id, |part| &part.per_neuron) else { return };
                let summary = Summary::of_neurons(metric, &values, settings);
                self.per_neuron.push((id, values));
                summary
            }
            Compute::Population { combine, .. } => {
                let Some(pairs) = gathered(parts, id, |part| &part.pairs) else { return };
                let summary = Summary::of_population(metric, &pairs, combine, settings);
                self.pairs.push((id, pairs));
                summary
            }
        };
        summary.definition.clone_from(&first.definition);
        let reasons = gathered(parts, id, |part| &part.reasons).unwrap_or_default();
        summary.count_reasons(&reasons);
        self.reasons.push((id, reasons));
        self.summaries.insert(id.into(), summary);
    }
}

/// The values of all parts under `id`; none where a part has none.
fn gathered<T: Clone>(
    parts: &[&Scored],
    id: &str,
    of: impl Fn(&Scored) -> &Vec<(&'static str, Vec<T>)>,
) -> Option<Vec<T>> {
    let own =
        |part: &&Scored| of(part).iter().find(|(known, _)| *known == id).map(|(_, values)| values.clone());
    let all: Vec<Vec<T>> = parts.iter().map(own).collect::<Option<_>>()?;
    Some(all.concat())
}

#[cfg(test)]
mod tests {
    use super::super::{Evaluation, score};
    use super::*;

    /// What two sessions say together is what one of all their neurons would.
    #[test]
    fn sessions_are_joined_as_if_they_were_one() {
        let responses = [1., 2., 3., 5., 4., 4., 0., 4., 2., 1., 1., 7.];
        let predicted = [1., 2., 2., 4., 5., 4., 0., 3., 2., 2., 1., 6.];
        let groups = [0, 0, 1, 1];
        let column = |of: &[f32], from: usize, to: usize| -> Vec<f32> {
            of.chunks(3).flat_map(|row| row[from..to].to_vec()).collect()
        };
        let settings = Settings { resamples: 50, ..Settings::default() };
        let scored = |from, to| {
            let recorded: Vec<f64> = column(&responses, from, to).into_iter().map(f64::from).collect();
            let evaluation = Evaluation::new(to - from, &recorded, &groups).unwrap();
            score(&evaluation.with_predictions(&column(&predicted, from, to)).unwrap(), &settings)
        };
        let (whole, parts) = (scored(0, 3), [scored(0, 1), scored(1, 3)]);
        let joint = Scored::joint(&[&parts[0], &parts[1]], &settings);
        assert_eq!(joint.summaries, whole.summaries);
        assert_eq!(joint.per_neuron.len(), whole.per_neuron.len());
        assert_eq!(joint.omitted, whole.omitted);
        assert!(joint.summaries.contains_key("fraction_oracle"), "and of what is of the population");
    }
}
