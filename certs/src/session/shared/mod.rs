//! The tier of sessions that processes share, whichever engine stands behind it.
