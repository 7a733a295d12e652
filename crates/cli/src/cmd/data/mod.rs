//! `dayan data`: files of projects in the exchange's data store.

mod carry;
mod local;

use std::path::{Path, PathBuf};

use dayan_spec::{DataAddress, Pattern};
use dayan_units::Bytes;
use dayan_wire::DataEntry;
use serde_json::json;

use super::session::Session;
use crate::client::Client;
use crate::exit::{Exit, Failure, Said};
use crate::output::{Cell, Grid, Show, View};
use crate::words::Word;

pub use local::{Uploads, with_local_inputs};

/// What to do with files in the exchange's data store
#[derive(Debug, clap::Subcommand)]
pub enum DataCommand {
    /// Puts a file there, or a folder with all that is in it; what is there already is not sent
    Put {
        /// A file or a folder
        from: PathBuf,
        /// dayan://ORG/PROJECT/PATH; with a slash at its end: below it
        #[arg(value_name = "ADDRESS")]
        to: String,
    },
    /// Lists files, with their sizes and checksums
    Ls {
        /// dayan://ORG/PROJECT/, or the beginning of names, or a pattern
        address: String,
    },
    /// Fetches a file, a folder or what a pattern finds; a fetch that was cut goes on where it was
    Get {
        /// dayan://ORG/PROJECT/PATH
        address: String,
        /// Where to; here unless told, and `-` for standard output
        to: Option<PathBuf>,
    },
    /// Removes a file, all below a folder, or what a pattern finds
    Rm {
        /// dayan://ORG/PROJECT/PATH
        address: String,
    },
}

/// Runs it.
pub async fn run(command: &DataCommand, session: &Session) -> Result<Exit, Failure> {
    match command {
        DataCommand::Put { from, to } => put(from, to, session).await,
        DataCommand::Ls { address } => ls(address, session).await,
        DataCommand::Get { address, to } => get(address, to.as_deref(), session).await,
        DataCommand::Rm { address } => rm(address, session).await,
    }
}

fn address(text: &str) -> Result<DataAddress, Failure> {
    text.parse().map_err(|_| Failure::usage(Said::with(Word::BadDataAddress, "text", text)))
}

fn at(address: &DataAddress, path: &str) -> Result<DataAddress, Failure> {
    DataAddress::new(address.project().clone(), path)
        .ok_or_else(|| Failure::usage(Said::with(Word::BadDataAddress, "text", path)))
}

async fn put(from: &Path, to: &str, session: &Session) -> Result<Exit, Failure> {
    let to = address(to)?;
    let carry::Found { files, left_out } = carry::files(from, from)?;
    for said in &left_out {
        session.out.say(said);
    }
    let client = session.client()?;
    let mut puts = Vec::with_capacity(files.len());
    for file in files {
        let path = match (file.below.as_str(), to.is_folder()) {
            ("", true) => format!("{}{}", to.path(), file.name),
            ("", false) => to.path().to_owned(),
            (below, true) => format!("{}{below}", to.path()),
            (below, false) => format!("{}/{below}", to.path()),
        };
        puts.push((file, at(&to, &path)?));
    }
    let hashed = carry::hash_all(puts, session).await?;
    let sent = carry::send_all(&client, &hashed, session).await?;
    for put in &sent.entries {
        line(session, put)?;
    }
    let said = Said::with(Word::DataSent, "files", sent.entries.len().to_string())
        .and("sent", Bytes(sent.bytes).to_string())
        .and("address", to.to_string());
    let data = json!({ "files": sent.entries, "sent_files": sent.files, "sent_bytes": sent.bytes });
    session.out.done(&data, &said)?;
    Ok(Exit::Ok)
}

/// A line for people on what was put; scripts get all of it at the end.
fn line(session: &Session, entry: &DataEntry) -> Result<(), Failure> {
    if session.out.format == crate::output::Format::Table {
        let text = format!("{}  {}  {}\n", entry.sha256, Bytes(entry.size), entry.address);
        session.out.raw(text.as_bytes())?;
    }
    Ok(())
}

