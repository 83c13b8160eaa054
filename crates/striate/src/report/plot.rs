//! Axes, and marks placed on them in data coordinates.

use std::fmt::Write;

use super::markup::{Tag, count, decimal, number, tag, thousands};

const RIGHT: f64 = 14.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 44.0;
/// Room for a letter of a tick where letters are largest beside the drawing, on a telephone, in px.
const LETTER: f64 = 9.5;
/// With fewer dots than this, each is drawn larger.
const FEW: usize = 300;

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
    downwards: bool,
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
        let high = ((high / step).ceil() * step).max(low + step);
        Self { label: label.into(), low, high, step, downwards: false }
    }

    /// Exactly `low..high`, e.g. where the ends are first and last step.
    pub fn exactly(label: &str, low: f64, high: f64) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        Self { label: label.into(), low, high, step: round_step(high - low), downwards: false }
    }

    /// With ticks at whole numbers only, for what is counted.
    pub fn counted(mut self) -> Self {
        self.step = self.step.max(1.0);
        self
    }

    /// With its low end on top, as rows of an image.
    pub fn downwards(mut self) -> Self {
        self.downwards = true;
        self
    }

    /// For whole numbers `low..=high`, with half of one to spare: each is a tick, where there is room.
    pub fn whole(label: &str, low: usize, high: usize) -> Self {
        let (low, high) = (low as f64 - 0.5, high as f64 + 0.5);
        let step = if high - low <= 16.0 { 1.0 } else { round_step(high - low).max(1.0) };
        Self { label: label.into(), low, high, step, downwards: false }
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
        let unit = if span > 0.0 { ((value - self.low) / span).clamp(-FAR, FAR) } else { 0.5 };
        if self.downwards { 1.0 - unit } else { unit }
    }

    fn holds(&self, value: f64) -> bool {
        let slack = 1e-9 * (self.high - self.low);
        (self.low - slack..=self.high + slack).contains(&value)
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        let first = (self.low / self.step - 1e-9).ceil();
        let count = ((self.high / self.step + 1e-9).floor() - first).clamp(0.0, 20.0) as usize;
        let step = self.step;
        (0..=count).map(move |i| (first + i as f64) * step)
    }

    fn tick_label(&self, value: f64) -> String {
        let digit = self.step.log10().floor();
        match self.step {
            // As many digits as tell one tick from the next.
            ..1e-4 | 1e6.. => power_of_ten(value, (value.abs().log10().floor() - digit).max(0.0) as usize),
            ..1.0 => decimal(Some(value), -digit as usize),
            _ => thousands(value),
        }
    }

    fn longest_label(&self) -> f64 {
        self.ticks().map(|tick| self.tick_label(tick).chars().count()).max().unwrap_or(0) as f64
    }
}

