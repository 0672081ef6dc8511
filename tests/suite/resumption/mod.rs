//! Sessions: kept for those who come back, and for nobody else.
//!
//! `openssl` has the program's own words on it, `policy` the matrix of who may not resume whose,
//! and `cache` what is shared, counted and bounded; `many` writes a hello that nobody should.

mod cache;
mod many;
mod openssl;
mod policy;
