//! Lines, cut out of whatever pieces the bytes come in.
//!
//! Owns the bound on a line and what ends it. Refuses to know what a line means. Read next: `talk`
//! for lines of clients, `welcome` for lines of backends.

use super::LINE_BYTES_MAX;

/// Bytes of which whole lines are taken.
#[derive(Debug, Default)]
pub(super) struct Lines {
    kept: Vec<u8>,
    /// Where the first line that was not yet taken begins.
    start: usize,
}

/// No line can be taken from here on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct TooLong;

impl Lines {
    /// Adds what came.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.kept.drain(..self.start);
        self.start = 0;
        self.kept.extend_from_slice(bytes);
    }

    /// The next line with its end, once it is whole. Nothing more can be taken behind a line of
    /// more than [`LINE_BYTES_MAX`] bytes.
    pub(super) fn take(&mut self) -> Result<Option<&[u8]>, TooLong> {
        let rest = self.kept.get(self.start..).unwrap_or_default();
        let within = rest.get(..LINE_BYTES_MAX).unwrap_or(rest);
        let Some(place) = within.iter().position(|&byte| byte == b'\n') else {
            return if rest.len() < LINE_BYTES_MAX { Ok(None) } else { Err(TooLong) };
        };
        let line = self.start..self.start + place + 1;
        self.start = line.end;
        Ok(self.kept.get(line))
    }

    /// What follows the lines that were taken.
    pub(super) fn rest(&self) -> &[u8] {
        self.kept.get(self.start..).unwrap_or_default()
    }
}

/// The text of a line that ends in CRLF, as every protocol here demands: a reader that took a lone
/// LF for an end would see other lines than one that does not. `None` for any other line.
pub(super) fn text(line: &[u8]) -> Option<&[u8]> {
    let text = line.strip_suffix(b"\r\n")?;
    (!text.contains(&b'\r')).then_some(text)
}

/// The first word and what follows the spaces behind it.
pub(super) fn split(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    (word, rest.trim_matches(' '))
}

/// Whether the line is the first of an HTTP request (RFC 9112 §3): a browser was sent here.
pub(super) fn is_http(text: &str) -> bool {
    let (method, rest) = split(text);
    HTTP_METHODS.contains(&method) && rest.contains("HTTP/")
}

const HTTP_METHODS: &[&str] =
    &["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PRI", "PUT", "TRACE"];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All lines of `pieces`, and whether one was too long.
    fn lines_of<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, bool) {
        let mut lines = Lines::default();
        let mut taken = Vec::new();
        for piece in pieces {
            lines.push(piece);
            loop {
                match lines.take() {
                    Ok(Some(line)) => taken.push(line.to_vec()),
                    Ok(None) => break,
                    Err(TooLong) => return (taken, true),
                }
            }
        }
        (taken, false)
    }

    #[test]
    fn a_line_may_have_as_many_bytes_as_the_bound_and_no_more() {
        let line = |length: usize| [vec![b'a'; length - 2], b"\r\n".to_vec()].concat();
        assert_eq!(lines_of([&*line(LINE_BYTES_MAX)]), (vec![line(LINE_BYTES_MAX)], false));
        assert_eq!(lines_of([&*line(LINE_BYTES_MAX + 1)]), (vec![], true));
        assert_eq!(lines_of([&*vec![b'a'; LINE_BYTES_MAX - 1]]), (vec![], false));
        assert_eq!(lines_of([&*vec![b'a'; LINE_BYTES_MAX]]), (vec![], true));
    }

    #[test]
    fn only_crlf_ends_a_text() {
        assert_eq!(text(b"NOOP\r\n"), Some(&b"NOOP"[..]));
        for line in [&b"NOOP\n"[..], b"NO\rOP\r\n", b"NOOP\r\r\n", b"NOOP", b"\n"] {
            assert_eq!(text(line), None, "{line:?}");
        }
    }

    #[test]
    fn a_request_of_a_browser_is_known_by_its_first_line() {
        for line in ["GET / HTTP/1.1", "POST /x HTTP/1.0", "PRI * HTTP/2.0"] {
            assert!(is_http(line), "{line}");
        }
        for line in ["GET NOOP", "EHLO HTTP/1.1", "get / HTTP/1.1", ""] {
            assert!(!is_http(line), "{line}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn the_lines_are_the_same_however_the_bytes_are_cut(
            bytes in proptest::collection::vec(
                prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'a')],
                0..2000,
            ),
            size in 1..1500_usize,
        ) {
            prop_assert_eq!(lines_of(bytes.chunks(size)), lines_of([&*bytes]));
        }

        #[test]
        fn no_byte_is_lost(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
            let mut lines = Lines::default();
            lines.push(&bytes);
            let mut all = Vec::new();
            while let Ok(Some(line)) = lines.take() {
                all.extend_from_slice(line);
            }
            all.extend_from_slice(lines.rest());
            prop_assert_eq!(all, bytes);
        }
    }
}
