//! Tables for people: aligned columns, no lines, cut at the width of the terminal.
//!
//! Owns widths and cutting. Invariant: a cell is one line, and no row is wider than the terminal.

use crate::out::{self, Format, tinted, word};
use serde_json::Value;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Blanks between two columns.
const GAP: usize = 2;

/// A column: its title, the path of its value, and what it is.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    title: &'static str,
    path: &'static str,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    /// Tells how something stands: it has a colour.
    State,
    /// For wide tables only.
    Wide,
}

/// A column of every table.
pub const fn col(title: &'static str, path: &'static str) -> Column {
    Column { title, path, kind: Kind::Plain }
}

/// A column that tells how something stands.
pub const fn state(title: &'static str, path: &'static str) -> Column {
    Column { title, path, kind: Kind::State }
}

/// A column of wide tables.
pub const fn wide(title: &'static str, path: &'static str) -> Column {
    Column { title, path, kind: Kind::Wide }
}

/// The table of these records, for standard output as it is now.
pub fn text(items: &[Value], columns: &[Column], format: Format) -> String {
    let width = if format == Format::Wide { None } else { width() };
    render(items, columns, format, width)
}

/// How wide standard output is: COLUMNS, else the terminal; unbounded in a file.
fn width() -> Option<usize> {
    let named = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok()).filter(|width| *width > 0);
    named.or_else(|| {
        let size = if out::is_terminal() { terminal_size::terminal_size() } else { None };
        size.map(|(width, _)| usize::from(width.0))
    })
}

fn render(items: &[Value], columns: &[Column], format: Format, width: Option<usize>) -> String {
    let columns: Vec<&Column> =
        columns.iter().filter(|column| format == Format::Wide || column.kind != Kind::Wide).collect();
    let cells = |item: &Value| columns.iter().map(|column| word(item, column.path)).collect::<Vec<_>>();
    let rows: Vec<Vec<String>> = items.iter().map(cells).collect();
    // A column without any value tells nothing.
    let used = |place: usize| rows.iter().any(|row| row.get(place).is_some_and(|cell| !cell.is_empty()));
    let shown: Vec<(usize, &Column, usize)> = columns
        .iter()
        .enumerate()
        .filter(|(place, _)| used(*place))
        .map(|(place, column)| {
            let widest = rows.iter().filter_map(|row| row.get(place)).map(|cell| cell.width()).max();
            (place, *column, widest.unwrap_or(0).max(column.title.len()))
        })
        .collect();
    let title = shown.iter().map(|(_, column, size)| (column.title.to_owned(), *size, Kind::Plain));
    let mut text = row(title, width);
    for cells in &rows {
        let cell = |place: &usize| cells.get(*place).cloned().unwrap_or_default();
        text.push_str(&row(
            shown.iter().map(|(place, column, size)| (cell(place), *size, column.kind)),
            width,
        ));
    }
    text
}

fn row(cells: impl Iterator<Item = (String, usize, Kind)>, width: Option<usize>) -> String {
    let mut line = String::new();
    let mut place = 0;
    for (text, size, kind) in cells {
        let left = width.map_or(usize::MAX, |width| width.saturating_sub(place));
        if left == 0 {
            break;
        }
        let text = cut(&text, left);
        let blanks = (size + GAP).saturating_sub(text.width());
        line.push_str(&if kind == Kind::State { tinted(&text) } else { text });
        line.push_str(&" ".repeat(blanks));
        place += size + GAP;
    }
    format!("{}\n", line.trim_end())
}

/// The text, or its beginning with `…` where it is wider.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut used = 1;
    let fits = |c: &char| {
        used += c.width().unwrap_or(0);
        used <= width
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn items() -> [Value; 2] {
        [
            json!({"name": "a\u{1b}[2J", "status": "online", "health": {"score": 90}}),
            json!({"name": "höst-二", "status": "offline", "health": {"score": 7}}),
        ]
    }

    const COLUMNS: [Column; 5] = [
        col("NAME", "name"),
        state("STATUS", "status"),
        col("HEALTH", "health.score"),
        col("NEVER", "never"),
        wide("ID", "id"),
    ];

    #[test]
    fn a_table_is_aligned_and_hostile_names_are_visible() {
        let text = render(&items(), &COLUMNS, Format::Table, None);
        let plain = anstream::adapter::strip_str(&text).to_string();
        let expected = "NAME     STATUS   HEALTH\na␛[2J    online   90\nhöst-二  offline  7\n";
        assert_eq!(plain, expected);
        assert!(!plain.contains('\u{1b}') && text.contains("\u{1b}["), "states have colours");
    }

    #[test]
    fn no_row_is_wider_than_the_terminal() {
        for width in 1..40 {
            let text = render(&items(), &COLUMNS, Format::Table, Some(width));
            let plain = anstream::adapter::strip_str(&text).to_string();
            assert!(plain.lines().all(|line| line.width() <= width), "{width}: {plain}");
        }
    }
}
