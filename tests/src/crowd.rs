//! Very many runs, made out of one.

use rave_domain::RunId;
use rave_domain::ports::store::{Page, RunFilter, Store, Write};
use rave_domain::run::{Event, Run, Submission};

/// The word in a run's arguments that is another one in each copy.
pub const MARK: &str = "mark-0000000";

/// Copies in one commit.
const BATCH: u32 = 500;

/// Writes `count` copies of a run as it was submitted, as if each had been asked for on
/// its own: with an id, arguments, targets, locks and a digest of its own. [`MARK`] in the run's
/// arguments is another word in each copy. Rave must not run meanwhile.
pub async fn crowd(store: &dyn Store, of: &RunId, count: u32) -> Vec<RunId> {
    let events = store.events(of).await.unwrap().unwrap();
    let Some(Event::Submitted(template)) = events.first() else {
        panic!("the journal of {of} begins with something else");
    };
    let page = Page {
        cursor: None,
        limit: 200,
    };
    let rows = store
        .runs(&RunFilter::default(), &page)
        .await
        .unwrap()
        .items;
    let row = rows.into_iter().find(|row| row.id == *of).unwrap();
    let text = serde_json::to_string(template).unwrap();
    let mut ids = Vec::new();
    let mut writes = Vec::new();
    for number in 0..count {
        let text = text.replace(MARK, &format!("mark-{:07}", number + 1));
        let mut copy: Submission = serde_json::from_str(&text).unwrap();
        copy.run = RunId::new(format!("run_crowd{number:07}")).unwrap();
        copy.plan = copy.plan.sealed();
        let mut row = row.clone();
        row.id = copy.run.clone();
        row.digest = copy.plan.digest;
        row.status = Run::submitted(copy.clone()).status;
        row.ended_at = None;
        ids.push(copy.run.clone());
        writes.push(Write::Run(row));
        writes.push(Write::Events {
            run: copy.run.clone(),
            after: 0,
            events: vec![Event::Submitted(Box::new(copy))],
        });
        if (number + 1) % BATCH == 0 || number + 1 == count {
            store.commit(std::mem::take(&mut writes)).await.unwrap();
        }
    }
    ids
}
