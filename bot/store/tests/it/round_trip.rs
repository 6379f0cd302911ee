//! Whatever an event holds, the journal gives it back.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use rave_domain::ports::store::{ChunkRef, Store};
use rave_domain::request::{Decision, Verdict};
use rave_domain::run::{Event, Failure, Outcome, Resolution, Timer};
use rave_domain::{
    Account, Attempt, Digest, Epoch, ErrorCode, LockKey, PersonId, StepId, Strength, Surface,
    Timestamp,
};

use crate::kit::{World, append};

fn time() -> impl Strategy<Value = Timestamp> {
    (-1_000_000_000_000_i64..4_000_000_000_000)
        .prop_map(|milliseconds| Timestamp::from_millisecond(milliseconds).unwrap())
}

fn words() -> impl Strategy<Value = String> {
    // Control characters and other planes included.
    any::<String>()
}

fn person() -> impl Strategy<Value = PersonId> {
    "[a-zA-Z0-9_.@+-]{1,128}".prop_map(|name| PersonId::new(name).unwrap())
}

fn lock() -> impl Strategy<Value = LockKey> {
    "[!-~]{1,256}".prop_map(|key| LockKey::new(key).unwrap())
}

fn failure() -> impl Strategy<Value = Failure> {
    (proptest::sample::select(ErrorCode::ALL), words())
        .prop_map(|(code, message)| Failure { code, message })
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        words().prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Into::into),
            btree_map(words(), inner, 0..4)
                .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        btree_map(words(), words(), 0..4).prop_map(|facts| Outcome::Succeeded { facts }),
        (failure(), any::<bool>(), any::<bool>()).prop_map(|(failure, may_pass, touched)| {
            Outcome::Failed {
                failure,
                may_pass,
                touched,
            }
        }),
        any::<bool>().prop_map(|touched| Outcome::Stopped { touched }),
        words().prop_map(|why| Outcome::Unknown { why }),
    ]
}

fn about_people() -> impl Strategy<Value = Event> {
    prop_oneof![
        (time(), person(), words(), vec(any::<u32>(), 0..4), words()).prop_map(
            |(at, person, id, counts_for, reason)| Event::Decided {
                at,
                person,
                account: Account::new(Surface::Discord, id),
                strength: Strength::Signed,
                decision: Decision::Deny,
                counts_for,
                reason,
            }
        ),
        (time(), lock(), person()).prop_map(|(at, lock, by)| Event::LockBroken { at, lock, by }),
        (time(), person(), words()).prop_map(|(at, by, reason)| Event::CancelRequested {
            at,
            by,
            reason
        }),
        (time(), any::<u32>(), person()).prop_map(|(at, step, by)| Event::Resolved {
            at,
            step: StepId(step),
            verdict: Verdict::DidNot,
            by,
        }),
    ]
}

fn about_steps() -> impl Strategy<Value = Event> {
    let step = || any::<u32>().prop_map(StepId);
    prop_oneof![
        (time(), step(), any::<u32>(), any::<u64>()).prop_map(|(at, step, attempt, epoch)| {
            Event::Claimed {
                at,
                step,
                attempt: Attempt(attempt),
                epoch: Epoch(epoch),
            }
        }),
        (time(), step(), failure()).prop_map(|(at, step, failure)| Event::ClaimRefused {
            at,
            step,
            failure
        }),
        (
            time(),
            step(),
            proptest::option::of(json().prop_filter("null is none", |json| { !json.is_null() }))
        )
            .prop_map(|(at, step, undo)| Event::Prepared { at, step, undo }),
        (time(), step(), outcome(), words(), any::<Option<u64>>()).prop_map(
            |(at, step, outcome, tail, size)| Event::Reported {
                at,
                step,
                attempt: Attempt(1),
                outcome,
                tail,
                output: size.map(|size| ChunkRef {
                    digest: Digest::of(&size.to_le_bytes()),
                    size,
                }),
            }
        ),
        (time(), step()).prop_map(|(at, step)| Event::Recovered {
            at,
            step,
            resolution: Resolution::Rerun,
        }),
        (time(), step()).prop_map(|(at, step)| Event::Expired {
            at,
            timer: Timer::Retry(step),
        }),
    ]
}

fn about_runs() -> impl Strategy<Value = Event> {
    prop_oneof![
        (
            time(),
            btree_map(lock(), any::<u64>().prop_map(Epoch), 0..4)
        )
            .prop_map(|(at, epochs): (_, BTreeMap<_, _>)| Event::LocksGranted { at, epochs }),
        time().prop_map(|at| Event::Started { at }),
        (time(), vec(words(), 0..4)).prop_map(|(at, changes)| Event::Voided { at, changes }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn events_come_back_as_they_were_written(
        events in vec(prop_oneof![about_people(), about_steps(), about_runs()], 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let found = runtime.block_on(async {
            let world = World::new();
            let id = world.submit("0001").await;
            world.commit(vec![append(&id, 1, events.clone())]).await.unwrap();
            let world = world.reopened();
            world.events(&id).await.unwrap().unwrap()
        });
        prop_assert_eq!(&found[1..], &events[..]);
    }
}
