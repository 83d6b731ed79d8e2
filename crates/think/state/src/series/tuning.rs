//! The numbers of the record bank, one default for every metric: what each is, its unit, and why it is that.
//!
//! Not here: what belongs to a metric (`metric.rs`). docs/decisions/0006 says what else was tried.

/// The numbers of a record bank. Chosen on the open half of NAB, then held against containers and servers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuning {
    /// Margin over the range at which a record is a whole vote.
    pub margin_of_full_vote: f32,
    /// Share of the range by which one record moves the extreme: bounds what an attacker can teach in a step.
    pub absorbed_share: f32,
    /// Samples over which extremes are forgotten.
    pub forget_samples: f32,
    /// Share of the evidence that is left a sample later, where the natural unit is known: the range floor and the gate keep
    /// small things out, so speed counts.
    pub evidence_kept: f32,
    /// The same where nobody knows what is large: only many streams over many samples can tell.
    pub evidence_kept_without_unit: f32,
    /// Evidence that opens an episode, as share of the streams of a bank, where the natural unit is known: evidence is
    /// short-lived there, so that many streams must vote at once.
    pub threshold_share: f32,
    /// The same where nobody knows what is large.
    pub threshold_share_without_unit: f32,
    /// What an episode adds to the bar of the next one, as share of the threshold: a noisy series raises its own bar.
    pub escalation: f32,
    /// Most that episodes may add to the bar.
    pub escalation_max: f32,
    /// Seconds over which the raised bar comes down.
    pub escalation_seconds: f32,
    /// Share of the threshold below which evidence must fall before another episode can open.
    pub rearm_share: f32,
    /// Least seconds between the beginnings of two episodes.
    pub refractory_seconds: f32,
    /// Smallest range of a stream, as share of the metric's natural unit (or of a nat or bit).
    pub range_floor_share: f32,
    /// Smallest range of a stream beside the values of its series, in thousandths of their usual size.
    pub range_floor_small: f32,
}

impl Tuning {
    /// The one default.
    pub const DEFAULT: Self = Self {
        margin_of_full_vote: 0.015,
        absorbed_share: 0.03,
        forget_samples: 20_000.0,
        evidence_kept: 0.8,
        evidence_kept_without_unit: 0.93,
        threshold_share: 0.45,
        threshold_share_without_unit: 0.315,
        escalation: 0.5,
        escalation_max: 3.0,
        escalation_seconds: 720_000.0,
        rearm_share: 0.8,
        refractory_seconds: 57_600.0,
        range_floor_share: 0.02,
        range_floor_small: 3.0,
    };
}

impl Default for Tuning {
    fn default() -> Self {
        Self::DEFAULT
    }
}
