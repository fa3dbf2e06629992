//! Figures: measured, held against their floors and goals, printed, kept and compared.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// All that one run has found.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Figures {
    /// What it ran on, and with what.
    pub(super) setting: Vec<(String, String)>,
    pub(super) figures: Vec<Figure>,
}

/// One measured value.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Figure {
    /// What figures belong together.
    pub(super) group: String,
    pub(super) name: String,
    pub(super) unit: String,
    pub(super) value: f64,
    /// What it can't be less than, measured in the same run.
    pub(super) floor: Option<f64>,
    /// What it may be, in words and in its unit.
    pub(super) goal: Option<(String, f64)>,
}

impl Figure {
    pub(super) fn new(group: &str, name: impl Into<String>, value: f64, unit: &str) -> Self {
        Self { group: group.to_owned(), name: name.into(), unit: unit.to_owned(), value, floor: None, goal: None }
    }

    /// With a floor, and the goal to be at most `factor` times as much.
    pub(super) fn within(mut self, factor: f64, floor: f64) -> Self {
        self.floor = Some(floor);
        self.goal = Some((format!("≤ {factor} × floor"), factor * floor));
        self
    }

    /// With a floor. The goal is separate.
    pub(super) fn over(mut self, floor: f64) -> Self {
        self.floor = Some(floor);
        self
    }

    pub(super) fn at_most(mut self, limit: f64, words: impl Into<String>) -> Self {
        self.goal = Some((words.into(), limit));
        self
    }

    fn ratio(&self) -> Option<f64> {
        Some(self.value / self.floor?)
    }

    fn verdict(&self) -> &'static str {
        match &self.goal {
            None => "",
            Some((_, limit)) if self.value <= *limit => "met",
            Some(_) => "missed",
        }
    }
}

impl Figures {
    pub(super) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.setting.push((name.to_owned(), value.into()));
    }

    pub(super) fn add(&mut self, figure: Figure) {
        self.figures.push(figure);
    }

    pub(super) fn of<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a Figure> {
        self.figures.iter().filter(move |figure| figure.group == group)
    }

    pub(super) fn find(&self, group: &str, name: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.group == group && figure.name == name)
    }

    /// As Markdown; `before` is an earlier run.
    pub(super) fn table(&self, before: Option<&Self>) -> String {
        let mut rows =
            vec![row(["figure", "measured", "floor", "ratio", "goal", ""].map(str::to_owned), before.map(|_| "before".to_owned()))];
        let mut group = "";
        for figure in &self.figures {
            if figure.group != group {
                group = &figure.group;
                rows.push(row(
                    [format!("**{group}**"), String::new(), String::new(), String::new(), String::new(), String::new()],
                    before.map(|_| String::new()),
                ));
            }
            let amount = |value: f64| format!("{} {}", number(value), figure.unit).trim_end().to_owned();
            let goal = figure.goal.as_ref().map_or_else(String::new, |(words, _)| words.clone());
            let earlier = before.map(|before| {
                let earlier = before.find(&figure.group, &figure.name);
                earlier.map_or_else(String::new, |earlier| {
                    format!("{} ({:+.0} %)", amount(earlier.value), (figure.value / earlier.value - 1.0) * 100.0)
                })
            });
            let cells = [
                figure.name.clone(),
                amount(figure.value),
                figure.floor.map_or_else(String::new, amount),
                figure.ratio().map_or_else(String::new, |ratio| format!("{ratio:.2}")),
                goal,
                figure.verdict().to_owned(),
            ];
            rows.push(row(cells, earlier));
        }
        align(&rows)
    }

    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is not from an earlier run", path.display()))
    }

    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

fn row(cells: [String; 6], more: Option<String>) -> Vec<String> {
    cells.into_iter().chain(more).collect()
}

fn align(rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let mut lines = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!(" {cell:<width$} ")).collect();
        lines.push(format!("|{}|", cells.join("|")));
        if index == 0 {
            let rules: Vec<String> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
            lines.push(format!("|{}|", rules.join("|")));
        }
    }
    lines.join("\n") + "\n"
}

/// Three digits that count.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        ..1.0 => format!("{value:.3}"),
        ..10.0 => format!("{value:.2}"),
        ..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// The value in the middle.
pub(super) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

pub(super) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
