//! Where a response is stored.

/// 128 bits of a strong hash of a response's whole name, and 128 bits of the request fields its variant was chosen by.
///
/// Two names with the same hash are told apart by the name itself, which is stored with the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// Hash of the name.
    pub name: [u8; 16],
    /// Hash of the variant; zero for the first variant of a name.
    pub variant: [u8; 16],
}

impl Key {
    /// Whether this is the first variant of its name.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.variant == [0; 16]
    }

    /// The first variant of this name.
    #[must_use]
    pub fn first(self) -> Self {
        Self { variant: [0; 16], ..self }
    }
}
