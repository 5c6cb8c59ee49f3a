//! Statuses that a lifetime is given to.

use http::StatusCode;

/// One status, or a class of them (RFC 9110 §15).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statuses {
    /// `404`
    One(StatusCode),
    /// `4xx`, as its first status: 400.
    Class(StatusCode),
}

/// Why a text is neither.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum StatusesError {
    /// Not in the form of either, or interim.
    #[error("must be a status from 200 to 599, or `2xx`, `3xx`, `4xx` or `5xx`")]
    Form,
    /// A status that only answers its own request.
    #[error("is a status that is never stored")]
    NeverStored,
}

impl Statuses {
    /// Reads `404` or `4xx`.
    ///
    /// # Errors
    /// [`StatusesError`], which says what may be written.
    pub fn parse(text: &str) -> Result<Self, StatusesError> {
        let status = |digits: &str| {
            let number = digits.parse().ok().filter(|number| (200..=599).contains(number));
            let plain = digits.len() == 3 && digits.bytes().all(|byte| byte.is_ascii_digit());
            number.filter(|_| plain).and_then(|number| StatusCode::from_u16(number).ok())
        };
        if let Some(first) = text.strip_suffix("xx") {
            return status(&format!("{first}00")).map(Self::Class).ok_or(StatusesError::Form);
        }
        match status(text).ok_or(StatusesError::Form)? {
            StatusCode::PARTIAL_CONTENT
            | StatusCode::NOT_MODIFIED
            | StatusCode::PRECONDITION_FAILED
            | StatusCode::RANGE_NOT_SATISFIABLE => Err(StatusesError::NeverStored),
            status => Ok(Self::One(status)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_three_digits_or_a_class() {
        let check = |text, expected| assert_eq!(Statuses::parse(text), expected, "{text}");
        check("404", Ok(Statuses::One(StatusCode::NOT_FOUND)));
        check("599", Ok(Statuses::One(StatusCode::from_u16(599).unwrap())));
        check("5xx", Ok(Statuses::Class(StatusCode::INTERNAL_SERVER_ERROR)));
        for wrong in ["", "4", "40", "0404", "+404", "4XX", "1xx", "6xx", "xx", "103", "600", "40x"]
        {
            check(wrong, Err(StatusesError::Form));
        }
        for never in ["206", "304", "412", "416"] {
            check(never, Err(StatusesError::NeverStored));
        }
    }
}
