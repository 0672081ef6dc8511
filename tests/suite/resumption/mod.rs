//! Sessions: kept for those who come back, and for nobody else.
//!
//! Of one process: `openssl` has the program's own words on it, `policy` the matrix of who may not
//! resume whose, and `cache` what is shared, counted and bounded; `many` writes a hello that nobody
//! should. `explain` is about the reason that everybody is told who resumes nothing.
//!
//! Of processes with a store between them, which `fleet` starts: `moving` is about clients that go
//! from one to the other, `once` about one ticket in many places, `matrix` about every place where
//! a session could go astray, `revalidation` about clients with certificates, `rotation` about
//! keys and processes that are replaced, `crash` about those that are killed, `faults` about a
//! store that is away, `poison` about one that lies, `secrets` about one that is stolen. `wire`
//! reads what is offered.

mod cache;
mod crash;
mod explain;
mod faults;
mod fleet;
mod many;
mod matrix;
mod moving;
mod once;
mod openssl;
mod poison;
mod policy;
mod revalidation;
mod rotation;
mod secrets;
mod wire;
