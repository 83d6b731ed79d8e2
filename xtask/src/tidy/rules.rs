//! The rules, one function each: from a file to the lines that break it.
//!
//! Not here: which files are looked at.

use crate::source::{Line, Source};

/// A line from 1 and what is wrong with it.
type Broken = (usize, String);

/// All rules.
pub(super) const ALL: [fn(&Source) -> Vec<Broken>; 12] = [
    head,
    size,
    name,
    ignored_tests,
    quiet_skips,
    skip_words,
    left_overs,
    banners,
    pure_thinking,
    glossary,
    reasons_to_panic,
    reasons_for_unsafe,
];

const HEAD_LINES_MAX: usize = 6;
const CODE_LINES_MAX: usize = 500;
const FILE_LINES_MAX: usize = 700;
/// How far above a line its reason may stand: a chain of calls and a comment of a few lines fit between.
const REASON_LINES_MAX: usize = 8;

/// Every file opens with one to six lines of `//!`.
fn head(source: &Source) -> Vec<Broken> {
    let head: Vec<&str> = source.lines.iter().map_while(|line| line.raw.strip_prefix("//!")).collect();
    let count = head.iter().filter(|line| !line.trim().is_empty()).count();
    match count {
        0 => vec![(1, "the first line is no //! that says what this file is".to_owned())],
        _ if head[0].trim().is_empty() => vec![(1, "the first line of //! is empty".to_owned())],
        1..=HEAD_LINES_MAX => Vec::new(),
        _ => vec![(1, format!("{count} lines of //!; at most {HEAD_LINES_MAX} are read"))],
    }
}

/// 500 lines before the tests, 700 with them.
fn size(source: &Source) -> Vec<Broken> {
    let all = source.lines.len();
    let code = source.lines.iter().filter(|line| !line.test).count();
    if code > CODE_LINES_MAX {
        return vec![(CODE_LINES_MAX + 1, format!("{code} lines without tests; at most {CODE_LINES_MAX}"))];
    }
    if all > FILE_LINES_MAX {
        return vec![(FILE_LINES_MAX + 1, format!("{all} lines; at most {FILE_LINES_MAX}"))];
    }
    Vec::new()
}

/// Files are nouns that say what they hold; functions carry no `get_`.
fn name(source: &Source) -> Vec<Broken> {
    let parts = source.path.trim_end_matches(".rs").split('/');
    let vague = ["common", "core", "helpers", "manager", "misc", "util", "utils"];
    let vague = parts
        .filter(|part| vague.contains(part))
        .map(|part| (1, format!("{part} says nothing: name what it holds")));
    let gets = source.numbered().filter(|(_, line)| line.code.contains("fn get_"));
    vague.chain(gets.map(|(number, _)| (number, "no get_ prefix".to_owned()))).collect()
}

/// A test that does not run is no test.
fn ignored_tests(source: &Source) -> Vec<Broken> {
    let ignored = source.numbered().filter(|(_, line)| line.code.contains("#[ignore"));
    ignored.map(|(number, _)| (number, "#[ignore]: a test runs or is deleted".to_owned())).collect()
}

/// A test that cannot run here fails; it does not return early and count as passed.
fn quiet_skips(source: &Source) -> Vec<Broken> {
    let needs = ["root", "docker", "bpf", "privilege", "euid", "uid()", "kvm", "qemu"];
    let asks = |line: &Line| {
        let raw = line.raw.to_lowercase();
        raw.contains("if ") && needs.iter().any(|need| raw.contains(need))
    };
    let gives_up = |number: usize, line: &Line| {
        let code = line.code.trim();
        let returns =
            code.ends_with("return;") || code.ends_with("return; }") || code.ends_with("return Ok(());");
        returns && source.lines[number.saturating_sub(4)..number].iter().any(asks)
    };
    let quiet = source.numbered().filter(|(number, line)| line.test && gives_up(*number, line));
    quiet
        .map(|(number, _)| (number, "a quiet skip: what cannot run here fails and says so".to_owned()))
        .collect()
}

/// Nor does a test print that it did not run; a comment may say that nothing does.
fn skip_words(source: &Source) -> Vec<Broken> {
    let says = |line: &Line| {
        let spoken = line.raw.strip_suffix(&line.comment).unwrap_or(&line.raw);
        words(spoken).any(|word| word == "skipping" || word == "skipped")
    };
    let lines = source.numbered().filter(|(_, line)| line.test && says(line));
    lines.map(|(number, _)| (number, "tests do not skip: what cannot run here fails".to_owned())).collect()
}

