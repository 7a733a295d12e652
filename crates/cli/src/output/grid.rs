//! Tables for people: a head, rows, two blanks between columns, no lines, no wider than the
//! terminal.

use std::collections::BTreeSet;

use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, CellAlignment, Color, ColumnConstraint, ContentArrangement, Table};

use super::{Colour, View};
use crate::exit::one_line;
use crate::words::{Lang, Word};

/// Columns a terminal has at least; a narrower one breaks lines by itself.
const WIDTH_MIN: u16 = 40;

/// From this width on an id, 32 columns at most, leaves room for what stands beside it; on a
/// narrower terminal everything would break around it, and names serve as well as ids.
const WHOLE_IDS_WIDTH: u16 = 100;

/// What stands in one place of a table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cell {
    /// Text, to the left.
    Text(String),
    /// A number or an amount, to the right.
    Number(String),
    /// An id or name that people copy: not broken where the terminal has room for it.
    Id(String),
    /// A state: in words, and in the colour of good, bad or waiting.
    State(String),
}

impl Cell {
    /// Text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }
    /// A number.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "numbers are copied, references to texts too"
    )]
    pub fn number(number: impl ToString) -> Self {
        Self::Number(number.to_string())
    }
    /// What people copy.
    pub fn id(id: impl Into<String>) -> Self {
        Self::Id(id.into())
    }
    /// A state.
    pub fn state(state: impl Into<String>) -> Self {
        Self::State(state.into())
    }
}

/// A table while it is filled.
#[derive(Debug)]
pub struct Grid<'v> {
    view: &'v View,
    table: Table,
    rows: usize,
    /// Columns with numbers: their heads stand right too.
    numbers: BTreeSet<usize>,
    /// Columns with what people copy.
    ids: BTreeSet<usize>,
}

impl<'v> Grid<'v> {
    /// With these heads.
    pub fn new(view: &'v View, heads: &[Word]) -> Self {
        let mut grid = Self::plain(view);
        let heads = heads.iter().map(|head| {
            let text = view.word(*head);
            let text = match view.lang {
                Lang::En => text.to_uppercase(),
                Lang::Zh => text.to_owned(),
            };
            comfy_table::Cell::new(text).add_attribute(Attribute::Bold)
        });
        grid.table.set_header(heads);
        grid
    }

    /// Without heads: names to the left of their values.
    pub fn plain(view: &'v View) -> Self {
        let mut table = Table::new();
        table.load_preset(NOTHING);
        match view.width {
            Some(width) => {
                table.set_content_arrangement(ContentArrangement::Dynamic);
                table.set_width(width.max(WIDTH_MIN));
            }
            None => {
                table.set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        match view.colour {
            Colour::Yes => table.enforce_styling(),
            Colour::No => table.force_no_tty(),
        };
        let (numbers, ids) = (BTreeSet::new(), BTreeSet::new());
        Self { view, table, rows: 0, numbers, ids }
    }

    /// One row more.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let mut drawn_cells = Vec::new();
        for (column, cell) in cells.into_iter().enumerate() {
            match &cell {
                Cell::Number(_) => drop(self.numbers.insert(column)),
                Cell::Id(_) => drop(self.ids.insert(column)),
                Cell::Text(_) | Cell::State(_) => {}
            }
            drawn_cells.push(drawn(self.view, cell));
        }
        self.table.add_row(drawn_cells);
        self.rows += 1;
    }

    /// A name and its value, for tables without heads.
    pub fn pair(&mut self, name: Word, value: Cell) {
        let name = self.view.word(name).to_owned();
        self.row([Cell::Text(name), value]);
    }

    /// As text; nothing where there are no rows.
    pub fn finish(mut self) -> String {
        if self.rows == 0 {
            return String::new();
        }
        let roomy = self.view.width.is_none_or(|width| width >= WHOLE_IDS_WIDTH);
        for (at, column) in self.table.column_iter_mut().enumerate() {
            column.set_padding((0, 2));
            if self.numbers.contains(&at) {
                column.set_cell_alignment(CellAlignment::Right);
            }
            if self.ids.contains(&at) && roomy {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        let drawn = self.table.to_string();
        let mut text = String::with_capacity(drawn.len());
        for line in drawn.lines() {
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

fn drawn(view: &View, cell: Cell) -> comfy_table::Cell {
    match cell {
        Cell::Text(text) | Cell::Id(text) => comfy_table::Cell::new(one_line(&text)),
        Cell::Number(text) => comfy_table::Cell::new(one_line(&text)),
        Cell::State(state) => {
            let cell = comfy_table::Cell::new(one_line(view.state(&state)));
            match colour(&state) {
                Some(colour) => cell.fg(colour),
                None => cell,
            }
        }
    }
}

/// States are texts of the wire; those of a newer server are shown without colour.
fn colour(state: &str) -> Option<Color> {
    match state {
        "succeeded" | "active" | "ok" | "valid" | "yes" => Some(Color::Green),
        "failed" | "lost" | "suspended" | "voided" | "fail" | "no" => Some(Color::Red),
        "queued" | "paused" | "preempted" | "expired" | "warn" | "applied" => Some(Color::Yellow),
        "running" | "staging" | "publishing" | "leased" => Some(Color::Cyan),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(width: Option<u16>, lang: Lang) -> View {
        View { lang, width, colour: Colour::No, zone: jiff::tz::TimeZone::UTC }
    }

    fn sample(view: &View) -> String {
        let mut grid = Grid::new(view, &[Word::Name, Word::State, Word::Amount]);
        let long = "a name that is much longer than what a narrow terminal has room for, by far";
        grid.row([Cell::text(long), Cell::state("running"), Cell::number("1.00")]);
        grid.row([Cell::text("贵安一号"), Cell::state("failed"), Cell::number("12345.67")]);
        grid.finish()
    }

    #[test]
    fn columns_line_up_and_numbers_stand_right() {
        insta::assert_snapshot!(sample(&view(None, Lang::En)));
        insta::assert_snapshot!(sample(&view(None, Lang::Zh)));
    }

    #[test]
    fn nothing_is_wider_than_the_terminal() {
        for width in [40u16, 60, 79] {
            for line in sample(&view(Some(width), Lang::Zh)).lines() {
                let columns: usize = line.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum();
                assert!(columns <= usize::from(width), "{columns} > {width}: {line}");
            }
        }
    }

    #[test]
    fn control_characters_of_others_do_not_reach_the_terminal() {
        let view = view(None, Lang::En);
        let mut grid = Grid::plain(&view);
        grid.row([Cell::text("a\u{1b}[2Jb\nc"), Cell::state("new\u{7}")]);
        assert_eq!(grid.finish(), "a [2Jb c  new\n");
    }

    #[test]
    fn an_empty_table_is_nothing() {
        assert_eq!(Grid::new(&view(None, Lang::En), &[Word::Name]).finish(), "");
    }
}
