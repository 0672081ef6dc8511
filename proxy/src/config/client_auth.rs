//! What is asked of clients: the files, and which of the keys go together.
//!
//! Owns the settings of client authentication, each distinct one once, so that sites with equal
//! settings share what is made of them: the files are read once, and a connection to one of these
//! sites is good for the others. Refuses to know what is in the files. Read next: `config`, the
//! result.

use std::path::PathBuf;

use super::error::Problem;
use super::list::Entry;
use super::schema::ClientAuthSection;
use super::section::Reader;
use super::text::Written;
use super::{ClientAuth, ClientCertForward, ClientResumption, Mode, ResumptionMode};

/// What a listener says that its sites must fit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surrounding {
    pub(super) mode: Mode,
    pub(super) resumption: ResumptionMode,
}

/// The place among `known` of what was written for a site of a listener; none if nothing was, or
/// if it is wrong.
pub(super) fn client_auth(
    entry: Option<&Entry<ClientAuthSection>>,
    listener: Surrounding,
    known: &mut Vec<ClientAuth>,
    reader: &mut Reader<'_>,
) -> Option<usize> {
    let entry = entry?;
    let section = &entry.section;
    let crls = files(section.crl.as_deref().unwrap_or_default(), reader);
    check_crl_depth(section, reader);
    check_forward(section, listener.mode, reader);
    check_resumption(section, listener.resumption, reader);
    let auth = ClientAuth {
        demand: section.mode,
        ca: section.ca.as_ref()?.path(reader)?,
        crls,
        crl_depth: section.crl_depth.value,
        forward: section.forward.value,
        resumption: section.resumption.value,
    };
    let found = known.iter().position(|other| *other == auth);
    Some(found.unwrap_or_else(|| {
        known.push(auth);
        known.len() - 1
    }))
}

/// Files, each of which stands once.
pub(super) fn files(written: &[Written], reader: &mut Reader<'_>) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for written in written {
        let Some(path) = written.path(reader) else { continue };
        if paths.contains(&path) {
            let problem = Problem::Duplicate(written.quote());
            reader.errors.report(&written.place, problem, || None);
        }
        paths.push(path);
    }
    paths
}

/// Who says how far revocation is checked believes that it is.
fn check_crl_depth(section: &ClientAuthSection, reader: &mut Reader<'_>) {
    if let (Some(place), None) = (&section.crl_depth.place, &section.crl)
        && !reader.errors.is_blamed(&sibling(&place.key, "crl"))
    {
        let hint = || Some("add `crl = [\"FILE\"]`, or leave it out".to_owned());
        reader.errors.report(place, Problem::CrlDepth, hint);
    }
}

fn check_forward(section: &ClientAuthSection, mode: Mode, reader: &mut Reader<'_>) {
    if let (Some(place), ClientCertForward::Leaf | ClientCertForward::Chain, Mode::Tcp) =
        (&section.forward.place, section.forward.value, mode)
    {
        let hint = || Some("leave it out; `proxy_tlvs` of a backend can tell of it".to_owned());
        reader.errors.report(place, Problem::ForwardOfBytes, hint);
    }
}

fn check_resumption(section: &ClientAuthSection, mode: ResumptionMode, reader: &mut Reader<'_>) {
    if let (Some(place), ClientResumption::Revalidate, ResumptionMode::Off) =
        (&section.resumption.place, section.resumption.value, mode)
    {
        let hint = || Some("leave it out, or set `resumption` for the listener".to_owned());
        reader.errors.report(place, Problem::Revalidate, hint);
    }
}

/// The path of the key `name` in the section that `key` is in.
fn sibling(key: &str, name: &str) -> String {
    let section = key.rsplit_once('.').map_or("", |(section, _)| section);
    format!("{section}.{name}")
}
