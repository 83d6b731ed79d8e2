//! A Rust file, line by line, with code, comments and the content of strings told apart, and its tests marked.
//!
//! Not here: parsing. A few lines of lexing are enough for rules about words, and depend on nothing.

/// One line of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line {
    /// The line as written.
    pub(crate) raw: String,
    /// Its code; comments are cut out and strings are empty.
    pub(crate) code: String,
    /// Its comments, marks included.
    pub(crate) comment: String,
    /// Whether it belongs to tests.
    pub(crate) test: bool,
}

/// A Rust file.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Its path relative to the workspace, `/` between parts.
    pub(crate) path: String,
    /// Its lines.
    pub(crate) lines: Vec<Line>,
}

/// Where the lexer is between two characters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Code,
    LineComment,
    BlockComment { depth: u32 },
    Text,
    RawText { hashes: usize },
}

impl Source {
    /// Takes a file apart.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let mut place = Place::Code;
        let mut lines: Vec<Line> = text.lines().map(|raw| lex(raw, &mut place)).collect();
        let tests_from = if is_test_file(path) { 0 } else { first_test_line(&lines) };
        for line in &mut lines[tests_from..] {
            line.test = true;
        }
        Self { path: path.to_owned(), lines }
    }

    /// The lines with their numbers, from 1.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (usize, &Line)> {
        (1..).zip(&self.lines)
    }

    /// Whether a program wrote it.
    pub(crate) fn is_generated(&self) -> bool {
        self.lines.first().is_some_and(|line| line.comment.contains("@generated"))
    }
}

/// `foo/tests.rs`, and whatever lies in a folder of tests.
fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.starts_with("tests/") || path.contains("/tests/")
}

/// The line where the module of tests begins, counted from 0; the number of lines when there is none.
fn first_test_line(lines: &[Line]) -> usize {
    let begins_module = |pair: &[Line]| pair[0].code.trim() == "#[cfg(test)]" && is_module(&pair[1].code);
    lines.windows(2).position(begins_module).unwrap_or(lines.len())
}

fn is_module(code: &str) -> bool {
    code.trim_start().trim_start_matches("pub ").starts_with("mod ")
}

/// Splits one line; `place` is carried from line to line.
fn lex(raw: &str, place: &mut Place) -> Line {
    if *place == Place::LineComment {
        *place = Place::Code;
    }
    let mut line = Line { raw: raw.to_owned(), ..Line::default() };
    let mut rest = raw;
    while !rest.is_empty() {
        let taken = match *place {
            Place::Code => code(rest, place, &mut line.code),
            Place::LineComment => rest.len(),
            Place::BlockComment { depth } => block_comment(rest, depth, place),
            Place::Text => text(rest, place),
            Place::RawText { hashes } => raw_text(rest, hashes, place),
        };
        let (head, tail) = rest.split_at(taken);
        if matches!(place, Place::LineComment | Place::BlockComment { .. }) || head == "*/" {
            line.comment.push_str(head);
        }
        rest = tail;
    }
    line
}

/// Takes one piece of code, or the mark that ends it; gives back the number of bytes taken.
fn code(rest: &str, place: &mut Place, code: &mut String) -> usize {
    if rest.starts_with("//") {
        *place = Place::LineComment;
        return 2;
    }
    if rest.starts_with("/*") {
        *place = Place::BlockComment { depth: 1 };
        return 2;
    }
    if let Some(hashes) = raw_text_hashes(rest, code) {
        *place = Place::RawText { hashes };
        code.push_str("\"\"");
        return 2 + hashes;
    }
    if rest.starts_with('"') {
        *place = Place::Text;
        code.push_str("\"\"");
        return 1;
    }
    if let Some(length) = character_literal(rest) {
        code.push_str("' '");
        return length;
    }
    let Some(first) = rest.chars().next() else { return rest.len() };
    code.push(first);
    first.len_utf8()
}

