//! What is printed: tables and sentences for people, JSON for programs.
//!
//! A reader that went away (`longshore site list | head -1`) is no failure, so writing errors are passed over.

use crate::failure::Failure;
use serde::Serialize;
use std::io::Write;

/// Where results go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// Whether a program reads standard output.
    pub(crate) json: bool,
}

impl Output {
    /// Prints a result: `value` for programs, `text` for people.
    pub(crate) fn result(self, value: &impl Serialize, text: impl FnOnce() -> String) {
        let line = if self.json {
            serde_json::to_string(value).unwrap_or_default()
        } else {
            clean(text().trim_end())
        };
        _ = writeln!(std::io::stdout(), "{line}");
    }

    /// Tells a person something beside the result.
    pub(crate) fn note(self, text: &str) {
        _ = writeln!(std::io::stderr(), "{}", clean(text));
    }

    /// Tells what went wrong; a program gets control's problem details.
    pub(crate) fn failure(self, failure: &Failure) {
        if let (true, Failure::Refused { problem, .. }) = (self.json, failure) {
            self.result(problem, String::new);
        }
        self.note(&format!("longshore: {}", failure.lines().join("\n")));
    }
}

/// Nothing an API answers may steer the terminal.
fn clean(text: &str) -> String {
    let shown = |character: char| match character {
        '\n' | '\t' => character,
        _ if character.is_control() => char::REPLACEMENT_CHARACTER,
        _ => character,
    };
    text.chars().map(shown).collect()
}

/// Rows under a header, in columns as wide as their widest cell.
pub(crate) fn table<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> String {
    let header = header.map(str::to_owned);
    let lines = || std::iter::once(&header).chain(rows);
    let mut widths = [0; N];
    for line in lines() {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for line in lines() {
        let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// `1 edge`, `2 edges`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a", "é", ""], ["long", "b", "c"]].map(|row| row.map(str::to_owned));
        let expected = "NAME  X  Y\na     é\nlong  b  c\n";
        assert_eq!(table(["NAME", "X", "Y"], &rows), expected);
        assert_eq!(table(["NAME"], &[]), "NAME\n");
    }

    #[test]
    fn answers_cannot_steer_the_terminal() {
        assert_eq!(clean("a\x1b[2J\r\nb\u{9b}"), "a\u{fffd}[2J\u{fffd}\nb\u{fffd}");
    }
}
