//! At which hours of the day the containers of a workload usually start.
//!
//! Not here: how they end (`lives.rs`). Hours are of UTC: what counts is that a workload keeps to its own.

use std::collections::BTreeMap;
use std::time::Duration;

use model::ids::WorkloadKey;
use model::time::Time;
use serde::{Deserialize, Serialize};

use crate::room::make_room;

/// Most workloads remembered; the one that started longest ago makes room.
const WORKLOADS_MAX: usize = 4_096;
/// Starts, on how many days at least, before a workload has hours at all.
const STARTS_MIN: u32 = 20;
const DAYS_MIN: u32 = 5;
const HOUR: Duration = Duration::from_secs(3600);

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Hours {
    workloads: BTreeMap<WorkloadKey, Starts>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Starts {
    by_hour: [u16; 24],
    all: u32,
    days: u32,
    last_day: u64,
    last: Time,
}

impl Hours {
    /// A container of the workload started; counts it. Gives how many others did, when none of them did within an hour of
    /// this time of day and there were enough to say so.
    pub(crate) fn started(&mut self, workload: &WorkloadKey, at: Time) -> Option<u32> {
        make_room(&mut self.workloads, workload, WORKLOADS_MAX, |starts| Some(starts.last));
        let starts = self.workloads.entry(workload.clone()).or_default();
        let hours = at.since(Time::from_ns(0)).as_secs() / HOUR.as_secs();
        let (hour, day) = ((hours % 24) as usize, hours / 24);
        let near = [hour, (hour + 1) % 24, (hour + 23) % 24];
        let is_usual = near.iter().any(|hour| starts.by_hour[*hour] > 0);
        let unusual =
            (!is_usual && starts.all >= STARTS_MIN && starts.days >= DAYS_MIN).then_some(starts.all);
        starts.by_hour[hour] = starts.by_hour[hour].saturating_add(1);
        starts.all = starts.all.saturating_add(1);
        if starts.days == 0 || day != starts.last_day {
            starts.days = starts.days.saturating_add(1);
        }
        (starts.last_day, starts.last) = (day, at);
        unusual
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_that_starts_each_morning_is_unusual_at_night_only() {
        let mut hours = Hours::default();
        let workload = WorkloadKey::new("backup");
        let at = |day: i64, hour: i64| Time::from_secs((day * 24 + hour) * 3600);
        for day in 0..6 {
            for hour in [7, 8, 9, 10] {
                assert_eq!(hours.started(&workload, at(day, hour)), None);
            }
        }
        assert_eq!(hours.started(&workload, at(6, 11)), None, "an hour later is no other time of day");
        assert_eq!(hours.started(&workload, at(6, 3)), Some(25));
        assert_eq!(hours.started(&WorkloadKey::new("new"), at(6, 3)), None);
    }
}
