//! A store that hangs, fails or is full, and what is shown, kept in memory and stored later. Every fake store keeps what
//! the real one would.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use model::incident::{ChangeKind, State, Verdict};
use testkit::incidents::IncidentBuilder;

use super::*;
use crate::storage::{Opening, Storage, Tended};

/// What the store under test does with the next batches.
#[derive(Clone, Debug)]
enum Mood {
    Well,
    Fails(std::io::ErrorKind),
    Hangs,
}

#[derive(Clone)]
struct Fake {
    mood: Arc<Mutex<Mood>>,
    kept: Arc<Mutex<Vec<Batch>>>,
    opened: Arc<AtomicU64>,
    contents: Arc<Mutex<Option<Contents>>>,
}

impl Fake {
    fn new(mood: Mood) -> Self {
        Self {
            mood: Arc::new(Mutex::new(mood)),
            kept: Arc::default(),
            opened: Arc::default(),
            contents: Arc::default(),
        }
    }

    fn becomes(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn incidents(&self) -> Vec<(IncidentId, ChangeKind)> {
        let kept = self.kept.lock().unwrap();
        let all = kept.iter().flat_map(|batch| &batch.incidents);
        all.map(|change| (change.incident.id.clone(), change.kind)).collect()
    }

    fn decisions(&self) -> Vec<Decision> {
        self.kept.lock().unwrap().iter().flat_map(|batch| batch.decisions.clone()).collect()
    }

    fn act(&self) -> Result<(), StoreError> {
        let mood = self.mood.lock().unwrap().clone();
        match mood {
            Mood::Well => Ok(()),
            Mood::Fails(kind) => Err(StoreError::io(std::path::Path::new("/disk"))(kind.into())),
            Mood::Hangs => {
                while matches!(*self.mood.lock().unwrap(), Mood::Hangs) {
                    std::thread::park_timeout(Duration::from_millis(5));
                }
                self.act()
            }
        }
    }
}

impl Storage for Fake {
    fn keep(&mut self, batch: &Batch) -> Result<Kept, StoreError> {
        self.act()?;
        self.kept.lock().unwrap().push(batch.clone());
        Ok(Kept::default())
    }

