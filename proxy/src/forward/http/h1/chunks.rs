//! The content of a body in chunks, out of bytes (RFC 9112 §7.1).
//!
//! Owns the grammar, without the liberties that some readers take: line ends are two bytes, a size
//! is hexadecimal digits and nothing else, extensions are text and go no further, and there are
//! only so many bytes that are not content. Refuses to know connections. Read next: `wire`.

use bytes::{Buf as _, Bytes, BytesMut};
use http::HeaderMap;

use super::head::fields;

/// How far a body in chunks was read.
#[derive(Debug)]
pub(super) struct Chunks {
    state: State,
    /// Bytes of extensions and trailers that may still come.
    extra: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// Within a size of so many digits.
    Size {
        value: u64,
        digits: u8,
    },
    /// Behind a size, where an extension may begin.
    Space {
        value: u64,
    },
    /// Within an extension.
    Extension {
        value: u64,
    },
    /// Before the line feed that ends the line of a size.
    SizeEnd {
        value: u64,
    },
    /// Within the content of a chunk.
    Data {
        rest: u64,
    },
    /// Before the carriage return behind the content.
    DataEnd,
    /// Before the line feed behind it.
    DataEnded,
    /// Behind the last chunk.
    Trailers {
        /// Where the line begins that has no end yet.
        line: usize,
        /// Up to where there is no other line feed.
        seen: usize,
    },
    End,
}

/// A part of a body.
#[derive(Debug)]
pub(super) enum Part {
    Data(Bytes),
    /// The end, with the fields that stand there.
    End(HeaderMap),
}

/// The bytes are no chunks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct BadChunk;

impl Chunks {
    pub(super) fn new() -> Self {
        Self { state: State::Size { value: 0, digits: 0 }, extra: EXTRA_BYTES_MAX }
    }

    /// The next part of the body at the beginning of `buffer`, from which it is taken, or `None` if
    /// more must come first.
    pub(super) fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Part>, BadChunk> {
        loop {
            match self.state {
                State::Data { .. } if buffer.is_empty() => return Ok(None),
                State::Data { rest } => {
                    let length = usize::try_from(rest).unwrap_or(usize::MAX).min(buffer.len());
                    let data = buffer.split_to(length).freeze();
                    let rest = rest - data.len() as u64;
                    self.state = if rest == 0 { State::DataEnd } else { State::Data { rest } };
                    return Ok(Some(Part::Data(data)));
                }
                State::Trailers { line, seen } => return self.trailers(buffer, line, seen),
                State::End => return Ok(None),
                _ => {}
            }
            let Some(&byte) = buffer.first() else { return Ok(None) };
            buffer.advance(1);
            self.state = self.step(byte)?;
        }
    }

    /// The state behind one byte that is not content.
    fn step(&mut self, byte: u8) -> Result<State, BadChunk> {
        let state = match (self.state, byte) {
            (State::Size { value, digits }, byte) if byte.is_ascii_hexdigit() => {
                let digit = match byte {
                    b'0'..=b'9' => byte - b'0',
                    _ => (byte | 0x20) - b'a' + 10,
                };
                if digits == SIZE_DIGITS_MAX {
                    return Err(BadChunk);
                }
                State::Size { value: (value << 4) | u64::from(digit), digits: digits + 1 }
            }
            (State::Size { digits: 0, .. }, _) => return Err(BadChunk),
            (State::Size { value, .. }, b'\r') => State::SizeEnd { value },
            (State::Size { value, .. } | State::Space { value }, b' ' | b'\t') => {
                State::Space { value }
            }
            (State::Size { value, .. } | State::Space { value }, b';') => {
                State::Extension { value }
            }
            (State::Extension { value }, b'\r') => State::SizeEnd { value },
            (State::Extension { value }, b'\t' | b' '..=b'~' | 0x80..) => {
                State::Extension { value }
            }
            (State::SizeEnd { value: 0 }, b'\n') => State::Trailers { line: 0, seen: 0 },
            (State::SizeEnd { value }, b'\n') => State::Data { rest: value },
            (State::DataEnd, b'\r') => State::DataEnded,
            (State::DataEnded, b'\n') => State::Size { value: 0, digits: 0 },
            _ => return Err(BadChunk),
        };
        if matches!(state, State::Extension { .. } | State::Space { .. }) {
            self.extra = self.extra.checked_sub(1).ok_or(BadChunk)?;
        }
        Ok(state)
    }

