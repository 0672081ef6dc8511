//! Ticket keys: the ring, its rotation, and the tickets that it seals.
