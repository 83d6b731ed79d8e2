//! One control group floods the ring buffer with processes.

use anyhow::Result;

use crate::by_hand::ByHand;
use crate::cgroups::Group;
use crate::chaos::Undo;
use crate::chaos::stand::Stand;

/// Programs without end, four at a time.
const FLOOD: &str = "for i in 1 2 3 4; do while :; do /bin/true; done & done; wait";

/// A container made by hand that starts programs as fast as it can.
pub(super) fn begin(_: &mut Stand) -> Result<Undo> {
    let group = Group::make(&format!("tw-chaos-flood-{}", std::process::id()))?;
    let flood = ByHand::unshared(Some(group), &["--pid", "--mount", "--fork"], &["sh", "-c", FLOOD])?;
    Ok(Box::new(move |_| {
        drop(flood);
        Ok(())
    }))
}
