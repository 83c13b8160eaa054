//! What several sessions must have in common to be fitted together.

use std::collections::BTreeMap;

use super::FitConfig;
use crate::batch::Which;
use crate::error::{Error, Result};
use crate::recording::{Session, Stream};
use crate::run::folder::file_name;

/// Refuses `sessions` that one core cannot be fitted to with `config`, naming the two that do not agree.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) where they differ in what the core sees or are called alike;
/// [`Kind::Config`](crate::error::Kind::Config) for options that speak of one session.
pub(super) fn check_together(config: &FitConfig, sessions: &[&Session]) -> Result<()> {
    let [first, others @ ..] = sessions else {
        return Err(Error::config("holds no session to fit").key("data.session"));
    };
    if others.is_empty() {
        return Ok(());
    }
    check_options(config)?;
    check_names(sessions)?;
    others.iter().try_for_each(|other| check_alike(config, first, other))
}

/// Options that name neurons, trials or types name those of one session.
fn check_options(config: &FitConfig) -> Result<()> {
    let data = &config.data;
    let named = |which: &Which| !which.is_empty() && !which.is_rule();
    let slip = match () {
        () if config.linear.is_some() => "fit.solver",
        () if named(&data.neuron_ids) => "data.neuron_ids",
        () if named(&data.exclude_neurons) => "data.exclude_neurons",
        () if named(&data.exclude_trials) => "data.exclude_trials",
        () if !data.types.is_empty() => "data.types",
        () => return Ok(()),
    };
    Err(Error::config("speaks of one session, and there are several")
        .key(slip)
        .hint("fit one at a time (`data.session=NAME`), or leave the option out; rules such as `oracle<0.1` and `data.nan=drop_trials` hold for all"))
}

/// Each has a folder of its own.
fn check_names(sessions: &[&Session]) -> Result<()> {
    let mut known: BTreeMap<String, &Session> = BTreeMap::new();
    for session in sessions {
        if let Some(other) = known.insert(file_name(&session.id).to_lowercase(), session) {
            let message = format!(
                "two sessions have one name: `{}` and `{}` ({})",
                other.id,
                session.id,
                other.path.display()
            );
            return Err(Error::data(message).file(&session.path).hint("rename the folder or archive of one"));
        }
    }
    Ok(())
}

/// That one core can see both.
fn check_alike(config: &FitConfig, first: &Session, other: &Session) -> Result<()> {
    let differ = |what: &str, there: String, here: String| {
        let message = format!("{what} {here}, those of session `{}` {there}", first.id);
        Err(Error::data(message)
            .file(&other.path)
            .key(&other.id)
            .hint("one core sees all sessions alike: convert them to one size and rate, or fit them apart"))
    };
    let shape = |session: &Session| session.image_shape();
    if shape(first) != shape(other) {
        return differ("images are", format!("{:?}", shape(first)), format!("{:?}", shape(other)));
    }
    let rate = |session: &Session| session.stimulus.rate_hz;
    // Rates are measured: what differs by less is one.
    let alike = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-3 * a.abs(),
        (a, b) => a.is_none() && b.is_none(),
    };
    if !alike(rate(first), rate(other)) {
        let words = |rate: Option<f64>| rate.map_or("at no rate".into(), |rate| format!("at {rate} Hz"));
        return differ("samples are", words(rate(first)), words(rate(other)));
    }
    let variables = |session: &Session| session.shape(Stream::Behavior).unwrap_or_default().to_vec();
    let names = |session: &Session| session.variables(Stream::Behavior).join(", ");
    let told = !names(first).is_empty() && !names(other).is_empty();
    let others = variables(first) != variables(other) || (told && names(first) != names(other));
    if config.model.uses().behaviour && others {
        let words = |session| if told { names(session) } else { format!("{:?}", variables(session)) };
        return differ("variables of behaviour are", words(first), words(other));
    }
    Ok(())
}
