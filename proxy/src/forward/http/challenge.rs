//! Challenges of certificate authorities, which come in the clear (RFC 8555 §8.3).
//!
//! Owns the answer: a small file of a folder, whose name is a token and thus never a path. Another
//! program puts it there. Refuses to know who asks, and for which host.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode};

use super::page::Reply;
use crate::forward::header::Refusal;
use crate::route::CHALLENGES;

/// A challenge, and where its answer would be.
#[derive(Debug)]
pub(super) struct Challenge {
    file: PathBuf,
}

impl Challenge {
    /// The challenge at `path`, with answers in `folder`.
    pub(super) fn new(folder: &Path, path: &str, method: &Method) -> Result<Self, Refusal> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Err(METHOD);
        }
        let token = path.strip_prefix(CHALLENGES).filter(|token| is_token(token));
        Ok(Self { file: folder.join(token.ok_or(UNKNOWN)?) })
    }

    /// The answer. The folder may be on a disk that takes its time, so a worker does not wait.
    pub(super) async fn answer(self) -> Reply {
        let read = tokio::task::spawn_blocking(move || read(&self.file)).await;
        match read.map_err(io::Error::other).flatten() {
            Ok(body) => Reply::Respond { status: StatusCode::OK, body, content_type: TYPE },
            Err(error) => {
                tracing::debug!(%error, "no answer to a challenge");
                Reply::Refusal(UNKNOWN)
            }
        }
    }
}

/// Of the characters of base64url, which neither leave a folder nor hide in it.
fn is_token(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=TOKEN_BYTES_MAX).contains(&text.len()) && text.bytes().all(letter)
}

fn read(path: &Path) -> io::Result<Bytes> {
    // A pipe would be waited for, and a device never end.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut bytes = Vec::new();
    // One byte more than is allowed tells that there are more.
    File::open(path)?.take(ANSWER_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > ANSWER_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes.into())
}

const TYPE: HeaderValue = HeaderValue::from_static("application/octet-stream");
const UNKNOWN: Refusal = Refusal::ours(StatusCode::NOT_FOUND, "There is no such challenge here.");
const METHOD: Refusal = Refusal::not_allowed("GET, HEAD", "A challenge is asked for with GET.");

/// Tokens have 22 characters or more, and none of the authorities makes them much longer.
const TOKEN_BYTES_MAX: usize = 128;

/// A token, a dot and a digest.
const ANSWER_BYTES_MAX: u64 = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_never_a_path() {
        let folder = Path::new("/folder");
        let file = |token: &str| {
            let path = format!("{CHALLENGES}{token}");
            Challenge::new(folder, &path, &Method::GET).map(|challenge| challenge.file).ok()
        };
        assert_eq!(file("aB3-_x"), Some("/folder/aB3-_x".into()));
        let long = "x".repeat(TOKEN_BYTES_MAX + 1);
        let bad =
            ["", ".", "..", "../x", "a/b", "a.b", "%2e%2e", "a%2fb", "a\\b", "a b", "ä", &long];
        for token in bad {
            assert_eq!(file(token), None, "{token}");
        }
    }

    #[test]
    fn a_challenge_can_only_be_asked_for() {
        let path = format!("{CHALLENGES}token");
        let ask = |method| Challenge::new(Path::new("/folder"), &path, &method);
        assert!(ask(Method::GET).is_ok() && ask(Method::HEAD).is_ok());
        let Err(refusal) = ask(Method::POST) else { panic!("it is not refused") };
        let answer = Reply::Refusal(refusal).response(HeaderValue::from_static("id"));
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.headers()["allow"], "GET, HEAD");
    }

    #[tokio::test]
    async fn only_small_files_are_answers() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("good"), "good.digest").unwrap();
        std::fs::write(folder.path().join("long"), vec![b'x'; 4_097]).unwrap();
        std::fs::create_dir(folder.path().join("folder")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", folder.path().join("device")).unwrap();
        let answer = async |token: &str| {
            let path = format!("{CHALLENGES}{token}");
            match Challenge::new(folder.path(), &path, &Method::GET).unwrap().answer().await {
                Reply::Respond { body, .. } => Some(body),
                Reply::Refusal(refusal) => {
                    assert_eq!(refusal.status, StatusCode::NOT_FOUND);
                    None
                }
                Reply::Redirect { .. } => unreachable!(),
            }
        };
        assert_eq!(answer("good").await, Some(Bytes::from_static(b"good.digest")));
        for bad in ["long", "folder", "device", "missing"] {
            assert_eq!(answer(bad).await, None, "{bad}");
        }
    }
}
