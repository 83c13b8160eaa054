//! The centres of all receptive fields on one visual field, in pixels of the recorded images.

use super::markup::{Tag, decimal, figure, key, number, tag, thousands};
use super::results::{Centres, Results};

const SIDE: f64 = 520.0;
const MARGIN: f64 = 34.0;

/// One dot per neuron, and the true centres where the recording is simulated.
pub fn section(run: &Results) -> Option<Tag> {
    let centres = run.parts.as_ref().ok()?.centres.as_ref()?;
    let known = !centres.truth.is_empty();
    let truth =
        known.then(|| [key("spot truth", "true centre"), key("line drop", "from the truth to the model")]);
    let keys = [key("spot model", "centre in the model")].into_iter().chain(truth.into_iter().flatten());
    let legend = tag("p").class("legend").all(keys);
    Some(figure([legend, drawing(centres).class("field")], &caption(centres)))
}

fn caption(centres: &Centres) -> String {
    let [height, width] = centres.image;
    let shown = centres.model.iter().filter(|at| is_place(at)).count();
    let error = median(distances(centres)).map(|error| {
        format!(" Half of the neurons lie within {} px of their true centre.", decimal(Some(error), 1))
    });
    format!(
        "Receptive fields of {} neurons on the {width} × {height} px of the images as recorded: where the spatial mask lies, and \
         where the channels look from there that the neuron weighs, each by the square of its weights.{} Recorded neurons usually \
         gather where the microscope looked. A heap in the very middle, or a ring along the border, are neurons whose place was \
         not found.",
        thousands(shown as f64),
        error.unwrap_or_default()
    )
}

fn is_place(at: &[f64; 2]) -> bool {
    at.iter().all(|value| value.is_finite())
}

/// Distance of each neuron from its true centre, in px.
fn distances(centres: &Centres) -> Vec<f64> {
    let pairs = centres.model.iter().zip(&centres.truth).filter(|(a, b)| is_place(a) && is_place(b));
    pairs.map(|(a, b)| (a[0] - b[0]).hypot(a[1] - b[1])).collect()
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn drawing(centres: &Centres) -> Tag {
    let [height, width] = centres.image.map(|side| side as f64);
    let scale = SIDE / width.max(height);
    // Centres of pixels are whole numbers: the image begins half a pixel before the first.
    let place = |[row, column]: [f64; 2]| [MARGIN + (column + 0.5) * scale, 8.0 + (row + 0.5) * scale];
    let dots = |class: &str, all: &[[f64; 2]]| {
        let dot = |at: &[f64; 2]| place(*at).map(number).join(" ");
        let path: String = all.iter().filter(|at| is_place(at)).map(|at| format!("M{}h0", dot(at))).collect();
        tag("path").class(class).set("d", path)
    };
    let lines: String = centres
        .model
        .iter()
        .zip(&centres.truth)
        .filter(|(a, b)| is_place(a) && is_place(b))
        .map(|(a, b)| format!("M{}L{}", place(*b).map(number).join(" "), place(*a).map(number).join(" ")))
        .collect();
    let frame = [("x", MARGIN), ("y", 8.0), ("width", width * scale), ("height", height * scale)];
    let (right, bottom) = (MARGIN + width * scale, 8.0 + height * scale);
    let text = |anchor: &str, x: f64, y: f64, words: String| {
        tag("text").class("tick").set("text-anchor", anchor).at([("x", x), ("y", y)]).text(words)
    };
    let marks = [
        tag("rect").class("visual").at(frame),
        tag("path").class("line drop").set("d", lines),
        dots("dots truth", &centres.truth),
        dots("dots model", &centres.model),
        text("start", MARGIN, bottom + 16.0, "0".into()),
        text("end", right, bottom + 16.0, format!("{width} px")),
        text("end", MARGIN - 6.0, 18.0, "0".into()),
        text("end", MARGIN - 6.0, bottom, format!("{height}")),
    ];
    let words = "Centres of the receptive fields on the visual field";
    let svg = tag("svg").set("role", "img").set("aria-label", words);
    let view = format!("0 0 {} {}", number(right + 8.0), number(bottom + 22.0));
    svg.set("viewBox", view).with(tag("title").text(words)).all(marks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn centres_stand_where_they_are_and_their_errors_are_told() {
        let model = vec![[0.0, 0.0], [f64::NAN, 1.0], [9.0, 19.0]];
        let centres = Centres { image: [10, 20], model, truth: vec![[0.0, 3.0], [1.0, 1.0], [9.0, 19.0]] };
        assert_eq!(distances(&centres), [3.0, 0.0]);
        let drawn = drawing(&centres).to_string();
        assert!(drawn.contains("M47 21h0M541 255h0"), "{drawn}");
        assert!(!drawn.contains("NaN"));
        assert!(caption(&centres).contains("of 2 neurons on the 20 × 10 px"));
    }
}
