//! Writes small databases (MaxMind DB file format 2.0) for the tests: 192.0.2.0/24 is in Berlin, 198.51.100.0/25 in
//! Japan.

/// A database to write.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fixture {
    ip_version: u16,
    record_bits: u16,
}

/// One node of the tree.
#[derive(Clone, Copy, Default)]
struct Node([Target; 2]);

#[derive(Clone, Copy, Default)]
enum Target {
    #[default]
    Nothing,
    Node(usize),
    Data(usize),
}

impl Fixture {
    /// Every form of the format.
    pub(crate) const ALL: [Self; 6] = [
        Self { ip_version: 4, record_bits: 24 },
        Self { ip_version: 4, record_bits: 28 },
        Self { ip_version: 4, record_bits: 32 },
        Self { ip_version: 6, record_bits: 24 },
        Self { ip_version: 6, record_bits: 28 },
        Self { ip_version: 6, record_bits: 32 },
    ];

    /// The file.
    pub(crate) fn bytes(self) -> Vec<u8> {
        let berlin = berlin();
        let mut nodes = vec![Node::default()];
        self.insert(&mut nodes, [192, 0, 2, 0], 24, 0);
        self.insert(&mut nodes, [198, 51, 100, 0], 25, berlin.len());
        let mut file: Vec<u8> =
            nodes.iter().flat_map(|node| self.node(*node, nodes.len())).collect();
        file.extend([0; 16]);
        file.extend(berlin);
        file.extend(map(&[("country", map(&[("iso_code", text("JP"))]))]));
        file.extend(b"\xab\xcd\xefMaxMind.com");
        file.extend(self.metadata(nodes.len()));
        file
    }

    fn insert(self, nodes: &mut Vec<Node>, network: [u8; 4], length: usize, data: usize) {
        let zeros = if self.ip_version == 6 { 96 } else { 0 };
        let address = u32::from_be_bytes(network);
        let bits =
            std::iter::repeat_n(0, zeros).chain((0..length).map(|bit| address >> (31 - bit) & 1));
        let bits: Vec<usize> = bits.map(|bit| bit as usize).collect();
        let (last, path) = bits.split_last().unwrap();
        let mut at = 0;
        for bit in path {
            at = match nodes[at].0[*bit] {
                Target::Node(next) => next,
                Target::Nothing | Target::Data(_) => {
                    nodes.push(Node::default());
                    let next = nodes.len() - 1;
                    nodes[at].0[*bit] = Target::Node(next);
                    next
                }
            };
        }
        nodes[at].0[*last] = Target::Data(data);
    }

    fn node(self, node: Node, nodes: usize) -> Vec<u8> {
        let number = |target| match target {
            Target::Nothing => nodes,
            Target::Node(node) => node,
            Target::Data(offset) => nodes + 16 + offset,
        };
        let [left, right] =
            node.0.map(|target| u32::try_from(number(target)).unwrap().to_be_bytes());
        match self.record_bits {
            24 => [&left[1..], &right[1..]].concat(),
            28 => [&left[1..], &[left[0] << 4 | right[0]], &right[1..]].concat(),
            _ => [left, right].concat(),
        }
    }

    fn metadata(self, nodes: usize) -> Vec<u8> {
        map(&[
            ("binary_format_major_version", unsigned(5, 2)),
            ("binary_format_minor_version", unsigned(5, 0)),
            (
                "build_epoch",
                [vec![0x08, 0x02], vec![0, 0, 0, 0], vec![0x65, 0x53, 0xf1, 0x00]].concat(),
            ),
            ("database_type", text("Test")),
            ("description", map(&[("en", text("test"))])),
            ("ip_version", unsigned(5, self.ip_version)),
            ("languages", vec![0x00, 0x04]),
            ("node_count", unsigned(6, u16::try_from(nodes).unwrap())),
            ("record_size", unsigned(5, self.record_bits)),
        ])
    }
}

fn berlin() -> Vec<u8> {
    let subdivisions = [vec![0x01, 0x04], map(&[("iso_code", text("BE"))])].concat();
    map(&[
        ("continent", map(&[("code", text("EU")), ("geoname_id", unsigned(6, 6_255))])),
        ("country", map(&[("iso_code", text("DE")), ("is_in_european_union", vec![0x01, 0x07])])),
        ("subdivisions", subdivisions),
        ("location", map(&[("latitude", double(52.5)), ("longitude", double(13.4))])),
    ])
}

/// A control byte has the type in its three high bits and the size in the others; both are small here.
fn control(kind: u8, size: usize) -> u8 {
    assert!(size < 29, "longer sizes are not written");
    kind << 5 | u8::try_from(size).unwrap()
}

fn text(text: &str) -> Vec<u8> {
    [&[control(2, text.len())], text.as_bytes()].concat()
}

fn double(number: f64) -> Vec<u8> {
    [&[control(3, 8)][..], &number.to_be_bytes()].concat()
}

fn unsigned(kind: u8, number: u16) -> Vec<u8> {
    [&[control(kind, 2)][..], &number.to_be_bytes()].concat()
}

fn map(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let members_bytes = members.iter().flat_map(|(key, value)| [text(key), value.clone()].concat());
    [control(7, members.len())].into_iter().chain(members_bytes).collect()
}
