//! Strategies: ADS bundles with their prose, scenarios and playbook, parsed and checked, all or nothing.
//!
//! Not here: reading files (bytes are handed in), running a scenario, carrying out an action.

pub mod bundle;

pub mod front_matter;

pub mod sections;

pub mod scenario;

pub mod playbook;

mod check;

mod yaml;

use std::sync::Arc;

use model::coverage::{Coverage, Health, Source};

use crate::bundle::{BUNDLES_MAX, Bundle, Log, Problem};
use crate::front_matter::{FrontMatter, Status};
use crate::playbook::Playbook;
use crate::scenario::Scenario;
use crate::sections::Section;

/// One strategy, whole: it passed every check.
#[derive(Clone, Debug, PartialEq)]
pub struct Strategy {
    /// Its name in output and on incidents; equals the name of its folder.
    pub slug: Arc<str>,
    /// What the machine needs to know.
    pub front: FrontMatter,
    /// The prose in the order of the document: the nine sections of an ADS, and further ones.
    pub sections: Vec<Section>,
    /// How it is proven, sorted by name.
    pub scenarios: Vec<Scenario>,
    /// What to do when it finds something.
    pub playbook: Playbook,
}

impl Strategy {
    /// The section of that heading, whatever its case.
    pub fn section(&self, heading: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.heading.eq_ignore_ascii_case(heading))
    }
}

/// What a strategy cannot see at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blindness {
    /// Which strategy.
    pub slug: Arc<str>,
    /// Which source is missing, wholly or in part.
    pub source: Source,
    /// How that source is: `Down` or `Degraded`.
    pub health: Health,
    /// Whether the strategy is worth nothing without it.
    pub required: bool,
    /// What is lost without it, in the strategy's words.
    pub lost: String,
}

/// The running set of strategies, sorted by slug.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Strategies {
    all: Vec<Strategy>,
}

impl Strategies {
    /// Parses and checks the bundles; `known_judges` are the ids of the judges this build has. When anything at
    /// all is wrong, nothing is loaded and every problem is returned, by bundle, file and line.
    pub fn load(bundles: &[Bundle], known_judges: &[&str]) -> Result<Self, Vec<Problem>> {
        if bundles.len() > BUNDLES_MAX {
            let message = format!("{} bundles are more than the {BUNDLES_MAX} allowed", bundles.len());
            return Err(vec![Problem { path: "ads".to_owned(), line: 1, message }]);
        }
        let mut all = Vec::new();
        let mut problems = Vec::new();
        for bundle in bundles {
            let mut log = Log::new(&bundle.folder);
            all.extend(check::strategy(bundle, known_judges, &mut log));
            problems.extend(log.into_problems());
        }
        all.sort_by(|one, other| one.slug.cmp(&other.slug));
        problems.extend(repeated(&all));
        if problems.is_empty() { Ok(Self { all }) } else { Err(problems) }
    }

    /// The strategies, sorted by slug.
    pub fn iter(&self) -> impl Iterator<Item = &Strategy> {
        self.all.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The strategy of that slug.
    pub fn by_slug(&self, slug: &str) -> Option<&Strategy> {
        self.all.iter().find(|strategy| &*strategy.slug == slug)
    }

    /// The strategy that answers for a judge: the first by slug that uses it, production before draft.
    pub fn for_judge(&self, judge: &str) -> Option<&Strategy> {
        let uses = |strategy: &&Strategy| strategy.front.judges.iter().any(|id| id == judge);
        let production = |strategy: &&Strategy| strategy.front.status == Status::Production;
        self.all.iter().filter(uses).find(production).or_else(|| self.all.iter().find(uses))
    }

    /// What each strategy cannot see now: sources that are down or degraded and have not come back. A source
    /// that is absent from the host blinds nobody: there is nothing it could tell.
    pub fn blind(&self, coverage: &Coverage) -> Vec<Blindness> {
        let now = |source| {
            coverage.blind.iter().find(|blind| {
                blind.source == source
                    && blind.until.is_none()
                    && matches!(blind.health, Health::Down | Health::Degraded)
            })
        };
        let of_one = |strategy: &Strategy| -> Vec<Blindness> {
            let needs = strategy.front.telemetry.iter();
            needs
                .filter_map(|need| {
                    Some(Blindness {
                        slug: Arc::clone(&strategy.slug),
                        source: need.source,
                        health: now(need.source)?.health,
                        required: need.required,
                        lost: need.lost.clone(),
                    })
                })
                .collect()
        };
        self.all.iter().flat_map(of_one).collect()
    }
}

/// Two bundles of one slug: the second would shadow the first.
fn repeated(sorted: &[Strategy]) -> Vec<Problem> {
    let twins = sorted.windows(2).filter(|pair| pair[0].slug == pair[1].slug);
    twins
        .map(|pair| Problem {
            path: format!("{}/ads.md", pair[1].slug),
            line: 1,
            message: format!("another bundle is called {} as well", pair[1].slug),
        })
        .collect()
}

#[cfg(test)]
mod tests;
