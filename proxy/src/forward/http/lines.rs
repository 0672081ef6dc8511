//! Line ends of request heads, which hyper takes in either form.
//!
//! Owns [`Lines`], which watches the bytes of a head as they are read and finds a line feed without
//! its carriage return: a line for one reader and not for another (RFC 9112 §2.2). Refuses to know
//! what the lines say. A head that arrives together with the content before it is not watched; it
//! reaches the backend with the line ends that hyper took it to have.

use std::io::BufRead;

/// The line ends of one head after the other.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Bytes of the current line so far.
    length: usize,
    ends_in_cr: bool,
    is_complete: bool,
}

impl Lines {
    /// The line ends of a head of which the beginning may have been read ahead, unwatched: a line
    /// feed that comes first has perhaps its carriage return there.
    pub(super) fn after_another() -> Self {
        Self { ends_in_cr: true, ..Self::default() }
    }

    /// Whether every line feed of the head in `bytes`, which follow those before, has its carriage
    /// return. Behind the head anything goes.
    pub(super) fn are_clean(&mut self, mut bytes: &[u8]) -> bool {
        while !self.is_complete && !bytes.is_empty() {
            let line = bytes;
            // Reading from memory does not fail.
            let length = bytes.skip_until(b'\n').unwrap_or(line.len());
            let line = line.get(..length).unwrap_or(line);
            let is_clean = match line {
                [.., b'\r', b'\n'] => true,
                [b'\n'] => self.ends_in_cr,
                [.., b'\n'] => false,
                [.., last] => {
                    self.length += length;
                    self.ends_in_cr = *last == b'\r';
                    return true;
                }
                [] => return true,
            };
            if !is_clean {
                return false;
            }
            // An empty line before a request is taken for the end of a head; the worst that comes
            // of it is that the head is not watched.
            self.is_complete = self.length + length == LINE_END_BYTES;
            self.length = 0;
            self.ends_in_cr = false;
        }
        true
    }
}

const LINE_END_BYTES: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_feed_alone_is_found_wherever_the_bytes_are_cut() {
        let cases = [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\nbody\nbody", true),
            ("GET / HTTP/1.1\nHost: a\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nHost: a\n\r\n", false),
            ("GET / HTTP/1.1\r\nHost: a\r\n\n", false),
            ("\nGET / HTTP/1.1\r\n", false),
        ];
        for (text, expected) in cases {
            assert_eq!(Lines::default().are_clean(text.as_bytes()), expected, "{text:?}");
            for cut in 0..text.len() {
                let (one, other) = text.as_bytes().split_at(cut);
                let mut lines = Lines::default();
                let is_clean = lines.are_clean(one) && lines.are_clean(other);
                assert_eq!(is_clean, expected, "{text:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn a_head_that_was_read_ahead_up_to_a_carriage_return_is_clean() {
        assert!(Lines::after_another().are_clean(b"\nHost: a\r\n\r\n"));
        assert!(!Lines::after_another().are_clean(b"\nHost: a\n\r\n"));
        assert!(!Lines::after_another().are_clean(b"GET / HTTP/1.1\n"));
    }
}
