//! Lines in the forms of Slurm: `%.18i %.9P` of `squeue` and `sinfo`, `JobID%20,State` of `sacct`.
//!
//! Invariant: a number of a job is never cut, whatever the width: what is cut cannot be handed back.
//! Must not know what a field means.

use std::fmt::Write as _;

/// Where a text stands in its column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// At the left.
    Left,
    /// At the right.
    Right,
}

/// One column of `%` and a letter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Column {
    /// What stands before it as it is.
    pub before: String,
    /// Where its text stands.
    pub side: Side,
    /// How wide it is.
    pub width: Width,
    /// Which field.
    pub letter: char,
}

/// How wide a column is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Width {
    /// As its text.
    Text,
    /// As its widest text, at least as its head.
    Widest,
    /// So many characters; more are cut.
    Fixed(usize),
}

/// Columns and what stands behind the last of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Format {
    /// The columns.
    pub columns: Vec<Column>,
    /// What stands behind.
    pub after: String,
}

/// The widest a column may be.
const WIDTH_MAX: usize = 1_000;

impl Format {
    /// From `%[[.]width]letter` and what is between.
    pub fn parse(text: &str) -> Self {
        let mut columns = Vec::new();
        let mut literal = String::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match (c, chars.peek()) {
                ('%', Some(_)) => {}
                ('\\', Some('n')) => {
                    chars.next();
                    literal.push('\n');
                    continue;
                }
                ('\\', Some('t')) => {
                    chars.next();
                    literal.push('\t');
                    continue;
                }
                _ => {
                    literal.push(c);
                    continue;
                }
            }
            let widest = chars.next_if_eq(&'#').is_some();
            let side = if chars.next_if_eq(&'.').is_some() { Side::Right } else { Side::Left };
            let mut digits = String::new();
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            let width = match digits.parse::<usize>() {
                Ok(width) if width > 0 => Width::Fixed(width.min(WIDTH_MAX)),
                _ if !digits.is_empty() && digits.bytes().any(|b| b != b'0') => {
                    Width::Fixed(WIDTH_MAX)
                }
                Ok(_) | Err(_) if widest => Width::Widest,
                Ok(_) | Err(_) => Width::Text,
            };
            let Some(letter) = chars.next() else { break };
            columns.push(Column { before: std::mem::take(&mut literal), side, width, letter });
        }
        Self { columns, after: literal }
    }

    /// From `%all`, which stands for all letters that have a head, parted by bars; else as [`parse`](Self::parse).
    pub fn parse_or_all(text: &str, head: impl Fn(char) -> &'static str) -> Self {
        if !text.trim().eq_ignore_ascii_case("%all") {
            return Self::parse(text);
        }
        let letters = ('A'..='Z').chain('a'..='z').filter(|letter| !head(*letter).is_empty());
        let all: Vec<String> = letters.map(|letter| format!("%{letter}")).collect();
        Self::parse(&all.join("|"))
    }

    /// Only columns of known letters; the others stay as they are written, and are told of.
    #[must_use]
    pub fn known(self, is_known: impl Fn(char) -> bool) -> (Self, Vec<char>) {
        let mut strange = Vec::new();
        let mut columns = Vec::with_capacity(self.columns.len());
        let mut literal = String::new();
        for mut column in self.columns {
            if is_known(column.letter) {
                column.before = std::mem::take(&mut literal) + &column.before;
                columns.push(column);
            } else {
                strange.push(column.letter);
                literal = literal + &column.before + "%" + &column.letter.to_string();
            }
        }
        (Self { columns, after: literal + &self.after }, strange)
    }

    /// The lines: the heads, unless they are left out, and a line for each row. `cell` gives the text
    /// of a row's field and `head` that of its head; letters have been checked.
    pub fn lines<R>(
        &self,
        rows: &[R],
        with_heads: bool,
        head: impl Fn(char) -> &'static str,
        cell: impl Fn(&R, char) -> String,
    ) -> String {
        let mut table: Vec<Vec<String>> = Vec::with_capacity(rows.len() + 1);
        let columns = &self.columns;
        if with_heads {
            table.push(columns.iter().map(|column| head(column.letter).to_owned()).collect());
        }
        for row in rows {
            table.push(columns.iter().map(|column| one_line(&cell(row, column.letter))).collect());
        }
        let widths: Vec<Option<usize>> = columns
            .iter()
            .enumerate()
            .map(|(at, column)| match column.width {
                Width::Text => None,
                Width::Fixed(width) => Some(width),
                Width::Widest => {
                    let widest = table.iter().map(|row| row[at].chars().count()).max();
                    // Slurm gives names of machines this much at least.
                    let least = if column.letter == 'N' { 10 } else { 0 };
                    Some(widest.unwrap_or(0).max(head(column.letter).len()).max(least))
                }
            })
            .collect();
        let mut out = String::new();
        for row in &table {
            for ((column, text), width) in columns.iter().zip(row).zip(&widths) {
                out.push_str(&column.before);
                // Only `i` and `A` are numbers of jobs, and only in lists of jobs are they long.
                let whole = matches!(column.letter, 'i' | 'A' | 'F');
                out.push_str(&fitted(text, *width, column.side, whole));
            }
            out.push_str(&self.after);
            out.push('\n');
        }
        out
    }
}