    /// The fields behind the last chunk, up to the empty line.
    fn trailers(
        &mut self,
        buffer: &mut BytesMut,
        mut line: usize,
        mut seen: usize,
    ) -> Result<Option<Part>, BadChunk> {
        while let Some(length) =
            buffer.get(seen..).and_then(|rest| rest.iter().position(|&byte| byte == b'\n'))
        {
            seen += length + 1;
            match buffer.get(line..seen) {
                Some(b"\r\n") => {
                    self.state = State::End;
                    let trailers = buffer.split_to(seen).freeze();
                    return fields(&trailers, 0, HeaderMap::new())
                        .map(Part::End)
                        .map(Some)
                        .map_err(|_| BadChunk);
                }
                Some([.., b'\r', b'\n']) => line = seen,
                _ => return Err(BadChunk),
            }
        }
        if buffer.len() > self.extra {
            return Err(BadChunk);
        }
        self.state = State::Trailers { line, seen: buffer.len() };
        Ok(None)
    }
}

/// Eight gigabytes of gigabytes do not come.
const SIZE_DIGITS_MAX: u8 = 15;
const EXTRA_BYTES_MAX: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// The content and the names of the trailers of `text`, cut at `cut`; `None` if it has no end.
    fn read(text: &[u8], cut: usize) -> Result<Option<(Vec<u8>, usize)>, BadChunk> {
        let (mut chunks, mut buffer, mut content) = (Chunks::new(), BytesMut::new(), Vec::new());
        let (one, other) = text.split_at(cut);
        for bytes in [one, other] {
            buffer.extend_from_slice(bytes);
            while let Some(part) = chunks.next(&mut buffer)? {
                match part {
                    Part::Data(data) => content.extend(data),
                    Part::End(trailers) => return Ok(Some((content, trailers.len()))),
                }
            }
        }
        Ok(None)
    }

    #[test]
    fn chunks_are_read_wherever_the_bytes_are_cut() {
        let cases: [(&[u8], _); 5] = [
            (b"5\r\nhello\r\n0\r\n\r\n", (&b"hello"[..], 0)),
            (b"0005;secret=1\r\nhello\r\n6 ; x\r\n world\r\n0;x\r\n\r\n", (b"hello world", 0)),
            (b"A\r\n0123456789\r\n00\r\nX-A: 1\r\nX-B: 2\r\n\r\n", (b"0123456789", 2)),
            (b"0\r\n\r\n", (b"", 0)),
            (b"2\r\n\r\n\r\n0\r\n\r\nbehind", (b"\r\n", 0)),
        ];
        for (text, (content, trailers)) in cases {
            for cut in 0..text.len() {
                let expected = Ok(Some((content.to_vec(), trailers)));
                assert_eq!(read(text, cut), expected, "{} cut at {cut}", text.escape_ascii());
            }
        }
    }

    #[test]
    fn what_is_almost_chunks_is_refused_wherever_it_is_cut() {
        let cases: [&[u8]; 16] = [
            b"fffffffffffffffff\r\n",
            b"0x5\r\nhello\r\n",
            b"+5\r\nhello\r\n",
            b"-5\r\nhello\r\n",
            b" 5\r\nhello\r\n",
            b"5 \r\nhello\r\n",
            b"\r\nhello\r\n",
            b";x\r\nhello\r\n",
            b"5\nhello\r\n",
            b"5;a\nb\r\nhello\r\n",
            b"5;a\rb\r\nhello\r\n",
            b"5;\0\r\nhello\r\n",
            b"5\r\nhelloX\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"0\r\nX-A : 1\r\n\r\n",
            b"0\r\nX-A: 1\n\r\n",
        ];
        for text in cases {
            for cut in 0..text.len() {
                assert_eq!(read(text, cut), Err(BadChunk), "{} at {cut}", text.escape_ascii());
            }
        }
    }

    #[test]
    fn no_byte_of_trailers_is_looked_at_twice() {
        let (mut chunks, mut buffer) = (Chunks::new(), BytesMut::from(&b"0\r\n"[..]));
        for byte in b"X-A: 1\r\nX-B: 2" {
            assert!(chunks.next(&mut buffer).unwrap().is_none());
            buffer.extend_from_slice(&[*byte]);
        }
        assert!(chunks.next(&mut buffer).unwrap().is_none());
        assert_eq!(chunks.state, State::Trailers { line: 8, seen: buffer.len() });
    }

    #[test]
    fn there_are_only_so_many_bytes_that_are_not_content() {
        let extension = [b"1;", &[b'x'; EXTRA_BYTES_MAX][..], b"\r\na\r\n0\r\n\r\n"].concat();
        assert_eq!(read(&extension, 0), Err(BadChunk));
        let many = [b"1;xxxxxxxxxxx\r\na\r\n".repeat(EXTRA_BYTES_MAX / 10), b"0\r\n\r\n".into()];
        assert_eq!(read(&many.concat(), 0), Err(BadChunk));
        let trailers = [b"0\r\n".to_vec(), b"x: yyyy\r\n".repeat(EXTRA_BYTES_MAX / 8)].concat();
        assert_eq!(read(&trailers, 0), Err(BadChunk));
    }
}
