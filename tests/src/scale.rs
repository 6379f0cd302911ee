//! How much of everything: small in `make test`, large in `make soak`.

/// A count of kills, seeds or redeliveries, times `RAVE_TEST_SCALE` (a whole number from 1, which
/// is the default).
///
/// # Panics
/// When the variable holds something else: a soak that was meant to be long must not be short.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "tests have no configuration but their environment"
)]
pub fn scaled(base: u32) -> u32 {
    let scale = match std::env::var("RAVE_TEST_SCALE") {
        Ok(text) => text.parse().ok().filter(|scale| *scale > 0),
        Err(_) => Some(1),
    };
    let scale: u32 = scale.expect("RAVE_TEST_SCALE is a whole number from 1");
    base.saturating_mul(scale)
}

/// Where the dice of a test begin: `RAVE_TEST_SEED`, a whole number, or 1.
///
/// # Panics
/// When the variable holds something else.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "tests have no configuration but their environment"
)]
pub fn seed() -> u64 {
    match std::env::var("RAVE_TEST_SEED") {
        Ok(text) => text.parse().expect("RAVE_TEST_SEED is a whole number"),
        Err(_) => 1,
    }
}
