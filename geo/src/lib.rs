//! From an IP address to a place, by a database in MaxMind's format that the operator brings.
//!
//! The `maxminddb` crate trusts a file: a search tree that points outside of it makes a lookup panic, and values that
//! point at each other in a circle end the process. So [`Database::open`] looks at every record and every value once,
//! and what is not sound is refused as a whole.

mod data;
#[cfg(test)]
mod fixture;
mod tree;

use maxminddb::Reader;
use serde::Deserialize;
use std::fmt;
use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Bytes of a database; the largest that are sold have half of it.
pub const FILE_MAX_BYTES: u64 = 1 << 30;

/// A database, in memory.
pub struct Database {
    /// Invariant: [`tree::check`] passed the file.
    reader: Reader<Vec<u8>>,
}

/// Why a file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// It can't be read.
    #[error("can't read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is over [`FILE_MAX_BYTES`].
    #[error("`{path}` is longer than {FILE_MAX_BYTES} bytes")]
    Long {
        /// The file.
        path: PathBuf,
    },
    /// It is no database, or a damaged one.
    #[error("`{path}` is no sound MaxMind database: {detail}")]
    Unsound {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
}

/// Where an address is said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// ISO 3166-1: `DE`. A record may have none.
    pub country: Option<Code>,
}

/// A code of one to three ASCII letters or digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code {
    /// Invariant: `length` letters or digits, then zeros; 1 to 3.
    bytes: [u8; 3],
    length: u8,
}

impl Database {
    /// Reads all of a file into memory and checks it. Takes a moment for a large one.
    ///
    /// # Errors
    /// [`DatabaseError`], when the file can't be read, is too long or is not sound.
    pub fn open(path: &Path) -> Result<Self, DatabaseError> {
        let unreadable = |source| DatabaseError::Read { path: path.to_owned(), source };
        let file = std::fs::File::open(path).map_err(unreadable)?;
        let mut bytes = Vec::new();
        file.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > FILE_MAX_BYTES {
            return Err(DatabaseError::Long { path: path.to_owned() });
        }
        Self::from_bytes(bytes)
            .map_err(|detail| DatabaseError::Unsound { path: path.to_owned(), detail })
    }

    fn from_bytes(bytes: Vec<u8>) -> Result<Self, String> {
        tree::check(&bytes)?;
        let reader = Reader::from_source(bytes).map_err(|error| error.to_string())?;
        Ok(Self { reader })
    }

    /// Where `address` is. An IPv4 address written as IPv6 (RFC 4291 §2.5.5.2) is taken for IPv4.
    #[must_use]
    pub fn place(&self, address: IpAddr) -> Option<Place> {
        let found = self.reader.lookup(address.to_canonical()).ok()?;
        let record: Record<'_> = found.decode().ok()??;
        Some(Place { country: record.country.iso_code.and_then(Code::parse) })
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").finish_non_exhaustive()
    }
}

impl Code {
    fn parse(text: &str) -> Option<Self> {
        let right =
            (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let length = u8::try_from(text.len()).ok().filter(|_| right)?;
        let mut bytes = [0; 3];
        for (place, byte) in bytes.iter_mut().zip(text.bytes()) {
            *place = byte.to_ascii_uppercase();
        }
        Some(Self { bytes, length })
    }

    /// The code as it is written, in capitals.
    fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.length)).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What we read of a record; the names in it are MaxMind's.
#[derive(Deserialize)]
struct Record<'r> {
    #[serde(borrow, default)]
    country: Coded<'r>,
}

#[derive(Deserialize, Default)]
struct Coded<'r> {
    iso_code: Option<&'r str>,
}

#[cfg(test)]
mod tests {
    use super::fixture::Fixture;
    use super::*;

    fn place(database: &Database, address: &str) -> Option<Place> {
        database.place(address.parse().unwrap())
    }

    #[test]
    fn addresses_have_the_place_of_their_network() {
        for fixture in Fixture::ALL {
            let database = Database::from_bytes(fixture.bytes()).unwrap();
            let berlin = place(&database, "192.0.2.77").unwrap();
            assert_eq!(berlin.country, Code::parse("DE"), "{fixture:?}");
            let japan = place(&database, "198.51.100.1").unwrap();
            assert_eq!(japan.country, Code::parse("JP"));
            for nowhere in ["192.0.3.1", "10.0.0.1", "0.0.0.0", "255.255.255.255", "2001:db8::1"] {
                assert_eq!(place(&database, nowhere), None, "{nowhere}");
            }
            assert_eq!(place(&database, "::ffff:192.0.2.1"), Some(berlin));
        }
    }

    #[test]
    fn codes_are_one_to_three_letters_or_digits() {
        for (text, expected) in [("de", Some("DE")), ("IDF", Some("IDF")), ("9", Some("9"))] {
            assert_eq!(Code::parse(text).unwrap().as_str(), expected.unwrap());
        }
        for wrong in ["", "ABCD", "Ö", "A-"] {
            assert_eq!(Code::parse(wrong), None, "{wrong}");
        }
    }

    /// Looks everything up that might be there.
    fn exercise(bytes: Vec<u8>) {
        let Ok(database) = Database::from_bytes(bytes) else { return };
        for address in ["192.0.2.77", "198.51.100.1", "0.0.0.0", "255.255.255.255", "::", "2001::"]
        {
            place(&database, address);
        }
        for first in 0..=255 {
            _ = database.place(IpAddr::from([first, 0, 2, 1]));
        }
    }

    #[test]
    fn no_damaged_byte_makes_it_panic() {
        for fixture in Fixture::ALL {
            let sound = fixture.bytes();
            for at in 0..sound.len() {
                for damage in [0x00, 0x01, 0x7f, 0x80, 0xff, sound[at] ^ 0x20, sound[at] ^ 0x04] {
                    let mut bytes = sound.clone();
                    bytes[at] = damage;
                    exercise(bytes);
                }
            }
        }
    }

    #[test]
    fn no_missing_end_or_beginning_makes_it_panic() {
        for fixture in Fixture::ALL {
            let sound = fixture.bytes();
            for at in 0..sound.len() {
                exercise(sound[..at].to_vec());
                exercise(sound[at..].to_vec());
            }
        }
    }

    #[test]
    fn a_file_is_named_in_what_is_wrong_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("places.mmdb");
        assert!(matches!(Database::open(&path), Err(DatabaseError::Read { .. })));
        std::fs::write(&path, "not a database").unwrap();
        let error = Database::open(&path).unwrap_err().to_string();
        assert!(error.contains("places.mmdb") && error.contains("metadata"), "{error}");
        std::fs::write(&path, Fixture::ALL[0].bytes()).unwrap();
        assert!(Database::open(&path).is_ok());
    }
}
