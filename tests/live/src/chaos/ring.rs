//! One control group floods the ring buffer with processes, and counts them.

use std::fs;
use std::time::Duration;

use anyhow::Result;

use crate::by_hand::ByHand;
use crate::cgroups::Group;
use crate::chaos::Undo;
use crate::chaos::account::Flood;
use crate::chaos::stand::Stand;
use crate::wait;

/// Programs until a file is gone, four at a time; each loop then leaves its count.
const FLOOD: &str = r#"
loop() {
    n=0
    while [ -e "$1/flood" ]; do /bin/true; n=$((n + 1)); done
    echo $n > "$1/count-$2"
}
for i in 1 2 3 4; do loop "$0" $i & done
wait
"#;
const LOOPS: u32 = 4;
/// Longest time in which the loops leave their counts; they share the host with both attacks.
const COUNTED_WITHIN: Duration = Duration::from_secs(5);
/// Losses are read from the probes once a second.
const REPORTED_AFTER: Duration = Duration::from_millis(1_500);

/// A container made by hand that starts programs as fast as it can.
pub(super) fn begin(stand: &mut Stand) -> Result<Undo> {
    let dir = stand.dir.clone();
    (1..=LOOPS).for_each(|number| drop(fs::remove_file(dir.join(format!("count-{number}")))));
    fs::write(dir.join("flood"), "")?;
    let group = Group::make(&format!("tw-chaos-flood-{}", std::process::id()))?;
    let place = dir.display().to_string();
    let flood = ByHand::unshared(Some(group), &["--pid", "--mount", "--fork"], &["sh", "-c", FLOOD, &place])?;
    Ok(Box::new(move |stand| {
        fs::remove_file(dir.join("flood"))?;
        let count = |number: u32| fs::read_to_string(dir.join(format!("count-{number}"))).unwrap_or_default();
        let programs = wait::until(COUNTED_WITHIN, "the flood counts its programs", || {
            let counts: Option<Vec<u64>> =
                (1..=LOOPS).map(|number| count(number).trim().parse().ok()).collect();
            Ok(counts.map(|counts| counts.iter().sum()))
        })?;
        wait::pause(REPORTED_AFTER)?;
        stand.flood = Some(Flood { cgroup: flood.path().to_owned(), programs });
        Ok(())
    }))
}
