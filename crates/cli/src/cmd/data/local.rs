//! Files beside a job file: `dayan submit` puts them into the project's data, under a name made of
//! their content, and names them so in what it sends. What was submitted never changes under a job.

use std::collections::BTreeMap;
use std::path::Path;

use dayan_spec::{DataAddress, JobSpec, Location, Pattern};
use dayan_units::Bytes;
use sha2::{Digest as _, Sha256};

use super::carry::{self, Hashed, LocalFile};
use crate::client::Client;
use crate::cmd::session::Session;
use crate::exit::{Failure, Said};
use crate::words::Word;

/// The folder of a project's data that submissions put files in.
const FOLDER: &str = "submitted";
/// Digits of the digest in a name: 16 are 64 bits, which no project's submissions share by chance.
const DIGITS: usize = 16;

/// Are the files sent, or only looked at?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Uploads {
    /// They are sent.
    Send,
    /// A plan or a quote is asked for: nothing is sent.
    Skip,
}

/// What a local input is called from now on, for each one.
async fn named(
    spec: &JobSpec,
    folder: &Path,
    session: &Session,
) -> Result<(BTreeMap<String, String>, Vec<Hashed>), Failure> {
    let (mut names, mut all) = (BTreeMap::new(), Vec::new());
    for input in &spec.inputs {
        let Location::Local(path) = &input.from else { continue };
        let found = meant(folder, path, session)?;
        let to = |prefix: &str, rest: &str| {
            let path = format!("{prefix}{rest}");
            DataAddress::new(spec.project.clone(), &path)
                .ok_or_else(|| Failure::usage(Said::with(Word::BadDataAddress, "text", path)))
        };
        let mut files = Vec::with_capacity(found.len());
        for (rest, file) in found {
            files.push((file, to("", &rest)?));
        }
        let mut hashed = carry::hash_all(files, session).await?;
        let mut digest = Sha256::new();
        for file in &hashed {
            let mark = if file.executable { " x" } else { "" };
            digest.update(format!("{} {}{mark}\n", file.sha256, file.address.path()));
        }
        let digest = hex::encode(digest.finalize());
        let prefix = format!("{FOLDER}/{}/", &digest[..DIGITS]);
        for file in &mut hashed {
            file.address = to(&prefix, file.address.path())?;
        }
        names.insert(input.from.to_string(), to(&prefix, path)?.to_string());
        all.append(&mut hashed);
    }
    Ok((names, all))
}

/// The files that a local address means, with their paths from the job file's folder.
fn meant(
    folder: &Path,
    path: &str,
    session: &Session,
) -> Result<Vec<(String, LocalFile)>, Failure> {
    let pattern = Pattern::of(path)
        .map_err(|error| Failure::usage(Said::with(Word::BadDataAddress, "text", error.msg)))?;
    let base = pattern.as_ref().map_or(path, Pattern::base);
    let carry::Found { files, left_out } = carry::files(&folder.join(base), folder)?;
    for said in &left_out {
        session.out.say(said);
    }
    let whole = base.trim_end_matches('/');
    let rest = |file: &LocalFile| match (file.below.as_str(), whole) {
        ("", _) => whole.to_owned(),
        (below, "") => below.to_owned(),
        (below, _) => format!("{whole}/{below}"),
    };
    let files: Vec<(String, LocalFile)> = files
        .into_iter()
        .map(|file| (rest(&file), file))
        .filter(|(rest, _)| pattern.as_ref().is_none_or(|pattern| pattern.matches(rest).is_some()))
        .collect();
    if files.is_empty() {
        let said = Said::with(Word::CannotRead, "file", format!("./{path}"));
        return Err(Failure::usage(said.and("why", "-")));
    }
    Ok(files)
}

/// The job file's text with its local inputs in the data store; they are sent there.
pub async fn with_local_inputs(
    client: &Client,
    text: String,
    folder: &Path,
    uploads: Uploads,
    session: &Session,
) -> Result<String, Failure> {
    let Ok(spec) = dayan_spec::parse(&text) else { return Ok(text) };
    if !spec.inputs.iter().any(|input| matches!(input.from, Location::Local(_))) {
        return Ok(text);
    }
    let (names, files) = named(&spec, folder, session).await?;
    if uploads == Uploads::Send {
        let sent = carry::send_all(client, &files, session).await?;
        for (from, to) in &names {
            session.out.say(&Said::with(Word::Uploaded, "from", from).and("to", to));
        }
        let said = Said::with(Word::DataSent, "files", files.len().to_string());
        let project = DataAddress::new(spec.project.clone(), "").map(|all| all.to_string());
        let said = said.and("sent", Bytes(sent.bytes).to_string());
        session.out.say(&said.and("address", project.unwrap_or_default()));
    }
    let anew = |from: &str| {
        let from: Location = from.parse().ok()?;
        names.get(&from.to_string()).cloned()
    };
    Ok(dayan_spec::with_inputs(&text, &anew))
}
