use super::*;
use crate::{FillError, ReadError};
use bytes::Bytes;
use std::time::Duration;

struct Name(&'static str);

impl Head for Name {
    fn weight(&self) -> usize {
        self.0.len()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.as_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        ["head", "new", "newer", "older", "late", "x"]
            .into_iter()
            .find(|name| name.as_bytes() == bytes)
            .map(Self)
    }
}

const LIMITS: Limits = Limits {
    memory_bytes: 100_000,
    response_max_bytes: 1_000,
    filling_max_bytes: 3_000,
    variants_max: 4,
};
const KEY: Key = Key { name: [1; 16], variant: [0; 16] };

fn store() -> Store<Name> {
    Store::new(LIMITS)
}

fn fill(store: &Store<Name>) -> Fill<Name> {
    store.fill(KEY, (*b"/a").into(), Name("head"), store.moment())
}

fn find(store: &Store<Name>) -> Option<Found<Name>> {
    store.find_now(&KEY, b"/a")
}

async fn rest(reader: &mut Reader) -> Result<Vec<u8>, ReadError> {
    let mut all = Vec::new();
    while let Some(piece) = reader.read().await? {
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

#[tokio::test]
async fn a_reader_gets_bytes_while_they_arrive() {
    let store = store();
    let mut fill = fill(&store);
    let mut found = find(&store).unwrap();
    assert!(found.length.is_none());
    fill.write(Bytes::from_static(b"one ")).unwrap();
    assert_eq!(found.reader.read().await.unwrap().unwrap(), "one ");
    let later = tokio::spawn(async move { rest(&mut found.reader).await });
    fill.write(Bytes::from_static(b"two")).unwrap();
    assert_eq!(fill.complete(), Some(7));
    assert_eq!(later.await.unwrap().unwrap(), b"two");
    let mut found = find(&store).unwrap();
    assert_eq!(found.length, Some(7));
    assert_eq!(rest(&mut found.reader).await.unwrap(), b"one two");
}

#[tokio::test]
async fn a_fill_that_breaks_off_is_an_error_and_is_not_stored() {
    let store = store();
    let mut fill = fill(&store);
    fill.write(Bytes::from_static(b"half")).unwrap();
    let mut found = find(&store).unwrap();
    drop(fill);
    assert_eq!(rest(&mut found.reader).await, Err(ReadError::BrokenOff));
    assert!(find(&store).is_none());
}

#[tokio::test]
async fn what_renews_a_name_is_stored_unless_another_removal_reached_it() {
    let store = store();
    fill(&store).complete();
    let began = store.moment();
    let since = store.renew(&KEY, began).unwrap();
    assert!(find(&store).is_none(), "what was stored is removed");
    store.fill(KEY, (*b"/a").into(), Name("new"), since).complete();
    assert_eq!(find(&store).unwrap().head.0, "new");
    let began = store.moment();
    store.remove(&KEY);
    assert_eq!(store.renew(&KEY, began), None);
}

#[tokio::test]
async fn a_broken_refill_leaves_the_stored_response() {
    let store = store();
    let mut first = fill(&store);
    first.write(Bytes::from_static(b"old")).unwrap();
    first.complete();
    let mut second = fill(&store);
    second.write(Bytes::from_static(b"n")).unwrap();
    assert!(find(&store).unwrap().length.is_none());
    drop(second);
    assert_eq!(rest(&mut find(&store).unwrap().reader).await.unwrap(), b"old");
}

#[tokio::test]
async fn what_is_of_no_use_when_it_is_whole_is_its_readers_and_replaces_nothing() {
    let store = store();
    let (mut old, mut new) = (fill(&store), fill(&store));
    old.write(Bytes::from_static(b"old")).unwrap();
    let mut reader = store.find_fill(&KEY, b"/a", old.number()).unwrap().reader;
    new.write(Bytes::from_static(b"new")).unwrap();
    assert_eq!(new.complete_if(|name, head| name == b"/a" && head.0 == "head"), Some(3));
    assert_eq!(old.complete_if(|_, _| false), None);
    assert_eq!(rest(&mut reader).await.unwrap(), b"old");
    assert_eq!(rest(&mut find(&store).unwrap().reader).await.unwrap(), b"new");
}

#[tokio::test]
async fn two_fills_of_one_key_are_told_apart() {
    let store = store();
    let (mut first, mut second) = (fill(&store), fill(&store));
    first.write(Bytes::from_static(b"first")).unwrap();
    second.write(Bytes::from_static(b"second")).unwrap();
    let mut of_first = store.find_fill(&KEY, b"/a", first.number()).unwrap().reader;
    let mut newest = find(&store).unwrap().reader;
    first.complete();
    second.complete();
    assert_eq!(rest(&mut of_first).await.unwrap(), b"first");
    assert_eq!(rest(&mut newest).await.unwrap(), b"second");
    assert_eq!(store.statistics().filling, 0);
}

#[test]
fn a_name_with_the_same_key_is_not_found() {
    let store = store();
    let filling = fill(&store);
    assert!(store.find_now(&KEY, b"/b").is_none());
    filling.complete();
    assert!(store.find_now(&KEY, b"/b").is_none() && find(&store).is_some());
}

#[tokio::test]
async fn ranges_are_cut_from_complete_and_from_filling_bodies() {
    for complete in [true, false] {
        let store = store();
        let mut filling = fill(&store);
        for piece in ["0123", "4567", "89"] {
            filling.write(Bytes::from_static(piece.as_bytes())).unwrap();
        }
        let mut found = find(&store).unwrap();
        if complete {
            filling.complete();
            found = find(&store).unwrap();
        }
        found.reader.seek(3, Some(6));
        assert_eq!(rest(&mut found.reader).await.unwrap(), b"345", "complete: {complete}");
    }
}

#[tokio::test]
async fn a_response_that_grows_too_large_passes_through_bounded() {
    let store = store();
    let mut fill = fill(&store);
    let mut reader = fill.reader().unwrap();
    for _ in 0..20 {
        fill.write(Bytes::from(vec![7; 400])).unwrap();
        assert_eq!(reader.read().await.unwrap().unwrap().len(), 400);
    }
    assert!(fill.passes() && find(&store).is_none() && fill.reader().is_none());
    assert_eq!(store.statistics().filling_bytes, 0);
    drop(reader);
    assert_eq!(fill.write(Bytes::from_static(b"x")), Err(FillError::Abandoned));
}

/// Bytes that fill more than half of a reader's window.
fn half_of_a_window() -> Bytes {
    Bytes::from(vec![7; usize::try_from(crate::fill::WINDOW_BYTES).unwrap() / 2 + 1])
}

#[tokio::test]
async fn what_passes_waits_for_the_slowest_reader() {
    use futures_util::FutureExt;
    let store = store();
    let mut fill = fill(&store);
    let (mut slow, mut fast) = (fill.reader().unwrap(), fill.reader().unwrap());
    for _ in 0..2 {
        fill.write(half_of_a_window()).unwrap();
        assert!(fast.read().await.unwrap().is_some());
    }
    assert!(fill.ready().now_or_never().is_none());
    assert!(slow.read().await.unwrap().is_some());
    assert!(fill.ready().now_or_never().is_some());
    fill.write(half_of_a_window()).unwrap();
    let waits = tokio::spawn(async move {
        fill.ready().await;
        fill
    });
    // one that leaves wakes the writer
    drop(slow);
    let mut fill = waits.await.unwrap();
    fill.write(Bytes::from_static(b"end")).unwrap();
    fill.complete();
    assert_eq!(rest(&mut fast).await.unwrap().len(), half_of_a_window().len() + 3);
}

#[tokio::test]
async fn the_own_reader_holds_nothing_up_and_takes_many_pieces_at_once() {
    use futures_util::FutureExt;
    let store = store();
    let mut fill = fill(&store);
    let own = fill.with_own_reader(None, 0);
    let mut reader = store.find_fill(&KEY, b"/a", fill.number()).unwrap().reader;
    for _ in 0..200 {
        fill.write(Bytes::from(vec![7; 65_536])).unwrap();
        assert!(fill.ready().now_or_never().is_some());
    }
    assert!(own.passes());
    assert!(own.is_behind());
    assert_eq!(reader.read().await.unwrap().unwrap().len(), 524_288);
    // far behind, and yet it reads
    assert!(!own.is_behind());
    let (now, patience) = (std::time::Instant::now(), Duration::from_secs(60));
    assert!(own.is_stuck(now + 2 * patience, patience) && !own.is_stuck(now, patience));
    own.leave();
    assert!(!own.is_stuck(now + 2 * patience, patience));
    assert_eq!(fill.write(Bytes::from_static(b"x")), Err(FillError::Abandoned));
    assert_eq!(store.statistics().abandoned_total, 1);
}

#[tokio::test]
async fn a_pause_of_the_origin_doesnt_count_against_the_own_reader() {
    let store = store();
    let mut fill = fill(&store);
    let own = fill.with_own_reader(None, 0);
    let mut reader = store.find_fill(&KEY, b"/a", fill.number()).unwrap().reader;
    fill.write(Bytes::from_static(b"1")).unwrap();
    reader.read().await.unwrap();
    let had_all = std::time::Instant::now();
    fill.write(Bytes::from_static(b"2")).unwrap();
    let patience = Duration::from_secs(60);
    assert!(!own.is_stuck(had_all + patience, patience));
    assert!(own.is_stuck(had_all + 2 * patience, patience));
}

#[tokio::test]
async fn the_own_reader_tells_whether_all_is_held_and_whether_it_reads() {
    let max = LIMITS.response_max_bytes;
    for (length, fits) in [(None, false), (Some(max), true), (Some(max + 1), false)] {
        let store = store();
        let mut fill = fill(&store);
        let own = fill.with_own_reader(length, 0);
        assert_eq!((own.fits(), own.reads()), (fits, false), "{length:?}");
        let _reader = store.find_fill(&KEY, b"/a", fill.number());
        assert!(own.reads());
        own.leave();
        assert!(!own.reads());
    }
}

#[tokio::test]
async fn what_nobody_reads_any_more_goes_on_while_little_is_left() {
    let check = |length: Option<u64>, allowed, is_joined: bool, expected| {
        let store = store();
        let mut fill = fill(&store);
        let own = fill.with_own_reader(length, allowed);
        let _reader = store.find_fill(&KEY, b"/a", fill.number());
        fill.write(Bytes::from(vec![0; 50])).unwrap();
        let joined = is_joined.then(|| find(&store));
        own.leave();
        let goes_on = (0..5).all(|_| fill.write(Bytes::from(vec![0; 10])).is_ok());
        assert_eq!(goes_on, expected, "{length:?} {allowed} {is_joined}");
        drop(joined);
        if !goes_on {
            assert!(find(&store).is_none() && fill.reader().is_none(), "nobody joins it");
        }
    };
    check(Some(100), 40, false, true);
    check(Some(101), 40, false, false);
    check(Some(101), 40, true, true);
    check(Some(100), 0, false, false);
    check(None, 50, false, true);
    check(None, 49, false, false);
    check(None, 49, true, true);
}

#[tokio::test]
async fn what_its_reader_has_had_enough_of_is_stored_all_the_same() {
    let store = store();
    let mut fill = fill(&store);
    let own = fill.with_own_reader(Some(500), 0);
    let _reader = store.find_fill(&KEY, b"/a", fill.number());
    own.finish();
    fill.write(Bytes::from(vec![0; 500])).unwrap();
    // not what is too large to be stored
    assert_eq!(fill.write(Bytes::from(vec![0; 501])), Err(FillError::Abandoned));
}

#[tokio::test]
async fn a_complete_body_is_given_in_pieces() {
    let store = Store::new(Limits {
        response_max_bytes: 1 << 30,
        filling_max_bytes: 1 << 30,
        memory_bytes: 1 << 30,
        ..LIMITS
    });
    let mut fill = fill(&store);
    let body: Vec<u8> = (0..3_000_000_u32).map(|at| u8::try_from(at % 251).unwrap()).collect();
    fill.write(body.clone().into()).unwrap();
    fill.complete();
    let mut reader = find(&store).unwrap().reader;
    assert_eq!(reader.read().await.unwrap().unwrap().len(), 1 << 20);
    assert_eq!(rest(&mut reader).await.unwrap(), body[1 << 20..]);
    assert_eq!(reader.read().await.unwrap(), None);
    reader.seek(1_000, Some(2_500_000));
    assert_eq!(rest(&mut reader).await.unwrap(), body[1_000..2_500_000]);
    reader.seek(2_999_999, None);
    assert_eq!(rest(&mut reader).await.unwrap(), body[2_999_999..]);
}

#[test]
fn fills_under_way_are_bounded_together() {
    let store = store();
    let fills: Vec<_> = (0..5_u8)
        .map(|number| {
            let key = Key { name: [number; 16], variant: [0; 16] };
            let mut fill = store.fill(key, (*b"/a").into(), Name("head"), store.moment());
            let _reader = fill.reader();
            fill.write(Bytes::from(vec![0; 900])).ok();
            fill
        })
        .collect();
    assert!(store.statistics().filling_bytes <= LIMITS.filling_max_bytes);
    drop(fills);
    assert_eq!((store.statistics().filling_bytes, store.statistics().filling), (0, 0));
}

#[test]
fn capacity_holds_with_metadata_counted() {
    let store = store();
    for number in 0..2_000_u32 {
        let mut name = [0; 16];
        name[..4].copy_from_slice(&number.to_be_bytes());
        let mut fill = store.fill(
            Key { name, variant: [0; 16] },
            (*b"/a").into(),
            Name("head"),
            store.moment(),
        );
        fill.write(Bytes::from(vec![0; 100])).unwrap();
        fill.complete();
    }
    let statistics = store.statistics();
    assert!(statistics.bytes <= LIMITS.memory_bytes, "{statistics:?}");
    assert!(statistics.responses > 50 && statistics.evicted_total > 1_000, "{statistics:?}");
}

#[tokio::test]
async fn a_removal_reaches_fills_of_every_variant() {
    let store = store();
    let variant = Key { variant: [7; 16], ..KEY };
    let mut fills =
        [KEY, variant].map(|key| store.fill(key, (*b"/a").into(), Name("head"), store.moment()));
    fills.iter_mut().for_each(|fill| fill.write(Bytes::from_static(b"old")).unwrap());
    let mut early = find(&store).unwrap().reader;
    assert!(!store.remove(&KEY));
    assert!(find(&store).is_none() && store.find_now(&variant, b"/a").is_none());
    for fill in &mut fills {
        fill.write(Bytes::from_static(b" news")).or_else(abandoned).unwrap();
    }
    assert!(fills.into_iter().all(|fill| fill.complete().is_none()));
    assert_eq!(rest(&mut early).await.unwrap(), b"old news");
    assert!(find(&store).is_none() && store.find_now(&variant, b"/a").is_none());
    assert_eq!(store.statistics().filling_bytes, 0);
}

/// Nobody reading a fill that isn't stored is no fault.
fn abandoned(error: FillError) -> Result<(), FillError> {
    if error == FillError::Abandoned { Ok(()) } else { Err(error) }
}

#[tokio::test]
async fn a_fetch_that_began_before_a_removal_fills_for_its_own_reader_only() {
    let store = store();
    let before = store.moment();
    store.remove(&KEY);
    let mut overtaken = store.fill(KEY, (*b"/a").into(), Name("head"), before);
    assert!(find(&store).is_none());
    let mut own = store.find_fill(&KEY, b"/a", overtaken.number()).unwrap().reader;
    overtaken.write(Bytes::from_static(b"old")).unwrap();
    assert_eq!(overtaken.complete(), None);
    assert_eq!(rest(&mut own).await.unwrap(), b"old");
    let mut anew = fill(&store);
    anew.write(Bytes::from_static(b"new")).unwrap();
    assert_eq!(anew.complete(), Some(3));
    let was = find(&store).unwrap().was(KEY);
    assert!(!store.update(&was, KEY, b"/a", Name("older"), before));
    assert!(store.update(&was, KEY, b"/a", Name("newer"), store.moment()));
}

#[test]
fn what_is_filled_aside_is_found_when_it_is_complete() {
    let store = store();
    let aside = || {
        let mut fill = store.fill_aside(KEY, (*b"/a").into(), Name("head"), store.moment());
        fill.write(Bytes::from_static(b"part")).unwrap();
        fill
    };
    let fill = aside();
    assert!(find(&store).is_none());
    assert_eq!(store.statistics().filling_bytes, 4);
    assert_eq!(fill.complete(), Some(4));
    assert!(find(&store).is_some_and(|found| found.length == Some(4)));
    let overtaken = aside();
    store.remove(&KEY);
    assert_eq!(overtaken.complete(), None);
    assert!(find(&store).is_none());
}

fn variant(number: u8) -> Key {
    Key { variant: [number; 16], ..KEY }
}

fn put(store: &Store<Name>, key: Key, body: &'static str) {
    let mut fill = store.fill(key, (*b"/a").into(), Name("head"), store.moment());
    fill.write(Bytes::from_static(body.as_bytes())).unwrap();
    fill.complete();
}

fn stored(store: &Store<Name>) -> Vec<u8> {
    (0..=u8::MAX).filter(|number| store.find_now(&variant(*number), b"/a").is_some()).collect()
}

#[test]
fn a_name_has_a_bounded_number_of_variants_and_keeps_its_first() {
    let store = store();
    put(&store, KEY, "first");
    for number in 1..=200 {
        put(&store, variant(number), "other");
    }
    assert_eq!(stored(&store), [0, 198, 199, 200]);
    put(&store, variant(198), "again");
    put(&store, variant(201), "other");
    assert_eq!(stored(&store), [0, 198, 200, 201]);
    let statistics = store.statistics();
    assert_eq!((statistics.responses, statistics.crowded_out_total), (4, 198));
    assert_eq!((statistics.replaced_total, statistics.removed_total), (1, 0));
}

#[test]
fn ten_thousand_variants_take_no_more_room_than_a_few() {
    let store = Store::new(Limits { variants_max: 64, memory_bytes: 1 << 30, ..LIMITS });
    put(&store, KEY, "first");
    for number in 0..10_000_u128 {
        let variant = (number + 1).to_le_bytes();
        put(&store, Key { variant, ..KEY }, "other");
        assert!(find(&store).is_some());
    }
    let statistics = store.statistics();
    assert_eq!((statistics.responses, statistics.crowded_out_total), (64, 10_000 - 63));
    assert!(statistics.bytes < 64 * 2_000, "{statistics:?}");
}

#[test]
fn what_makes_room_is_no_longer_counted_as_a_variant() {
    let store = Store::new(Limits { memory_bytes: 5_000, variants_max: 100, ..LIMITS });
    for number in 1..=200 {
        put(&store, variant(number), "other");
    }
    let statistics = store.statistics();
    let known = store.inner.memory.variants_of(KEY.name);
    assert_eq!(known.len() as u64, statistics.responses);
    assert!(statistics.bytes <= 5_000 && statistics.crowded_out_total == 0, "{statistics:?}");
}

#[test]
fn removing_the_first_variant_removes_all() {
    let store = store();
    [0, 1, 2].into_iter().for_each(|number| put(&store, variant(number), "x"));
    store.remove(&variant(1));
    assert_eq!(stored(&store), [0, 2]);
    store.remove(&KEY);
    assert!(stored(&store).is_empty());
    assert_eq!(store.statistics().removed_total, 3);
}

#[tokio::test]
async fn an_update_can_make_another_variant_the_first() {
    let store = store();
    [0, 1, 2].into_iter().for_each(|number| put(&store, variant(number), "old"));
    put(&store, variant(1), "moved");
    let was = store.find_now(&variant(1), b"/a").unwrap().was(variant(1));
    assert!(store.update(&was, KEY, b"/a", Name("new"), store.moment()));
    assert_eq!(stored(&store), [0, 2]);
    let mut found = find(&store).unwrap();
    assert_eq!((found.head.0, rest(&mut found.reader).await.unwrap()), ("new", b"moved".to_vec()));
}

#[test]
fn an_update_leaves_what_has_taken_the_place_of_what_it_is_about() {
    let store = store();
    put(&store, KEY, "old");
    let (was, before) = (find(&store).unwrap().was(KEY), store.moment());
    put(&store, KEY, "newer");
    assert!(!store.update(&was, KEY, b"/a", Name("late"), before));
    assert_eq!(find(&store).unwrap().head.0, "head");
    // nor once more what it has renewed already
    let was = find(&store).unwrap().was(KEY);
    assert!(store.update(&was, KEY, b"/a", Name("new"), before));
    assert!(!store.update(&was, KEY, b"/a", Name("late"), before));
    assert_eq!(find(&store).unwrap().head.0, "new");
}

#[tokio::test]
async fn an_update_replaces_no_newer_first_variant() {
    let store = store();
    [0, 1].into_iter().for_each(|number| put(&store, variant(number), "old"));
    let (was, before) =
        (store.find_now(&variant(1), b"/a").unwrap().was(variant(1)), store.moment());
    put(&store, KEY, "newer");
    assert!(!store.update(&was, KEY, b"/a", Name("late"), before));
    assert_eq!(rest(&mut find(&store).unwrap().reader).await.unwrap(), b"newer");
    assert_eq!(stored(&store), [0, 1]);
}

#[tokio::test]
async fn what_moves_in_memory_leaves_nothing_older_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_path_buf();
    let options = DiskOptions {
        witness: None,
        directories: vec![crate::DirectoryOptions { path, capacity_bytes: 16 << 20 }],
        index_max_bytes: 1 << 20,
        queue_max_bytes: 1_000,
        reading_max_bytes: 1 << 20,
        read_timeout: Duration::from_secs(20),
        retry: Duration::from_secs(20),
        sweep_records_per_second: 1_000,
    };
    let store = Store::with_disk(Limits { response_max_bytes: 5_000, ..LIMITS }, &options);
    put(&store, KEY, "older");
    while store.statistics().disk.queue_bytes > 0 {
        std::thread::yield_now();
    }
    // there is no room to write it
    let mut fill = store.fill(variant(1), (*b"/a").into(), Name("head"), store.moment());
    fill.write(vec![7; 2_000].into()).unwrap();
    assert!(fill.complete().is_some());
    let was = store.find_now(&variant(1), b"/a").unwrap().was(variant(1));
    assert!(store.update(&was, KEY, b"/a", Name("new"), store.moment()));
    assert_eq!(find(&store).unwrap().head.0, "new");
    // as it is for others
    store.inner.memory.forget(&KEY);
    assert!(store.find(&KEY, b"/a").await.is_none());
}

proptest::proptest! {
    #[test]
    fn the_index_of_variants_is_what_is_stored(
        steps in proptest::collection::vec((0_u8..4, 0_u8..8), 0..60),
    ) {
        let store = Store::new(Limits { memory_bytes: 9_000, ..LIMITS });
        for (step, number) in steps {
            match step {
                0 => drop(store.remove(&variant(number))),
                1 => {
                    if let Some(found) = store.find_now(&variant(number), b"/a") {
                        let was = found.was(variant(number));
                        store.update(&was, KEY, b"/a", Name("x"), store.moment());
                    }
                }
                _ => put(&store, variant(number), "x"),
            }
            store.inner.memory.size();
            let mut known = store.inner.memory.variants_of(KEY.name);
            known.sort_by_key(|key| key.variant);
            let others: Vec<_> = stored(&store).into_iter().filter(|number| *number > 0).collect();
            proptest::prop_assert!(others.len() < 4);
            let others: Vec<_> = others.into_iter().map(variant).collect();
            proptest::prop_assert_eq!(known, others);
        }
    }
}
