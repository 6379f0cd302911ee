//! The ports: what the engine needs from the world, as object-safe traits with their contracts.

pub mod courier;
pub mod driver;
pub mod store;
pub mod surface;
