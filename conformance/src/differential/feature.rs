//! One thing that a case has and could do without.

pub(crate) mod build;

use std::fmt;
use std::time::{Duration, SystemTime};

/// Where a feature stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The method of the first request, where it isn't GET.
    Method1,
    /// A field of the first request.
    Request1,
    /// The status of the origin's first answer, where it isn't 200.
    Status,
    /// A directive of its Cache-Control.
    Directive,
    /// Another field of it.
    Answer,
    /// An unsafe request after it; the value is the origin's status.
    Between,
    /// What the origin does when it is asked again: a status, or `close`.
    Later,
    /// A field of the origin's 304, beside those of its first answer.
    Update,
    /// The method of the second request, where it isn't GET.
    Method2,
    /// A field of the second request.
    Request2,
}

/// A value; dates are relative to the case's beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Value {
    Text(&'static str),
    /// Seconds from the beginning, in the preferred format (RFC 9110 §5.6.7).
    Date(i64),
    /// The same in the format of RFC 850.
    Rfc850(i64),
    /// The same in the format of asctime.
    Asctime(i64),
}

/// One thing that a case has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Feature {
    pub(crate) place: Place,
    /// Of a field; of a directive, empty.
    pub(crate) name: &'static str,
    pub(crate) value: Value,
}

impl Feature {
    pub(crate) const fn new(place: Place, name: &'static str, value: Value) -> Self {
        Self { place, name, value }
    }
}

impl Value {
    /// As it is written in a message of a case that began at `beginning`.
    pub(crate) fn render(self, beginning: SystemTime) -> String {
        match self {
            Self::Text(text) => text.to_owned(),
            Self::Date(offset) => httpdate::fmt_http_date(moved(beginning, offset)),
            Self::Rfc850(offset) => {
                obsolete(beginning, offset, |[day, date, month, year, time]| {
                    let day = match day {
                        "Tue" => "Tuesday",
                        "Wed" => "Wednesday",
                        "Thu" => "Thursday",
                        "Sat" => "Saturday",
                        "Sun" => "Sunday",
                        "Mon" => "Monday",
                        _ => "Friday",
                    };
                    let year = year.get(2..).unwrap_or_default();
                    format!("{day}, {date}-{month}-{year} {time} GMT")
                })
            }
            Self::Asctime(offset) => {
                obsolete(beginning, offset, |[day, date, month, year, time]| {
                    let date = date.trim_start_matches('0');
                    format!("{day} {month} {date:>2} {time} {year}")
                })
            }
        }
    }
}

fn moved(beginning: SystemTime, offset: i64) -> SystemTime {
    let distance = Duration::from_secs(offset.unsigned_abs());
    if offset < 0 { beginning - distance } else { beginning + distance }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, in another order.
fn obsolete(beginning: SystemTime, offset: i64, write: impl Fn([&str; 5]) -> String) -> String {
    let date = httpdate::fmt_http_date(moved(beginning, offset));
    let mut words = date.split([' ', ',']).filter(|word| !word.is_empty());
    write(std::array::from_fn(|_| words.next().unwrap_or_default()))
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text}"),
            Self::Date(offset) => write!(f, "now{offset:+}"),
            Self::Rfc850(offset) => write!(f, "now{offset:+} as RFC 850"),
            Self::Asctime(offset) => write!(f, "now{offset:+} as asctime"),
        }
    }
}

/// As the triage names it: `answer Expires: now+3600`.
impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, name, value } = self;
        match place {
            Place::Method1 => write!(f, "first {value}"),
            Place::Request1 => write!(f, "first {name}: {value}"),
            Place::Status => write!(f, "answer {value}"),
            Place::Directive => write!(f, "answer Cache-Control: {value}"),
            Place::Answer if *name == "Cache-Control" => {
                write!(f, "answer second Cache-Control: {value}")
            }
            Place::Answer => write!(f, "answer {name}: {value}"),
            Place::Between => write!(f, "between {name} {value}"),
            Place::Later => write!(f, "later {value}"),
            Place::Update => write!(f, "update {name}: {value}"),
            Place::Method2 => write!(f, "second {value}"),
            Place::Request2 => write!(f, "second {name}: {value}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_in_three_formats() {
        let beginning = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 - 60);
        let check = |value: Value, expected| assert_eq!(value.render(beginning), expected);
        check(Value::Date(60), "Sun, 06 Nov 1994 08:49:37 GMT");
        check(Value::Rfc850(60), "Sunday, 06-Nov-94 08:49:37 GMT");
        check(Value::Asctime(60), "Sun Nov  6 08:49:37 1994");
        check(Value::Date(-60), "Sun, 06 Nov 1994 08:47:37 GMT");
    }
}
