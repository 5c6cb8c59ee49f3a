//! Sitemaps (sitemaps.org): `urlset` and `sitemapindex` in XML, or a URL on each line, packed with gzip or not.
//!
//! XML is read without expanding what a document itself defines.

use flate2::read::GzDecoder;
use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, Event};
use std::borrow::Cow;
use std::io::Read as _;

/// Bytes of one sitemap, packed and unpacked.
pub(super) const MAX_BYTES: usize = 50 * 1_024 * 1_024;
/// URLs of one sitemap.
const URLS_MAX: usize = 50_000;
/// Bytes of one URL.
const URL_MAX_BYTES: usize = api::purge::URL_MAX_BYTES;
/// Elements in one another.
const DEPTH_MAX: usize = 16;
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What a sitemap names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sitemap {
    Urls(Vec<String>),
    /// Further sitemaps.
    Index(Vec<String>),
}

/// Reads a sitemap: at most its first [`URLS_MAX`] URLs. None for what is none.
pub(super) fn read(body: &[u8]) -> Option<Sitemap> {
    let mut unpacked = Vec::new();
    let body = if body.starts_with(&GZIP) {
        let max = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
        GzDecoder::new(body).take(max).read_to_end(&mut unpacked).ok()?;
        &unpacked
    } else {
        body
    };
    let text = std::str::from_utf8(body).ok().filter(|text| text.len() <= MAX_BYTES)?;
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.starts_with('<') {
        return xml(text);
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    Some(Sitemap::Urls(lines.take(URLS_MAX).map(str::to_owned).collect()))
}

fn xml(text: &str) -> Option<Sitemap> {
    let mut reader = Reader::from_str(text);
    let (mut open, mut urls, mut url) = (Vec::new(), Vec::new(), String::new());
    let mut is_index = None;
    while urls.len() < URLS_MAX {
        match reader.read_event().ok()? {
            Event::Start(element) => {
                let name = element.local_name().into_inner().to_owned();
                is_index = is_index.or_else(|| root(&name));
                is_index?;
                let is_own = element.name().prefix().is_none();
                open.push(if is_own { name } else { String::new() });
                url.clear();
                if open.len() > DEPTH_MAX {
                    return None;
                }
            }
            Event::End(_) => {
                if is_location(&open) {
                    urls.push(url.trim().to_owned());
                }
                open.pop();
            }
            Event::Text(text) if is_location(&open) => url.push_str(&text.xml10_content()),
            Event::CData(text) if is_location(&open) => url.push_str(&text.xml10_content()),
            Event::GeneralRef(name) if is_location(&open) => url.push_str(&character(&name)?),
            Event::Eof => break,
            _ => {}
        }
        if url.len() > URL_MAX_BYTES {
            return None;
        }
    }
    Some(if is_index? { Sitemap::Index(urls) } else { Sitemap::Urls(urls) })
}

/// Whether a root element is that of an index; none for one of something else.
fn root(name: &str) -> Option<bool> {
    match name {
        "urlset" => Some(false),
        "sitemapindex" => Some(true),
        _ => None,
    }
}

/// Whether what comes is the URL of an entry: `loc`, in `url` or `sitemap`.
fn is_location(open: &[String]) -> bool {
    matches!(open, [_, entry, location] if location == "loc" && (entry == "url" || entry == "sitemap"))
}

/// What a reference stands for, unless the document defines it.
fn character(name: &BytesRef<'_>) -> Option<Cow<'static, str>> {
    if let Some(character) = name.resolve_char_ref().ok()? {
        return Some(character.to_string().into());
    }
    resolve_predefined_entity(name).map(Cow::Borrowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::read::GzEncoder;

    fn urls(urls: &[&str]) -> Option<Sitemap> {
        Some(Sitemap::Urls(urls.iter().map(|url| (*url).to_owned()).collect()))
    }

    #[test]
    fn a_sitemap_is_read_in_each_of_its_forms() {
        let check = |text: &str, expected: Option<Sitemap>| {
            let mut packed = Vec::new();
            GzEncoder::new(text.as_bytes(), Compression::fast()).read_to_end(&mut packed).unwrap();
            assert_eq!(read(text.as_bytes()), expected, "{text}");
            assert_eq!(read(&packed), expected, "{text}");
        };
        check("\u{feff}http://a/1\r\n\r\n http://a/2 \n", urls(&["http://a/1", "http://a/2"]));
        check(
            "<?xml version=\"1.0\"?><urlset xmlns=\"x\"><url><loc> http://a/?b=1&amp;c=&#50;</loc><lastmod>2026</lastmod>\
             <image:image><image:loc>http://i/</image:loc></image:image></url><url><loc><![CDATA[http://a/x?y&z]]></loc></url></urlset>",
            urls(&["http://a/?b=1&c=2", "http://a/x?y&z"]),
        );
        check(
            "<sitemapindex><sitemap><loc>http://a/s.xml</loc></sitemap></sitemapindex>",
            Some(Sitemap::Index(vec!["http://a/s.xml".to_owned()])),
        );
        check("<urlset/>", None);
        check("<html><url><loc>http://a/</loc></url></html>", None);
        check("<urlset><url><loc>http://a/</loc></wrong></urlset>", None);
    }

    #[test]
    fn what_a_document_defines_is_not_expanded() {
        let bomb = "<!DOCTYPE urlset [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;\">]>\
                    <urlset><url><loc>http://a/&b;</loc></url></urlset>";
        assert_eq!(read(bomb.as_bytes()), None);
        let outside = "<!DOCTYPE u [<!ENTITY a SYSTEM \"file:///etc/passwd\">]><urlset><url><loc>&a;</loc></url></urlset>";
        assert_eq!(read(outside.as_bytes()), None);
    }

    #[test]
    fn a_sitemap_is_bounded() {
        let mut packed = Vec::new();
        let zeros = std::io::repeat(b'\n').take(60 * 1_024 * 1_024);
        GzEncoder::new(zeros, Compression::fast()).read_to_end(&mut packed).unwrap();
        assert_eq!(read(&packed), None);
        let many = "http://a/\n".repeat(60_000);
        assert!(matches!(read(many.as_bytes()), Some(Sitemap::Urls(urls)) if urls.len() == 50_000));
        assert_eq!(read("<urlset><a>".repeat(20).as_bytes()), None);
    }
}
