//! Sessions: kept for those who come back, and for nobody else.
//!
//! Of one process: `openssl` has the program's own words on it, `policy` the matrix of who may not
//! resume whose, and `cache` what is shared, counted and bounded; `many` writes a hello that nobody
//! should. Of processes with a store between them, which `fleet` starts: `moving` is about clients
//! that go from one to the other, `once` about one ticket in many places.

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
mod secrets;
mod wire;
