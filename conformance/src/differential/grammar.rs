//! What random cases are made of: realistic heads and nasty ones.
//!
//! Values are few and far from every border in time, so that a case means the same a second later, and differences
//! with one cause get one signature.

use super::case::Case;
use super::feature::build::{answer, answer_date, between, cc, first, second, second_date, status};
use super::feature::{Feature, Place, Value};
use super::random::Random;

/// Of 100 cases, `percent` get one of the bundles; of these, each further one with the same chance, up to `most`.
struct Dimension {
    percent: u64,
    most: usize,
    bundles: &'static [&'static [Feature]],
}

const ETAG: Feature = answer("ETag", "\"a\"");
const WEAK: Feature = answer("ETag", "W/\"a\"");
const MODIFIED: Feature = answer_date("Last-Modified", -864_000);

const STATUS: Dimension = Dimension {
    percent: 25,
    most: 1,
    bundles: &[
        &[status("203")],
        &[status("204")],
        &[status("299")],
        &[status("300")],
        &[status("301")],
        &[status("302")],
        &[status("303")],
        &[status("307")],
        &[status("308")],
        &[status("400")],
        &[status("403")],
        &[status("404")],
        &[status("405")],
        &[status("410")],
        &[status("414")],
        &[status("421")],
        &[status("451")],
        &[status("499")],
        &[status("500")],
        &[status("501")],
        &[status("503")],
        &[status("599")],
    ],
};

/// Lifetimes, right and wrong. The first ones are there more often: without a lifetime little happens.
const LIFETIME: Dimension = Dimension {
    percent: 70,
    most: 2,
    bundles: &[
        &[cc("max-age=3600")],
        &[cc("max-age=3600")],
        &[cc("max-age=3600")],
        &[cc("max-age=3600")],
        &[cc("s-maxage=3600")],
        &[cc("s-maxage=3600")],
        &[cc("max-age=0")],
        &[cc("s-maxage=0")],
        &[cc("MAX-AGE=3600")],
        &[cc("max-age=\"3600\"")],
        &[cc("max-age=3600.5")],
        &[cc("max-age=-3600")],
        &[cc("max-age=abc")],
        &[cc("max-age=3600abc")],
        &[cc("max-age")],
        &[cc("max-age =3600")],
        &[cc("max-age=99999999999")],
        &[cc("s-maxage=abc")],
        &[cc("a=\"b\", max-age=3600")],
        &[cc("a=\"max-age=3600\"")],
        &[cc("x-max-age=3600")],
    ],
};

const DIRECTIVE: Dimension = Dimension {
    percent: 45,
    most: 3,
    bundles: &[
        &[cc("public")],
        &[cc("public")],
        &[cc("must-revalidate")],
        &[cc("must-revalidate")],
        &[cc("proxy-revalidate")],
        &[cc("private")],
        &[cc("PRIVATE")],
        &[cc("no-store")],
        &[cc("No-Store")],
        &[cc("no-store=1")],
        &[cc("no-cache")],
        &[cc("private=\"X-Listed\""), answer("X-Listed", "1")],
        &[cc("no-cache=\"X-Listed\""), answer("X-Listed", "1")],
        &[cc("must-understand"), cc("no-store")],
        &[cc("immutable")],
        &[cc("no-transform")],
        &[cc("stale-while-revalidate=3600")],
        &[cc("stale-while-revalidate=36000"), answer("Age", "7200")],
        &[cc("stale-if-error=36000")],
        &[cc("extension")],
        &[cc("extension=\"no-store\"")],
        &[cc("extension=\"a, no-store, b\"")],
        &[cc("no-store-not")],
        &[cc("")],
    ],
};

const EXPIRES: Dimension = Dimension {
    percent: 25,
    most: 1,
    bundles: &[
        &[answer_date("Expires", 3_600)],
        &[answer_date("Expires", 3_600)],
        &[answer_date("Expires", -3_600)],
        &[answer("Expires", "0")],
        &[answer("Expires", "-1")],
        &[answer("Expires", "tomorrow")],
        &[answer("Expires", "Thu, 18 Aug 2050 02:01:18")],
        &[answer("Expires", "Thu, 18 Aug 2050 02:01:18 UTC")],
        &[answer("Expires", "thu, 18 aug 2050 02:01:18 gmt")],
        &[answer("Expires", "Thu, 18 Aug 2050 2:01:18 GMT")],
        &[answer("Expires", "Thu, 18-Aug-2050 02:01:18 GMT")],
        &[Feature::new(Place::Answer, "Expires", Value::Rfc850(3_600))],
        &[Feature::new(Place::Answer, "Expires", Value::Asctime(3_600))],
    ],
};

const DATE: Dimension = Dimension {
    percent: 15,
    most: 1,
    bundles: &[
        &[answer_date("Date", -1_800)],
        &[answer_date("Date", -7_200)],
        &[answer_date("Date", 1_800)],
        &[answer("Date", "yesterday")],
        &[answer("Date", "none")],
    ],
};

