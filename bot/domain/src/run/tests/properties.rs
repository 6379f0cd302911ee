//! Random plans under random fortune. What must never happen is in [`super::watch`].

use proptest::collection::vec;
use proptest::prelude::*;

use super::plans::{PlanBuilder, need, plan, step};
use super::sim::{Sim, broken, flaky, ok, person, rejected, stopped, unsure};
use crate::ids::StepId;
use crate::plan::{Class, Plan};
use crate::request::Decision::{Approve, Deny};
use crate::request::Verdict;
use crate::run::{Event, Outcome, Run, RunStatus};

const CLASSES: [Class; 5] = [
    Class::Read,
    Class::Idempotent,
    Class::Keyed,
    Class::Probe,
    Class::Once,
];
const VERDICTS: [Verdict; 3] = [Verdict::Happened, Verdict::DidNot, Verdict::Again];

#[derive(Debug, Clone)]
struct Node {
    needs: u8,
    after: u8,
    class: usize,
    undo: u8,
    retry: u32,
    lock: u8,
}

fn node() -> impl Strategy<Value = Node> {
    (
        any::<u8>(),
        any::<u8>(),
        0..5_usize,
        0..5_u8,
        0..3_u32,
        0..5_u8,
    )
        .prop_map(|(needs, after, class, undo, retry, lock)| Node {
            needs: needs & after,
            after: after & !needs & (needs << 2),
            class,
            undo,
            retry,
            lock,
        })
}

fn some_plan() -> impl Strategy<Value = Plan> {
    let options = (any::<[bool; 3]>(), 1..4_u32, 0..3_u32);
    (vec(node(), 1..=8), options).prop_map(|(nodes, ([stop, rollback, unwind], width, quorum))| {
        let steps = nodes.iter().zip(0_u32..).map(|(node, id)| {
            let mut step = step(&format!("s{id}"))
                .retry(node.retry)
                .class(CLASSES[node.class]);
            for earlier in 0..id {
                if node.needs & (1 << earlier) != 0 {
                    step = step.needs_id(earlier);
                }
                if node.after & (1 << earlier) != 0 {
                    step = step.after_id(earlier);
                }
            }
            if node.lock < 3 && CLASSES[node.class] != Class::Read {
                step = step.lock(&format!("vm/shared{}", node.lock));
            }
            match node.undo {
                0 | 1 => step.own_undo(),
                2 => step.undo_by("restore"),
                3 => step.undo_by_class("destroy", Class::Once),
                _ => step,
            }
        });
        let when = |wanted: bool, option: fn(PlanBuilder) -> PlanBuilder, plan| {
            if wanted { option(plan) } else { plan }
        };
        let mut plan = plan(steps).at_most(width);
        plan = when(!stop, PlanBuilder::keep_going, plan);
        plan = when(!rollback, PlanBuilder::no_rollback, plan);
        plan = when(unwind, PlanBuilder::unwind_run, plan);
        if quorum > 0 {
            plan = plan.approval(need(quorum));
        }
        plan.build()
    })
}

/// One stroke of fortune and where it strikes.
type Fate = (u8, u8);

fn pick<T: Clone>(from: &[T], at: u8) -> Option<T> {
    (!from.is_empty()).then(|| from[usize::from(at) % from.len()].clone())
}

fn outcome(at: u8) -> Outcome {
    let outcomes = [
        ok(),
        ok(),
        broken(),
        rejected(),
        flaky(),
        unsure(),
        stopped(true),
        stopped(false),
    ];
    outcomes[usize::from(at) % outcomes.len()].clone()
}

/// Any event about any step, whether it fits or not.
fn anything(sim: &Sim, at: u8) -> Event {
    let id = StepId(u32::from(at >> 5));
    let mut event = pick(&sim.one_of_each(), at & 31).unwrap();
    match &mut event {
        Event::Claimed { step, .. }
        | Event::ClaimRefused { step, .. }
        | Event::Prepared { step, .. }
        | Event::Reported { step, .. }
        | Event::Recovered { step, .. }
        | Event::Resolved { step, .. } => *step = id,
        Event::Submitted(_)
        | Event::Decided { .. }
        | Event::Expired { .. }
        | Event::LocksGranted { .. }
        | Event::LockBroken { .. }
        | Event::Started { .. }
        | Event::Voided { .. }
        | Event::CancelRequested { .. } => {}
    }
    event
}

