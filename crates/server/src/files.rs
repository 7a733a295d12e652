//! Files that only the exchange may read: keys and the operator's first token.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

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

/// The exchange's own key, made on the first start.
pub fn signing_key(data: &Path) -> Result<SigningKey, String> {
    let path = data.join("exchange.key");
    if !path.exists() {
        write_private(&path, hex::encode(random_bytes::<32>()).as_bytes())?;
    }
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut seed = [0u8; 32];
    hex::decode_to_slice(text.trim(), &mut seed)
        .map_err(|_| format!("{}: not a key; restore it from your backup", path.display()))?;
    Ok(SigningKey::from_bytes(&seed))
}
