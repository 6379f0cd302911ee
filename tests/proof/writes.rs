//! Every scenario, killed at every write.
//!
//! A scenario is played once to count its commits, then once for each of them with a kill right
//! after it and once with a kill right before it. On top come second kills during recovery and
//! kills from outside at moments that nobody chose.

use std::sync::Arc;
use std::time::Duration;

use rave_tests::{report, scaled};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::case::{Death, Shown, play};
use crate::scenario::{self, Scenario};

/// Cases of one scenario at a time: most of their time is waiting.
const AT_A_TIME: usize = 3;

/// Moments that are the same for the same seed.
struct Dice(u64);

impl Dice {
    /// `RAVE_TEST_SEED` chooses others.
    fn new(scenario: &str) -> Self {
        let seed = rave_tests::seed();
        Self(scenario.bytes().fold(seed, |seed, byte| {
            seed.wrapping_mul(31).wrapping_add(u64::from(byte))
        }))
    }

    /// A number from 1 to the given one.
    fn up_to(&mut self, most: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        1 + (z ^ (z >> 31)) % most.max(1)
    }
}

/// What a kind of case is called in the tally, and the deaths of each case.
type Kind = (&'static str, Vec<Vec<Death>>);

fn after(write: u64) -> Death {
    Death::At(format!("store.after_commit:{write}"))
}

fn before(write: u64) -> Death {
    Death::At(format!("store.before_commit:{write}"))
}

fn kinds(baseline: Shown, dice: &mut Dice) -> [Kind; 4] {
    let writes = u64::from(baseline.writes);
    let took = u64::try_from(baseline.took.as_micros()).unwrap();
    let twice = (0..scaled(4)).map(|_| vec![after(dice.up_to(writes)), after(dice.up_to(writes))]);
    let twice = twice.collect();
    let outside = (0..scaled(6)).map(|count| {
        let deaths = 1 + count % 3;
        let moments = (0..deaths).map(|_| Duration::from_micros(dice.up_to(took)));
        let death = if count % 2 == 0 {
            Death::After
        } else {
            Death::Paused
        };
        moments.map(death).collect()
    });
    let outside = outside.collect();
    [
        (
            "after a write",
            (1..=writes).map(|n| vec![after(n)]).collect(),
        ),
        (
            "before a write",
            (1..=writes).map(|n| vec![before(n)]).collect(),
        ),
        ("after a write and again in recovery", twice),
        ("from outside", outside),
    ]
}

/// Plays a case and counts its kills. The baseline runs beside eleven others and may have taken
/// longer than this case ever will: a moment that came too late comes sooner the next time.
async fn kills(scenario: &'static Scenario, mut deaths: Vec<Death>) -> u64 {
    loop {
        let case = tokio::spawn(play(scenario, deaths.clone()));
        let shown = case.await.unwrap_or_else(|error| {
            let seed = rave_tests::seed();
            panic!("{}, {deaths:?}, seed {seed}: {error}", scenario.name)
        });
        // Commits are shared by those who come together: the last one may not be needed.
        if shown.kills > 0 || matches!(deaths[0], Death::At(_)) {
            return u64::from(shown.kills);
        }
        deaths = deaths.into_iter().map(sooner).collect();
    }
}

fn sooner(death: Death) -> Death {
    match death {
        Death::At(place) => Death::At(place),
        Death::After(time) => Death::After(time / 2),
        Death::Paused(time) => Death::Paused(time / 2),
    }
}

async fn prove(scenario: &'static Scenario) {
    let baseline = play(scenario, Vec::new()).await;
    assert_eq!(baseline.kills, 0);
    let mut dice = Dice::new(scenario.name);
    let turns = Arc::new(Semaphore::new(AT_A_TIME));
    for (kind, cases) in kinds(baseline, &mut dice) {
        let mut under_way = JoinSet::new();
        for deaths in cases {
            let turns = Arc::clone(&turns);
            under_way.spawn(async move {
                let _turn = turns.acquire().await;
                kills(scenario, deaths).await
            });
        }
        let kills: u64 = under_way.join_all().await.iter().sum();
        assert!(kills > 0, "{}: nothing was killed {kind}", scenario.name);
        report(&format!("Kills {kind}: {}", scenario.name), kills);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_survives() {
    prove(&scenario::READ).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotent_step_survives() {
    prove(&scenario::IDEMPOTENT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyed_step_survives() {
    prove(&scenario::KEYED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_can_be_looked_up_survives() {
    prove(&scenario::PROBE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_must_not_be_repeated_survives() {
    prove(&scenario::ONCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_diamond_graph_survives() {
    prove(&scenario::DIAMOND).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_survives() {
    prove(&scenario::APPROVAL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_queue_survives() {
    prove(&scenario::LOCK_QUEUE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_survives() {
    prove(&scenario::CANCEL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_survives() {
    prove(&scenario::UNDO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_survive() {
    prove(&scenario::RETRY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_to_a_chat_that_is_down_survive() {
    prove(&scenario::OUTBOX_DOWN).await;
}
