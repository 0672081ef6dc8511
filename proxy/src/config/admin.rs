//! `[admin]`: where the process says what it is about, and where others find it.
//!
//! Owns the rules of the section, and [`Sought`], which reads it and nothing else: a process goes
//! on serving when its file has become wrong, and has to be found by those who ask it all the same.
//! Refuses to know what is asked. Read next: `validate`, which reads the whole file.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::error::{Collector, Place, Problem};
use super::listeners::{Taken, admin_addr};
use super::load::{self, LoadError};
use super::reference::Surroundings;
use super::schema::AdminSection;
use super::section::{Reader, Table};
use super::text::Written;
use super::{Admin, Config, suggest};

/// Where a process is asked that has read this file once, whatever it says now.
#[derive(Debug)]
pub struct Sought {
    /// Where; `None` if it does not want to be asked.
    pub admin: Option<Admin>,
    /// Why that is a guess, if it is: the section, or the whole file, cannot be read.
    pub doubt: Option<LoadError>,
}

impl Config {
    /// Looks into `path` for the admin listener alone: what else is wrong there is not told.
    pub fn seek_admin(path: &Path) -> Sought {
        let (text, unread) = match load::read_file(path) {
            Ok(text) => (text, None),
            Err(error) => (String::new(), Some(error.into())),
        };
        let folder = path.parent().unwrap_or(Path::new(""));
        let sought = sought(&text, &path.display().to_string(), folder);
        Sought { doubt: unread.or(sought.doubt), ..sought }
    }
}

fn sought(text: &str, file: &str, folder: &Path) -> Sought {
    let surroundings = Surroundings::of_process(folder);
    let mut reader = Reader {
        errors: Collector::new(file, text),
        surroundings: &surroundings,
        files: Vec::new(),
    };
    let alone;
    let (mut root, faults) = DeTable::parse_recoverable(text);
    if !faults.is_empty() {
        alone = of_section(text);
        let (section, faults) = DeTable::parse_recoverable(&alone);
        for fault in faults {
            let at = fault.span().map(|span| span.start);
            reader.errors.report_syntax(at, fault.message());
        }
        root = section;
    }
    let section = match root.get_ref().get_key_value("admin") {
        Some((key, value)) => match value.get_ref() {
            DeValue::Table(entries) => {
                let place = Place { key: "admin".to_owned(), at: Some(key.span().start) };
                Table::present(place, entries).read(&mut reader)
            }
            _ => Table::absent("admin").read(&mut reader),
        },
        None => {
            for (name, item) in Table::present(Place::default(), root.get_ref()).items() {
                if suggest::nearest(name, ["admin"]).is_some() {
                    let hint = || Some("did you mean `admin`?".to_owned());
                    reader.errors.report(&item.place, Problem::UnknownKey, hint);
                }
            }
            Table::absent("admin").read(&mut reader)
        }
    };
    let admin = admin(&section, &mut Taken::new(), &mut reader);
    let faults = !reader.errors.is_empty();
    let doubt = faults.then(|| reader.errors.finish(reader.files).into());
    Sought { admin, doubt }
}

/// The lines of `[admin]`; in place of the others, which may be anything, there is nothing.
fn of_section(text: &str) -> String {
    let mut section = None;
    let mut kept = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let start = line.trim_start();
        if let Some(name) = start.strip_prefix('[') {
            section = name.split(']').next().map(str::trim);
        }
        let is_meant = section.map_or_else(|| start.starts_with("admin"), |name| name == "admin");
        if is_meant {
            kept.push_str(line);
        } else {
            // As many bytes, so that errors name the right line.
            kept.extend(line.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
        }
    }
    kept
}

/// The admin listener; where its address is wrong, none.
pub(super) fn admin(
    section: &AdminSection,
    taken: &mut Taken,
    reader: &mut Reader<'_>,
) -> Option<Admin> {
    let admin = match section.listen.text.as_str() {
        "off" => None,
        _ => admin_addr(&section.listen, taken, reader)
            .map(|listen| Admin { listen, token: section.token.clone() }),
    };
    check_token(admin.as_ref(), &section.listen, reader);
    admin
}

/// Metrics name every host and endpoint that is served, so they are not for everyone.
fn check_token(admin: Option<&Admin>, written: &Written, reader: &mut Reader<'_>) {
    if let Some(Admin { listen, token: None }) = admin
        && !listen.is_local()
        && !reader.errors.is_blamed("admin.token")
    {
        let hint = || Some("listen on 127.0.0.1 or unix:PATH, or set a token".to_owned());
        reader.errors.report(&written.place, Problem::TokenMissing, hint);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where is asked, with which token, and how many errors there are.
    fn asked(text: &str) -> (Option<String>, bool, bool) {
        let Sought { admin, doubt } = sought(text, "config.toml", Path::new("/etc/portunus"));
        let token = admin.as_ref().is_some_and(|admin| admin.token.is_some());
        (admin.map(|admin| admin.listen.to_string()), token, doubt.is_some())
    }

    #[test]
    fn the_admin_listener_is_found_whatever_is_wrong_elsewhere() {
        let admin = "[admin]\nlisten = '127.0.0.1:9999' # here\ntoken = '0123456789-secret-here'\n";
        for wrong in [
            "[server]\ndrain_dealy = '5s'\n",
            "[server]\ndrain_delay = '5s\n",
            "[server\ndrain_delay = '5s'\n",
            "[server]\n<<<<<<< HEAD\n",
            "[certificates]\npaths = ['a', 'b'\n",
            "[server]\nuser = '''\n",
            "[listener.a]\nlisten = [\n]]\n[backend\n",
            "[server]\nserver = \"\u{e9}\u{e9}\n",
        ] {
            for text in [format!("{wrong}{admin}"), format!("{admin}{wrong}")] {
                let found = (Some("127.0.0.1:9999".to_owned()), true, false);
                assert_eq!(asked(&text), found, "{text}");
            }
        }
        let dotted = "admin.listen = 'unix:a.sock'\n[server]\nuser = 'x\n";
        assert_eq!(asked(dotted).0.unwrap(), "unix:/etc/portunus/a.sock");
        assert_eq!(asked("admin.listen = 'off'\n[server]\nx =\n"), (None, false, false));
        assert_eq!(asked("[server]\nx =\n"), (Some("127.0.0.1:9090".to_owned()), false, false));
    }

    #[test]
    fn what_is_wrong_in_the_section_itself_is_told() {
        for text in [
            "[admin]\nlisten = 'of'\n",
            "[admin]\nlisten = 127.0.0.1:9999\n",
            "[admn]\nlisten = '127.0.0.1:9999'\n",
            "[admin]\nlisen = '127.0.0.1:9999'\n",
            "[admin]\ntoken = 'file:/nowhere/token'\n",
            "[server]\nx =\n[admin]\nlisten = 'of'\n",
            "[server]\nx =\n[admin]\nlisten = '127.0.0.1:9999\n",
        ] {
            assert!(asked(text).2, "{text}");
        }
        let doubt = Config::seek_admin(Path::new("/nowhere/config.toml")).doubt.unwrap();
        assert_eq!(doubt.to_string(), "cannot read `/nowhere/config.toml`");
        let doubt = sought("[server]\nx =\n[admin]\nlisten = 'of'\n", "c", Path::new("")).doubt;
        assert!(doubt.unwrap().to_string().starts_with("c:4: admin.listen: "));
    }
}
