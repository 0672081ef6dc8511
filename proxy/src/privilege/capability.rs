//! Capabilities: all go but those that serving needs.
//!
//! Owns which these are. The order matters: the bounding set is cleared while it may be, that is
//! before the user changes; then the user changes, and what is permitted survives that; then all
//! of it goes but what is needed.

use rustix::io::Errno;
use rustix::process::getuid;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set,
    clear_ambient_capability_set, no_new_privs, remove_capability_from_bounding_set,
    set_capabilities, set_keep_capabilities, set_no_new_privs,
};

use super::{Identity, Standing};

/// What `user`, or whoever we are, needs: ports below 1024, at a reload. Root without capabilities
/// is a user whom few files are meant for, so it keeps those with which it reads and writes the
/// files of others.
pub(super) fn needed(user: Option<&Identity>) -> CapabilitySet {
    let bind = CapabilitySet::NET_BIND_SERVICE;
    let files = CapabilitySet::DAC_OVERRIDE | CapabilitySet::FOWNER;
    if user.map_or(getuid().is_root(), Identity::is_root) { bind | files } else { bind }
}

/// Takes everything out of the bounding set but what is needed: a program that is started could
/// not get it from its file either. Says whether it is so.
pub(super) fn clear_bounds(needed: CapabilitySet) -> Result<(), Errno> {
    let mut cleared = Ok(());
    for capability in each() {
        match capability_is_in_bounding_set(capability) {
            Ok(true) if !needed.contains(capability) => {
                cleared = cleared.and(remove_capability_from_bounding_set(capability));
            }
            // A kernel does not know those that are younger than it is.
            Ok(_) | Err(_) => {}
        }
    }
    // A user who is not root keeps what is permitted only if that is said; it lasts until an exec.
    let _ = set_keep_capabilities(true);
    cleared
}

/// Gives everything up but what is needed. `bounds` is what became of the bounding set: nobody
/// but a privileged process may change it, and nobody else needs to.
pub(super) fn keep(needed: CapabilitySet, bounds: Result<(), Errno>) -> Standing {
    match (give_up(needed), bounds) {
        (Err(error), _) => Standing::Missing(format!("capabilities: {error}")),
        (Ok(kept), Ok(())) => Standing::Applied(names(kept)),
        (Ok(kept), Err(_)) => Standing::Applied(format!(
            "{}; the bounding set is the machine's, and of no use without new privileges",
            names(kept)
        )),
    }
}

fn give_up(needed: CapabilitySet) -> Result<CapabilitySet, Errno> {
    let had = capabilities(None)?.permitted;
    let kept = had & needed;
    // Kernels before 4.3 have no such set, and so nothing in it.
    let _ = clear_ambient_capability_set();
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable: none })?;
    Ok(kept)
}

/// No program that is started from here on has more privileges than we have.
pub(super) fn refuse_new() -> Standing {
    let refused = set_no_new_privs(true).and_then(|()| match no_new_privs()? {
        true => Ok(()),
        false => Err(Errno::NOTSUP),
    });
    Standing::of(refused, "none", "no_new_privs")
}

fn each() -> impl Iterator<Item = CapabilitySet> {
    (0..CAPABILITIES_MAX).map(|number| CapabilitySet::from_bits_retain(1 << number))
}

fn names(set: CapabilitySet) -> String {
    let names: Vec<_> = set.iter_names().map(|(name, _)| name).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// The sets have as many bits.
const CAPABILITIES_MAX: u32 = 64;
