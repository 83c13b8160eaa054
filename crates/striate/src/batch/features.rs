//! What a model takes in of behaviour or of where the animal looks: variables as recorded, their changes, and products of two.

use serde::{Deserialize, Serialize};

use super::Names;
use crate::error::{Error, Result};
use crate::recording::{Session, Stream};

/// Sets that have a name, in the words of the authors' code (`papers/xu2023.md#features`).
const SETS: [&str; 7] = ["orig", "velo", "all", "orig_prod", "velo_prod", "all_prod", "S"];
/// Variables that are changes already, by their names.
pub(crate) const SPEEDS: [&str; 2] = ["speed", "running_speed"];
/// Size of the pupil.
pub(crate) const PUPILS: [&str; 2] = ["eyerad", "pupil_dilation"];
/// Behind the name of a variable: its change since the sample before.
const CHANGE: char = '\'';
/// Between two factors.
const TIMES: char = '*';

/// Features of one stream, in the order in which a model takes them in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Features {
    /// Variables as they are recorded, by name.
    variables: Vec<String>,
    /// One or two factors each, which are multiplied.
    terms: Vec<Vec<Factor>>,
}

/// A variable, or its change since the sample before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Factor {
    variable: usize,
    change: bool,
}

impl Features {
    /// Those that are `asked` for of a stream: a set by its name, or a list of terms such as `th`, `th'`, `speed*th'`. None
    /// where nothing is asked for, which is every variable as it was recorded.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) for a term that the stream does not have.
    pub fn of(session: &Session, stream: Stream, Names(asked): &Names) -> Result<Option<Self>> {
        if asked.is_empty() {
            return Ok(None);
        }
        let count = session.shape(stream).map_or(0, |shape| shape.iter().product());
        let mut variables = session.variables(stream).to_vec();
        if variables.len() != count {
            variables = (0..count).map(|at| at.to_string()).collect();
        }
        Self::resolve(variables, asked).map(Some).map_err(|error| error.file(&session.path))
    }

