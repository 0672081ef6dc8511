//! Which files the process needs, as folders and files that can be permitted.
//!
//! Owns the step from paths in the configuration to places on disk. A rule for a path is one for
//! what lies there now: a file that is replaced by renaming would be lost, so its folder is
//! permitted; a link leads elsewhere, so what it leads to is permitted with the folders around it
//! (`live/name/cert.pem` of certbot leads to `archive/name/cert7.pem`, and the next name will have
//! a folder of its own there). What is one of the first folders of the machine is never permitted
//! on the way. Refuses to know the kernel. Read next: `files`.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

/// What may be read, and what may be written.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Places {
    pub(super) read: BTreeSet<PathBuf>,
    write: BTreeSet<PathBuf>,
}

impl Places {
    /// What every process reads: names and addresses, authorities, itself.
    pub fn of_system() -> Self {
        let mut places = Self::default();
        places.read.extend(SYSTEM.iter().map(PathBuf::from));
        // The names of the functions that a panic came by are in the program itself.
        places.read.extend(std::env::current_exe());
        NAMES.iter().for_each(|name| places.follows(Path::new(name)));
        for variable in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
            // The second may hold several.
            let paths = std::env::var_os(variable).unwrap_or_default();
            std::env::split_paths(&paths).filter(|path| path.is_absolute()).for_each(|path| {
                places.reads(&path);
            });
        }
        places
    }

    /// `path` is read: a file or a folder, now or when it comes to be.
    pub fn reads(&mut self, path: &Path) {
        let Some(real) = existing(path).filter(|real| is_ordinary(real)) else { return };
        if !real.is_dir() {
            // It may be replaced, where its name is and where that leads to.
            self.permit_folder_of(path);
            self.permit_around(path, &real);
            return;
        }
        self.permit_replacement(&real);
        let entries = std::fs::read_dir(&real).into_iter().flatten().flatten();
        for entry in entries.take(ENTRIES_MAX) {
            let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            if is_link && let Ok(target) = std::fs::canonicalize(entry.path()) {
                self.permit_around(&entry.path(), &target);
            }
        }
        self.read.insert(real);
    }

    /// What the name `path` leads to is read, as it is laid out on this machine: a file with those
    /// beside it, as it is replaced, or a folder with what its links lead to.
    fn follows(&mut self, path: &Path) {
        let Ok(real) = std::fs::canonicalize(path) else { return };
        if !real.is_dir() {
            let folder = real.parent().filter(|folder| is_own(folder));
            self.read.insert(folder.unwrap_or(&real).to_owned());
            return;
        }
        let entries = std::fs::read_dir(&real).into_iter().flatten().flatten();
        let links = entries
            .take(ENTRIES_MAX)
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink()))
            .filter_map(|link| std::fs::canonicalize(link.path()).ok());
        self.read.extend(links.filter(|target| target.is_file()));
        if is_own(&real) {
            self.read.insert(real);
        }
    }

    /// The file `path` is written, and others beside it with the same purpose; it alone, if it is
    /// in a folder that all share. What is not there cannot be permitted, nor what is above it.
    pub fn writes_file(&mut self, path: &Path) {
        let folder = path.parent().and_then(there);
        let file = there(path).filter(|real| real.is_absolute() && !real.is_dir());
        self.write.extend(folder.filter(|folder| is_own(folder)).or(file));
    }

    /// The folder `path` is written.
    pub fn writes_folder(&mut self, path: &Path) {
        self.write.extend(there(path).filter(|folder| is_own(folder)));
    }

    /// What may be read, without what lies below another one of these.
    pub fn readable(&self) -> Vec<&Path> {
        topmost(&self.read)
    }

    /// What may be read and written.
    pub fn writable(&self) -> Vec<&Path> {
        topmost(&self.write)
    }

    /// Whether `path`, or what it leads to, may be read.
    pub fn permits_reading(&self, path: &Path) -> bool {
        let real = existing(path).unwrap_or_else(|| path.to_owned());
        self.read.iter().chain(&self.write).any(|place| real.starts_with(place))
    }

    /// Whether files may be made in `folder`, or in what it leads to.
    pub fn permits_writing(&self, folder: &Path) -> bool {
        let real = existing(folder).unwrap_or_else(|| folder.to_owned());
        self.write.iter().any(|place| real.starts_with(place))
    }

    /// The folder in which the name `path` stands.
    fn permit_folder_of(&mut self, path: &Path) {
        if let Some(folder) = path.parent().and_then(existing).filter(|one| is_ordinary(one)) {
            self.read.insert(folder);
        }
    }

    /// What the name `path` leads to, and the folders in which its successors will lie.
    fn permit_around(&mut self, path: &Path, real: &Path) {
        let Some(folder) = real.parent() else { return };
        self.read.insert(if is_ordinary(folder) { folder } else { real }.to_owned());
        let leads_elsewhere = path.parent().and_then(existing).is_some_and(|own| own != folder);
        if leads_elsewhere {
            self.permit_replacement(folder);
        }
    }

    /// Where a folder that takes the place of `folder` would be found.
    fn permit_replacement(&mut self, folder: &Path) {
        if let Some(above) = folder.parent().filter(|above| depth(above) >= DEPTH_MIN) {
            self.read.insert(above.to_owned());
        }
    }
}

