//! What the machine does to the process: clocks that are set, disks that are full, readers that do
//! not read, networks that are not there.
//!
//! `clock` is about time, `lines` about the log, `absence` about everything that is not there when
//! the process starts.

mod absence;
mod clock;
mod lines;

/// The name that every test serves.
pub(crate) const NAME: &str = "app.example";

/// A command under which standard error is read up to the line that says `ready`, and never again:
/// its reader lives as long as the process, and no longer.
pub(crate) const UNREAD: [&str; 3] = [
    "bash",
    "-c",
    "exec \"$0\" \"$@\" 2> >(while read -r line; do echo \"$line\" >&2; case $line in \
     *'\"message\":\"ready\"'*) exec tail --pid=$$ -f /dev/null >/dev/null 2>&1;; esac; done)",
];
