//! The agent's key: Ed25519, made by the agent itself, never leaves its folder.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use ed25519_dalek::{Signer, SigningKey};

use crate::fault::AgentFault;

/// The agent's signing key.
pub(crate) struct Key(SigningKey);

/// Separates the proof of a join from everything else that the key signs.
const JOIN_HEADING: &[u8] = b"dayan join 1\n";

impl Key {
    /// Reads the key of the folder, or makes one.
    pub(crate) fn open(path: &Path) -> Result<Self, AgentFault> {
        match std::fs::read_to_string(path) {
            Ok(text) => {
                let mut seed = [0; 32];
                hex::decode_to_slice(text.trim(), &mut seed).map_err(|_| AgentFault::State {
                    path: path.to_owned(),
                    why: "a key is 64 hexadecimal digits".to_owned(),
                })?;
                Ok(Self(SigningKey::from_bytes(&seed)))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::make(path),
            Err(error) => Err(AgentFault::data(format!("reading {}", path.display()))(error)),
        }
    }

    fn make(path: &Path) -> Result<Self, AgentFault> {
        let seed = random_bytes().map_err(AgentFault::data("reading /dev/urandom"))?;
        let write = || {
            // A key that was half written is no key: it gets its name when it is whole.
            let new = path.with_extension("new");
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&new)?;
            file.write_all(hex::encode(seed).as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&new, path)
        };
        write().map_err(AgentFault::data(format!("writing {}", path.display())))?;
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// The public half, in hex.
    pub(crate) fn public(&self) -> String {
        hex::encode(self.0.verifying_key().as_bytes())
    }

    /// Signs bytes that carry their own heading; in hex.
    pub(crate) fn sign(&self, material: &[u8]) -> String {
        hex::encode(self.0.sign(material).to_bytes())
    }

    /// Proves to whoever knows the secret of a join token that this agent holds the key.
    pub(crate) fn join_proof(&self, secret: &str) -> String {
        self.sign(&[JOIN_HEADING, secret.as_bytes()].concat())
    }
}

/// 32 bytes from the kernel.
pub(crate) fn random_bytes() -> std::io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signature, Verifier, VerifyingKey};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_key_stays_and_is_for_its_owner_only() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("agent.key");
        let key = Key::open(&path).expect("made");
        assert_eq!(Key::open(&path).expect("read").public(), key.public());
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(&path, "nonsense").expect("written");
        assert!(matches!(Key::open(&path), Err(AgentFault::State { .. })));
    }

    #[test]
    fn a_proof_is_over_the_heading_and_the_secret() {
        let dir = tempfile::tempdir().expect("a folder");
        let key = Key::open(&dir.path().join("agent.key")).expect("made");
        let mut public = [0; 32];
        hex::decode_to_slice(key.public(), &mut public).expect("hex");
        let mut proof = [0; 64];
        hex::decode_to_slice(key.join_proof("s3cret"), &mut proof).expect("hex");
        let public = VerifyingKey::from_bytes(&public).expect("a point");
        let verified = public.verify(b"dayan join 1\ns3cret", &Signature::from_bytes(&proof));
        assert!(verified.is_ok());
    }
}
