//! Declared rules, put where few of them need to be asked: by the name or the namespace that they are about.
//!
//! Not here: what the rules say.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::expectation::ExpectationId;

use super::{Alone, Edge, Pattern, Side};

type Rules<R> = BTreeMap<ExpectationId, Arc<R>>;

/// Rules by what one of their ends must be called.
#[derive(Clone, Debug)]
pub(super) struct Index<R> {
    all: Rules<R>,
    /// By whole or short name of a workload.
    named: BTreeMap<Box<str>, Rules<R>>,
    /// By namespace.
    placed: BTreeMap<Box<str>, Rules<R>>,
    /// Those that may be about anybody.
    others: Rules<R>,
}

impl<R> Default for Index<R> {
    fn default() -> Self {
        Self { all: Rules::new(), named: BTreeMap::new(), placed: BTreeMap::new(), others: Rules::new() }
    }
}

/// What a rule is about.
pub(super) trait About {
    /// Its ends.
    fn ends(&self) -> Vec<&Pattern>;
}

impl About for Edge {
    fn ends(&self) -> Vec<&Pattern> {
        vec![&self.from, &self.to]
    }
}

impl About for Alone {
    fn ends(&self) -> Vec<&Pattern> {
        vec![&self.who]
    }
}

/// Where a rule is put.
enum Shelf {
    Named(Box<str>),
    Placed(Box<str>),
    Others,
}

impl<R: About> Index<R> {
    pub(super) fn add(&mut self, id: &ExpectationId, rule: R) {
        let rule = Arc::new(rule);
        self.all.insert(id.clone(), Arc::clone(&rule));
        let rules = match shelf(&*rule) {
            Shelf::Named(name) => self.named.entry(name).or_default(),
            Shelf::Placed(namespace) => self.placed.entry(namespace).or_default(),
            Shelf::Others => &mut self.others,
        };
        rules.insert(id.clone(), rule);
    }

    pub(super) fn remove(&mut self, id: &ExpectationId) {
        let Some(rule) = self.all.remove(id) else { return };
        match shelf(&*rule) {
            Shelf::Named(name) => take(&mut self.named, &name, id),
            Shelf::Placed(namespace) => take(&mut self.placed, &namespace, id),
            Shelf::Others => drop(self.others.remove(id)),
        }
    }
}

fn take<R>(shelves: &mut BTreeMap<Box<str>, Rules<R>>, key: &str, id: &ExpectationId) {
    if let Some(rules) = shelves.get_mut(key) {
        rules.remove(id);
        if rules.is_empty() {
            shelves.remove(key);
        }
    }
}

/// The most telling of its ends: a name says more than a namespace.
fn shelf(rule: &impl About) -> Shelf {
    let ends = rule.ends();
    let named = ends.iter().find_map(|end| end.sole_name()).map(|name| Shelf::Named(name.raw().into()));
    let placed = || ends.iter().find_map(|end| end.namespace()).map(|name| Shelf::Placed(name.raw().into()));
    named.or_else(placed).unwrap_or(Shelf::Others)
}

/// The rules that may be about certain ends.
pub(super) struct Found<'a, R> {
    rules: Vec<&'a Rules<R>>,
}

impl<'a, R> Found<'a, R> {
    pub(super) fn among<const ENDS: usize>(index: &'a Index<R>, ends: [&Side<'_>; ENDS]) -> Self {
        let mut rules = vec![&index.others];
        for end in ends {
            let workload = end.workload();
            let names = workload.into_iter().flat_map(|workload| [workload.raw(), workload.short()]);
            rules.extend(names.filter_map(|name| index.named.get(name)));
            rules.extend(end.namespace().and_then(|namespace| index.placed.get(namespace)));
        }
        Self { rules }
    }

    /// The first that fits, by name: the same whatever the order they came in.
    pub(super) fn first(&self, fits: impl Fn(&R) -> bool) -> Option<&'a ExpectationId> {
        let firsts = self.rules.iter().filter_map(|rules| rules.iter().find(|(_, rule)| fits(rule)));
        firsts.map(|(id, _)| id).min()
    }

    /// All of them; one may come twice.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'a ExpectationId, &'a R)> {
        self.rules.iter().flat_map(|rules| rules.iter().map(|(id, rule)| (id, &**rule)))
    }
}
