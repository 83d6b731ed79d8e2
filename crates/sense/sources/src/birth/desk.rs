//! Which processes were looked at, and which are to be: one for each pid namespace, mount namespace and cgroup.
//!
//! Not here: looking. The least used are forgotten when there are too many, and looked at anew when they are met again.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use model::coverage::Source;
use model::ids::{CgroupId, ProcessKey};
use model::setup::Setup;

/// Places remembered, about 200 bytes each.
const PLACES_MAX: usize = 8192;
/// Least time between two looks at one process: who executes without end is not looked at without end.
const PAUSE: Duration = Duration::from_millis(20);
/// Cgroups whose losses are told one by one; the others' are told as nobody's.
const LOSERS_MAX: usize = 64;

/// Where a container would live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) pid_ns: u32,
    pub(super) mnt_ns: u32,
    pub(super) cgroup: CgroupId,
}

/// Whether a process may be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Now,
    At(Instant),
    /// It has ended or moved on, or there were too many: what is left of it is for a look to say.
    Forgotten,
    Needless,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Waits for a look.
    Queued,
    /// Was looked at too early, and is to be looked at again.
    Held,
    Looked,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    process: ProcessKey,
    state: State,
    looked: Option<Instant>,
    /// Whether it had the host's root when that was told last.
    has_hosts_root: bool,
    /// Of the setup that was told last.
    told: Option<u64>,
    used: u64,
}

