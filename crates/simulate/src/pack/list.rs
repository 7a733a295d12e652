//! Reads the openb lists of nodes and pods. Strict: a column that is missing, a number that is none
//! or a pod that asks for parts of several cards is an error that names its line.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;

use thiserror::Error;

use crate::table::{Heading, LineError, Lines};

/// One card, in thousandths.
const CARD: u32 = 1_000;
/// More cards than any machine sold has; also what the planner's card masks hold.
pub(crate) const CARDS_MAX: u32 = 64;
/// The largest public list has ten thousand rows; this bounds what a wrong file can make us hold.
const ROWS_MAX: usize = 1_000_000;
/// No machine has a thousand million cores (in thousandths) or mebibytes; sums stay far below 64 bits.
const AMOUNT_MAX: u64 = 1_000_000_000_000;

/// A machine of the list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeRow {
    /// Its name.
    pub name: String,
    /// Thousandths of a core.
    pub cpu_milli: u64,
    /// Mebibytes.
    pub memory_mib: u64,
    /// How many cards.
    pub cards: u32,
    /// Their model; none where it has no cards.
    pub model: Option<String>,
}

/// A pod of the list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PodRow {
    /// Its name.
    pub name: String,
    /// Thousandths of a core.
    pub cpu_milli: u64,
    /// Mebibytes.
    pub memory_mib: u64,
    /// How many cards.
    pub cards: u32,
    /// Of each card, in thousandths: 1,000 where it asks for more than one.
    pub card_milli: u32,
    /// The models that will do; empty is any.
    pub models: BTreeSet<String>,
}

impl PodRow {
    /// Thousandths of cards in sum.
    pub fn accel_milli(&self) -> u64 {
        u64::from(self.cards) * u64::from(self.card_milli)
    }
}

