use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::plans::lock;
use crate::ids::{Epoch, LockKey, RunId};
use crate::run::LockTable;

fn run(number: u8) -> RunId {
    RunId::new(format!("run_{number:04}")).unwrap()
}

fn keys(names: &[&str]) -> BTreeSet<LockKey> {
    names.iter().map(|name| lock(name)).collect()
}

fn table(asks: &[&[&str]]) -> LockTable {
    let mut table = LockTable::default();
    for (number, names) in (1_u8..).zip(asks) {
        table.enqueue(&run(number), keys(names), None);
    }
    table
}

#[test]
fn locks_are_granted_first_come_first_served() {
    let mut table = table(&[&["a"], &["a"], &["a"]]);
    assert_eq!(table.ready(), [run(1)]);
    assert_eq!(table.grant(&run(2)), None);
    assert_eq!(table.grant(&run(1)), Some([(lock("a"), Epoch(1))].into()));
    assert_eq!(table.ready(), []);
    table.release(&run(1));
    assert_eq!(table.ready(), [run(2)]);
}

#[test]
fn a_run_gets_all_its_locks_or_none() {
    let mut table = table(&[&["a"], &["a", "b"]]);
    table.grant(&run(1));
    assert_eq!(table.grant(&run(2)), None);
    assert_eq!(table.holder(&lock("b")), None);
    table.release(&run(1));
    assert_eq!(table.grant(&run(2)).map(|epochs| epochs.len()), Some(2));
}

#[test]
fn a_free_lock_is_promised_to_the_run_that_waits_for_more() {
    let mut table = table(&[&["a"], &["a", "b"], &["b"], &["c"]]);
    table.grant(&run(1));
    assert_eq!(table.ready(), [run(4)]);
    assert_eq!(table.grant(&run(3)), None);
}

#[test]
fn asking_again_keeps_the_place() {
    let mut table = table(&[&["a"], &["a"]]);
    assert_eq!(table.enqueue(&run(1), keys(&["b"]), None), 0);
    assert_eq!(table.ready(), [run(1)]);
}

#[test]
fn the_position_counts_holders_and_those_before_once() {
    let mut table = table(&[&["a", "b"], &["a", "b"], &["c"], &["a", "b", "c"]]);
    table.grant(&run(1));
    table.grant(&run(3));
    assert_eq!(table.position(&run(2)), Some(1));
    assert_eq!(table.position(&run(4)), Some(3));
    assert_eq!(table.position(&run(1)), None);
}

#[test]
fn a_broken_lock_is_free_under_a_higher_epoch() {
    let mut table = table(&[&["a", "b"], &["a"]]);
    table.grant(&run(1));
    assert_eq!(table.break_lock(&lock("a")), Some((run(1), Epoch(2))));
    assert_eq!(table.break_lock(&lock("a")), None);
    assert_eq!(table.holder(&lock("b")), Some(&run(1)));
    assert_eq!(table.grant(&run(2)), Some([(lock("a"), Epoch(3))].into()));
    table.release(&run(1));
    assert_eq!(table.holder(&lock("a")), Some(&run(2)));
}

#[test]
fn a_run_that_leaves_the_queue_makes_way() {
    let mut table = table(&[&["a"], &["a", "b"], &["b"]]);
    table.grant(&run(1));
    table.release(&run(2));
    assert_eq!(table.ready(), [run(3)]);
    assert_eq!(table.position(&run(2)), None);
}

#[test]
fn a_restart_keeps_holders_epochs_and_places() {
    let mut table = LockTable::default();
    table.restore(lock("a"), Epoch(7), Some(run(1)));
    table.restore(lock("b"), Epoch(3), None);
    table.enqueue(&run(3), keys(&["a", "b"]), Some(12));
    table.enqueue(&run(2), keys(&["a"]), Some(11));
    assert_eq!(table.enqueue(&run(4), keys(&["b"]), None), 13);
    assert_eq!(table.ready(), []);
    table.release(&run(1));
    assert_eq!(table.ready(), [run(2)]);
    assert_eq!(table.grant(&run(2)), Some([(lock("a"), Epoch(8))].into()));
    table.release(&run(2));
    let both = [(lock("a"), Epoch(9)), (lock("b"), Epoch(4))];
    assert_eq!(table.grant(&run(3)), Some(both.into()));
}

#[test]
fn an_epoch_never_falls() {
    let mut table = table(&[&["a"]]);
    table.restore(lock("a"), Epoch(9), None);
    table.restore(lock("a"), Epoch(2), None);
    assert_eq!(table.grant(&run(1)), Some([(lock("a"), Epoch(10))].into()));
}

#[test]
fn two_runs_never_share_a_ticket() {
    let mut table = LockTable::default();
    table.enqueue(&run(1), keys(&["a"]), Some(5));
    assert_eq!(table.enqueue(&run(2), keys(&["b"]), Some(5)), 6);
    assert_eq!(table.ready(), [run(1), run(2)]);
}

#[test]
fn people_see_holders_and_queues_by_lock() {
    let mut table = table(&[&["b"], &["a", "b"], &["b"]]);
    table.grant(&run(1));
    let view: Vec<_> = table
        .view()
        .into_iter()
        .map(|view| (view.key, view.holder, view.epoch, view.waiting))
        .collect();
    assert_eq!(
        view,
        [
            (lock("a"), None, Epoch(0), vec![run(2)]),
            (lock("b"), Some(run(1)), Epoch(1), vec![run(2), run(3)]),
        ]
    );
}

