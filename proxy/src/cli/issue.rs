//! `portunus issue`: a certificate for development.

use std::io;
use std::path::Path;

use portunus_certs::issue::{DevelopmentCa, IssueError};
use rustls::pki_types::UnixTime;

use super::{DONE, USAGE, fail, name, output};

/// Issues one certificate for all `names` into `out`, and prints the files.
pub(super) fn run(names: &[String], out: &Path) -> u8 {
    // Before anything is made: a slip of the finger leaves no authority behind.
    if let Err(error) = names.iter().try_for_each(|name| name::check(name)) {
        fail(&error, Some("a name is like `localhost`, `*.dev.example` or `127.0.0.1`"));
        return USAGE;
    }
    match issue(names, out) {
        Ok(files) => {
            let code = output::print(files);
            if code == DONE {
                output::say(TRUST);
            }
            code
        }
        Err(error) => fail(&error, hint(&error)),
    }
}

/// The files, a line each.
fn issue(names: &[String], out: &Path) -> Result<String, IssueError> {
    let now = UnixTime::now();
    let authority = out.join("ca");
    let ca = DevelopmentCa::load_or_create(&authority, now)?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let issued = ca.issue(&names, now)?;
    let (chain, key) = issued.write(out, &stem(&names))?;
    let files = [chain, key, authority.join("ca.pem")];
    Ok(files.map(|file| file.display().to_string()).join("\n"))
}

/// The first name, without what shells and other systems read as something else.
fn stem(names: &[&str]) -> String {
    names.first().map_or("certificate", |name| name).replace(['*', ':'], "_")
}

fn hint(error: &IssueError) -> Option<&'static str> {
    match error {
        IssueError::File { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            Some("name a folder that you can write to with `--out DIR`")
        }
        _ => None,
    }
}

const TRUST: &str =
    "For development only. Clients must be told to trust the authority, the last file.";
