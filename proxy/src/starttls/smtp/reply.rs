//! Replies of SMTP, of one line or of several (RFC 5321 §4.2.1).
//!
//! Owns their shape. Refuses to know what a code means.

use crate::starttls::line::Lines;

/// Reads what a backend answers to one command.
#[derive(Debug, Default)]
pub struct AnswerReader {
    lines: Lines,
    replies: Replies,
    answer: Vec<u8>,
}

impl AnswerReader {
    /// Takes all of `bytes`, which are what the backend says next, and returns the answer once it
    /// is whole. Nothing may stand behind it.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Option<Vec<u8>>, NotAReply> {
        self.lines.push(bytes);
        while let Some(line) = self.lines.take().map_err(|_| NotAReply)? {
            self.answer.extend_from_slice(line);
            if self.replies.line(line)?.is_some() {
                let is_all = self.lines.rest().is_empty();
                return if is_all {
                    Ok(Some(std::mem::take(&mut self.answer)))
                } else {
                    Err(NotAReply)
                };
            }
        }
        Ok(None)
    }
}

/// Puts lines together to replies.
#[derive(Debug, Default)]
pub(super) struct Replies {
    /// The lines of the reply so far, without code and end.
    words: Vec<String>,
    code: Option<u16>,
}

/// A whole reply.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct WholeReply {
    /// From 200 to 599.
    pub(super) code: u16,
    /// The text of each line.
    pub(super) words: Vec<String>,
}

/// This is no reply of SMTP, or it has more lines than 64, or something stands behind it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a reply of SMTP")]
pub struct NotAReply;

impl Replies {
    /// Takes a line, with or without its end.
    pub(super) fn line(&mut self, line: &[u8]) -> Result<Option<WholeReply>, NotAReply> {
        let line = std::str::from_utf8(line).map_err(|_| NotAReply)?.trim_end_matches(['\r', '\n']);
        let digits = line.get(..3).ok_or(NotAReply)?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NotAReply);
        }
        let code = digits.parse().ok().filter(|code| (200..600).contains(code)).ok_or(NotAReply)?;
        if self.code.is_some_and(|first| first != code) || self.words.len() == LINES_MAX {
            return Err(NotAReply);
        }
        self.words.push(words(line).to_owned());
        match line.as_bytes().get(3) {
            Some(b'-') => {
                self.code = Some(code);
                Ok(None)
            }
            Some(b' ') | None => {
                self.code = None;
                Ok(Some(WholeReply { code, words: std::mem::take(&mut self.words) }))
            }
            Some(_) => Err(NotAReply),
        }
    }
}

/// A line of a reply without its code.
pub(super) fn words(line: &str) -> &str {
    line.get(4..).unwrap_or_default()
}

/// Lines of a reply.
const LINES_MAX: usize = 64;