fn fitted(text: &str, width: Option<usize>, side: Side, whole: bool) -> String {
    let Some(width) = width else { return text.to_owned() };
    let count = text.chars().count();
    if count >= width {
        return if whole { text.to_owned() } else { text.chars().take(width).collect() };
    }
    match side {
        Side::Left => format!("{text:<width$}"),
        Side::Right => format!("{text:>width$}"),
    }
}

/// Without characters that would begin a line or move a cursor.
pub fn one_line(text: &str) -> String {
    crate::exit::one_line(text)
}

/// One column of `sacct`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Named {
    /// Which field, as it is written in the head.
    pub name: &'static str,
    /// How wide it is; a negative width stands at the left.
    pub width: i32,
}

/// How `sacct` parts its fields.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Parting {
    /// In columns with a line under the heads.
    Columns,
    /// By a text between them.
    Between(String),
    /// By a text after each.
    After(String),
}

/// The lines of `sacct`.
pub fn named_lines(
    columns: &[Named],
    rows: &[Vec<String>],
    with_heads: bool,
    parting: &Parting,
) -> String {
    let mut out = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = String>| {
        match parting {
            Parting::Columns => cells.for_each(|cell| {
                // Writing to a text cannot fail.
                let _ = write!(out, "{cell} ");
            }),
            Parting::Between(mark) => out.push_str(&cells.collect::<Vec<_>>().join(mark)),
            Parting::After(mark) => cells.for_each(|cell| {
                let _ = write!(out, "{cell}{mark}");
            }),
        }
        out.push('\n');
    };
    let shown = |column: &Named, text: &str| match parting {
        Parting::Columns => column.fit(text),
        Parting::Between(_) | Parting::After(_) => one_line(text),
    };
    if with_heads {
        line(&mut columns.iter().map(|column| shown(column, column.name)));
        if *parting == Parting::Columns {
            line(&mut columns.iter().map(|column| "-".repeat(column.columns())));
        }
    }
    for row in rows {
        line(&mut columns.iter().zip(row).map(|(column, text)| shown(column, text)));
    }
    out
}

impl Named {
    fn columns(&self) -> usize {
        usize::try_from(self.width.unsigned_abs()).unwrap_or(0)
    }
    /// What is too long ends with a plus, as `sacct` shows it.
    fn fit(&self, text: &str) -> String {
        let text = one_line(text);
        let width = self.columns();
        let count = text.chars().count();
        let whole = matches!(self.name, "JobID" | "JobIDRaw");
        if count > width && !whole {
            let kept: String = text.chars().take(width.saturating_sub(1)).collect();
            return format!("{kept}+");
        }
        if self.width < 0 { format!("{text:<width$}") } else { format!("{text:>width$}") }
    }
}

/// How wide a column of `-O` is that says no width, as in Slurm.
const NAMED_WIDTH: u32 = 20;

