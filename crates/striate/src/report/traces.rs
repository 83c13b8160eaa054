//! Recorded and predicted responses of the best neurons, stimulus by stimulus.

use super::markup::{Tag, decimal, figure, key, note, tag, thousands};
use super::plot::{Axis, Plot};
use super::results::{Results, Trace, Traces};

const SHOWN: usize = 12;

/// Ranks in the trace file and what they are called.
const RANKS: [(&str, &str); 3] =
    [("best", "The best predicted neurons"), ("median", "Around the median"), ("worst", "The worst")];

/// Small multiples, one per neuron.
pub fn section(run: &Results) -> Vec<Tag> {
    let Some(tier) = run.main_tier() else {
        return Vec::new();
    };
    let traces = match &tier.traces {
        Err(why) => return vec![note(why)],
        Ok(traces) if traces.neurons.is_empty() => return vec![note("The trace file holds no neuron.")],
        Ok(traces) => traces,
    };
    let group = |(rank, title): &(&str, &str)| {
        let plots: Vec<Tag> =
            traces.neurons.iter().filter(|trace| trace.rank == *rank).take(SHOWN).map(small_plot).collect();
        let heading = tag("h3").text(title);
        (!plots.is_empty()).then(|| [heading, tag("div").class("three").all(plots)])
    };
    let legend = tag("p").class("legend").all([
        key("line recorded", "recorded response, mean over repeats ± s.e.m."),
        key("spot model", "predicted response"),
    ]);
    let caption = format!(
        "Responses of single neurons to {} of tier {}, in the units of the recording; r is the single-trial correlation. \
         Stimuli are sorted by the recorded response, so the line falls by construction; what counts is how closely the dots \
         follow it. Where no response is below 0 the band is cut off there; where a stimulus was shown once it has no width.",
        stimuli(traces),
        tier.name
    );
    vec![figure([legend].into_iter().chain(RANKS.iter().filter_map(group).flatten()), &caption)]
}

/// How many stimuli are shown, of how many.
fn stimuli(traces: &Traces) -> String {
    let shown = traces.neurons.iter().map(|trace| trace.recorded.len()).max().unwrap_or(0);
    let [shown_words, all] = [shown, traces.stimuli].map(|n| thousands(n as f64));
    if traces.stimuli > shown {
        format!("the first {shown_words} of {all} stimuli")
    } else {
        format!("{shown_words} stimuli")
    }
}

fn small_plot(trace: &Trace) -> Tag {
    let [recorded, low, high, predicted] = curves(trace);
    // The band may reach below 0 where no response does; the frame cuts it off there.
    let drawn = |curve: &[&Curve]| curve.iter().copied().flatten().map(|p| p.1).collect::<Vec<f64>>();
    let responses = drawn(&[&recorded, &predicted]);
    let lower = if responses.iter().any(|v| *v < 0.0) { drawn(&[&low]) } else { Vec::new() };
    let heights =
        responses.into_iter().chain(lower).chain(drawn(&[&high])).chain([0.0]).filter(|v| v.is_finite());
    let (least, most) = heights.fold((0.0_f64, 0.0_f64), |(least, most), v| (least.min(v), most.max(v)));
    let stimuli = Axis::exactly("stimuli, sorted", 0.0, (recorded.len().max(2) - 1) as f64).counted();
    let mut plot = Plot::new(350.0, 172.0, stimuli, Axis::exactly("", least, most));
    plot.band("band", &low, &high);
    plot.line("line recorded", &recorded);
    plot.dots("dots model", &predicted);
    let title = format!("unit {}", trace.unit_id);
    let numbers = match trace.oracle {
        Some(oracle) => {
            format!("r {} · oracle {}", decimal(trace.single_trial_correlation, 2), decimal(Some(oracle), 2))
        }
        None => format!("r {}", decimal(trace.single_trial_correlation, 2)),
    };
    let drawing = plot.finish(&format!("Recorded and predicted responses of {title}"));
    let label = tag("span").class("label").with(tag("b").text(&title)).with(tag("span").text(numbers));
    tag("div").class("tile").with(label).with(drawing)
}

type Curve = Vec<(f64, f64)>;

/// Recorded mean, its lower and upper bound, and the prediction, over stimuli sorted by the recorded mean.
fn curves(trace: &Trace) -> [Curve; 4] {
    let value = |column: &[Option<f64>], i: usize| column.get(i).copied().flatten().unwrap_or(f64::NAN);
    let mut order: Vec<usize> = (0..trace.recorded.len()).collect();
    order.retain(|&i| value(&trace.recorded, i).is_finite());
    order.sort_by(|&a, &b| value(&trace.recorded, b).total_cmp(&value(&trace.recorded, a)));
    let sem = |i: usize| value(&trace.recorded_sem, i);
    let curve =
        |of: &dyn Fn(usize) -> f64| order.iter().enumerate().map(|(x, &i)| (x as f64, of(i))).collect();
    [
        curve(&|i| value(&trace.recorded, i)),
        curve(&|i| value(&trace.recorded, i) - sem(i)),
        curve(&|i| value(&trace.recorded, i) + sem(i)),
        curve(&|i| value(&trace.predicted, i)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stimuli_are_sorted_by_the_recorded_response_and_gaps_left_out() {
        let trace = Trace {
            unit_id: 1,
            rank: "best".into(),
            single_trial_correlation: None,
            oracle: None,
            stimulus: vec![],
            recorded: vec![Some(1.0), None, Some(3.0)],
            recorded_sem: vec![Some(0.5)],
            predicted: vec![Some(7.0), Some(8.0)],
        };
        let [recorded, low, _, predicted] = curves(&trace);
        assert_eq!(recorded, [(0.0, 3.0), (1.0, 1.0)]);
        // Of a stimulus shown once nobody knows the error: it is not 0.
        assert!(low[0].1.is_nan() && low[1] == (1.0, 0.5));
        assert!(predicted[0].1.is_nan());
        assert_eq!(predicted[1], (1.0, 7.0));
    }
}
