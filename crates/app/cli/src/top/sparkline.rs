//! Seconds as bars, one character each.
//!
//! Not here: colours.

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The bar for a value where `full` fills the line. Nothing and next to nothing are the lowest bar; no number is a gap.
pub(super) fn bar(value: f64, full: f64) -> char {
    if !value.is_finite() {
        return ' ';
    }
    let eighths = (value / full.max(f64::MIN_POSITIVE) * BARS.len() as f64).ceil();
    BARS[(eighths.clamp(1.0, BARS.len() as f64) - 1.0) as usize]
}

/// The newest values that fit into `width`, oldest first; where there are fewer, the line begins with a gap.
pub(super) fn line(values: &[f64], full: f64, width: usize) -> String {
    let newest = &values[values.len().saturating_sub(width)..];
    let gap = " ".repeat(width - newest.len());
    gap + &newest.iter().map(|value| bar(*value, full)).collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_is_the_callers_and_what_is_beyond_it_is_full() {
        assert_eq!(line(&[0.0, 0.01, 0.25, 0.5, 0.75, 1.0, 7.0], 1.0, 7), "▁▁▂▄▆██");
        assert_eq!(line(&[0.0, 0.01, 0.25, 0.5], 0.5, 4), "▁▁▄█");
    }

    #[test]
    fn the_newest_stand_right_and_older_ones_fall_out() {
        assert_eq!(line(&[1.0, 0.0], 1.0, 4), "  █▁");
        assert_eq!(line(&[1.0, 1.0, 0.0], 1.0, 2), "█▁");
        assert_eq!(line(&[], 1.0, 3), "   ");
        assert_eq!(line(&[1.0], 1.0, 0), "");
    }

    #[test]
    fn no_number_is_a_gap_and_no_scale_is_no_panic() {
        assert_eq!(line(&[f64::NAN, f64::INFINITY, -1.0], 1.0, 3), "  ▁");
        assert_eq!(line(&[0.0, 1.0], 0.0, 2), "▁█");
    }
}
