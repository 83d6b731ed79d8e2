//! Front matter of `ads.md`: what the machine needs to know of a strategy.
//!
//! Not here: the prose (`sections.rs`).

use model::coverage::Source;
use model::incident::Severity;
use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::bundle::{Log, shown};
use crate::check::ADS_MD;
use crate::yaml::{self, line};

/// Whether a strategy is relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Being written: loaded and shown, not held to proof.
    Draft,
    /// Relied on: every judge is proven by a scenario with a benign twin.
    Production,
}

impl Status {
    /// The word used in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Production => "production",
        }
    }
}

/// A technique of MITRE ATT&CK that the strategy covers, at least in part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Technique {
    /// `T1499` or `T1496.001`.
    pub id: String,
    /// Its name in that version of ATT&CK.
    pub name: String,
    /// The tactic it serves here.
    pub tactic: String,
}

/// Telemetry the strategy needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// Where it comes from.
    pub source: Source,
    /// Whether the strategy is worth nothing without it.
    pub required: bool,
    /// What is lost without it, one sentence.
    pub lost: String,
}

/// The front matter, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontMatter {
    /// Title for people.
    pub title: String,
    /// Version of the strategy: `1.0`.
    pub version: String,
    /// Whether it is relied on.
    pub status: Status,
    /// Priority of what it finds.
    pub severity: Severity,
    /// Version of ATT&CK the techniques are written for: `17.1`.
    pub attack_version: String,
    /// Techniques of ATT&CK.
    pub attack: Vec<Technique>,
    /// Platforms it applies to.
    pub platforms: Vec<String>,
    /// Telemetry it needs.
    pub telemetry: Vec<Telemetry>,
    /// Ids of the judges it uses.
    pub judges: Vec<String>,
    /// Of these, the ones that no scenario may provoke, since that would harm Tidewatch or its host (a clock that is set, a
    /// store that is emptied): tests hold them.
    pub tested: Vec<String>,
    /// Ids of blind spots, each named in the section on blind spots.
    pub blind_spots: Vec<String>,
}

