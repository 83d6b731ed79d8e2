//! Scenarios: how a strategy is proven. Steps that emulate, findings expected, and a benign twin that must stay quiet.
//!
//! Not here: running them. Steps are lists of arguments, never a line for a shell of the host.

use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::bundle::{Log, shown};
use crate::front_matter::is_slug;
use crate::yaml::{self, line};

/// Longest a scenario or a step may take, in seconds: a history takes a quarter of an hour.
pub const SECONDS_MAX: u32 = 1_800;

/// Programs a step may start on the host. No sandbox (a container can be given the host), but a review need not
/// look for shell lines, and a slip of the pen starts nothing else.
/// `nsenter` is told whose namespaces by `--target` and `pid-of:NAME`, which stands for the first process of that container.
pub const PROGRAMS: [&str; 8] =
    ["docker", "nerdctl", "podman", "runc", "unshare", "ctr", "containerd", "nsenter"];

/// One thing to start.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Program and arguments; the program is one of [`PROGRAMS`]. Its output is thrown away.
    pub run: Vec<String>,
    /// Longest it may run, in seconds; then it is ended.
    pub seconds: u32,
    /// Whether the next step starts without waiting for this one to end.
    #[serde(default)]
    pub background: bool,
    /// Name of a cgroup to make below the root and to start it in; for containers that no runtime makes.
    #[serde(default)]
    pub own_cgroup: Option<String>,
}

/// Whom a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpectedSubject {
    /// The container of that name; for one that no runtime claims, the program it began with.
    Container(String),
    /// The node.
    Node,
}

/// A finding that must come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedFinding {
    /// Id of the judge.
    pub judge: String,
    /// Whom it is about.
    pub subject: ExpectedSubject,
}

/// What looks alike and is fine: no incident may open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BenignTwin {
    /// What it does, and why that is fine.
    pub about: String,
    /// Images that count as approved while the twin runs, and no longer.
    pub approved_images: Vec<String>,
    /// What to start.
    pub steps: Vec<Step>,
    /// What to run afterwards, in any case.
    pub cleanup: Vec<Vec<String>>,
    /// How long nothing may be reported, in seconds from the first step.
    pub quiet_seconds: u32,
}

/// One scenario, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Its name; equals the name of its file.
    pub name: String,
    /// What it emulates.
    pub about: String,
    /// What to start, in order.
    pub steps: Vec<Step>,
    /// What to run afterwards, in any case.
    pub cleanup: Vec<Vec<String>>,
    /// Findings that must come.
    pub expect: Vec<ExpectedFinding>,
    /// Seconds allowed from the first step to the last expected finding.
    pub within_seconds: u32,
    /// What must stay quiet; a draft may lack it.
    pub benign_twin: Option<BenignTwin>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: Spanned<String>,
    about: Spanned<String>,
    steps: Vec<Spanned<Step>>,
    #[serde(default)]
    cleanup: Vec<Spanned<Vec<String>>>,
    #[serde(default)]
    expect: Vec<RawExpected>,
    within_seconds: Spanned<u32>,
    #[serde(default)]
    benign_twin: Option<RawTwin>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawExpected {
    judge: Spanned<String>,
    subject: ExpectedSubject,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTwin {
    about: Spanned<String>,
    #[serde(default)]
    approved_images: Vec<String>,
    steps: Vec<Spanned<Step>>,
    #[serde(default)]
    cleanup: Vec<Spanned<Vec<String>>>,
    quiet_seconds: Spanned<u32>,
}

/// The file a scenario is checked in, and where its problems go.
struct Place<'a, 'b> {
    file: &'a str,
    log: &'a mut Log<'b>,
}

/// Parses `scenarios/<name>.yml` and notes what is wrong; `judges` are those the strategy uses.
pub(crate) fn parse(file: &str, text: &str, judges: &[String], log: &mut Log<'_>) -> Option<Scenario> {
    let raw: Raw = yaml::parse(file, text, log)?;
    let mut place = Place { file, log };
    place.name(&raw.name);
    place.about(&raw.about);
    place.seconds("within_seconds", &raw.within_seconds);
    place.judges(&raw.expect, judges);
    let expect = raw.expect.into_iter();
    Some(Scenario {
        steps: place.steps(raw.steps, line(&raw.name)),
        cleanup: place.cleanup(raw.cleanup),
        benign_twin: raw.benign_twin.map(|twin| place.twin(twin)),
        expect: expect.map(|one| ExpectedFinding { judge: one.judge.value, subject: one.subject }).collect(),
        name: raw.name.value,
        about: raw.about.value,
        within_seconds: raw.within_seconds.value,
    })
}

impl Place<'_, '_> {
    fn note(&mut self, line: u64, message: impl Into<String>) {
        self.log.note(self.file, line, message);
    }

    fn name(&mut self, name: &Spanned<String>) {
        if !is_slug(&name.value) || self.file != format!("scenarios/{}.yml", name.value) {
            let message =
                format!("name {} differs from the file's, or is not of a-z, 0-9, hyphen", shown(&name.value));
            self.note(line(name), message);
        }
    }

    fn about(&mut self, about: &Spanned<String>) {
        if about.value.trim().is_empty() {
            self.note(line(about), "about is empty: say what happens");
        }
    }

    fn seconds(&mut self, field: &str, seconds: &Spanned<u32>) {
        if !(1..=SECONDS_MAX).contains(&seconds.value) {
            self.note(line(seconds), format!("{field}: 1 to {SECONDS_MAX}"));
        }
    }

    fn judges(&mut self, expect: &[RawExpected], judges: &[String]) {
        for expected in expect.iter().filter(|expected| !judges.contains(&expected.judge.value)) {
            let message =
                format!("the strategy does not use a judge called {}", shown(&expected.judge.value));
            self.note(line(&expected.judge), message);
        }
    }

    fn steps(&mut self, steps: Vec<Spanned<Step>>, line_fallback: u64) -> Vec<Step> {
        if steps.is_empty() {
            self.note(line_fallback, "steps: at least one");
        }
        for step in &steps {
            self.command(&step.value.run, line(step));
            if !(1..=SECONDS_MAX).contains(&step.value.seconds) {
                self.note(line(step), format!("seconds of a step: 1 to {SECONDS_MAX}"));
            }
            if step.value.own_cgroup.as_deref().is_some_and(|name| !is_slug(name)) {
                self.note(line(step), "own_cgroup: 1 to 64 of a-z, 0-9 and hyphen");
            }
        }
        steps.into_iter().map(|step| step.value).collect()
    }

    fn cleanup(&mut self, commands: Vec<Spanned<Vec<String>>>) -> Vec<Vec<String>> {
        for command in &commands {
            self.command(&command.value, line(command));
        }
        commands.into_iter().map(|command| command.value).collect()
    }

    fn command(&mut self, command: &[String], line: u64) {
        match command.first() {
            None => self.note(line, "an empty command"),
            Some(program) if !PROGRAMS.contains(&program.as_str()) => {
                let message =
                    format!("a step may not start {}; only {}", shown(program), PROGRAMS.join(", "));
                self.note(line, message);
            }
            Some(_) => {}
        }
    }

    fn twin(&mut self, twin: RawTwin) -> BenignTwin {
        self.about(&twin.about);
        self.seconds("quiet_seconds", &twin.quiet_seconds);
        BenignTwin {
            steps: self.steps(twin.steps, line(&twin.about)),
            cleanup: self.cleanup(twin.cleanup),
            about: twin.about.value,
            approved_images: twin.approved_images,
            quiet_seconds: twin.quiet_seconds.value,
        }
    }
}
