use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

fn entry(name: u64, variant: u32, segment: u32, bytes: u64) -> Entry {
    let mut key = Key { name: [0; 16], variant: [0; 16] };
    key.name[..8].copy_from_slice(&name.to_le_bytes());
    key.variant[..4].copy_from_slice(&variant.to_le_bytes());
    let row = Row { kind: Kind::Whole, key, number: 1, offset: 8 * u64::from(segment), bytes };
    Entry::new(segment, &row).unwrap()
}

fn index() -> Index {
    Index::new(Arc::default())
}

/// Numbers that look like hashes.
fn scattered(number: u64) -> u64 {
    (number + 1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .rotate_left(29)
        .wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

#[test]
fn an_entry_takes_24_bytes_and_tells_its_place() {
    assert_eq!(size_of::<Entry>(), 24);
    let entry = entry(u64::MAX, u32::MAX, u32::MAX, 8 * 0xff_ffff);
    assert_eq!(
        (entry.segment(), entry.offset(), entry.bytes()),
        (u32::MAX, 8 * 0xffff_ffff, 8 * 0xff_ffff)
    );
    assert!(!entry.is_split() && !entry.was_found());
}

#[test]
fn a_response_takes_64_bytes_at_most_however_many_come_and_go() {
    let index = index();
    for number in 0..400_000 {
        index.insert(entry(scattered(number), 0, 1, 8));
        if number > 250_000 {
            index.remove(entry(scattered(number - 250_000), 0, 1, 8).short());
        }
        if number > 100_000 && number % 1_000 == 0 {
            let each = index.bytes() / index.responses();
            assert!(each <= RESPONSE_BYTES, "{each} bytes with {} responses", index.responses());
        }
    }
    index.clear();
    assert_eq!(
        (index.responses(), index.live_bytes(), index.all.load(Ordering::Relaxed)),
        (0, 0, 0)
    );
}

#[test]
fn hits_are_counted_and_a_new_record_begins_without() {
    let index = index();
    let first = entry(5, 0, 1, 80);
    index.insert(first);
    assert!(!index.find(first.short()).unwrap().was_found());
    for _ in 0..9 {
        index.hit(first.short());
    }
    assert!(index.find(first.short()).unwrap().was_found());
    assert!(index.find(first.short()).unwrap().is(&first));
    index.insert(entry(5, 0, 2, 80));
    assert!(!index.find(first.short()).unwrap().was_found());
    assert!(!index.replace(&first, entry(5, 0, 3, 80)) && !index.remove_entry(&first));
}

#[test]
#[ignore = "a measurement, not a check: run with --release --nocapture"]
fn a_lookup_costs_the_same_however_many_there_are() {
    for count in [1_000, 1_000_000, 5_000_000] {
        let index = index();
        (0..count).for_each(|number| index.insert(entry(scattered(number), 0, 1, 8)));
        let began = std::time::Instant::now();
        let lookups = 2_000_000;
        let found = (0..lookups)
            .filter(|number| {
                let name = scattered(scattered(*number) % count);
                index.hit(Short { name, variant: 0 }).is_some()
            })
            .count();
        let each = began.elapsed().as_nanos() / u128::from(lookups);
        let bytes = index.bytes() / count;
        println!("{count} responses: {each} ns a lookup, {bytes} bytes each, {found} found");
    }
}

proptest! {
    #[test]
    fn the_index_is_a_map(
        steps in prop::collection::vec((0_u8..5, 0_u64..6, 0_u32..3, 1_u32..4), 0..200),
    ) {
        let index = index();
        let mut model: HashMap<Short, Entry> = HashMap::new();
        for (step, name, variant, segment) in steps {
            let entry = entry(scattered(name), variant, segment, 8 * u64::from(segment));
            match step {
                0 => prop_assert_eq!(index.remove(entry.short()), model.remove(&entry.short()).is_some()),
                1 => {
                    let is_there = model.get(&entry.short()).is_some_and(|there| there.is(&entry));
                    if is_there {
                        model.remove(&entry.short());
                    }
                    prop_assert_eq!(index.remove_entry(&entry), is_there);
                }
                2 => prop_assert_eq!(index.insert_new(entry), {
                    let is_new = !model.contains_key(&entry.short());
                    model.entry(entry.short()).or_insert(entry);
                    is_new
                }),
                _ => {
                    index.insert(entry);
                    model.insert(entry.short(), entry);
                }
            }
            prop_assert_eq!(index.find(entry.short()), model.get(&entry.short()).copied());
            let of_name = model.keys().filter(|short| short.name == entry.short().name).count();
            prop_assert_eq!(index.of_name(entry.short().name).len(), of_name);
        }
        prop_assert_eq!(index.responses(), model.len() as u64);
        prop_assert_eq!(index.live_bytes(), model.values().map(Entry::bytes).sum::<u64>());
    }
}

#[test]
fn room_is_kept_over_all_directories_until_it_is_given_back() {
    let all = Arc::default();
    let (one, other) = (Index::new(Arc::clone(&all)), Index::new(all));
    one.insert(entry(1, 0, 1, 8));
    let room = other.keep_room(2).unwrap();
    assert!(one.keep_room(2).is_none());
    other.insert(entry(2, 0, 1, 8));
    drop(room);
    assert!(one.keep_room(2).is_none());
    other.clear();
    assert!(one.keep_room(2).is_some() && one.keep_room(2).is_some());
}
