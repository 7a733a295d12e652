//! Where a task's data comes from and goes to: addresses of TES as those of job files.
//!
//! Invariant: an address keeps its meaning or is refused; none is guessed at.

use dayan_spec::{Input, Location, Output, OutputWhen};

use super::document::{TesFileType, TesInput, TesOutput};
use super::places::{Places, plain};
use super::{Wrong, shown};

/// What stands for other characters in the addresses of job files, and in paths of outputs.
const WILDCARDS: [char; 3] = ['*', '?', '['];

/// An address as a job file has it: with a slash at its end for a folder.
fn location(url: &str, kind: Option<TesFileType>, called: &str) -> Result<Location, Wrong> {
    let refused = |title: String| {
        Err(Wrong::new(
            "tes.url",
            title,
            "name dayan://ORG/PROJECT/PATH, s3://BUCKET/KEY, https://…, or file:///PATH in a folder \
             that the pool's operator allows",
        ))
    };
    // The standard takes a bare path for a file's.
    let mut address = if url.starts_with('/') { format!("file://{url}") } else { url.to_owned() };
    let scheme = address.split_once("://").map(|(scheme, _)| scheme);
    if !matches!(scheme, Some("dayan" | "s3" | "http" | "https" | "file")) {
        return refused(format!("{called} `{}` is not reached from here", shown(url)));
    }
    if !matches!(scheme, Some("http" | "https")) && address.contains(WILDCARDS) {
        return refused(format!(
            "{called} `{}` has a character that stands for others",
            shown(url)
        ));
    }
    if kind == Some(TesFileType::Directory) && !address.ends_with('/') {
        address.push('/');
    }
    match address.parse::<Location>() {
        // Its words stand in tasks and in logs.
        Ok(location) if location.holds_a_secret() => Err(Wrong::new(
            "tes.url",
            format!(
                "{called} carries a name or a password, which whoever may see the task would read"
            ),
            "keep it with `dayan secret set PROJECT NAME` and name that in `backend_parameters`: {\"secret\": \"NAME\"}",
        )),
        Ok(location) => Ok(location),
        Err(error) => refused(format!("{called} `{}`: {error}", shown(url))),
    }
}

/// An input that is fetched. Called for one without content only.
pub fn input(
    input: &TesInput,
    places: &Places,
    secret: Option<&str>,
    called: &str,
) -> Result<Input, Wrong> {
    let Some(url) = input.url.as_deref().filter(|url| !url.is_empty()) else {
        return Err(Wrong::new(
            "tes.input",
            format!("{called} has neither `url` nor `content`"),
            "say one of them",
        ));
    };
    let from = location(url, input.kind, called)?;
    let folder = input.kind == Some(TesFileType::Directory);
    if folder && matches!(from, Location::Http(_)) {
        return Err(Wrong::new(
            "tes.url",
            format!(
                "{called} `{}` is a folder of the web, which has no list of its files",
                shown(url)
            ),
            "name each file, or an archive of them; folders come from the data store, object stores and the site's own roots",
        ));
    }
    let inner = places.inner(&input.path).unwrap_or_default();
    let to = if folder { format!("{inner}/") } else { inner };
    Ok(Input { secret: secret_for(&from, secret), from, to, sha256: None, at: None, size: None })
}

