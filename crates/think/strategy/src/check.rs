//! The checks on one bundle: which files it holds, that they are text, and that its parts fit each other.
//!
//! Not here: the checks within one part, which stand beside its parser.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::untrusted::Untrusted;

use crate::Strategy;
use crate::bundle::{BUNDLE_BYTES_MAX, Bundle, BundleFile, FILE_BYTES_MAX, FILES_MAX, Log, shown};
use crate::front_matter::{self, FrontMatter, Status};
use crate::playbook::{self, PLAYBOOK_YML};
use crate::scenario::{self, Scenario};
use crate::sections::{self, Section};

/// Path of the document in a bundle.
pub(crate) const ADS_MD: &str = "ads.md";

/// Parses and checks one bundle; `None` when anything in it is wrong, which is then noted.
pub(crate) fn strategy(bundle: &Bundle, known_judges: &[&str], log: &mut Log<'_>) -> Option<Strategy> {
    let texts = texts(bundle, log)?;
    let playbook = texts.get(PLAYBOOK_YML).and_then(|text| playbook::parse(text, log));
    let document = texts.get(ADS_MD).and_then(|text| sections::split(text, log));
    let head = document
        .as_ref()
        .and_then(|(front, _)| front_matter::parse(front, &bundle.folder, known_judges, log));
    let judges = head.as_ref().map(|(_, front)| front.judges.as_slice());
    let scenarios = scenarios(&texts, judges, log);
    let ((slug, front), (_, sections)) = (head?, document?);
    // A scenario that could not be parsed is a problem already; what it would have proven is unknown.
    if scenarios.len() == texts.keys().filter(|path| is_scenario(path)).count() {
        check_proof(&front, &scenarios, log);
    }
    check_blind_spots(&front, &sections, log);
    let strategy = Strategy { slug: Arc::from(slug), front, sections, scenarios, playbook: playbook? };
    log.is_clean().then_some(strategy)
}

/// The files by path, as text with plain line ends. Nothing is parsed when the bundle is out of bounds.
fn texts<'a>(bundle: &'a Bundle, log: &mut Log<'_>) -> Option<BTreeMap<&'a str, String>> {
    let bytes: usize = bundle.files.iter().map(|file| file.bytes.len()).sum();
    if bytes > BUNDLE_BYTES_MAX || bundle.files.len() > FILES_MAX {
        let message = format!(
            "{bytes} bytes in {} files; {BUNDLE_BYTES_MAX} bytes in {FILES_MAX} files are allowed",
            bundle.files.len()
        );
        log.note("", 1, message);
        return None;
    }
    let mut texts = BTreeMap::new();
    for file in &bundle.files {
        let Some(text) = text(file, log) else { continue };
        if ![ADS_MD, PLAYBOOK_YML].contains(&file.path.as_str()) && !is_scenario(&file.path) {
            log.note(&file.path, 1, "not part of a bundle: ads.md, playbook.yml, scenarios/<name>.yml");
        } else if texts.insert(file.path.as_str(), text).is_some() {
            log.note(&file.path, 1, "handed in twice");
        }
    }
    for path in [ADS_MD, PLAYBOOK_YML] {
        if !bundle.files.iter().any(|file| file.path == path) {
            log.note(path, 1, "missing");
        }
    }
    Some(texts)
}

fn is_scenario(path: &str) -> bool {
    let name = path.strip_prefix("scenarios/").and_then(|name| name.strip_suffix(".yml"));
    name.is_some_and(front_matter::is_slug)
}

/// The text of a file without byte-order mark and carriage returns.
fn text(file: &BundleFile, log: &mut Log<'_>) -> Option<String> {
    if file.bytes.len() > FILE_BYTES_MAX {
        log.note(&file.path, 1, format!("{} bytes; {FILE_BYTES_MAX} are allowed", file.bytes.len()));
        return None;
    }
    match std::str::from_utf8(&file.bytes) {
        Err(error) => {
            log.note(&file.path, line_at(&file.bytes[..error.valid_up_to()]), "not UTF-8");
            None
        }
        Ok(text) => {
            let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
            check_characters(&file.path, &text, log);
            Some(text)
        }
    }
}

/// Strategies are shown on terminals and reviewed by people: nothing in them may steer the one or deceive the other.
fn check_characters(path: &str, text: &str, log: &mut Log<'_>) {
    let plain = |c: char| c == '\n' || c == '\t' || (' '..='~').contains(&c) || !is_escaped(c);
    if let Some((at, c)) = text.char_indices().find(|&(_, c)| !plain(c)) {
        let line = line_at(&text.as_bytes()[..at]);
        log.note(path, line, format!("the control or invisible character U+{:04X}", u32::from(c)));
    }
}

/// Whether `model` would escape this character when showing it.
fn is_escaped(c: char) -> bool {
    let mut buffer = [0; 4];
    let text: &str = c.encode_utf8(&mut buffer);
    Untrusted::new(text).to_string() != text
}

fn line_at(before: &[u8]) -> u64 {
    1 + before.iter().filter(|&&byte| byte == b'\n').count() as u64
}

/// The scenarios by name. Without front matter the judges are unknown, so nothing is said about them.
fn scenarios(texts: &BTreeMap<&str, String>, judges: Option<&[String]>, log: &mut Log<'_>) -> Vec<Scenario> {
    let Some(judges) = judges else { return Vec::new() };
    let files = texts.iter().filter(|(path, _)| is_scenario(path));
    files.filter_map(|(path, text)| scenario::parse(path, text, judges, log)).collect()
}

/// A production strategy is proven: each judge is expected by a scenario, or held by tests because provoking it harms
/// Tidewatch itself; each scenario has a benign twin.
fn check_proof(front: &FrontMatter, scenarios: &[Scenario], log: &mut Log<'_>) {
    if front.status != Status::Production {
        return;
    }
    if scenarios.is_empty() {
        log.note(ADS_MD, 1, "status production needs at least one scenario");
    }
    for scenario in scenarios {
        let file = format!("scenarios/{}.yml", scenario.name);
        if scenario.expect.is_empty() {
            log.note(&file, 1, "status production: no finding is expected, so nothing is proven");
        }
        if scenario.benign_twin.is_none() {
            log.note(&file, 1, "status production: benign_twin is missing");
        }
    }
    let expected = |judge: &String| {
        scenarios.iter().flat_map(|scenario| &scenario.expect).any(|one| one.judge == *judge)
    };
    let is_tested = |judge: &&String| front.tested.contains(judge);
    for judge in front.judges.iter().filter(|judge| !expected(judge) && !is_tested(judge)) {
        log.note(ADS_MD, 1, format!("status production: no scenario expects a finding of {}", shown(judge)));
    }
}

/// A blind spot with an id is explained where people look for it.
fn check_blind_spots(front: &FrontMatter, sections: &[Section], log: &mut Log<'_>) {
    let named = "Blind Spots and Assumptions";
    let Some(section) = sections.iter().find(|section| section.heading.eq_ignore_ascii_case(named)) else {
        return;
    };
    for id in front.blind_spots.iter().filter(|id| !section.text.contains(&format!("`{id}`"))) {
        log.note(ADS_MD, section.line, format!("blind spot {} is not explained here", shown(id)));
    }
}
