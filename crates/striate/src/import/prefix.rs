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
/// What stands before a part of a model in the names of a checkpoint's arrays, empty or with a dot at its end: before the
/// first of `parts` that it has.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) with the first names that are there, when it has none of them or several
/// models are there to choose from.
pub(super) fn before_parts<'a>(
    parts: &[&str],
    names: impl Iterator<Item = &'a str> + Clone,
) -> Result<&'a str> {
    let before_part =
        |part: &&str| -> BTreeSet<&'a str> { names.clone().filter_map(|name| before(part, name)).collect() };
    let found = parts.iter().map(before_part).find(|found| !found.is_empty()).unwrap_or_default();
    let known: Vec<&str> = found.iter().copied().filter(|prefix| is_known(prefix)).collect();
    match (known.as_slice(), found.len()) {
        ([one], _) => Ok(one),
        (_, 1) => Ok(found.first().expect("it has one")),
        (_, 0) => {
            let part = parts.join("` or `");
            Err(Error::data(format!("holds no array of a model's `{part}`; {}", there_are(names))))
        }
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

fn before<'a>(part: &str, name: &'a str) -> Option<&'a str> {
    let part = format!("{part}.");
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
        before_parts(&["core"], names.iter().copied())
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
    fn the_first_part_that_is_there_tells() {
        let names = ["net.visual_encoder.a", "net.encoder.b"];
        let found = |parts: &[&str]| before_parts(parts, names.iter().copied());
        assert_eq!(found(&["visual_encoder", "encoder"]).unwrap(), "net.");
        assert_eq!(found(&["none", "encoder"]).unwrap(), "net.");
        assert!(found(&["coder"]).unwrap_err().message().contains("a model's `coder`"), "no part of a word");
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
