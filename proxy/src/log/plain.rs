//! Text of unknown origin, for people.
//!
//! Owns what is shown instead of letters that cannot be seen or that a reader would obey. Refuses
//! to know who reads: what a browser would obey besides is `admin`'s.

/// Text of unknown origin in one line. The name of a file or of an issuer may hold ends of lines,
/// escape sequences that a terminal would obey, and letters that turn what follows around.
pub fn plain(text: &str) -> String {
    let is_plain = |letter: char| !(letter.is_control() || UNSEEN.contains(&letter));
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_plain(letter) {
            plain.push(letter);
        } else {
            plain.extend(letter.escape_default());
        }
    }
    plain
}

/// Marks and overrides of direction, separators, and what has no width (Unicode class Cf and Z).
const UNSEEN: [char; 22] = [
    '\u{61c}', '\u{200b}', '\u{200c}', '\u{200d}', '\u{200e}', '\u{200f}', '\u{2028}', '\u{2029}',
    '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2060}', '\u{2061}', '\u{2062}',
    '\u{2063}', '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}', '\u{feff}',
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_unknown_origin_is_one_line_without_commands() {
        assert_eq!(plain("CN=Müller \"& Co\", O=株式会社"), "CN=Müller \"& Co\", O=株式会社");
        assert_eq!(plain("a\nb\r\x1b[31m\u{9b}"), "a\\nb\\r\\u{1b}[31m\\u{9b}");
        assert_eq!(plain("a\u{202e}b"), "a\\u{202e}b");
    }
}
