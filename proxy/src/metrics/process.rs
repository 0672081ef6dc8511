//! What Linux knows of this process.
//!
//! Owns the reading of `/proc/self` (proc(5)). Where that is not mounted, there is nothing to read.

use std::fs;
use std::sync::OnceLock;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// A reading.
#[derive(Debug)]
#[expect(missing_docs, reason = "the families say what each number is")]
pub struct Usage {
    pub cpu_seconds: f64,
    pub open_fds: i64,
    pub max_fds: i64,
    pub resident_bytes: i64,
    pub virtual_bytes: i64,
    pub start_time_seconds: f64,
    pub threads: i64,
}

impl Usage {
    /// Reads everything, or nothing.
    pub fn read() -> Option<Self> {
        Self::read_since(boot_time("/proc/stat"))
    }

    /// Reads everything of a process on a machine that runs since `boot`.
    fn read_since(boot: f64) -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // The name of the program is in brackets and may hold anything; numbers follow it.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - FIRST_FIELD)?.parse::<i64>().ok();
        let ticks = field(14)? + field(15)?;
        let limits = line_of("/proc/self/limits", "Max open files")?;
        Some(Self {
            cpu_seconds: ticks as f64 / TICKS_PER_SECOND,
            open_fds: i64::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()?,
            max_fds: limits.split_ascii_whitespace().next()?.parse().ok()?,
            resident_bytes: bytes_of(&status()?, "VmRSS:")?,
            virtual_bytes: field(23)?,
            start_time_seconds: boot + field(22)? as f64 / TICKS_PER_SECOND,
            threads: field(20)?,
        })
    }
}

/// When the machine started, in seconds of the epoch: as `stat`, proc_stat(5), has it, or reckoned
/// once where a sandbox has nothing but processes in /proc.
fn boot_time(stat: &str) -> f64 {
    static RECKONED: OnceLock<f64> = OnceLock::new();
    let told = line_of(stat, "btime ").and_then(|seconds| seconds.parse().ok());
    // Once, since what is shown must not tremble.
    told.unwrap_or_else(|| *RECKONED.get_or_init(reckoned_boot_time))
}

fn reckoned_boot_time() -> f64 {
    let seconds = |time: Timespec| time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
    seconds(clock_gettime(ClockId::Realtime)) - seconds(clock_gettime(ClockId::Boottime))
}

/// Memory of the process that is in RAM and is its own: the kernel can drop pages of files.
pub fn own_bytes() -> Option<u64> {
    let status = status()?;
    let bytes = bytes_of(&status, "RssAnon:")? + bytes_of(&status, "RssShmem:")?;
    u64::try_from(bytes).ok()
}

/// Of the files that are mapped and in RAM, as much as can be code, that of libraries included: at
/// most what all code takes, so that files of data, however large, are not meant.
pub fn code_bytes() -> Option<u64> {
    let status = status()?;
    let code = bytes_of(&status, "VmExe:")? + bytes_of(&status, "VmLib:")?;
    u64::try_from(bytes_of(&status, "RssFile:")?.min(code)).ok()
}

/// The rest of the line of `file` that begins with `start`.
fn line_of(file: &str, start: &str) -> Option<String> {
    line_in(&fs::read_to_string(file).ok()?, start).map(str::to_owned)
}

fn line_in<'text>(text: &'text str, start: &str) -> Option<&'text str> {
    text.lines().find_map(|line| line.strip_prefix(start)).map(str::trim)
}

fn status() -> Option<String> {
    fs::read_to_string("/proc/self/status").ok()
}

/// What a line of `status` says in KiB.
fn bytes_of(status: &str, start: &str) -> Option<i64> {
    let kib = line_in(status, start)?.strip_suffix(" kB")?;
    Some(kib.trim().parse::<i64>().ok()? * 1024)
}

/// The number that proc(5) gives to the first field behind the name of the program.
const FIRST_FIELD: usize = 3;

/// `USER_HZ`, which is the same on every architecture that Linux has today.
const TICKS_PER_SECOND: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_uses_something() {
        let usage = Usage::read().expect("proc is mounted where tests run");
        assert!(usage.resident_bytes > 100_000 && usage.virtual_bytes > usage.resident_bytes);
        assert!(usage.open_fds >= 3 && usage.max_fds > usage.open_fds);
        assert!(usage.threads >= 1 && usage.start_time_seconds > 1.6e9);
    }

    #[test]
    fn where_nothing_but_processes_is_in_proc_all_is_known_all_the_same() {
        let reckoned = boot_time("/proc/not-there");
        let usage = Usage::read_since(reckoned).expect("proc is mounted where tests run");
        let told = Usage::read().expect("proc is mounted where tests run");
        let apart = (usage.start_time_seconds - told.start_time_seconds).abs();
        assert!(apart < 5.0, "{apart} seconds apart");
        assert!(usage.resident_bytes > 100_000 && usage.open_fds >= 3);
        assert_eq!(boot_time("/proc/not-there"), reckoned, "it stays what it is");
    }
}
