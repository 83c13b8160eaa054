//! Axes, and marks placed on them in data coordinates.

use std::fmt::Write;

use super::markup::{Tag, decimal, number, tag, thousands};

const LEFT: f64 = 46.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 40.0;

/// Beyond this many widths of the frame a point need not be where it is: nobody sees it.
const FAR: f64 = 1e4;
/// How far a mark at the edge of the frame may stick out, in px.
const MARGIN: f64 = 5.0;

/// A range of values with round ticks and a name with its unit.
#[derive(Debug, Clone)]
pub struct Axis {
    label: String,
    low: f64,
    high: f64,
    step: f64,
}

impl Axis {
    /// The smallest range with round ends that holds all finite `values`.
    pub fn around(label: &str, values: impl IntoIterator<Item = f64>) -> Self {
        let finite = values.into_iter().filter(|v| v.is_finite());
        let (low, high) = finite.fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
        let (low, high) = if low > high { (0.0, 1.0) } else { (low, high) };
        let step = round_step(high - low);
        // A little noise below 0 is no reason for an axis that begins a whole step lower.
        let little_below_zero = low < 0.0 && low > -0.25 * step;
        let low = if little_below_zero { low } else { (low / step).floor() * step };
        Self { label: label.into(), low, high: (high / step).ceil() * step, step }
    }

    /// Exactly `low..high`, e.g. where the ends are first and last step.
    pub fn exactly(label: &str, low: f64, high: f64) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        Self { label: label.into(), low, high, step: round_step(high - low) }
    }

    /// For whole numbers `low..=high`, with half of one to spare: each is a tick, where there is room.
    pub fn whole(label: &str, low: usize, high: usize) -> Self {
        let (low, high) = (low as f64 - 0.5, high as f64 + 0.5);
        let step = if high - low <= 16.0 { 1.0 } else { round_step(high - low).max(1.0) };
        Self { label: label.into(), low, high, step }
    }

    pub fn low(&self) -> f64 {
        self.low
    }

    pub fn high(&self) -> f64 {
        self.high
    }

    fn unit(&self, value: f64) -> f64 {
        let span = self.high - self.low;
        // What lies outside is cut off by the frame; the clamp only keeps the numbers in the page short.
        if span > 0.0 { ((value - self.low) / span).clamp(-FAR, FAR) } else { 0.5 }
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        let first = (self.low / self.step - 1e-9).ceil();
        let count = ((self.high / self.step + 1e-9).floor() - first).clamp(0.0, 20.0) as usize;
        let step = self.step;
        (0..=count).map(move |i| (first + i as f64) * step)
    }

    fn tick_label(&self, value: f64) -> String {
        if self.step >= 1.0 {
            return thousands(value);
        }
        decimal(Some(value), (-self.step.log10()).ceil().clamp(0.0, 9.0) as usize)
    }
}

/// 1, 2 or 5 times a power of ten, about a fifth of `span`.
fn round_step(span: f64) -> f64 {
    let rough = span / 5.0;
    if !rough.is_normal() {
        return 1.0;
    }
    let power = 10_f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= rough).unwrap_or(10.0);
    factor * power
}

/// A drawing with two axes. Marks outside the axes are cut off.
pub struct Plot {
    width: f64,
    height: f64,
    x: Axis,
    y: Axis,
    marks: Vec<Tag>,
    labels: Vec<Tag>,
}

impl Plot {
    /// A plot of `width` × `height` px.
    pub fn new(width: f64, height: f64, x: Axis, y: Axis) -> Self {
        Self { width, height, x, y, marks: Vec::new(), labels: Vec::new() }
    }

    /// Horizontal position of `x` in px.
    pub fn at_x(&self, x: f64) -> f64 {
        LEFT + self.x.unit(x) * (self.width - LEFT - RIGHT)
    }

    /// Vertical position of `y` in px.
    pub fn at_y(&self, y: f64) -> f64 {
        self.height - BOTTOM - self.y.unit(y) * (self.height - self.top() - BOTTOM)
    }

    /// Room for the name of the y axis, where it has one.
    fn top(&self) -> f64 {
        if self.y.label.is_empty() { TOP / 3.0 } else { TOP }
    }

    pub fn mark(&mut self, mark: Tag) {
        self.marks.push(mark);
    }

    /// A line through the points; interrupted where one is not finite.
    pub fn line(&mut self, class: &str, points: &[(f64, f64)]) {
        let path = self.path(points);
        self.mark(tag("path").class(class).set("d", path));
    }

