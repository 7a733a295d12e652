//! A small file that says itself what it holds.
//!
//! ```text
//! line 1   DAYANGRID 1 <bytes of the header>
//! header   one JSON object: title, dimensions, coordinates, variables, attributes
//! data     every variable's values as little-endian 32-bit floats, one variable after another,
//!          in the order of the header, last dimension fastest
//! ```
//! `variables[]` have `name`, `dims`, `units`, `long_name`, `offset` (in values from the
//! beginning of the data) and `count`. Invariant: a file is read only if its header and its
//! length agree; sizes are bounded before memory is taken.

use std::io::{BufReader, Read};
use std::path::Path;

use anyhow::{Context as _, bail, ensure};

use crate::canvas::write_whole;
use crate::json::Json;

const MAGIC: &str = "DAYANGRID 1 ";
/// A header longer than this is not one of ours.
const HEADER_MAX: usize = 1 << 20;
/// Values in one file: a gigabyte of them.
const VALUES_MAX: usize = 1 << 28;

/// One variable.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Short name.
    pub name: String,
    /// What it is.
    pub long_name: String,
    /// Its units.
    pub units: String,
    /// Names of its dimensions, slowest first.
    pub dims: Vec<String>,
    /// Its values.
    pub values: Vec<f32>,
}

/// A whole file.
#[derive(Debug, Clone, PartialEq)]
pub struct GridFile {
    /// What the file is.
    pub title: String,
    /// Dimensions: name, units and coordinate values.
    pub dims: Vec<(String, String, Vec<f64>)>,
    /// Further facts, as text.
    pub attributes: Vec<(String, String)>,
    /// Variables.
    pub fields: Vec<Field>,
}

