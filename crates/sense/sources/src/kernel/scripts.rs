//! Where scripts that run in containers come from: each is looked for while its process runs, by a thread of its own, since a
//! slow disk or a hostile file system could keep it waiting.
//!
//! Not here: the look itself (`hostfs`), and what of it is bad (`detect`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deadline::workers::Workers;
use hostfs::layers::{Script, script};
use hostfs::process::host_namespaces;
use hostfs::root::HostRoot;
use model::event::Exec;
use model::ids::CgroupId;

/// Most looks a second, of all containers and of one: each costs some 25 µs, and as much again for two changes of threads.
const LOOKS_MAX: u32 = 200;
const LOOKS_OF_ONE_MAX: u32 = 50;
/// How long the kernel's account is kept waiting within a second, in all.
const WAIT_MAX: Duration = Duration::from_millis(100);
/// Looks that may hang at once.
const HUNG_MAX: usize = 64;
/// How long the scripts of a container are not looked for after a look that hung.
const HUNG_PAUSE: Duration = Duration::from_secs(1);
/// How long one look is waited for: one container cannot use up what all have.
const LOOK_MAX: Duration = Duration::from_millis(50);
/// Containers whose scripts that were not looked for are counted apart within a second.
const COUNTED_MAX: usize = 1_024;

/// The threads that make looks, which can be abandoned. They outlive the thread that has scripts looked for, so that looks
/// that hang stay counted and bounded when it is started anew.
pub fn workers() -> Workers {
    Workers::new("scripts", HUNG_MAX)
}

/// The desk that has scripts looked for.
pub(super) struct Scripts {
    /// Mount namespace of the host; where it cannot be told, nothing is looked for.
    host: Option<u32>,
    looker: Looker,
    budget: Budget,
}

impl Scripts {
    pub(super) fn of(root: &HostRoot, workers: Workers) -> Self {
        let host = host_namespaces(root).ok().map(|namespaces| namespaces.mnt);
        let root = root.clone();
        Self {
            host,
            looker: Looker::new(workers, move |exec| script(&root, exec)),
            budget: Budget::default(),
        }
    }

    /// Completes a program that was given a script to run, or a loader that was given a program; what cannot be told is not
    /// mentioned.
    pub(super) fn fill(&mut self, exec: &mut Exec) {
        if exec.script.is_empty() && !exec.is_by_loader {
            return;
        }
        let found = self.look(exec);
        exec.origin = found.as_ref().map(|found| found.origin).unwrap_or_default();
        (exec.script, exec.file) = found.map(|found| (found.path, found.file)).unwrap_or_default();
    }

    /// Scripts that were not looked for since this was asked last, by container.
    pub(super) fn next_second(&mut self) -> impl Iterator<Item = (CgroupId, u64)> + use<> {
        std::mem::take(&mut self.budget).passed_over.into_iter()
    }

    fn look(&mut self, exec: &Exec) -> Option<Script> {
        if self.host.is_none_or(|host| host == exec.namespaces.mnt) {
            return None;
        }
        let left = WAIT_MAX.saturating_sub(self.budget.waited);
        if left.is_zero() || self.looker.passes_over(exec.cgroup) || !self.budget.takes(exec.cgroup) {
            self.budget.pass_over(exec.cgroup);
            return None;
        }
        let began = Instant::now();
        let answer = self.looker.ask(exec, left.min(LOOK_MAX));
        self.budget.waited += began.elapsed();
        if answer.is_none() {
            self.budget.pass_over(exec.cgroup);
        }
        answer.flatten()
    }
}

/// What was spent within this second.
#[derive(Debug, Default)]
struct Budget {
    looks: u32,
    looks_of: HashMap<CgroupId, u32>,
    waited: Duration,
    passed_over: HashMap<CgroupId, u64>,
}

impl Budget {
    /// One container must not use up what the others need.
    fn takes(&mut self, cgroup: CgroupId) -> bool {
        if self.looks >= LOOKS_MAX {
            return false;
        }
        let looks = self.looks_of.entry(cgroup).or_default();
        if *looks >= LOOKS_OF_ONE_MAX {
            return false;
        }
        *looks += 1;
        self.looks += 1;
        true
    }

    fn pass_over(&mut self, cgroup: CgroupId) {
        let is_full = self.passed_over.len() >= COUNTED_MAX && !self.passed_over.contains_key(&cgroup);
        let cgroup = if is_full { CgroupId(0) } else { cgroup };
        *self.passed_over.entry(cgroup).or_default() += 1;
    }
}

/// Makes one look on a thread that can be abandoned.
struct Looker {
    look: Arc<Look>,
    workers: Workers,
    /// Containers of which a look did not return in time, and when that was.
    hung: HashMap<CgroupId, Instant>,
}

type Look = dyn Fn(&Exec) -> Option<Script> + Send + Sync;

