//! Secrets of projects: written, never read back by people; handed to agents whose attempts name
//! them.
//!
//! Invariant: what a secret says is on disk only sealed (AES-256-GCM under a key file of the
//! server, bound to its project and name), and never in the journal, in a log or in an answer to a
//! person. Must not know who asks: that is decided before.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use dayan_units::{ProjectId, Time};
use serde::{Deserialize, Serialize};

use crate::files;
use crate::random::random_bytes;

/// The longest secret: a service account's key file in JSON has about 2.5 KB.
pub const SECRET_BYTES_MAX: usize = 16 << 10;
/// Secrets of one project.
pub const SECRETS_MAX: usize = 256;

/// Why a secret is not kept or found.
#[derive(Debug, thiserror::Error)]
pub enum SecretFault {
    /// There is none.
    #[error("the project has no secret `{0}`")]
    Unknown(String),
    /// Longer than is kept.
    #[error("a secret has 1 to {SECRET_BYTES_MAX} bytes")]
    Size,
    /// More than are kept.
    #[error("a project has at most {SECRETS_MAX} secrets")]
    TooMany,
    /// It was sealed with another key.
    #[error("the secret `{0}` was sealed with another key than this server has")]
    OtherKey(String),
    /// The file system does not do what it should.
    #[error("{0}")]
    Files(String),
}

/// What is told of a secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KnownSecret {
    /// Its name.
    pub name: String,
    /// When it was set: exchange time, µs.
    pub at: i64,
    /// By whom.
    pub by: String,
}

#[derive(Clone, Serialize, Deserialize)]
struct Sealed {
    at: i64,
    by: String,
    /// Nonce, ciphertext and tag, in hex.
    text: String,
}

/// The secrets of all projects.
pub struct Vault {
    folder: PathBuf,
    key: RandomizedNonceKey,
    /// One change at a time.
    changing: Mutex<()>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault")
    }
}

impl Vault {
    /// Opens the secrets in a folder, under the key in a file, which is made where there is none.
    pub fn open(folder: &Path, key_file: &Path) -> Result<Self, String> {
        files::private_folder(folder)?;
        if !key_file.exists() {
            files::write_private(key_file, hex::encode(random_bytes::<32>()).as_bytes())?;
        }
        let named = |error: String| format!("{}: {error}", key_file.display());
        let text = std::fs::read_to_string(key_file).map_err(|error| named(error.to_string()))?;
        let mut bytes = [0u8; 32];
        hex::decode_to_slice(text.trim(), &mut bytes)
            .map_err(|_| named("not a key; restore it from your backup".to_owned()))?;
        let key = RandomizedNonceKey::new(&AES_256_GCM, &bytes)
            .map_err(|_| named("not a key; restore it from your backup".to_owned()))?;
        Ok(Self { folder: folder.to_owned(), key, changing: Mutex::default() })
    }

    fn path(&self, project: ProjectId) -> PathBuf {
        self.folder.join(format!("{project}.json"))
    }

    fn read(&self, project: ProjectId) -> Result<BTreeMap<String, Sealed>, SecretFault> {
        let path = self.path(project);
        let failed = |error: String| SecretFault::Files(format!("{}: {error}", path.display()));
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| failed(error.to_string())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    fn write(&self, project: ProjectId, all: &BTreeMap<String, Sealed>) -> Result<(), SecretFault> {
        let text = serde_json::to_vec_pretty(all).expect("texts and numbers become JSON");
        files::write_private(&self.path(project), &text).map_err(SecretFault::Files)
    }

    /// What is told of a project's secrets.
    pub fn list(&self, project: ProjectId) -> Result<Vec<KnownSecret>, SecretFault> {
        let all = self.read(project)?;
        let known =
            |(name, sealed): (String, Sealed)| KnownSecret { name, at: sealed.at, by: sealed.by };
        Ok(all.into_iter().map(known).collect())
    }

    /// Sets what a secret says.
    pub fn set(
        &self,
        project: ProjectId,
        name: &str,
        value: &str,
        by: &str,
        at: Time,
    ) -> Result<(), SecretFault> {
        if value.is_empty() || value.len() > SECRET_BYTES_MAX {
            return Err(SecretFault::Size);
        }
        let _one = self.changing.lock().expect("nobody panics while holding it");
        let mut all = self.read(project)?;
        if all.len() >= SECRETS_MAX && !all.contains_key(name) {
            return Err(SecretFault::TooMany);
        }
        let mut text = value.as_bytes().to_vec();
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(bound_to(project, name)), &mut text)
            .map_err(|_| SecretFault::Files("sealing failed".to_owned()))?;
        let sealed = [&nonce.as_ref()[..], &text].concat();
        let entry = Sealed { at: at.micros(), by: by.to_owned(), text: hex::encode(sealed) };
        all.insert(name.to_owned(), entry);
        self.write(project, &all)
    }

