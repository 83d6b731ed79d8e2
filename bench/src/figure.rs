//! One measured figure: its median, how far the rounds lay apart, and what it should be.
//!
//! Not here: any judgement of a run. A goal that is missed is shown, never an error: other work on the machine moves times.

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

/// A figure of one section.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// How many measurements the median was taken of.
    pub(crate) rounds: usize,
    pub(crate) goal: Option<Goal>,
}

impl Figure {
    /// A figure of several rounds; at least one.
    pub(crate) fn of_rounds(name: impl Into<String>, unit: &'static str, mut rounds: Vec<f64>) -> Self {
        rounds.sort_by(f64::total_cmp);
        let at = |index: usize| rounds.get(index).copied().unwrap_or(f64::NAN);
        let middle = rounds.len() / 2;
        let median = if rounds.len().is_multiple_of(2) {
            f64::midpoint(at(middle.saturating_sub(1)), at(middle))
        } else {
            at(middle)
        };
        let (low, high) = (at(0), at(rounds.len().saturating_sub(1)));
        Self { name: name.into(), unit, median, low, high, rounds: rounds.len(), goal: None }
    }

    /// A figure measured once.
    pub(crate) fn once(name: impl Into<String>, unit: &'static str, value: f64) -> Self {
        Self::of_rounds(name, unit, vec![value])
    }

    /// The same figure with a goal.
    #[must_use]
    pub(crate) fn with_goal(mut self, goal: Goal) -> Self {
        self.goal = Some(goal);
        self
    }

    /// How the median stands to the goal, in words; empty without one.
    pub(crate) fn against_goal(&self) -> String {
        let (met, share) = match self.goal {
            None => return String::new(),
            Some(Goal::AtLeast(goal)) => (self.median >= goal, self.median / goal),
            Some(Goal::AtMost(goal)) => (self.median <= goal, self.median / goal),
        };
        let word = if met { "met" } else { "missed" };
        // There is no share of a goal of none.
        if share.is_finite() { format!("{word}, {share:.2} of it") } else { word.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_of_rounds_lies_between_the_two_in_the_middle() {
        let figure = Figure::of_rounds("x", "s", vec![4.0, 1.0, 3.0, 2.0]);
        assert_eq!((figure.median, figure.low, figure.high), (2.5, 1.0, 4.0));
    }

    #[test]
    fn a_goal_is_missed_on_its_own_side() {
        let against = |value, goal| Figure::once("x", "s", value).with_goal(goal).against_goal();
        assert_eq!(against(2.0, Goal::AtLeast(1.0)), "met, 2.00 of it");
        assert_eq!(against(0.5, Goal::AtLeast(1.0)), "missed, 0.50 of it");
        assert_eq!(against(0.5, Goal::AtMost(1.0)), "met, 0.50 of it");
        assert_eq!(against(2.0, Goal::AtMost(1.0)), "missed, 2.00 of it");
        assert_eq!(against(0.0, Goal::AtMost(0.0)), "met");
    }
}