const AGE: Dimension = Dimension {
    percent: 25,
    most: 1,
    bundles: &[
        &[answer("Age", "1800")],
        &[answer("Age", "7200")],
        &[answer("Age", "7200")],
        &[answer("Age", "7200")],
        &[answer("Age", "-7200")],
        &[answer("Age", "abc")],
        &[answer("Age", "7200.5")],
        &[answer("Age", "\"7200\"")],
        &[answer("Age", "0, 7200")],
        &[answer("Age", "7200, 0")],
        &[answer("Age", "99999999999")],
    ],
};

const VALIDATOR: Dimension = Dimension {
    percent: 50,
    most: 2,
    bundles: &[
        &[ETAG],
        &[ETAG],
        &[WEAK],
        &[answer("ETag", "a")],
        &[answer("ETag", "\"\"")],
        &[MODIFIED],
        &[MODIFIED],
        &[answer_date("Last-Modified", 3_600)],
        &[answer("Last-Modified", "long ago")],
        &[Feature::new(Place::Answer, "Last-Modified", Value::Rfc850(-864_000))],
    ],
};

const OTHER: Dimension = Dimension {
    percent: 25,
    most: 1,
    bundles: &[
        &[answer("Set-Cookie", "a=b")],
        &[answer("Set-Cookie", "a=b")],
        &[answer("Pragma", "no-cache")],
        &[answer("Connection", "X-Listed"), answer("X-Listed", "1")],
        // a second line
        &[answer("Cache-Control", "max-age=0")],
        &[answer("Cache-Control", "max-age=3600")],
        &[answer("Cache-Control", "no-store")],
        &[answer("Cache-Control", "s-maxage=3600, public")],
        &[answer("Warning", "110 - \"Response is Stale\"")],
    ],
};

const VARY: Dimension = Dimension {
    percent: 15,
    most: 1,
    bundles: &[
        &[answer("Vary", "X-Variant")],
        &[answer("Vary", "X-Variant"), first("X-Variant", "1"), second("X-Variant", "1")],
        &[answer("Vary", "X-Variant"), first("X-Variant", "1"), second("X-Variant", "2")],
        &[answer("Vary", "X-Variant"), first("X-Variant", "1")],
        &[answer("Vary", "X-Variant"), second("X-Variant", "1")],
        &[answer("Vary", "X-Variant"), first("X-Variant", "1, 2"), second("X-Variant", "1,2")],
        &[answer("Vary", "x-variant"), first("X-Variant", "1"), second("X-Variant", "2")],
        &[answer("Vary", "*")],
        &[answer("Vary", "X-Variant, *")],
        &[answer("Vary", "Accept-Encoding"), first("Accept-Encoding", "gzip")],
        &[
            answer("Vary", "Accept-Language"),
            first("Accept-Language", "de, en"),
            second("Accept-Language", "en, de"),
        ],
        &[answer("Vary", ""), first("X-Variant", "1"), second("X-Variant", "2")],
        &[answer("Vary", "Cookie"), first("Cookie", "a=b"), second("Cookie", "a=c")],
    ],
};

const REQUEST: Dimension = Dimension {
    percent: 30,
    most: 2,
    bundles: &[
        &[first("Authorization", "Basic YTpi")],
        &[second("Authorization", "Basic YTpi")],
        &[first("Authorization", "Basic YTpi"), second("Authorization", "Basic YTpi")],
        &[first("Cookie", "a=b"), second("Cookie", "a=b")],
        &[first("Cache-Control", "no-store")],
        &[first("Cache-Control", "no-cache")],
        &[second("Cache-Control", "no-store")],
        &[second("Cache-Control", "no-cache")],
        &[second("Cache-Control", "No-Cache")],
        &[second("Cache-Control", "max-age=0")],
        &[second("Cache-Control", "max-age=600"), answer("Age", "1800")],
        &[second("Cache-Control", "max-age=abc")],
        &[second("Cache-Control", "min-fresh=600")],
        &[second("Cache-Control", "min-fresh=360000")],
        &[second("Cache-Control", "max-stale"), answer("Age", "7200")],
        &[second("Cache-Control", "max-stale=60"), answer("Age", "7200")],
        &[second("Cache-Control", "max-stale=36000"), answer("Age", "7200")],
        &[second("Cache-Control", "only-if-cached")],
        &[second("Cache-Control", "extension=\"no-cache\"")],
        &[second("Pragma", "no-cache")],
        &[first("Pragma", "no-cache")],
    ],
};

const CONDITION: Dimension = Dimension {
    percent: 25,
    most: 2,
    bundles: &[
        &[second("If-None-Match", "\"a\""), ETAG],
        &[second("If-None-Match", "\"a\""), WEAK],
        &[second("If-None-Match", "W/\"a\""), ETAG],
        &[second("If-None-Match", "\"b\""), ETAG],
        &[second("If-None-Match", "\"b\", \"a\""), ETAG],
        &[second("If-None-Match", "a"), ETAG],
        &[second("If-None-Match", "*")],
        &[second_date("If-Modified-Since", -864_000), MODIFIED],
        &[second_date("If-Modified-Since", -60), MODIFIED],
        &[second_date("If-Modified-Since", -900_000), MODIFIED],
        &[second_date("If-Modified-Since", -60)],
        &[second("If-Modified-Since", "long ago"), MODIFIED],
        &[second("If-Match", "\"a\""), ETAG],
        &[second("If-Match", "\"b\""), ETAG],
        &[second("If-Match", "\"a\""), WEAK],
        &[second("If-Match", "*")],
        &[second_date("If-Unmodified-Since", -864_000), MODIFIED],
        &[second_date("If-Unmodified-Since", -900_000), MODIFIED],
    ],
};

