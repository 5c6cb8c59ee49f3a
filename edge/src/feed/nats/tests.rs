use super::*;
use async_nats::HeaderMap;

fn message(fields: &[(&str, &str)], payload: &[u8]) -> async_nats::Message {
    let mut headers = HeaderMap::new();
    fields.iter().for_each(|(name, value)| headers.insert(*name, *value));
    async_nats::Message {
        subject: "longshore.feed.x".into(),
        reply: None,
        payload: payload.to_vec().into(),
        headers: Some(headers),
        status: None,
        description: None,
        length: 0,
    }
}

#[test]
fn a_message_has_its_place_and_the_one_before() {
    let numbers = [(NATS_SEQ, "9"), (NATS_PREV, "7")];
    let expected = Some(Message { seq: 9, prev: 7, text: "{}".to_owned() });
    assert_eq!(read(&message(&numbers, b"{}")), expected);
    let compressed = zstd::bulk::compress(b"{}", 1).unwrap();
    let coded = |coding| [numbers[0], numbers[1], ("Content-Encoding", coding)];
    assert_eq!(read(&message(&coded("zstd"), &compressed)), expected);
    assert_eq!(read(&message(&coded("br"), &compressed)), None);
    assert_eq!(read(&message(&coded("zstd"), b"{}")), None);
    assert_eq!(read(&message(&numbers[..1], b"{}")), None);
    assert_eq!(read(&message(&[(NATS_SEQ, "x"), (NATS_PREV, "7")], b"{}")), None);
    let large = zstd::bulk::compress(&vec![b' '; EVENT_MAX_BYTES + 1], 1).unwrap();
    assert_eq!(read(&message(&coded("zstd"), &large)), None);
}
