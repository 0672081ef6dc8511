//! The files that the process can reach: Landlock (landlock(7)).
//!
//! Owns the rights that a place gives. Reading never includes execution; writing includes making
//! and removing files, folders and sockets, since logs are rotated and sockets come and go.
//! Whatever has been opened before stays open. Kernels that know fewer rights enforce those they
//! know. Refuses to know which places there are.

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible as _, LandlockStatus,
    RestrictionStatus, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError,
    RulesetStatus, make_bitflags, path_beneath_rules,
};

use super::{Places, Standing};

/// Permits `places`, and nothing else.
pub(super) fn restrict(places: &Places) -> Standing {
    let readable = places.readable();
    let writable = places.writable();
    let numbers = format!("{} places to read, {} to write", readable.len(), writable.len());
    let status = match enforce(places) {
        Ok(status) => status,
        Err(error) => return Standing::Missing(format!("Landlock: {error}")),
    };
    match (status.ruleset, status.landlock) {
        (RulesetStatus::FullyEnforced, _) => Standing::Applied(numbers),
        (RulesetStatus::PartiallyEnforced, _) => {
            Standing::Applied(format!("{numbers}, as far as this kernel's Landlock goes"))
        }
        (RulesetStatus::NotEnforced, LandlockStatus::NotEnabled) => {
            Standing::Missing("Landlock is not among the security modules of this kernel".into())
        }
        (RulesetStatus::NotEnforced, _) => Standing::Missing(
            "this kernel has no Landlock, or the container runtime refuses it".into(),
        ),
    }
}

fn enforce(places: &Places) -> Result<RestrictionStatus, RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(KNOWN))?
        .create()?
        // What is not on this machine is left out.
        .add_rules(path_beneath_rules(places.readable(), READ))?
        .add_rules(path_beneath_rules(places.writable(), write()))?
        .restrict_self()
}

/// To read, and to make, write and remove what serving makes.
fn write() -> BitFlags<AccessFs> {
    make_bitflags!(AccessFs::{
        ReadFile | ReadDir | WriteFile | Truncate | RemoveFile | RemoveDir | MakeDir | MakeReg
            | MakeSock
    })
}

const READ: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir});

/// What is refused where it is not permitted: all that this version has, which is Linux 6.10's.
const KNOWN: ABI = ABI::V5;
