//! Files that only the exchange may read: keys and the operator's first token.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;

use crate::random::random_bytes;

/// Writes a file that only its owner may read, whole or not at all.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let named = |error: std::io::Error| format!("{}: {error}", path.display());
    let temporary = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&temporary).map_err(named)?;
    file.write_all(bytes).map_err(named)?;
    file.sync_all().map_err(named)?;
    fs::rename(&temporary, path).map_err(named)
}

/// A folder that only its owner may enter: it holds keys and everybody's jobs.
pub fn private_folder(path: &Path) -> Result<(), String> {
    let named = |error: std::io::Error| format!("{}: {error}", path.display());
    fs::create_dir_all(path).map_err(named)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(named)
}

/// Have the books begun that a key belongs to?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Books {
    /// Nothing is in the journal yet.
    New,
    /// Something is.
    Begun,
}

/// The exchange's own key, made on the first start. Where the books have begun there was one, and
/// another in its place would silently void every signature that is out.
pub fn signing_key(data: &Path, books: Books) -> Result<SigningKey, String> {
    let path = key_path(data);
    if !path.exists() {
        if books == Books::Begun {
            return Err(format!(
                "the exchange's key is missing: put the kept key back at {}, or start with \
                 --new-key to make a new one, after which quotes signed before cannot be verified",
                path.display()
            ));
        }
        make_key(&path)?;
    }
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut seed = [0u8; 32];
    hex::decode_to_slice(text.trim(), &mut seed)
        .map_err(|_| format!("{}: not a key; restore it from your backup", path.display()))?;
    Ok(SigningKey::from_bytes(&seed))
}

/// Makes a key where there is none; where it is, if it was made.
pub fn new_key(data: &Path) -> Result<Option<PathBuf>, String> {
    let path = key_path(data);
    if path.exists() {
        return Ok(None);
    }
    private_folder(data)?;
    make_key(&path)?;
    Ok(Some(path))
}

fn key_path(data: &Path) -> PathBuf {
    data.join("exchange.key")
}

fn make_key(path: &Path) -> Result<(), String> {
    write_private(path, hex::encode(random_bytes::<32>()).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_never_in_the_place_of_one_that_is_missing() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path();
        let refusal = signing_key(data, Books::Begun).expect_err("there was one");
        let path = data.join("exchange.key");
        assert!(refusal.contains(&path.display().to_string()), "{refusal}");
        assert!(refusal.contains("--new-key"), "{refusal}");
        assert!(!path.exists(), "nothing was made");

        let first = signing_key(data, Books::New).expect("made");
        let again = signing_key(data, Books::Begun).expect("read");
        assert_eq!(first.to_bytes(), again.to_bytes());
        assert_eq!(new_key(data), Ok(None), "there is one");
        fs::remove_file(&path).expect("removed");
        assert_eq!(new_key(data), Ok(Some(path)));
        let other = signing_key(data, Books::Begun).expect("read");
        assert_ne!(first.to_bytes(), other.to_bytes());
    }
}
