//! Folds a recording again: the same events, the same incidents.

use std::collections::BTreeMap;
use std::io::BufRead;

use model::incident::{Incident, IncidentId};
use store::error::StoreError;
use store::recording::RecordingReader;
use strategy::Strategies;

use crate::fold::{CHECKPOINT_VERSION, Fold, FoldConfig};

/// What a replay led to.
#[derive(Debug)]
pub struct Replayed {
    /// The incidents that changed during the recording, newest first, as they were at its end.
    pub incidents: Vec<Incident>,
    /// Events folded.
    pub events: u64,
    /// Lines that could not be read, and other remarks, in order.
    pub problems: Vec<String>,
}

/// Folds a recording from its checkpoint, or from nothing when it has none that this version understands.
pub fn replay<R: BufRead>(
    mut recording: RecordingReader<R>,
    strategies: &Strategies,
    config: &FoldConfig,
) -> Result<Replayed, StoreError> {
    let mut problems = Vec::new();
    let mut fold = match recording.take_checkpoint() {
        Some(checkpoint) if checkpoint.version == CHECKPOINT_VERSION => checkpoint.parse()?,
        Some(checkpoint) => {
            problems.push(format!(
                "the recording starts from state of version {}, which this Tidewatch cannot read: replayed from nothing",
                checkpoint.version
            ));
            Fold::new(strategies, config.clone())
        }
        None => Fold::new(strategies, config.clone()),
    };
    let mut incidents: BTreeMap<IncidentId, Incident> = BTreeMap::new();
    let mut events = 0;
    for event in &mut recording {
        match event {
            Ok(event) => {
                events += 1;
                for change in fold.step(event).changes {
                    incidents.insert(change.incident.id.clone(), change.incident);
                }
            }
            Err(problem) => problems.push(problem.to_string()),
        }
    }
    if let Some(line) = recording.torn() {
        problems.push(format!("line {line} is cut off: the recording ended in the middle of it"));
    }
    let mut incidents: Vec<Incident> = incidents.into_values().collect();
    incidents.sort_by(|a, b| b.opened.cmp(&a.opened).then_with(|| a.id.cmp(&b.id)));
    Ok(Replayed { incidents, events, problems })
}
