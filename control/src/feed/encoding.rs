//! How does a follower take what it is sent: as it is, or compressed?
//!
//! RFC 8878: frames of Zstandard that follow each other are decoded one after the other, so that each piece of the
//! stream is a whole frame, made once for all followers, and understood as soon as it has come.

use bytes::Bytes;
use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

/// The cheapest of the ordinary levels: what one site's document shares with the next is found by any.
const LEVEL: i32 = 1;

/// A content coding (RFC 9110 §8.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// None.
    Identity,
    /// Frames of Zstandard.
    Zstd,
}

impl Encoding {
    /// Zstandard where the request names it with a weight, and doesn't weigh `identity` higher (RFC 9110 §12.5.3).
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let lists = headers.get_all(ACCEPT_ENCODING).iter();
        let members = lists.filter_map(|list| list.to_str().ok()).flat_map(|list| list.split(','));
        let (mut zstd, mut identity) = (0, 0);
        for member in members {
            let (coding, weight) = member.split_once(';').unwrap_or((member, ""));
            match coding.trim().to_ascii_lowercase().as_str() {
                "zstd" => zstd = thousandths(weight),
                "identity" => identity = thousandths(weight),
                _ => {}
            }
        }
        if zstd > 0 && zstd >= identity { Self::Zstd } else { Self::Identity }
    }

    /// What `Content-Encoding` says.
    pub(crate) const fn name(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Zstd => Some("zstd"),
        }
    }

    /// `text` in this coding.
    pub(crate) fn encode(self, text: &Bytes) -> Bytes {
        match self {
            Self::Identity => text.clone(),
            Self::Zstd => compressed(text),
        }
    }
}

/// `text` as one frame.
pub(crate) fn compressed(text: &[u8]) -> Bytes {
    #[expect(clippy::expect_used, reason = "the buffer is as large as any result")]
    let frame = zstd::bulk::compress(text, LEVEL).expect("the buffer is as large as any result");
    Bytes::from(frame)
}

/// A weight of 0 to 1 (RFC 9110 §12.4.2) in thousandths; 1 where there is none, 0 where it is none.
fn thousandths(parameter: &str) -> u16 {
    let parameter = parameter.trim();
    if parameter.is_empty() {
        return 1_000;
    }
    let value = parameter.split_once('=').filter(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
    let Some((_, value)) = value else { return 0 };
    let value = value.trim();
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    let right = matches!(whole, "0" | "1") && fraction.len() <= 3;
    let fraction: Option<u16> = format!("{fraction:0<3}").parse().ok();
    match (right, whole, fraction) {
        (true, "1", Some(0)) => 1_000,
        (true, "0", Some(fraction)) => fraction,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn only_who_names_zstd_gets_it() {
        let check = |fields: &[&'static str], expected: Encoding| {
            let fields = fields.iter().map(|value| HeaderValue::from_static(value));
            let headers: HeaderMap = fields.map(|value| (ACCEPT_ENCODING, value)).collect();
            assert_eq!(Encoding::of(&headers), expected, "{headers:?}");
        };
        for fields in [
            &["zstd"][..],
            &["gzip, ZSTD;q=0.1"],
            &["br", "zstd ; q=1.000"],
            &["identity;q=0.5, zstd;q=0.5"],
        ] {
            check(fields, Encoding::Zstd);
        }
        for fields in [
            &[][..],
            &["gzip, br"],
            &["*"],
            &["zstd;q=0"],
            &["zstd;q=0.000"],
            &["identity, zstd;q=0.9"],
            &["zstd;q=1.5"],
            &["zstd;q=x"],
            &["zstd;level=1"],
            &["xzstd"],
        ] {
            check(fields, Encoding::Identity);
        }
    }

    #[test]
    fn frames_follow_each_other() {
        let texts = [Bytes::from_static(b"event: a\n\n"), Bytes::from(vec![b'x'; 300_000])];
        let frames: Vec<u8> = texts.iter().flat_map(|text| Encoding::Zstd.encode(text)).collect();
        assert_eq!(zstd::stream::decode_all(&frames[..]).unwrap(), texts.concat());
    }
}
