//! What only a file can do: survive kill -9, be shared between processes, be damaged, be full.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use model::ids::WorkloadKey;
use model::incident::{ChangeKind, Closing, Verdict};
use model::integrity::Integrity;
use testkit::incidents::IncidentBuilder;

use super::*;
use crate::audit::{AuditAction, StoredEntry};
use crate::contract;
use crate::incident_store::RIGHTS_MAX;
use crate::storage::{Batch, Decision};

fn at(secs: i64) -> Time {
    Time::from_secs(secs)
}

fn opened(secs: i64) -> Change {
    Change { kind: ChangeKind::Opened, incident: IncidentBuilder::attack().opened(at(secs)).build() }
}

fn sql(dir: &Path, statement: &str) {
    Connection::open(dir.join(DATABASE_FILE)).unwrap().execute_batch(statement).unwrap();
}

#[test]
fn the_database_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let count = std::cell::Cell::new(0);
    contract::check(|incidents_max| {
        count.set(count.get() + 1);
        let place = dir.path().join(count.get().to_string());
        Database::open(&place).unwrap().with_incidents_max(incidents_max)
    });
}

#[test]
fn what_was_recorded_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let change = opened(1);
    Database::open(dir.path()).unwrap().record(std::slice::from_ref(&change)).unwrap();
    let reopened = Database::open(dir.path()).unwrap();
    assert_eq!(reopened.open_incidents().unwrap().rows, [change.incident]);
}

#[test]
fn closing_all_closes_what_was_open_then_and_not_what_opened_before_it_was_stored() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = Database::open(dir.path()).unwrap();
    database.record(&[opened(1)]).unwrap();
    let later = IncidentBuilder::attack().workload("later").opened(at(9)).build();
    let incidents = vec![Change { kind: ChangeKind::Opened, incident: later.clone() }];
    let closing = Closing { at: at(5), verdict: Verdict::Test, note: "".into(), owner: "ann".into() };
    let decisions = vec![Decision::Close { ids: Vec::new(), closing }];
    let kept = database.keep(&Batch { incidents, decisions, ..Batch::default() }).unwrap();
    assert_eq!((kept.closed.len(), database.open_incidents().unwrap().rows), (1, vec![later]));
}

#[test]
fn a_run_that_ended_without_being_asked_to_is_known_to_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let run = |begun| ThisRun { begun: at(begun), boot_id: "boot".into(), first_look: None };
    let mut database = Database::open(dir.path()).unwrap();
    assert_eq!(database.last_run().unwrap(), LastRun::default());
    database.begin_run(&run(5)).unwrap();
    database.beat(at(7)).unwrap();
    let mut again = Database::open(dir.path()).unwrap();
    again.begin_run(&run(5)).unwrap();
    let last = again.last_run().unwrap();
    assert!(last.killed_before.is_empty(), "the same run opened its store anew");
    assert_eq!(last.killed("boot"), Some(Integrity::Killed { last: at(7), rebooted: false, times: 1 }));
    database.begin_run(&run(10)).unwrap();
    database.end_run(at(12)).unwrap();
    let last = Database::open(dir.path()).unwrap().last_run().unwrap();
    assert_eq!((last.killed("boot"), last.first_look(at(20))), (None, at(5)));
}

#[test]
fn kills_of_a_day_add_up_and_older_ones_are_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let run = |begun| ThisRun { begun: at(begun), boot_id: "boot".into(), first_look: None };
    let times = |database: &Database| match database.last_run().unwrap().killed("boot") {
        Some(Integrity::Killed { times, .. }) => times,
        other => panic!("{other:?}"),
    };
    let mut database = Database::open(dir.path()).unwrap();
    let mut counted = Vec::new();
    for begun in [100, 200, 300, 400] {
        database.begin_run(&run(begun)).unwrap();
        counted.push(times(&database));
    }
    assert_eq!(counted, [1, 2, 3, 4]);
    database.begin_run(&run(400 + 2 * 86_400)).unwrap();
    assert_eq!(times(&database), 1, "that was another day");
    (0..100).for_each(|more| database.begin_run(&run(400 + 2 * 86_400 + more)).unwrap());
    assert_eq!(times(&database), 17, "what is remembered is bounded");
}

