//! Tables as other programs write them: commas, semicolons or tabs, quoted fields, a mark of the byte
//! order, columns found by their names. It must not know what the columns mean.

mod decimal;
mod lines;

pub(crate) use decimal::scaled;
pub use lines::LineError;
pub(crate) use lines::{Lines, place};

/// How fields are divided, and their names as the heading has them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Heading {
    mark: char,
    names: Vec<String>,
}

impl Heading {
    /// Reads the first line.
    pub(crate) fn new(line: &str) -> Self {
        let line = line.trim_start_matches('\u{feff}');
        // What stands there most often divides.
        let count = |mark: char| line.chars().filter(|one| *one == mark).count();
        let mark = [',', ';', '\t'].into_iter().rev().max_by_key(|mark| count(*mark));
        let mark = mark.unwrap_or(',');
        Self {
            mark,
            names: fields(line, mark).into_iter().map(|name| name.to_lowercase()).collect(),
        }
    }

    /// The names, in lower case.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The first column of which this is so.
    pub(crate) fn find(&self, is: impl Fn(&str) -> bool) -> Option<usize> {
        self.names.iter().position(|name| is(name))
    }

    /// The fields of a row.
    pub(crate) fn row(&self, line: &str) -> Vec<String> {
        fields(line, self.mark)
    }

    /// A number as it is read here: where commas do not divide, one stands for the point.
    pub(crate) fn number(&self, text: &str) -> String {
        if self.mark == ',' { text.to_owned() } else { text.replace(',', ".") }
    }
}

/// Fields without their quotes and the space around them; a quote within quotes stands twice.
fn fields(line: &str, mark: char) -> Vec<String> {
    let mut fields = vec![String::new()];
    let (mut quoted, mut chars) = (false, line.chars().peekable());
    while let Some(one) = chars.next() {
        let field = fields.last_mut().expect("there is one always");
        match one {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' if quoted || field.trim().is_empty() => quoted = !quoted,
            _ if one == mark && !quoted => fields.push(String::new()),
            _ => field.push(one),
        }
    }
    fields.into_iter().map(|field| field.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_divided_as_the_heading_is() {
        let check = |heading: &str, row: &str, expect: &[&str]| {
            assert_eq!(Heading::new(heading).row(row), expect, "{heading}");
        };
        check("a,b", "1, 2 ", &["1", "2"]);
        check("a;b", "1,5;2", &["1,5", "2"]);
        check("a\tb", "1\t2", &["1", "2"]);
        check("a,b", "\"x, \"\"y\"\"\",\"2\"", &["x, \"y\"", "2"]);
        check("a", "\"2\"", &["2"]);
        check("a,b", "", &[""]);
        let heading = Heading::new("\u{feff}\"Time\",Carbon Intensity");
        assert_eq!(heading.names(), ["time", "carbon intensity"]);
        assert_eq!(heading.find(|name| name.contains("carbon")), Some(1));
        assert_eq!(heading.number("1.5"), "1.5");
        assert_eq!(Heading::new("a;b").number("1,5"), "1.5");
    }
}
