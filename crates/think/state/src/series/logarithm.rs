//! Natural logarithms of a few numbers at once, by arithmetic alone: the same on every machine, and the compiler makes
//! vector instructions of it.
//!
//! Not here: accuracy beyond single precision (about two units in the last place).

/// Natural logarithms; zero, negative numbers, NaN and subnormal numbers count as the smallest normal number.
pub(crate) fn ln<const N: usize>(values: [f32; N]) -> [f32; N] {
    values.map(ln_one)
}

#[inline]
fn ln_one(value: f32) -> f32 {
    let value = if value > f32::MIN_POSITIVE { value } else { f32::MIN_POSITIVE };
    // Split into 2^exponent * mantissa with the mantissa in [sqrt(1/2), sqrt(2)), where the series is short.
    let shifted = value.to_bits().wrapping_sub(SQRT_HALF_BITS);
    let exponent = (shifted as i32) >> 23;
    let mantissa = f32::from_bits((shifted & 0x007f_ffff).wrapping_add(SQRT_HALF_BITS));
    // ln m = 2 artanh t, t = (m-1)/(m+1), |t| < 0.172: the next term would be below 1e-9.
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let square = t * t;
    let series = 1.0 + square * (1.0 / 3.0 + square * (1.0 / 5.0 + square * (1.0 / 7.0 + square / 9.0)));
    exponent as f32 * std::f32::consts::LN_2 + 2.0 * t * series
}

/// The bits of sqrt(1/2).
const SQRT_HALF_BITS: u32 = std::f32::consts::FRAC_1_SQRT_2.to_bits();

#[cfg(test)]
mod tests {
    use super::ln;

    #[test]
    fn logarithms_agree_with_the_library_to_single_precision() {
        let mut value = 1e-37_f32;
        while value < 1e37 {
            let (ours, theirs) = (ln([value])[0], value.ln());
            assert!((ours - theirs).abs() <= 1e-6 + 3e-7 * theirs.abs(), "{value}: {ours} {theirs}");
            value *= 1.003;
        }
    }

    #[test]
    fn what_has_no_logarithm_gives_a_finite_number() {
        assert!(ln([0.0, -1.0, f32::NAN, 1e-42]).into_iter().all(f32::is_finite));
    }
}
