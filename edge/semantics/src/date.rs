//! When is this HTTP-date? RFC 9110 §5.6.7, all three formats.
//!
//! Letters may have either case, as recipients are asked to be robust; punctuation and widths may not
//! vary. A weekday must be one but needn't be the right one. Formatting dates is the edge's.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const WEEKDAYS: [&[u8]; 7] =
    [b"monday", b"tuesday", b"wednesday", b"thursday", b"friday", b"saturday", b"sunday"];
const MONTHS: [&[u8; 3]; 12] = [
    b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec",
];
const SECONDS_PER_YEAR: u64 = 31_556_952;

/// A calendar day, and seconds into it.
#[derive(Clone, Copy, Debug)]
struct Civil {
    year: i64,
    month: i64,
    day: i64,
    second: i64,
}

/// Parses an HTTP-date. `now` places the two-digit year of the RFC 850 format, which never means more
/// than fifty years ahead.
pub(crate) fn parse(value: &[u8], now: SystemTime) -> Option<SystemTime> {
    if let Some(civil) = imf_fixdate(value).or_else(|| asctime(value)) {
        return civil.time();
    }
    rfc_850(value, now)
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn imf_fixdate(value: &[u8]) -> Option<Civil> {
    let [w0, w1, w2, b',', b' ', d0, d1, b' ', m0, m1, m2, b' ', y0, y1, y2, y3, b' ', rest @ ..] =
        value
    else {
        return None;
    };
    short_weekday([*w0, *w1, *w2])?;
    Some(Civil {
        year: number(&[*y0, *y1, *y2, *y3])?,
        month: month([*m0, *m1, *m2])?,
        day: number(&[*d0, *d1])?,
        second: time_gmt(rest)?,
    })
}

/// `Sun Nov  6 08:49:37 1994`
fn asctime(value: &[u8]) -> Option<Civil> {
    let [w0, w1, w2, b' ', m0, m1, m2, b' ', d0, d1, b' ', clock @ .., b' ', y0, y1, y2, y3] =
        value
    else {
        return None;
    };
    short_weekday([*w0, *w1, *w2])?;
    let tens = if *d0 == b' ' { b'0' } else { *d0 };
    Some(Civil {
        year: number(&[*y0, *y1, *y2, *y3])?,
        month: month([*m0, *m1, *m2])?,
        day: number(&[tens, *d1])?,
        second: time(clock)?,
    })
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`
fn rfc_850(value: &[u8], now: SystemTime) -> Option<SystemTime> {
    let comma = value.iter().position(|&byte| byte == b',')?;
    let (weekday, rest) = value.split_at(comma);
    WEEKDAYS.iter().find(|name| weekday.eq_ignore_ascii_case(name))?;
    let [b',', b' ', d0, d1, b'-', m0, m1, m2, b'-', y0, y1, b' ', rest @ ..] = rest else {
        return None;
    };
    let civil = Civil {
        year: 2000 + number(&[*y0, *y1])?,
        month: month([*m0, *m1, *m2])?,
        day: number(&[*d0, *d1])?,
        second: time_gmt(rest)?,
    };
    let horizon = now.checked_add(Duration::from_secs(50 * SECONDS_PER_YEAR))?;
    match civil.time() {
        Some(time) if time <= horizon => Some(time),
        _ => Civil { year: civil.year - 100, ..civil }.time(),
    }
}

fn time_gmt(value: &[u8]) -> Option<i64> {
    let [clock @ .., b' ', z0, z1, z2] = value else { return None };
    if [*z0, *z1, *z2].eq_ignore_ascii_case(b"gmt") { time(clock) } else { None }
}

/// `08:49:37`, with a leap second allowed.
fn time(value: &[u8]) -> Option<i64> {
    let [h0, h1, b':', m0, m1, b':', s0, s1] = value else { return None };
    let (hour, minute, second) = (number(&[*h0, *h1])?, number(&[*m0, *m1])?, number(&[*s0, *s1])?);
    let valid = hour < 24 && minute < 60 && second <= 60;
    valid.then_some(hour * 3600 + minute * 60 + second)
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |value, digit| {
        digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0'))
    })
}

fn short_weekday(name: [u8; 3]) -> Option<()> {
    WEEKDAYS
        .iter()
        .any(|weekday| weekday.starts_with(&name.map(|b| b.to_ascii_lowercase())))
        .then_some(())
}

fn month(name: [u8; 3]) -> Option<i64> {
    (1..).zip(MONTHS).find(|(_, month)| name.eq_ignore_ascii_case(*month)).map(|(number, _)| number)
}

impl Civil {
    /// `None` for a day that isn't in the calendar.
    fn time(self) -> Option<SystemTime> {
        if self.day < 1 || self.day > self.days_in_month() {
            return None;
        }
        let seconds = self.days_since_epoch() * 86_400 + self.second;
        let distance = Duration::from_secs(seconds.unsigned_abs());
        if seconds < 0 {
            UNIX_EPOCH.checked_sub(distance)
        } else {
            UNIX_EPOCH.checked_add(distance)
        }
    }

    fn days_in_month(self) -> i64 {
        let leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        match self.month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    /// Counts in years that begin in March, so that the leap day is a year's last.
    fn days_since_epoch(self) -> i64 {
        let year = if self.month <= 2 { self.year - 1 } else { self.year };
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let day_of_year = (153 * ((self.month + 9) % 12) + 2) / 5 + self.day - 1;
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year
            - 719_468
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::now;

    fn seconds(value: &str) -> Option<i64> {
        let time = parse(value.as_bytes(), now())?;
        Some(match time.duration_since(UNIX_EPOCH) {
            Ok(after) => after.as_secs().cast_signed(),
            Err(before) => -before.duration().as_secs().cast_signed(),
        })
    }

    #[test]
    fn three_formats_name_the_same_second() {
        let check = |value: &str| assert_eq!(seconds(value), Some(784_111_777), "{value}");
        check("Sun, 06 Nov 1994 08:49:37 GMT");
        check("Sunday, 06-Nov-94 08:49:37 GMT");
        check("Sun Nov  6 08:49:37 1994");
        check("SUN, 06 NOV 1994 08:49:37 gMT");
    }

    #[test]
    fn a_two_digit_year_is_at_most_fifty_years_ahead() {
        let check = |value, expected| assert_eq!(seconds(value), Some(expected), "{value}");
        check("Thursday, 18-Aug-50 02:01:18 GMT", 2_544_400_878);
        check("Monday, 01-Jan-73 00:00:00 GMT", 3_250_454_400);
        check("Tuesday, 01-Jan-75 00:00:00 GMT", 157_766_400);
    }

    #[test]
    fn malformed_dates_are_no_dates() {
        let check = |value: &str| assert_eq!(seconds(value), None, "{value}");
        check("");
        check("0");
        check("-1");
        check("Thu, 18 Aug 2050 02:01:18 UTC");
        check("Thu, 18 Aug 2050 02:01:18 AEST");
        check("Thu, 18 Aug 50 02:01:18 GMT");
        check("Thu 18 Aug 2050 02:01:18 GMT");
        check("Thu, 18  Aug  2050 02:01:18 GMT");
        check("Thu, 18-Aug-2050 02:01:18 GMT");
        check("Thu, 18 Aug 2050 02.01.18 GMT");
        check("Thu, 18 Aug 2050 2:01:18 GMT");
        check("Thu, 31 Feb 2050 02:01:18 GMT");
        check("Thu, 00 Aug 2050 02:01:18 GMT");
        check("Thu, 18 Aug 2050 24:01:18 GMT");
        check("Xyz, 18 Aug 2050 02:01:18 GMT");
        check("Thu, 18 Aug 2050 02:01:18 GMT ");
    }

    #[test]
    fn dates_outside_32_bits_are_dates() {
        assert_eq!(seconds("Sun, 21 Nov 2286 04:46:39 GMT"), Some(9_999_999_999 + 39_600));
        assert_eq!(seconds("Thu, 29 Feb 1968 00:00:00 GMT"), Some(-58_060_800));
    }

    proptest! {
        #[test]
        fn every_formatted_second_is_parsed_back(at in 0_u64..253_402_300_799) {
            let time = UNIX_EPOCH + Duration::from_secs(at);
            prop_assert_eq!(parse(httpdate::fmt_http_date(time).as_bytes(), now()), Some(time));
        }

        #[test]
        fn any_bytes_can_be_parsed(value in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = parse(&value, now());
        }
    }
}