/// Whose loss, of which cgroup, at which stage.
pub(super) type Losses = BTreeMap<(Source, Option<CgroupId>, &'static str), u64>;

/// The places known.
#[derive(Debug, Default)]
pub(super) struct Desk {
    places: HashMap<Place, Entry>,
    by_process: HashMap<ProcessKey, Place>,
    /// The places by when they were last met.
    by_use: BTreeMap<u64, Place>,
    uses: u64,
    losses: Losses,
}

impl Desk {
    /// Whether a process is to be queued for a look: the first of its place, or that one again when it has changed.
    pub(super) fn admit(&mut self, place: Place, process: ProcessKey) -> bool {
        self.uses += 1;
        let used = self.uses;
        if let Some(entry) = self.places.get_mut(&place) {
            self.by_use.remove(&entry.used);
            self.by_use.insert(used, place);
            entry.used = used;
            let is_due = entry.process == process && entry.state != State::Queued;
            if is_due {
                entry.state = State::Queued;
            }
            return is_due;
        }
        // One that has moved on leaves its place to whoever is met there next.
        self.forget(process);
        if self.places.len() >= PLACES_MAX
            && let Some((_, oldest)) = self.by_use.pop_first()
            && let Some(entry) = self.places.remove(&oldest)
        {
            self.by_process.remove(&entry.process);
        }
        self.places.insert(
            place,
            Entry { process, state: State::Queued, looked: None, has_hosts_root: false, told: None, used },
        );
        self.by_process.insert(process, place);
        self.by_use.insert(used, place);
        true
    }

    /// Begins a look, unless it was made meanwhile or the last one was just now.
    pub(super) fn begin(
        &mut self,
        place: Place,
        process: ProcessKey,
        is_second: bool,
        now: Instant,
    ) -> Admission {
        let Some(entry) = self.entry(place, process) else { return Admission::Forgotten };
        let wanted = if is_second { State::Held } else { State::Queued };
        if entry.state != wanted {
            return Admission::Needless;
        }
        if let Some(free) = entry.looked.map(|looked| looked + PAUSE).filter(|&free| free > now) {
            return Admission::At(free);
        }
        entry.state = State::Looked;
        entry.looked = Some(now);
        Admission::Now
    }

    /// The look was too early. One that is queued again since then is looked at before.
    pub(super) fn hold(&mut self, place: Place, process: ProcessKey) {
        if let Some(entry) = self.entry(place, process).filter(|entry| entry.state == State::Looked) {
            entry.state = State::Held;
        }
    }

    /// Whether this was not told already. Who its makers are changes when they end, which is no news.
    pub(super) fn is_news(&mut self, place: Place, setup: &Setup) -> bool {
        let mut hasher = DefaultHasher::new();
        format!("{:?}", Setup { makers: Vec::new(), ..setup.clone() }).hash(&mut hasher);
        let told = Some(hasher.finish());
        // Forgotten meanwhile: told once too often rather than never.
        let Some(entry) = self.entry(place, setup.process) else { return true };
        entry.has_hosts_root = !setup.has_own_root;
        std::mem::replace(&mut entry.told, told) != told
    }

    /// Those that wait for no look and had the host's root at the last.
    pub(super) fn with_hosts_root(&self) -> Vec<(Place, ProcessKey)> {
        let is_one = |entry: &Entry| entry.has_hosts_root && entry.state == State::Looked;
        self.places
            .iter()
            .filter(|(_, entry)| is_one(entry))
            .map(|(place, entry)| (*place, entry.process))
            .collect()
    }

    /// There was no room for a further look.
    pub(super) fn put_back(&mut self, place: Place) {
        if let Some(entry) = self.places.get_mut(&place) {
            entry.state = State::Looked;
        }
    }

    /// A process ended.
    pub(super) fn forget(&mut self, process: ProcessKey) {
        let entry = self.by_process.remove(&process).and_then(|place| self.places.remove(&place));
        if let Some(entry) = entry {
            self.by_use.remove(&entry.used);
        }
    }

    /// Counts a process that could not be looked at.
    pub(super) fn lose(&mut self, source: Source, cgroup: CgroupId, stage: &'static str) {
        let key = (source, Some(cgroup), stage);
        let has_room = self.losses.len() < LOSERS_MAX || self.losses.contains_key(&key);
        let key = if has_room { key } else { (source, None, stage) };
        *self.losses.entry(key).or_default() += 1;
    }

    /// What was lost since the last time.
    pub(super) fn take_losses(&mut self) -> Losses {
        std::mem::take(&mut self.losses)
    }

    fn entry(&mut self, place: Place, process: ProcessKey) -> Option<&mut Entry> {
        self.places.get_mut(&place).filter(|entry| entry.process == process)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { pid_ns: 1, mnt_ns: 2, cgroup: CgroupId(3) };
    const INIT: ProcessKey = ProcessKey { pid: 10, start_ns: 0 };
    const OTHER: ProcessKey = ProcessKey { pid: 11, start_ns: 0 };

    #[test]
    fn the_first_of_a_place_is_looked_at_and_again_when_it_executes() {
        let (mut desk, now) = (Desk::default(), Instant::now());
        assert!(desk.admit(PLACE, INIT));
        assert!(!desk.admit(PLACE, INIT), "it waits already");
        assert_eq!(desk.begin(PLACE, INIT, false, now), Admission::Now);
        assert!(!desk.admit(PLACE, OTHER), "a process that it started");
        assert!(desk.admit(PLACE, INIT));
        assert_eq!(desk.begin(PLACE, INIT, false, now), Admission::At(now + PAUSE));
        assert_eq!(desk.begin(PLACE, INIT, false, now + PAUSE), Admission::Now);
        assert_eq!(
            desk.begin(PLACE, INIT, false, now + PAUSE * 2),
            Admission::Needless,
            "nothing happened since"
        );
        desk.forget(INIT);
        assert_eq!(desk.begin(PLACE, INIT, false, now), Admission::Forgotten);
        assert!(desk.admit(PLACE, OTHER), "the first has ended");
    }

    #[test]
    fn a_second_look_is_needless_when_the_process_has_executed_since() {
        let (mut desk, now) = (Desk::default(), Instant::now());
        desk.admit(PLACE, INIT);
        desk.begin(PLACE, INIT, false, now);
        desk.hold(PLACE, INIT);
        assert_eq!(desk.begin(PLACE, INIT, true, now + PAUSE), Admission::Now);
        desk.hold(PLACE, INIT);
        assert!(desk.admit(PLACE, INIT), "it executed");
        assert_eq!(desk.begin(PLACE, INIT, false, now + PAUSE * 2), Admission::Now);
        assert_eq!(desk.begin(PLACE, INIT, true, now + PAUSE * 9), Admission::Needless);
    }

    #[test]
    fn those_with_the_hosts_root_are_looked_at_again_and_others_are_not() {
        let (mut desk, now) = (Desk::default(), Instant::now());
        let scene = testkit::scene::Scene::new(1);
        let any = testkit::provenance::setup(scene.next_actor());
        let setup = |has_own_root| Setup { process: INIT, has_own_root, ..any.clone() };
        desk.admit(PLACE, INIT);
        desk.begin(PLACE, INIT, false, now);
        assert!(desk.is_news(PLACE, &setup(false)));
        assert_eq!(desk.with_hosts_root(), [(PLACE, INIT)]);
        assert!(desk.admit(PLACE, INIT));
        assert_eq!(desk.with_hosts_root(), [], "it waits for a look");
        desk.put_back(PLACE);
        assert_eq!(desk.with_hosts_root(), [(PLACE, INIT)], "there was no room for it");
        assert!(desk.is_news(PLACE, &setup(true)));
        assert_eq!(desk.with_hosts_root(), []);
    }

    #[test]
    fn one_that_moves_on_leaves_its_place_to_the_next() {
        let mut desk = Desk::default();
        let next = Place { cgroup: CgroupId(4), ..PLACE };
        assert!(desk.admit(PLACE, INIT) && desk.admit(next, INIT));
        assert!(desk.admit(PLACE, OTHER));
        assert!(!desk.admit(next, OTHER));
    }

    #[test]
    fn places_are_bounded_and_the_least_used_forgotten() {
        let mut desk = Desk::default();
        let place = |number: u32| Place { mnt_ns: number, ..PLACE };
        let process = |number: u32| ProcessKey { pid: number, start_ns: 0 };
        let most = u32::try_from(PLACES_MAX).unwrap();
        for number in 0..=most {
            assert!(desk.admit(place(number), process(number)));
            assert!(!desk.admit(place(0), OTHER), "met again and again");
        }
        assert_eq!(
            (desk.places.len(), desk.by_process.len(), desk.by_use.len()),
            (PLACES_MAX, PLACES_MAX, PLACES_MAX)
        );
        assert!(desk.admit(place(1), OTHER), "forgotten");
    }

    #[test]
    fn losses_of_many_cgroups_become_nobody_s() {
        let mut desk = Desk::default();
        for cgroup in 0..100 {
            desk.lose(Source::Kernel, CgroupId(cgroup), "here");
        }
        let losses = desk.take_losses();
        assert_eq!((losses.len(), losses.values().sum::<u64>()), (LOSERS_MAX + 1, 100));
        assert!(desk.take_losses().is_empty());
    }
}
