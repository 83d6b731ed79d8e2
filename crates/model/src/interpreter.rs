//! How a shell or another interpreter takes its orders, read from its command line: typed, as a text, or from a file.
//!
//! An option that is not listed here may take the next word. A word behind it is then a file only when there are more words
//! than such options. Not here: what that weighs (`detect`), where the file comes from (`hostfs`).

use crate::event::Exec;

/// How an interpreter takes its orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orders {
    /// They are read as they are typed.
    Typed,
    /// The same, or from a file: what looks like one may be the value of an option that is not listed.
    Unclear,
    /// An argument holds them.
    Text,
    /// A file holds them.
    File,
    /// It shows its version or its help.
    Nothing,
}

/// An interpreter that is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interpreted {
    /// Whether it is a shell.
    pub is_shell: bool,
    /// How it takes its orders.
    pub orders: Orders,
}

/// Interpreters with the same options.
struct Language {
    /// Without a version (`python3.11`).
    names: &'static [&'static str],
    is_shell: bool,
    /// Letters behind which a text or a module follows.
    text: &'static str,
    /// Letters behind which a value follows, in the same word or the next one.
    values: &'static str,
    /// Letters with which it reads what is typed, also beside a file.
    typed: &'static str,
    /// Other letters; empty when every letter may be one.
    flags: &'static str,
    /// Long options that take no value.
    long: &'static [&'static str],
}

const SHELLS: Language = Language {
    names: &[
        "sh",
        "bash",
        "rbash",
        "ash",
        "dash",
        "zsh",
        "ksh",
        "rksh",
        "mksh",
        "lksh",
        "oksh",
        "loksh",
        "pdksh",
        "fish",
        "csh",
        "tcsh",
        "hush",
        "yash",
        "pwsh",
        "powershell",
        "nu",
        "rc",
        "es",
        "posh",
        "elvish",
        "xonsh",
        "osh",
        "ysh",
        "oil",
        "oils-for-unix",
    ],
    is_shell: true,
    text: "c",
    values: "oO",
    typed: "si",
    flags: "",
    long: &["--login", "--posix", "--norc", "--noprofile", "--restricted", "--verbose", "--noediting"],
};

const OTHERS: [Language; 7] = [
    Language {
        names: &["python", "pypy", "ipython", "micropython"],
        is_shell: false,
        text: "cm",
        values: "WXQ",
        typed: "i",
        flags: "bBdEIOPqRsStuvx",
        long: &[],
    },
    Language {
        names: &["perl"],
        is_shell: false,
        text: "eE",
        values: "ImM",
        typed: "",
        flags: "acCdDfFilnpsStTuUwWxX0123456789",
        long: &[],
    },
    Language {
        names: &["ruby", "jruby", "irb"],
        is_shell: false,
        text: "e",
        values: "ICErK",
        typed: "",
        flags: "aFilnpsSTUvwWx0123456789",
        long: &["--disable-gems", "--jit", "--yjit", "--verbose"],
    },
    Language {
        names: &["node", "nodejs"],
        is_shell: false,
        text: "ep",
        values: "rC",
        typed: "i",
        flags: "c",
        long: &[
            "--inspect",
            "--inspect-brk",
            "--expose-gc",
            "--enable-source-maps",
            "--no-warnings",
            "--no-deprecation",
            "--trace-warnings",
            "--trace-deprecation",
            "--preserve-symlinks",
            "--experimental-modules",
            "--check",
        ],
    },
    Language {
        names: &["php"],
        is_shell: false,
        text: "rBREF",
        values: "dcztS",
        typed: "a",
        flags: "CeHilmnqsw",
        long: &[],
    },
    Language {
        names: &["lua", "luajit"],
        is_shell: false,
        text: "e",
        values: "l",
        typed: "i",
        flags: "EWjOb",
        long: &[],
    },
    Language {
        names: &["tclsh", "expect", "bun", "deno", "julia", "guile", "qjs"],
        is_shell: false,
        text: "ce",
        values: "",
        typed: "i",
        flags: "",
        long: &[],
    },
];

/// Files that are many programs and go by the name that they are asked as.
const MANY_PROGRAMS: [&str; 2] = ["busybox", "toybox"];
/// Options with which nothing is run.
const SHOWS: [&str; 4] = ["--version", "--help", "-V", "-h"];
/// The same where `-v` alone is one.
const SHOWS_BY_V: [&str; 6] = ["perl", "ruby", "node", "nodejs", "php", "lua"];
/// Files that are whatever the caller hands over.
const HANDED_OVER: [&str; 2] = ["/dev/", "/proc/"];

