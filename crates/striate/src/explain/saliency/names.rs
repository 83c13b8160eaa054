//! What a model takes in of behaviour, by name: signals, their factors, and where they stand among the features.

use super::Signal;
use super::blocks::Usual;
use super::selectivity::group;
use crate::batch::Variables;
use crate::recording::{Session, Stream};

/// What the model takes in, by name.
pub struct Names {
    /// Signals, in the order in which they are met.
    pub signals: Vec<String>,
    /// Group of each.
    pub groups: Vec<String>,
    /// Factors of each: its value and its change, as far as they are taken in.
    pub factors: Vec<Vec<usize>>,
    /// Names of all factors.
    pub factor_names: Vec<String>,
    /// Names of all features.
    pub features: Vec<String>,
    /// Factor of where the animal looks that is the same as a signal's value.
    pub gaze: Vec<Option<usize>>,
}

impl Names {
    pub fn of(
        session: &Session,
        behaviour: Option<(&Variables, &Usual)>,
        pupil: Option<(&Variables, &Usual)>,
    ) -> Self {
        let of = |stream, part: Option<(&Variables, &Usual)>| {
            part.map(|(of, _)| of.factor_names(session.variables(stream))).unwrap_or_default()
        };
        let (all, looks) = (of(Stream::Behavior, behaviour), of(Stream::PupilCenter, pupil));
        let mut signals: Vec<String> = Vec::new();
        all.iter().for_each(|(_, signal)| {
            if !signals.contains(signal) {
                signals.push(signal.clone());
            }
        });
        let factors = signals.iter().map(|signal| {
            all.iter().enumerate().filter(|(_, (_, of))| of == signal).map(|(at, _)| at).collect()
        });
        let factor_names = all.iter().map(|(name, _)| name.clone()).collect();
        Self {
            groups: signals.iter().map(|signal| group(signal).to_owned()).collect(),
            factors: factors.collect(),
            gaze: signals.iter().map(|signal| looks.iter().position(|(name, _)| name == signal)).collect(),
            features: behaviour
                .map(|(of, _)| of.names(session.variables(Stream::Behavior)))
                .unwrap_or_default(),
            factor_names,
            signals,
        }
    }

    pub fn signals(&self, usual: Option<&Usual>) -> Vec<Signal> {
        let signal = |(at, name): (usize, &String)| Signal {
            name: name.clone(),
            group: self.groups[at].clone(),
            sd: self.value(at).and_then(|factor| usual.map(|usual| f64::from(usual.sd[factor]))),
        };
        self.signals.iter().enumerate().map(signal).collect()
    }

    /// Factor that is the value of a signal.
    pub fn value(&self, signal: usize) -> Option<usize> {
        self.factors[signal].iter().copied().find(|&factor| self.factor_names[factor] == self.signals[signal])
    }

    /// Factor that is its change.
    pub fn change(&self, signal: usize) -> Option<usize> {
        self.factors[signal].iter().copied().find(|&factor| self.factor_names[factor] != self.signals[signal])
    }

    pub fn groups(&self) -> Vec<&str> {
        self.groups.iter().map(String::as_str).collect()
    }
}
