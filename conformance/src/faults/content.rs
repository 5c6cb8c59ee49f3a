//! What a body holds: a function of where it is from, so that whoever reads it can check any byte of it.

/// Sites; each has an origin of its own, and the same paths as the others.
pub(crate) const SITES: usize = 2;
/// Values of `X-Flavour` that responses vary by.
pub(crate) const FLAVOURS: usize = 3;
const LARGEST_BYTES: u64 = 3 << 20;
const WORD_BYTES: u64 = 8;
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// How a page is cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Fresh for an hour.
    Plain,
    /// Fresh for an hour, one for each flavour.
    Varied,
    /// Fresh for a second, then validated.
    Brief,
    /// Validated each time.
    Validated,
    /// Fresh for an hour, and large.
    Large,
}

impl Manner {
    const ALL: [Self; 5] = [Self::Plain, Self::Varied, Self::Brief, Self::Validated, Self::Large];

    const fn word(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Varied => "varied",
            Self::Brief => "brief",
            Self::Validated => "validated",
            Self::Large => "large",
        }
    }

    pub(crate) const fn cache_control(self) -> &'static str {
        match self {
            Self::Plain | Self::Varied | Self::Large => "max-age=3600",
            Self::Brief => "max-age=1",
            Self::Validated => "no-cache",
        }
    }
}

/// One URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Page {
    pub(crate) site: usize,
    pub(crate) number: usize,
}

impl Page {
    pub(crate) fn manner(self) -> Manner {
        Manner::ALL[self.number % Manner::ALL.len()]
    }

    pub(crate) fn host(self) -> String {
        host(self.site)
    }

    pub(crate) fn path(self) -> String {
        format!("/{}/{}", self.manner().word(), self.number)
    }

    /// The page of a site that has this path.
    pub(crate) fn at(site: usize, path: &str) -> Option<Self> {
        let (_, number) = path.rsplit_once('/')?;
        let page = Self { site, number: number.parse().ok()? };
        (page.path() == path).then_some(page)
    }
}

pub(crate) fn host(site: usize) -> String {
    format!("site-{site}.example")
}

/// One representation of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) page: Page,
    pub(crate) version: u64,
    /// 0 for pages that don't vary.
    pub(crate) flavour: usize,
}

impl Content {
    /// The entity tag; no two representations of all pages share one.
    pub(crate) fn tag(self) -> String {
        let Self { page, version, flavour } = self;
        format!("\"{}-{}-{version}-{flavour}\"", page.site, page.number)
    }

    /// Bytes of the body: none for some, most of them small.
    pub(crate) fn length(self) -> u64 {
        let chance = mixed(self.seed());
        let within = |least: u64, below: u64| least + mixed(chance) % (below - least);
        match (self.page.manner(), chance % 16) {
            (Manner::Large, _) => within(1 << 18, LARGEST_BYTES),
            (_, 0) => 0,
            (_, 1..=8) => within(1, 4 << 10),
            (_, 9..=14) => within(4 << 10, 128 << 10),
            (_, _) => within(128 << 10, LARGEST_BYTES),
        }
    }

    /// Whether the origin doesn't say how long it is.
    pub(crate) fn is_chunked(self) -> bool {
        self.page.manner() != Manner::Large && mixed(self.seed() ^ 1).is_multiple_of(4)
    }

    /// The bytes from `from` on, `count` of them.
    pub(crate) fn bytes(self, from: u64, count: u64) -> Vec<u8> {
        let seed = self.seed();
        let (first, last) = (from / WORD_BYTES, (from + count).div_ceil(WORD_BYTES));
        let mut bytes = Vec::new();
        for word in first..last {
            bytes.extend_from_slice(&mixed(seed.wrapping_add(word)).to_le_bytes());
        }
        bytes.drain(..usize::try_from(from % WORD_BYTES).unwrap_or_default());
        bytes.truncate(usize::try_from(count).unwrap_or(usize::MAX));
        bytes
    }

    /// Where `bytes`, read at `from`, begin to be others than those of this content.
    pub(crate) fn differs_at(self, from: u64, bytes: &[u8]) -> Option<u64> {
        let own = self.bytes(from, bytes.len() as u64);
        if own == bytes {
            return None;
        }
        let at = own.iter().zip(bytes).position(|(own, byte)| own != byte)?;
        Some(from + at as u64)
    }

    fn seed(self) -> u64 {
        let Self { page: Page { site, number }, version, flavour } = self;
        [site as u64, number as u64, version, flavour as u64]
            .into_iter()
            .fold(GOLDEN, |seed, part| mixed(seed ^ part))
    }
}

fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(GOLDEN);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_part_of_a_body_is_known() {
        let content = Content { page: Page { site: 1, number: 4 }, version: 3, flavour: 0 };
        let whole = content.bytes(0, 100);
        for from in 0..40 {
            assert_eq!(content.bytes(from, 50)[..], whole[usize::try_from(from).unwrap()..][..50]);
        }
        assert_eq!(content.differs_at(3, &whole[3..]), None);
        let mut wrong = whole;
        wrong[77] ^= 4;
        assert_eq!(content.differs_at(3, &wrong[3..]), Some(77));
    }

    #[test]
    fn no_two_bodies_are_alike() {
        let page = Page { site: 0, number: 1 };
        let base = Content { page, version: 1, flavour: 0 };
        let other_site = Content { page: Page { site: 1, ..page }, ..base };
        for other in [Content { version: 2, ..base }, Content { flavour: 1, ..base }, other_site] {
            assert_ne!(base.bytes(0, 8), other.bytes(0, 8));
            assert_ne!(base.tag(), other.tag());
        }
    }

    #[test]
    fn a_path_names_its_page() {
        let page = Page { site: 1, number: 7 };
        assert_eq!(page.path(), "/brief/7");
        assert_eq!(Page::at(1, "/brief/7"), Some(page));
        assert_eq!(Page::at(1, "/plain/7"), None);
    }
}
