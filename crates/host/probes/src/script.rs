//! What an interpreter is given to run, by its name and its arguments.
//!
//! Not here: scripts that name their interpreter, which the kernel tells; what an interpreter reads from its input, is given
//! as text (`-c`) or loads by itself; interpreters that are run by another name.

use std::borrow::Cow;

use model::interpreter::file_given;
use model::untrusted::Untrusted;

/// How a busybox that prefers its own programs (Debian's) runs them: what it is then is the first argument.
const ITSELF: &[u8] = b"/proc/self/exe";
/// The file that the program at `path` is given to run. Arguments end with a zero byte each: one that was cut has none.
pub(crate) fn given_to<'a>(path: &[u8], args: &'a [u8]) -> Option<&'a [u8]> {
    let words = args.split_inclusive(|&byte| byte == 0).filter_map(|word| word.strip_suffix(&[0]));
    let words: Vec<&[u8]> = words.collect();
    let texts: Vec<Cow<'_, str>> = words.iter().map(|word| String::from_utf8_lossy(word)).collect();
    let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
    let path = if path == ITSELF { words.first()? } else { path };
    words.get(file_given(&String::from_utf8_lossy(path), &texts)?).copied()
}

/// Whether a file of an image is a loader of other programs, by the name that the image gave it: `ld-linux-x86-64.so.2`,
/// `ld-2.31.so`, `ld-musl-x86_64.so.1`, `ld.so`.
pub(crate) fn is_loader(name: &Untrusted) -> bool {
    let name = name.raw();
    (name.starts_with("ld-") || name.starts_with("ld.") || name.starts_with("ld64.")) && name.contains(".so")
}

#[cfg(test)]
mod tests {
    use super::{given_to, is_loader};

    #[test]
    fn a_loader_is_told_from_a_linker() {
        for name in ["ld-linux-x86-64.so.2", "ld-2.31.so", "ld-musl-x86_64.so.1", "ld64.so.2", "ld.so"] {
            assert!(is_loader(&name.into()), "{name}");
        }
        for name in ["ld", "ld.bfd", "ld.gold", "ldd", "libld.so", "ldconfig"] {
            assert!(!is_loader(&name.into()), "{name}");
        }
    }

    fn check(path: &str, args: &str, expected: Option<&str>) {
        let args: Vec<u8> = args.split(' ').flat_map(|word| word.bytes().chain([0])).collect();
        let found = given_to(path.as_bytes(), &args).map(|file| String::from_utf8_lossy(file).into_owned());
        assert_eq!(found.as_deref(), expected, "{path}");
    }

    #[test]
    fn the_first_argument_that_is_no_option_is_the_script() {
        check("/bin/sh", "sh /tmp/x.sh now", Some("/tmp/x.sh"));
        check("bash", "-bash -eu x.sh", Some("x.sh"));
        check("/usr/bin/python3.11", "python3 -u /app/main.py", Some("/app/main.py"));
        check("/usr/bin/lua5.4", "lua a.lua", Some("a.lua"));
        check("/usr/bin/node", "node --inspect=0 a.js", Some("a.js"));
        check("/bin/busybox", "busybox ash /tmp/x", Some("/tmp/x"));
        check("/proc/self/exe", "sh /tmp/x", Some("/tmp/x"));
    }

    #[test]
    fn text_modules_input_and_other_programs_are_no_script() {
        check("/bin/sh", "sh", None);
        check("/bin/sh", "sh -c /tmp/x", None);
        check("/bin/bash", "bash -lc /tmp/x", None);
        check("/bin/sh", "sh -s /tmp/x", None);
        check("/bin/sh", "sh - /tmp/x", None);
        check("/usr/bin/python3", "python3 -m http.server", None);
        check("/usr/bin/perl", "perl -ne print /etc/passwd", None);
        check("/bin/busybox", "busybox cat /tmp/x", None);
        check("/bin/cat", "cat /tmp/x", None);
        check("", "", None);
        check("/bin/sh", "sh /dev/stdin", None);
    }

    #[test]
    fn a_file_with_blanks_is_one_argument_and_one_that_was_cut_is_none() {
        assert_eq!(given_to(b"/bin/sh", b"sh\0/tmp/a b\0"), Some(&b"/tmp/a b"[..]));
        assert_eq!(given_to(b"/bin/sh", b"sh\0/tmp/a"), None);
        assert_eq!(given_to(b"/bin/sh", b""), None);
    }
}