/// What `path` leads to; where there is nothing yet, the nearest folder above it that is there.
fn existing(path: &Path) -> Option<PathBuf> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    if let Ok(real) = std::fs::canonicalize(path) {
        return Some(real);
    }
    let path = std::path::absolute(path).ok()?;
    let above = path.ancestors().skip(1).find_map(|above| std::fs::canonicalize(above).ok())?;
    is_ordinary(&above).then_some(above)
}

/// What `path` leads to, if there is anything.
fn there(path: &Path) -> Option<PathBuf> {
    std::fs::canonicalize(if path.as_os_str().is_empty() { Path::new(".") } else { path }).ok()
}

/// Whether `path` lies directly in a folder that many programs have something in, which is never
/// permitted because of one of them.
pub fn lies_among_others(path: &Path) -> bool {
    path.parent().and_then(there).is_some_and(|folder| is_shared(&folder))
}

fn is_shared(folder: &Path) -> bool {
    SHARED.iter().any(|shared| folder == Path::new(shared))
}

/// Whether a folder may be permitted as a whole, to write in it.
fn is_own(folder: &Path) -> bool {
    is_ordinary(folder) && !is_shared(folder)
}

/// Whether a folder may be permitted because of what lies in it.
fn is_ordinary(folder: &Path) -> bool {
    depth(folder) >= 1 && !SPECIAL.iter().any(|special| folder == Path::new(special))
}

fn depth(path: &Path) -> usize {
    path.components().filter(|part| matches!(part, Component::Normal(_))).count()
}

/// A set of paths sorts what lies below a folder right behind it.
fn topmost(places: &BTreeSet<PathBuf>) -> Vec<&Path> {
    let mut topmost: Vec<&Path> = Vec::new();
    for place in places {
        if !topmost.iter().any(|above| place.starts_with(above)) {
            topmost.push(place);
        }
    }
    topmost
}

/// Whole folders, since these files are replaced while the process runs, some on every change of a
/// network. What only root may read in them is kept from everybody else by its mode. Of /proc, the
/// kernel shows nothing that matters of a process outside of ours. /usr/lib has what the system's
/// resolver is extended by.
const SYSTEM: &[&str] = &[
    "/dev/null",
    "/dev/random",
    "/dev/urandom",
    "/etc",
    "/gnu/store",
    "/lib",
    "/lib64",
    "/nix/store",
    "/proc",
    "/run/NetworkManager",
    "/run/connman",
    "/run/netconfig",
    "/run/resolvconf",
    "/run/systemd/resolve",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/share/ca-certificates",
    "/usr/share/ca-certificates",
    "/var/lib/ca-certificates",
];

/// Names that lead out of these folders on some machines: what the resolver reads, and authorities.
const NAMES: &[&str] = &[
    "/etc/gai.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/resolv.conf",
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs",
    "/etc/ssl/certs/ca-certificates.crt",
];

/// What many programs have something in.
const SHARED: &[&str] = &[
    "/dev/shm",
    "/home",
    "/opt",
    "/root",
    "/run",
    "/run/lock",
    "/run/user",
    "/srv",
    "/tmp",
    "/usr/local",
    "/var",
    "/var/cache",
    "/var/lib",
    "/var/log",
    "/var/spool",
    "/var/tmp",
];

/// What holds everything of the machine, or what is no folder of files.
const SPECIAL: &[&str] = &["/bin", "/dev", "/etc", "/lib", "/proc", "/sbin", "/sys", "/usr"];

/// A folder above another one is permitted for the sake of that one only below the first two.
const DEPTH_MIN: usize = 2;

