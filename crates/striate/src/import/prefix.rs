//! What stands before the names of a model's arrays: trainers wrap models and nest their weights.

use std::collections::BTreeSet;

use crate::error::{Error, Result, list};

/// Names that trainers put before those of a model: wrappers (DataParallel, `torch.compile`, Lightning) and the keys of
/// dictionaries that checkpoints are kept in.
const WRAPPERS: [&str; 9] = [
    "module",
    "model",
    "_orig_mod",
    "state_dict",
    "model_state_dict",
    "model_state",
    "net",
    "network",
    "weights",
];
/// The part that every model has.
const CORE: &str = "core";

/// What stands before the part `core` in the names of a checkpoint's arrays, empty or with a dot at its end.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) with the first names that are there, when none is of a core or several
/// models are there to choose from.
pub(super) fn before_core<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Result<&'a str> {
    let found: BTreeSet<&str> = names.clone().filter_map(before).collect();
    let known: Vec<&str> = found.iter().copied().filter(|prefix| is_known(prefix)).collect();
    match (known.as_slice(), found.len()) {
        ([one], _) => Ok(one),
        (_, 1) => Ok(found.first().expect("it has one")),
        (_, 0) => Err(Error::data(format!("holds no array of a model's `{CORE}`; {}", there_are(names)))
            .hint("expected the state dict of a Sensorium 2022 baseline")),
        _ => {
            let several: Vec<&str> = found.into_iter().collect();
            let message = list("holds several models, whose names begin with", &several);
            Err(Error::data(message).hint("save the state dict of one of them alone"))
        }
    }
}

/// The first names that are there, in words.
pub(super) fn there_are<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    list("its arrays are", &names)
}

fn before(name: &str) -> Option<&str> {
    let part = format!("{CORE}.");
    let at = name.starts_with(&part).then_some(0).or_else(|| Some(name.find(&format!(".{part}"))? + 1))?;
    Some(&name[..at])
}

fn is_known(prefix: &str) -> bool {
    prefix.split_terminator('.').all(|word| WRAPPERS.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<'a>(names: &[&'a str]) -> Result<&'a str> {
        before_core(names.iter().copied())
    }

    #[test]
    fn wrappers_and_nestings_are_taken_off() {
        for prefix in
            ["", "module.", "state_dict.model.", "_orig_mod.module.", "model_state_dict.", "net.", "my.own."]
        {
            let names = [format!("{prefix}core.features.a"), "optimizer.state.0".into()];
            assert_eq!(found(&[&names[0], &names[1]]).unwrap(), prefix);
        }
        assert_eq!(found(&["ema.core.a", "model.core.a"]).unwrap(), "model.", "the one that is known");
    }

    #[test]
    fn what_holds_no_model_or_several_says_what_is_there() {
        let message = |names: &[&str]| found(names).unwrap_err().message().to_owned();
        assert_eq!(message(&[]), "holds no array of a model's `core`; its arrays are none");
        assert!(
            message(&["state.0.exp_avg", "score.a"]).ends_with("its arrays are: score.a, state.0.exp_avg")
        );
        assert!(message(&["a.core.b", "c.core.b"]).ends_with("begin with: a., c."));
    }
}