#[test]
fn only_the_owner_may_read_any_of_its_files() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("a/b");
    let mut database = Database::open(&place).unwrap();
    database.beat(at(1)).unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&place), 0o700);
    for name in ["tidewatch.db", "tidewatch.db-wal", "tidewatch.db-shm", "tidewatch.lock"] {
        assert_eq!(mode(&place.join(name)), 0o600, "{name}");
    }
}

#[test]
fn a_database_that_others_could_read_is_closed_to_them() {
    let dir = tempfile::tempdir().unwrap();
    drop(Database::open(dir.path()).unwrap());
    let file = dir.path().join(DATABASE_FILE);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    drop(Database::open(dir.path()).unwrap());
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_link_in_place_of_the_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("elsewhere");
    std::fs::write(&target, "precious").unwrap();
    std::os::unix::fs::symlink(&target, dir.path().join(DATABASE_FILE)).unwrap();
    Database::open(dir.path()).unwrap_err();
    Database::open_read_only(dir.path()).unwrap_err();
    assert_eq!(std::fs::read(&target).unwrap(), b"precious");
}

#[test]
fn a_data_directory_behind_a_link_is_fine() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("real")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("real"), dir.path().join("link")).unwrap();
    Database::open(&dir.path().join("link")).unwrap();
}

#[test]
fn a_reader_sees_what_the_writer_has_recorded_so_far() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Database::open(dir.path()).unwrap();
    let mut reader = Database::open_read_only(dir.path()).unwrap();
    writer.record(&[opened(1)]).unwrap();
    assert_eq!(reader.open_incidents().unwrap().rows.len(), 1);
    writer.record(&[opened(2)]).unwrap();
    assert_eq!(reader.open_incidents().unwrap().rows.len(), 2);
    reader.beat(at(1)).unwrap_err();
}

#[test]
fn reading_where_nothing_was_ever_written_says_so_and_makes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let error = Database::open_read_only(dir.path()).unwrap_err();
    assert!(error.to_string().contains("does not exist"), "{error}");
    assert_eq!(dir.path().read_dir().unwrap().count(), 0);
}

#[test]
fn a_database_of_a_newer_version_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(Database::open(dir.path()).unwrap());
    sql(dir.path(), "PRAGMA user_version = 99");
    for error in [Database::open(dir.path()).unwrap_err(), Database::open_read_only(dir.path()).unwrap_err()]
    {
        assert!(error.to_string().contains("a newer version"), "{error}");
    }
}

#[test]
fn a_file_that_is_no_database_is_an_error_with_its_path() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(DATABASE_FILE), "not a database, but long enough to look at").unwrap();
    let error = Database::open(dir.path()).unwrap_err();
    assert!(error.to_string().contains(DATABASE_FILE), "{error}");
}

#[test]
fn a_damaged_row_is_a_problem_and_the_others_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = Database::open(dir.path()).unwrap();
    let changes = [opened(1), opened(2), opened(3), opened(4)];
    database.record(&changes).unwrap();
    let ids = changes.each_ref().map(|change| change.incident.id.as_str());
    sql(dir.path(), &format!("UPDATE incidents SET body = '{{\"vers' WHERE id = '{}'", ids[0]));
    sql(dir.path(), &format!("UPDATE incidents SET body = CAST(x'fffe00' AS TEXT) WHERE id = '{}'", ids[1]));
    sql(dir.path(), &format!("UPDATE incidents SET id = 'TW-other' WHERE id = '{}'", ids[2]));
    let loaded = database.open_incidents().unwrap();
    assert_eq!(loaded.rows, [changes[3].incident.clone()]);
    let mut told: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
    told.sort();
    let places = [ids[0], ids[1], "TW-other"].map(|id| format!("table incidents, row {id}: "));
    assert!(places.iter().all(|place| told.iter().any(|problem| problem.starts_with(place))), "{told:?}");
    assert!(database.incident(&changes[0].incident.id).is_err());
}