impl GridFile {
    /// The bytes of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let list = |words: &[String]| Json::List(words.iter().map(Json::text).collect());
        let dims = self.dims.iter().map(|(name, units, values)| {
            Json::object([
                ("name", Json::text(name)),
                ("size", Json::count(values.len())),
                ("units", Json::text(units)),
                ("values", Json::List(values.iter().map(|v| Json::Number(*v)).collect())),
            ])
        });
        let mut offset = 0;
        let variables = self.fields.iter().map(|field| {
            let start = offset;
            offset += field.values.len();
            Json::object([
                ("name", Json::text(&field.name)),
                ("long_name", Json::text(&field.long_name)),
                ("units", Json::text(&field.units)),
                ("type", Json::text("f32le")),
                ("dims", list(&field.dims)),
                ("offset", Json::count(start)),
                ("count", Json::count(field.values.len())),
            ])
        });
        let header = Json::object([
            ("title", Json::text(&self.title)),
            ("dimensions", Json::List(dims.collect())),
            ("variables", Json::List(variables.collect())),
            (
                "attributes",
                Json::Object(
                    self.attributes.iter().map(|(k, v)| (k.clone(), Json::text(v))).collect(),
                ),
            ),
        ]);
        let header = format!("{header}\n");
        let mut bytes = format!("{MAGIC}{}\n{header}", header.len()).into_bytes();
        for field in &self.fields {
            bytes.extend(field.values.iter().flat_map(|v| v.to_le_bytes()));
        }
        bytes
    }

    /// Writes the file.
    pub fn save(&self, path: &Path) -> anyhow::Result<()> {
        write_whole(path, &self.to_bytes())
    }

    /// Reads a file.
    pub fn load(path: &Path) -> anyhow::Result<GridFile> {
        let said = || format!("cannot read {}", path.display());
        let file = std::fs::File::open(path).with_context(said)?;
        GridFile::read(BufReader::new(file)).with_context(said)
    }

    /// Reads a file from its bytes.
    pub fn read(mut from: impl Read) -> anyhow::Result<GridFile> {
        let mut line = Vec::new();
        // 10 digits are more than any bounded header needs.
        while line.last() != Some(&b'\n') && line.len() < MAGIC.len() + 10 {
            let mut byte = [0];
            from.read_exact(&mut byte).context("too short to be a grid file")?;
            line.push(byte[0]);
        }
        let length = std::str::from_utf8(&line)
            .ok()
            .and_then(|line| line.strip_prefix(MAGIC))
            .and_then(|length| length.trim_end().parse::<usize>().ok())
            .context("not a grid file: the first line is not \"DAYANGRID 1 <bytes>\"")?;
        ensure!(length <= HEADER_MAX, "the header is too long");
        let mut header = vec![0; length];
        from.read_exact(&mut header).context("the header is cut off")?;
        let header = String::from_utf8(header).context("the header is not UTF-8")?;
        let header = Json::parse(&header).map_err(anyhow::Error::msg).context("the header")?;
        let mut file = GridFile::from_header(&header)?;
        for field in &mut file.fields {
            let mut bytes = vec![0; field.values.len() * 4];
            from.read_exact(&mut bytes)
                .with_context(|| format!("the values of {} are cut off", field.name))?;
            for (value, part) in field.values.iter_mut().zip(bytes.chunks_exact(4)) {
                *value = f32::from_le_bytes(part.try_into().expect("chunks of four bytes"));
            }
        }
        ensure!(from.read(&mut [0])? == 0, "there is more data than the header says");
        Ok(file)
    }

    /// The file a header describes, values still zero.
    fn from_header(header: &Json) -> anyhow::Result<GridFile> {
        let list = |json: &Json, key: &str| -> anyhow::Result<Vec<Json>> {
            let list = json.get(key).and_then(Json::as_list);
            Ok(list.with_context(|| format!("no list {key:?} in the header"))?.to_vec())
        };
        let text = |json: &Json, key: &str| -> anyhow::Result<String> {
            let text = json.get(key).and_then(Json::as_text);
            Ok(text.with_context(|| format!("no text {key:?} in the header"))?.to_owned())
        };
        let mut dims = Vec::new();
        for dim in list(header, "dimensions")? {
            let values: Option<Vec<f64>> =
                list(&dim, "values")?.iter().map(Json::as_number).collect();
            let values = values.context("a coordinate is not a number")?;
            dims.push((text(&dim, "name")?, text(&dim, "units")?, values));
        }
        let mut fields = Vec::new();
        let mut total = 0usize;
        for variable in list(header, "variables")? {
            let name = text(&variable, "name")?;
            ensure!(text(&variable, "type")? == "f32le", "{name}: only f32le is known");
            let names: Option<Vec<String>> = list(&variable, "dims")?
                .iter()
                .map(|dim| dim.as_text().map(str::to_owned))
                .collect();
            let names = names.context("the name of a dimension is not text")?;
            let mut count = 1usize;
            for dim in &names {
                let Some((_, _, values)) = dims.iter().find(|(name, _, _)| name == dim) else {
                    bail!("{name}: no dimension {dim:?}");
                };
                count = count.saturating_mul(values.len());
            }
            let number = |key| variable.get(key).and_then(Json::as_number);
            ensure!(number("count") == Some(count as f64), "{name}: count and dims disagree");
            ensure!(number("offset") == Some(total as f64), "{name}: not where it should be");
            total = total.saturating_add(count);
            ensure!(total <= VALUES_MAX, "more values than a grid file may hold");
            fields.push(Field {
                name,
                long_name: text(&variable, "long_name")?,
                units: text(&variable, "units")?,
                dims: names,
                values: vec![0.0; count],
            });
        }
        let attributes = match header.get("attributes") {
            Some(Json::Object(pairs)) => pairs
                .iter()
                .map(|(key, value)| (key.clone(), value.as_text().unwrap_or_default().to_owned()))
                .collect(),
            _ => Vec::new(),
        };
        Ok(GridFile { title: text(header, "title")?, dims, attributes, fields })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> GridFile {
        GridFile {
            title: "A \"test\"".to_owned(),
            dims: vec![
                ("time".into(), "h".into(), vec![0.0, 6.0]),
                ("x".into(), "degrees_east".into(), vec![100.25, 101.0, 102.0]),
            ],
            attributes: vec![("model".into(), "shallow water".into())],
            fields: vec![
                Field {
                    name: "h".into(),
                    long_name: "height".into(),
                    units: "m".into(),
                    dims: vec!["time".into(), "x".into()],
                    values: vec![1.0, -2.5, 3.0, 4.0, 5.0, 6.0e-9],
                },
                Field {
                    name: "b".into(),
                    long_name: "terrain".into(),
                    units: "m".into(),
                    dims: vec!["x".into()],
                    values: vec![7.0, 8.0, 9.0],
                },
            ],
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(GridFile::read(file().to_bytes().as_slice()).unwrap(), file());
    }

    #[test]
    fn damage_is_noticed() {
        let good = file().to_bytes();
        for cut in [0, 5, 30, good.len() / 2, good.len() - 1] {
            assert!(GridFile::read(&good[..cut]).is_err(), "cut at {cut}");
        }
        let mut long = good.clone();
        long.push(0);
        assert!(GridFile::read(long.as_slice()).is_err());
        let text = |from: &str, to: &str| {
            let at = good.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
            let mut bytes = good.clone();
            bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
            bytes
        };
        for (from, to) in [
            ("DAYANGRID 1", "DAYANGRID 2"),
            ("\"count\":6", "\"count\":7"),
            ("\"f32le\"", "\"f64le\""),
            ("\"title\"", "\"tutle\""),
        ] {
            assert!(GridFile::read(text(from, to).as_slice()).is_err(), "{to}");
        }
    }
}
