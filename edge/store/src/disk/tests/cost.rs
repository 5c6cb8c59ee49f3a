//! What a read costs, and of it the system call and the checksum.

use super::*;

#[tokio::test]
#[ignore = "a measurement, not a check: run with --release --nocapture"]
async fn what_a_read_from_the_page_cache_costs() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = options(&[directory.path()]);
    options.directories[0].capacity_bytes = 512 * MIB;
    let disk = open(&options);
    for length in [1 << 10, 16 << 10, 128 << 10, 1_000_000] {
        for of in 0..50 {
            put(&disk, of, key(of, 0), of, bytes(of, length));
        }
        written(&disk);
        let (rounds, mut read) = (200_000_000 / (length as u64 + 20_000), 0);
        let names: Vec<_> = (0..50).map(name).collect();
        let began = Instant::now();
        for round in 0..rounds {
            let of = round % 50;
            match disk.find_now(&key(of, 0), &names[usize::try_from(of).unwrap()]) {
                Now::Found(Stored::Read { body: StoredBody::Whole(body), .. }) => {
                    read += body.len();
                }
                _ => panic!("it is in the page cache"),
            }
        }
        let each = began.elapsed().as_nanos() / u128::from(rounds);
        let file = std::fs::File::open(&segments(directory.path())[0]).unwrap();
        let began = Instant::now();
        for _ in 0..rounds {
            now::read(&file, 4_096, length).unwrap();
        }
        let bare = began.elapsed().as_nanos() / u128::from(rounds);
        let body = bytes(1, length);
        let began = Instant::now();
        let sum: u64 = (0..rounds)
            .map(|_| record::checksum(std::hint::black_box(&body)))
            .fold(0, u64::wrapping_add);
        let sums = began.elapsed().as_nanos() / u128::from(rounds);
        println!(
            "{length} bytes: {each} ns, of it {bare} preadv2, {sums} checksum ({read}, {sum})"
        );
    }
}
