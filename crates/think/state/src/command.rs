//! How a program that is run takes its orders: from whoever types into it, from a text, from a file.
//!
//! A shell is one by the name it is asked by, by its path, or by the name of its file with links followed: any of them suffices.
//! Not here: what that weighs (`detect`), what runs in a file's stead (`model::program`).

use model::event::Exec;
use model::interpreter::{Interpreted, Orders};

const SHELLS: [&str; 10] = ["sh", "bash", "ash", "dash", "zsh", "ksh", "mksh", "fish", "csh", "tcsh"];
const MANY_PROGRAMS: [&str; 2] = ["busybox", "toybox"];
/// Interpreters without their version, and the letters after which a text or a module follows.
const INTERPRETERS: [(&str, &str); 10] = [
    ("python", "cm"),
    ("pypy", "cm"),
    ("perl", "eE"),
    ("ruby", "e"),
    ("irb", ""),
    ("node", "ep"),
    ("nodejs", "ep"),
    ("php", "rBRE"),
    ("lua", "e"),
    ("luajit", "e"),
];
/// Options of shells that are followed by a word of their own, which is no script.
const TAKES_WORD: [&str; 6] = ["-o", "+o", "-O", "+O", "--rcfile", "--init-file"];
/// Names of files that are whatever the caller hands over.
const HANDED_OVER: [&str; 3] = ["/dev/", "/proc/", "-"];

/// How a program takes its orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// A shell that reads them.
    Shell,
    /// A shell that is given a text.
    ShellText,
    /// A shell that is given a file.
    ShellFile,
    /// Another interpreter that reads them.
    Interpreter,
    /// Another interpreter that is given a text.
    Text,
    /// Anything else.
    Program,
}

impl Command {
    /// Whether whoever runs it may type anything into it.
    pub fn is_typed(self) -> bool {
        matches!(self, Self::Shell | Self::Interpreter)
    }

    /// Whether it is a shell, however it is used.
    pub fn is_shell(self) -> bool {
        matches!(self, Self::Shell | Self::ShellText | Self::ShellFile)
    }
}

/// How an executed program takes its orders: the graver of what is known of it and what its command line may mean. A file that
/// was found settles what the command line leaves open.
pub fn command(exec: &Exec) -> Command {
    let known = by_name(exec);
    let Some(Interpreted { is_shell, orders }) = exec.interpreted() else { return known };
    let is_typed = orders == Orders::Typed || (orders == Orders::Unclear && exec.script.is_empty());
    match (known, orders) {
        _ if is_typed && is_shell => Command::Shell,
        _ if is_typed => Command::Interpreter,
        (Command::Program, Orders::Text) if is_shell => Command::ShellText,
        (Command::Program, Orders::Text) => Command::Text,
        (Command::Program, Orders::File) if is_shell => Command::ShellFile,
        _ => known,
    }
}

fn by_name(exec: &Exec) -> Command {
    let mut words = exec.args.raw().split(' ').peekable();
    let asked = base(words.next().unwrap_or_default()).trim_start_matches('-');
    let path = base(exec.path.raw());
    let file = exec.file.as_ref().filter(|_| !has_script(exec)).map_or("", |file| file.name.raw());
    let is_shell = |name: &str| SHELLS.contains(&name);
    // A file that is many programs goes by what it is asked as, whatever link leads to it.
    let is_many = [asked, path, file].iter().any(|name| MANY_PROGRAMS.contains(name));
    if is_shell(asked) || (!is_many && (is_shell(path) || is_shell(file))) {
        return of_shell(exec, words);
    }
    if MANY_PROGRAMS.contains(&asked) && words.next_if(|word| is_shell(word)).is_some() {
        return of_shell(exec, words);
    }
    let names = [asked, path, file];
    match INTERPRETERS.iter().find(|(known, _)| names.iter().any(|name| unversioned(name) == *known)) {
        Some((_, letters)) if !has_script(exec) => of_interpreter(words, letters),
        _ => Command::Program,
    }
}

/// Whether a file was found that it runs; what the caller hands over, as `/dev/stdin`, is none.
fn has_script(exec: &Exec) -> bool {
    !exec.script.is_empty() && !is_handed_over(exec.script.raw())
}

fn is_handed_over(file: &str) -> bool {
    HANDED_OVER.iter().any(|place| file.starts_with(place))
}