/// The number of hashes when raw text begins here: `r"`, `r#"`, and not the end of a name.
fn raw_text_hashes(rest: &str, code_before: &str) -> Option<usize> {
    let tail = rest.strip_prefix('r')?;
    let before = code_before.chars().next_back();
    if before.is_some_and(|c| c != 'b' && (c.is_alphanumeric() || c == '_')) {
        return None;
    }
    let hashes = tail.len() - tail.trim_start_matches('#').len();
    tail[hashes..].starts_with('"').then_some(hashes)
}

/// The length of a character literal that begins here; a lifetime is none.
fn character_literal(rest: &str) -> Option<usize> {
    let tail = rest.strip_prefix('\'')?;
    if tail.starts_with('\\') {
        let end = tail.char_indices().skip(2).find(|&(_, c)| c == '\'')?.0;
        return Some(1 + end + 1);
    }
    let first = tail.chars().next()?;
    tail[first.len_utf8()..].starts_with('\'').then_some(2 + first.len_utf8())
}

fn block_comment(rest: &str, depth: u32, place: &mut Place) -> usize {
    if rest.starts_with("/*") {
        *place = Place::BlockComment { depth: depth + 1 };
        return 2;
    }
    if rest.starts_with("*/") {
        *place = if depth == 1 { Place::Code } else { Place::BlockComment { depth: depth - 1 } };
        return 2;
    }
    rest.chars().next().map_or(rest.len(), char::len_utf8)
}

fn text(rest: &str, place: &mut Place) -> usize {
    let mut characters = rest.chars();
    match characters.next() {
        Some('\\') => 1 + characters.next().map_or(0, char::len_utf8),
        Some('"') => {
            *place = Place::Code;
            1
        }
        first => first.map_or(rest.len(), char::len_utf8),
    }
}

fn raw_text(rest: &str, hashes: usize, place: &mut Place) -> usize {
    let end =
        rest.strip_prefix('"').is_some_and(|tail| tail.bytes().take_while(|&b| b == b'#').count() >= hashes);
    if end {
        *place = Place::Code;
        return 1 + hashes;
    }
    rest.chars().next().map_or(rest.len(), char::len_utf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<(String, String)> {
        let lines = Source::new("crates/x/src/lib.rs", text).lines;
        lines.into_iter().map(|line| (line.code.trim().to_owned(), line.comment)).collect()
    }

    fn check(text: &str, code: &str, comment: &str) {
        assert_eq!(split(text), [(code.to_owned(), comment.to_owned())]);
    }

    #[test]
    fn comments_and_strings_are_not_code() {
        check("let a = 1; // unsafe", "let a = 1;", "// unsafe");
        check("f(\"// no \\\" comment\"); /* a /* b */ c */ g()", "f(\"\");  g()", "/* a /* b */ c */");
        check("f(r#\"std::fs \"quoted\" //\"#, br\"x\")", "f(\"\", b\"\")", "");
        check("let c = '\"'; let d = '\\''; fn f<'a>() {}", "let c = ' '; let d = ' '; fn f<'a>() {}", "");
        check("for_r\"x\"", "for_r\"\"", "");
    }

    #[test]
    fn strings_and_comments_run_over_lines() {
        let lines = split("let a = \"one\nstd::fs\";\n/* two\nthree */ four");
        let code: Vec<&str> = lines.iter().map(|(code, _)| code.as_str()).collect();
        assert_eq!(code, ["let a = \"\"", ";", "", "four"]);
        assert_eq!(lines[3].1, "three */");
    }

    #[test]
    fn tests_begin_at_their_module() {
        let text = "#[cfg(test)]\nuse a::b;\nfn f() {}\n#[cfg(test)]\nmod tests {\n}\n";
        let marks = |path| Source::new(path, text).lines.iter().map(|line| line.test).collect::<Vec<_>>();
        assert_eq!(marks("crates/x/src/lib.rs"), [false, false, false, true, true, true]);
        assert_eq!(marks("crates/x/src/lib/tests.rs"), [true; 6]);
        assert_eq!(marks("tests/live/src/main.rs"), [true; 6]);
    }
}
