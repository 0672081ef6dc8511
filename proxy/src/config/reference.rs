//! What a value may refer to: `${VARIABLE}`, `${VARIABLE:-default}` and `file:/path`.
//!
//! Owns the expansion, which is a pure function of the text and of what surrounds the process.
//! References never nest: what comes out of a variable is not read again. Refuses to know which
//! key it works for; that secrets alone may come from files is decided in `text`.

use std::borrow::Cow;
use std::num::NonZeroUsize;
use std::path::Path;

use super::load;

/// What the configuration depends on besides its text; an argument, so that tests replace it.
pub(super) struct Surroundings<'a> {
    /// The folder that relative paths are relative to: that of the configuration file.
    pub(super) folder: &'a Path,
    /// The environment.
    pub(super) variable: &'a dyn Fn(&str) -> Option<String>,
    /// The processors that this process may use.
    pub(super) processors: NonZeroUsize,
    /// How many files this process may have open.
    pub(super) open_files: u64,
}

impl<'a> Surroundings<'a> {
    /// Those of this process.
    pub(super) fn of_process(folder: &'a Path) -> Self {
        Self {
            folder,
            variable: &|name| std::env::var(name).ok(),
            // Counts the CPU quota of the container and the affinity mask as well.
            processors: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            open_files: load::open_files(),
        }
    }
}

/// Why a reference could not be followed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ReferenceError {
    /// `${` with something else than a name behind it.
    #[error("`${{` must be followed by the name of an environment variable")]
    BadName,
    /// `${` without `}`.
    #[error("`${{` without `}}`")]
    Unclosed,
    /// More than a value can be.
    #[error("the text is too long with its variables expanded: at most {EXPANDED_BYTES_MAX} bytes")]
    TooLong,
    /// The variable is not there, and there is no default.
    #[error("the environment variable `{0}` is not set")]
    Unset(String),
}

/// Replaces every `${VARIABLE}`; `$${` stands for `${` itself.
pub(super) fn expand<'a>(
    text: &'a str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Cow<'a, str>, ReferenceError> {
    if !text.contains("${") {
        return Ok(Cow::Borrowed(text));
    }
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            expanded.push_str(before);
            expanded.push_str("${");
            rest = behind;
            continue;
        }
        expanded.push_str(before);
        let (inside, behind) = behind.split_once('}').ok_or(ReferenceError::Unclosed)?;
        expanded.push_str(&value_of(inside, variable)?);
        rest = behind;
        if expanded.len() > EXPANDED_BYTES_MAX {
            return Err(ReferenceError::TooLong);
        }
    }
    expanded.push_str(rest);
    Ok(Cow::Owned(expanded))
}

/// What stands between the braces; as in a shell, an empty variable takes the default as well.
fn value_of(
    inside: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<String, ReferenceError> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let letter = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if name.is_empty() || !name.bytes().all(letter) {
        return Err(ReferenceError::BadName);
    }
    match (variable(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(ReferenceError::Unset(name.to_owned())),
    }
}

/// Longer than every path, name and token.
const EXPANDED_BYTES_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn environment(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("example.com".to_owned()),
            "EMPTY" => Some(String::new()),
            "NESTED" => Some("${HOST}".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn variables_are_replaced() {
        let expanded = |text| expand(text, &environment).map(Cow::into_owned);
        let ok = |text: &str| Ok(text.to_owned());
        assert_eq!(expanded("plain $HOST {HOST}"), ok("plain $HOST {HOST}"));
        assert_eq!(expanded("a.${HOST}:80"), ok("a.example.com:80"));
        assert_eq!(expanded("${HOST}${HOST}"), ok("example.comexample.com"));
        assert_eq!(expanded("${EMPTY}"), ok(""));
        assert_eq!(expanded("${EMPTY:-x}"), ok("x"));
        assert_eq!(expanded("${NONE:-x:-y}"), ok("x:-y"));
        assert_eq!(expanded("${NONE:-}"), ok(""));
        assert_eq!(expanded("${NESTED}"), ok("${HOST}"));
        assert_eq!(expanded("$${HOST}"), ok("${HOST}"));
        assert_eq!(expanded("${NONE}"), Err(ReferenceError::Unset("NONE".to_owned())));
        assert_eq!(expanded("${HOST"), Err(ReferenceError::Unclosed));
        assert_eq!(expanded("${}"), Err(ReferenceError::BadName));
        assert_eq!(expanded("${A B}"), Err(ReferenceError::BadName));
        assert_eq!(expanded(&"${HOST}".repeat(10_000)), Err(ReferenceError::TooLong));
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in r"([$]|[{]|[}]|:-|HOST|µ|\PC)*") {
            let _ = expand(&text, &environment);
        }
    }
}
