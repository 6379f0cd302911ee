//! Thousands of histories of a whole Rave in miniature.
//!
//! A seeded scheduler drives the real run core, the real lock table and the real policy with a
//! simulated store (group commit, refused batches, crashes between a commit and its answer),
//! simulated drivers (effects that take place or not, whatever is heard of them), a clock that is
//! set in both directions, and people with several accounts who approve, deny, cancel, settle,
//! break locks, freeze and repeat themselves. Several runs compete for three targets. The process
//! is killed, told to end, paused and started again at any point. After every commit, effect and
//! answer, `promises` checks what design.md 6 and 7 promise; at the end faults stop, people help,
//! and everything must come to its end with nothing left over.
//!
//! What the engine does between its awaits is imitated in `bot`, `attempts` and `people`, as
//! thinly as it goes; the engine itself is proven by the whole-bot tests and by the tests that kill
//! the real binary.
//!
//! A seed is one history, byte for byte. A failure names its seed: run that one again with
//! `RAVE_SIM_SEED=<seed> cargo test -p rave-tests --test simulation`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail the test"
)]

mod attempts;
mod bot;
mod company;
mod dice;
mod disk;
mod people;
mod promises;
mod simulation;
mod world;

use std::collections::BTreeSet;
use std::time::Instant;

use company::Company;
use rave_tests::{report, scaled};
use simulation::Simulation;

/// Lines of the trace that a failure shows.
const TAIL: usize = 60;

/// One history; its trace and how many things happened in it.
fn history(company: &Company, seed: u64) -> (String, u32) {
    let mut simulation = Simulation::new(company, seed);
    if let Err(broken) = simulation.live() {
        let lines: Vec<&str> = simulation.trace().lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n");
        panic!(
            "{tail}\n\n{broken}\nseed {seed}; to see it again: \
             RAVE_SIM_SEED={seed} cargo test -p rave-tests --test simulation"
        );
    }
    (simulation.trace().to_owned(), simulation.happenings())
}

/// The one seed that was asked for, or so many.
#[expect(
    clippy::disallowed_methods,
    reason = "tests have no configuration but their environment"
)]
fn seeds() -> std::ops::Range<u64> {
    match std::env::var("RAVE_SIM_SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("RAVE_SIM_SEED is a number");
            seed..seed + 1
        }
        Err(_) => 0..u64::from(scaled(600)),
    }
}

#[test]
fn every_promise_holds_in_every_history() {
    let company = Company::load();
    let began = Instant::now();
    let seeds = seeds();
    let count = seeds.end - seeds.start;
    let mut happenings = 0;
    for seed in seeds {
        happenings += u64::from(history(&company, seed).1);
    }
    println!(
        "{count} histories, {happenings} happenings in {:?}",
        began.elapsed()
    );
    report("simulation: histories without a broken promise", count);
    report("simulation: happenings in them", happenings);
}

#[test]
fn one_seed_is_one_history_byte_for_byte() {
    for seed in [1, 7, 1_000_003] {
        let (first, _) = history(&Company::load(), seed);
        let (second, _) = history(&Company::load(), seed);
        assert!(first == second, "seed {seed} gave two histories");
        assert!(first.lines().count() > 100, "{first}");
    }
}

/// A simulation in which little happens would prove little.
#[test]
fn the_histories_differ_and_lead_everywhere() {
    const PLACES: [&str; 34] = [
        // Every event of the core.
        "submitted",
        "decided",
        "expired",
        "locks_granted",
        "lock_broken",
        "started",
        "voided",
        "claimed",
        "claim_refused",
        "prepared",
        "reported",
        "recovered",
        "cancel_requested",
        "resolved",
        // Every state of a run that lasts.
        "→ awaiting_approval",
        "→ queued",
        "→ running",
        "→ compensating",
        "→ succeeded",
        "→ failed",
        "→ cancelled",
        "→ needs_attention",
        // Every way in which a driver ends.
        "ends: Done",
        "ends: Rejected",
        "ends: Transient",
        "ends: Lost",
        "ends: Panic",
        "ends: Silence",
        "is told to stop",
        // Faults around it.
        "killed",
        "the disk refuses",
        "the process stands still",
        "the clock is set back",
        "arrives again",
    ];
    let company = Company::load();
    let traces: BTreeSet<String> = (0..60).map(|seed| history(&company, seed).0).collect();
    assert_eq!(traces.len(), 60, "two seeds gave one history");
    for place in PLACES {
        assert!(
            traces.iter().any(|trace| trace.contains(place)),
            "no history led to {place:?}"
        );
    }
}