fn of_shell<'a>(exec: &Exec, words: impl Iterator<Item = &'a str>) -> Command {
    let mut words = words.peekable();
    let mut is_typed = false;
    while let Some(word) = words.next_if(|word| word.len() > 1 && word.starts_with(['-', '+'])) {
        let letters = if word.starts_with("--") { "" } else { &word[1..] };
        if letters.contains('c') {
            return Command::ShellText;
        }
        is_typed |= letters.contains(['s', 'i']);
        if TAKES_WORD.contains(&word) {
            words.next();
        }
    }
    let is_given = |file: &&str| !file.is_empty() && !is_handed_over(file);
    match words.peek().filter(|file| is_given(file)) {
        Some(_) if !is_typed => Command::ShellFile,
        // The kernel or a look at the process found the file.
        _ if has_script(exec) && !is_typed => Command::ShellFile,
        _ => Command::Shell,
    }
}

fn of_interpreter<'a>(words: impl Iterator<Item = &'a str>, letters: &str) -> Command {
    for word in words.filter(|word| !word.is_empty()) {
        match word.strip_prefix('-') {
            Some("") => return Command::Interpreter,
            Some(option) if !option.starts_with('-') && option.contains(|it| letters.contains(it)) => {
                return Command::Text;
            }
            // What is asked for and shown, as `--version`, or how to run what follows.
            Some("V" | "v" | "h") => return Command::Program,
            Some(option) if option.starts_with('-') => return Command::Program,
            Some(_) => {}
            None if word.starts_with("/dev/") || word.starts_with("/proc/") => return Command::Interpreter,
            None => return Command::Program,
        }
    }
    Command::Interpreter
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
    use model::program::FileFacts;
    use testkit::scene::Scene;

    use super::*;

    fn told(path: &str, file: &str, args: &str) -> Command {
        let mut exec = Scene::new(1).next_actor().exec(args);
        exec.path = path.into();
        exec.file = Some(FileFacts { name: file.into(), ..FileFacts::default() });
        command(&exec)
    }

    fn check(args: &str, expected: Command) {
        assert_eq!(told("/bin/program", "program", args), expected, "{args}");
    }

    #[test]
    fn what_is_handed_over_is_no_script_also_when_it_was_looked_at() {
        let of = |args: &str| {
            let script = args.rsplit(' ').next().unwrap().into();
            command(&Exec { script, ..Scene::new(1).next_actor().exec(args) })
        };
        assert_eq!(of("python3 /dev/stdin"), Command::Interpreter);
        assert_eq!(of("sh /dev/stdin"), Command::Shell);
        assert_eq!(of("sh /proc/self/fd/0"), Command::Shell);
        assert_eq!(of("sh /run.sh"), Command::ShellFile);
    }

    #[test]
    fn a_shell_is_told_by_any_of_its_names() {
        for args in ["sh", "/bin/bash -l", "-bash", "busybox sh", "busybox ash -x", "bash -s x -c", "sh -i"] {
            check(args, Command::Shell);
        }
        assert_eq!(told("/tmp/ls", "dash", "ls"), Command::Shell, "a link, asked by another name");
        assert_eq!(told("/bin/sh", "busybox", "ls"), Command::Program, "busybox goes by what it is asked as");
        assert_eq!(told("/bin/sh", "dash", "ls"), Command::Shell);
        assert_eq!(told("/tmp/ls", "busybox", "sh"), Command::Shell);
    }

    #[test]
    fn a_text_counts_only_where_the_shell_takes_it() {
        for args in ["sh -c true", "bash -lc true", "sh -e -c true", "bash -o pipefail -c true"] {
            check(args, Command::ShellText);
        }
        for args in ["sh /x.sh -c", "sh -e /x.sh", "bash -o pipefail /x.sh"] {
            check(args, Command::ShellFile);
        }
        for args in ["sh /dev/stdin -c", "sh /proc/self/fd/0", "bash --rcfile /x.sh", "sh - x", "sh -s /x.sh"]
        {
            check(args, Command::Shell);
        }
    }

    #[test]
    fn other_interpreters_read_what_is_typed_when_they_are_given_nothing() {
        for args in ["python3", "python3.11 -u -", "perl", "php /dev/stdin", "node -i", "irb"] {
            check(args, Command::Interpreter);
        }
        for args in ["python3 -c x", "perl -e x", "perl -ne x", "php -r x", "python -m http.server"] {
            check(args, Command::Text);
        }
        for args in ["python manage.py migrate", "node --version", "python3 -V", "pg_dump -c shop", "awk x"] {
            check(args, Command::Program);
        }
    }
}
