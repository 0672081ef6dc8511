//! What the control group of the process may use of memory, and uses.
//!
//! Owns the two layouts that Linux has for it: version 2, where each group has `memory.max`
//! (cgroups(7)), and version 1, whose controller is mounted by itself. The group that counts is the
//! one that has the least, among that of the process and those above it that it can see. Pages of
//! files, which the kernel can take back, are told apart. Refuses to know what follows. Read
//! next: `memory`.

use std::fs;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

/// The group whose limit counts.
#[derive(Debug)]
pub(super) struct Cgroup {
    folder: PathBuf,
    layout: &'static Layout,
}

/// What a group uses, and may use, in bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct GroupMemory {
    /// Of processes and of the kernel on their behalf.
    pub held: u64,
    /// Of files, in pages that the kernel keeps for as long as nobody needs the room.
    pub files: u64,
    pub limit: NonZeroU64,
}

/// What files are called.
#[derive(Debug)]
struct Layout {
    limit: &'static str,
    usage: &'static str,
    /// From where on the kernel slows the group down rather than let it have more.
    high: Option<&'static str>,
    /// The lines of `memory.stat` with what can be given back, of the group and those below.
    files: [&'static str; 2],
}

const VERSION_1: Layout = Layout {
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    high: None,
    files: ["total_inactive_file ", "total_active_file "],
};

const VERSION_2: Layout = Layout {
    limit: "memory.max",
    usage: "memory.current",
    high: Some("memory.high"),
    files: ["inactive_file ", "active_file "],
};

impl Cgroup {
    /// The group that limits this process; none if none does.
    pub(super) fn find() -> Option<Self> {
        let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        places(&groups, &mounts).into_iter().find_map(|place| Self::tightest(&place))
    }

    /// The group in `place` that has the least.
    fn tightest(place: &Place) -> Option<Self> {
        let Place { mount, group, layout } = place;
        let own = mount.join(group);
        // In a container the group may be called by what it is outside, and be the mount itself.
        let own = if own.is_dir() { own } else { mount.clone() };
        let above = own.ancestors().take_while(|folder| folder.starts_with(mount));
        let limited = above.filter_map(|folder| Some((limit(folder, layout)?, folder)));
        let (_, folder) = limited.min_by_key(|(limit, _)| *limit)?;
        Some(Self { folder: folder.to_owned(), layout })
    }

    /// What it uses, and what it may use.
    pub(super) fn read(&self) -> Option<GroupMemory> {
        let Self { folder, layout } = self;
        let limit = limit(folder, layout)?;
        let usage = fs::read_to_string(folder.join(layout.usage)).ok()?;
        let usage = usage.trim().parse::<u64>().ok()?;
        let stat = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
        let files = files(&stat, layout).min(usage);
        Some(GroupMemory { held: usage - files, files, limit })
    }
}

/// Where a group may be found.
#[derive(Debug, Eq, PartialEq)]
struct Place {
    mount: PathBuf,
    group: PathBuf,
    layout: &'static Layout,
}

impl PartialEq for Layout {
    fn eq(&self, other: &Self) -> bool {
        self.limit == other.limit
    }
}

impl Eq for Layout {}

/// Where the group of the process may be found, by `/proc/self/cgroup` (cgroups(7)) and
/// `/proc/self/mountinfo` (proc(5)); that of version 1 first, which is there only if it is used.
fn places(groups: &str, mounts: &str) -> Vec<Place> {
    let group = |wanted: fn(&str) -> bool| {
        let mut lines = groups.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
        lines.find(|(controllers, _)| wanted(controllers)).map(|(_, path)| path)
    };
    let mut found = Vec::new();
    for line in mounts.lines() {
        let Some((before, after)) = line.split_once(" - ") else { continue };
        let before: Vec<_> = before.split(' ').collect();
        let after: Vec<_> = after.split(' ').collect();
        let (Some(root), Some(mount)) = (before.get(3), before.get(4)) else { continue };
        let has_memory = || after.get(2).is_some_and(|it| it.split(',').any(|it| it == "memory"));
        let (path, layout) = match after.first() {
            Some(&"cgroup") if has_memory() => {
                (group(|them| them.split(',').any(|it| it == "memory")), &VERSION_1)
            }
            Some(&"cgroup2") => (group(str::is_empty), &VERSION_2),
            _ => continue,
        };
        let Some(path) = path else { continue };
        let below = Path::new(path).strip_prefix(root).unwrap_or(Path::new(path));
        let group = below.strip_prefix("/").unwrap_or(below).to_owned();
        found.push(Place { mount: PathBuf::from(mount), group, layout });
    }
    found.sort_by_key(|place| *place.layout == VERSION_2);
    found
}

/// What a group may use; version 1 says so with a number that no machine has.
fn limit(folder: &Path, layout: &Layout) -> Option<NonZeroU64> {
    let number = |name: &str| {
        let text = fs::read_to_string(folder.join(name)).ok()?;
        text.trim().parse::<u64>().ok().filter(|limit| *limit < LIMIT_MAX)
    };
    let high = layout.high.and_then(number);
    number(layout.limit).into_iter().chain(high).min().and_then(NonZeroU64::new)
}

/// Pages of files.
fn files(stat: &str, layout: &Layout) -> u64 {
    let number = |start: &&str| {
        let line = stat.lines().find_map(|line| line.strip_prefix(start))?;
        line.trim().parse::<u64>().ok()
    };
    layout.files.iter().filter_map(number).sum()
}

const LIMIT_MAX: u64 = 1 << 60;

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS_1: &str = "\
        35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
        36 31 0:33 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
        40 31 0:37 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n";

