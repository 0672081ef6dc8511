//! `portunus endpoint`: what the operator wants of an endpoint while the process runs.
//!
//! Owns the question and the words for the answer. It holds until the process ends; what is to last
//! longer is written in the configuration. Read next: `ask`.

use std::fmt::Write as _;

use clap::ValueEnum;
use serde_json::Value;

use super::output::count;
use super::{ConfigFile, ask, fail, output};

/// What is wanted.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum Wish {
    /// Nothing new goes there; what is going on finishes
    Drain,
    /// It gets its share again
    Resume,
}

impl Wish {
    fn word(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Resume => "resume",
        }
    }
}

/// Tells the running process, and prints how many addresses it concerns.
pub(super) fn run(wish: Wish, backend: &str, endpoint: &str, file: &ConfigFile) -> u8 {
    let admin = match file.admin() {
        Ok(admin) => admin,
        Err(code) => return code,
    };
    let (word, backend, endpoint) = (wish.word(), encoded(backend), encoded(endpoint));
    let target = format!("/endpoints/{word}?backend={backend}&endpoint={endpoint}");
    match ask::ask(admin.as_ref(), "POST", &target) {
        Ok(answer) => {
            let addresses = answer.get("addresses").and_then(Value::as_u64).unwrap_or_default();
            let addresses = usize::try_from(addresses).unwrap_or(usize::MAX);
            output::print(format!("{word}: {}", count(addresses, "address")))
        }
        Err(error) => fail(&error, error.hint()),
    }
}

/// As a value in a query (RFC 3986 §2.1).
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_a_value_is_encoded() {
        assert_eq!(encoded("unix:/run/a b&c.sock"), "unix:/run/a%20b%26c.sock");
        assert_eq!(encoded("[::1]:80"), "%5B::1%5D:80");
        assert_eq!(encoded("a\r\nb%"), "a%0D%0Ab%25");
    }
}