    fn tend(&mut self) -> Result<Tended, StoreError> {
        Ok(Tended::default())
    }
}

impl Opener for Fake {
    fn open(&mut self) -> Opening {
        self.opened.fetch_add(1, Ordering::Relaxed);
        let contents = self.contents.lock().unwrap().take().unwrap_or_default();
        Opening { storage: Some(Box::new(self.clone())), contents, notes: Vec::new(), problem: String::new() }
    }
}

fn start(mood: Mood) -> (Keeper, Fake) {
    let fake = Fake::new(mood);
    let keeper = Keeper::start(Box::new(fake.clone()), Box::new(|| ())).unwrap();
    (keeper, fake)
}

fn change(kind: ChangeKind, workload: &str, bits: f64) -> Change {
    let mut incident = IncidentBuilder::attack().workload(workload).build();
    incident.bits = bits;
    Change { kind, incident }
}

/// Runs the fold's side for a while, and gives what was shown: as stored, and as not stored.
fn turn(keeper: &mut Keeper, lasting: Duration) -> (Vec<Change>, Vec<Change>) {
    let (mut stored, mut unstored) = (Vec::new(), Vec::new());
    let end = Instant::now() + lasting;
    loop {
        keeper.hand_over(Instant::now());
        unstored.extend(keeper.overdue(Instant::now()));
        let wake = (Instant::now() + Duration::from_millis(20)).min(end);
        if let Ok(news) = keeper.news.recv_deadline(wake) {
            let taken = keeper.take(news, Instant::now());
            if let Some(opened) = taken.opened {
                keeper.take_up(&opened.contents, &BTreeSet::new(), Instant::now());
            }
            stored.extend(taken.stored);
        }
        if Instant::now() >= end {
            return (stored, unstored);
        }
    }
}

fn approve(keeper: &mut Keeper, pattern: &str) -> Approval {
    let scope = Scope::Pattern { pattern: pattern.into() };
    keeper.approve(&scope, &"ann".into(), &"".into(), Time::from_secs(1)).unwrap()
}

#[test]
fn a_store_that_is_well_has_everything_before_it_is_shown() {
    let (mut keeper, fake) = start(Mood::Well);
    keeper.add_incident(change(ChangeKind::Opened, "web", 20.0), Instant::now());
    let (stored, unstored) = turn(&mut keeper, Duration::from_millis(300));
    assert_eq!((stored.len(), unstored.len(), fake.incidents().len()), (1, 0, 1));
    assert_eq!(keeper.standing().waiting, 0);
}

#[test]
fn a_store_that_hangs_costs_a_second_and_everything_is_stored_when_it_answers() {
    let (mut keeper, fake) = start(Mood::Hangs);
    let began = Instant::now();
    keeper.add_incident(change(ChangeKind::Opened, "web", 20.0), began);
    let mut shown = None;
    while shown.is_none() && began.elapsed() < Duration::from_secs(5) {
        let (stored, unstored) = turn(&mut keeper, Duration::from_millis(50));
        assert!(stored.is_empty());
        shown = unstored.first().map(|change| (change.kind, began.elapsed()));
    }
    let (kind, after) = shown.unwrap();
    assert!(
        kind == ChangeKind::Opened && after >= SHOWN_AFTER && after < Duration::from_secs(2),
        "{after:?}"
    );
    // What comes now need not wait for a second: it is known that nothing is stored.
    keeper.add_incident(change(ChangeKind::Opened, "db", 20.0), Instant::now());
    let (_, unstored) = turn(&mut keeper, Duration::from_millis(60));
    assert_eq!(unstored.len(), 1);
    let approval = approve(&mut keeper, "shop/*");
    assert!(!keeper.is_stored(keeper.given()));
    fake.becomes(Mood::Well);
    let (stored, unstored) = turn(&mut keeper, Duration::from_millis(400));
    assert_eq!((stored.len(), unstored.len()), (2, 0));
    assert!(stored.iter().all(|change| change.kind == ChangeKind::Updated), "announced once: {stored:?}");
    assert_eq!(fake.decisions(), [Decision::Approve(approval)]);
    assert!(keeper.is_stored(keeper.given()));
}

fn check_failing(kind: std::io::ErrorKind) {
    let (mut keeper, fake) = start(Mood::Fails(kind));
    keeper.add_incident(change(ChangeKind::Opened, "web", 20.0), Instant::now());
    let (stored, unstored) = turn(&mut keeper, Duration::from_millis(300));
    assert_eq!((stored.len(), unstored.len()), (0, 1), "shown once, and at once");
    assert!(keeper.standing().reason.contains("/disk"), "{:?}", keeper.standing());
    keeper.add_incident(change(ChangeKind::Updated, "web", 21.0), Instant::now());
    fake.becomes(Mood::Well);
    let (stored, _) = turn(&mut keeper, Duration::from_millis(2_000));
    assert_eq!(stored.last().map(|change| change.incident.bits), Some(21.0));
    assert!(keeper.standing().reason.is_empty() && keeper.standing().waiting == 0);
}

#[test]
fn a_store_that_is_full_read_only_or_over_its_quota_costs_nothing_but_a_mark() {
    check_failing(std::io::ErrorKind::StorageFull);
    check_failing(std::io::ErrorKind::ReadOnlyFilesystem);
    check_failing(std::io::ErrorKind::QuotaExceeded);
}

#[test]
fn what_a_store_refuses_is_reported_counted_and_not_tried_again() {
    let (mut keeper, _fake) = start(Mood::Hangs);
    approve(&mut keeper, "shop/*");
    keeper.hand_over(Instant::now());
    let kept = Kept { refused: vec!["too many".into()], ..Kept::default() };
    let taken = keeper.take(News::Kept(kept), Instant::now());
    assert!(matches!(&taken.notes[..], [Integrity::NotStored { dropped: 1, .. }]), "{taken:?}");
    assert_eq!((keeper.standing().dropped, keeper.standing().waiting), (1, 0));
}

#[test]
fn a_decision_that_finds_no_room_is_refused_before_it_is_applied() {
    let (mut keeper, _fake) = start(Mood::Hangs);
    let approval = approve(&mut keeper, "shop/*");
    let again = Decision::Approve(approval.clone());
    keeper.waiting.decisions.resize(DECISIONS_MAX, again);
    let (ann, at) = (Untrusted::new("ann"), Time::from_secs(2));
    let scope = Scope::Pattern { pattern: "new/*".into() };
    for _ in 0..2 {
        let refused = keeper.approve(&scope, &ann, &"".into(), at);
        assert!(matches!(refused, Err(StoreError::TooManyDecisions { .. })), "{refused:?}");
        let refused = keeper.revoke(approval.id, &ann, at);
        assert!(matches!(refused, Err(StoreError::TooManyDecisions { .. })), "{refused:?}");
        let refused = keeper.declare(&[testkit::expectations::learned("batch [sum]")]);
        assert!(matches!(refused, Err(StoreError::TooManyDecisions { .. })), "{refused:?}");
    }
    assert_eq!(approve(&mut keeper, "shop/*"), approval, "what holds already needs no room");
    assert_eq!(keeper.revoke(77, &ann, at).unwrap(), None);
}

#[test]
fn an_approval_has_the_number_in_memory_that_the_store_keeps_it_under() {
    let dir = tempfile::tempdir().unwrap();
    let old = Approval {
        id: 7,
        scope: Scope::Pattern { pattern: "shop/*".into() },
        owner: "bob".into(),
        at: Time::from_secs(1),
        note: "".into(),
    };
    let mut database = crate::database::Database::open(dir.path()).unwrap();
    let batch = Batch { decisions: vec![Decision::Approve(old.clone())], ..Batch::default() };
    database.keep(&batch).unwrap();
    let (mut keeper, _fake) = start(Mood::Hangs);
    let early = approve(&mut keeper, "shop/*");
    keeper.take_up(&database.contents().unwrap(), &BTreeSet::new(), Instant::now());
    let kept = database.keep(&keeper.waiting.batch()).unwrap();
    let taken = keeper.take(News::Kept(kept), Instant::now());
    assert_eq!(taken.renumbered, [(early.id, old.clone())]);
    assert_eq!(keeper.number(early.id), 7);
    assert_eq!(approve(&mut keeper, "shop/*"), old);
    let revoked = keeper.revoke(early.id, &"ann".into(), Time::from_secs(3)).unwrap();
    assert_eq!(revoked, Some(old), "the number that the operator was given still holds");
}

#[test]
fn what_fails_for_three_seconds_is_reported_once_and_so_is_its_end() {
    let (mut keeper, _fake) = start(Mood::Well);
    let now = Instant::now();
    assert_eq!(keeper.report(now), None);
    keeper.fail("full".into(), now);
    assert_eq!(keeper.report(now + Duration::from_secs(1)), None, "a busy disk is not reported");
    let reported = keeper.report(now + REPORTED_AFTER);
    assert!(matches!(reported, Some(Integrity::NotStored { .. })), "{reported:?}");
    assert_eq!(keeper.report(now + Duration::from_secs(9)), None);
    keeper.failing_since = None;
    assert!(matches!(keeper.report(now), Some(Integrity::StoredAgain { .. })));
    assert_eq!(keeper.report(now), None);
}

#[test]
fn decisions_made_before_the_store_opened_are_joined_with_what_it_holds() {
    let (mut keeper, fake) = start(Mood::Well);
    let opened = keeper.news.recv().unwrap();
    assert!(matches!(opened, News::Opened(_)), "held back: the store opens late");
    let old = |id, pattern: &str| Approval {
        id,
        scope: Scope::Pattern { pattern: pattern.into() },
        owner: "bob".into(),
        at: Time::from_secs(1),
        note: "".into(),
    };
    let early = approve(&mut keeper, "new/*");
    assert!(early.id > PROVISIONAL, "a number that the store cannot have given");
    let contents = Contents {
        approvals: crate::incident_store::Loaded::collect([Ok(old(3, "old/*")), Ok(old(7, "new/*"))]),
        approvals_given: 9,
        ..Contents::default()
    };
    let taken = keeper.take_up(&contents, &BTreeSet::new(), Instant::now());
    assert_eq!(taken.approvals, [old(3, "old/*")], "what both know is not taken up twice");
    assert!(approve(&mut keeper, "later/*").id > early.id);
    turn(&mut keeper, Duration::from_millis(200));
    assert_eq!(fake.decisions().len(), 2);
}

#[test]
fn a_store_that_lost_everything_is_given_it_again() {
    let (mut keeper, fake) = start(Mood::Well);
    let approval = approve(&mut keeper, "shop/*");
    turn(&mut keeper, Duration::from_millis(200));
    let open = IncidentId::from_text("TW-1");
    let taken = keeper.take_up(&Contents::default(), &BTreeSet::from([open.clone()]), Instant::now());
    assert_eq!(taken.lost, [open]);
    turn(&mut keeper, Duration::from_millis(200));
    assert_eq!(fake.decisions(), [Decision::Approve(approval.clone()), Decision::Approve(approval)]);
}

#[test]
fn what_was_revoked_while_the_store_failed_does_not_come_back() {
    let (mut keeper, fake) = start(Mood::Well);
    let approval = approve(&mut keeper, "shop/*");
    turn(&mut keeper, Duration::from_millis(200));
    fake.becomes(Mood::Fails(std::io::ErrorKind::StorageFull));
    keeper.revoke(approval.id, &"ann".into(), Time::from_secs(2)).unwrap().unwrap();
    turn(&mut keeper, Duration::from_millis(200));
    let contents =
        Contents { approvals: crate::incident_store::Loaded::collect([Ok(approval)]), ..Contents::default() };
    let taken = keeper.take_up(&contents, &BTreeSet::new(), Instant::now());
    assert_eq!(taken.approvals, []);
    fake.becomes(Mood::Well);
    turn(&mut keeper, Duration::from_millis(1_500));
    assert!(matches!(fake.decisions().last(), Some(Decision::Revoke { .. })));
}

#[test]
fn the_end_of_a_run_does_not_wait_for_a_store_that_hangs() {
    let (mut keeper, fake) = start(Mood::Hangs);
    keeper.add_incident(change(ChangeKind::Opened, "web", 20.0), Instant::now());
    let began = Instant::now();
    keeper.hand_over(Instant::now());
    keeper.add_incident(change(ChangeKind::Opened, "db", 20.0), Instant::now());
    let ended = keeper.end(Time::from_secs(1), Duration::from_millis(300));
    assert!(!ended.is_whole && began.elapsed() < Duration::from_secs(1));
    assert_eq!(ended.unstored.len(), 2, "also what is younger than a second is shown");
    fake.becomes(Mood::Well);
}

#[test]
fn the_end_of_a_run_stores_what_waits_and_that_it_ended() {
    let (mut keeper, fake) = start(Mood::Well);
    keeper.add_incident(change(ChangeKind::Opened, "web", 20.0), Instant::now());
    let ended = keeper.end(Time::from_secs(1), Duration::from_secs(2));
    assert!(ended.is_whole && ended.stored.len() == 1 && ended.unstored.is_empty());
    assert!(fake.kept.lock().unwrap().iter().any(|batch| batch.ends_run));
}

#[test]
fn a_closing_is_the_last_to_be_given_up() {
    let mut waiting = Waiting::default();
    let mut closed = change(ChangeKind::Closed, "closed", 0.1);
    let closing =
        Closing { at: Time::from_secs(2), verdict: Verdict::Test, note: "".into(), owner: "ann".into() };
    closed.incident = closed.incident.closed(&closing);
    waiting.add_incident(closed, Instant::now());
    for number in 0..5_000_u32 {
        let bits = f64::from(number % 100);
        waiting.add_incident(change(ChangeKind::Opened, &format!("w{number}"), bits), Instant::now());
    }
    let kept = waiting.incidents();
    assert!(kept.len() <= waiting::WAITING_MAX && waiting.dropped == 5_001 - kept.len() as u64);
    assert!(kept.iter().any(|incident| incident.state == State::Closed));
    let lightest =
        kept.iter().filter(|one| one.state == State::Open).map(|one| one.bits).fold(99.0, f64::min);
    assert!(lightest >= 70.0, "the heaviest stay: {lightest}");
}