/// An output.
pub fn output(
    output: &TesOutput,
    places: &Places,
    secret: Option<&str>,
    called: &str,
) -> Result<Output, Wrong> {
    let folder = output.kind == Some(TesFileType::Directory);
    let pattern = output.path.contains(WILDCARDS);
    let (from, to) = if pattern {
        let (base, rest) = fixed_part(&output.path);
        let below = below_prefix(output, base, called)?;
        let inner = places.inner(base).unwrap_or_default();
        // In POSIX two stars are one; in a job file they stand for folders.
        let mut rest = rest.to_owned();
        while rest.contains("**") {
            rest = rest.replace("**", "*");
        }
        let rest = as_posix(&rest, called)?;
        let url = format!("{}/{below}", output.url.trim_end_matches('/'));
        // All that is in the folders that it finds.
        let deep = if folder { "/**" } else { "" };
        (
            format!("{inner}/{}{deep}", rest.trim_end_matches('/')),
            url.trim_end_matches('/').to_owned() + "/",
        )
    } else {
        let inner = places.inner(&output.path).unwrap_or_default();
        let from = if folder { format!("{inner}/") } else { inner };
        (from, output.url.clone())
    };
    let kind = if folder && !pattern { Some(TesFileType::Directory) } else { None };
    let to = location(&to, kind, called)?;
    let secret = secret_for(&to, secret);
    Ok(Output { from, to, when: OutputWhen::TaskEnd, secret })
}

/// What opens it: the secret that is named for object stores and the web.
fn secret_for(location: &Location, secret: Option<&str>) -> Option<String> {
    match location {
        Location::S3 { .. } | Location::Http(_) => secret.map(str::to_owned),
        Location::Data(_) | Location::File(_) | Location::Store(_) | Location::Local(_) => None,
    }
}

/// Wildcards of POSIX (2.13) as a job file has them: a dot that a name begins with is found by a dot alone. Classes
/// of characters and backslashes are of no job file.
fn as_posix(rest: &str, called: &str) -> Result<String, Wrong> {
    if rest.contains('\\') || ["[:", "[.", "[="].iter().any(|class| rest.contains(class)) {
        return Err(Wrong::new(
            "tes.wildcard",
            format!("{called}: classes of characters and backslashes are not read in wildcards"),
            "write `*`, `?`, `[ab]`, `[a-z]` or `[!a]`, or name a folder",
        ));
    }
    let own = |name: &str| {
        let hidden = |first: &str| name.strip_prefix(first);
        if name.starts_with('*') {
            format!("[!.]{name}")
        } else if let Some(rest) = hidden("?") {
            format!("[!.]{rest}")
        } else if let Some(rest) = hidden("[!") {
            format!("[!.{rest}")
        } else {
            name.to_owned()
        }
    };
    Ok(rest.split('/').map(own).collect::<Vec<_>>().join("/"))
}

/// The folder before the first wildcard, and the rest.
pub fn fixed_part(path: &str) -> (&str, &str) {
    let first = path.find(WILDCARDS).unwrap_or(path.len());
    match path[..first].rsplit_once('/') {
        Some((base, _)) => (if base.is_empty() { "/" } else { base }, &path[base.len() + 1..]),
        None => ("", path),
    }
}