#[test]
fn a_damaged_approval_is_a_problem_and_the_others_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = Database::open(dir.path()).unwrap();
    for pattern in ["a/*", "b/*"] {
        let scope = Scope::Pattern { pattern: pattern.into() };
        database.approve(&scope, &"ann".into(), &"".into(), at(1)).unwrap();
    }
    sql(dir.path(), "UPDATE approvals SET scope = '{\"kind\":\"\u{1b}[2J\"}' WHERE id = 1");
    let loaded = database.approvals().unwrap();
    assert_eq!(loaded.rows.len(), 1);
    let problem = loaded.problems[0].to_string();
    assert!(problem.starts_with("table approvals, row 1: ") && !problem.contains('\u{1b}'), "{problem}");
}

#[test]
fn an_approval_whose_rights_were_multiplied_behind_our_back_is_not_in_force() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = Database::open(dir.path()).unwrap();
    let scope = Scope::Rights { workload: WorkloadKey::new("shop"), rights: vec!["cap:BPF".into()] };
    database.approve(&scope, &"ann".into(), &"".into(), at(1)).unwrap();
    let many = vec!["\"cap:BPF\""; RIGHTS_MAX + 1].join(",");
    let rewrite = format!("UPDATE approvals SET scope = replace(scope, '[\"cap:BPF\"]', '[{many}]')");
    sql(dir.path(), &rewrite);
    let loaded = database.approvals().unwrap();
    assert!(loaded.rows.is_empty());
    let problem = loaded.problems[0].to_string();
    assert!(problem.contains("129 rights are too many"), "{problem}");
}

#[test]
fn the_audit_trail_refuses_to_be_changed() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = audited(dir.path());
    for statement in ["DELETE FROM audit WHERE id = 2", "UPDATE audit SET owner = 'eve' WHERE id = 2"] {
        let error =
            Connection::open(dir.path().join(DATABASE_FILE)).unwrap().execute_batch(statement).unwrap_err();
        assert!(error.to_string().contains("append-only"), "{error}");
    }
    assert_eq!(database.verify_audit().unwrap(), 3);
    database.beat(at(1)).unwrap();
}

#[test]
fn a_changed_or_removed_entry_of_the_audit_trail_is_found() {
    let check = |statement: &str, row: u64| {
        let dir = tempfile::tempdir().unwrap();
        let database = audited(dir.path());
        sql(dir.path(), "DROP TRIGGER audit_keeps_rows; DROP TRIGGER audit_keeps_words");
        sql(dir.path(), statement);
        let error = database.verify_audit().unwrap_err();
        assert!(matches!(error, StoreError::Audit { id, .. } if id == row), "{statement}: {error}");
    };
    check("UPDATE audit SET owner = 'eve' WHERE id = 2", 2);
    check("UPDATE audit SET at_ns = at_ns + 1 WHERE id = 1", 1);
    check("UPDATE audit SET detail = '{}' WHERE id = 3", 3);
    check("DELETE FROM audit WHERE id = 1", 1);
    check("DELETE FROM audit WHERE id = 2", 2);
    check("DELETE FROM audit WHERE id = 3", 3);
    check("DELETE FROM audit", 1);
}

/// Who can edit a row can compute the row's own hash; what gives it away is that the next row covers the old one.
#[test]
fn an_entry_forged_with_a_fitting_hash_breaks_the_chain_at_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let database = audited(dir.path());
    let entries = database.audit(10).unwrap().rows;
    let act = Act {
        owner: "eve".into(),
        at: at(1),
        action: AuditAction::Approve,
        detail: entries[1].detail.clone(),
    };
    let forged = StoredEntry::after(Some((1, &entries[2].hash)), &act);
    sql(dir.path(), "DROP TRIGGER audit_keeps_words");
    sql(dir.path(), &format!("UPDATE audit SET owner = 'eve', hash = '{}' WHERE id = 2", forged.hash));
    let error = database.verify_audit().unwrap_err();
    assert!(matches!(error, StoreError::Audit { id: 3, .. }), "{error}");
}

fn audited(dir: &Path) -> Database {
    let mut database = Database::open(dir).unwrap();
    for pattern in ["a/*", "b/*", "c/*"] {
        let scope = Scope::Pattern { pattern: pattern.into() };
        database.approve(&scope, &"ann".into(), &"".into(), at(1)).unwrap();
    }
    database
}

