//! The system calls that the process can make: seccomp (seccomp(2)).
//!
//! Owns two lists. What is on neither is answered as by a kernel that does not have it (`ENOSYS`):
//! libraries that try what is new know what to do then. What is on the list of the refused is
//! answered with `EPERM`: to start programs, to make processes, to look into others, to change the
//! machine, to make memory executable. Threads may be made. Nobody is killed for a call.
//!
//! Most calls are allowed whatever their arguments are, which the kernel finds out once, so that
//! they cost no run of a filter. Those that depend on arguments are rare.

mod names;

use std::collections::BTreeMap;

use libc::{c_int, c_long};
use seccompiler::{
    BackendError, BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp,
    SeccompCondition, SeccompFilter, SeccompRule, TargetArch, apply_filter,
};

use super::Standing;
use names::{ALLOWED, ALLOWED_OLD, REFUSED, REFUSED_OLD};

/// Allows what serving needs, for this thread and those that it starts.
pub(super) fn restrict() -> Standing {
    let done = programs()
        .map_err(Error::Backend)
        .and_then(|programs| programs.iter().try_for_each(|program| apply_filter(program)));
    let with =
        format!("{} are allowed; no programs, no processes", ALLOWED.len() + ALLOWED_OLD.len());
    Standing::of(done, with, "seccomp")
}

fn programs() -> Result<[BpfProgram; 2], BackendError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let filter = |rules, mismatch, matching| -> Result<BpfProgram, BackendError> {
        SeccompFilter::new(rules, mismatch, matching, arch)?.try_into()
    };
    let (unknown, refused) = (errno(libc::ENOSYS), errno(libc::EPERM));
    // The second one refuses to install another.
    Ok([
        filter(refused_rules()?, SeccompAction::Allow, refused)?,
        filter(allowed()?, unknown, SeccompAction::Allow)?,
    ])
}

/// No rule for a call means that its arguments do not matter.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn allowed() -> Result<Rules, BackendError> {
    // What is refused is the other program's to answer.
    let known = ALLOWED.iter().chain(ALLOWED_OLD).chain(REFUSED).chain(REFUSED_OLD);
    let mut rules: Rules = known.map(|call| (*call, Vec::new())).collect();
    let families = [libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK, libc::AF_UNIX];
    rules.insert(libc::SYS_socket, any(0, &families)?);
    let options = [
        libc::PR_CAPBSET_READ,
        libc::PR_GET_DUMPABLE,
        libc::PR_GET_NAME,
        libc::PR_GET_NO_NEW_PRIVS,
        libc::PR_GET_SECCOMP,
        libc::PR_SET_NAME,
        libc::PR_SET_TIMERSLACK,
        // Allocators name what they have mapped.
        libc::PR_SET_VMA,
    ];
    rules.insert(libc::SYS_prctl, any(0, &options)?);
    Ok(rules)
}

fn refused_rules() -> Result<Rules, BackendError> {
    let known = REFUSED.iter().chain(REFUSED_OLD);
    let mut rules: Rules = known.map(|call| (*call, Vec::new())).collect();
    // A thread shares everything with its process; without this flag it is a process.
    let thread = u64::from(libc::CLONE_THREAD.unsigned_abs());
    rules.insert(libc::SYS_clone, vec![rule(0, SeccompCmpOp::MaskedEq(thread), 0)?]);
    // Memory that is written and executed, and memory that becomes executable.
    let (write, exec) = (protection(libc::PROT_WRITE), protection(libc::PROT_EXEC));
    let both = write | exec;
    rules.insert(libc::SYS_mmap, vec![rule(2, SeccompCmpOp::MaskedEq(both), both)?]);
    rules.insert(libc::SYS_mprotect, vec![rule(2, SeccompCmpOp::MaskedEq(exec), exec)?]);
    // To type into the terminal that it was started from.
    rules.insert(libc::SYS_ioctl, any(1, &[TIOCSTI, TIOCLINUX])?);
    Ok(rules)
}

fn protection(flag: c_int) -> u64 {
    u64::from(flag.unsigned_abs())
}

/// One rule for each value that argument `index` may have.
fn any(index: u8, values: &[c_int]) -> Result<Vec<SeccompRule>, BackendError> {
    let equal = |value: &c_int| rule(index, SeccompCmpOp::Eq, u64::from(value.unsigned_abs()));
    values.iter().map(equal).collect()
}

fn rule(index: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompRule, BackendError> {
    let length = SeccompCmpArgLen::Dword;
    SeccompRule::new(vec![SeccompCondition::new(index, length, operator, value)?])
}

fn errno(number: c_int) -> SeccompAction {
    SeccompAction::Errno(number.unsigned_abs())
}

/// The same number on every architecture that we run on (ioctl_tty(2)).
const TIOCSTI: c_int = 0x5412;
/// As above (ioctl_console(2)).
const TIOCLINUX: c_int = 0x541C;

/// What `libc` calls the number of a system call.
type Call = c_long;
