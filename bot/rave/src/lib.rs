//! ChatOps for people on call: the binary
