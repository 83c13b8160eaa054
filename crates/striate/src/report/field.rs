//! The centres of all receptive fields on one visual field, in pixels of the recorded images.

use super::markup::{Tag, decimal, figure, key, tag, thousands};
use super::plot::{Axis, Plot};
use super::results::{Centres, Results};

const WIDTH: f64 = 560.0;

/// One dot per neuron, and the true centres where the recording is simulated.
pub fn section(run: &Results) -> Option<Tag> {
    let centres = run.parts.as_ref()?.as_ref().ok()?.centres.as_ref()?;
    let known = !centres.truth.is_empty();
    let truth =
        known.then(|| [key("spot truth", "true centre"), key("line drop", "from the truth to the model")]);
    let keys = [key("spot model", "centre in the model")].into_iter().chain(truth.into_iter().flatten());
    let legend = tag("p").class("legend").all(keys);
    let plot = plot(centres);
    let caption = caption(centres) + &plot.beyond();
    Some(figure(
        [legend, plot.finish("Centres of the receptive fields on the images").class("field")],
        &caption,
    ))
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

fn plot(centres: &Centres) -> Plot {
    // Centres of pixels are whole numbers: the image begins half a pixel before the first.
    let side = |label: &str, pixels: usize| Axis::exactly(label, -0.5, pixels as f64 - 0.5).counted();
    let [height, width] = centres.image;
    let mut plot =
        Plot::to_scale(WIDTH, side("column of the image, px", width), side("row, px", height).downwards());
    let [right, bottom] = [width, height].map(|pixels| pixels as f64 - 0.5);
    let border = [(-0.5, -0.5), (right, -0.5), (right, bottom), (-0.5, bottom), (-0.5, -0.5)];
    plot.line("visual", &border);
    let place = |[row, column]: [f64; 2]| (column, row);
    let dots = |all: &[[f64; 2]]| all.iter().map(|at| place(*at)).collect::<Vec<_>>();
    let pairs = centres.model.iter().zip(&centres.truth).filter(|(a, b)| is_place(a) && is_place(b));
    plot.links("line link", pairs.map(|(model, truth)| [place(*truth), place(*model)]));
    plot.dots("dots truth", &dots(&centres.truth));
    plot.dots("dots model", &dots(&centres.model));
    plot
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn centres_stand_where_they_are_and_their_errors_are_told() {
        let model = vec![[0.0, 0.0], [f64::NAN, 1.0], [9.0, 19.0]];
        let centres = Centres { image: [10, 20], model, truth: vec![[0.0, 3.0], [1.0, 1.0], [9.0, 19.0]] };
        assert_eq!(distances(&centres), [3.0, 0.0]);
        let drawn = plot(&centres).finish("").to_string();
        assert!(drawn.contains("class=\"dots model few\" d=\"M36.5 39h0M533 274h0\""), "{drawn}");
        assert!(!drawn.contains("NaN") && !drawn.contains("beyond"));
        assert!(caption(&centres).contains("of 2 neurons on the 20 × 10 px"));
    }

    #[test]
    fn a_centre_outside_the_image_is_counted_and_not_drawn_at_its_border() {
        let centres = Centres { image: [10, 20], model: vec![[5.0, 5.0], [5.0, 24.0]], truth: vec![] };
        let plot = plot(&centres);
        assert!(plot.beyond().contains("1 value;"));
        assert!(plot.finish("").to_string().contains("class=\"beyond\""));
    }
}
