//! Not samples: all 75 graphs of up to four steps, one at a time and side by side, stopping at a
//! failure and going on; with each single fault at each step; and with a crash, a cancel or a broken
//! lock after each event. Crashes are enumerated for every class of action, for every answer that a
//! probe may get, and together with every failure.

use std::collections::BTreeSet;

use super::plans::{PlanBuilder, StepBuilder, plan, step};
use super::sim::{Sim, broken, flaky, ok, rejected, unsure};
use crate::ids::StepId;
use crate::plan::{Class, Plan};
use crate::ports::driver::{Applied, Inspection};
use crate::request::Verdict;
use crate::run::{Outcome, RunStatus, StepStatus};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// What each step needs, for each graph in which a step needs only earlier ones.
fn every_graph() -> impl Iterator<Item = Vec<Vec<u32>>> {
    (1_u32..=4).flat_map(|nodes| {
        let pairs: Vec<(u32, u32)> = (0..nodes)
            .flat_map(|later| (0..later).map(move |earlier| (earlier, later)))
            .collect();
        (0_u32..1 << pairs.len()).map(move |bits| {
            let mut needs = vec![Vec::new(); nodes as usize];
            for (bit, (earlier, later)) in pairs.iter().enumerate() {
                if bits & (1 << bit) != 0 {
                    needs[*later as usize].push(*earlier);
                }
            }
            needs
        })
    })
}

fn steps(graph: &[Vec<u32>]) -> Vec<StepBuilder> {
    let named = NAMES.into_iter().zip(graph);
    named
        .map(|(name, needs)| {
            needs
                .iter()
                .fold(step(name).own_undo().retry(1), |step, id| {
                    step.needs_id(*id)
                })
        })
        .collect()
}

/// Both answers to a failure, one step at a time and side by side.
fn every_option(graph: &[Vec<u32>]) -> Vec<Plan> {
    let options: [fn(PlanBuilder) -> PlanBuilder; 4] = [
        |plan| plan.at_most(1),
        |plan| plan.at_most(4),
        |plan| plan.at_most(1).keep_going(),
        |plan| plan.at_most(4).keep_going(),
    ];
    let build = |option: fn(PlanBuilder) -> PlanBuilder| option(plan(steps(graph))).build();
    options.map(build).into()
}

/// A step and all that needs it, directly or not.
fn downstream(graph: &[Vec<u32>], of: usize) -> BTreeSet<usize> {
    let mut found = BTreeSet::from([of]);
    for (id, needs) in graph.iter().enumerate() {
        if needs.iter().any(|need| found.contains(&(*need as usize))) {
            found.insert(id);
        }
    }
    found
}

fn each_plan(mut check: impl FnMut(&Plan)) {
    for graph in every_graph() {
        for plan in every_option(&graph) {
            check(&plan);
        }
    }
}

fn each_case(mut check: impl FnMut(&[Vec<u32>], &Plan, usize)) {
    for graph in every_graph() {
        for plan in every_option(&graph) {
            for at in 0..graph.len() {
                check(&graph, &plan, at);
            }
        }
    }
}

fn with_fault(plan: &Plan, at: usize, fault: Outcome) -> Sim {
    Sim::of(plan.clone()).quick().script(NAMES[at], [fault])
}

#[test]
fn every_graph_succeeds_when_every_step_does() {
    let graphs: Vec<_> = every_graph().collect();
    assert_eq!(graphs.len(), 1 + 2 + 8 + 64);
    for graph in graphs {
        for plan in every_option(&graph) {
            let mut sim = Sim::of(plan).quick();
            sim.finish().ends(RunStatus::Succeeded);
        }
    }
}

#[test]
fn every_single_failure_is_undone_when_it_must_and_holds_back_what_it_must() {
    each_case(|graph, plan, at| {
        for (fault, undone) in [(rejected(), false), (broken(), true)] {
            let mut sim = with_fault(plan, at, fault);
            sim.finish().ends(RunStatus::Failed);
            assert_eq!(sim.status(NAMES[at]).as_str(), "failed");
            let undos = &sim.run.steps[graph.len()..];
            let undos: Vec<_> = undos.iter().map(|undo| &undo.status).collect();
            let expected = if undone {
                vec![&StepStatus::Succeeded]
            } else {
                vec![]
            };
            assert_eq!(undos, expected, "{}", sim.trace());
            let dependants = downstream(graph, at);
            for (id, name) in NAMES.iter().enumerate().take(graph.len()) {
                let status = sim.status(name).as_str();
                let allowed: &[&str] = match (id == at, dependants.contains(&id)) {
                    (true, _) => &["failed"],
                    (false, _) if !plan.options.stop_on_failure => &["succeeded"],
                    (false, true) => &["skipped"],
                    (false, false) => &["succeeded", "skipped"],
                };
                assert!(allowed.contains(&status), "{name}\n{}", sim.trace());
            }
        }
    });
}

#[test]
fn every_single_failure_that_passes_is_forgotten() {
    each_case(|_, plan, at| {
        let mut sim = with_fault(plan, at, flaky());
        sim.finish().ends(RunStatus::Succeeded);
        assert_eq!(sim.attempts(NAMES[at]), 2);
    });
}