    /// As [`Plot::line`], with a style of its own.
    pub fn styled_line(&mut self, class: &str, style: &str, points: &[(f64, f64)]) {
        let path = self.path(points);
        self.mark(tag("path").class(class).set("style", style).set("d", path));
    }

    fn path(&self, points: &[(f64, f64)]) -> String {
        let mut path = String::new();
        let mut pen = 'M';
        for &(x, y) in points {
            if x.is_finite() && y.is_finite() {
                let _ = write!(path, "{pen}{} {}", number(self.at_x(x)), number(self.at_y(y)));
            }
            pen = if x.is_finite() && y.is_finite() { 'L' } else { 'M' };
        }
        path
    }

    /// The area between two curves over the same `x`.
    pub fn band(&mut self, class: &str, low: &[(f64, f64)], high: &[(f64, f64)]) {
        let outline: Vec<(f64, f64)> = low.iter().chain(high.iter().rev()).copied().collect();
        if outline.iter().all(|(x, y)| x.is_finite() && y.is_finite()) && !outline.is_empty() {
            let path = self.path(&outline) + "Z";
            self.mark(tag("path").class(class).set("d", path));
        }
    }

    /// Dots, all in one path: the page stays small with thousands of them.
    pub fn dots(&mut self, class: &str, points: &[(f64, f64)]) {
        let path = self.spots(points);
        self.mark(tag("path").class(class).set("d", path));
    }

    /// As [`Plot::dots`], with a style of their own.
    pub fn styled_dots(&mut self, class: &str, style: &str, points: &[(f64, f64)]) {
        let path = self.spots(points);
        self.mark(tag("path").class(class).set("style", style).set("d", path));
    }

    fn spots(&self, points: &[(f64, f64)]) -> String {
        let mut spots: Vec<(i64, i64)> = points
            .iter()
            .filter(|(x, y)| x.is_finite() && y.is_finite())
            .map(|&(x, y)| ((self.at_x(x) * 2.0).round() as i64, (self.at_y(y) * 2.0).round() as i64))
            .collect();
        spots.sort_unstable();
        spots.dedup();
        let mut path = String::new();
        for (x, y) in spots {
            let _ = write!(path, "M{} {}h0", number(x as f64 / 2.0), number(y as f64 / 2.0));
        }
        path
    }

    /// Adjacent bars of equal width from `low` to `high`.
    pub fn bars(&mut self, class: &str, low: f64, high: f64, counts: &[usize]) {
        let edge = |i: usize| low + (high - low) * i as f64 / counts.len() as f64;
        let floor = self.at_y(0.0);
        let mut path = String::new();
        for (i, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let (left, right) = (self.at_x(edge(i)) + 0.5, self.at_x(edge(i + 1)) - 0.5);
            let top = number(self.at_y(count as f64));
            let _ = write!(
                path,
                "M{} {}V{top}H{}V{}Z",
                number(left),
                number(floor),
                number(right),
                number(floor)
            );
        }
        self.mark(tag("path").class(class).set("d", path));
    }

    /// A vertical line over the full height.
    pub fn vertical(&mut self, class: &str, x: f64) {
        let x = self.at_x(x);
        let line = tag("line").class(class);
        self.mark(line.at([("x1", x), ("x2", x), ("y1", self.top()), ("y2", self.height - BOTTOM)]));
    }

    /// Words at a point, `dx`, `dy` px away from it; `anchor` is `start`, `middle` or `end`.
    pub fn label(
        &mut self,
        (x, y): (f64, f64),
        (dx, dy): (f64, f64),
        anchor: &str,
        class: &str,
        words: &str,
    ) {
        let text = tag("text").class(class).set("text-anchor", anchor).text(words);
        self.labels.push(text.at([("x", self.at_x(x) + dx), ("y", self.at_y(y) + dy)]));
    }

    /// The drawing; `description` is for readers who cannot see it.
    pub fn finish(self, description: &str) -> Tag {
        let axes = self.axes();
        let size = format!("0 0 {} {}", number(self.width), number(self.height));
        let svg = tag("svg").set("viewBox", size).set("role", "img").set("aria-label", description);
        let frame = self.frame();
        svg.with(tag("title").text(description)).all(axes).with(frame.all(self.marks)).all(self.labels)
    }

