//! Two kinds of plot, as SVG: bars made of parts, and lines. Both follow the reader's light or dark scheme.

use std::fmt::Write;

use super::figures::number;

const WIDTH: f64 = 860.0;
const LABELS: f64 = 250.0;
const COLOURS: [&str; 7] = ["#4c78a8", "#f58518", "#54a24b", "#e45756", "#72b7b2", "#b279a2", "#9d755d"];
const STYLE: &str = "<style>text{font:13px system-ui,sans-serif;fill:#222}.t{font-size:16px;font-weight:600}.g{stroke:#8884}.h{text-anchor:end}\
    .m{text-anchor:middle}@media(prefers-color-scheme:dark){text{fill:#ddd}}</style>";

/// A bar: its label, and how long each part of it is.
pub(super) type Bar = (String, Vec<f64>);

/// Horizontal bars, whose parts are named in `parts`.
pub(super) fn bars(title: &str, unit: &str, parts: &[&str], bars: &[Bar]) -> String {
    let longest = bars.iter().map(|(_, parts)| parts.iter().sum()).fold(0.0, f64::max);
    let scale = (WIDTH - LABELS - 90.0) / longest;
    let mut svg = String::new();
    let mut y = legend(&mut svg, parts);
    for (label, values) in bars {
        text(&mut svg, LABELS - 8.0, y + 15.0, "h", label);
        let mut x = LABELS;
        for (value, colour) in values.iter().zip(COLOURS) {
            let _ = write!(svg, r#"<rect x="{x:.1}" y="{y:.0}" width="{:.1}" height="20" fill="{colour}"/>"#, value * scale);
            x += value * scale;
        }
        text(&mut svg, x + 6.0, y + 15.0, "", &format!("{} {unit}", number(values.iter().sum())));
        y += 28.0;
    }
    page(title, y, &svg)
}

/// Lines over the same points; the horizontal axis has equal steps, the vertical one starts at zero.
pub(super) fn lines(title: &str, unit: &str, points: &[String], lines: &[Bar]) -> String {
    let names: Vec<&str> = lines.iter().map(|(name, _)| name.as_str()).collect();
    let mut svg = String::new();
    let top = legend(&mut svg, &names);
    let (bottom, left, right) = (top + 280.0, 70.0, WIDTH - 40.0);
    let highest = lines.iter().flat_map(|(_, values)| values).copied().fold(0.0, f64::max) * 1.1;
    #[expect(clippy::cast_precision_loss, reason = "a handful of points")]
    let x = |index: usize| left + 40.0 + (right - left - 80.0) * index as f64 / (points.len().max(2) - 1) as f64;
    let y = |value: f64| bottom - (bottom - top) * value / highest;
    for step in 0..=4 {
        let value = highest * f64::from(step) / 4.0;
        let _ = write!(svg, r#"<path class="g" d="M{left:.0} {0:.1}H{right:.0}"/>"#, y(value));
        text(&mut svg, left - 6.0, y(value) + 4.0, "h", &format!("{value:.2} {unit}"));
    }
    for (index, point) in points.iter().enumerate() {
        text(&mut svg, x(index), bottom + 20.0, "m", point);
    }
    for ((_, values), colour) in lines.iter().zip(COLOURS) {
        let path: Vec<String> = values.iter().enumerate().map(|(at, value)| format!("{:.1} {:.1}", x(at), y(*value))).collect();
        let _ = write!(svg, r#"<path d="M{}" fill="none" stroke="{colour}" stroke-width="2.5"/>"#, path.join("L"));
        for (at, value) in values.iter().enumerate() {
            let _ = write!(svg, r#"<circle cx="{:.1}" cy="{:.1}" r="4" fill="{colour}"/>"#, x(at), y(*value));
        }
    }
    page(title, bottom + 32.0, &svg)
}

/// What the colours mean; where the plot may start.
fn legend(svg: &mut String, names: &[&str]) -> f64 {
    let (mut x, mut y) = (16.0, 46.0);
    for (name, colour) in names.iter().zip(COLOURS) {
        #[expect(clippy::cast_precision_loss, reason = "a name's length")]
        let width = name.chars().count() as f64 * 7.2 + 34.0;
        if x + width > WIDTH {
            (x, y) = (16.0, y + 22.0);
        }
        let _ = write!(svg, r#"<rect x="{x:.0}" y="{y:.0}" width="12" height="12" fill="{colour}"/>"#);
        text(svg, x + 18.0, y + 11.0, "", name);
        x += width;
    }
    y + 30.0
}

fn text(svg: &mut String, x: f64, y: f64, class: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let _ = write!(svg, r#"<text x="{x:.1}" y="{y:.1}" class="{class}">{text}</text>"#);
}

fn page(title: &str, height: f64, content: &str) -> String {
    let mut heading = String::new();
    text(&mut heading, 16.0, 28.0, "t", title);
    let height = height + 12.0;
    let content = content.replace("><", ">\n<");
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\">\n{STYLE}\n{heading}\n{content}\n</svg>\n"
    )
}