#[test]
fn every_single_unknown_waits_for_its_verdict_with_all_else_done() {
    each_case(|graph, plan, at| {
        let mut sim = with_fault(plan, at, unsure());
        sim.finish();
        assert_eq!(sim.run.status, RunStatus::NeedsAttention);
        let dependants = downstream(graph, at);
        for (id, name) in NAMES.iter().enumerate().take(graph.len()) {
            let expected = match (id == at, dependants.contains(&id)) {
                (true, _) => "unknown",
                (false, true) => "pending",
                (false, false) => "succeeded",
            };
            assert_eq!(
                sim.status(name).as_str(),
                expected,
                "{name}\n{}",
                sim.trace()
            );
        }
        for (verdict, status) in [
            (Verdict::Happened, RunStatus::Succeeded),
            (Verdict::Again, RunStatus::Succeeded),
            (Verdict::DidNot, RunStatus::Failed),
        ] {
            let mut sim = sim.clone();
            sim.resolve(NAMES[at], verdict);
            sim.finish().ends(status);
        }
    });
}

/// Runs to the end and shows `visit` the run after each event on the way.
fn along(mut sim: Sim, mut visit: impl FnMut(&Sim)) -> Sim {
    loop {
        visit(&sim);
        if !sim.next() && !sim.next_retry() {
            return sim;
        }
    }
}

#[test]
fn a_crash_after_any_event_does_not_change_what_steps_that_may_rerun_come_to() {
    each_case(|_, plan, at| {
        for fault in [ok(), broken(), flaky()] {
            // Without a fault all cases of a plan are one.
            if fault == ok() && at > 0 {
                continue;
            }
            let mut prefixes = Vec::new();
            let calm = along(with_fault(plan, at, fault), |sim| {
                prefixes.push(sim.clone());
            });
            prefixes.retain(|sim| !sim.active().is_empty());
            for mut sim in prefixes {
                sim.crash_quickly();
                sim.finish().ends(calm.run.status);
                assert_eq!(sim.steps(), calm.steps(), "{}", sim.trace());
            }
        }
    });
}

/// What a crash leaves of each effect under way, by class: what recovery writes about it, and what
/// the run comes to with nothing else wrong.
#[test]
fn a_crash_after_any_event_is_settled_by_the_class_of_every_step() {
    let looks = [
        Some(Inspection::Happened(Applied::default())),
        Some(Inspection::DidNot),
    ];
    let cases =
        [Class::Read, Class::Idempotent, Class::Keyed, Class::Once].map(|class| (class, None));
    let cases = cases
        .into_iter()
        .chain(looks.map(|look| (Class::Probe, look)));
    for (class, look) in cases {
        each_plan(|plan| {
            let mut plan = plan.clone();
            for step in &mut plan.steps {
                step.operation.class = class;
            }
            along(Sim::of(plan).quick(), |sim| {
                let mut sim = sim.clone();
                let under_way = sim.active();
                if under_way.is_empty() {
                    return;
                }
                sim.crash_and_settle(look.as_ref());
                sim.finish();
                if class == Class::Once {
                    assert_eq!(sim.run.status, RunStatus::NeedsAttention, "{}", sim.trace());
                    for id in &under_way {
                        sim.resolve(&sim.name(*id), Verdict::Happened);
                    }
                    sim.finish();
                }
                sim.ends(RunStatus::Succeeded);
                let again = class.reruns() || look == Some(Inspection::DidNot);
                for step in &sim.run.steps {
                    let reran = again && under_way.contains(&step.id);
                    assert_eq!(step.attempts.0, 1 + u32::from(reran), "{}", sim.trace());
                }
            });
        });
    }
}

#[test]
fn a_crash_after_any_event_never_repeats_a_once_step() {
    each_case(|_, plan, at| {
        if !plan.options.stop_on_failure {
            return;
        }
        let mut plan = plan.clone();
        plan.steps[at].operation.class = Class::Once;
        let once = StepId(u32::try_from(at).unwrap());
        along(Sim::of(plan).quick(), |sim| {
            if !sim.active().contains(&once) {
                return;
            }
            let mut sim = sim.clone();
            sim.crash_quickly();
            sim.finish();
            assert_eq!(sim.run.status, RunStatus::NeedsAttention);
            sim.resolve(NAMES[at], Verdict::Happened);
            sim.finish().ends(RunStatus::Succeeded);
            assert_eq!(sim.attempts(NAMES[at]), 1);
        });
    });
}

#[test]
fn a_cancel_after_any_event_ends_the_run() {
    each_case(|_, plan, at| {
        along(with_fault(plan, at, broken()), |sim| {
            let mut sim = sim.clone();
            let ended = sim.run.forward_ended();
            if sim.offer(sim.cancel_event()).is_ok() {
                assert!(!ended);
                sim.finish().ends(RunStatus::Cancelled);
            } else {
                assert!(ended);
            }
        });
    });
}

#[test]
fn a_broken_lock_after_any_event_ends_the_run_without_touching_what_it_guarded() {
    each_case(|_, plan, at| {
        along(with_fault(plan, at, broken()), |sim| {
            let mut sim = sim.clone();
            let event = sim.lock_broken(&format!("vm/{}", NAMES[at]));
            if sim.offer(event).is_ok() {
                sim.finish().ends(RunStatus::Cancelled);
            }
        });
    });
}