    /// What cuts off marks outside the axes.
    fn frame(&self) -> Tag {
        let (left, top) = (LEFT - MARGIN, self.top() - MARGIN);
        let (width, height) =
            (self.width - RIGHT - LEFT + 2.0 * MARGIN, self.height - BOTTOM - self.top() + 2.0 * MARGIN);
        let view = [left, top, width, height].map(number).join(" ");
        let frame = tag("svg").class("frame").set("viewBox", view);
        frame.at([("x", left), ("y", top), ("width", width), ("height", height)])
    }

    fn axes(&self) -> Vec<Tag> {
        let (bottom, right) = (self.height - BOTTOM, self.width - RIGHT);
        let mut axes = Vec::new();
        for tick in self.y.ticks() {
            let y = self.at_y(tick);
            axes.push(tag("line").class("grid").at([("x1", LEFT), ("x2", right), ("y1", y), ("y2", y)]));
            let text =
                tag("text").class("tick").set("text-anchor", "end").at([("x", LEFT - 8.0), ("y", y + 4.0)]);
            axes.push(text.text(self.y.tick_label(tick)));
        }
        for tick in self.x.ticks() {
            let text = tag("text").class("tick").set("text-anchor", "middle");
            let text = text.at([("x", self.at_x(tick)), ("y", bottom + 16.0)]);
            axes.push(text.text(self.x.tick_label(tick)));
        }
        axes.push(tag("line").class("axis").at([
            ("x1", LEFT),
            ("x2", right),
            ("y1", bottom),
            ("y2", bottom),
        ]));
        let name =
            |anchor: &str, label: &str| tag("text").class("name").set("text-anchor", anchor).text(label);
        axes.push(name("end", &self.x.label).at([("x", right), ("y", self.height - 6.0)]));
        axes.push(name("start", &self.y.label).at([("x", 2.0), ("y", 13.0)]));
        axes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        let axis = Axis::around("r", [0.03, 0.97]);
        assert_eq!((axis.low, axis.high, axis.step), (0.0, 1.0, 0.2));
        assert_eq!(
            axis.ticks().map(|t| axis.tick_label(t)).collect::<Vec<_>>().join(" "),
            "0.0 0.2 0.4 0.6 0.8 1.0"
        );
    }

    #[test]
    fn whole_numbers_have_whole_ticks() {
        let ticks = |high| {
            let axis = Axis::whole("n", 0, high);
            axis.ticks().map(|t| axis.tick_label(t)).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(ticks(4), "0 1 2 3 4");
        assert_eq!(ticks(30), "0 10 20 30");
    }

    #[test]
    fn strange_ranges_have_few_finite_ticks() {
        let strange = [vec![], vec![f64::NAN], vec![2.0], vec![1e300, -1e300], vec![f64::MIN_POSITIVE, 0.0]];
        for values in strange {
            let axis = Axis::around("x", values);
            assert!(axis.ticks().count() <= 21);
            assert!(axis.ticks().all(f64::is_finite));
        }
    }

    #[test]
    fn an_axis_of_responses_begins_at_zero_or_at_the_little_below() {
        assert_eq!(Axis::around("", [0.0, 24.0]).low, 0.0);
        assert_eq!(Axis::around("", [-0.3, 24.0]).low, -0.3);
        assert_eq!(Axis::around("", [-4.0, 24.0]).low, -10.0);
    }

    #[test]
    fn what_lies_outside_is_cut_off_and_not_drawn_at_the_edge() {
        let plot = Plot::new(160.0, 166.0, Axis::exactly("x", 0.0, 1.0), Axis::exactly("y", 0.0, 1.0));
        assert_eq!((plot.at_y(1.0), plot.at_y(2.0), plot.at_x(2.0)), (26.0, -74.0, 246.0));
        assert!(plot.at_y(1e300).is_finite());
        assert!(plot.finish("").to_string().contains("class=\"frame\" viewBox=\"41 21 110 110\""));
    }

    #[test]
    fn a_line_is_interrupted_by_nan() {
        let mut plot = Plot::new(160.0, 166.0, Axis::exactly("x", 0.0, 3.0), Axis::exactly("y", 0.0, 1.0));
        plot.line("a", &[(0.0, 0.0), (1.0, f64::NAN), (2.0, 1.0), (3.0, 1.0)]);
        assert!(plot.marks[0].to_string().contains("d=\"M46 126M112.67 26L146 26\""), "{}", plot.marks[0]);
    }
}
