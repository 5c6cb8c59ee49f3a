//! The body of a request, as it is taken in.

use bytes::{Bytes, BytesMut};

/// What is held of a body, so that it can be sent to another connection where one breaks.
const HELD_MAX_BYTES: usize = 65_536;

/// What has come of a body.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) received: u64,
    declared: Option<u64>,
    /// All of it is there.
    pub(super) has_ended: bool,
    held: Option<Held>,
}

/// The beginning of a body; nothing of it once that would be too much.
#[derive(Debug)]
enum Held {
    Whole(BytesMut),
    TooLarge,
}

/// A body is longer or shorter than was declared (RFC 9113 §8.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body has {received} bytes and not the declared {declared}")]
pub(super) struct WrongLength {
    received: u64,
    declared: u64,
}

impl Body {
    pub(super) const fn new(declared: Option<u64>, has_ended: bool) -> Self {
        Self { received: 0, declared, has_ended, held: None }
    }

    /// Whether it has no bytes.
    pub(super) fn is_empty(&self) -> bool {
        self.received == 0 && (self.has_ended || self.declared == Some(0))
    }

    /// Notes what has come; none at the end.
    pub(super) fn take(&mut self, bytes: Option<&Bytes>) -> Result<(), WrongLength> {
        let received = self.received + bytes.map_or(0, |bytes| bytes.len() as u64);
        self.received = received;
        self.has_ended |= bytes.is_none();
        let is_wrong =
            |declared: &u64| received > *declared || (bytes.is_none() && received < *declared);
        if let Some(declared) = self.declared.filter(is_wrong) {
            return Err(WrongLength { received, declared });
        }
        if let (Some(bytes), Some(Held::Whole(held))) = (bytes, &mut self.held) {
            if held.len() + bytes.len() > HELD_MAX_BYTES {
                self.held = Some(Held::TooLarge);
            } else {
                held.extend_from_slice(bytes);
            }
        }
        Ok(())
    }

    /// From here on, what comes is held.
    pub(super) fn hold(&mut self) {
        self.held.get_or_insert_with(|| Held::Whole(BytesMut::new()));
    }

    pub(super) const fn is_too_large(&self) -> bool {
        matches!(self.held, Some(Held::TooLarge))
    }

    /// What is held.
    pub(super) fn held(&self) -> Option<Bytes> {
        match &self.held {
            Some(Held::Whole(held)) if !held.is_empty() => Some(held.clone().freeze()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: Bytes = Bytes::from_static(b"12345");

    #[test]
    fn a_body_is_as_long_as_was_declared() {
        let check = |declared, pieces: usize, expected: Result<(), WrongLength>| {
            let mut body = Body::new(declared, false);
            let taken = (0..pieces).try_for_each(|_| body.take(Some(&PIECE)));
            assert_eq!(taken.and_then(|()| body.take(None)), expected);
        };
        check(None, 3, Ok(()));
        check(Some(15), 3, Ok(()));
        check(Some(0), 0, Ok(()));
        check(Some(14), 3, Err(WrongLength { received: 15, declared: 14 }));
        check(Some(16), 3, Err(WrongLength { received: 15, declared: 16 }));
    }

    #[test]
    fn what_is_held_is_whole_or_nothing() {
        let mut body = Body::new(None, false);
        body.take(Some(&PIECE)).unwrap();
        body.hold();
        assert_eq!((body.held(), body.is_too_large()), (None, false));
        body.take(Some(&PIECE)).unwrap();
        body.hold();
        assert_eq!(body.held(), Some(PIECE));
        body.take(Some(&Bytes::from(vec![0; HELD_MAX_BYTES]))).unwrap();
        assert_eq!((body.held(), body.is_too_large()), (None, true));
        body.take(Some(&PIECE)).unwrap();
        assert_eq!((body.held(), body.is_too_large()), (None, true));
    }

    #[test]
    fn a_body_without_bytes_is_empty() {
        assert!(Body::new(None, true).is_empty());
        assert!(Body::new(Some(0), false).is_empty());
        assert!(!Body::new(None, false).is_empty());
    }
}