impl Exec {
    /// The interpreter that the program is, by the name that it is asked by, by its path, or by its file's name; `None` of
    /// another program.
    pub fn interpreted(&self) -> Option<Interpreted> {
        let mut words = self.args.raw().split(' ').filter(|word| !word.is_empty()).peekable();
        let asked = words.next().map(|word| base(word).trim_start_matches('-')).unwrap_or_default();
        let path = base(self.path.raw());
        // Of a script the file is the script.
        let file = self.file.as_ref().filter(|_| self.script.is_empty()).map_or("", |file| file.name.raw());
        let language = if MANY_PROGRAMS.contains(&asked) {
            words.next_if(|word| language(word).is_some_and(|it| it.is_shell)).and_then(language)
        } else if [path, file].iter().any(|name| MANY_PROGRAMS.contains(name)) {
            language(asked)
        } else {
            [asked, path, file].into_iter().find_map(language)
        }?;
        let words: Vec<&str> = words.collect();
        let shows = SHOWS_BY_V.contains(&unversioned(asked)) && words == ["-v"];
        let orders = if shows { Orders::Nothing } else { language.read(&words).0 };
        Some(Interpreted { is_shell: language.is_shell, orders })
    }
}

/// Which word of an interpreter's command line is the file that it is given to run, or the last that may be; `None` of another
/// program, and where no file is given. The first word is what it is asked as.
pub fn file_given(path: &str, words: &[&str]) -> Option<usize> {
    let asked = base(words.first()?).trim_start_matches('-');
    let is_many = [asked, base(path)].iter().any(|name| MANY_PROGRAMS.contains(name));
    let (language, skipped) = if MANY_PROGRAMS.contains(&asked) {
        (language(words.get(1)?).filter(|language| language.is_shell)?, 2)
    } else if is_many {
        (language(asked)?, 1)
    } else {
        ([asked, base(path)].into_iter().find_map(language)?, 1)
    };
    language.read(words.get(skipped..)?).1.map(|at| at + skipped)
}

impl Language {
    /// How it takes its orders, and which of the words is the file, or the last that may be.
    fn read(&self, words: &[&str]) -> (Orders, Option<usize>) {
        let (mut unknown, mut files, mut at) = (0, 0, 0);
        let mut candidate = None;
        while let Some(word) = words.get(at) {
            at += 1;
            match self.option(word) {
                Word::Shows => return (Orders::Nothing, None),
                // It reads what is typed once the file has ended.
                Word::Typed => return (Orders::Typed, candidate),
                // With nothing behind it there is no text.
                Word::Text if at == words.len() => return (Orders::Typed, candidate),
                Word::Text | Word::WithText => return (Orders::Text, None),
                Word::TakesNext => at += 1,
                Word::Flag => {}
                Word::Unknown => unknown += 1,
                Word::End if at < words.len() => return (Orders::File, Some(at)),
                Word::End => return (Orders::Typed, candidate),
                Word::File => {
                    (files, candidate) = (files + 1, Some(at - 1));
                    if files > unknown {
                        return (Orders::File, candidate);
                    }
                }
            }
        }
        (if files > 0 { Orders::Unclear } else { Orders::Typed }, candidate)
    }

    fn option(&self, word: &str) -> Word {
        let is_handed_over = HANDED_OVER.iter().any(|place| word.starts_with(place));
        match word.strip_prefix(['-', '+']) {
            _ if SHOWS.contains(&word) && !self.is_shell => Word::Shows,
            None if is_handed_over => Word::Typed,
            None => Word::File,
            Some("") => Word::Typed,
            Some("-") => Word::End,
            Some(long) if long.starts_with('-') => {
                if word.contains('=') || self.long.contains(&word) {
                    Word::Flag
                } else {
                    Word::Unknown
                }
            }
            Some(letters) => self.letters(letters),
        }
    }

    fn letters(&self, letters: &str) -> Word {
        let mut word = Word::Flag;
        for (at, letter) in letters.char_indices() {
            let is_last = at + letter.len_utf8() == letters.len();
            if self.typed.contains(letter) {
                return Word::Typed;
            }
            if self.text.contains(letter) {
                return if is_last || self.is_shell { Word::Text } else { Word::WithText };
            }
            if self.values.contains(letter) {
                return if is_last { Word::TakesNext } else { word };
            }
            if !self.flags.is_empty() && !self.flags.contains(letter) {
                word = Word::Unknown;
            }
        }
        word
    }
}

