//! Numbers and keys in the kernel's text files, byte by byte and without allocation.
//!
//! Not here: any file. Overflow, signs and stray bytes are `None`, never a guess.

/// The decimal number that is the whole token, white space around it aside.
pub(crate) fn number(token: &[u8]) -> Option<u64> {
    let token = token.trim_ascii();
    let mut value = (!token.is_empty()).then_some(0u64)?;
    for &byte in token {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(value)
}

/// A plain decimal fraction such as `12.34`: no sign, exponent, infinity or NaN.
pub(crate) fn decimal(token: &[u8]) -> Option<f32> {
    let plain = token.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
    if !plain {
        return None;
    }
    std::str::from_utf8(token).ok()?.parse().ok()
}

/// The lines, without their ends and without the empty one after the last.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty())
}

/// The words of a line.
pub(crate) fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty())
}

/// Splits at the first `separator`.
pub(crate) fn split_once(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|&byte| byte == separator)?;
    Some((&text[..at], &text[at + 1..]))
}

/// The number after `key` at the start of a line; the first word of the rest counts (`MemTotal:  12 kB`).
pub(crate) fn value_of(text: &[u8], key: &[u8]) -> Option<u64> {
    let rest = lines(text).find_map(|line| line.strip_prefix(key))?;
    number(words(rest).next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_numbers_that_fit_are_numbers() {
        assert_eq!(number(b" 18446744073709551615\n"), Some(u64::MAX));
        for bad in ["", " ", "-1", "+1", "1a", "0x1", "18446744073709551616", "1 2", "\u{0661}"] {
            assert_eq!(number(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn only_plain_fractions_are_fractions() {
        assert_eq!(decimal(b"12.34"), Some(12.34));
        for bad in ["", ".", "nan", "inf", "-0.1", "1e9", "1.2.3"] {
            assert_eq!(decimal(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn a_key_counts_at_the_start_of_a_line_only() {
        let text = b"xoom_kill 9\noom_kill 3\n";
        assert_eq!(value_of(text, b"oom_kill "), Some(3));
        assert_eq!(value_of(text, b"oom_kill_"), None);
    }
}
