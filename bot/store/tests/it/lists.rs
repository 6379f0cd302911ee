//! Lists with filters and pages.

use rave_domain::IntentName;
use rave_domain::audit::Severity;
use rave_domain::ports::store::{AuditFilter, Page, RunFilter, RunRow, Store, Write};
use rave_domain::run::RunStatus;

use crate::kit::{World, at, entry, intent, row, run};

fn page(limit: u32, cursor: Option<String>) -> Page {
    Page { cursor, limit }
}

async fn run_pages(world: &World, filter: &RunFilter, limit: u32) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut cursor = None;
    loop {
        let found = world.runs(filter, &page(limit, cursor)).await.unwrap();
        pages.push(found.items.iter().map(|row| row.id.to_string()).collect());
        cursor = found.next;
        if cursor.is_none() {
            return pages;
        }
    }
}

async fn with_runs() -> World {
    let world = World::new();
    for (id, created, status) in [
        ("0001", 1, RunStatus::Succeeded),
        ("0002", 2, RunStatus::Running),
        // Two in the same millisecond, and one whose id does not sort by time.
        ("0009", 3, RunStatus::Failed),
        ("0003", 3, RunStatus::Running),
        ("0004", 4, RunStatus::NeedsAttention),
    ] {
        let row = RunRow {
            created_at: at(created),
            ..row(&run(id), status)
        };
        world.commit(vec![Write::Run(row)]).await.unwrap();
    }
    world
}

#[tokio::test]
async fn runs_come_newest_first_in_pages() {
    let world = with_runs().await;
    let pages = run_pages(&world, &RunFilter::default(), 2).await;
    assert_eq!(
        pages,
        [
            vec!["run_0004", "run_0009"],
            vec!["run_0003", "run_0002"],
            vec!["run_0001"]
        ]
    );
}

#[tokio::test]
async fn runs_are_filtered_by_status_person_and_intent() {
    let world = with_runs().await;
    let running = RunFilter {
        statuses: vec![RunStatus::Running, RunStatus::NeedsAttention],
        person: Some(crate::kit::ann()),
        intent: Some(intent()),
    };
    assert_eq!(
        run_pages(&world, &running, 200).await,
        [["run_0004", "run_0003", "run_0002"]]
    );
    let other = RunFilter {
        intent: Some(IntentName::new("other").unwrap()),
        ..RunFilter::default()
    };
    assert_eq!(run_pages(&world, &other, 200).await, [Vec::<String>::new()]);
}

#[tokio::test]
async fn a_run_is_listed_with_its_latest_row() {
    let world = World::new();
    let id = run("0001");
    world
        .commit(vec![Write::Run(row(&id, RunStatus::Running))])
        .await
        .unwrap();
    let ended = row(&id, RunStatus::Succeeded);
    world.commit(vec![Write::Run(ended.clone())]).await.unwrap();

    let found = world
        .runs(&RunFilter::default(), &page(10, None))
        .await
        .unwrap();

    assert_eq!(found.items, [ended]);
}

#[tokio::test]
async fn a_made_up_cursor_leads_nowhere() {
    let world = with_runs().await;
    for cursor in ["", "x", "1.", "'; DROP TABLE runs"] {
        let cursor = page(10, Some(cursor.to_owned()));
        let found = world.runs(&RunFilter::default(), &cursor).await.unwrap();
        assert_eq!(found.items, []);
        let found = world.audit(&AuditFilter::default(), &cursor).await.unwrap();
        assert_eq!(found.items, []);
    }
}

#[tokio::test]
async fn audit_rows_are_filtered_and_paged() {
    let world = World::new();
    for (event, correlation, severity) in [
        ("run.requested", "run_0001", Severity::Info),
        ("auth.refused", "req_0002", Severity::Warning),
        ("run.requested", "run_0003", Severity::Info),
        ("step.unknown", "run_0001", Severity::Critical),
    ] {
        let mut entry = entry(event, correlation);
        entry.severity = severity;
        world.commit(vec![Write::Audit(entry)]).await.unwrap();
    }
    let ids = async |filter: AuditFilter, page: &Page| {
        let found = world.audit(&filter, page).await.unwrap();
        let ids: Vec<_> = found.items.iter().map(|row| row.id).collect();
        (ids, found.next)
    };
    let all = page(10, None);

    let (found, next) = ids(AuditFilter::default(), &page(3, None)).await;
    assert_eq!((found, next.as_deref()), (vec![4, 3, 2], Some("2")));
    assert_eq!(ids(AuditFilter::default(), &page(3, next)).await.0, [1]);
    let of_run = AuditFilter {
        correlation: Some("run_0001".to_owned()),
        ..AuditFilter::default()
    };
    assert_eq!(ids(of_run, &all).await.0, [4, 1]);
    let serious = AuditFilter {
        severity: Some(Severity::Warning),
        ..AuditFilter::default()
    };
    assert_eq!(ids(serious, &all).await.0, [4, 2]);
    let requests_of_ann = AuditFilter {
        event: Some("run.requested".to_owned()),
        person: Some(crate::kit::ann()),
        ..AuditFilter::default()
    };
    assert_eq!(ids(requests_of_ann, &all).await.0, [3, 1]);
}