/// The files that an address means, with their paths below it.
async fn found(client: &Client, wanted: &DataAddress) -> Result<Vec<(String, DataEntry)>, Failure> {
    let pattern = Pattern::of(wanted.path()).map_err(|error| {
        let said = Said::with(Word::BadDataAddress, "text", wanted.path());
        Failure::usage(said.and("why", error.to_string()))
    })?;
    let prefix = pattern.as_ref().map_or(wanted.path(), Pattern::base);
    let listed = client.data_files(&at(wanted, prefix)?.to_string()).await?;
    // A file that was put under the very name is meant, whatever characters it has.
    let exact = listed
        .iter()
        .find(|entry| address(&entry.address).is_ok_and(|address| address.path() == wanted.path()));
    if let Some(entry) = exact {
        return Ok(vec![(String::new(), entry.clone())]);
    }
    let mut found = Vec::new();
    for entry in listed {
        let path = address(&entry.address)?.path().to_owned();
        let below = match &pattern {
            Some(pattern) => pattern.matches(&path).map(str::to_owned),
            None if path == prefix => Some(String::new()),
            None => {
                let folder = prefix.trim_end_matches('/');
                let below = path.strip_prefix(folder);
                let below =
                    if folder.is_empty() { below } else { below.and_then(|b| b.strip_prefix('/')) };
                below.map(str::to_owned)
            }
        };
        if let Some(below) = below {
            found.push((below, entry));
        }
    }
    Ok(found)
}

fn nothing(wanted: &DataAddress, client: &Client) -> Failure {
    let kind = client.lang().word(Word::KindFile);
    Failure::usage(Said::with(Word::Unknown, "kind", kind).and("name", wanted.to_string()))
}

async fn ls(text: &str, session: &Session) -> Result<Exit, Failure> {
    let client = session.client()?;
    let wanted = address(text)?;
    let listed = match Pattern::of(wanted.path()) {
        Ok(Some(_)) => found(&client, &wanted).await?.into_iter().map(|(_, entry)| entry).collect(),
        Ok(None) | Err(_) => client.data_files(&wanted.to_string()).await?,
    };
    session.out.show(&listed)?;
    if session.out.format == crate::output::Format::Table {
        let kept = client.data_use(&wanted.to_string()).await?;
        let said = Said::with(Word::DataKept, "project", &kept.project)
            .and("files", kept.files.to_string())
            .and("bytes", Bytes(kept.bytes).to_string())
            .and("most", Bytes(kept.bytes_max).to_string());
        session.out.say(&said);
    }
    Ok(Exit::Ok)
}

async fn get(text: &str, to: Option<&Path>, session: &Session) -> Result<Exit, Failure> {
    let client = session.client()?;
    let wanted = address(text)?;
    let files = found(&client, &wanted).await?;
    if files.is_empty() {
        return Err(nothing(&wanted, &client));
    }
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let alone = matches!(&files[..], [(below, _)] if below.is_empty());
    if to == Some(Path::new("-")) {
        for (_, entry) in &files {
            carry::print(&client, entry, session).await?;
        }
        return Ok(Exit::Ok);
    }
    let mut bytes = 0;
    let count = files.len();
    let mut wanted_files = Vec::with_capacity(count);
    for (below, entry) in files {
        let target = if alone {
            let own = name(&entry.address);
            match to {
                Some(to) if to.is_dir() => to.join(own),
                Some(to) => to.to_owned(),
                None => PathBuf::from(own),
            }
        } else {
            to.unwrap_or(Path::new(".")).join(below)
        };
        bytes += entry.size;
        wanted_files.push((entry, target));
    }
    let shown = wanted_files.iter().map(|(entry, target)| {
        json!({ "address": entry.address, "path": target, "size": entry.size, "sha256": entry.sha256 })
    });
    let data = json!({ "files": shown.collect::<Vec<_>>(), "bytes": bytes });
    carry::fetch_all(&client, wanted_files, session).await?;
    let said = Said::with(Word::DataGot, "files", count.to_string());
    session.out.done(&data, &said.and("bytes", Bytes(bytes).to_string()))?;
    Ok(Exit::Ok)
}

async fn rm(text: &str, session: &Session) -> Result<Exit, Failure> {
    let client = session.client()?;
    let wanted = address(text)?;
    let removed = client.remove_data(&wanted.to_string()).await?;
    let said = Said::with(Word::DataRemoved, "files", removed.to_string());
    session.out.done(&json!({ "removed": removed }), &said)?;
    Ok(Exit::Ok)
}

impl Show for Vec<DataEntry> {
    fn table(&self, view: &View) -> String {
        if self.is_empty() {
            return String::new();
        }
        let heads = [Word::Address, Word::Size, Word::Sha256, Word::Since, Word::By];
        let mut grid = Grid::new(view, &heads);
        for entry in self {
            grid.row([
                Cell::id(&entry.address),
                Cell::number(Bytes(entry.size)),
                Cell::text(&entry.sha256[..entry.sha256.len().min(SHA_SHOWN)]),
                Cell::text(view.time(&entry.at)),
                Cell::text(&entry.by),
            ]);
        }
        grid.finish()
    }
}

/// Digits of a checksum that people compare; scripts get all 64.
const SHA_SHOWN: usize = 16;

#[cfg(test)]
mod tests;