const RANGE: Dimension = Dimension {
    percent: 15,
    most: 1,
    bundles: &[
        &[second("Range", "bytes=0-3")],
        &[second("Range", "bytes=4-")],
        &[second("Range", "bytes=-4")],
        &[second("Range", "bytes=0-999999")],
        &[second("Range", "bytes=999999-")],
        &[second("Range", "bytes=-0")],
        &[second("Range", "bytes=3-1")],
        &[second("Range", "bytes=a-b")],
        &[second("Range", "items=0-3")],
        &[second("Range", "BYTES=0-3")],
        &[second("Range", "bytes=0-3"), second("If-Range", "\"a\""), ETAG],
        &[second("Range", "bytes=0-3"), second("If-Range", "\"b\""), ETAG],
        &[second("Range", "bytes=0-3"), second("If-Range", "W/\"a\""), WEAK],
        &[second("Range", "bytes=0-3"), second_date("If-Range", -864_000), MODIFIED],
        &[second("Range", "bytes=0-3"), second_date("If-Range", -60), MODIFIED],
    ],
};

const EVENT: Dimension = Dimension {
    percent: 25,
    most: 1,
    bundles: &[
        &[Feature::new(Place::Method1, "", Value::Text("HEAD"))],
        &[first("Range", "bytes=0-3")],
        &[Feature::new(Place::Method2, "", Value::Text("HEAD"))],
        &[Feature::new(Place::Method2, "", Value::Text("HEAD"))],
        &[between("POST", "200")],
        &[between("PUT", "204")],
        &[between("DELETE", "200")],
        &[between("POST", "303")],
        &[between("POST", "404")],
        &[between("DELETE", "500")],
        &[Feature::new(Place::Later, "", Value::Text("503")), answer("Age", "7200")],
        &[Feature::new(Place::Later, "", Value::Text("500")), answer("Age", "7200")],
        &[Feature::new(Place::Later, "", Value::Text("close")), answer("Age", "7200")],
        &[Feature::new(Place::Later, "", Value::Text("404")), answer("Age", "7200")],
        &[Feature::new(Place::Update, "X-Kept", Value::Text("2")), answer("Age", "7200"), ETAG],
        &[Feature::new(Place::Update, "X-New", Value::Text("1")), answer("Age", "7200"), ETAG],
    ],
};

const DIMENSIONS: [Dimension; 13] = [
    STATUS, LIFETIME, DIRECTIVE, EXPIRES, DATE, AGE, VALIDATOR, OTHER, VARY, REQUEST, CONDITION,
    RANGE, EVENT,
];

/// The usual form of what `feature` says in another, or with more in it, so that differences with one cause come to
/// look the same.
pub(crate) fn plainer(feature: Feature) -> Option<Feature> {
    let plain = match (feature.place, feature.name) {
        (Place::Directive, _) if feature.value.to_string().to_lowercase().contains("max") => {
            cc("max-age=3600")
        }
        (Place::Status, _) if feature.value.to_string().as_str() < "400" => status("301"),
        (Place::Status, _) => status("404"),
        (Place::Answer, "ETag") => ETAG,
        (Place::Answer, "Last-Modified") => MODIFIED,
        (Place::Answer, "Expires") => answer_date("Expires", 3_600),
        (Place::Answer, "Cache-Control") if feature.value.to_string().contains("max") => {
            cc("max-age=3600")
        }
        (Place::Answer, "Age") => answer("Age", "7200"),
        (Place::Later, _) => Feature::new(Place::Later, "", Value::Text("503")),
        (Place::Between, _) => between("POST", "200"),
        (Place::Request2, "Range") => second("Range", "bytes=0-3"),
        (Place::Request2, "If-None-Match") => second("If-None-Match", "\"a\""),
        (Place::Request2, "If-Modified-Since") => second_date("If-Modified-Since", -864_000),
        _ => return None,
    };
    (plain != feature).then_some(plain)
}

/// The next case.
#[must_use]
pub fn random_case(random: &mut Random) -> Case {
    let mut case = Case::default();
    for dimension in &DIMENSIONS {
        let mut left = dimension.most;
        while left > 0 && random.chance(dimension.percent) {
            case.add(random.choose(dimension.bundles));
            left -= 1;
        }
    }
    case
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_cases_again() {
        let cases = |seed| {
            let mut random = Random::new(seed);
            (0..50).map(|_| random_case(&mut random)).collect::<Vec<_>>()
        };
        assert_eq!(cases(7), cases(7));
        assert_ne!(cases(7), cases(8));
    }
}
