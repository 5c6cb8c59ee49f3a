//! How many files may this process have open?

use crate::config::Config;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A client's connection, and one to an origin for it.
const FILES_PER_CONNECTION: u64 = 2;
const FILES_PER_DIRECTORY: u64 = 1_100;
const OTHER_FILES: u64 = 256;

/// Allows as many as the system lets this process have, and says where that is not enough for what is configured.
pub(super) fn allow(config: &Config) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!(%error, "the limit on open files can't be raised");
    }
    let needed = (config.http.connections_max as u64).saturating_mul(FILES_PER_CONNECTION)
        + config.disk.directories.len() as u64 * FILES_PER_DIRECTORY
        + OTHER_FILES;
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if allowed < needed {
        tracing::warn!(
            files.allowed = allowed,
            files.needed = needed,
            "so many clients at once as http.connections_max allows, and all files of the disk tier, need more open \
             files than the system lets this process have (LimitNOFILE, ulimit -n)"
        );
    }
}