/// The rule in its plainest form: a list of who waits, and who holds what.
#[derive(Debug, Default)]
struct Model {
    waiting: Vec<(RunId, BTreeSet<LockKey>)>,
    held: BTreeMap<LockKey, RunId>,
}

impl Model {
    fn ready(&self) -> Vec<RunId> {
        let mut promised = BTreeSet::new();
        let mut ready = Vec::new();
        for (run, keys) in &self.waiting {
            let free = |key| !self.held.contains_key(key) && !promised.contains(key);
            if keys.iter().all(free) {
                ready.push(run.clone());
            }
            promised.extend(keys.clone());
        }
        ready
    }

    fn release(&mut self, run: &RunId) {
        self.held.retain(|_, holder| holder != run);
        self.waiting.retain(|(waiting, _)| waiting != run);
    }
}

#[derive(Debug, Clone)]
enum Act {
    Ask(u8, BTreeSet<u8>),
    Grant(u8),
    Release(u8),
    Break(u8),
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..12_u8, btree_set(0..6_u8, 1..4)).prop_map(|(run, keys)| Act::Ask(run, keys)),
        4 => (0..12_u8).prop_map(Act::Grant),
        2 => (0..12_u8).prop_map(Act::Release),
        1 => (0..6_u8).prop_map(Act::Break),
        1 => Just(Act::Restart),
    ]
}

fn key(number: u8) -> LockKey {
    lock(&format!("vm/{number}"))
}

/// The table as a restart builds it from the store's rows.
fn restarted(table: &LockTable, model: &Model, epochs: &BTreeMap<LockKey, Epoch>) -> LockTable {
    let mut fresh = LockTable::default();
    for (key, epoch) in epochs {
        fresh.restore(key.clone(), *epoch, table.holder(key).cloned());
    }
    // Rows come in any order.
    for (run, keys) in model.waiting.iter().rev() {
        fresh.enqueue(run, keys.clone(), table.ticket(run));
    }
    fresh
}

proptest! {
    #[test]
    fn the_table_does_what_the_plain_rule_says(acts in vec(act(), 1..80)) {
        let mut table = LockTable::default();
        let mut model = Model::default();
        let mut epochs: BTreeMap<LockKey, Epoch> = BTreeMap::new();
        for act in acts {
            match act {
                Act::Ask(who, wanted) => {
                    let who = run(who);
                    let busy = model.held.values().any(|holder| *holder == who)
                        || model.waiting.iter().any(|(waiting, _)| *waiting == who);
                    if !busy {
                        let wanted: BTreeSet<_> = wanted.into_iter().map(key).collect();
                        table.enqueue(&who, wanted.clone(), None);
                        model.waiting.push((who, wanted));
                    }
                }
                Act::Grant(who) => {
                    let who = run(who);
                    let due = model.ready().contains(&who);
                    let granted = table.grant(&who);
                    prop_assert_eq!(granted.is_some(), due);
                    let at = model.waiting.iter().position(|(waiting, _)| due && *waiting == who);
                    let wanted = at.map(|at| model.waiting.remove(at).1).unwrap_or_default();
                    let granted = granted.unwrap_or_default();
                    prop_assert!(granted.keys().eq(&wanted));
                    for (key, epoch) in granted {
                        let before = epochs.insert(key.clone(), epoch).unwrap_or_default();
                        prop_assert!(epoch > before, "the epoch of {key} did not rise");
                        model.held.insert(key, who.clone());
                    }
                }
                Act::Release(who) => {
                    table.release(&run(who));
                    model.release(&run(who));
                }
                Act::Break(number) => {
                    let broken = table.break_lock(&key(number));
                    let holder = model.held.remove(&key(number));
                    prop_assert_eq!(broken.as_ref().map(|(run, _)| run), holder.as_ref());
                    if let Some((_, epoch)) = broken {
                        let before = epochs.insert(key(number), epoch).unwrap_or_default();
                        prop_assert!(epoch > before);
                    }
                }
                Act::Restart => table = restarted(&table, &model, &epochs),
            }
            prop_assert_eq!(table.ready(), model.ready());
            for (at, (waiting, wanted)) in model.waiting.iter().enumerate() {
                let before = model.waiting[..at].iter();
                let ahead: BTreeSet<&RunId> = before
                    .filter(|(_, keys)| !keys.is_disjoint(wanted))
                    .map(|(run, _)| run)
                    .chain(wanted.iter().filter_map(|key| model.held.get(key)))
                    .collect();
                prop_assert_eq!(table.position(waiting), Some(ahead.len()));
            }
            for number in 0..6 {
                prop_assert_eq!(table.holder(&key(number)), model.held.get(&key(number)));
            }
        }
        // Nobody waits in a circle, and nobody for ever: as holders end, all get their turn, and
        // those who share a lock in the order of asking.
        for number in 0..12 {
            if table.ticket(&run(number)).is_none() {
                table.release(&run(number));
                model.release(&run(number));
            }
        }
        while let Some(next) = table.ready().first().cloned() {
            prop_assert_eq!(Some(&next), model.waiting.first().map(|(run, _)| run));
            prop_assert!(table.grant(&next).is_some());
            table.release(&next);
            model.release(&next);
        }
        prop_assert!(model.waiting.is_empty());
        prop_assert!(table.view().is_empty());
    }
}