/// What is left of the fixed folder when the prefix is taken off, with a slash at its end.
fn below_prefix(output: &TesOutput, base: &str, called: &str) -> Result<String, Wrong> {
    let Some(prefix) = output.path_prefix.as_deref().filter(|prefix| !prefix.is_empty()) else {
        return Err(Wrong::new(
            "tes.path_prefix",
            format!("{called} has wildcards and no `path_prefix`"),
            "say which folder is left out of the names of what is found",
        ));
    };
    let rest = base.strip_prefix(plain(prefix));
    match rest {
        Some("") => Ok(String::new()),
        Some(rest) if rest.starts_with('/') => Ok(format!("{}/", rest.trim_start_matches('/'))),
        Some(rest) if plain(prefix) == "/" => Ok(format!("{rest}/")),
        Some(_) | None => Err(Wrong::new(
            "tes.path_prefix",
            format!("{called}: `{}` is not a folder above its wildcards", shown(prefix)),
            "name a folder that the path begins with, before its first wildcard",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::places::Use;
    use super::*;

    fn places() -> Places {
        let path = |path: &str, used| (path.to_owned(), used, String::new());
        Places::of(&[path("/data/x", Use::FileIn), path("/out", Use::Folder)]).expect("places")
    }

    #[test]
    fn inputs_are_fetched_to_where_they_are_seen() {
        let check = |url: &str, kind, expect: Option<(&str, &str)>| {
            let given = TesInput {
                url: Some(url.to_owned()),
                path: "/data/x".to_owned(),
                kind,
                ..TesInput::default()
            };
            let made = input(&given, &places(), Some("key"), "it").ok();
            let made = made.map(|made| (made.from.to_string(), made.to, made.secret));
            let secret =
                (url.starts_with("s3") || url.starts_with("http")).then(|| "key".to_owned());
            let expect = expect.map(|(from, to)| (from.to_owned(), to.to_owned(), secret));
            assert_eq!(made, expect, "{url}");
        };
        let folder = Some(TesFileType::Directory);
        check("s3://b/k", None, Some(("s3://b/k", ".tes/0/x")));
        check("dayan://a/b/c", folder, Some(("dayan://a/b/c/", ".tes/0/x/")));
        check("https://h/p?a=1", None, Some(("https://h/p?a=1", ".tes/0/x")));
        check("file:///srv/a", None, Some(("file:///srv/a", ".tes/0/x")));
        check("/srv/a", None, Some(("file:///srv/a", ".tes/0/x")));
        for bad in [
            "https://me:pw@h/p",
            "http://token@h",
            "gs://b/k",
            "ftp://h/f",
            "relative",
            "s3://b/*.txt",
            "",
            "file://host/a",
        ] {
            check(bad, None, None);
        }
    }

    #[test]
    fn wildcards_keep_what_is_below_the_prefix() {
        let check = |path: &str, prefix: Option<&str>, expect: Option<(&str, &str)>| {
            let given = TesOutput {
                url: "s3://b/res".to_owned(),
                path: path.to_owned(),
                path_prefix: prefix.map(str::to_owned),
                ..TesOutput::default()
            };
            let made = output(&given, &places(), None, "it").ok();
            let made = made.map(|made| (made.from, made.to.to_string()));
            let expect = expect.map(|(from, to)| (from.to_owned(), to.to_owned()));
            assert_eq!(made, expect, "{path} {prefix:?}");
        };
        check("/out/*.txt", Some("/out"), Some((".tes/1/[!.]*.txt", "s3://b/res/")));
        check("/out/*.txt", Some("/out/"), Some((".tes/1/[!.]*.txt", "s3://b/res/")));
        check("/out/a/b?.txt", Some("/out"), Some((".tes/1/a/b?.txt", "s3://b/res/a/")));
        check("/out/a/**.txt", Some("/"), Some((".tes/1/a/[!.]*.txt", "s3://b/res/out/a/")));
        check("/out/[ab]/x", Some("/out"), Some((".tes/1/[ab]/x", "s3://b/res/")));
        // A dot that a name begins with is meant by a dot alone.
        check("/out/.*", Some("/out"), Some((".tes/1/.*", "s3://b/res/")));
        check("/out/?[!f]/[!f]*", Some("/out"), Some((".tes/1/[!.][!f]/[!.f]*", "s3://b/res/")));
        check("/out/f[[:digit:]]", Some("/out"), None);
        check("/out/\\*x*", Some("/out"), None);
        check("/out/*.txt", None, None);
        check("/out/a/*.txt", Some("/out/b"), None);
        check("/out/a/*.txt", Some("/ou"), None);
        check("/out/x", None, Some((".tes/1/x", "s3://b/res")));
    }

    #[test]
    fn folders_go_to_folders() {
        let given = TesOutput {
            url: "dayan://a/b/res".to_owned(),
            path: "/out".to_owned(),
            kind: Some(TesFileType::Directory),
            ..TesOutput::default()
        };
        let made = output(&given, &places(), None, "it").expect("made");
        assert_eq!(
            (made.from.as_str(), made.to.to_string().as_str()),
            (".tes/1/", "dayan://a/b/res/")
        );
    }
}
