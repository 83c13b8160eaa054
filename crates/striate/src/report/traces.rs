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
    let plot = |trace: &Trace| small_plot(trace, traces.rate_hz);
    let group = |(rank, title): &(&str, &str)| {
        let plots: Vec<Tag> =
            traces.neurons.iter().filter(|trace| trace.rank == *rank).take(SHOWN).map(plot).collect();
        let heading = tag("h3").text(title);
        (!plots.is_empty()).then(|| [heading, tag("div").class("three").all(plots)])
    };
    let legend = tag("p").class("legend").all([
        key("line recorded", "recorded response, mean over repeats ± s.e.m."),
        key(if traces.rate_hz.is_some() { "line model" } else { "spot model" }, "predicted response"),
    ]);
    let order = match traces.rate_hz {
        Some(_) => "Time runs to the right, from the first sample that the model predicts.",
        None => {
            "Stimuli are sorted by the recorded response, so the line falls by construction; what counts is how closely the dots \
             follow it."
        }
    };
    let caption = format!(
        "Responses of single neurons to {} of tier {}, in the units of the recording; r is the single-trial correlation. \
         {order} Where no response is below 0 the band is cut off there; where a stimulus was shown once it has no width.",
        stimuli(traces),
        tier.name
    );
    vec![figure([legend].into_iter().chain(RANKS.iter().filter_map(group).flatten()), &caption)]
}

/// How many stimuli are shown, of how many.
fn stimuli(traces: &Traces) -> String {
    let shown = traces.neurons.iter().map(|trace| trace.recorded.len()).max().unwrap_or(0);
    if traces.rate_hz.is_some() {
        return "the first movie".into();
    }
    let [shown_words, all] = [shown, traces.stimuli].map(|n| thousands(n as f64));
    if traces.stimuli > shown {
        format!("the first {shown_words} of {all} stimuli")
    } else {
        format!("{shown_words} stimuli")
    }
}

fn small_plot(trace: &Trace, rate_hz: Option<f64>) -> Tag {
    let [recorded, low, high, predicted] = match rate_hz {
        Some(rate_hz) => curves(trace, &first_movie(trace), 1.0 / rate_hz),
        None => curves(trace, &by_response(trace), 1.0),
    };
    // The band may reach below 0 where no response does; the frame cuts it off there.
    let drawn = |curve: &[&Curve]| curve.iter().copied().flatten().map(|p| p.1).collect::<Vec<f64>>();
    let responses = drawn(&[&recorded, &predicted]);
    let lower = if responses.iter().any(|v| *v < 0.0) { drawn(&[&low]) } else { Vec::new() };
    let heights =
        responses.into_iter().chain(lower).chain(drawn(&[&high])).chain([0.0]).filter(|v| v.is_finite());
    let (least, most) = heights.fold((0.0_f64, 0.0_f64), |(least, most), v| (least.min(v), most.max(v)));
    let end = recorded.last().map_or(1.0, |last| last.0).max(f64::MIN_POSITIVE);
    let stimuli = match rate_hz {
        Some(_) => Axis::exactly("time, s", 0.0, end),
        None => Axis::exactly("stimuli, sorted", 0.0, end.max(1.0)).counted(),
    };
    let mut plot = Plot::new(350.0, 172.0, stimuli, Axis::exactly("", least, most));
    plot.band("band", &low, &high);
    plot.line("line recorded", &recorded);
    match rate_hz {
        Some(_) => plot.line("line model", &predicted),
        None => plot.dots("dots model", &predicted),
    }
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

fn value(column: &[Option<f64>], i: usize) -> f64 {
    column.get(i).copied().flatten().unwrap_or(f64::NAN)
}

/// Stimuli with a response, the largest first.
fn by_response(trace: &Trace) -> Vec<usize> {
    let mut order: Vec<usize> = (0..trace.recorded.len()).collect();
    order.retain(|&i| value(&trace.recorded, i).is_finite());
    order.sort_by(|&a, &b| value(&trace.recorded, b).total_cmp(&value(&trace.recorded, a)));
    order
}

/// The samples of the first movie, in their order: a sample is called `MOVIE NUMBER`.
fn first_movie(trace: &Trace) -> Vec<usize> {
    let movie = |name: &String| name.rsplit_once(' ').map(|(movie, _)| movie.to_owned());
    let first = trace.stimulus.first().and_then(movie);
    let others = trace.stimulus.iter().position(|name| movie(name) != first);
    (0..others.unwrap_or(trace.recorded.len())).collect()
}

/// Recorded mean, its lower and upper bound, and the prediction, over stimuli in this `order`, each `step` after the other.
fn curves(trace: &Trace, order: &[usize], step: f64) -> [Curve; 4] {
    let sem = |i: usize| value(&trace.recorded_sem, i);
    let curve = |of: &dyn Fn(usize) -> f64| {
        order.iter().enumerate().map(|(x, &i)| (x as f64 * step, of(i))).collect()
    };
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
        let [recorded, low, _, predicted] = curves(&trace, &by_response(&trace), 1.0);
        assert_eq!(recorded, [(0.0, 3.0), (1.0, 1.0)]);
        // Of a stimulus shown once nobody knows the error: it is not 0.
        assert!(low[0].1.is_nan() && low[1] == (1.0, 0.5));
        assert!(predicted[0].1.is_nan());
        assert_eq!(predicted[1], (1.0, 7.0));
    }

    #[test]
    fn samples_of_a_movie_stay_in_their_order_and_end_with_it() {
        let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let trace = Trace {
            unit_id: 1,
            rank: "best".into(),
            single_trial_correlation: None,
            oracle: None,
            stimulus: named(&["a b 3", "a b 4", "c 3"]),
            recorded: vec![Some(1.0), Some(3.0), Some(2.0)],
            recorded_sem: vec![],
            predicted: vec![Some(7.0), Some(8.0), Some(9.0)],
        };
        let [recorded, .., predicted] = curves(&trace, &first_movie(&trace), 0.5);
        assert_eq!(recorded, [(0.0, 1.0), (0.5, 3.0)]);
        assert_eq!(predicted, [(0.0, 7.0), (0.5, 8.0)]);
    }
}
