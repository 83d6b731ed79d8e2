//! What the cases share: the shipped strategies, a fold of a scene, and the bytes people get.

use std::path::{Path, PathBuf};

use engine::fold::{Fold, FoldConfig};
use engine::replay::{Replayed, replay};
use model::event::Event;
use model::ids::NodeId;
use model::incident::{Change, Incident};
use report::json::{incidents_json, json_text};
use serde_json::Value;
use store::recording::{RecordingReader, RecordingWriter};
use strategy::Strategies;
use strategy::bundle::Bundle;

/// The folder of the whole project.
pub(crate) fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..").canonicalize().unwrap()
}

/// The strategies as they are shipped.
pub(crate) fn strategies() -> Strategies {
    let folders = std::fs::read_dir(project().join("ads")).unwrap().map(|entry| entry.unwrap().path());
    let bundles: Vec<Bundle> = folders.filter(|path| path.is_dir()).map(|path| bundle(&path)).collect();
    Strategies::load(&bundles, &detect::judge_ids()).unwrap()
}

fn bundle(folder: &Path) -> Bundle {
    let name = folder.file_name().unwrap().to_str().unwrap();
    let mut bundle = Bundle::new(name);
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for path in std::fs::read_dir(next).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                let below = path.strip_prefix(folder).unwrap().to_str().unwrap();
                bundle = bundle.with(below, std::fs::read(&path).unwrap());
            }
        }
    }
    bundle
}

/// A core that has seen nothing.
pub(crate) fn new_fold() -> Fold {
    Fold::new(&strategies(), FoldConfig::default())
}

/// Folds events; every change of an incident, in order.
pub(crate) fn step_all(fold: &mut Fold, events: &[Event]) -> Vec<Change> {
    events.iter().flat_map(|event| fold.step(event.clone()).changes).collect()
}

/// All that a core knows, for comparing: without the order of its tables.
pub(crate) fn known(fold: &Fold) -> Value {
    serde_json::to_value(fold).unwrap()
}

/// The core written down and read back, as a recording carries it.
pub(crate) fn carried_over(fold: &Fold) -> Fold {
    serde_json::from_str(&serde_json::to_string(fold).unwrap()).unwrap()
}

/// Incidents as `--json` prints them.
pub(crate) fn printed(incidents: &[Incident]) -> String {
    json_text(&incidents_json(incidents)) + "\n"
}

/// Changes as they are stored.
pub(crate) fn written(changes: &[Change]) -> String {
    changes.iter().map(|change| serde_json::to_string(change).unwrap() + "\n").collect()
}

/// The last form of every incident that changed, newest first, as replay gives them.
pub(crate) fn last_forms(changes: &[Change]) -> Vec<Incident> {
    let mut incidents: Vec<Incident> = Vec::new();
    for change in changes.iter().rev() {
        if !incidents.iter().any(|incident| incident.id == change.incident.id) {
            incidents.push(change.incident.clone());
        }
    }
    incidents.sort_by(|a, b| b.opened.cmp(&a.opened).then_with(|| a.id.cmp(&b.id)));
    incidents
}

/// The events as a recording, from the state they start from when there is one.
pub(crate) fn recorded(events: &[Event], from: Option<(u32, &Fold)>) -> Vec<u8> {
    let (path, node) = (Path::new("made"), NodeId::new("node"));
    let mut writer = match from {
        Some((version, fold)) => RecordingWriter::with_checkpoint(Vec::new(), path, &node, version, fold),
        None => RecordingWriter::new(Vec::new(), path, &node),
    }
    .unwrap();
    events.iter().for_each(|event| writer.write(event).unwrap());
    writer.into_inner()
}

/// Replays a recording.
pub(crate) fn replayed(recording: &[u8]) -> Replayed {
    let reader = RecordingReader::new(recording, Path::new("made")).unwrap();
    replay(reader, &strategies(), &FoldConfig::default()).unwrap()
}
