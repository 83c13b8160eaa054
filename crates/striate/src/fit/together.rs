//! What several sessions must have in common to be fitted together.

use std::collections::BTreeMap;

use super::FitConfig;
use crate::batch::Which;
use crate::error::{Error, Result, unknown};
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
    check_named(config, sessions)?;
    if others.is_empty() {
        return Ok(());
    }
    check_options(config)?;
    check_names(sessions)?;
    others.iter().try_for_each(|other| check_alike(config, first, other))
}

/// Sessions whose neurons or trials are named are fitted.
fn check_named(config: &FitConfig, sessions: &[&Session]) -> Result<()> {
    let data = &config.data;
    let known: Vec<&str> = sessions.iter().map(|session| session.id.as_str()).collect();
    let named = [
        ("data.neuron_ids", &data.neuron_ids),
        ("data.exclude_neurons", &data.exclude_neurons),
        ("data.exclude_trials", &data.exclude_trials),
    ];
    for (key, which) in named {
        if let Some(stranger) = which.sessions().find(|name| !known.contains(name)) {
            return Err(unknown("session of this fit", stranger, &known).key(key));
        }
    }
    Ok(())
}

/// Options that name neurons, trials or types without their session name those of one.
fn check_options(config: &FitConfig) -> Result<()> {
    let data = &config.data;
    let named = |which: &Which| !which.holds_for_several();
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
        .hint("name the session of each neuron or trial, `[\"SESSION:3\"]`, or take a rule that holds for all, such as `oracle<0.1` or `samples<20`"))
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
    if !other.stimulus.runs_at(rate(first)) {
        let words = |rate: Option<f64>| rate.map_or("at no rate".into(), |rate| format!("at {rate} Hz"));
        return differ("samples are", words(rate(first)), words(rate(other)));
    }
    let variables = |session: &Session| session.shape(Stream::Behavior).unwrap_or_default().to_vec();
    let names = |session: &Session| session.variables(Stream::Behavior).join(", ");
    let told = !names(first).is_empty() && !names(other).is_empty();
    // One that lacks the stream is told by the key that asks for it.
    let lacks = variables(first).is_empty() || variables(other).is_empty();
    let others = variables(first) != variables(other) || (told && names(first) != names(other));
    if config.model.uses().behaviour && !lacks && others {
        let words = |session| if told { names(session) } else { format!("{:?}", variables(session)) };
        return differ("variables of behaviour are", words(first), words(other));
    }
    Ok(())
}