impl Looker {
    fn new(workers: Workers, look: impl Fn(&Exec) -> Option<Script> + Send + Sync + 'static) -> Self {
        Self { look: Arc::new(look), workers, hung: HashMap::new() }
    }

    /// Whether its scripts are not looked for now: what made one look hang would make the next hang as well.
    fn passes_over(&mut self, cgroup: CgroupId) -> bool {
        self.hung.retain(|_, since| since.elapsed() < HUNG_PAUSE);
        self.hung.contains_key(&cgroup)
    }

    /// `None` when no answer came in time.
    fn ask(&mut self, exec: &Exec, patience: Duration) -> Option<Option<Script>> {
        let (look, asked) = (Arc::clone(&self.look), exec.clone());
        let answer = self.workers.call("script of a container", patience, move || look(&asked)).ok();
        if answer.is_none() && self.hung.len() < COUNTED_MAX {
            self.hung.insert(exec.cgroup, Instant::now());
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use model::event::FileOrigin;
    use model::program::FileFacts;
    use model::untrusted::Untrusted;
    use testkit::scene::{HOST, Scene};

    use super::*;

    fn scripts(look: impl Fn(&Exec) -> Option<Script> + Send + Sync + 'static) -> Scripts {
        Scripts { host: Some(HOST.mnt), looker: Looker::new(workers(), look), budget: Budget::default() }
    }

    fn written(_: &Exec) -> Option<Script> {
        Some(Script {
            path: "/tmp/x.sh".into(),
            origin: FileOrigin::Written,
            file: Some(FileFacts::default()),
        })
    }

    fn exec(name: &str) -> Exec {
        let mut scene = Scene::new(2);
        let web = scene.start_unclaimed("web");
        Exec { script: Untrusted::new(name), ..web.exec("sh") }
    }

    #[test]
    fn a_script_in_a_container_is_told_by_its_true_path_and_one_of_the_host_is_not_looked_for() {
        let mut scripts = scripts(written);
        let mut inside = exec("x.sh");
        scripts.fill(&mut inside);
        assert_eq!((inside.script.raw(), inside.origin), ("/tmp/x.sh", FileOrigin::Written));
        let mut outside = Exec { namespaces: HOST, ..exec("x.sh") };
        scripts.fill(&mut outside);
        assert_eq!((outside.script.raw(), outside.origin), ("", FileOrigin::Unknown));
        let mut program = Exec { origin: FileOrigin::Memory, ..exec("") };
        scripts.fill(&mut program);
        assert_eq!(program.origin, FileOrigin::Memory, "it runs no script");
        assert_eq!(scripts.next_second().count(), 0);
    }

    #[test]
    fn a_container_that_runs_scripts_without_end_leaves_room_for_others_and_is_counted() {
        let mut scripts = scripts(written);
        for _ in 0..80 {
            // How long a busy machine takes is not what is tested.
            scripts.budget.waited = Duration::ZERO;
            scripts.fill(&mut exec("x.sh"));
        }
        scripts.budget.waited = Duration::ZERO;
        let mut other = Exec { cgroup: CgroupId(77), ..exec("x.sh") };
        scripts.fill(&mut other);
        assert_eq!(other.origin, FileOrigin::Written);
        let cgroup = exec("x.sh").cgroup;
        assert_eq!(scripts.next_second().collect::<Vec<_>>(), [(cgroup, 30)]);
        let mut again = exec("x.sh");
        scripts.fill(&mut again);
        assert_eq!(again.origin, FileOrigin::Written, "the next second has its own budget");
    }

    #[test]
    fn a_look_that_takes_too_long_is_not_waited_for_and_the_next_answer_is_its_own() {
        let go = Arc::new(AtomicBool::new(false));
        let may_go = Arc::clone(&go);
        let mut scripts = scripts(move |exec| {
            while !may_go.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
            Some(Script { path: exec.script.clone(), ..written(exec)? })
        });
        let began = Instant::now();
        for _ in 0..3 {
            let mut stuck = exec("stuck");
            scripts.fill(&mut stuck);
            assert_eq!((stuck.script.raw(), stuck.origin), ("", FileOrigin::Unknown));
        }
        assert!(began.elapsed() < WAIT_MAX * 5, "one wait for all of them");
        assert_eq!(scripts.next_second().map(|(_, count)| count).sum::<u64>(), 3);
        go.store(true, Ordering::Release);
        let began = Instant::now();
        while scripts.looker.workers.counts().unfinished > 0 && began.elapsed() < Duration::from_secs(5) {
            std::thread::yield_now();
        }
        assert_eq!(scripts.looker.workers.counts().recovered, 1);
        let mut early = exec("early");
        scripts.fill(&mut early);
        assert_eq!(early.script.raw(), "", "its container is passed over for a moment");
        scripts.looker.hung.clear();
        let mut next = exec("next");
        scripts.fill(&mut next);
        assert_eq!(next.script.raw(), "next", "not the answer that was owed");
    }
}