/// What is left to do is in an issue, not in a comment.
fn left_overs(source: &Source) -> Vec<Broken> {
    let marks = ["TODO", "FIXME", "XXX", "HACK"];
    let says = |line: &Line| {
        let mut words = line.comment.split(|c: char| !c.is_alphanumeric());
        words.any(|word| marks.contains(&word))
    };
    let lines = source.numbered().filter(|(_, line)| says(line));
    lines.map(|(number, _)| (number, "left over: do it or file it".to_owned())).collect()
}

/// Comments say why; rows of signs say nothing.
fn banners(source: &Source) -> Vec<Broken> {
    let is_banner = |line: &Line| {
        let table = line.comment.contains('|');
        let row = |sign: &str| line.comment.trim_start_matches('/').contains(&sign.repeat(4));
        !table && (line.comment.starts_with("/////") || ["-", "=", "*", "#", "~", "_"].into_iter().any(row))
    };
    let lines = source.numbered().filter(|(_, line)| is_banner(line));
    lines.map(|(number, _)| (number, "a banner: files have an order instead".to_owned())).collect()
}

/// `think` has no input, no output, no clock; addresses are values and welcome.
fn pure_thinking(source: &Source) -> Vec<Broken> {
    if !source.path.starts_with("crates/think/") {
        return Vec::new();
    }
    let types = ["tokio", "SystemTime", "Instant", "TcpStream", "TcpListener", "UdpSocket", "ToSocketAddrs"];
    let modules = ["fs", "process", "env", "thread"];
    let mut broken = Vec::new();
    let mut in_std = false;
    for (number, line) in source.numbered() {
        in_std |= line.code.contains("use std::{");
        let named = modules.into_iter().filter(|module| {
            line.code.contains(&format!("std::{module}"))
                || in_std && words(&line.code).any(|word| word == *module)
        });
        let typed = types.into_iter().filter(|name| identifiers(&line.code).any(|word| word == *name));
        broken.extend(named.chain(typed).map(|name| (number, format!("think is pure: not {name}"))));
        in_std &= !line.code.contains(';');
    }
    broken
}

/// One word per thing: Finding and Incident, not what others call them.
fn glossary(source: &Source) -> Vec<Broken> {
    if !source.path.starts_with("crates/") {
        return Vec::new();
    }
    let foreign = ["alert", "alerts", "alarm", "alarms", "threat", "threats", "detection", "detections"];
    let in_line = |(number, line): (usize, &Line)| -> Vec<Broken> {
        let found =
            identifiers(&line.code).filter(|name| words(name).any(|word| foreign.contains(&word.as_str())));
        found.map(|name| (number, format!("{name}: the glossary has Finding and Incident"))).collect()
    };
    source.numbered().flat_map(in_line).collect()
}

/// An `expect` outside tests says why it cannot fail.
fn reasons_to_panic(source: &Source) -> Vec<Broken> {
    without_reason(source, "// PANIC:", |code| code.contains(".expect("))
}

/// Unsafe code says why it is sound.
fn reasons_for_unsafe(source: &Source) -> Vec<Broken> {
    without_reason(source, "// SAFETY:", |code| {
        identifiers(code).any(|word| word == "unsafe") && (code.contains('{') || code.contains("impl"))
    })
}

fn without_reason(source: &Source, mark: &str, needs: impl Fn(&str) -> bool) -> Vec<Broken> {
    let has_reason = |number: usize| {
        let near = &source.lines[number.saturating_sub(REASON_LINES_MAX)..number];
        near.iter().any(|line| line.comment.contains(mark))
    };
    let lines =
        source.numbered().filter(|(number, line)| !line.test && needs(&line.code) && !has_reason(*number));
    lines.map(|(number, _)| (number, format!("{mark} is missing"))).collect()
}

/// The names in a line of code.
fn identifiers(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|name| !name.is_empty())
}

/// The words of a text in lower case: `OpenAlerts` and `open_alerts` are both `open`, `alerts`.
fn words(text: &str) -> impl Iterator<Item = String> {
    let mut words = vec![String::new()];
    let mut after_small = false;
    for c in text.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && after_small) {
            words.push(String::new());
        }
        if let (true, Some(word)) = (c.is_alphanumeric(), words.last_mut()) {
            word.extend(c.to_lowercase());
        }
        after_small = c.is_lowercase();
    }
    words.into_iter().filter(|word| !word.is_empty())
}
