//! Configurations with `{{name}}` where a port or a directory belongs.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// Writes the configuration at `source` into `directory` with every `{{name}}` filled in, `{{directory}}` among them.
pub(crate) fn fill(source: &Path, directory: &Path, values: &[(&str, String)]) -> Result<PathBuf> {
    let mut text = std::fs::read_to_string(source)
        .with_context(|| format!("can't read {}", source.display()))?;
    let own = ("directory", directory.display().to_string());
    for (name, value) in values.iter().chain([&own]) {
        text = text.replace(&format!("{{{{{name}}}}}"), value);
    }
    if let Some((_, rest)) = text.split_once("{{") {
        let name = rest.split("}}").next().unwrap_or_default();
        bail!("nothing to fill in for `{name}` in {}", source.display());
    }
    let name = source.file_name().context("a configuration is a file")?;
    let target = directory.join(name);
    std::fs::write(&target, text)?;
    Ok(target)
}