    fn place(mount: &str, group: &str, layout: &'static Layout) -> Place {
        Place { mount: mount.into(), group: group.into(), layout }
    }

    #[test]
    fn both_versions_are_found_where_they_are_mounted() {
        let both = places("4:memory:/apps/web\n1:cpu:/\n0::/\n", MOUNTS_1);
        let expected = [
            place("/sys/fs/cgroup/memory", "apps/web", &VERSION_1),
            place("/sys/fs/cgroup/unified", "", &VERSION_2),
        ];
        assert_eq!(both, expected);
        let mounts = "30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        let only = places("0::/system.slice/portunus.service\n", mounts);
        let expected = place("/sys/fs/cgroup", "system.slice/portunus.service", &VERSION_2);
        assert_eq!(only, [expected]);
    }

    #[test]
    fn a_mount_of_a_part_is_taken_for_that_part() {
        let mounts = "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        let found = places("4:memory:/docker/abc\n", mounts);
        assert_eq!(found, [place("/sys/fs/cgroup/memory", "", &VERSION_1)]);
        assert_eq!(places("", "nonsense\n1 2 - cgroup\n"), []);
    }

    #[test]
    fn the_group_with_the_least_counts_and_files_are_told_apart() {
        let mount = tempfile::tempdir().expect("a folder");
        let own = mount.path().join("pod/web");
        fs::create_dir_all(&own).expect("a folder");
        let write = |folder: &Path, name: &str, text: &str| {
            fs::write(folder.join(name), text).expect("a file");
        };
        let pod = own.parent().expect("there is one");
        write(&own, "memory.max", "max\n");
        write(pod, "memory.max", "2000\n");
        write(pod, "memory.high", "1000\n");
        write(pod, "memory.current", "700\n");
        write(pod, "memory.stat", "anon 500\ninactive_file 150\nactive_file 50\n");
        write(mount.path(), "memory.max", "5000\n");
        let place =
            Place { mount: mount.path().to_owned(), group: "pod/web".into(), layout: &VERSION_2 };
        let group = Cgroup::tightest(&place).expect("one has a limit");
        let limit = NonZeroU64::new(1000).expect("it is not 0");
        assert_eq!(group.read(), Some(GroupMemory { held: 500, files: 200, limit }));
        write(pod, "memory.stat", "anon 0\ninactive_file 400\nactive_file 400\n");
        assert_eq!(
            group.read(),
            Some(GroupMemory { held: 0, files: 700, limit }),
            "read a moment later"
        );
        let elsewhere = Place { group: "called/otherwise".into(), ..place };
        let group = Cgroup::tightest(&elsewhere).expect("the mount has a limit");
        assert_eq!(group.folder, mount.path());
    }
}
