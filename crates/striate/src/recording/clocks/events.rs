//! Events on a wrong clock: a sample without any is 0, which is what was measured only while somebody listened.

use super::Signals;
use super::rule::Times;
use super::signal::{Grid, Signal};
use crate::error::{Error, Result};
use crate::recording::{Stream, Trial};

/// A trial is so many times the usual time between events away from all of them to be told.
const FAR: f64 = 10.0;
/// Part of the events that may lie before the first trial or after the last without a word: spontaneous activity.
const OUTSIDE: f64 = 0.25;

/// What is odd about the times of the events of a stream.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when none falls into any trial, or there are none of any neuron.
pub(super) fn told(
    stream: Stream,
    signals: &Signals,
    grids: &[Grid],
    trials: &[Trial],
) -> Result<Vec<String>> {
    let Signals::Beside(all) = signals else { return Ok(Vec::new()) };
    let spans: Vec<(f64, f64)> =
        grids.iter().zip(trials).map(|(grid, of)| (grid.time(0), grid.time(of.samples))).collect();
    let mut found = Vec::new();
    for signal in all {
        let Signal::Events { times, place, .. } = signal else { continue };
        let words = of_signal(stream, times, &spans).map_err(|error| error.file(place).key(stream.name()))?;
        found.extend(words.into_iter().map(|words| format!("{stream}: {}: {words}", place.display())));
    }
    Ok(found)
}

fn of_signal(stream: Stream, times: &Times, spans: &[(f64, f64)]) -> Result<Vec<String>> {
    let (begin, end) = spans
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(begin, end), span| (begin.min(span.0), end.max(span.1)));
    let Some((first, last)) = times.extent() else {
        return if stream == Stream::Responses {
            Err(Error::data("holds no events"))
        } else {
            Ok(Vec::new())
        };
    };
    let count = |from: f64, to: f64| times.before(to) - times.before(from);
    if spans.iter().all(|&(from, to)| count(from, to) == 0) {
        let message = format!(
            "none of its {} events, from {first} s to {last} s, falls into a trial; trials lie between {begin} s and {end} s",
            times.len()
        );
        return Err(Error::data(message).hint("times are expected in seconds; correct them or `offset_s`"));
    }
    let mut found = Vec::new();
    let outside = times.len() - count(begin, end);
    if outside as f64 >= OUTSIDE * times.len() as f64 {
        found.push(format!(
            "{outside} of {} events, from {first} s to {last} s, lie before the first trial or after the last, between {begin} s \
             and {end} s: is it the same clock?",
            times.len()
        ));
    }
    let far = FAR * times.usual_period();
    let silent = spans.iter().filter(|&&(from, to)| to < first - far || from > last + far).count();
    if stream == Stream::Responses && silent > 0 {
        found.push(format!(
            "{silent} of {} trials lie before the first event, at {first} s, or after the last, at {last} s: their counts are 0, \
             whether anything was recorded then or not",
            spans.len()
        ));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events ten times a second from `first` on, and trials from 100 s to 118 s.
    fn odd(stream: Stream, first: f64, count: usize) -> Result<Vec<String>> {
        let times = (0..count).map(|at| first + at as f64 / 10.0).collect();
        let spans: Vec<(f64, f64)> = (100..118).map(|at| (f64::from(at), f64::from(at) + 0.9)).collect();
        of_signal(stream, &Times::stamps(times, 0.0)?, &spans)
    }

    #[test]
    fn events_on_the_clock_of_the_trials_need_no_word() {
        assert!(odd(Stream::Responses, 99.0, 201).unwrap().is_empty());
        assert!(odd(Stream::Behavior, 110.0, 3).unwrap().is_empty(), "who does not lick may have been seen");
        assert!(odd(Stream::Behavior, 0.0, 0).unwrap().is_empty());
    }

    #[test]
    fn events_on_another_clock_are_refused_or_told() {
        let refused = odd(Stream::Responses, 1e5, 100).unwrap_err();
        assert!(refused.message().contains("none of its 100 events"), "{refused}");
        assert!(odd(Stream::Responses, 0.0, 0).unwrap_err().message().contains("no events"));
        let early = odd(Stream::Responses, 100.0, 80).unwrap();
        assert!(early.len() == 1 && early[0].starts_with("9 of 18 trials"), "{early:?}");
        let outside = odd(Stream::Behavior, 110.0, 1000).unwrap();
        assert!(outside.len() == 1 && outside[0].contains(" of 1000 events, from 110 s"), "{outside:?}");
    }
}
