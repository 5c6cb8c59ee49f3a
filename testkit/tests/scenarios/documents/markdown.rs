//! As much of Markdown as our pages use.

use std::path::{Path, PathBuf};

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A page.
pub(crate) struct Document {
    /// From the root.
    path: String,
    text: String,
}

/// A fenced block.
pub(crate) struct Block {
    /// Its language.
    pub(crate) language: String,
    /// File and line of its first line.
    pub(crate) place: String,
    pub(crate) text: String,
}

impl Document {
    pub(crate) fn read(path: &str) -> Self {
        let text = std::fs::read_to_string(root().join(path));
        let text = text.unwrap_or_else(|error| panic!("{path}: {error}"));
        Self { path: path.to_owned(), text }
    }

    /// Every page directly in a directory.
    pub(crate) fn in_directory(directory: &str) -> Vec<Self> {
        let entries = std::fs::read_dir(root().join(directory)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let pages = names.filter(|name| name.ends_with(".md"));
        let path = |name: String| Path::new(directory).join(name).to_str().unwrap().to_owned();
        pages.map(|name| Self::read(&path(name))).collect()
    }

    /// All fenced blocks, in order.
    pub(crate) fn all_blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        for (number, line) in self.text.lines().enumerate() {
            match (line.strip_prefix("```"), &mut open) {
                (Some(language), None) => {
                    let place = format!("{}:{}", self.path, number + 2);
                    let (language, text) = (language.to_owned(), String::new());
                    open = Some(Block { language, place, text });
                }
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (None, Some(block)) => {
                    block.text.push_str(line);
                    block.text.push('\n');
                }
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a block is not closed", self.path);
        blocks
    }

    pub(crate) fn blocks(&self, language: &str) -> impl Iterator<Item = Block> {
        self.all_blocks().into_iter().filter(move |block| block.language == language)
    }

    /// The lines outside of fenced blocks.
    fn prose(&self) -> impl Iterator<Item = &str> {
        let mut fenced = false;
        self.text.lines().filter(move |line| {
            let fence = line.starts_with("```");
            fenced ^= fence;
            !fenced && !fence
        })
    }

    pub(crate) fn headings(&self) -> impl Iterator<Item = &str> {
        self.prose()
            .filter(|line| line.starts_with('#'))
            .map(|line| line.trim_start_matches('#').trim())
    }

    /// The cells of every row of every table, but for the lines under the heads.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Vec<&str>> {
        let rows = self.prose().filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
        rows.filter(|row| !row.starts_with("---"))
            .map(|row| row.split('|').map(str::trim).collect())
    }

    /// Relative links whose file or section is not there.
    pub(crate) fn broken_links(&self) -> Vec<String> {
        let links = self.prose().flat_map(|line| line.split("](").skip(1));
        let targets = links.filter_map(|rest| rest.split(')').next());
        let relative = targets.filter(|target| !target.contains("://"));
        let broken = relative.filter(|target| !self.leads_somewhere(target));
        broken.map(|target| format!("{}: {target}", self.path)).collect()
    }

    fn leads_somewhere(&self, target: &str) -> bool {
        let (file, section) = target.split_once('#').unwrap_or((target, ""));
        let directory = Path::new(&self.path).parent().unwrap();
        let path = if file.is_empty() { self.path.clone().into() } else { directory.join(file) };
        if !root().join(&path).exists() {
            return false;
        }
        section.is_empty()
            || Self::read(path.to_str().unwrap())
                .headings()
                .any(|heading| anchor(heading) == section)
    }
}

/// What a heading is called in a link.
fn anchor(heading: &str) -> String {
    let kept = |character: &char| character.is_alphanumeric() || " -_".contains(*character);
    heading.to_lowercase().chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
}