/// The format of `-o` that says the same as names of `-O` do: `name`, `name:width`, `name:.width`, and what stands
/// behind the width as it is; a colon without a width leaves the text as wide as it is. Gives back the name that
/// has no letter.
pub(super) fn of_names(
    names: &str,
    letter: impl Fn(&str) -> Option<char>,
) -> Result<String, String> {
    let column = |part: &str| {
        let (name, rest) = match part.split_once(':') {
            Some((name, rest)) => (name, rest.to_owned()),
            None => (part, NAMED_WIDTH.to_string()),
        };
        let size = rest.strip_prefix('.').unwrap_or(&rest);
        let suffix = size.trim_start_matches(|c: char| c.is_ascii_digit());
        let size = &rest[..rest.len() - suffix.len()];
        let letter = letter(&name.trim().to_ascii_lowercase()).ok_or_else(|| name.to_owned())?;
        Ok(format!("%{size}{letter}{suffix}"))
    };
    names.split(',').map(column).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(format: &str, rows: &[&str], heads: bool) -> String {
        let head = |letter| if letter == 'i' { "JOBID" } else { "NAME" };
        Format::parse(format).lines(rows, heads, head, |row: &&str, letter| {
            if letter == 'i' { format!("1{row}") } else { (*row).to_owned() }
        })
    }

    #[test]
    fn columns_of_percent_and_letter() {
        let check = |format: &str, heads: bool, expect: &str| {
            assert_eq!(lines(format, &["a", "bcdef"], heads), expect, "{format}");
        };
        check("%i", false, "1a\n1bcdef\n");
        check("%i %j", true, "JOBID NAME\n1a a\n1bcdef bcdef\n");
        check("%.6i|%-", false, "    1a|a\n1bcdef|bcdef\n");
        check("%.8i %3j|", true, "   JOBID NAM|\n      1a a  |\n  1bcdef bcd|\n");
        // A number is never cut.
        check("%.3i", false, " 1a\n1bcdef\n");
        check("%#j|", true, "NAME |\na    |\nbcdef|\n");
        check("job=%i, %j.", false, "job=1a, a.\njob=1bcdef, bcdef.\n");
        check("%i\\t%j", false, "1a\ta\n1bcdef\tbcdef\n");
        check("100%", false, "100%\n100%\n");
        check("%0j", false, "a\nbcdef\n");
        check("", false, "\n\n");
    }

    #[test]
    fn letters_that_are_not_known_stay_as_they_are() {
        let (format, strange) = Format::parse("a%i %* b%j%!").known(char::is_alphanumeric);
        assert_eq!(strange, ['*', '!']);
        let text = format.lines(&["x"], false, |_| "", |_: &&str, letter| letter.to_string());
        assert_eq!(text, "ai %* bj%!\n");
    }

    #[test]
    fn names_say_the_same_as_letters() {
        let letter = |name: &str| (name == "jobid").then_some('i');
        let check = |names: &str, expect: Result<&str, &str>| {
            let expect = expect.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(of_names(names, letter), expect, "{names}");
        };
        check("JobID", Ok("%20i"));
        check("JobID:8,jobid:.9", Ok("%8i%.9i"));
        // What stands behind a width is shown behind the text; without a width the text is as wide as it is.
        check("JobID:8 ,JobID:.9|", Ok("%8i %.9i|"));
        check("JobID:|,JobID:", Ok("%i|%i"));
        check("JobID:0é", Ok("%0ié"));
        check("Nosuch:4", Err("Nosuch"));
    }

    #[test]
    fn columns_of_names() {
        let columns = [Named { name: "JobID", width: -6 }, Named { name: "State", width: 6 }];
        let row = |id: &str, state: &str| vec![id.to_owned(), state.to_owned()];
        let rows = [row("7", "FAILED"), row("1234567", "COMPLETED")];
        let check = |parting: Parting, heads, expect: &str| {
            assert_eq!(named_lines(&columns, &rows, heads, &parting), expect);
        };
        check(
            Parting::Columns,
            true,
            "JobID   State \n------ ------ \n7      FAILED \n1234567 COMPL+ \n",
        );
        check(Parting::Columns, false, "7      FAILED \n1234567 COMPL+ \n");
        let bar = || "|".to_owned();
        check(Parting::Between(bar()), true, "JobID|State\n7|FAILED\n1234567|COMPLETED\n");
        check(Parting::After(bar()), false, "7|FAILED|\n1234567|COMPLETED|\n");
    }
}
