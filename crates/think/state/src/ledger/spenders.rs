//! Who spent what no container did: services of the host and processes of the engines, by the last second.
//!
//! Not here: the sums of them, which are lines of the books (`lines.rs`).

use model::untrusted::Untrusted;
use model::usage::{EngineRole, HostUsage};

use crate::ledger::grown;

/// Most spenders told.
const SPENDERS_MAX: usize = 12;

/// CPU in cores below which nobody is told.
const CORES_MIN: f64 = 0.005;

/// A service of the host or a process of an engine. One that is both is told twice: as the service it runs in, and
/// by its own name.
#[derive(Clone, Debug, PartialEq)]
pub struct Spender {
    /// Its part in the engine; `None` for a service.
    pub role: Option<EngineRole>,
    /// Path of the service's cgroup, or name of the program.
    pub name: Untrusted,
    /// Its process, by the host's count; `None` for a service.
    pub pid: Option<u32>,
    /// CPU in cores.
    pub cores: f64,
}

/// The busiest of them between two readings `span_seconds` apart. Shims are left out: each serves one container and
/// is booked to it.
pub(super) fn busiest(now: &HostUsage, last: &HostUsage, span_seconds: f64) -> Vec<Spender> {
    let cores = |grown_ns: u64| grown_ns as f64 / 1e9 / span_seconds.max(1e-3);
    let services = grown::services(now, last).map(|(service, grown_ns)| Spender {
        role: None,
        name: service.path.clone(),
        pid: None,
        cores: cores(grown_ns),
    });
    let alone = grown::engines(now, last).filter(|(engine, _)| engine.role != EngineRole::Shim);
    let engines = alone.map(|(engine, grown_ns)| {
        let pid = Some(engine.process.pid);
        Spender { role: Some(engine.role), name: engine.name.clone(), pid, cores: cores(grown_ns) }
    });
    let mut spenders: Vec<Spender> = services.chain(engines).filter(|it| it.cores >= CORES_MIN).collect();
    spenders.sort_by(|a, b| b.cores.total_cmp(&a.cores).then_with(|| a.name.cmp(&b.name)));
    spenders.truncate(SPENDERS_MAX);
    spenders
}

#[cfg(test)]
mod tests {
    use model::ids::ProcessKey;
    use model::usage::{EngineUsage, ServiceUsage};

    use super::*;

    fn reading(services: &[(&str, u64)], engines: &[(u32, EngineRole, u64)]) -> HostUsage {
        HostUsage {
            services: services
                .iter()
                .map(|(path, ms)| ServiceUsage { path: Untrusted::new(path), cpu_ns: ms * 1_000_000 })
                .collect(),
            engines: engines
                .iter()
                .map(|(pid, role, ms)| EngineUsage {
                    process: ProcessKey { pid: *pid, start_ns: 1 },
                    role: *role,
                    name: Untrusted::new("engine"),
                    container_id: None,
                    cpu_ns: ms * 1_000_000,
                })
                .collect(),
            ..HostUsage::default()
        }
    }

    #[test]
    fn the_busiest_come_first_and_idle_new_and_shims_are_left_out() {
        use EngineRole::{Daemon, Shim};
        let last = reading(&[("/db", 100), ("/idle", 50)], &[(1, Daemon, 0), (2, Shim, 0)]);
        let now = reading(
            &[("/db", 600), ("/idle", 51), ("/new", 9_000)],
            &[(1, Daemon, 800), (2, Shim, 900), (3, Daemon, 900)],
        );
        let told: Vec<(Option<u32>, String, f64)> =
            busiest(&now, &last, 1.0).into_iter().map(|it| (it.pid, it.name.to_string(), it.cores)).collect();
        assert_eq!(told, [(Some(1), "engine".to_owned(), 0.8), (None, "/db".to_owned(), 0.5)]);
    }

    #[test]
    fn a_thousand_services_are_bounded() {
        let names: Vec<String> = (0..1_000).map(|at| format!("/s{at}")).collect();
        let at = |ms| reading(&names.iter().map(|name| (name.as_str(), ms)).collect::<Vec<_>>(), &[]);
        assert_eq!(busiest(&at(900), &at(0), 1.0).len(), SPENDERS_MAX);
    }
}