#[test]
fn processes_that_open_a_new_database_at_once_all_get_it() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path();
    thread::scope(|scope| {
        let openers: Vec<_> = (0..8)
            .map(|secs| {
                scope.spawn(move || Database::open(place).and_then(|mut db| db.record(&[opened(secs)])))
            })
            .collect();
        openers.into_iter().for_each(|opener| opener.join().unwrap().unwrap());
    });
    assert_eq!(Database::open(place).unwrap().open_incidents().unwrap().rows.len(), 8);
}

#[test]
fn removing_what_is_over_the_limit_sorts_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::open(dir.path()).unwrap();
    let plan: Vec<String> = database
        .conn
        .prepare(&format!("EXPLAIN QUERY PLAN {}", incidents::TRIM))
        .unwrap()
        .query_map([1], |row| row.get("detail"))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert!(plan.iter().any(|step| step.contains("incidents_by_worth")), "{plan:?}");
    assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "{plan:?}");
}

#[test]
fn a_full_disk_is_an_error_and_what_was_kept_stays() {
    let dir = tempfile::tempdir().unwrap();
    let mut database = Database::open(dir.path()).unwrap();
    let kept = opened(0);
    database.record(std::slice::from_ref(&kept)).unwrap();
    // SQLite reports its page limit with the code it has for a full disk.
    database.conn.pragma_update_and_check(None, "max_page_count", 20, |_| Ok(())).unwrap();
    let many: Vec<Change> = (1..100).map(opened).collect();
    let error = database.record(&many).unwrap_err();
    assert!(error.to_string().contains("full"), "{error}");
    assert_eq!(database.open_incidents().unwrap().rows, [kept.incident]);
}

const CHILD: &str = "TIDEWATCH_STORE_TEST_CHILD";

/// The test starts itself again as a child that records until it is killed, and says each name once it is kept.
#[test]
fn what_record_returned_from_survives_kill_9() {
    if let Some(dir) = std::env::var_os(CHILD) {
        record_until_killed(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let mut said = Vec::new();
    for delay_ms in [0, 3, 11, 27, 64, 150] {
        let (child, names) = start_child(dir.path());
        said.push(names.recv_timeout(Duration::from_secs(30)).unwrap());
        kill_after(child, &names, Duration::from_millis(delay_ms), &mut said);
        let kept = Database::open_read_only(dir.path()).unwrap();
        for name in &said {
            let found = kept.incident(&IncidentId::from_text(name)).unwrap();
            assert!(found.is_some(), "{name} was said to be kept, after {delay_ms} ms");
        }
    }
    let kept = Database::open(dir.path()).unwrap().open_incidents().unwrap();
    assert!(kept.problems.is_empty() && kept.rows.len() >= said.len());
}

fn record_until_killed(dir: &Path) -> ! {
    let mut database = Database::open(dir).unwrap().with_incidents_max(usize::MAX);
    let first = database.open_incidents().unwrap().rows.len();
    let mut secs = i64::try_from(first).unwrap() * 1000;
    loop {
        secs += 1;
        let change = opened(secs);
        database.record(std::slice::from_ref(&change)).unwrap();
        writeln!(std::io::stdout(), "\n{}", change.incident.id).unwrap();
    }
}

fn start_child(dir: &Path) -> (Child, mpsc::Receiver<String>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "database::tests::what_record_returned_from_survives_kill_9"])
        .env(CHILD, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (send, names) = mpsc::channel();
    thread::spawn(move || {
        let whole = lines.map_while(Result::ok).filter(|line| line.starts_with("TW-") && line.len() == 15);
        whole.for_each(|name| drop(send.send(name)));
    });
    (child, names)
}

fn kill_after(mut child: Child, names: &mpsc::Receiver<String>, delay: Duration, said: &mut Vec<String>) {
    let end = std::time::Instant::now() + delay;
    while let Ok(name) = names.recv_timeout(end.saturating_duration_since(std::time::Instant::now())) {
        said.push(name);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    said.extend(names.iter());
}
