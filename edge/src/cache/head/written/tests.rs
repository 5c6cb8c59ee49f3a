use super::super::{Selected, meta};
use super::*;
use http::{HeaderName, HeaderValue};
use pingora_http::ResponseHeader;
use proptest::prelude::*;

const HERE: Option<Boot> = Some(Boot(7));
const LATER: Option<Boot> = Some(Boot(8));
const HOUR: Duration = Duration::from_hours(1);

fn names() -> impl Strategy<Value = HeaderName> {
    let known = prop::sample::select(vec![
        "vary",
        "content-language",
        "content-length",
        "etag",
        "cache-tag",
        "cdn-cache-control",
        "x-a",
    ]);
    let known = known.prop_map(HeaderName::from_static);
    prop_oneof![4 => known, 1 => "[!#$%&'*+.^_`|~0-9a-zA-Z-]{1,20}".prop_map(|name| name.parse().unwrap())]
}

/// Any bytes that a value may have, spaces at its ends included.
fn values() -> impl Strategy<Value = HeaderValue> {
    let byte = prop_oneof![32_u8..127, 128_u8..=255, Just(b'\t')];
    prop::collection::vec(byte, 0..30).prop_map(|bytes| HeaderValue::from_bytes(&bytes).unwrap())
}

fn kepts() -> impl Strategy<Value = Kept> {
    let facts = (any::<[u8; 21]>(), any::<u64>(), any::<bool>(), any::<bool>());
    (facts, 0..i64::MAX, 0..i64::MAX).prop_map(|(facts, at, wall_at)| Kept {
        freshness: Freshness::from_bytes(&facts.0),
        received: Now { wall: wall(wall_at), steady: Steady::from_nanoseconds(at) },
        applied: facts.1,
        is_failure: facts.2,
        forwards_cdn_cache_control: facts.3,
    })
}

fn headers() -> impl Strategy<Value = ResponseHeader> {
    let fields = prop::collection::vec((names(), values()), 0..12);
    (200_u16..600, fields).prop_map(|(status, fields)| {
        let mut header = ResponseHeader::build_no_case(status, None).unwrap();
        for (name, value) in fields {
            header.append_header(name, value).unwrap();
        }
        header
    })
}

fn head(kept: Kept, header: &ResponseHeader, variance: Option<[u8; 16]>, since: u64) -> Head {
    let mut meta = meta(kept, since, header.clone(), kept.received);
    meta.extensions_mut().insert(Selected(variance));
    Head::of(&meta).unwrap()
}

fn bytes(head: &Head, boot: Option<Boot>) -> Vec<u8> {
    let mut out = Vec::new();
    head.write(boot, &mut out);
    out
}

fn some_head(received: Now) -> Head {
    let mut header = ResponseHeader::build_no_case(200, None).unwrap();
    for (name, value) in [("vary", "a"), ("cache-tag", "t"), ("x", " y"), ("vary", "b")] {
        header.append_header(name, value).unwrap();
    }
    let kept = Kept {
        freshness: Freshness::from_bytes(&[0; 21]),
        received,
        applied: 3,
        is_failure: false,
        forwards_cdn_cache_control: false,
    };
    head(kept, &header, Some([9; 16]), 5)
}

proptest! {
    #[test]
    fn what_is_read_is_what_was_written(
        kept in kepts(), header in headers(), variance: Option<[u8; 16]>, since in 0..u64::MAX / 4,
    ) {
        let head = head(kept, &header, variance, since);
        let read = Head::read(&bytes(&head, HERE), HERE, kept.received).unwrap();
        prop_assert_eq!(&read, &head);
        let made = read.header();
        prop_assert_eq!(made.status, header.status);
        prop_assert_eq!(&made.headers, &header.headers);
        for name in header.headers.keys() {
            prop_assert!(made.headers.get_all(name).iter().eq(header.headers.get_all(name)));
        }
        let request = http::HeaderMap::new();
        let selected = |fields| super::super::super::variance(fields, None, &request, None);
        prop_assert_eq!(selected(read.selecting()), selected(&header.headers));
    }

    #[test]
    fn clients_are_sent_what_does_not_end_here(kept in kepts(), header in headers()) {
        let head = head(kept, &header, None, 0);
        let mut written = Vec::new();
        head.write_to(&mut written, 11);
        let mut expected = header;
        let consumed = semantics::fields::consumed(kept.forwards_cdn_cache_control);
        let ended = consumed.iter().filter(|name| expected.remove_header(*name).is_some()).count();
        prop_assert_eq!(head.consumed(), if ended == 0 { &[] } else { consumed });
        if !expected.headers.contains_key("content-length") {
            expected.insert_header("content-length", 11).unwrap();
        }
        let mut lines = Vec::new();
        expected.header_to_h1_wire(&mut lines);
        let sorted = |bytes: &[u8]| {
            let mut lines: Vec<_> = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
            lines.sort();
            lines
        };
        let sent = written.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        prop_assert_eq!(sorted(&written[sent..]), sorted(&lines));
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Head::read(&bytes, HERE, Now::ZERO).is_none());
    }

    #[test]
    fn what_is_damaged_is_no_head_or_one_with_valid_lines(
        place in 0_usize..400, byte: u8, cut in 0_usize..400,
    ) {
        let mut bytes = bytes(&some_head(Now::ZERO), HERE);
        let place = place % bytes.len();
        bytes[place] = byte;
        if let Some(head) = Head::read(&bytes, HERE, Now::ZERO) {
            prop_assert!(head.header().headers.len() >= 3);
            prop_assert!(head.lines.sent().ends_with(b"\r\n"));
        }
        bytes.truncate(cut % bytes.len());
        prop_assert!(Head::read(&bytes, HERE, Now::ZERO).is_none());
    }
}

