//! The words of a line: what a client may have written, addresses, times.
//!
//! Owns that a line stays a line: whatever is not visible ASCII is escaped, and what is longer than
//! 256 bytes is cut. Refuses to know what a line is about. Read next: `entry`, `connection`.

use std::io::Write as _;
use std::time::{Duration, SystemTime};

use crate::calendar::Moment;
use crate::net::{ClientAddr, EndpointAddr};

/// The begin of a line of text: the moment, and the client if it is known.
pub(super) fn begin_text(line: &mut Vec<u8>, now: SystemTime, client: Option<ClientAddr>) {
    put(line, format_args!("{} ", Moment(now)));
    match client {
        Some(client) => put(line, format_args!("{}", Client(client))),
        None => line.push(b'-'),
    }
}

/// The same of JSON.
pub(super) fn begin_object(line: &mut Vec<u8>, now: SystemTime, client: Option<ClientAddr>) {
    put(line, format_args!("{{\"timestamp\":\"{}\",\"client\":", Moment(now)));
    match client {
        Some(client) => put(line, format_args!("\"{}\"", Client(client))),
        None => line.extend_from_slice(b"null"),
    }
}

/// An endpoint in text.
pub(super) fn put_endpoint(line: &mut Vec<u8>, endpoint: Option<&EndpointAddr>) {
    match endpoint {
        Some(EndpointAddr::Tcp(addr)) => put(line, format_args!("{addr}")),
        Some(EndpointAddr::Unix(path)) => {
            line.extend_from_slice(b"unix:");
            put_word(line, &path.to_string_lossy());
        }
        None => line.push(b'-'),
    }
}

/// An endpoint as a member of JSON.
pub(super) fn put_endpoint_member(line: &mut Vec<u8>, endpoint: Option<&EndpointAddr>) {
    match endpoint {
        Some(EndpointAddr::Tcp(addr)) => put(line, format_args!(",\"endpoint\":\"{addr}\"")),
        Some(unix) => put_member(line, "endpoint", Some(&unix.to_string())),
        None => put_member(line, "endpoint", None),
    }
}

/// A client without the port that its connection has.
struct Client(ClientAddr);

impl std::fmt::Display for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.ip() {
            Some(ip) => ip.fmt(f),
            None => f.write_str("unix"),
        }
    }
}

pub(super) fn put(line: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to memory cannot fail.
    let _ = line.write_fmt(text);
}

/// Milliseconds, to the microsecond.
pub(super) fn put_millis(line: &mut Vec<u8>, time: Duration) {
    put(line, format_args!("{}.{:03}", time.as_millis(), time.subsec_micros() % 1_000));
}

pub(super) fn put_optional(line: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) if !text.is_empty() => put_word(line, text),
        _ => line.push(b'-'),
    }
}

/// What a client may have written: without spaces, quotes and what is not visible.
pub(super) fn put_word(line: &mut Vec<u8>, text: &str) {
    let (text, rest) = cut(text);
    for &byte in text.as_bytes() {
        match byte {
            b'"' | b'\\' => line.extend_from_slice(&[b'\\', byte]),
            byte if byte.is_ascii_graphic() => line.push(byte),
            byte => put(line, format_args!("\\x{byte:02x}")),
        }
    }
    line.extend_from_slice(rest.as_bytes());
}

/// As much of `text` as is written, and what is written for the rest.
fn cut(text: &str) -> (&str, &'static str) {
    match text.get(..text.floor_char_boundary(WORD_BYTES_MAX)) {
        Some(start) if start.len() < text.len() => (start, "..."),
        _ => (text, ""),
    }
}

pub(super) fn put_member(line: &mut Vec<u8>, name: &str, text: Option<&str>) {
    put(line, format_args!(",\"{name}\":"));
    let Some(text) = text else { return line.extend_from_slice(b"null") };
    let (text, rest) = cut(text);
    line.push(b'"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => line.extend_from_slice(&[b'\\', letter as u8]),
            ' '..='~' => line.push(letter as u8),
            letter => {
                let mut units = [0; 2];
                for unit in letter.encode_utf16(&mut units) {
                    put(line, format_args!("\\u{unit:04x}"));
                }
            }
        }
    }
    line.extend_from_slice(rest.as_bytes());
    line.push(b'"');
}

/// What is written of a word; an attacker may send long ones.
const WORD_BYTES_MAX: usize = 256;
