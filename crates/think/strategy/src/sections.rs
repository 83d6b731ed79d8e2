//! `ads.md` as a document: front matter cut off, prose cut into its sections.
//!
//! Not here: foreign ADS documents with other headings or levels.

use crate::bundle::{Log, shown};
use crate::check::ADS_MD;

/// The nine sections of an ADS, in their usual order.
pub const REQUIRED: [&str; 9] = [
    "Goal",
    "Categorization",
    "Strategy Abstract",
    "Technical Context",
    "Blind Spots and Assumptions",
    "False Positives",
    "Validation",
    "Priority",
    "Response",
];

/// One section of the prose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Its heading.
    pub heading: String,
    /// Its Markdown, without the heading.
    pub text: String,
    /// Line of the heading in `ads.md`, from 1.
    pub line: u64,
}

/// Cuts a document into front matter, padded so that its lines count as in the document, and its sections.
pub(crate) fn split(text: &str, log: &mut Log<'_>) -> Option<(String, Vec<Section>)> {
    let lines: Vec<&str> = text.lines().collect();
    if lines.first().map(|line| line.trim_end()) != Some("---") {
        log.note(ADS_MD, 1, "no front matter: the first line must be ---");
        return None;
    }
    let Some(end) = lines.iter().skip(1).position(|line| line.trim_end() == "---").map(|at| at + 1) else {
        log.note(ADS_MD, 1, "the front matter never ends: a second line --- is missing");
        return None;
    };
    let front = format!("\n{}\n", lines[1..end].join("\n"));
    let sections = cut(&lines[end + 1..], end + 2, log);
    check(&sections, lines.len(), log);
    Some((front, sections))
}

/// Cuts prose at its `## ` headings; `first_line` is the number of the first line given.
fn cut(lines: &[&str], first_line: usize, log: &mut Log<'_>) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut fence = Fence::default();
    for (number, line) in (first_line as u64..).zip(lines) {
        let in_code = fence.covers(number, line);
        match (line.strip_prefix("## "), sections.last_mut()) {
            (Some(heading), _) if !in_code => {
                let heading = heading.trim().trim_end_matches('#').trim_end().to_owned();
                sections.push(Section { heading, text: String::new(), line: number });
            }
            (_, Some(section)) => {
                section.text.push_str(line);
                section.text.push('\n');
            }
            (_, None) if line.trim().is_empty() || line.starts_with("# ") => {}
            (_, None) => log.note(ADS_MD, number, "text before the first section belongs to none"),
        }
    }
    if let Some((_, since)) = fence.open {
        log.note(ADS_MD, since, "this block of code never ends");
    }
    sections
}

/// Follows blocks of code, in which a line that looks like a heading is none.
#[derive(Default)]
struct Fence {
    /// The mark that opened the block, and its line.
    open: Option<(&'static str, u64)>,
}

impl Fence {
    /// Whether a line belongs to a block of code, its marks included.
    fn covers(&mut self, number: u64, line: &str) -> bool {
        let line = line.trim();
        match self.open {
            Some((mark, _)) => {
                if line.starts_with(mark) && line.trim_start_matches(&mark[..1]).is_empty() {
                    self.open = None;
                }
                true
            }
            None => {
                self.open =
                    ["```", "~~~"].into_iter().find(|mark| line.starts_with(mark)).map(|mark| (mark, number));
                self.open.is_some()
            }
        }
    }
}

fn check(sections: &[Section], line_last: usize, log: &mut Log<'_>) {
    for (at, section) in sections.iter().enumerate() {
        let same = |other: &&Section| other.heading.eq_ignore_ascii_case(&section.heading);
        if let Some(first) = sections[..at].iter().find(same) {
            let message =
                format!("section {} was there before, on line {}", shown(&section.heading), first.line);
            log.note(ADS_MD, section.line, message);
        }
        if section.text.trim().is_empty() {
            log.note(ADS_MD, section.line, format!("section {} is empty", shown(&section.heading)));
        }
    }
    for heading in REQUIRED {
        if !sections.iter().any(|section| section.heading.eq_ignore_ascii_case(heading)) {
            log.note(ADS_MD, line_last as u64, format!("section {heading} is missing"));
        }
    }
}
