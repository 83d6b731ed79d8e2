//! One incident on one page for the person who has to decide: what, who, why, what could not be seen, what to do.
//!
//! Not here: the command line whose commands it points to.

use std::collections::BTreeSet;

use model::coverage::{Blind, Coverage, Health, LostEvents};
use model::expectation::Explanation;
use model::finding::{ContainerRef, Family, Finding};
use model::incident::{Closing, Incident, State, Verdict};
use model::time::Time;
use model::untrusted::Untrusted;

use crate::style::{Style, columns, cut, padded, shown, unpainted, wrapped};
use crate::units;

/// Most findings on the page, weightiest first; the JSON form holds all.
pub const FINDINGS_SHOWN_MAX: usize = 8;

/// Names of judges and of evidence are ours and shorter, but those of a replayed incident come from a file.
const LABEL_COLUMNS_MAX: usize = 32;

/// The explanation of an incident. Ends with a newline; holds no control character but newlines, and colours when
/// the style has them.
pub fn incident_text(incident: &Incident, style: Style) -> String {
    let mut page = Page { out: String::new(), style };
    page.headline(incident);
    page.who(incident);
    page.why(incident);
    page.findings(incident);
    page.not_seen(&incident.coverage);
    page.next(incident);
    page.out
}

/// Whom an incident is about, in a few words: escaped, unbounded in width.
pub(crate) fn who(incident: &Incident) -> String {
    match (&incident.container, incident.subject.workload(), incident.containers) {
        (_, Some(workload), 2..) => format!("{workload} ({} containers)", incident.containers),
        (Some(container), Some(_), _) => container.name.to_string(),
        (None, Some(workload), _) => workload.to_string(),
        (_, None, _) => format!("node {}", node(incident)),
    }
}

/// An instant for people: `2026-01-31 12:00:02`, in UTC.
pub(crate) fn when(at: Time) -> String {
    at.rfc3339().replacen('T', " ", 1).split('.').next().unwrap_or_default().to_owned()
}

/// Text as it is laid out on one page.
pub(crate) struct Page {
    pub(crate) out: String,
    pub(crate) style: Style,
}

impl Page {
    fn headline(&mut self, incident: &Incident) {
        let severity = incident.severity.name().to_uppercase();
        let state = match (&incident.closing, incident.state) {
            (Some(closing), _) => closed(closing),
            (None, State::Open) => "open".to_owned(),
            (None, State::Closed) => "closed".to_owned(),
        };
        let severity = self.style.severity(incident.severity, &severity);
        let id = self.style.bold(&incident.id.to_string());
        self.paragraph(&format!("{severity}  {id}  "), &state);
        self.paragraph("", &shown(&incident.summary));
    }

    fn who(&mut self, incident: &Incident) {
        self.title("Who");
        let mut rows = Vec::new();
        if let Some(container) = &incident.container {
            rows.extend(container_rows(container));
        }
        rows.extend(incident.subject.workload().map(|workload| ("workload", workload.to_string())));
        rows.push(("node", node(incident)));
        if incident.containers > 1 {
            let count =
                format!("{} took part; the one above has the weightiest finding", incident.containers);
            rows.push(("containers", count));
        }
        rows.extend(
            incident.container.as_ref().map(|container| ("started", when(container.started) + " UTC")),
        );
        let lasted = units::duration(incident.updated.since(incident.opened));
        rows.push(("opened", format!("{} UTC, last changed {lasted} later", when(incident.opened))));
        self.rows(2, &rows);
    }

    fn why(&mut self, incident: &Incident) {
        self.title("Why");
        let families: Vec<&str> = incident.families.iter().map(|family| family.name()).collect();
        let weight = format!(
            "{:.1} bits of evidence, {:.1} are needed; families: {}",
            incident.bits,
            incident.threshold_bits,
            families.join(", ")
        );
        self.paragraph("  ", &weight);
        for reason in &incident.reasons {
            self.paragraph("  - ", &shown(reason));
        }
    }

    fn findings(&mut self, incident: &Incident) {
        self.title("Findings");
        let mut weightiest: Vec<&Finding> = incident.findings.iter().collect();
        weightiest.sort_by(|a, b| b.bits.total_cmp(&a.bits));
        for finding in weightiest.iter().take(FINDINGS_SHOWN_MAX) {
            self.finding(finding);
        }
        let more = weightiest.len().saturating_sub(FINDINGS_SHOWN_MAX);
        if more > 0 {
            self.paragraph("  ", &format!("and {more} of less weight, see the JSON form"));
        }
        if incident.findings_dropped > 0 {
            self.paragraph("  ", &format!("{} more were not kept", incident.findings_dropped));
        }
    }

    fn finding(&mut self, finding: &Finding) {
        let judge = self.style.bold(&cut(&shown(&finding.judge), LABEL_COLUMNS_MAX));
        let mut about = format!("{}, {:+.1} bits, {} UTC", finding.family, finding.bits, when(finding.at));
        if finding.harm {
            about.push_str(", does harm");
        }
        if finding.unresolved {
            about.push_str(", judged before its runtime told who it is");
        }
        self.paragraph(&format!("  {judge}  "), &about);
        self.paragraph("    ", &shown(&finding.claim));
        for explanation in &finding.explained {
            self.paragraph("    ", &explained(explanation));
        }
        let evidence = finding.evidence.iter().map(|(name, value)| units::evidence(name, value));
        self.rows(6, &evidence.collect::<Vec<_>>());
    }

