//! Weights of encoders that share a core, in one table: those of the core as they are called, those of a session's head
//! (readout, shifter, modulator) behind its name, `SESSION/readout.mask`. Of a single encoder all are called as they are.

use std::collections::BTreeSet;

use crate::array::Arrays;
use crate::error::{Error, Result};

/// Between a session and the name of a weight of its head; no session is called with it, for each is a file's name.
const BEHIND: char = '/';

/// Whether all sessions have the weight, or the part, `name` in common.
pub fn is_shared(name: &str) -> bool {
    name.split('.').next() == Some("core")
}

/// What the weight `name` of the head of `session` is called beside those of others; `None` for the only session.
pub fn named(session: Option<&str>, name: &str) -> String {
    match session {
        Some(session) if !is_shared(name) => format!("{session}{BEHIND}{name}"),
        _ => name.to_owned(),
    }
}

/// The weights of the core and of one head, called as those of a single encoder.
pub fn of_session(all: &Arrays, session: Option<&str>) -> Arrays {
    let Some(session) = session else { return all.clone() };
    let own = |name: &str| match name.rsplit_once(BEHIND) {
        Some((owner, name)) => (owner == session).then(|| name.to_owned()),
        None => Some(name.to_owned()),
    };
    all.iter().filter_map(|(name, array)| Some((own(name)?, array.clone()))).collect()
}

/// The sessions whose heads are in a table; none in that of a single encoder.
pub fn sessions(all: &Arrays) -> BTreeSet<&str> {
    all.keys().filter_map(|name| Some(name.rsplit_once(BEHIND)?.0)).collect()
}

/// That there are heads of these `sessions` and of no others.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) naming the first session that only one of both has.
pub fn check_sessions(all: &Arrays, known: &BTreeSet<&str>) -> Result<()> {
    match sessions(all).symmetric_difference(known).next() {
        None => Ok(()),
        Some(session) => {
            let holds = if known.contains(session) { "holds no weights" } else { "holds weights" };
            Err(Error::data(format!("{holds} of a session `{session}`")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::Array;

    #[test]
    fn heads_are_told_apart_whatever_sessions_are_called() {
        let array = |value: f32| Array { shape: vec![1], values: vec![value] };
        let mut all = Arrays::from([("core.kernels".to_owned(), array(0.0))]);
        for (session, value) in [("a", 1.0), ("a.readout", 2.0), ("core.b", 3.0)] {
            all.insert(named(Some(session), "readout.mask"), array(value));
            assert_eq!(named(Some(session), "core.kernels"), "core.kernels");
        }
        for (session, value) in [("a", 1.0), ("a.readout", 2.0), ("core.b", 3.0)] {
            let own = of_session(&all, Some(session));
            assert_eq!(own.keys().collect::<Vec<_>>(), ["core.kernels", "readout.mask"]);
            assert_eq!(own["readout.mask"], array(value));
        }
        let known = BTreeSet::from(["a", "a.readout", "core.b"]);
        check_sessions(&all, &known).unwrap();
        let error = check_sessions(&all, &BTreeSet::from(["a", "core.b"])).unwrap_err();
        assert_eq!(error.to_string(), "holds weights of a session `a.readout`");
        assert_eq!(of_session(&all, None), all);
    }
}
