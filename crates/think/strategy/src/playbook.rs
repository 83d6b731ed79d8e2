//! Playbook: what to do when a strategy finds something, in the six stages, with graded reversible actions.
//!
//! Not here: planning or carrying out an action.

use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::bundle::{Log, shown};
use crate::yaml::{self, line};

/// Path of the playbook in a bundle.
pub(crate) const PLAYBOOK_YML: &str = "playbook.yml";

/// The six stages, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Is it known and legitimate?
    Assess,
    /// What happened?
    Investigate,
    /// Keep it from doing more.
    Contain,
    /// Remove it and its cause.
    Eradicate,
    /// Back to normal, monitoring included.
    Recover,
    /// Learn from it.
    Review,
}

impl Stage {
    /// All stages, in order.
    pub const ALL: [Self; 6] =
        [Self::Assess, Self::Investigate, Self::Contain, Self::Eradicate, Self::Recover, Self::Review];

    /// The word used in playbooks and output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Assess => "assess",
            Self::Investigate => "investigate",
            Self::Contain => "contain",
            Self::Eradicate => "eradicate",
            Self::Recover => "recover",
            Self::Review => "review",
        }
    }
}

/// What can be done about a container, least first: the order is the grade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Limit its CPU.
    CapCpu,
    /// Limit its tasks.
    CapPids,
    /// Limit its memory.
    CapMemory,
    /// Stop its processes where they are, keeping them for inspection.
    Freeze,
    /// Take its network away.
    CutNetwork,
    /// End its processes, keeping its files.
    Stop,
    /// Keep new containers of its image from starting.
    BlockImage,
    /// Delete it with its files. The only one that cannot be undone.
    Remove,
}

impl Action {
    /// The word used in playbooks and output.
    pub fn name(self) -> &'static str {
        match self {
            Self::CapCpu => "cap_cpu",
            Self::CapPids => "cap_pids",
            Self::CapMemory => "cap_memory",
            Self::Freeze => "freeze",
            Self::CutNetwork => "cut_network",
            Self::Stop => "stop",
            Self::BlockImage => "block_image",
            Self::Remove => "remove",
        }
    }

    /// Whether it can be undone.
    pub fn is_reversible(self) -> bool {
        self != Self::Remove
    }
}

/// How far an action reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlastRadius {
    /// The container alone.
    Container,
    /// Every container of the workload.
    Workload,
    /// Whatever runs on the node.
    Node,
}

impl BlastRadius {
    /// The word used in playbooks and output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Workload => "workload",
            Self::Node => "node",
        }
    }
}

/// One step of a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaybookStep {
    /// What to do, for people.
    pub text: String,
    /// The action that does it, and how far it reaches.
    pub action: Option<(Action, BlastRadius)>,
}

/// The steps of all six stages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Playbook {
    stages: [Vec<PlaybookStep>; 6],
}

impl Playbook {
    /// The steps of a stage, in order; never empty.
    pub fn steps(&self, stage: Stage) -> &[PlaybookStep] {
        &self.stages[stage as usize]
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    assess: Vec<RawStep>,
    #[serde(default)]
    investigate: Vec<RawStep>,
    #[serde(default)]
    contain: Vec<RawStep>,
    #[serde(default)]
    eradicate: Vec<RawStep>,
    #[serde(default)]
    recover: Vec<RawStep>,
    #[serde(default)]
    review: Vec<RawStep>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStep {
    text: Spanned<String>,
    #[serde(default)]
    action: Option<Action>,
    #[serde(default)]
    blast_radius: Option<BlastRadius>,
}

/// Parses `playbook.yml` and notes what is wrong.
pub(crate) fn parse(text: &str, log: &mut Log<'_>) -> Option<Playbook> {
    let raw: Raw = yaml::parse(PLAYBOOK_YML, text, log)?;
    let stages = [raw.assess, raw.investigate, raw.contain, raw.eradicate, raw.recover, raw.review];
    let mut checked = stages.into_iter().zip(Stage::ALL).map(|(steps, stage)| check_stage(stage, steps, log));
    // The array's length equals the number of stages by type, so each is checked exactly once.
    let stages = std::array::from_fn(|_| checked.next().unwrap_or_default());
    Some(Playbook { stages })
}

fn check_stage(stage: Stage, steps: Vec<RawStep>, log: &mut Log<'_>) -> Vec<PlaybookStep> {
    if steps.is_empty() {
        log.note(PLAYBOOK_YML, 1, format!("stage {} is missing or empty", stage.name()));
    }
    let mut gravest = None;
    for step in &steps {
        check_step(stage, step, log);
        if stage == Stage::Contain && step.action.is_some() && step.action < gravest {
            log.note(PLAYBOOK_YML, line(&step.text), "contain: actions go from the least to the gravest");
        }
        gravest = gravest.max(step.action);
    }
    steps.into_iter().map(plain).collect()
}

fn check_step(stage: Stage, step: &RawStep, log: &mut Log<'_>) {
    let at = line(&step.text);
    if step.text.value.trim().is_empty() {
        log.note(PLAYBOOK_YML, at, format!("stage {}: a step without text", stage.name()));
    }
    if step.action.is_some() != step.blast_radius.is_some() {
        let text = shown(&step.text.value);
        log.note(PLAYBOOK_YML, at, format!("action and blast_radius go together: {text}"));
    }
    if step.action.is_some_and(|action| !action.is_reversible()) && stage != Stage::Eradicate {
        log.note(PLAYBOOK_YML, at, format!("stage {}: only eradicate may remove", stage.name()));
    }
}

fn plain(step: RawStep) -> PlaybookStep {
    PlaybookStep { text: step.text.value, action: step.action.zip(step.blast_radius) }
}
