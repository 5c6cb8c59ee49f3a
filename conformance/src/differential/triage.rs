//! Verdicts on differences, from a file that people write.

use super::shrink::Signature;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Who is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The peer does something else than the standard says, or less well.
    OursRight,
    /// Ours does.
    TheirsRight,
    /// The standard leaves both open.
    Allowed,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::OursRight => "ours right",
            Self::TheirsRight => "theirs right",
            Self::Allowed => "allowed",
        })
    }
}

/// The file: the first rule that fits a signature decides.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Triage {
    /// Patterns under a name; `@name` stands for them.
    #[serde(default)]
    sets: BTreeMap<String, Vec<String>>,
    /// In their order.
    #[serde(default)]
    difference: Vec<Rule>,
}

/// A verdict on every signature that fits. In texts, `*` stands for anything.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    /// `ats` or `varnish`; left out, it is both.
    #[serde(default = "anything")]
    peer: String,
    #[serde(default = "anything")]
    ours: String,
    #[serde(default = "anything")]
    theirs: String,
    /// Each of these has to be among the features; of a set, one of its patterns.
    #[serde(default)]
    features: Vec<String>,
    /// These may be among them too, and no others.
    #[serde(default)]
    with: Vec<String>,
    /// None of these may be among them.
    #[serde(default)]
    without: Vec<String>,
    verdict: Verdict,
    /// Where it is said.
    section: String,
    /// One sentence.
    reason: String,
}

fn anything() -> String {
    "*".to_owned()
}

/// Signatures with one verdict, and how many cases had each.
#[derive(Debug, Serialize)]
pub struct Counted {
    /// Who is right; `None` without a rule.
    pub verdict: Option<Verdict>,
    /// Where it is said.
    pub section: String,
    /// Why.
    pub reason: String,
    /// Cases of all the signatures.
    pub cases: usize,
    /// The signatures, the most frequent one first.
    pub signatures: Vec<(usize, Signature)>,
}

impl Triage {
    /// Groups differences by the rule that decides them, the most frequent first.
    #[must_use]
    pub fn count(&self, differences: Vec<Signature>) -> Vec<Counted> {
        let mut counts: BTreeMap<Signature, usize> = BTreeMap::new();
        for signature in differences {
            *counts.entry(signature).or_default() += 1;
        }
        let mut groups: BTreeMap<Option<usize>, Counted> = BTreeMap::new();
        for (signature, cases) in counts {
            let rule = self.difference.iter().position(|rule| self.fits(rule, &signature));
            let group = groups.entry(rule).or_insert_with(|| self.group(rule));
            group.cases += cases;
            group.signatures.push((cases, signature));
        }
        let mut groups: Vec<Counted> = groups.into_values().collect();
        for group in &mut groups {
            group.signatures.sort_by(|(one, _), (other, _)| other.cmp(one));
        }
        groups.sort_by_key(|group| std::cmp::Reverse(group.cases));
        groups
    }

    fn group(&self, rule: Option<usize>) -> Counted {
        let rule = rule.and_then(|index| self.difference.get(index));
        Counted {
            verdict: rule.map(|rule| rule.verdict),
            section: rule.map(|rule| rule.section.clone()).unwrap_or_default(),
            reason: rule.map_or_else(|| "no verdict yet".to_owned(), |rule| rule.reason.clone()),
            cases: 0,
            signatures: Vec::new(),
        }
    }

    fn fits(&self, rule: &Rule, signature: &Signature) -> bool {
        let Signature { peer, ours, theirs, features } = signature;
        let any = |patterns: &[String], feature: &String| {
            patterns.iter().any(|pattern| self.is(pattern, feature))
        };
        fits(&rule.peer, peer)
            && fits(&rule.ours, ours)
            && fits(&rule.theirs, theirs)
            && features.iter().all(|own| any(&rule.features, own) || any(&rule.with, own))
            && rule.features.iter().all(|pattern| features.iter().any(|own| self.is(pattern, own)))
            && !features.iter().any(|own| any(&rule.without, own))
    }

    /// Whether a feature is what a pattern, or one of the set it names, says.
    fn is(&self, pattern: &str, feature: &str) -> bool {
        match pattern.strip_prefix('@') {
            None => fits(pattern, feature),
            Some(name) => {
                self.sets.get(name).is_some_and(|set| set.iter().any(|one| fits(one, feature)))
            }
        }
    }
}

/// Whether `text` is `pattern`, in which `*` stands for any run of characters.
fn fits(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(start) else { return false };
    let ends = text.char_indices().map(|(index, _)| index).chain([text.len()]);
    ends.filter_map(|index| text.get(index..)).any(|end| fits(rest, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(ours: &str, features: &[&str]) -> Signature {
        Signature {
            peer: "ats".to_owned(),
            ours: ours.to_owned(),
            theirs: "hit 200".to_owned(),
            features: features.iter().map(|&feature| feature.to_owned()).collect(),
        }
    }

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, text, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("a*c", "abc", true),
            ("a*c", "abcd", false),
            ("*b*", "abc", true),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let triage: Triage = toml::from_str(
            "[sets]\ns = ['b*']\n\
             [[difference]]\nours = 'hit *'\nfeatures = ['a']\nwith = ['@s']\nwithout = ['b2']\n\
             verdict = 'allowed'\nsection = '1'\nreason = 'x'\n\
             [[difference]]\nfeatures = ['*']\nverdict = 'ours-right'\nsection = '2'\nreason = 'y'\n",
        )
        .unwrap();
        let verdict = |signature: Signature| triage.count(vec![signature])[0].verdict;
        assert_eq!(verdict(signature("hit 200", &["a"])), Some(Verdict::Allowed));
        assert_eq!(verdict(signature("hit 200", &["a", "b1"])), Some(Verdict::Allowed));
        assert_eq!(verdict(signature("hit 200", &["a", "b2"])), Some(Verdict::OursRight));
        assert_eq!(verdict(signature("hit 200", &["b1"])), Some(Verdict::OursRight));
        assert_eq!(verdict(signature("fetched 200", &["a"])), Some(Verdict::OursRight));
        assert_eq!(verdict(signature("hit 200", &[])), None);
        assert_eq!(Triage::default().count(vec![signature("", &["a"])])[0].verdict, None);
    }
}
