//! The recordings below `scenarios/`: each is replayed, and its incidents are held against those beside it.
//!
//! With UPDATE_EXPECT=1 the expected incidents are written anew, and a recording that is missing is made from its
//! scene; one that is there is never touched, so that old recordings stay readable.

use std::path::{Path, PathBuf};

use engine::fold::FoldConfig;
use expect_test::expect_file;
use store::recording::RecordingReader;
use testkit::scene::Scene;

use crate::scenes::{is_eventful, quiet_hour, sample_attack};
use crate::stage::{printed, project, recorded, strategies};

/// Largest recording kept in the repository, in bytes.
const RECORDING_BYTES_MAX: u64 = 300_000;

/// Scenes that recordings are made from.
fn scene(name: &str) -> Option<Scene> {
    match name {
        "attack-sample-command" => Some(sample_attack(8, 6)),
        "quiet-hour" => Some(quiet_hour(1, is_eventful)),
        _ => None,
    }
}

fn folders() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(project().join("scenarios")).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

fn name(folder: &Path) -> &str {
    folder.file_name().unwrap().to_str().unwrap()
}

#[test]
fn every_recording_leads_to_the_incidents_beside_it() {
    for folder in folders() {
        let path = folder.join("recording.jsonl");
        if !path.exists() && std::env::var_os("UPDATE_EXPECT").is_some() {
            let mut scene = scene(name(&folder)).expect("a scene of that name");
            std::fs::write(&path, recorded(&scene.take(), None)).unwrap();
        }
        let recording = RecordingReader::open(&path).unwrap();
        let replayed = engine::replay::replay(recording, &strategies(), &FoldConfig::default()).unwrap();
        assert_eq!(replayed.problems, Vec::<String>::new(), "{}", path.display());
        assert!(replayed.events > 0, "{}", path.display());
        expect_file![folder.join("expected.json")].assert_eq(&printed(&replayed.incidents));
    }
}

#[test]
fn an_attack_and_a_quiet_hour_are_among_the_recordings_and_say_what_their_names_promise() {
    let folders = folders();
    let names: Vec<&str> = folders.iter().map(|folder| name(folder)).collect();
    assert!(names.contains(&"attack-sample-command") && names.contains(&"quiet-hour"), "{names:?}");
    for folder in &folders {
        let expected = std::fs::read_to_string(folder.join("expected.json")).unwrap();
        let is_quiet = expected == "[]\n";
        assert_eq!(is_quiet, name(folder).starts_with("quiet-"), "{}", folder.display());
        assert!(is_quiet || name(folder).starts_with("attack-"), "{}", folder.display());
    }
}

#[test]
fn recordings_in_the_repository_are_small() {
    for folder in folders() {
        let bytes = std::fs::metadata(folder.join("recording.jsonl")).unwrap().len();
        assert!(bytes <= RECORDING_BYTES_MAX, "{}: {bytes} bytes", folder.display());
    }
}
