//! Detection as a pure fold over events: the whole data path on one screen.
//!
//! Not here: any clock, file or socket. The same fold runs live, on replay and in benches.

use std::collections::BTreeMap;
use std::sync::Arc;

use detect::{BLIND, Detect};
use enrich::Enrich;
use model::coverage::Source;
use model::event::Event;
use model::expectation::ExpectationChange;
use model::finding::Finding;
use model::identity::News;
use model::incident::{Change, Severity};
use model::untrusted::Untrusted;
use serde::{Deserialize, Serialize};
use state::{CommunicationConfig, State};
use strategy::Strategies;
use triage::{Triage, TriageConfig};

use crate::clock::Clock;

/// Version of [`Fold`]'s serialised form; a recording with another one is replayed without its checkpoint.
pub const CHECKPOINT_VERSION: u32 = 7;

/// Settings of the core.
#[derive(Clone, Debug, Default)]
pub struct FoldConfig {
    /// Weights and the threshold.
    pub triage: TriageConfig,
    /// Who talks to whom.
    pub communication: CommunicationConfig,
}

/// Everything the core knows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Fold {
    #[serde(default)]
    clock: Clock,
    enrich: Enrich,
    state: State,
    detect: Detect,
    triage: Triage,
    /// The strategy each judge works for.
    strategies: BTreeMap<String, Arc<str>>,
    /// What each strategy loses without a source.
    #[serde(default)]
    needs: BTreeMap<Source, Vec<(Arc<str>, String)>>,
}

/// What one event led to.
#[derive(Debug, Default)]
pub struct Step {
    /// Changes in the inventory of containers: the rim watches what appeared.
    pub news: Vec<News>,
    /// Changes of incidents, to be stored and shown.
    pub changes: Vec<Change>,
    /// What was learned to expect, and what an expectation explained, to be stored.
    pub expectations: Vec<ExpectationChange>,
}

impl Fold {
    /// A core that has seen nothing yet and works for these strategies.
    pub fn new(strategies: &Strategies, config: FoldConfig) -> Self {
        let judges = strategies.iter().flat_map(|strategy| &strategy.front.judges);
        let for_judge = |judge: &String| Some((judge.clone(), strategies.for_judge(judge)?.slug.clone()));
        let priorities: BTreeMap<Arc<str>, Severity> =
            strategies.iter().map(|strategy| (Arc::clone(&strategy.slug), strategy.front.severity)).collect();
        Self {
            clock: Clock::default(),
            enrich: Enrich::default(),
            state: State::new(config.communication),
            detect: Detect::default(),
            triage: Triage::new(config.triage, priorities),
            strategies: judges.filter_map(for_judge).collect(),
            needs: needs(strategies),
        }
    }

    /// Takes one event all the way from what happened to what a person should know.
    pub fn step(&mut self, event: Event) -> Step {
        self.step_with(event, |_| ())
    }

    /// As [`Fold::step`]; `hear` is given what the judges claim, before it is weighed.
    pub fn step_with(&mut self, mut event: Event, hear: impl FnOnce(&[Finding])) -> Step {
        self.clock.place(&mut event); // on one time line, whatever clocks do
        let seen = self.enrich.identify(event); // who: process, container, workload
        let novelty = self.state.compare(&seen); // books and baselines: how unusual
        let mut findings = self.detect.judge(&seen, &novelty, &self.state); // claims with evidence
        self.name_strategies(&mut findings);
        hear(&findings);
        self.state.learn(&seen, &findings); // after judging, so a flagged event can be kept out
        let weighed = self.triage.weigh(&seen, findings); // incident changes with reasons
        Step { news: seen.identity.news, changes: weighed.incidents, expectations: weighed.expectations }
    }

    /// Who is there.
    pub fn enrich(&self) -> &Enrich {
        &self.enrich
    }

    /// What is usual, allowed and spent.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What is held against whom.
    pub fn triage(&self) -> &Triage {
        &self.triage
    }

    /// Judges that failed and are no longer asked.
    pub fn failed_judges(&self) -> Vec<String> {
        self.detect.failed().map(str::to_owned).collect()
    }

    fn name_strategies(&self, findings: &mut [Finding]) {
        for finding in findings {
            if let Some(slug) = self.strategies.get(&*finding.judge) {
                finding.strategy = Arc::clone(slug);
            }
            if finding.judge == BLIND {
                self.name_the_blind(finding);
            }
        }
    }

    /// Which strategies lack the source that a finding calls blind, and what they lose.
    fn name_the_blind(&self, finding: &mut Finding) {
        let needs = Source::from_name(finding.topic.raw()).and_then(|source| self.needs.get(&source));
        for (slug, lost) in needs.into_iter().flatten() {
            finding.evidence.push(("blind_strategy".into(), (&Untrusted::new(slug)).into()));
            finding.evidence.push(("lost".into(), (&Untrusted::new(lost)).into()));
        }
    }
}

fn needs(strategies: &Strategies) -> BTreeMap<Source, Vec<(Arc<str>, String)>> {
    let mut needs: BTreeMap<Source, Vec<(Arc<str>, String)>> = BTreeMap::new();
    for strategy in strategies.iter() {
        for need in &strategy.front.telemetry {
            needs.entry(need.source).or_default().push((Arc::clone(&strategy.slug), need.lost.clone()));
        }
    }
    needs
}