    /// Forgets a secret.
    pub fn remove(&self, project: ProjectId, name: &str) -> Result<(), SecretFault> {
        let _one = self.changing.lock().expect("nobody panics while holding it");
        let mut all = self.read(project)?;
        all.remove(name).ok_or_else(|| SecretFault::Unknown(name.to_owned()))?;
        self.write(project, &all)
    }

    /// What a secret says, for the agent of an attempt that names it.
    pub fn open_secret(&self, project: ProjectId, name: &str) -> Result<String, SecretFault> {
        let all = self.read(project)?;
        let entry = all.get(name).ok_or_else(|| SecretFault::Unknown(name.to_owned()))?;
        let other_key = || SecretFault::OtherKey(name.to_owned());
        let mut bytes = hex::decode(&entry.text).map_err(|_| other_key())?;
        if bytes.len() < NONCE_LEN {
            return Err(other_key());
        }
        let mut text = bytes.split_off(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(&bytes).map_err(|_| other_key())?;
        let open = self
            .key
            .open_in_place(nonce, Aad::from(bound_to(project, name)), &mut text)
            .map_err(|_| other_key())?;
        String::from_utf8(open.to_vec()).map_err(|_| other_key())
    }
}

/// A sealed text that is moved to another project or name does not open.
fn bound_to(project: ProjectId, name: &str) -> Vec<u8> {
    format!("dayan secret 1\n{project}\n{name}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_sealed_bound_to_its_name_and_opened_with_its_key_only() {
        let dir = tempfile::tempdir().expect("a folder");
        let (folder, key) = (dir.path().join("secrets"), dir.path().join("secrets.key"));
        let vault = Vault::open(&folder, &key).expect("opened");
        let (one, two) = (ProjectId::from_bits(1), ProjectId::from_bits(2));
        vault.set(one, "s3", "open sesame", "lin", Time::EPOCH).expect("set");
        assert_eq!(vault.open_secret(one, "s3").expect("there"), "open sesame");
        assert!(matches!(vault.open_secret(two, "s3"), Err(SecretFault::Unknown(_))));
        let path = folder.join(format!("{one}.json"));
        let text = std::fs::read_to_string(&path).expect("a file");
        assert!(!text.contains("sesame") && !text.contains(&hex::encode("sesame")), "{text}");
        // Moved to another project, it does not open.
        std::fs::copy(&path, folder.join(format!("{two}.json"))).expect("copied");
        assert!(matches!(vault.open_secret(two, "s3"), Err(SecretFault::OtherKey(_))));
        // Nor under another key.
        std::fs::remove_file(&key).expect("removed");
        let other = Vault::open(&folder, &key).expect("opened");
        assert!(matches!(other.open_secret(one, "s3"), Err(SecretFault::OtherKey(_))));
        assert_eq!(other.list(one).expect("listed").len(), 1);
        other.remove(one, "s3").expect("removed");
        assert!(matches!(other.remove(one, "s3"), Err(SecretFault::Unknown(_))));
        assert!(matches!(other.set(one, "x", "", "lin", Time::EPOCH), Err(SecretFault::Size)));
    }
}
