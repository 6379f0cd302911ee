//! Journals, the ledger, locks, secrets and freezes.

use std::collections::BTreeSet;

use rave_domain::plan::Class;
use rave_domain::ports::driver::ChildGroup;
use rave_domain::ports::store::{Freeze, LedgerRow, LockRow, LockWait, Store, StoreError, Write};
use rave_domain::run::RunStatus;
use rave_domain::{Attempt, EffectKey, Epoch, LockKey, StepId};

use crate::kit::{World, ann, append, at, entry, parcel, row, run, started, submission, submitted};

#[tokio::test]
async fn a_journal_is_read_as_it_was_written() {
    let world = World::new();
    let id = world.submit("0001").await;
    world
        .commit(vec![append(&id, 1, vec![started(5), started(6)])])
        .await
        .unwrap();

    let events = world.events(&id).await.unwrap();

    assert_eq!(events, Some(vec![submitted(&id), started(5), started(6)]));
    assert_eq!(world.events(&run("none")).await.unwrap(), None);
}

#[tokio::test]
async fn a_writer_that_was_overtaken_gets_a_conflict_and_writes_nothing() {
    let world = World::new();
    let id = world.submit("0001").await;

    for wrong in [0, 2, 7] {
        let result = world
            .commit(vec![
                Write::Audit(entry("run.started", "run_0001")),
                Write::Outbox(parcel("lane", 0)),
                Write::Run(row(&id, RunStatus::Succeeded)),
                append(&id, wrong, vec![started(5)]),
            ])
            .await;
        assert!(
            matches!(&result, Err(StoreError::Conflict { run }) if *run == id),
            "{result:?}"
        );
    }

    assert_eq!(world.events(&id).await.unwrap(), Some(vec![submitted(&id)]));
    assert_eq!(world.audit_after(0, 10).await.unwrap(), []);
    assert_eq!(world.outbox_next().await.unwrap(), None);
    assert_eq!(world.open_runs().await.unwrap().len(), 1);
}

#[tokio::test]
async fn open_runs_are_those_that_have_not_ended() {
    let world = World::new();
    let (open, ended, stuck) = (run("0001"), run("0002"), run("0003"));
    world
        .commit(submission(&open, RunStatus::Running))
        .await
        .unwrap();
    world
        .commit(submission(&ended, RunStatus::Running))
        .await
        .unwrap();
    world
        .commit(submission(&stuck, RunStatus::NeedsAttention))
        .await
        .unwrap();
    world
        .commit(vec![
            append(&ended, 1, vec![started(1)]),
            Write::Run(row(&ended, RunStatus::Failed)),
        ])
        .await
        .unwrap();

    let found = world.open_runs().await.unwrap();

    assert_eq!(found, [open, stuck]);
}

#[tokio::test]
async fn a_journal_with_a_hole_is_not_given_out() {
    let world = World::new();
    let id = world.submit("0001").await;
    world
        .commit(vec![append(&id, 1, vec![started(5), started(6)])])
        .await
        .unwrap();
    world.tamper("DELETE FROM events WHERE seq = 2");

    let error = world.events(&id).await.unwrap_err();

    assert_eq!(
        error.to_string(),
        "the store holds something unreadable in events: run run_0001 has no event 2"
    );
    assert_eq!(world.open_runs().await.unwrap(), [id]);
}

#[tokio::test]
async fn an_event_that_cannot_be_read_spoils_its_own_journal_only() {
    let world = World::new();
    let (spoilt, well) = (world.submit("0001").await, world.submit("0002").await);
    world.tamper("UPDATE events SET payload = '{\"v\":1,\"data\":7}' WHERE run_id = 'run_0001'");

    assert!(matches!(
        world.events(&spoilt).await,
        Err(StoreError::Corrupt { .. })
    ));
    assert_eq!(
        world.events(&well).await.unwrap(),
        Some(vec![submitted(&well)])
    );
    assert_eq!(world.open_runs().await.unwrap(), [spoilt, well]);
}

fn claim(step: u32, attempt: u32) -> LedgerRow {
    let run = run("0001");
    LedgerRow {
        key: EffectKey::new(&run, StepId(step), 0),
        run,
        step: StepId(step),
        attempt: Attempt(attempt),
        epoch: Epoch(3),
        class: Class::Probe,
        claimed_at: at(1),
        child: None,
    }
}