    fn resolve(variables: Vec<String>, asked: &[String]) -> Result<Self> {
        let terms = match asked {
            [set] if SETS.contains(&set.as_str()) => set_of(set, &variables)?,
            terms => terms.iter().map(|term| parse(term, &variables)).collect::<Result<_>>()?,
        };
        Ok(Self { variables, terms })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.terms.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Variables of a sample as it is recorded.
    pub fn recorded(&self) -> usize {
        self.variables.len()
    }

    /// What each is called, e.g. `speed*th'`.
    pub fn names(&self) -> Vec<String> {
        let factor = |of: &Factor| self.name(*of);
        let term = |term: &Vec<Factor>| term.iter().map(factor).collect::<Vec<_>>().join(&TIMES.to_string());
        self.terms.iter().map(term).collect()
    }

    fn name(&self, of: Factor) -> String {
        let name = &self.variables[of.variable];
        if of.change { format!("{name}{CHANGE}") } else { name.clone() }
    }

    /// Of recorded rows `[sample, variable]` of one stretch the features `[sample, feature]`. Before its first sample all is 0,
    /// as in the authors' code.
    pub fn rows(&self, recorded: &[f32]) -> Vec<f32> {
        let width = self.recorded().max(1);
        let mut before = vec![0.0; width];
        let mut features = Vec::with_capacity(recorded.len() / width * self.len());
        for now in recorded.chunks_exact(width) {
            let factor = |of: &Factor| {
                let value = f64::from(now[of.variable]);
                if of.change { value - f64::from(before[of.variable]) } else { value }
            };
            features.extend(self.terms.iter().map(|term| term.iter().map(factor).product::<f64>() as f32));
            before.copy_from_slice(now);
        }
        features
    }

    /// What is multiplied and changes by itself: variables, and changes of some, each once, variables first.
    fn factors(&self) -> Vec<Factor> {
        let mut factors: Vec<Factor> = self.terms.iter().flatten().copied().collect();
        factors.sort_by_key(|of| (of.change, of.variable));
        factors.dedup();
        factors
    }

    /// What each of them is called, and the variable that it is of.
    pub fn factor_names(&self) -> Vec<(String, String)> {
        let name = |of: Factor| (self.name(of), self.variables[of.variable].clone());
        self.factors().into_iter().map(name).collect()
    }

    /// Of recorded rows `[sample, variable]` of one stretch the factors `[sample, factor]`, as [`Features::rows`].
    pub fn factor_rows(&self, recorded: &[f32]) -> Vec<f32> {
        let alone = Self { terms: self.factors().into_iter().map(|of| vec![of]).collect(), ..self.clone() };
        alone.rows(recorded)
    }

    /// Features `[sample, feature]` of rows of factors.
    pub fn of_factors(&self, rows: &[f32]) -> Vec<f32> {
        let factors = self.factors();
        let place = |of: &Factor| factors.iter().position(|factor| factor == of).unwrap_or_default();
        let places: Vec<Vec<usize>> =
            self.terms.iter().map(|term| term.iter().map(place).collect()).collect();
        let term =
            |row: &[f32], of: &Vec<usize>| of.iter().map(|&at| f64::from(row[at])).product::<f64>() as f32;
        rows.chunks_exact(factors.len().max(1))
            .flat_map(|row| places.iter().map(|of| term(row, of)))
            .collect()
    }

    /// Whether it names no variable that there is not.
    pub(super) fn is_sound(&self) -> bool {
        let factors = self.terms.iter().flatten();
        factors.map(|factor| factor.variable).all(|variable| variable < self.variables.len())
            && self.terms.iter().all(|term| !term.is_empty())
    }
}

fn set_of(set: &str, variables: &[String]) -> Result<Vec<Vec<Factor>>> {
    let is_speed = |variable: &usize| SPEEDS.contains(&variables[*variable].as_str());
    let value = |variable| Factor { variable, change: false };
    let change = |variable| Factor { variable, change: true };
    let all = || 0..variables.len();
    let base: Vec<Factor> = match set.trim_end_matches("_prod") {
        "orig" => all().map(value).collect(),
        "velo" => all().map(|at| if is_speed(&at) { value(at) } else { change(at) }).collect(),
        "all" => all().map(value).chain(all().filter(|at| !is_speed(at)).map(change)).collect(),
        _ => {
            let [speed, pupil] = [named(&SPEEDS, variables)?, named(&PUPILS, variables)?];
            vec![value(speed), value(pupil), change(pupil)]
        }
    };
    let mut terms: Vec<Vec<Factor>> = base.iter().map(|&factor| vec![factor]).collect();
    if set.ends_with("_prod") {
        let pairs = (0..base.len()).flat_map(|i| (i + 1..base.len()).map(move |j| [i, j]));
        terms.extend(pairs.map(|pair| pair.map(|at| base[at]).to_vec()));
    }
    Ok(terms)
}

fn named(names: &[&str], variables: &[String]) -> Result<usize> {
    let found = variables.iter().position(|variable| names.contains(&variable.as_str()));
    found.ok_or_else(|| Error::config(format!("the set `S` needs the variable `{}`", names.join("` or `"))))
}

fn parse(term: &str, variables: &[String]) -> Result<Vec<Factor>> {
    let factor = |text: &str| {
        let text = text.trim();
        let (name, change) = text.strip_suffix(CHANGE).map_or((text, false), |name| (name.trim(), true));
        let Some(variable) = variables.iter().position(|known| known == name) else {
            return Err(Error::config(format!("`{name}` is neither a variable nor a set")).hint(format!(
                "variables: {}; changes are written th', products speed*th'; sets: {}",
                variables.join(", "),
                SETS.join(", ")
            )));
        };
        Ok(Factor { variable, change })
    };
    let factors: Vec<Factor> = term.split(TIMES).map(factor).collect::<Result<_>>()?;
    match factors.len() {
        1 | 2 => Ok(factors),
        many => Err(Error::config(format!("`{term}` is a product of {many}, at most two are multiplied"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNALS: [&str; 6] = ["speed", "pitch", "roll", "phi", "th", "eyerad"];

    fn of(asked: &[&str]) -> Result<Features> {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        Features::resolve(owned(&SIGNALS), &owned(asked))
    }

    #[test]
    fn sets_have_the_sizes_and_the_order_of_the_paper() {
        let sizes = SETS.map(|set| of(&[set]).unwrap().len());
        assert_eq!(sizes, [6, 6, 11, 21, 21, 66, 3]);
        let all = of(&["all_prod"]).unwrap().names();
        assert_eq!(all[..6], SIGNALS);
        assert_eq!(all[6..11], ["pitch'", "roll'", "phi'", "th'", "eyerad'"]);
        let at = [11, 12, 20, 21, 65].map(|index| all[index].as_str());
        assert_eq!(at, ["speed*pitch", "speed*roll", "speed*eyerad'", "pitch*roll", "th'*eyerad'"]);
        assert_eq!(of(&["velo"]).unwrap().names()[..2], ["speed", "pitch'"]);
        assert_eq!(of(&["S"]).unwrap().names(), ["speed", "eyerad", "eyerad'"]);
        assert_eq!(of(&["velo_prod"]).unwrap().names()[20], "th'*eyerad'");
    }

    #[test]
    fn a_change_is_since_the_sample_before_and_of_the_first_since_0() {
        let recorded = [2.0, 1.0, 0.0, 0.0, 3.0, 0.0, 4.0, 1.0, 0.0, 0.0, -1.0, 0.0];
        let features = of(&["th'", "speed*th'", "speed"]).unwrap();
        assert_eq!(features.rows(&recorded), [3.0, 6.0, 2.0, -4.0, -16.0, 4.0]);
    }

    #[test]
    fn features_are_made_of_their_factors() {
        let recorded: Vec<f32> = (0..24).map(|at| ((at * 7 + 3) % 11) as f32 - 4.0).collect();
        for set in ["all_prod", "velo_prod", "S", "orig"] {
            let features = of(&[set]).unwrap();
            assert_eq!(
                features.of_factors(&features.factor_rows(&recorded)),
                features.rows(&recorded),
                "{set}"
            );
        }
        let names = of(&["th'*speed", "th"]).unwrap().factor_names();
        let names: Vec<(&str, &str)> = names.iter().map(|(name, of)| (name.as_str(), of.as_str())).collect();
        assert_eq!(names, [("speed", "speed"), ("th", "th"), ("th'", "th")]);
    }

    #[test]
    fn unknown_variables_are_named_with_those_there_are() {
        let error = of(&["speed", "theta"]).unwrap_err();
        let advice = error.advice().unwrap();
        assert!(error.to_string().contains("`theta`"), "{error}");
        assert!(advice.contains("eyerad") && advice.contains("all_prod"), "{advice}");
        assert!(of(&["speed*pitch*roll"]).unwrap_err().to_string().contains("at most two"));
        let owned = ["pupil_dilation".to_owned(), "running_speed".to_owned()];
        let moving = Features::resolve(owned.to_vec(), &["S".to_owned()]).unwrap();
        assert_eq!(moving.names(), ["running_speed", "pupil_dilation", "pupil_dilation'"]);
        assert!(Features::resolve(vec!["x".into()], &["S".to_owned()]).is_err());
    }
}
