//! Where do log lines go? To stderr, as JSON, filtered by `LONGSHORE_LOG`.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// The environment variable that holds the filter.
const FILTER: &str = "LONGSHORE_LOG";
/// The client of NATS would log each try to connect.
const FILTER_DEFAULT: &str = "info,async_nats=warn";

/// Starts logging.
///
/// # Errors
/// When `LONGSHORE_LOG` is no filter; then by the default one, so that this is said.
pub fn start() -> Result<(), ParseError> {
    let filter = std::env::var(FILTER).unwrap_or_else(|_| FILTER_DEFAULT.to_owned());
    let (filter, result) = match filter.parse() {
        Ok(filter) => (filter, Ok(())),
        Err(error) => (EnvFilter::new(FILTER_DEFAULT), Err(error)),
    };
    let builder = tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(filter);
    // a second start in one process changes nothing
    let _ = builder.with_writer(std::io::stderr).try_init();
    result
}
