//! Sessions that several processes share through a store.

mod redis;
