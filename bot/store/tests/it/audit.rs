//! The audit chain: gapless, linked, and verifiable from outside.

use rave_domain::Digest;
use rave_domain::audit::{ChainCheck, genesis};
use rave_domain::ports::store::{Store, Write};
use rave_store::{VerifyError, verify};

use crate::kit::{World, entry};

async fn with_rows(count: u32) -> World {
    let world = World::new();
    for number in 1..=count {
        let entry = entry("run.requested", &format!("run_{number:04}"));
        world.commit(vec![Write::Audit(entry)]).await.unwrap();
    }
    world
}

async fn head(world: &World) -> (u64, Digest) {
    let row = world.audit_after(0, 1000).await.unwrap().pop().unwrap();
    (row.id, row.link)
}

fn fault(world: &World, anchors: &[(u64, Digest)]) -> String {
    match verify(&world.dir(), anchors) {
        Err(VerifyError::Fault(fault)) => fault.to_string(),
        other => panic!("no fault was found: {other:?}"),
    }
}

#[tokio::test]
async fn rows_are_numbered_from_one_and_linked() {
    let world = with_rows(5).await;

    let rows = world.audit_after(0, 10).await.unwrap();

    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    assert_eq!(ids, [1, 2, 3, 4, 5]);
    let mut previous = genesis();
    for row in &rows {
        assert_eq!(row.previous, previous);
        previous = row.link;
    }
    assert_eq!(world.audit_after(3, 1).await.unwrap(), rows[3..4]);
}

#[tokio::test]
async fn the_chain_goes_on_after_a_restart() {
    let world = with_rows(2).await.reopened();
    world
        .commit(vec![Write::Audit(entry("run.started", "run_0001"))])
        .await
        .unwrap();

    let report = verify(&world.dir(), &[]).unwrap();

    assert_eq!((report.rows, report.head), (3, head(&world).await));
}

#[tokio::test]
async fn a_chain_without_fractions_passes_the_check_of_the_domain_too() {
    let world = World::new();
    for _ in 0..3 {
        let mut entry = entry("run.requested", "run_0001");
        entry.details =
            serde_json::json!({"count": 3, "big": u64::MAX, "nested": {"z": [], "a": {}}});
        world.commit(vec![Write::Audit(entry)]).await.unwrap();
    }
    let mut check = ChainCheck::from(0, genesis());
    for row in world.audit_after(0, 10).await.unwrap() {
        check.next(&row).unwrap();
    }
    assert_eq!(check.head(), head(&world).await);
}

#[tokio::test]
async fn without_an_anchor_the_report_says_what_it_does_not_prove() {
    let world = with_rows(2).await;
    let report = verify(&world.dir(), &[]).unwrap();
    assert_eq!(report.anchored, None);
    assert!(
        report.to_string().contains("proves consistency only"),
        "{report}"
    );
    let report = verify(&world.file(), &[head(&world).await]).unwrap();
    assert_eq!(report.anchored, Some(2));
    assert!(report.to_string().contains("up to row 2"), "{report}");
}

#[tokio::test]
async fn an_empty_chain_is_consistent() {
    let report = verify(&World::new().dir(), &[]).unwrap();
    assert_eq!((report.rows, report.head), (0, (0, genesis())));
}

#[tokio::test]
async fn any_edit_is_found() {
    for edit in [
        "text = replace(text, 'u-ann', 'u-bob')",
        "text = replace(text, '\"person\":\"ann\"', '\"person\":\"bob\"'), person = 'bob'",
        "text = text || ' '",
        "person = 'bob'",
        "person = NULL",
        "severity = 2",
        "event = 'x'",
        "correlation = 'run_9999'",
        "at = at + 1",
        "link = zeroblob(32)",
    ] {
        let world = with_rows(4).await;
        world.tamper(&format!("UPDATE audit SET {edit} WHERE id = 2"));
        assert_eq!(
            fault(&world, &[]),
            "row 2 was changed after it was written",
            "{edit}"
        );
    }
}

#[tokio::test]
async fn a_row_written_anew_with_its_link_does_not_fit_the_next() {
    let world = with_rows(4).await;
    let row = world.audit_after(1, 1).await.unwrap().pop().unwrap();
    let mut forged = row.entry.clone();
    forged.target = "stack/another".to_owned();
    let text = rave_domain::audit::linked_text(2, &forged).unwrap();
    let link = rave_domain::audit::link(&row.previous, &text);
    rusqlite::Connection::open(world.file())
        .unwrap()
        .execute(
            "UPDATE audit SET text = ?1, link = ?2 WHERE id = 2",
            rusqlite::params![text, link.bytes()],
        )
        .unwrap();

    assert_eq!(
        fault(&world, &[]),
        "row 3 does not link to the row before it"
    );
}

#[tokio::test]
async fn a_row_taken_out_or_put_in_is_found() {
    let world = with_rows(4).await;
    world.tamper("DELETE FROM audit WHERE id = 2");
    assert_eq!(
        fault(&world, &[]),
        "row 3 follows row 1: 1 rows are missing or out of order"
    );
    let world = with_rows(4).await;
    world.tamper(
        "INSERT INTO audit SELECT -1, at, event, person, correlation, severity, text, previous, link \
         FROM audit WHERE id = 1",
    );
    assert!(fault(&world, &[]).contains("follows row 0"));
}

#[tokio::test]
async fn a_cut_off_tail_is_found_with_an_anchor_only() {
    let world = with_rows(4).await;
    let anchor = head(&world).await;
    world.tamper("DELETE FROM audit WHERE id > 2");

    assert_eq!(verify(&world.dir(), &[]).unwrap().rows, 2);
    assert_eq!(
        fault(&world, &[anchor]),
        "row 4 is not the one that was anchored: the chain was cut off or written anew"
    );
}

#[tokio::test]
async fn a_chain_written_anew_is_found_with_an_anchor() {
    let world = with_rows(4).await;
    let forged = (2, Digest::of(b"what was anchored"));
    assert!(fault(&world, &[forged, head(&world).await]).starts_with("row 2 is not"));
}

#[tokio::test]
async fn verification_needs_no_running_store_and_no_write_access() {
    let world = with_rows(3).await;
    world.close().await;
    assert_eq!(verify(&world.dir(), &[]).unwrap().rows, 3);

    let elsewhere = tempfile::tempdir().unwrap();
    let message = verify(elsewhere.path(), &[]).unwrap_err().to_string();
    assert!(message.starts_with("there is no store at"), "{message}");
    let other = elsewhere.path().join("rave.db");
    rusqlite::Connection::open(&other)
        .unwrap()
        .execute_batch("CREATE TABLE t (x)")
        .unwrap();
    let message = verify(&other, &[]).unwrap_err().to_string();
    assert!(message.contains("is not a store"), "{message}");
}