#[tokio::test]
async fn the_ledger_lists_effects_that_have_not_ended() {
    let world = World::new();
    let id = world.submit("0001").await;
    let child = ChildGroup {
        pgid: 4711,
        leader_start: 99,
        boot_id: "boot".to_owned(),
    };
    world
        .commit(vec![
            Write::EffectClaimed(claim(0, 1)),
            Write::EffectClaimed(claim(1, 1)),
        ])
        .await
        .unwrap();
    world
        .commit(vec![
            Write::EffectEnded {
                run: id.clone(),
                step: StepId(0),
                attempt: Attempt(1),
                at: at(2),
                outcome: "succeeded".to_owned(),
            },
            Write::EffectChild {
                run: id.clone(),
                step: StepId(1),
                attempt: Attempt(1),
                child: child.clone(),
            },
        ])
        .await
        .unwrap();

    let mut open = world.open_effects(vec![id.clone()]).await.unwrap();
    let open = open.remove(0).unwrap();

    let expected = LedgerRow {
        child: Some(child),
        ..claim(1, 1)
    };
    assert_eq!(open, [expected]);
}

#[tokio::test]
async fn an_attempt_is_claimed_once() {
    let world = World::new();
    world.submit("0001").await;
    let claimed = vec![Write::EffectClaimed(claim(0, 1))];
    world.commit(claimed.clone()).await.unwrap();

    let again = world.commit(claimed).await;

    assert!(
        matches!(again, Err(StoreError::Conflict { .. })),
        "{again:?}"
    );
}

#[tokio::test]
async fn a_child_of_an_unclaimed_effect_is_refused() {
    let world = World::new();
    let id = world.submit("0001").await;

    let result = world
        .commit(vec![Write::EffectChild {
            run: id,
            step: StepId(0),
            attempt: Attempt(1),
            child: ChildGroup {
                pgid: 1,
                leader_start: 1,
                boot_id: String::new(),
            },
        }])
        .await;

    assert!(
        matches!(result, Err(StoreError::Conflict { .. })),
        "{result:?}"
    );
}

#[tokio::test]
async fn lock_epochs_never_fall() {
    let world = World::new();
    let key = LockKey::new("stack/stack-media").unwrap();
    let set = |epoch, holder| {
        vec![Write::Lock(LockRow {
            key: key.clone(),
            epoch: Epoch(epoch),
            holder,
        })]
    };
    world.commit(set(4, Some(run("0001")))).await.unwrap();
    world.commit(set(3, None)).await.unwrap();

    let expected = LockRow {
        key: key.clone(),
        epoch: Epoch(4),
        holder: None,
    };
    assert_eq!(world.locks().await.unwrap(), [expected]);
}

#[tokio::test]
async fn the_lock_queue_keeps_its_order() {
    let world = World::new();
    let wait = |ticket, id| LockWait {
        ticket,
        run: run(id),
        keys: BTreeSet::from([LockKey::new("stack/a").unwrap()]),
    };
    for waiting in [wait(7, "0007"), wait(3, "0003"), wait(5, "0005")] {
        world.commit(vec![Write::LockWait(waiting)]).await.unwrap();
    }
    world
        .commit(vec![Write::LockWaitOver(run("0005"))])
        .await
        .unwrap();

    assert_eq!(
        world.lock_waits().await.unwrap(),
        [wait(3, "0003"), wait(7, "0007")]
    );
}

#[tokio::test]
async fn secrets_are_kept_until_they_are_dropped() {
    let world = World::new();
    let id = run("0001");
    world
        .commit(vec![Write::Secret {
            run: id.clone(),
            name: "password".to_owned(),
            sealed: vec![0, 159, 255],
        }])
        .await
        .unwrap();
    let kept = world.secrets(&id).await.unwrap();
    assert_eq!(kept.get("password"), Some(&vec![0, 159, 255]));

    world
        .commit(vec![Write::SecretsDropped(id.clone())])
        .await
        .unwrap();

    assert!(world.secrets(&id).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_freeze_lasts_until_it_is_lifted() {
    let world = World::new();
    let freeze = |scope: &str, reason: &str| Freeze {
        scope: scope.to_owned(),
        by: ann(),
        reason: reason.to_owned(),
        since: at(1),
    };
    for write in [
        Write::Freeze(freeze("*", "release")),
        Write::Freeze(freeze("vm.start", "quota")),
        Write::Freeze(freeze("*", "longer release")),
        Write::Unfreeze("vm.start".to_owned()),
    ] {
        world.commit(vec![write]).await.unwrap();
    }

    assert_eq!(
        world.freezes().await.unwrap(),
        [freeze("*", "longer release")]
    );
}
