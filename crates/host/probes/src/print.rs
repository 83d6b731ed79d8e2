//! Keeps what libbpf prints while programs are loaded: the verifier's reason is told nowhere else.
//!
//! Not here: logging. Outside of a capture libbpf prints as before.

use std::sync::{Mutex, MutexGuard, PoisonError};

use libbpf_rs::{PrintCallback, PrintLevel, set_print};

/// Longest text kept of one step; a verifier log can have megabytes, and its reason is at the end.
const TEXT_BYTES_MAX: usize = 1 << 20;

static TEXT: Mutex<String> = Mutex::new(String::new());
/// libbpf has one print function for the whole process, so one capture at a time.
static ONE_CAPTURE: Mutex<()> = Mutex::new(());

/// While it lives, libbpf's warnings are kept instead of printed.
pub(crate) struct Capture {
    previous: Option<(PrintLevel, PrintCallback)>,
    _only: MutexGuard<'static, ()>,
}

impl Capture {
    /// Begins to keep.
    pub(crate) fn start() -> Self {
        let only = ONE_CAPTURE.lock().unwrap_or_else(PoisonError::into_inner);
        lock().clear();
        Self { previous: set_print(Some((PrintLevel::Warn, keep))), _only: only }
    }

    /// What libbpf printed since the last call.
    pub(crate) fn take(&self) -> String {
        std::mem::take(&mut lock())
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        set_print(self.previous.take());
    }
}

/// The reason in libbpf's text: the verifier's last word where there is one, else the first warning, which is the
/// most particular; later ones only say that loading failed.
pub(crate) fn reason(text: &str) -> Option<String> {
    let mut lines =
        text.lines().map(|line| line.trim().trim_end_matches('.')).filter(|line| !line.is_empty());
    let first = lines.clone().next()?;
    let verifier: Vec<&str> = lines
        .by_ref()
        .skip_while(|line| !line.contains("BEGIN PROG LOAD LOG"))
        .skip(1)
        .take_while(|line| !line.contains("END PROG LOAD LOG"))
        .filter(|line| !line.starts_with("processed "))
        .collect();
    Some(verifier.last().map_or_else(|| first.to_owned(), |last| format!("{first}: {last}")))
}

#[expect(clippy::needless_pass_by_value, reason = "the signature is libbpf-rs's")]
fn keep(_: PrintLevel, message: String) {
    let mut text = lock();
    text.push_str(&message);
    let surplus = text.len().saturating_sub(TEXT_BYTES_MAX);
    if surplus > 0 {
        let from = (surplus..text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(text.len());
        text.drain(..from);
    }
}

fn lock() -> MutexGuard<'static, String> {
    TEXT.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::reason;

    fn check(text: &str, expected: &Expect) {
        expected.assert_eq(&reason(text).unwrap_or_default());
    }

    #[test]
    fn the_verifiers_last_word_is_the_reason() {
        check(
            "libbpf: prog 'on_exec': BPF program load failed: -EACCES\n\
             libbpf: prog 'on_exec': -- BEGIN PROG LOAD LOG --\n\
             0: R1=ctx() R10=fp0\n\
             R1 invalid mem access 'scalar'\n\
             processed 2 insns (limit 1000000) max_states_per_insn 0\n\
             -- END PROG LOAD LOG --\n\
             libbpf: prog 'on_exec': failed to load: -EACCES\n\
             libbpf: failed to load object 'tidewatch'\n",
            &expect![
                "libbpf: prog 'on_exec': BPF program load failed: -EACCES: R1 invalid mem access 'scalar'"
            ],
        );
    }

    #[test]
    fn without_the_verifier_the_first_warning_is_the_reason() {
        check(
            "libbpf: prog 'on_exec': failed to find kernel BTF type ID of 'gone': -ESRCH\n\
             libbpf: failed to load object 'tidewatch'\n",
            &expect!["libbpf: prog 'on_exec': failed to find kernel BTF type ID of 'gone': -ESRCH"],
        );
        check("", &expect![""]);
    }
}
