//! Elements of HTML and SVG that are always closed and always escaped.

use std::fmt::{self, Display, Write};

/// An element under construction.
#[derive(Debug, Clone)]
pub struct Tag {
    name: &'static str,
    attributes: String,
    body: String,
}

impl Tag {
    pub fn new(name: &'static str) -> Self {
        Self { name, attributes: String::new(), body: String::new() }
    }

    /// Adds an attribute.
    pub fn set(mut self, name: &str, value: impl Display) -> Self {
        let _ = write!(self.attributes, " {name}=\"{}\"", escape(&value.to_string()));
        self
    }

    pub fn class(self, name: &str) -> Self {
        self.set("class", name)
    }

    /// Adds attributes that are numbers.
    pub fn at<const N: usize>(self, values: [(&str, f64); N]) -> Self {
        values.into_iter().fold(self, |tag, (name, value)| tag.set(name, number(value)))
    }

    /// Appends text.
    pub fn text(mut self, text: impl Display) -> Self {
        self.body.push_str(&escape(&text.to_string()));
        self
    }

    /// Appends text in which `back-ticked` words are code.
    pub fn prose(self, text: impl Display) -> Self {
        let text = text.to_string();
        text.split('`').enumerate().fold(self, |tag, (i, words)| match i % 2 {
            0 => tag.text(words),
            _ => tag.with(Tag::new("code").text(words)),
        })
    }

    /// Appends a child.
    pub fn with(mut self, child: Tag) -> Self {
        let _ = write!(self.body, "{child}");
        self
    }

    /// Appends children.
    pub fn all(self, children: impl IntoIterator<Item = Tag>) -> Self {
        children.into_iter().fold(self, Tag::with)
    }

    /// Appends text that is no markup to the browser (a style sheet of ours).
    pub fn raw(mut self, text: &str) -> Self {
        self.body.push_str(text);
        self
    }
}

impl Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, attributes, body } = self;
        match *name {
            "img" | "meta" | "br" => write!(f, "<{name}{attributes}/>"),
            _ => write!(f, "<{name}{attributes}>{body}</{name}>"),
        }
    }
}

pub fn tag(name: &'static str) -> Tag {
    Tag::new(name)
}

/// A table whose rows begin with a head; its other cells know the name of their column, which a narrow screen shows.
pub fn table(class: &str, heads: &[String], rows: impl IntoIterator<Item = (Tag, Vec<Tag>)>) -> Tag {
    let head = tag("tr").all(heads.iter().map(|name| tag("th").set("scope", "col").text(name)));
    let row = |(first, cells): (Tag, Vec<Tag>)| {
        let named = cells.into_iter().zip(&heads[1..]).map(|(cell, name)| cell.set("data-column", name));
        tag("tr").with(first.set("scope", "row")).all(named)
    };
    let body = tag("tbody").all(rows.into_iter().map(row));
    let table = tag("table").class(class).with(tag("thead").with(head)).with(body);
    // What scrolls must be reached without a mouse, too.
    tag("div").class("scroll").set("tabindex", 0).with(table)
}

/// A figure with the caption that says how to read it; its `back-ticked` words are code.
pub fn figure(content: impl IntoIterator<Item = Tag>, caption: &str) -> Tag {
    tag("figure").all(content).with(tag("figcaption").prose(caption))
}

/// What stands in the place of a figure that cannot be drawn.
pub fn note(text: impl Display) -> Tag {
    tag("p").class("note").prose(text)
}

/// One entry of a legend: a mark in the style of `class`, and its name.
pub fn key(class: &str, name: &str) -> Tag {
    tag("span").class("key").with(tag("i").class(class)).text(name)
}

/// A coordinate: two decimals are below a tenth of a printed dot. What is not finite would break the drawing.
pub fn number(value: f64) -> String {
    let rounded = (value * 100.0).round() / 100.0;
    // Adding zero turns a negative zero into zero.
    if rounded.is_finite() { (rounded + 0.0).to_string() } else { "0".into() }
}

/// `12345.0` as `12,345`.
pub fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if value < -0.5 { format!("−{grouped}") } else { grouped }
}

/// `1 neuron`, `5,335 neurons`.
pub fn count(n: usize, what: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{} {what}{plural}", thousands(n as f64))
}

/// A score or a loss: three decimals, fewer where the number is large enough without.
pub fn score(value: Option<f64>) -> String {
    match value.map(f64::abs) {
        Some(1000.0..) => value.map(thousands).unwrap_or_default(),
        Some(100.0..) => decimal(value, 1),
        Some(10.0..) => decimal(value, 2),
        _ => decimal(value, 3),
    }
}

/// The ends of an interval; a dash in a column of numbers that have minus signs would be read as one.
pub fn interval(ends: Option<[f64; 2]>, write: impl Fn(Option<f64>) -> String) -> String {
    ends.map_or_else(|| "–".into(), |[low, high]| format!("{} to {}", write(Some(low)), write(Some(high))))
}

/// A value with `decimals` and a real minus sign; a dash when it is unknown.
pub fn decimal(value: Option<f64>, decimals: usize) -> String {
    match value.filter(|v| v.is_finite()) {
        None => "–".into(),
        Some(v) => {
            let text = format!("{v:.decimals$}");
            let is_zero = text.chars().all(|c| matches!(c, '-' | '0' | '.'));
            if is_zero { text.replace('-', "") } else { text.replace('-', "−") }
        }
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // Other control characters are not allowed in a document, even escaped.
            c if c.is_control() && !matches!(c, '\n' | '\t') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_attributes_are_escaped() {
        let markup = tag("p").set("title", "a\"b").text("1 < 2 & \u{1}").to_string();
        assert_eq!(markup, "<p title=\"a&quot;b\">1 &lt; 2 &amp; \u{fffd}</p>");
    }

    #[test]
    fn back_ticked_words_are_code() {
        assert_eq!(tag("p").prose("run `a<b` now").to_string(), "<p>run <code>a&lt;b</code> now</p>");
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(number(f64::NAN), "0");
        assert_eq!(number(-0.001), "0");
        assert_eq!(number(1.239), "1.24");
        assert_eq!(thousands(1_234_567.0), "1,234,567");
        assert_eq!(decimal(Some(-0.0001), 2), "0.00");
        assert_eq!(decimal(Some(-0.25), 2), "−0.25");
        assert_eq!(decimal(None, 2), "–");
        assert_eq!((count(1, "neuron"), count(5335, "neuron")), ("1 neuron".into(), "5,335 neurons".into()));
        assert_eq!(
            [0.1234, 41.0781, 123.456, -22139.0].map(|v| score(Some(v))),
            ["0.123", "41.08", "123.5", "−22,139"]
        );
        assert_eq!(score(Some(f64::NAN)), "–");
        assert_eq!(interval(Some([-0.5, 0.25]), score), "−0.500 to 0.250");
    }
}