/// Why a list cannot be read.
#[derive(Debug, Error)]
pub enum ListError {
    /// A line cannot be had.
    #[error(transparent)]
    Line(#[from] LineError),
    /// There is not even a heading.
    #[error("the list is empty")]
    Empty,
    /// There is a heading and nothing else.
    #[error("the list has a heading but no rows")]
    NoRows,
    /// A column that is needed is not in the heading.
    #[error("line 1: there is no column `{column}`")]
    ColumnMissing {
        /// Its name.
        column: &'static str,
    },
    /// A row has other columns than the heading.
    #[error("line {line}: {found} columns, but the heading has {expected}")]
    Columns {
        /// Counted from 1.
        line: usize,
        /// In the heading.
        expected: usize,
        /// In the row.
        found: usize,
    },
    /// A field that should hold a whole number does not.
    #[error("line {line}: `{column}` is not a whole number up to {most}: `{text}`")]
    Number {
        /// Counted from 1.
        line: usize,
        /// The column.
        column: &'static str,
        /// The most that may stand there.
        most: u64,
        /// What stands there.
        text: String,
    },
    /// The fields of a row contradict each other.
    #[error("line {line}: {what}")]
    Row {
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// Two rows have one name.
    #[error("line {line}: `{name}` stands in line {first} already")]
    Twice {
        /// Counted from 1.
        line: usize,
        /// The name.
        name: String,
        /// Where it stands first.
        first: usize,
    },
}

/// Where a column is that is needed.
fn needed(heading: &Heading, column: &'static str) -> Result<usize, ListError> {
    heading.find(|name| name == column).ok_or(ListError::ColumnMissing { column })
}

/// A row with its line number.
struct Row {
    line: usize,
    fields: Vec<String>,
}

impl Row {
    fn text(&self, at: usize) -> &str {
        &self.fields[at]
    }
    fn number(&self, at: usize, column: &'static str, most: u64) -> Result<u64, ListError> {
        let text = self.text(at);
        let digits = whole(text);
        let value = digits.and_then(|digits| digits.parse().ok());
        value.filter(|value| *value <= most).ok_or_else(|| ListError::Number {
            line: self.line,
            column,
            most,
            text: text.chars().take(40).collect(),
        })
    }
    fn small(&self, at: usize, column: &'static str, most: u32) -> Result<u32, ListError> {
        let value = self.number(at, column, u64::from(most))?;
        Ok(u32::try_from(value).expect("it was checked against 32 bits"))
    }
    fn wrong(&self, what: &'static str) -> ListError {
        ListError::Row { line: self.line, what }
    }
}

/// The digits of a whole number; programs that know gaps in a column write `8.0`.
fn whole(text: &str) -> Option<&str> {
    let (digits, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    (fits && fraction.bytes().all(|byte| byte == b'0')).then_some(digits)
}

fn read_rows<T>(
    from: impl BufRead,
    start: impl FnOnce(
        &Heading,
    ) -> Result<Box<dyn Fn(&Row) -> Result<(String, T), ListError>>, ListError>,
) -> Result<Vec<T>, ListError> {
    let mut lines = Lines::new(from, ROWS_MAX);
    let heading = Heading::new(&lines.heading()?.ok_or(ListError::Empty)?);
    let read = start(&heading)?;
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut rows = Vec::new();
    while let Some((line, text)) = lines.row()? {
        let row = Row { line, fields: heading.row(&text) };
        let (expected, found) = (heading.names().len(), row.fields.len());
        if found != expected {
            return Err(ListError::Columns { line, expected, found });
        }
        let (name, value) = read(&row)?;
        if name.is_empty() {
            return Err(row.wrong("it has no name"));
        }
        if let Some(&first) = seen.get(&name) {
            return Err(ListError::Twice { line, name, first });
        }
        seen.insert(name, line);
        rows.push(value);
    }
    if rows.is_empty() { Err(ListError::NoRows) } else { Ok(rows) }
}

/// Reads a list of nodes: `sn,cpu_milli,memory_mib,gpu,model`. Other columns are left alone.
pub fn read_nodes(from: impl BufRead) -> Result<Vec<NodeRow>, ListError> {
    read_rows(from, |heading| {
        let [sn, cpu, memory, gpu, model] = [
            needed(heading, "sn")?,
            needed(heading, "cpu_milli")?,
            needed(heading, "memory_mib")?,
            needed(heading, "gpu")?,
            needed(heading, "model")?,
        ];
        Ok(Box::new(move |row| {
            let name = row.text(sn).to_owned();
            let cards = row.small(gpu, "gpu", CARDS_MAX)?;
            let model = Some(row.text(model)).filter(|text| !text.is_empty());
            let model = match (cards, model) {
                (0, _) => None,
                (_, Some(model)) => Some(model.to_owned()),
                (_, None) => return Err(row.wrong("it has cards but no model")),
            };
            let node = NodeRow {
                name: name.clone(),
                cpu_milli: row.number(cpu, "cpu_milli", AMOUNT_MAX)?,
                memory_mib: row.number(memory, "memory_mib", AMOUNT_MAX)?,
                cards,
                model,
            };
            Ok((name, node))
        }))
    })
}

/// Reads a list of pods: `name,cpu_milli,memory_mib,num_gpu,gpu_milli` and, where there is one,
/// `gpu_spec` (models that will do, separated by `|`). Other columns are left alone.
pub fn read_pods(from: impl BufRead) -> Result<Vec<PodRow>, ListError> {
    read_rows(from, |heading| {
        let [name, cpu, memory, num, milli] = [
            needed(heading, "name")?,
            needed(heading, "cpu_milli")?,
            needed(heading, "memory_mib")?,
            needed(heading, "num_gpu")?,
            needed(heading, "gpu_milli")?,
        ];
        let spec = heading.find(|name| name == "gpu_spec");
        Ok(Box::new(move |row| {
            let name = row.text(name).to_owned();
            let cards = row.small(num, "num_gpu", CARDS_MAX)?;
            // Of a pod without cards it may be left out.
            let card_milli = match (cards, row.text(milli)) {
                (0, "") => 0,
                _ => row.small(milli, "gpu_milli", CARD)?,
            };
            match (cards, card_milli) {
                (0, 0) | (1, 1..) | (_, CARD) if cards > 0 || card_milli == 0 => {}
                (0, _) => return Err(row.wrong("it asks for parts of no card")),
                (_, 0) => return Err(row.wrong("it asks for nothing of its cards")),
                _ => return Err(row.wrong("it asks for parts of several cards")),
            }
            let models = spec.map(|at| row.text(at)).filter(|_| cards > 0);
            let models = models.iter().flat_map(|text| text.split('|')).map(str::trim);
            let pod = PodRow {
                name: name.clone(),
                cpu_milli: row.number(cpu, "cpu_milli", AMOUNT_MAX)?,
                memory_mib: row.number(memory, "memory_mib", AMOUNT_MAX)?,
                cards,
                card_milli,
                models: models.filter(|model| !model.is_empty()).map(str::to_owned).collect(),
            };
            Ok((name, pod))
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NODES: &str =
        "sn,cpu_milli,memory_mib,gpu,model\nn1,64000,262144,2,P100\nn2,32000,1024,0,\n";
    const PODS: &str = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos\n\
                        p1,12000,16384,1,460,,LS\np2,1000,1,0,0,,BE\r\np3,8000,1,8,1000,V100|T4,LS\n";

    #[test]
    fn reads_what_the_lists_hold() {
        let nodes = read_nodes(NODES.as_bytes()).expect("well formed");
        assert_eq!(read_nodes(NODES.replace(',', ";").as_bytes()).expect("as well"), nodes);
        assert_eq!(nodes.len(), 2);
        assert_eq!((nodes[0].cards, nodes[0].model.as_deref()), (2, Some("P100")));
        assert_eq!(nodes[1].model, None);
        let pods = read_pods(PODS.as_bytes()).expect("well formed");
        assert_eq!(pods.iter().map(PodRow::accel_milli).collect::<Vec<_>>(), [460, 0, 8_000]);
        assert_eq!(pods[2].models, BTreeSet::from(["T4".to_owned(), "V100".to_owned()]));
    }

    #[test]
    fn numbers_are_read_as_programs_write_them_that_know_gaps() {
        let text = "name,cpu_milli,memory_mib,num_gpu,gpu_milli\np1,12000.0,16384.0,1.0,460.0\np2,1,1,0.0,\n";
        let pods = read_pods(text.as_bytes()).expect("well formed");
        assert_eq!(
            (pods[0].cpu_milli, pods[0].accel_milli(), pods[1].accel_milli()),
            (12_000, 460, 0)
        );
        for row in ["p,1.5,1,0,0", "p,1,1,1,", "p,.0,1,0,0", "p,1,1,0.5,500"] {
            let text = format!("name,cpu_milli,memory_mib,num_gpu,gpu_milli\n{row}\n");
            assert!(read_pods(text.as_bytes()).is_err(), "{row}");
        }
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let check = |text: &str, expect: &str| {
            let error = read_pods(text.as_bytes()).expect_err("it is wrong");
            assert_eq!(error.to_string(), expect);
        };
        const HEAD: &str = "name,cpu_milli,memory_mib,num_gpu,gpu_milli\n";
        check("", "the list is empty");
        check(HEAD, "the list has a heading but no rows");
        check("name,cpu_milli\n", "line 1: there is no column `memory_mib`");
        check(&format!("{HEAD}a,1,1,1\n"), "line 2: 4 columns, but the heading has 5");
        check(
            &format!("{HEAD}a,1,1,1,500\nb,-1,1,1,500\n"),
            "line 3: `cpu_milli` is not a whole number up to 1000000000000: `-1`",
        );
        check(
            &format!("{HEAD}a,1,1,1,1001\n"),
            "line 2: `gpu_milli` is not a whole number up to 1000: `1001`",
        );
        check(&format!("{HEAD}a,1,1,2,500\n"), "line 2: it asks for parts of several cards");
        check(&format!("{HEAD}a,1,1,0,500\n"), "line 2: it asks for parts of no card");
        check(&format!("{HEAD}a,1,1,2,0\n"), "line 2: it asks for nothing of its cards");
        check(&format!("{HEAD}a,1,1,1,5\na,1,1,1,5\n"), "line 3: `a` stands in line 2 already");
        check(&format!("{HEAD},1,1,1,5\n"), "line 2: it has no name");
        let nodes = "sn,cpu_milli,memory_mib,gpu,model\nn,1,1,2,\n";
        let error = read_nodes(nodes.as_bytes()).expect_err("no model");
        assert_eq!(error.to_string(), "line 2: it has cards but no model");
        let long = format!("{HEAD}{}\n", "x".repeat(5_000));
        check(&long, "line 2: longer than 4096 bytes");
        let binary = [b"name,cpu_milli,memory_mib,num_gpu,gpu_milli\n".as_slice(), &[0xff, 0xfe]];
        assert!(read_pods(binary.concat().as_slice()).is_err());
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_or_a_list_but_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = read_nodes(bytes.as_slice()).is_ok();
            let mut text = PODS.as_bytes().to_vec();
            for (at, byte) in bytes.iter().enumerate() {
                if byte % 7 == 0 && at < text.len() { text[at] = *byte; }
            }
            let _ = read_pods(text.as_slice()).is_ok();
        }
    }
}