/// Entries of a folder that are looked at for links.
const ENTRIES_MAX: usize = 100_000;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder of tests, three deep.
    fn folder() -> (tempfile::TempDir, PathBuf) {
        let temp = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(temp.path()).unwrap().join("base");
        fs::create_dir(&base).unwrap();
        (temp, base)
    }

    #[test]
    fn a_file_may_be_replaced_and_so_may_what_its_name_leads_to() {
        let (_temp, base) = folder();
        for name in ["live/a", "archive/a", "other"] {
            fs::create_dir_all(base.join(name)).unwrap();
        }
        fs::write(base.join("archive/a/cert1.pem"), "").unwrap();
        fs::write(base.join("other/key.pem"), "").unwrap();
        symlink("../../archive/a/cert1.pem", base.join("live/a/cert.pem")).unwrap();
        let mut places = Places::default();
        places.reads(&base.join("live/a/cert.pem"));
        for path in ["live/a/cert.pem", "archive/a/cert2.pem", "archive/b/cert1.pem"] {
            assert!(places.permits_reading(&base.join(path)), "{path}: {places:?}");
        }
        assert!(!places.permits_reading(&base.join("other/key.pem")), "{places:?}");
        assert_eq!(places.writable(), Vec::<&Path>::new());
    }

    #[test]
    fn links_in_a_folder_lead_to_where_their_successors_will_lie() {
        let (_temp, base) = folder();
        for name in ["store/1", "certs.d", "secret"] {
            fs::create_dir_all(base.join(name)).unwrap();
        }
        fs::write(base.join("store/1/a.pem"), "").unwrap();
        symlink(base.join("store/1/a.pem"), base.join("certs.d/a.pem")).unwrap();
        let mut places = Places::default();
        places.reads(&base.join("certs.d"));
        fs::create_dir(base.join("store/2")).unwrap();
        assert!(places.permits_reading(&base.join("store/2")));
    }

    #[test]
    fn nothing_permits_the_whole_machine_or_a_folder_that_all_share() {
        let mut places = Places::default();
        for path in ["/", "/not-there", "/not-there/either", "/etc/not-there.pem", "/dev/null"] {
            places.reads(Path::new(path));
            places.writes_file(Path::new(path));
            places.writes_folder(Path::new(path));
        }
        let all = places.read.iter().chain(&places.write);
        let shared =
            all.filter(|place| depth(place) < 1 || SPECIAL.contains(&&*place.to_string_lossy()));
        assert_eq!(shared.collect::<Vec<_>>(), Vec::<&PathBuf>::new());
        assert_eq!(places.writable(), [Path::new("/dev/null")]);
    }

    #[test]
    fn what_is_not_there_yet_may_come_to_be() {
        let (_temp, base) = folder();
        let mut places = Places::default();
        places.reads(&base.join("certs.d"));
        places.writes_file(&base.join("access.log"));
        assert!(places.permits_reading(&base.join("certs.d/a.pem")));
        assert_eq!(places.writable(), [base.as_path()]);
        assert!(places.permits_writing(&base) && !places.permits_writing(Path::new("/etc")));
    }

    #[test]
    fn nothing_above_what_is_not_there_is_ever_written() {
        let (_temp, base) = folder();
        let mut places = Places::default();
        places.writes_folder(&base.join("sessions/of/all"));
        places.writes_file(&base.join("logs/access.log"));
        assert_eq!(places.writable(), Vec::<&Path>::new());
        fs::create_dir_all(base.join("sessions/of/all")).unwrap();
        places.writes_folder(&base.join("sessions/of/all"));
        assert_eq!(places.writable(), [base.join("sessions/of/all")]);
    }

    #[test]
    fn of_a_folder_that_all_share_a_file_is_written_and_nothing_else() {
        let file = tempfile::NamedTempFile::new_in("/tmp").unwrap();
        let mut places = Places::default();
        for shared in ["/run", "/tmp", "/var/lib", "/var/log"] {
            places.writes_folder(Path::new(shared));
            places.writes_file(&Path::new(shared).join("not-there.sock"));
        }
        assert_eq!(places.writable(), Vec::<&Path>::new());
        places.writes_file(file.path());
        assert_eq!(places.writable(), [fs::canonicalize(file.path()).unwrap()]);
        assert!(lies_among_others(file.path()) && !lies_among_others(Path::new("/etc/hosts")));
    }

    #[test]
    fn names_of_the_system_are_followed_to_where_they_really_lead() {
        let (_temp, base) = folder();
        for name in ["etc/certs", "run/netconfig", "authorities/own"] {
            fs::create_dir_all(base.join(name)).unwrap();
        }
        fs::write(base.join("run/netconfig/resolv.conf"), "").unwrap();
        fs::write(base.join("authorities/own/ca.crt"), "").unwrap();
        symlink("../run/netconfig/resolv.conf", base.join("etc/resolv.conf")).unwrap();
        symlink(base.join("authorities/own/ca.crt"), base.join("etc/certs/ca.pem")).unwrap();
        let mut places = Places::default();
        places.follows(&base.join("etc/resolv.conf"));
        places.follows(&base.join("etc/certs"));
        places.follows(&base.join("etc/not-there"));
        // It is replaced whenever a network changes.
        assert!(places.permits_reading(&base.join("run/netconfig/resolv.conf.new")));
        assert!(places.permits_reading(&base.join("etc/certs/ca.pem")));
        assert!(!places.permits_reading(&base.join("authorities/own/key")), "{places:?}");
        let system = Places::of_system();
        for name in NAMES.iter().filter(|name| Path::new(name).exists()) {
            assert!(system.permits_reading(Path::new(name)), "{name}: {system:?}");
        }
    }

    #[test]
    fn what_lies_below_another_place_is_not_told_twice() {
        let paths = ["/a", "/a/b/c", "/ab", "/b/c"].map(PathBuf::from);
        let all = BTreeSet::from(paths);
        assert_eq!(topmost(&all), ["/a", "/ab", "/b/c"].map(Path::new));
    }
}
