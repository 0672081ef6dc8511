//! Sessions in an LMDB environment, shared by the processes of one machine.