/// What a word of a command line is.
enum Word {
    Shows,
    Typed,
    Text,
    /// The text is the rest of the word: `perl -eprint`.
    WithText,
    TakesNext,
    Flag,
    Unknown,
    End,
    File,
}

fn language(name: &str) -> Option<&'static Language> {
    let name = unversioned(name);
    std::iter::once(&SHELLS).chain(&OTHERS).find(|language| language.names.contains(&name))
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// `python3.11` is `python`.
fn unversioned(name: &str) -> &str {
    name.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(args: &str, expected: Option<Orders>) {
        let text = r#"{"process":{"pid":1,"start_ns":1},"parent_pid":1,"uid":0,"cgroup":1,
            "namespaces":{"pid":1,"mnt":1,"net":1},"name":"","path":"/bin/program","args":""}"#;
        let exec = Exec { args: args.into(), ..serde_json::from_str(text).unwrap() };
        assert_eq!(exec.interpreted().map(|found| found.orders), expected, "{args}");
    }

    #[test]
    fn an_option_that_is_not_known_makes_no_file_of_its_value() {
        for args in [
            "python3 -v",
            "python3 -i /x.py",
            "python3 --new",
            "node --inspect",
            "ruby -r x",
            "perl -I /x",
            "php -a",
            "python3 -W ignore",
            "python3 -c",
            "python3 /dev/stdin",
            "yash",
            "-hush",
            "busybox hush",
            "sh -c",
        ] {
            check(args, Some(Orders::Typed));
        }
    }

    #[test]
    fn the_file_is_named_behind_options_and_their_values() {
        for (path, args, file) in [
            ("/bin/sh", "sh /tmp/x.sh now", Some("/tmp/x.sh")),
            ("bash", "-bash -o pipefail -eu x.sh", Some("x.sh")),
            ("/usr/bin/python3", "python3 -v -W ignore /x.py -c", Some("/x.py")),
            ("/usr/bin/node", "node --title a -- x.js", Some("x.js")),
            ("/usr/bin/node", "node --title x.js", Some("x.js")),
            ("/bin/busybox", "busybox hush /tmp/x", Some("/tmp/x")),
            ("/bin/busybox", "ash /tmp/x", Some("/tmp/x")),
            ("/bin/sh", "sh -x -x -x -x -x -x -x -x -x /tmp/x", Some("/tmp/x")),
            ("/opt/sh", "innocent /tmp/x", Some("/tmp/x")),
            ("/bin/sh", "sh -c /tmp/x", None),
            ("/usr/bin/perl", "perl -ne print /etc/passwd", None),
            ("/bin/busybox", "busybox cat /tmp/x", None),
            ("/bin/cat", "cat /tmp/x", None),
        ] {
            let words: Vec<&str> = args.split(' ').collect();
            assert_eq!(file_given(path, &words).map(|at| words[at]), file, "{args}");
        }
        assert_eq!(file_given("/bin/sh", &[]), None);
    }

    #[test]
    fn files_and_texts_are_told_behind_options_that_are_known() {
        for args in [
            "python3 -v /x.py -i",
            "python3 -W ignore -u /x.py",
            "node --max-old-space-size=64 x.js",
            "node --inspect x.js",
            "node --title a x.js",
            "ruby -r json x.rb",
            "bash --login x.sh",
            "bash -o pipefail x.sh",
            "nu x.nu",
            "python3 -- x.py",
        ] {
            check(args, Some(Orders::File));
        }
        for args in ["python3 --new x", "node --title x", "node --new --other x y", "bash --rcfile x"] {
            check(args, Some(Orders::Unclear));
        }
        for args in [
            "python3 -Wc -c x",
            "perl -MData::Dumper -ne x",
            "perl -eprint",
            "elvish -c x",
            "xonsh -c x",
            "bash -lc x",
        ] {
            check(args, Some(Orders::Text));
        }
        for args in ["node --version", "python3 -V", "node -v"] {
            check(args, Some(Orders::Nothing));
        }
        for args in ["pg_dump -c shop", "busybox cat", "ls", ""] {
            check(args, None);
        }
    }
}
