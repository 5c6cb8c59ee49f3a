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

/// `999 B`, `1.0 KiB`, `12.3 MiB`: rounded down.
pub(crate) fn bytes(number: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if number < 1_024 {
        return format!("{number} B");
    }
    let power = (number.ilog2() / 10).clamp(1, 6);
    let unit = UNITS.get(power as usize - 1).unwrap_or(&"EiB");
    let tenths = (u128::from(number) * 10) >> (10 * power);
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// `59 s`, `3 min`, `2 h`, `400 d`: the largest unit of which there are two, rounded down.
pub(crate) fn seconds(number: u64) -> String {
    match number {
        0..120 => format!("{number} s"),
        120..7_200 => format!("{} min", number / 60),
        7_200..172_800 => format!("{} h", number / 3_600),
        _ => format!("{} d", number / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_have_a_unit_that_suits_them() {
        for (number, expected) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (1_048_575, "1023.9 KiB"),
            (1_572_864, "1.5 MiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(bytes(number), expected);
        }
        for (number, expected) in [
            (119, "119 s"),
            (120, "2 min"),
            (7_199, "119 min"),
            (7_200, "2 h"),
            (172_799, "47 h"),
            (172_800, "2 d"),
        ] {
            assert_eq!(seconds(number), expected);
        }
    }

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
