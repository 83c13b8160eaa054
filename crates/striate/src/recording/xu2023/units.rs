//! Which units of the published mice are modelled (`papers/xu2023.md#units`).

/// Units below 3 Hz of a published mouse: its name, how many were stored, and which columns are left out.
type Published = (&'static str, usize, &'static [usize]);

const PUBLISHED: [Published; 3] = [
    (
        "070921_J553RT",
        108,
        &[
            1, 20, 21, 25, 27, 30, 31, 35, 39, 45, 46, 49, 50, 51, 52, 53, 54, 55, 57, 58, 59, 64, 65, 68,
            75, 77, 79, 81, 83, 84, 87, 88, 90, 91, 94, 95, 97, 104, 105, 107,
        ],
    ),
    ("110421_J569LT", 52, &[0, 1, 2, 5, 6, 8, 11, 12, 13, 16, 18, 22, 24, 26, 28, 30, 41, 44, 47, 49]),
    ("101521_J559NC", 63, &[1, 4, 9, 22, 25, 27, 28, 29, 43, 45, 46, 47, 51, 53]),
];

/// Stretches that the published recordings are cut into.
const SEGMENTS: usize = 10;

/// The columns of `stored` units that are kept, ascending, and what is said of them.
pub(super) fn kept(mouse: &str, stored: usize, segments: usize) -> (Vec<usize>, Vec<String>) {
    let Some((_, _, dropped)) = PUBLISHED.iter().find(|(name, units, _)| (*name, *units) == (mouse, stored))
    else {
        let all = format!(
            "`{mouse}` with {stored} units is none of the published mice, so all units are kept; \
             `data.exclude_neurons=\"mean_response<0.144\"` leaves out those below 3 Hz, as the paper does"
        );
        return ((0..stored).collect(), vec![all]);
    };
    let kept: Vec<usize> = (0..stored).filter(|unit| !dropped.contains(unit)).collect();
    let mut said =
        vec![format!("{} of {stored} units are left out, as in the paper: below 3 Hz", dropped.len())];
    if segments != SEGMENTS {
        said.push(format!("has {segments} segments, {SEGMENTS} were published: is the download complete?"));
    }
    (kept, said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_mice_keep_as_many_units_as_were_modelled() {
        let modelled = |(mouse, stored, dropped): Published| {
            assert!(dropped.is_sorted() && dropped.iter().all(|unit| *unit < stored), "{mouse}");
            let (kept, said) = kept(mouse, stored, SEGMENTS);
            assert!(kept.is_sorted() && said.len() == 1, "{mouse}: {said:?}");
            kept.len()
        };
        assert_eq!(PUBLISHED.map(modelled), [68, 32, 49]);
    }

    #[test]
    fn others_keep_all_and_it_is_said() {
        for (mouse, stored) in [("mine", 3), ("110421_J569LT", 51)] {
            let (kept, said) = kept(mouse, stored, 2);
            assert_eq!(kept, (0..stored).collect::<Vec<_>>());
            assert!(said[0].contains("exclude_neurons"), "{said:?}");
        }
        let (_, said) = kept("110421_J569LT", 52, 9);
        assert!(said[1].contains("9 segments"), "{said:?}");
    }
}