fn strike(sim: &mut Sim, (what, at): Fate) {
    let event = match what % 16 {
        0..=5 => {
            sim.next();
            return;
        }
        6..=8 => {
            let Some(id) = pick(&sim.active(), at) else {
                return;
            };
            sim.report_of(id, outcome(at / 8))
        }
        9 => sim.cancel_event(),
        10 => return sim.crash(),
        11 => {
            let unknown: Vec<StepId> = sim.run.unknown_steps().map(|step| step.id).collect();
            let Some(id) = pick(&unknown, at) else { return };
            Event::Resolved {
                at: sim.now,
                step: id,
                verdict: VERDICTS[usize::from(at) % 3],
                by: person("bob"),
            }
        }
        12 => {
            let Some((due, timer)) = pick(&sim.run.timers(), at) else {
                return;
            };
            sim.now = due.max(sim.now);
            sim.expiry(timer)
        }
        13 => {
            let locks: Vec<_> = sim.run.locks.keys().cloned().collect();
            let Some(lock) = pick(&locks, at) else { return };
            sim.lock_broken(lock.as_str())
        }
        14 => {
            let decision = if at % 8 == 0 { Deny } else { Approve };
            sim.decision(
                ["ann", "bob", "cid", "dot"][usize::from(at) % 4],
                decision,
                &[0],
            )
        }
        _ => anything(sim, at),
    };
    let _ = sim.offer(event);
}

fn expire(sim: &mut Sim) {
    let (due, timer) = sim.run.timers()[0];
    sim.now = due.max(sim.now);
    sim.apply(sim.expiry(timer));
}

/// Fortune turns kind: people decide, and everything that is still tried succeeds.
fn come_to_an_end(sim: &mut Sim) {
    for _ in 0..200 {
        sim.finish();
        match sim.run.status {
            RunStatus::Succeeded | RunStatus::Failed | RunStatus::Cancelled => return,
            RunStatus::AwaitingApproval => {
                for who in ["bob", "cid"] {
                    let _ = sim.offer(sim.decision(who, Approve, &[0]));
                }
                let (due, timer) = sim
                    .run
                    .timers()
                    .first()
                    .copied()
                    .unwrap_or((sim.now, crate::run::Timer::Decide));
                if sim.run.status == RunStatus::AwaitingApproval {
                    sim.now = due.max(sim.now);
                    sim.apply(sim.expiry(timer));
                }
            }
            RunStatus::NeedsAttention => {
                let id = sim.run.unknown_steps().next().unwrap().id;
                let name = sim.name(id);
                sim.resolve(&name, Verdict::DidNot);
            }
            RunStatus::Queued => {
                // Nothing but its deadline is left.
                expire(sim);
            }
            RunStatus::Planned | RunStatus::Running | RunStatus::Compensating => {
                panic!("{} and stuck\n{}", sim.run.status, sim.trace())
            }
        }
    }
    panic!("no end\n{}", sim.trace());
}

proptest! {
    #[test]
    fn whatever_happens_every_rule_holds_and_the_run_ends(
        plan in some_plan(),
        fates in vec(any::<Fate>(), 0..60),
    ) {
        let mut sim = Sim::of(plan).quick();
        for fate in fates {
            if sim.run.status.is_terminal() {
                break;
            }
            strike(&mut sim, fate);
        }
        come_to_an_end(&mut sim);
        sim.ends(sim.run.status);
        sim.check_journal();
        for event in sim.one_of_each() {
            prop_assert_eq!(sim.refusal(&event), "it has ended");
        }
    }
}

proptest! {
    // Reading a journal back after each of its events costs the square of its length.
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 8, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happened_the_journal_gives_the_same_run_again(
        plan in some_plan(),
        fates in vec(any::<Fate>(), 0..40),
    ) {
        let mut sim = Sim::of(plan).quick();
        for fate in fates {
            if !sim.run.status.is_terminal() {
                strike(&mut sim, fate);
            }
            sim.check_journal();
        }
        // A journal with an event cut out is either refused or leads to a run that obeys the rules.
        for cut in 1..sim.events.len() {
            let kept = sim.events.iter().enumerate().filter(|(at, _)| *at != cut);
            let _ = Run::replay(kept.map(|(_, event)| event.as_ref().clone()));
        }
    }
}