    fn not_seen(&mut self, coverage: &Coverage) {
        self.title("Not seen");
        if coverage.is_whole() {
            let seen: Vec<&str> = coverage.seen.iter().map(|source| source.name()).collect();
            self.paragraph("  ", &format!("nothing is known to be missing; sources: {}", seen.join(", ")));
        }
        let blind = coverage.blind.iter().map(|blind| (blind.source.name(), blind_text(blind)));
        self.rows(2, &blind.collect::<Vec<_>>());
        if coverage.lost_events > 0 {
            self.paragraph("  ", &format!("{} events were lost since the start", coverage.lost_events));
        }
        for lost in &coverage.lost {
            self.paragraph("  - ", &lost_text(lost));
        }
    }

    /// Commands to copy into a shell: nothing foreign goes in that a shell could read as anything but a word.
    fn next(&mut self, incident: &Incident) {
        self.title("Next");
        let mut rows = Vec::new();
        let strategies: BTreeSet<&str> = incident.findings.iter().map(|finding| &*finding.strategy).collect();
        for strategy in strategies.into_iter().filter(|slug| is_shell_word(slug)) {
            rows.push((format!("tidewatch ads show {strategy}"), "how to assess, contain and recover"));
        }
        if incident.state == State::Open && incident.families.contains(&Family::Integrity) {
            rows.push((
                "tidewatch inventory --all".to_owned(),
                "what runs, and what started while Tidewatch could not see",
            ));
            rows.push(("tidewatch doctor".to_owned(), "whether everything can be seen again"));
            rows.push(("tidewatch approve list".to_owned(), "whether all approvals are yours"));
        }
        if incident.state == State::Open {
            let digest = incident.container.as_ref().map(|container| &container.digest);
            if let Some(digest) = digest.filter(|digest| is_shell_word(digest.raw())) {
                rows.push((format!("tidewatch approve image {digest}"), "when this image belongs here"));
            }
            if is_shell_word(incident.id.as_str()) {
                let close = format!("tidewatch incidents close {} --verdict", incident.id);
                rows.push((format!("{close} benign"), "when it was fine; or: malicious, test"));
            }
        }
        for (command, purpose) in rows {
            let purpose = self.style.faint(purpose);
            self.out.push_str(&format!("  {command}\n      {purpose}\n"));
        }
    }

    pub(crate) fn title(&mut self, title: &str) {
        let title = self.style.bold(title);
        self.out.push_str(&format!("\n{title}\n"));
    }

    /// Text wrapped behind `first`, which the following lines are indented by.
    pub(crate) fn paragraph(&mut self, first: &str, text: &str) {
        let indent = columns(&unpainted(first));
        let lines = wrapped(text, self.style.columns().saturating_sub(indent));
        for (at, line) in lines.iter().enumerate() {
            let before = if at == 0 { first.to_owned() } else { " ".repeat(indent) };
            self.out.push_str(format!("{before}{line}").trim_end());
            self.out.push('\n');
        }
    }

    /// Names and values in two columns.
    pub(crate) fn rows<N: AsRef<str>>(&mut self, indent: usize, rows: &[(N, String)]) {
        let names = rows.iter().map(|(name, _)| columns(name.as_ref()));
        let width = names.max().unwrap_or(0).min(LABEL_COLUMNS_MAX);
        for (name, value) in rows {
            let first = format!("{}{}  ", " ".repeat(indent), padded(&cut(name.as_ref(), width), width));
            self.paragraph(&first, value);
        }
    }
}

fn explained(explanation: &Explanation) -> String {
    let Explanation { by, kind, sentence, bits_before, bits_after } = explanation;
    let kind = kind.name().replace('_', " ");
    format!("{bits_before:.1} bits lowered to {bits_after:.1} by {kind} {by}: {}", shown(sentence))
}

fn container_rows(container: &ContainerRef) -> Vec<(&'static str, String)> {
    let facts = [
        ("container", &container.name),
        ("id", &container.id),
        ("image", &container.image),
        ("digest", &container.digest),
        ("cgroup", &container.cgroup),
    ];
    let told = |text: &Untrusted| if text.is_empty() { "unknown".to_owned() } else { text.to_string() };
    facts.map(|(name, text)| (name, told(text))).into()
}

fn node(incident: &Incident) -> String {
    Untrusted::new(incident.subject.node().as_str()).to_string()
}

fn closed(closing: &Closing) -> String {
    let verdict = match closing.verdict {
        Verdict::Malicious => "malicious",
        Verdict::Benign => "benign",
        Verdict::Test => "a test",
    };
    format!("closed as {verdict} by {}, {} UTC: {}", closing.owner, when(closing.at), closing.note)
}

fn blind_text(blind: &Blind) -> String {
    let health = match blind.health {
        Health::Up => "up again",
        Health::Degraded => "degraded",
        Health::Down => "down",
        Health::Absent => "absent",
    };
    let until = blind.until.map(|until| format!(" until {}", when(until))).unwrap_or_default();
    format!("{health} since {}{until} UTC: {}", when(blind.since), blind.reason)
}

fn lost_text(lost: &LostEvents) -> String {
    let about = if lost.about.is_empty() { String::new() } else { format!(" about {}", lost.about) };
    let LostEvents { source, stage, count, since, until, .. } = lost;
    format!(
        "{count} events{about}, {} to {} UTC, by the source {source} ({stage})",
        when(*since),
        when(*until)
    )
}

/// Whether a shell takes the text for one plain word that is no option.
pub(crate) fn is_shell_word(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/@+".contains(&byte);
    !text.is_empty() && !text.starts_with('-') && text.bytes().all(plain)
}

#[cfg(test)]
mod tests;