/// The front matter and its slug with the line it stands on; values with their lines where a check may fail.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    slug: Spanned<String>,
    title: Spanned<String>,
    version: Spanned<String>,
    status: Status,
    severity: Severity,
    attack_version: Spanned<String>,
    attack: Vec<RawTechnique>,
    platforms: Spanned<Vec<String>>,
    telemetry: Spanned<Vec<RawTelemetry>>,
    judges: Spanned<Vec<Spanned<String>>>,
    #[serde(default)]
    tested: Vec<Spanned<String>>,
    #[serde(default)]
    blind_spots: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTechnique {
    id: Spanned<String>,
    name: Spanned<String>,
    tactic: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTelemetry {
    source: Spanned<String>,
    required: bool,
    lost: Spanned<String>,
}

/// Parses front matter whose lines count as in `ads.md`, notes what is wrong, and gives back what could be read.
pub(crate) fn parse(
    text: &str,
    folder: &str,
    known_judges: &[&str],
    log: &mut Log<'_>,
) -> Option<(String, FrontMatter)> {
    let raw: Raw = yaml::parse(ADS_MD, text, log)?;
    check_slug(&raw.slug, folder, log);
    check_version("version", &raw.version, log);
    check_version("attack_version", &raw.attack_version, log);
    check_text("title", &raw.title, log);
    if raw.platforms.value.is_empty() {
        log.note(ADS_MD, line(&raw.platforms), "platforms: name at least one");
    }
    let judges = check_judges(raw.judges, known_judges, log);
    let front = FrontMatter {
        attack: raw.attack.into_iter().map(|technique| check_technique(technique, log)).collect(),
        telemetry: check_telemetry(raw.telemetry, log),
        tested: check_tested(raw.tested, &judges, log),
        judges,
        blind_spots: raw.blind_spots.into_iter().map(|id| id.value).collect(),
        title: raw.title.value,
        version: raw.version.value,
        status: raw.status,
        severity: raw.severity,
        attack_version: raw.attack_version.value,
        platforms: raw.platforms.value,
    };
    Some((raw.slug.value, front))
}

fn check_slug(slug: &Spanned<String>, folder: &str, log: &mut Log<'_>) {
    if !is_slug(&slug.value) {
        log.note(ADS_MD, line(slug), "slug: 1 to 64 of a-z, 0-9 and hyphen");
    } else if slug.value != folder {
        let message = format!("slug {} differs from the folder's name {}", slug.value, shown(folder));
        log.note(ADS_MD, line(slug), message);
    }
}

/// Whether a text is fit to be a name of a strategy or scenario: 1 to 64 of `a-z`, `0-9` and `-`.
pub(crate) fn is_slug(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(fits)
}

fn check_version(field: &str, version: &Spanned<String>, log: &mut Log<'_>) {
    let number = |part: &str| (1..=6).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts = version.value.split('.');
    if parts.clone().count() > 3 || !parts.clone().all(number) {
        let message = format!("{field}: {} is no version; write 1.0", shown(&version.value));
        log.note(ADS_MD, line(version), message);
    }
}

fn check_text(field: &str, text: &Spanned<String>, log: &mut Log<'_>) {
    if text.value.trim().is_empty() {
        log.note(ADS_MD, line(text), format!("{field} is empty"));
    }
}

fn check_technique(technique: RawTechnique, log: &mut Log<'_>) -> Technique {
    if !is_technique(&technique.id.value) {
        let message = format!("{} is no technique; write T1499 or T1496.001", shown(&technique.id.value));
        log.note(ADS_MD, line(&technique.id), message);
    }
    check_text("name of a technique", &technique.name, log);
    check_text("tactic", &technique.tactic, log);
    Technique { id: technique.id.value, name: technique.name.value, tactic: technique.tactic.value }
}

fn is_technique(id: &str) -> bool {
    let digits = |text: &str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some(number) = id.strip_prefix('T') else { return false };
    match number.split_once('.') {
        Some((technique, sub)) => digits(technique, 4) && digits(sub, 3),
        None => digits(number, 4),
    }
}

fn check_telemetry(telemetry: Spanned<Vec<RawTelemetry>>, log: &mut Log<'_>) -> Vec<Telemetry> {
    if telemetry.value.is_empty() {
        log.note(ADS_MD, line(&telemetry), "telemetry: name at least one source");
    }
    let mut known: Vec<Telemetry> = Vec::new();
    for need in telemetry.value {
        check_text("what is lost without a source", &need.lost, log);
        match Source::from_name(&need.source.value) {
            None => log.note(ADS_MD, line(&need.source), unknown_source(&need.source.value)),
            Some(source) if known.iter().any(|other| other.source == source) => {
                log.note(ADS_MD, line(&need.source), format!("source {source} is named twice"));
            }
            Some(source) => {
                known.push(Telemetry { source, required: need.required, lost: need.lost.value });
            }
        }
    }
    known
}

fn unknown_source(name: &str) -> String {
    let known: Vec<&str> = Source::ALL.into_iter().map(Source::name).collect();
    format!("no source is called {}; there are {}", shown(name), known.join(", "))
}

fn check_judges(judges: Spanned<Vec<Spanned<String>>>, known: &[&str], log: &mut Log<'_>) -> Vec<String> {
    if judges.value.is_empty() {
        log.note(ADS_MD, line(&judges), "judges: name at least one");
    }
    let mut ids: Vec<String> = Vec::new();
    for judge in judges.value {
        if !known.contains(&judge.value.as_str()) {
            let message =
                format!("no judge is called {}; there are {}", shown(&judge.value), known.join(", "));
            log.note(ADS_MD, line(&judge), message);
        } else if ids.contains(&judge.value) {
            log.note(ADS_MD, line(&judge), format!("judge {} is named twice", judge.value));
        }
        ids.push(judge.value);
    }
    ids
}

fn check_tested(tested: Vec<Spanned<String>>, judges: &[String], log: &mut Log<'_>) -> Vec<String> {
    for judge in tested.iter().filter(|judge| !judges.contains(&judge.value)) {
        let message = format!("tested: {} is not among the judges of this strategy", shown(&judge.value));
        log.note(ADS_MD, line(judge), message);
    }
    tested.into_iter().map(|judge| judge.value).collect()
}
