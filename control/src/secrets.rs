//! Under which key does the database hold its secrets? 32 bytes from the environment or a file; the first start makes one.
//!
//! Each secret is sealed for its owner (the crate `seal`), so that one put in another's place doesn't open. Whoever has
//! the database without the key has no secret; whoever loses the key has to make all of them anew.

use seal::{KEY_BYTES, Purpose, SealError, Sealed, Sealer};
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The environment variable with the key itself.
pub(crate) const KEY_VARIABLE: &str = "LONGSHORE_SECRETS_KEY";
const FILE_MAX_BYTES: u64 = 1_024;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// It can't be read.
    #[error("cannot read the secrets key `{}`", path.display())]
    Read {
        /// Its file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It can't be made.
    #[error("cannot make the secrets key `{}`", path.display())]
    Make {
        /// Its file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It isn't one.
    #[error("the secrets key in {0} must be 64 hexadecimal digits (`openssl rand -hex 32`)")]
    Form(String),
    /// Others than its owner may read it.
    #[error("the secrets key `{}` may be read by others: its mode is {mode:o} and must be 600 or 400", path.display())]
    Mode {
        /// Its file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The database was sealed with one, and it is not here.
    #[error(
        "the database has secrets, and their key is not in `{}`; put the file back, or name it by --secrets-key-file \
         or LONGSHORE_SECRETS_KEY",
        .0.display()
    )]
    Missing(PathBuf),
    /// The key is not the database's.
    #[error(
        "the secrets key is not the one this database was sealed under; --secrets-key-file or LONGSHORE_SECRETS_KEY \
         names the right one"
    )]
    Wrong,
    /// The operating system has no random numbers.
    #[error("there are no random numbers")]
    Random,
}

/// A key-encryption key.
pub(crate) struct SecretsKey(Zeroizing<[u8; KEY_BYTES]>);

impl std::fmt::Debug for SecretsKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretsKey(_)")
    }
}

impl SecretsKey {
    /// A key of these bytes.
    #[cfg(test)]
    pub(crate) fn new(bytes: [u8; KEY_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The key that the environment gives, else that of the file at `path`, which is made where it isn't there and
    /// `may_make` says so.
    pub(crate) fn load(path: &Path, may_make: bool) -> Result<Self, SecretsError> {
        if let Some(text) = std::env::var_os(KEY_VARIABLE).filter(|text| !text.is_empty()) {
            let text = Zeroizing::new(text.into_encoded_bytes());
            return Self::parse(&text).ok_or_else(|| SecretsError::Form(KEY_VARIABLE.to_owned()));
        }
        Self::of_file(path, may_make)
    }

    /// The key in the file at `path`.
    pub(crate) fn of_file(path: &Path, may_make: bool) -> Result<Self, SecretsError> {
        match fs::File::open(path) {
            Ok(file) => Self::read(path, file),
            Err(error) if error.kind() == io::ErrorKind::NotFound && may_make => Self::make(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(SecretsError::Missing(path.to_owned()))
            }
            Err(source) => Err(SecretsError::Read { path: path.to_owned(), source }),
        }
    }

    fn read(path: &Path, file: fs::File) -> Result<Self, SecretsError> {
        let failed = |source| SecretsError::Read { path: path.to_owned(), source };
        let metadata = file.metadata().map_err(failed)?;
        // what an orchestrator mounts may be its group's, never everybody's
        let mode = metadata.permissions().mode() & 0o777;
        if metadata.is_file() && mode & 0o007 != 0 {
            return Err(SecretsError::Mode { path: path.to_owned(), mode });
        }
        let mut text = Zeroizing::new(Vec::new());
        file.take(FILE_MAX_BYTES).read_to_end(&mut text).map_err(failed)?;
        Self::parse(&text).ok_or_else(|| SecretsError::Form(format!("`{}`", path.display())))
    }

    fn make(path: &Path) -> Result<Self, SecretsError> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        aws_lc_rs::rand::fill(&mut *bytes).map_err(|_| SecretsError::Random)?;
        let write = || {
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            let mut text = Zeroizing::new(String::with_capacity(2 * KEY_BYTES + 1));
            bytes.iter().for_each(|byte| text.push_str(&format!("{byte:02x}")));
            text.push('\n');
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            // its name too: secrets that were sealed under it outlive a loss of power
            let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
            fs::File::open(directory.unwrap_or_else(|| Path::new(".")))?.sync_all()
        };
        write().map_err(|source| SecretsError::Make { path: path.to_owned(), source })?;
        tracing::info!(path = %path.display(), "made the secrets key; a backup of the database is of no use without it");
        Ok(Self(bytes))
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let digits = text.trim_ascii();
        if digits.len() != 2 * KEY_BYTES || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        for (byte, digits) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

/// What seals and opens the secrets of the database.
#[derive(Debug)]
pub(crate) struct Secrets(Sealer);

impl Secrets {
    /// Those under a key.
    pub(crate) fn new(key: &SecretsKey) -> Self {
        Self(Sealer::new(&key.0, Purpose::Database))
    }

    /// Seals a secret for its owner.
    pub(crate) fn seal(&self, secret: &[u8], owner: &str) -> String {
        self.0.seal(secret, owner).as_str().to_owned()
    }

    /// Opens what was sealed for an owner.
    pub(crate) fn open(
        &self,
        sealed: String,
        owner: &str,
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        self.0.open(&Sealed::kept(sealed), owner).map(Zeroizing::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secrets.key");
        assert!(matches!(SecretsKey::of_file(&path, false), Err(SecretsError::Missing(_))));
        let made = SecretsKey::of_file(&path, true).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read = SecretsKey::of_file(&path, false).unwrap();
        assert_eq!(*made.0, *read.0);
        assert_eq!(format!("{made:?}"), "SecretsKey(_)");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
        assert!(matches!(
            SecretsKey::of_file(&path, true),
            Err(SecretsError::Mode { mode: 0o604, .. })
        ));
    }

    #[test]
    fn a_key_is_64_digits() {
        let right = "a5".repeat(32);
        assert_eq!(*SecretsKey::parse(right.as_bytes()).unwrap().0, [0xa5; 32]);
        assert!(SecretsKey::parse(format!(" {right}\n").as_bytes()).is_some());
        for wrong in ["", "a5", &"+5".repeat(32), &"a5".repeat(33), &"é".repeat(32)] {
            assert!(SecretsKey::parse(wrong.as_bytes()).is_none(), "{wrong}");
        }
    }
}