fn power_of_ten(value: f64, digits: usize) -> String {
    if value == 0.0 { "0".into() } else { format!("{value:.digits$e}").replace('-', "−") }
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

/// A drawing with two axes. Marks outside the axes are cut off; where dots or lines are, a triangle at the border says so.
pub struct Plot {
    width: f64,
    height: f64,
    left: f64,
    x: Axis,
    y: Axis,
    marks: Vec<Tag>,
    outside: usize,
}

impl Plot {
    /// A plot of `width` × `height` px.
    pub fn new(width: f64, height: f64, x: Axis, y: Axis) -> Self {
        let left = 14.0 + LETTER * y.longest_label();
        Self { width, height, left, x, y, marks: Vec::new(), outside: 0 }
    }

    /// A plot of `width` px, as high as makes units of both axes equally long.
    pub fn to_scale(width: f64, x: Axis, y: Axis) -> Self {
        let mut plot = Self::new(width, 0.0, x, y);
        let unit = (width - plot.left - RIGHT) / (plot.x.high - plot.x.low);
        plot.height = plot.top() + BOTTOM + unit * (plot.y.high - plot.y.low);
        plot
    }

    /// Horizontal position of `x` in px.
    fn at_x(&self, x: f64) -> f64 {
        self.left + self.x.unit(x) * (self.width - self.left - RIGHT)
    }

    /// Vertical position of `y` in px.
    fn at_y(&self, y: f64) -> f64 {
        self.height - BOTTOM - self.y.unit(y) * (self.height - self.top() - BOTTOM)
    }

    /// Room for the name of the y axis, where it has one.
    fn top(&self) -> f64 {
        if self.y.label.is_empty() { TOP / 3.0 } else { TOP }
    }

    /// A line through the points; interrupted where one is not finite.
    pub fn line(&mut self, class: &str, points: &[(f64, f64)]) {
        self.styled_line(class, "", points);
    }

    /// As [`Plot::line`], with a style of its own.
    pub fn styled_line(&mut self, class: &str, style: &str, points: &[(f64, f64)]) {
        let lone: Vec<(f64, f64)> =
            points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
        if lone.len() == 1 {
            self.mark(&format!("{class} lone"), style, self.spots(&lone));
        }
        self.mark(class, style, self.path(points));
        self.point_beyond(points);
    }

    /// Lines between pairs of points, which carry no values of their own.
    pub fn links(&mut self, class: &str, pairs: impl Iterator<Item = [(f64, f64); 2]>) {
        let path: String = pairs.map(|pair| self.path(&pair)).collect();
        self.mark(class, "", path);
    }

    fn mark(&mut self, class: &str, style: &str, path: String) {
        let mark = tag("path").class(class);
        let mark = if style.is_empty() { mark } else { mark.set("style", style) };
        self.marks.push(mark.set("d", path));
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

    /// The area between two curves over the same `x`, wherever both are finite.
    pub fn band(&mut self, class: &str, low: &[(f64, f64)], high: &[(f64, f64)]) {
        let edges: Vec<[(f64, f64); 2]> = low.iter().zip(high).map(|(low, high)| [*low, *high]).collect();
        let is_known = |edge: &[(f64, f64); 2]| edge.iter().all(|point| point.1.is_finite());
        let pieces = edges.chunk_by(|a, b| is_known(a) && is_known(b)).filter(|piece| is_known(&piece[0]));
        let outline = |piece: &[[(f64, f64); 2]]| {
            let (low, high) = (piece.iter().map(|edge| edge[0]), piece.iter().rev().map(|edge| edge[1]));
            self.path(&low.chain(high).collect::<Vec<_>>()) + "Z"
        };
        let path: String = pieces.map(outline).collect();
        self.mark(class, "", path);
    }

    /// Dots, all in one path: the page stays small with thousands of them.
    pub fn dots(&mut self, class: &str, points: &[(f64, f64)]) {
        self.styled_dots(class, "", points);
    }

    /// As [`Plot::dots`], with a style of their own.
    pub fn styled_dots(&mut self, class: &str, style: &str, points: &[(f64, f64)]) {
        let class = if points.len() < FEW { format!("{class} few") } else { class.to_owned() };
        self.mark(&class, style, self.spots(points));
        self.point_beyond(points);
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

    /// Counts the points outside the axes, and marks the border where they are beyond it by triangles that point at them.
    pub fn point_beyond(&mut self, points: &[(f64, f64)]) {
        let finite = points.iter().filter(|(x, y)| x.is_finite() && y.is_finite());
        let beyond: Vec<(f64, f64)> =
            finite.copied().filter(|(x, y)| !self.x.holds(*x) || !self.y.holds(*y)).collect();
        self.outside += beyond.len();
        let mut triangles: Vec<String> = beyond.into_iter().map(|point| self.triangle(point)).collect();
        triangles.sort_unstable();
        triangles.dedup();
        if !triangles.is_empty() {
            self.mark("beyond", "", triangles.concat());
        }
    }

    fn triangle(&self, (x, y): (f64, f64)) -> String {
        let (right, bottom) = (self.width - RIGHT, self.height - BOTTOM);
        let (px, py) = (self.at_x(x), self.at_y(y));
        let (at, to) = (px.clamp(self.left, right), py.clamp(self.top(), bottom));
        let [x, y] = [at, to].map(number);
        match () {
            () if py < to => format!("M{x} {y}l4 7h-8Z"),
            () if py > to => format!("M{x} {y}l4 -7h-8Z"),
            () if px < at => format!("M{x} {y}l7 -4v8Z"),
            () => format!("M{x} {y}l-7 -4v8Z"),
        }
    }

    /// A sentence for the caption when values lie outside the axes, else nothing.
    pub fn beyond(&self) -> String {
        match self.outside {
            0 => String::new(),
            n => format!(" Outside the axes: {}; triangles at the border point at them.", count(n, "value")),
        }
    }

    /// Adjacent bars of equal width from `low` to `high`.
    pub fn bars(&mut self, class: &str, low: f64, high: f64, counts: &[usize]) {
        let edge = |i: usize| low + (high - low) * i as f64 / counts.len() as f64;
        let floor = number(self.at_y(0.0));
        let mut path = String::new();
        for (i, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let (left, right) = (number(self.at_x(edge(i)) + 0.5), number(self.at_x(edge(i + 1)) - 0.5));
            let top = number(self.at_y(count as f64));
            let _ = write!(path, "M{left} {floor}V{top}H{right}V{floor}Z");
        }
        self.mark(class, "", path);
    }

    /// A vertical line over the full height.
    pub fn vertical(&mut self, class: &str, x: f64) {
        self.line(class, &[(x, self.y.low), (x, self.y.high)]);
    }

    /// A vertical line that moves from the left to the right end while a film plays.
    pub fn marker(&mut self) {
        let across = self.at_x(self.x.high) - self.at_x(self.x.low);
        let path = self.path(&[(self.x.low, self.y.low), (self.x.low, self.y.high)]);
        self.mark("marker", &format!("--across:{}px", number(across)), path);
    }

    /// The drawing; `description` is for readers who cannot see it.
    pub fn finish(self, description: &str) -> Tag {
        let axes = self.axes();
        let size = format!("0 0 {} {}", number(self.width), number(self.height));
        let svg = tag("svg").set("viewBox", size).set("role", "img").set("aria-label", description);
        let frame = self.frame();
        svg.with(tag("title").text(description)).all(axes).with(frame.all(self.marks))
    }

    /// What cuts off marks outside the axes.
    fn frame(&self) -> Tag {
        let (left, top) = (self.left - MARGIN, self.top() - MARGIN);
        let (width, height) = (self.width - RIGHT - left + MARGIN, self.height - BOTTOM - top + MARGIN);
        let view = [left, top, width, height].map(number).join(" ");
        let frame = tag("svg").class("frame").set("viewBox", view);
        frame.at([("x", left), ("y", top), ("width", width), ("height", height)])
    }

    fn axes(&self) -> Vec<Tag> {
        let (bottom, right) = (self.height - BOTTOM, self.width - RIGHT);
        let axis = tag("line").class("axis");
        let axis = axis.at([("x1", self.left), ("x2", right), ("y1", bottom), ("y2", bottom)]);
        let name =
            |anchor: &str, label: &str| tag("text").class("name").set("text-anchor", anchor).text(label);
        let names = [
            name("end", &self.x.label).at([("x", right), ("y", self.height - 6.0)]),
            name("start", &self.y.label).at([("x", 2.0), ("y", 13.0)]),
        ];
        self.rows().into_iter().chain(self.columns()).chain([axis]).chain(names).collect()
    }

    /// Ticks of the y axis with their lines.
    fn rows(&self) -> Vec<Tag> {
        let row = |tick: f64| {
            let y = self.at_y(tick);
            let line = tag("line").class("grid");
            let ends = [("x1", self.left), ("x2", self.width - RIGHT), ("y1", y), ("y2", y)];
            let text = tag("text").class("tick").set("text-anchor", "end");
            let text = text.at([("x", self.left - 8.0), ("y", y + 4.0)]);
            [line.at(ends), text.text(self.y.tick_label(tick))]
        };
        self.y.ticks().flat_map(row).collect()
    }

    /// Ticks of the x axis, as many as there is room for.
    fn columns(&self) -> Vec<Tag> {
        let label = LETTER * (self.x.longest_label() + 1.0);
        let spacing = self.x.step / (self.x.high - self.x.low) * (self.width - self.left - RIGHT);
        let every = (label / spacing).ceil().clamp(1.0, 20.0) as usize;
        let column = |tick: f64| {
            let words = self.x.tick_label(tick);
            let half = 0.5 * LETTER * words.chars().count() as f64;
            let x = self.at_x(tick);
            // The last one must not stick out of the drawing.
            let (anchor, x) = if x + half > self.width { ("end", self.width) } else { ("middle", x) };
            let text = tag("text").class("tick").set("text-anchor", anchor);
            text.at([("x", x), ("y", self.height - BOTTOM + 18.0)]).text(words)
        };
        self.x.ticks().step_by(every).map(column).collect()
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
    fn ticks_tell_one_from_the_next_whatever_their_size() {
        let words = |axis: Axis| axis.ticks().map(|tick| axis.tick_label(tick)).collect::<Vec<_>>().join(" ");
        assert_eq!(words(Axis::around("", [0.0, 1e-9])), "0 2e−10 4e−10 6e−10 8e−10 1.0e−9");
        assert_eq!(words(Axis::exactly("", 1e8, 1e8 + 2.0).counted()), "100,000,000 100,000,001 100,000,002");
        assert_eq!(words(Axis::around("", [0.0, 1.6e7])), "0 5e6 1.0e7 1.5e7 2.0e7");
    }

    fn square() -> Plot {
        Plot::new(160.0, 170.0, Axis::exactly("x", 0.0, 1.0), Axis::exactly("y", 0.0, 1.0))
    }

    #[test]
    fn what_lies_outside_is_cut_off_counted_and_pointed_at_and_never_drawn_at_the_edge() {
        let mut plot = square();
        assert_eq!((plot.at_y(1.0), plot.at_y(2.0), plot.at_x(2.0)), (26.0, -74.0, 249.5));
        assert!(plot.at_y(1e300).is_finite());
        assert_eq!(plot.beyond(), "");
        plot.dots("dots", &[(0.5, 0.5), (0.5, 2.0), (0.5, 3.0), (-1.0, 0.5), (f64::NAN, 9.0)]);
        plot.line("line", &[(0.0, 0.0), (1.0, -7.0)]);
        assert!(plot.beyond().starts_with(" Outside the axes: 4 values;"), "{}", plot.beyond());
        let drawn = plot.finish("").to_string();
        assert!(drawn.contains("M94.25 26l4 7h-8Z") && drawn.contains("M42.5 76l7 -4v8Z"), "{drawn}");
        assert!(drawn.contains("M146 126l4 -7h-8Z"), "{drawn}");
        assert!(drawn.contains("class=\"frame\" viewBox=\"37.5 21 113.5 110\""), "{drawn}");
    }

    #[test]
    fn a_line_is_interrupted_by_nan_and_a_single_point_is_seen() {
        let mut plot = square();
        plot.line("a", &[(0.0, 0.0), (0.5, f64::NAN), (1.0, 1.0)]);
        assert!(plot.marks[0].to_string().contains("d=\"M42.5 126M146 26\""), "{}", plot.marks[0]);
        plot.line("b", &[(1.0, 1.0)]);
        assert!(plot.marks[1].to_string().contains("class=\"b lone\" d=\"M146 26h0\""), "{}", plot.marks[1]);
    }

    #[test]
    fn a_band_has_gaps_where_its_width_is_unknown() {
        let mut plot = square();
        let curve = |values: [f64; 3]| [(0.0, values[0]), (0.5, values[1]), (1.0, values[2])];
        plot.band("band", &curve([0.0, f64::NAN, 0.0]), &curve([1.0, 1.0, 1.0]));
        assert!(
            plot.marks[0].to_string().contains("d=\"M42.5 126L42.5 26ZM146 126L146 26Z\""),
            "{}",
            plot.marks[0]
        );
    }

    #[test]
    fn labels_of_ticks_stay_inside_and_apart() {
        let plot =
            Plot::new(350.0, 170.0, Axis::exactly("", 0.0, 8000.0), Axis::around("", [1e8, 1e8 + 24.0]));
        let drawn = plot.finish("").to_string();
        assert!(drawn.contains("text-anchor=\"end\" x=\"350\""), "{drawn}");
        let plot = Plot::new(350.0, 170.0, Axis::exactly("", 0.0, 9e5), Axis::around("", []));
        assert_eq!((plot.x.ticks().count(), plot.columns().len()), (5, 3));
    }
}
