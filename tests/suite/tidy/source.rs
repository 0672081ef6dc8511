//! A Rust file as the rules see it: code without comments and texts, and which lines are tests.
//!
//! Owns a small scanner, not a parser: strings, characters, lifetimes, nested comments and braces
//! are told apart, nothing else. What is not code becomes spaces, so that lines and columns stay.

/// A file.
#[derive(Debug)]
pub(super) struct Source {
    /// From the root of the workspace.
    pub(super) path: String,
    /// As it stands.
    pub(super) text: String,
    /// As it stands, with comments and the inside of texts blanked.
    pub(super) code: String,
}

impl Source {
    pub(super) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned(), code: blank(text) }
    }

    /// The code with every `#[cfg(test)] mod … { … }` blanked as well.
    pub(super) fn without_tests(&self) -> String {
        let mut code = self.code.clone();
        let mut from = 0;
        while let Some(found) = code[from..].find("#[cfg(test)]") {
            let start = from + found;
            from = start + 1;
            let Some(open) = code[start..].find(['{', ';']).map(|place| start + place) else {
                break;
            };
            let Some(end) = closing(&code, open) else { continue };
            let blanked: String = code[start..=end].chars().map(space).collect();
            code.replace_range(start..=end, &blanked);
        }
        code
    }
}

/// The place of the brace that closes the one at `open`; `None` if there is no brace at `open`.
pub(super) fn closing(code: &str, open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (place, character) in code[open..].char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 1 => return Some(open + place),
            '}' => depth -= 1,
            _ if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// The number of the line of a place in `text`, counted from 1.
pub(super) fn line_of(text: &str, place: usize) -> usize {
    text[..place].matches('\n').count() + 1
}

/// One character becomes as many spaces as it has bytes, so that places stay as well.
fn space(character: char) -> String {
    if character == '\n' { "\n".to_owned() } else { " ".repeat(character.len_utf8()) }
}

fn blank(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let Some(length) = skipped(rest) else {
            let word = word_length(rest).max(first.len_utf8());
            code.push_str(&rest[..word]);
            rest = &rest[word..];
            continue;
        };
        code.extend(rest[..length].chars().map(space));
        rest = &rest[length..];
    }
    code
}

/// Words are taken as a whole, so that the `r` of `for` does not look like that of `r"…"`.
fn word_length(rest: &str) -> usize {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    rest.find(|c| !word(c)).unwrap_or(rest.len())
}

/// How many bytes at the start of `rest` are a comment, a text or a character.
fn skipped(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(comment_length(rest));
    }
    let unprefixed = rest.strip_prefix(['b', 'c']).unwrap_or(rest);
    let prefix = rest.len() - unprefixed.len();
    if let Some(raw) = unprefixed.strip_prefix('r') {
        let inside = raw.trim_start_matches('#');
        let hashes = raw.len() - inside.len();
        if let Some(inside) = inside.strip_prefix('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let length = inside.find(&end).map_or(inside.len(), |place| place + end.len());
            return Some(prefix + 2 + hashes + length);
        }
    }
    if let Some(inside) = unprefixed.strip_prefix('"') {
        return Some(prefix + 1 + quoted_length(inside, '"'));
    }
    if let Some(inside) = unprefixed.strip_prefix('\'') {
        let mut characters = inside.chars();
        let character = characters.next()?;
        // `'a'` and `'\n'` are characters, `'a` is a lifetime.
        if character == '\\' || characters.next() == Some('\'') {
            return Some(prefix + 1 + quoted_length(inside, '\''));
        }
    }
    None
}

fn quoted_length(inside: &str, quote: char) -> usize {
    let mut escaped = false;
    for (place, character) in inside.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return place + 1,
            _ => {}
        }
    }
    inside.len()
}

fn comment_length(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut place = 0;
    while place < rest.len() {
        if rest[place..].starts_with("/*") {
            depth += 1;
            place += 2;
        } else if rest[place..].starts_with("*/") {
            depth -= 1;
            place += 2;
            if depth == 0 {
                return place;
            }
        } else {
            place += rest[place..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

#[test]
fn texts_and_comments_are_not_code() {
    let text = "a /* b /* c */ d */ e // f\ng \"h\\\"i\" r#\"j\"k\"# 'l' 'm b'n' '\\'' µ for\"x\"y";
    let code = blank(text);
    assert_eq!(code.len(), text.len());
    let left: Vec<_> = code.split_whitespace().collect();
    assert_eq!(left, ["a", "e", "g", "'m", "µ", "for", "y"]);
}

#[test]
fn tests_are_blanked_with_their_braces() {
    let text = "fn a() { b() }\n#[cfg(test)]\nmod tests {\n fn c() { d() }\n}\nfn e() {}";
    let source = Source::new("x.rs", text);
    let left = source.without_tests();
    assert!(left.contains("b()") && !left.contains("d()") && left.contains("fn e()"), "{left}");
}
