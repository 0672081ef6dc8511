//! The files of the development authority.
//!
//! Owns how they are read and replaced, and the rule by which one that is there already may be:
//! only what this authority made itself is worth nothing to anybody else, since it can be made
//! again. Everything else may be somebody's only copy. Does not know what is in the certificates
//! that it writes; that is [`super`].

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use rustls::crypto::aws_lc_rs;
use x509_parser::extensions::ParsedExtension;
use zeroize::Zeroizing;

use super::IssueError;
use crate::load::{self, LoadError, Parsed};

#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Access {
    OwnerOnly,
    Everybody,
}

/// The text of a file; `None` if there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<Zeroizing<String>>, IssueError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(Zeroizing::new(text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(IssueError::File { path: path.to_path_buf(), source }),
    }
}

/// Whether the key is the one of the certificate's public key.
pub(super) fn belong(certificate_pem: &str, key_pem: &str) -> bool {
    let (Some(certificate), Some(key)) = (parse(certificate_pem), parse(key_pem)) else {
        return false;
    };
    let leaf = certificate.chains.first().map(|chain| &chain.leaf.public_key);
    leaf.is_some() && leaf == key.keys.first().map(|key| &key.public_key)
}

/// Refuses a chain file that was not issued by the authority that issued `chain_pem`, and a key
/// file that does not hold the key of that chain alone.
pub(super) fn check_ours(chain_pem: &str, chain: &Path, key: &Path) -> Result<(), IssueError> {
    let foreign = |path: &Path| IssueError::Foreign { path: path.to_path_buf() };
    let own = parse(chain_pem).as_ref().and_then(issued_by);
    let mut public_key = None;
    if let Some(held) = existing(chain)? {
        let ours = issued_by(&held).is_some_and(|issuer| Some(issuer) == own);
        if !ours || !held.keys.is_empty() {
            return Err(foreign(chain));
        }
        public_key = held.chains.into_iter().next().map(|chain| chain.leaf.public_key);
    }
    match existing(key)? {
        Some(Parsed { chains, keys, .. }) => match keys.as_slice() {
            [held] if chains.is_empty() && Some(&held.public_key) == public_key.as_ref() => Ok(()),
            _ => Err(foreign(key)),
        },
        None => Ok(()),
    }
}

/// What a file holds; `None` if there is no file. One that cannot be understood is not ours.
fn existing(path: &Path) -> Result<Option<Parsed>, IssueError> {
    let contents = match load::read(path, load::FILE_BYTES_MAX) {
        Ok(contents) => contents,
        Err(LoadError::Missing | LoadError::Dangling { .. }) => return Ok(None),
        Err(LoadError::Io(error)) => {
            let source = io::Error::new(error.kind(), error);
            return Err(IssueError::File { path: path.to_path_buf(), source });
        }
        Err(_) => return Err(IssueError::Foreign { path: path.to_path_buf() }),
    };
    match load::parse(&contents.bytes, &aws_lc_rs::default_provider()) {
        Ok(parsed) => Ok(Some(parsed)),
        Err(_) => Err(IssueError::Foreign { path: path.to_path_buf() }),
    }
}

fn parse(pem: &str) -> Option<Parsed> {
    load::parse(pem.as_bytes(), &aws_lc_rs::default_provider()).ok()
}

/// Name and key identifier of the issuer of the one leaf that the file holds. The name alone has
/// few digits of the key, and authorities have been renamed; an authority itself is no leaf.
fn issued_by(file: &Parsed) -> Option<(Vec<u8>, Vec<u8>)> {
    let [chain] = file.chains.as_slice() else {
        return None;
    };
    let (_, leaf) = x509_parser::parse_x509_certificate(chain.certificates.first()?).ok()?;
    let key =
        leaf.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(identifier) => {
                identifier.key_identifier.as_ref()
            }
            _ => None,
        })?;
    (!leaf.is_ca()).then(|| (leaf.issuer().as_raw().to_vec(), key.0.to_vec()))
}

pub(super) fn create_folder(dir: &Path) -> Result<(), IssueError> {
    fs::create_dir_all(dir).map_err(|source| IssueError::File { path: dir.to_path_buf(), source })
}

/// Replaces a file in one step: nobody ever sees half of it, or a key with the wrong mode.
pub(super) fn replace(path: &Path, text: &str, access: Access) -> Result<(), IssueError> {
    let wrap = |source| IssueError::File { path: path.to_path_buf(), source };
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}", std::process::id()));
    let aside = path.with_file_name(name);
    // What a run before us left behind may have another mode.
    match fs::remove_file(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(wrap(error)),
        _ => {}
    }
    let write = || {
        let mut file = create(&aside, access)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&aside, path)
    };
    write().map_err(|source| {
        let _ = fs::remove_file(&aside);
        wrap(source)
    })
}

fn create(path: &Path, access: Access) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(if access == Access::OwnerOnly { 0o600 } else { 0o644 });
    }
    #[cfg(not(unix))]
    let _ = access;
    options.open(path)
}