#[test]
fn what_was_found_not_to_be_purged_is_written_so() {
    let purges = purge::Purges::default();
    let purge = |seq, mode| {
        let site_id = api::id::SiteId::from_ulid("01J9Z3K8Q4W5E6R7T8Y9V0B1N2").unwrap();
        let selectors = api::purge::Selectors { tags: vec!["u".into()], ..Default::default() };
        let selector = api::purge::Selector::Any(selectors);
        let purge = api::purge::Purge { site_id, selector, mode, regions: Vec::new(), refetch: 0 };
        purges.apply(&purge, seq, |_, _| None);
    };
    let head = some_head(Now::ZERO);
    let facts = || Some(purge::Facts { authority: "h", path: "/", query: None, tags: head.tags() });
    purge(7, api::purge::Mode::Hard);
    assert_eq!(purges.compare(head.compared(), facts), purge::Verdict::Current);
    let read = Head::read(&bytes(&head, HERE), HERE, Now::ZERO).unwrap();
    assert_eq!((read.compared().number(), head.kept().applied), (7, 3));
    assert_eq!((read.tags(), read.tag_texts()), (head.tags(), vec!["t".to_owned()]));
}

#[test]
fn tags_weigh_what_they_take() {
    let head = |tags: &str| {
        let mut header = ResponseHeader::build_no_case(200, None).unwrap();
        header.append_header("xkey", tags).unwrap();
        let kept = some_head(Now::ZERO).kept();
        store::Head::weight(&head(kept, &header, None, 0))
    };
    assert_eq!(head("a b c d") - head("abcdefg"), 3 * 8);
}

#[test]
fn lines_that_no_head_has_are_refused() {
    let check = |lines: &str, sent: u32, expected: bool| {
        assert_eq!(Lines::read(lines.as_bytes(), sent).is_some(), expected, "{lines:?} {sent}");
    };
    let status = "HTTP/1.1 200 OK\r\n";
    let end = u32::try_from(status.len()).unwrap();
    check(status, end, true);
    check(&format!("{status}A: b\r\nc:  d \r\n"), end, true);
    check(&format!("{status}A: b\r\nc:  d \r\n"), end + 6, true);
    check(&format!("{status}A: b\r\nc:  d \r\n"), end + 5, false);
    check(&format!("{status}A: b\r\n"), end + 7, false);
    check(status, 0, false);
    for lines in
        ["A:b\r\n", "A : b\r\n", ": b\r\n", "A: b\n", "A: b", "A: \r\r\n", "A: \0\r\n", "\r\n"]
    {
        check(&format!("{status}{lines}"), end, false);
    }
    for status in ["HTTP/1.0 200 OK\r\n", "HTTP/1.1 20 OK\r\n", "HTTP/1.1 099 x\r\n", "\r\n", ""] {
        check(status, u32::try_from(status.len()).unwrap(), false);
    }
}

#[test]
fn another_version_is_not_read() {
    let mut bytes = bytes(&some_head(Now::ZERO), HERE);
    bytes[0] = VERSION + 1;
    assert!(Head::read(&bytes, HERE, Now::ZERO).is_none());
}

/// How long something has been here that was written in the start `HERE` of the machine and is read in `boot`, `later` by
/// its steady clock and its wall clock.
fn resident(boot: Option<Boot>, steady: Steady, wall_later: i64) -> Duration {
    let received = Now::ZERO.after(1_000 * HOUR);
    let written = bytes(&some_head(received), HERE);
    let wall = wall(nanoseconds(received.wall) + wall_later * 1_000_000_000);
    let now = Now { wall, steady };
    Head::read(&written, boot, now).unwrap().kept().resident(now.steady)
}

#[test]
fn until_the_next_start_of_the_machine_no_clock_but_the_steady_one_counts() {
    let steady = Now::ZERO.after(1_002 * HOUR).steady;
    for wall_later in [7_200, -3_600, 8_766 * 3_600] {
        assert_eq!(resident(HERE, steady, wall_later), 2 * HOUR);
    }
}

#[test]
fn after_a_start_of_the_machine_the_wall_clock_tells() {
    let since_start = |hours: u32| Now::ZERO.after(hours * HOUR).steady;
    assert_eq!(resident(LATER, since_start(1), 7_200), 2 * HOUR);
    assert_eq!(resident(None, since_start(1), 7_200), 2 * HOUR);
    // at least since the start, whatever that clock says
    assert_eq!(resident(LATER, since_start(3), 7_200), 3 * HOUR);
    // this clock can't be the one it was written by
    assert_eq!(resident(HERE, since_start(3), 7_200), 3 * HOUR);
}

#[test]
fn what_was_received_in_the_future_is_stale() {
    let steady = Now::ZERO.after(HOUR).steady;
    for boot in [LATER, None] {
        let resident = resident(boot, steady, -1);
        let longest = Freshness::from_bytes(&longest());
        assert!(longest.ttl(resident) <= -(1 << 31), "{resident:?}");
    }
}

/// The freshness that lasts longest.
fn longest() -> [u8; 21] {
    let mut bytes = [0; 21];
    for seconds in bytes[8..20].chunks_exact_mut(4) {
        seconds.copy_from_slice(&(1_u32 << 31).to_le_bytes());
    }
    bytes
}
